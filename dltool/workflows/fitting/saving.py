"""Writing the model while it trains, now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

from dltool.training.callbacks import Callback
from dltool.training.run import Run

SHARE = 0.02
"""At most this part of the elapsed time goes into writing before the end."""
WITHIN_EPOCHS = 10.0
"""So many seconds pass before the model is also written in the middle of an epoch."""
BYTES_PER_SECOND = 100e6
"""A guess for the first file, before one was timed."""


class Saving(Callback):
    """Calls ``write`` at the end of epochs, as often as ``SHARE`` allows, and within long ones; whoever trains writes
    once more at the end.

    Args:
        write: writes the file.
        num_bytes: about how much that is.
    """

    def __init__(self, write: Callable[[Run], None], num_bytes: int, clock: Callable[[], float] = time.monotonic):
        self.write, self._clock = write, clock
        self._cost = num_bytes / BYTES_PER_SECOND
        self._spent = 0.0
        self._start = self._last = clock()

    def train_begin(self, run: Run) -> None:
        self._start = self._last = self._clock()

    def batch_end(self, run: Run) -> None:
        now = self._clock()
        if now - self._last >= WITHIN_EPOCHS:
            self._write(run, now)

    def epoch_end(self, run: Run) -> None:
        if run.epoch < run.epochs:
            self._write(run, self._clock())

    def _write(self, run: Run, now: float) -> None:
        if run.stop or self._spent + self._cost > SHARE * (now - self._start):
            return
        self.write(run)
        self._last = self._clock()
        self._cost = self._last - now
        self._spent += self._cost
