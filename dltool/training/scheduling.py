"""Who sets the learning rate during training: a schedule by the step, or a plateau of the monitored value."""

from __future__ import annotations

import math
from typing import Any

from dltool.engine.schedules import Constant, Plateau, Schedule, WarmedUp
from dltool.training.callbacks import Callback, Monitor
from dltool.training.run import Run


class Scheduling(Callback):
    """Gives every step the rate of a schedule, and its momentum.

    Args:
        first_step: steps done before this run, which the schedule does not count.
    """

    def __init__(self, schedule: Schedule, first_step: int = 0):
        self.schedule, self.first_step = schedule, first_step

    def epoch_begin(self, run: Run) -> None:
        if run.batch:  # resumed, maybe after the last batch: the epoch's rate is that of its last step
            run.learning_rate = self.schedule(run.step - self.first_step)

    def batch_begin(self, run: Run) -> None:
        run.learning_rate = self.schedule(run.step - self.first_step + 1)
        run.momentum = self.schedule.momentum_after(run.step - self.first_step)


class PlateauScheduling(Scheduling):
    """Lowers the rate when the monitored value stands still, counted as Keras's ReduceLROnPlateau does.

    Args:
        warmup: steps in which the rate rises to its first one.
    """

    def __init__(self, options: Plateau, monitor: Monitor, first_step: int = 0, warmup: int = 0):
        super().__init__(options, first_step)
        self.options, self.warmup = options, warmup
        self.monitor = Monitor(monitor.name, monitor.higher_is_better, options.min_delta)
        self.best, self.wait, self.cooldown = monitor.worst, 0, 0
        self._use(options.learning_rate)

    def _use(self, rate: float) -> None:
        self.rate, self.schedule = rate, Constant(rate)
        if self.warmup:
            self.schedule = WarmedUp(rate, self.schedule, self.warmup)

    def epoch_end(self, run: Run) -> None:
        value, options = run.logs[self.monitor.name], self.options
        if self.cooldown > 0:
            self.cooldown, self.wait = self.cooldown - 1, 0
        if self.monitor.improves(value, self.best):
            self.best, self.wait = value, 0
        elif self.cooldown <= 0:
            self.wait += 1
            if self.wait >= options.patience and self.rate > options.min:
                self._use(max(self.rate * options.factor, options.min))
                self.cooldown, self.wait = options.cooldown, 0

    def state(self) -> dict[str, Any]:
        best = self.best if math.isfinite(self.best) else None
        return {"best": best, "wait": self.wait, "cooldown": self.cooldown, "rate": self.rate}

    def restore(self, state: dict[str, Any]) -> None:
        self.best = self.monitor.worst if state["best"] is None else state["best"]
        self.wait, self.cooldown = state["wait"], state["cooldown"]
        self._use(state["rate"])


def scheduling(schedule: Schedule, monitor: Monitor, first_step: int) -> Scheduling | None:
    """The callback of a schedule; None for a rate that never changes, which needs nobody to set it."""
    inner, warmup = (schedule.schedule, schedule.steps) if isinstance(schedule, WarmedUp) else (schedule, 0)
    if isinstance(inner, Plateau):
        return PlateauScheduling(inner, monitor, first_step, warmup)
    return None if type(schedule) is Constant else Scheduling(schedule, first_step)
