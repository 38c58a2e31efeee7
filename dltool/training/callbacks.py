"""Who is told what happens during training: events for the screen, callbacks that steer.

Callbacks have Keras's six moments of training and three of the validation, and get the one ``Run``
record. Those with a memory give it as ``state()`` (values that JSON can hold) and take it back in ``restore(state)``,
so that a run can go on exactly where it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.registry import Registry
from dltool.training.run import Run
from dltool.wording import counted

CALLBACKS: Registry[type[Callback]] = Registry("callback")
"""Callbacks of the user's own; ``fit`` makes one of each. dltool's own are made by those who need them."""


class Events:
    """What a workflow tells its user while it works; the base class keeps silent.

    The command line hands in its own subclass. Methods are called in the thread that trains, often (``batch_end`` after
    every step), so a receiver throttles itself by time and asks for ``run.logs`` only when it draws.
    """

    def understood(self, lines: Sequence[str]) -> None:
        """The first lines: ``"data    train/: 2,000 images, 4 classes"``, ``"split   ..."``, ``"model   ..."``."""

    def note(self, text: str) -> None:
        """Something that happened: ``"stopping after this batch (again: at once)"``."""

    def warning(self, text: str) -> None:
        """Something that went wrong while the training goes on: ``"log.csv: disk full"``."""

    def hint(self, text: str) -> None:
        """One remark that helps: ``"classes are imbalanced 4:1; consider --class-weight balanced"``."""

    def epoch_begin(self, run: Run) -> None:
        """``run.epoch`` of ``run.epochs`` begins."""

    def batch_end(self, run: Run) -> None:
        """``run.batch`` of ``run.steps_per_epoch`` batches are done, ``run.samples`` of ``run.num_rows`` rows."""

    def test_batch_end(self, run: Run) -> None:
        """The validation after the epoch has seen ``run.validated`` of ``run.num_validation`` rows."""

    def epoch_end(self, run: Run) -> None:
        """``run.logs`` has the epoch's values, ``run.is_best`` the star, ``run.seconds`` its duration."""

    def finished(self, run: Run) -> None:
        """Training is over; ``run.stop`` says why if it ended early, ``run.best_epoch`` which weights are kept."""

    def diverged(self, lines: Sequence[str]) -> None:
        """The loss was not finite: what was found out about the step that failed."""

    def interrupted(self, run: Run, path: str) -> None:
        """A signal ended the training, and ``path`` holds all of it; "" when it could not be kept."""


class Callback:
    """Base of all callbacks: the moments, each with the run's record."""

    def train_begin(self, run: Run) -> None:
        """Before the first epoch."""

    def epoch_begin(self, run: Run) -> None:
        """Before the first batch of ``run.epoch``."""

    def batch_begin(self, run: Run) -> None:
        """Before a step; ``run.batch`` are done in this epoch."""

    def batch_end(self, run: Run) -> None:
        """After a step, which ``run.batch`` and ``run.samples`` include."""

    def test_begin(self, run: Run) -> None:
        """Before the validation that follows an epoch."""

    def test_end(self, run: Run) -> None:
        """After it, also when somebody left it."""

    def test_batch_end(self, run: Run) -> None:
        """After a batch of the validation, which ``run.validated`` includes."""

    def epoch_end(self, run: Run) -> None:
        """After the validation; ``run.logs`` and ``run.history`` include this epoch."""

    def train_end(self, run: Run) -> None:
        """After the last epoch, also when training was stopped early or diverged."""

    def state(self) -> dict[str, Any]:
        """What must be remembered to go on exactly; {} for nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""


class Reporting(Callback):
    """Passes the moments on to the user's events. Goes last, so that a receiver sees what the others decided."""

    def __init__(self, events: Events):
        self.events = events

    def epoch_begin(self, run: Run) -> None:
        self.events.epoch_begin(run)

    def batch_end(self, run: Run) -> None:
        self.events.batch_end(run)

    def test_batch_end(self, run: Run) -> None:
        self.events.test_batch_end(run)

    def epoch_end(self, run: Run) -> None:
        self.events.epoch_end(run)


