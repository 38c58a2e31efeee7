"""Writing the model while it trains, now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

from dltool.training.callbacks import Callback
from dltool.training.run import Run

SHARE = 0.02
"""At most this part of the elapsed time goes into writing before the end."""
BYTES_PER_SECOND = 100e6
"""A guess for the first file, before one was timed."""


class Saving(Callback):
    """Calls ``write`` at the end of epochs, as often as ``SHARE`` allows; whoever trains writes once more at the end.

    Args:
        write: writes the file.
        num_bytes: about how much that is.
    """

    def __init__(self, write: Callable[[Run], None], num_bytes: int, clock: Callable[[], float] = time.monotonic):
        self.write, self._clock = write, clock
        self._cost = num_bytes / BYTES_PER_SECOND
        self._spent = 0.0
        self._start = clock()

    def train_begin(self, run: Run) -> None:
        self._start = self._clock()

    def epoch_end(self, run: Run) -> None:
        before = self._clock()
        if run.epoch == run.epochs or run.stop or self._spent + self._cost > SHARE * (before - self._start):
            return
        self.write(run)
        self._cost = self._clock() - before
        self._spent += self._cost
