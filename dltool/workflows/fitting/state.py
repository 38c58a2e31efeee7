"""A training run in progress, and what the model file says about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dltool.engine.executor import Executor
from dltool.modelfile.saved import TrainingState
from dltool.modelfile.writing import write
from dltool.settings import FitSettings
from dltool.training.callbacks import BestWeights, Callback
from dltool.training.interrupt import PAUSED, StopOnSignal
from dltool.training.run import Run
from dltool.version import __version__
from dltool.workflows.fitting.resuming import KEY, OPTIONS, Origin, run_state
from dltool.workflows.fitting.task import Task
from dltool.workflows.plugin_record import KEY as PLUGINS
from dltool.workflows.plugin_record import OWN, recorded
from dltool.workflows.scoring import THRESHOLD

TOLD_ELSEWHERE = ("optimizer", "learning_rate", "loss", "metrics", "val_split")
"""Options that the file's compile step and split say."""


@dataclass
class FitState:
    """Everything about a run that goes into the file.

    Attributes:
        record: the loop's. origin: where the run began.
        best: keeps the best weights. remembering: other callbacks with a memory, by their name in the file.
        own: the user's callbacks, likewise.
        writers: callbacks that write files.
        threshold: from this probability on the second of two classes is said.
    """

    settings: FitSettings
    task: Task
    executor: Executor
    record: Run
    origin: Origin
    best: BestWeights
    stopper: StopOnSignal
    remembering: dict[str, Callback] = field(default_factory=dict)
    own: dict[str, Callback] = field(default_factory=dict)
    writers: list[Callback] = field(default_factory=list)
    written_epoch: int | None = None
    threshold: float | None = None

    @property
    def is_finished(self) -> bool:
        """False for a run that was interrupted, or is still going on."""
        return self.record.done >= self.record.epochs or self.record.stop not in ("", PAUSED, self.stopper.reason)

    @property
    def history(self) -> list[dict[str, float]]:
        """The epochs of this run, without those of earlier ones."""
        return [row for row in self.record.history if row["epoch"] > self.origin.epoch]

    def collect(self, last: np.ndarray | None) -> None:
        """Put into ``task.saved`` what the file shall say: history, recipe and state.

        Args:
            last: the weights as the optimizer left them; None when they are the model's.
        """
        saved, run, executor = self.task.saved, self.record, self.executor
        saved.history, saved.recipe = list(run.history), self.recipe()
        callbacks: dict[str, Any] = {"best_weights": self.best.state()}
        callbacks |= {name: callback.state() for name, callback in self.remembering.items()}
        callbacks |= {OWN + name: found for name, one in self.own.items() if (found := one.state())}
        callbacks[KEY] = run_state(self.settings, run, self.origin, self.is_finished)
        weights = run.model.weights.vector if last is None else last
        slots, memory = dict(executor.slots), dict(executor.memory)
        saved.state = TrainingState(weights, slots, memory, run.step, run.done, callbacks, run.averaged)

    def recipe(self) -> dict[str, Any]:
        """The options that made the weights; nothing that depends on the machine or on paths."""
        kept = {name: getattr(self.settings, name) for name in OPTIONS if name not in TOLD_ELSEWHERE}
        monitor = self.best.monitor.name if self.best.monitor else None
        best = self.best.epoch if monitor else None
        found = {"dltool": __version__, **kept, "monitor": monitor, "best_epoch": best}
        if self.settings.plugins:
            found[PLUGINS] = recorded(self.settings.plugins)
        return found if self.threshold is None else {**found, THRESHOLD: self.threshold}

    def write_best(self, path: str) -> None:
        """Write the model in the middle of the run, with the best weights and all that a resumed run needs."""
        with self.best.in_place(self.record) as last:
            self.collect(last)
            write(self.task.saved, path)
        self.written_epoch = self.best.epoch

    def keep_written(self, path: str | None) -> str:
        """After a lane was lost: write the best epoch, unless the file holds it already, which can be resumed."""
        if self.written_epoch is not None and self.written_epoch == self.best.epoch:
            return f"{path} has the weights of epoch {self.best.epoch}; --resume goes on"
        return self.keep_best(path)

    def write_current(self, path: str) -> None:
        """Write the model with the weights that it has now, or with their average where there is one."""
        vector, last = self.record.model.weights.vector, None
        if self.record.averaged is not None:
            last = vector.copy()
            vector[...] = self.record.averaged
        self.collect(last)
        write(self.task.saved, path, keep_state=self.settings.keep_state)
        if last is not None:
            vector[...] = last

    def keep_best(self, path: str | None) -> str:
        """After a failure: write the best finished epoch, without the spoilt state; says what was done.

        Without a path the model in memory has it.
        """
        if self.record.done <= self.origin.epoch:
            return "no epoch was finished, so nothing was written"
        self.collect(None)
        self.task.saved.state = None
        if path is not None:
            write(self.task.saved, path, keep_state=False)
        return f"{path or 'the model'} has the weights of epoch {self.best.epoch}"