@dataclass(frozen=True)
class Monitor:
    """The measured value that tells good epochs from bad ones.

    ``min_delta`` is what a value must be better by to count as an improvement.
    """

    name: str
    higher_is_better: bool = False
    min_delta: float = 0.0

    @property
    def worst(self) -> float:
        return -math.inf if self.higher_is_better else math.inf

    def improves(self, value: float, best: float) -> bool:
        """Strictly better than ``best`` by more than ``min_delta``; NaN never is."""
        if self.higher_is_better:
            return value - self.min_delta > best
        return value + self.min_delta < best


class EarlyStopping(Callback):
    """Stops when the monitored value has not improved for ``patience`` epochs, counted as Keras's callback does."""

    def __init__(self, monitor: Monitor, patience: int):
        self.monitor, self.patience = monitor, patience
        self.best, self.wait = monitor.worst, 0

    def epoch_end(self, run: Run) -> None:
        value = run.logs[self.monitor.name]
        self.wait += 1
        if self.monitor.improves(value, self.best):
            self.best, self.wait = value, 0
        elif self.wait >= self.patience and run.epoch > 1:
            run.stop = f"{self.monitor.name} has not improved for {counted(self.wait, 'epoch')}"

    def state(self) -> dict[str, Any]:
        return {"best": self.best if math.isfinite(self.best) else None, "wait": self.wait}

    def restore(self, state: dict[str, Any]) -> None:
        self.best = self.monitor.worst if state["best"] is None else state["best"]
        self.wait = state["wait"]


class BestWeights(Callback):
    """Keeps a copy of the best epoch's weights and puts them back at the end.

    With a monitor the best epoch is the one with the strictly best value; without one (no validation data) it is the
    last epoch that ended, so that weights which a diverging epoch spoilt can be taken back.

    Attributes:
        vector: (num_parameters,) float32 copy of the best weights, statistics included; None before the first epoch.
        last: copy of the weights as the optimizer left them, made when ``vector`` is put back; training goes on from
            them.
    """

    def __init__(self, monitor: Monitor | None = None):
        self.monitor = monitor
        self.value: float = monitor.worst if monitor else math.nan
        self.epoch: int | None = None
        self.vector: np.ndarray | None = None
        self.last: np.ndarray | None = None

    def train_begin(self, run: Run) -> None:
        run.monitor = self.monitor.name if self.monitor else None
        run.best_epoch = self.epoch

    def epoch_end(self, run: Run) -> None:
        value = run.logs[self.monitor.name] if self.monitor else math.nan
        run.is_best = self.monitor is not None and self.monitor.improves(value, self.value)
        if run.is_best or self.monitor is None:
            self.keep(run.model.weights.vector if run.averaged is None else run.averaged, run.epoch, value)
        run.best_epoch = self.epoch if self.monitor else None

    def keep(self, vector: np.ndarray, epoch: int, value: float) -> None:
        """Take ``vector`` as the best so far."""
        if self.vector is None:
            self.vector = np.empty_like(vector)
        np.copyto(self.vector, vector)
        self.epoch, self.value = epoch, value

    @contextmanager
    def in_place(self, run: Run) -> Iterator[np.ndarray]:
        """The best weights in the model for a while (to write it); gives the last ones, which come back after."""
        vector = run.model.weights.vector
        last = vector.copy()
        if self.vector is not None:
            vector[...] = self.vector
        try:
            yield last
        finally:
            vector[...] = last

    def train_end(self, run: Run) -> None:
        if self.vector is not None:
            self.last = run.model.weights.vector.copy()
            run.model.weights.vector[...] = self.vector

    def state(self) -> dict[str, Any]:
        """The value and the epoch; the weights themselves are what the model file holds as the model's."""
        return {"epoch": self.epoch, "value": self.value if math.isfinite(self.value) else None}

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch = state["epoch"]
        if state["value"] is not None:
            self.value = state["value"]
