"""Ctrl-C and SIGTERM during training: stop after this batch, so that the state can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from dltool.training.callbacks import Callback, Events
from dltool.training.run import Run

PAUSED = "paused"
"""Why a run stopped that will go on later as if it had not."""


class StopOnSignal(Callback):
    """The first signal lets the running batch finish and sets ``run.stop``; the second ends at once.

    Signals can be caught in the main thread only; elsewhere this does nothing.

    Attributes:
        caught: the signal that came, None without one. reason: what ``run.stop`` then says.
    """

    def __init__(self, events: Events):
        self.events = events
        self.caught: signal.Signals | None = None
        self.reason = ""
        self._before: dict[signal.Signals, Any] = {}

    def train_begin(self, run: Run) -> None:
        if threading.current_thread() is not threading.main_thread():
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if self.caught is not None:
                self._put_back()
                raise KeyboardInterrupt
            self.caught = signal.Signals(number)
            self.reason = f"interrupted by {self.caught.name}"
            run.interrupted, run.stop = True, run.stop or self.reason
            self.events.note("stopping after this batch (again: at once)")

        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as shells start what runs in the background
                self._before[number] = signal.signal(number, handle)

    def train_end(self, run: Run) -> None:
        self._put_back()

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()


@contextmanager
def leaving_on_sigterm() -> Iterator[None]:
    """Within, SIGTERM raises SystemExit(143) as Ctrl-C raises KeyboardInterrupt, so that the same code tidies up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(143)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
