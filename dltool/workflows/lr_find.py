"""``dltool lr-find``: a learning-rate range test, on the data and from the weights that ``dltool fit`` would take."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from dltool.data.loader import Loader
from dltool.engine.executor import Executor
from dltool.errors import ModelFileError, UsageError
from dltool.settings import FitSettings, LrFindSettings
from dltool.training.callbacks import Callback, Events, Reporting
from dltool.training.interrupt import StopOnSignal
from dltool.training.range_test import RangeTest, Suggestions, range_test, suggest, sweep_rates
from dltool.workflows.fitting.start import starting_point
from dltool.workflows.fitting.task import Task, prepare
from dltool.workflows.model_data import sized
from dltool.workflows.plotting import check_plot, learning_rate_curve

SCHEMA = "dltool.lr-find/1"
PICKS = ("valley", "steepest", "min10")


@dataclass(frozen=True)
class LrFindResult:
    """Attributes:
    rate: the suggestion that was asked for (``pick``).
    test: what the sweep measured.
    """

    rate: float
    pick: str
    suggestions: Suggestions
    test: RangeTest

    def as_json(self) -> dict[str, Any]:
        """The documented form of ``--json``."""
        curves = {name: getattr(self.test, name).tolist() for name in ("rates", "losses", "smoothed")}
        found = {"schema": SCHEMA, "rate": self.rate, "pick": self.pick, **asdict(self.suggestions)}
        return {**found, "diverged": self.test.diverged, **curves}


def run(settings: LrFindSettings, events: Events | None = None) -> LrFindResult:
    """Find a learning rate. The model file is only read; ``settings.plot`` is written.

    Raises:
        ModelFileError, DataError, UsageError: before the first batch, for everything that can be checked.
        ShortError: no rate can be recommended; the message says why.
        KeyboardInterrupt: a signal ended the sweep.
    """
    check(settings)
    events = events or Events()
    task = prepare(training_run(settings))
    stopper = StopOnSignal(events)
    test = sweep(settings, task, [stopper, Reporting(events)])
    if stopper.caught is not None:
        raise KeyboardInterrupt
    suggestions = suggest(test)
    result = LrFindResult(getattr(suggestions, settings.pick), settings.pick, suggestions, test)
    if settings.plot is not None:
        learning_rate_curve(test, suggestions, settings.plot)
    return result


def check(settings: LrFindSettings) -> None:
    if not os.path.lexists(settings.model):
        raise ModelFileError(f"{settings.model}: does not exist; write it first, with dltool build")
    if not 0 < settings.low < settings.high:
        raise UsageError(f"--min: {settings.low:g} is not below --max {settings.high:g}; give a smaller one")
    if settings.steps < 20:
        raise UsageError(f"--steps: {settings.steps} are too few to see a curve; give 20 or more")
    if settings.pick not in PICKS:
        raise UsageError(f"--pick: unknown pick {settings.pick!r}; give one of {', '.join(PICKS)}")
    if settings.plot is not None:
        check_plot(settings.plot, overwrite=settings.force)


def training_run(settings: LrFindSettings) -> FitSettings:
    """The training run whose first steps the sweep resembles; every row trains, none validates."""
    shared = ("model", "data", "batch_size", "optimizer", "loss", "seed", "jobs", "backend")
    return FitSettings(**{name: getattr(settings, name) for name in shared}, val_split=0.0)


def sweep(settings: LrFindSettings, task: Task, callbacks: list[Callback]) -> RangeTest:
    """The range test from the weights and the optimizer's state that training would go on from."""
    objective, size = task.objective, min(settings.batch_size, len(task.train))
    with (
        Executor(
            sized(task.saved.model, task.opened.input_shape),
            batch_size=size,
            losses=objective.losses,
            loss_weights=objective.loss_weights,
            optimizer=task.optimizer,
            seed=settings.seed,
            jobs=settings.jobs,
            backend=settings.backend,
        ) as executor,
        Loader(task.train, size, seed=settings.seed) as loader,
    ):
        record = starting_point(training_run(settings), task, executor)
        rates = sweep_rates(settings.low, settings.high, settings.steps)
        return range_test(executor, loader, objective, record, rates, callbacks)
