"""Training that ends on time, with its schedule shaped to what the time allows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from dltool.engine.schedules import Schedule
from dltool.training.callbacks import Callback
from dltool.training.run import Run

FIRST_STEPS = 2
"""Steps that are not timed: memory is touched for the first time."""
FORWARD_PART = 1 / 3
"""Of a training step's time per row, what a row takes to validate: a guess for the first validation."""
REPLAN_SECONDS = 0.25


class TimeLimit(Callback):
    """Plans how many steps the time allows and stops in time for the last validation.

    An epoch that the end cuts off is measured like a whole one, so that what the last, slowest steps gained counts.

    Args:
        seconds: for the whole command. clock: gives seconds. start: what it said when the command began.
        reserve: seconds for what comes after the last validation, to write the file.
        bounded: the run also ends after ``run.epochs``; else that becomes the planned number.

    Attributes:
        planned: steps of the whole run, as planned now; None before there is something to measure.
    """

    def __init__(
        self,
        seconds: float,
        start: float,
        reserve: float = 0.0,
        bounded: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.seconds, self.reserve, self.bounded = seconds, reserve, bounded
        self._clock, self._start, self._before = clock, start, 0.0
        self._steps, self._stepping, self._last = 0, 0.0, None
        self._validation: float | None = None
        self._first_step, self._replanned = 0, -math.inf
        self.planned: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the command began, with those of the run that it resumes."""
        return self._before + self._clock() - self._start

    def train_begin(self, run: Run) -> None:
        self._first_step = run.step

    def epoch_begin(self, run: Run) -> None:
        self._last = None

    def batch_end(self, run: Run) -> None:
        now = self._clock()
        if self._last is not None and run.step - self._first_step > FIRST_STEPS:
            self._steps, self._stepping = self._steps + 1, self._stepping + now - self._last
        self._last = now
        if not self._steps:
            return
        left = self.seconds - self.elapsed - self._ending(run)
        if now - self._replanned >= REPLAN_SECONDS or left < 2 * self._per_step:
            self._replan(run, left)
            self._replanned = now
        if left < self._per_step / 2 and not run.stop:
            run.cut, run.stop = True, f"the time of {duration_text(self.seconds)} is over"

    def epoch_end(self, run: Run) -> None:
        if self._last is not None:
            self._validation = self._clock() - self._last
        left = self.seconds - self.elapsed - self._ending(run)
        if self._steps and left < self._per_step / 2 and not run.stop:
            run.stop = f"the time of {duration_text(self.seconds)} is over"
        if not self.bounded and not run.stop:
            run.epochs = max(run.epochs, run.epoch + 1)

    @property
    def _per_step(self) -> float:
        return self._stepping / self._steps

    def _ending(self, run: Run) -> float:
        """Seconds from the last step to the end of the command."""
        if self._validation is not None:
            return self.reserve + self._validation
        if not self._steps:
            return self.reserve
        per_row = self._per_step * run.steps_per_epoch / max(run.num_rows, 1)
        return self.reserve + FORWARD_PART * per_row * run.num_validation

    def _replan(self, run: Run, left: float) -> None:
        """The steps that fit into ``left`` seconds with the validations on the way; the last one is not of them."""
        step, validation = self._per_step, self._ending(run) - self.reserve
        rest = run.steps_per_epoch - run.batch
        steps = max(left, 0.0) / step
        if steps > rest:
            epoch = run.steps_per_epoch * step + validation
            whole, left = divmod(max(left - rest * step - validation, 0.0), epoch)
            steps = rest + run.steps_per_epoch * whole + min(left / step, run.steps_per_epoch)
        self.planned = run.step + steps
        if not self.bounded:
            run.epochs = run.epoch + max(0, math.ceil((steps - rest) / run.steps_per_epoch))

    def state(self) -> dict[str, Any]:
        return {"seconds": round(self.elapsed, 1)}

    def restore(self, state: dict[str, Any]) -> None:
        self._before = float(state["seconds"])


class TimedScheduling(Callback):
    """Gives every step the rate of the schedule for the run as it is planned now.

    Args:
        schedule_for: number of steps -> the schedule of such a run. first: the schedule before there is a plan.
        first_step: steps done before this run.
    """

    def __init__(self, schedule_for: Callable[[int], Schedule], first: Schedule, limit: TimeLimit, first_step: int = 0):
        self.schedule_for, self.limit, self.first_step = schedule_for, limit, first_step
        self._schedule, self._planned = first, None

    def batch_begin(self, run: Run) -> None:
        if self.limit.planned is not None and self.limit.planned != self._planned:
            self._planned = self.limit.planned
            self._schedule = self.schedule_for(max(run.step + 1, round(self._planned)) - self.first_step)
        run.learning_rate = self._schedule(run.step - self.first_step + 1)
        run.momentum = self._schedule.momentum_after(run.step - self.first_step)

    def epoch_begin(self, run: Run) -> None:
        if run.batch:
            run.learning_rate = self._schedule(max(1, run.step - self.first_step))


def duration_text(seconds: float) -> str:
    """``300`` -> ``5m``, ``90`` -> ``90s``."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
