"""One trial of a search: a training that pauses after some epochs and goes on later, exactly, from its own file."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dltool.data.capacity import available_bytes
from dltool.data.opening import OpenedData
from dltool.errors import DivergedError, UsageError
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.modelfile.writing import write
from dltool.settings import FitSettings
from dltool.training.callbacks import Callback, Events, Monitor
from dltool.training.interrupt import PAUSED
from dltool.training.run import Run
from dltool.training.search_space import Parameter
from dltool.workflows.fit import fit
from dltool.workflows.fitting.augmenting import chosen_augment
from dltool.workflows.fitting.report import check_memory
from dltool.workflows.fitting.resuming import KEY, interrupted_run
from dltool.workflows.fitting.rows import open_validation
from dltool.workflows.fitting.start import chosen_schedule
from dltool.workflows.fitting.task import Task, as_task, build_for, prepare_resumed, read_for
from dltool.workflows.plugin_record import own_callbacks
from dltool.workflows.tuning.parameters import applied, as_words, with_dropout

PAUSING = "dltool.pausing"
"""What ``Pausing`` is called among the callbacks, where no plugin's name gets in its way."""
MOST_KEPT = 256 << 20
"""Bytes of paused trials that stay in memory, too: to read a file takes a process of its own, 0.2 s and more."""


class Pausing(Callback):
    """Pauses a run some epochs before its end, or at a deadline.

    Args:
        rest: epochs that are left when it pauses. deadline: what ``time.monotonic`` then says.

    Attributes:
        is_late: whether it was the deadline.
    """

    def __init__(self, rest: int, deadline: float):
        self.rest, self.deadline, self.is_late = rest, deadline, False

    def train_begin(self, run: Run) -> None:
        self.epoch_end(run)

    def batch_end(self, run: Run) -> None:
        if time.monotonic() >= self.deadline and not run.stop:
            run.stop, self.is_late = PAUSED, True

    def epoch_end(self, run: Run) -> None:
        if self.rest and run.epochs - run.epoch <= self.rest and not run.stop:
            run.stop = PAUSED


class TrialEvents(Events):
    """Of a trial's training the user sees how far it is, and warnings; the rest is told by the search."""

    def __init__(self, events: Events):
        for name in ("note", "warning", "epoch_begin", "batch_end", "test_batch_end"):
            setattr(self, name, getattr(events, name))


@dataclass(frozen=True)
class Measured:
    """How good a trial is so far: its score (the greater the better), what decides between equal ones, and the values
    of its best epoch. NaN and {} where it diverged."""

    score: float = math.nan
    tie: float = math.nan
    values: dict[str, float] | None = None


@dataclass(frozen=True)
class Bench:
    """What all trials share.

    Attributes:
        settings: of every trial before what is tried. folder: for the trials' files. start: when the command began.
        opened: the data. monitor: what trials are compared by. None before they are known.
        paused: trials that are in memory besides their file.
    """

    settings: FitSettings
    folder: str
    events: Any
    start: float
    opened: OpenedData | None = None
    monitor: Monitor | None = None
    paused: dict[int, SavedModel] = field(default_factory=dict)

    def file_of(self, trial: int) -> str:
        return os.path.join(self.folder, f"trial-{trial + 1}.h5")

    def has(self, trial: int) -> bool:
        """Whether the trial can go on from where it was."""
        return os.path.exists(self.file_of(trial))

    def take(self, trial: int) -> SavedModel:
        """The trial where it paused; it is the caller's, to change it. Raises ModelFileError."""
        found = self.paused.pop(trial, None)
        return read(self.file_of(trial)) if found is None else found

    def put(self, trial: int, saved: SavedModel) -> None:
        """Keep a paused trial. Raises OutputError."""
        write(saved, self.file_of(trial))
        if sum(map(num_bytes, (saved, *self.paused.values()))) <= MOST_KEPT:
            self.paused[trial] = saved

    def drop(self, trial: int) -> None:
        """Forget a trial's state."""
        self.paused.pop(trial, None)
        Path(self.file_of(trial)).unlink(missing_ok=True)

    def settings_of(self, trial: int, values: dict[str, Any]) -> tuple[FitSettings, float | None]:
        wanted, dropout = applied(self.settings, values)
        return replace(wanted, output=self.file_of(trial), force=True, monitor=self.monitor.name), dropout

    def train(self, trial: int, values: dict[str, Any], epochs: int, deadline: float = math.inf) -> Measured | None:
        """Train a trial until it has had so many epochs; None when the deadline came first.

        Raises:
            UsageError: the values do not go together; the message names them.
            KeyboardInterrupt, SystemExit: a signal came; the trial's file has what was reached.
        """
        settings, dropout = self.settings_of(trial, values)
        try:
            task = self._task(trial, settings, dropout)
            if task.resumed and interrupted_run(task.saved) is None:
                return measured(rows_of_run(task.saved), self.monitor)  # a callback of the user's has ended it
            pausing = Pausing(settings.epochs - epochs, deadline)
            callbacks = {**own_callbacks(), PAUSING: pausing}
            state = fit(settings, task, TrialEvents(self.events), settings.output, self.start, callbacks)
        except UsageError as error:
            raise UsageError(f"--try: trial {trial + 1} ({as_words(values)}): {error}") from None
        except DivergedError:
            return Measured()
        if pausing.is_late:
            return None
        self.put(trial, task.saved)
        if state.stopper.caught is not None:
            raise SystemExit(143) if state.stopper.caught == state.stopper.caught.SIGTERM else KeyboardInterrupt
        if not state.history:
            raise UsageError(f"--try: trial {trial + 1} ended before its first epoch did: {state.record.stop}")
        return measured(state.history, self.monitor)

    def _task(self, trial: int, settings: FitSettings, dropout: float | None) -> Task:
        """The trial where it paused, or from its beginning."""
        if self.has(trial):
            return prepare_resumed(settings, self.take(trial), self.opened)
        return start_of(settings, dropout, self.opened)


def num_bytes(saved: SavedModel) -> int:
    """Of a paused trial: its best weights, its last ones, the slots."""
    slots = 0 if saved.state is None else len(saved.state.slots)
    return 4 * saved.model.weights.num_parameters * (2 + slots)


def start_of(settings: FitSettings, dropout: float | None, opened: OpenedData) -> Task:
    """A trial that begins. Raises UsageError."""
    is_new = settings.arch is not None
    saved, _, remarks = build_for(settings, opened) if is_new else (read(settings.model), opened, ())
    if dropout is not None:
        saved.model = saved.model.with_graph(with_dropout(saved.model.graph, dropout))
    return as_task(settings, saved, opened, remarks, is_new)


def rows_of_run(saved: SavedModel) -> list[dict[str, float]]:
    """The epochs of the run in a file, without those of earlier ones."""
    return [row for row in saved.history if row["epoch"] > saved.state.callbacks[KEY]["origin"]["epoch"]]


def measured(history: Sequence[dict[str, float]], monitor: Monitor) -> Measured:
    """The best epoch of a trial's own, by the monitor and then by the loss of the validation rows."""
    sign = 1.0 if monitor.higher_is_better else -1.0
    row = max(history, key=lambda row: (sign * row[monitor.name], -row["val_loss"]))
    return Measured(sign * row[monitor.name], -row["val_loss"], dict(row))


def open_for_trials(settings: FitSettings, space: Sequence[Parameter]) -> tuple[FitSettings, OpenedData, Task]:
    """The data, opened once for all trials, and the task of one whose values are at the ends of what is tried.

    Every value is tried out as far as can be without training.

    Returns:
        The settings with the validation data opened, too.

    Raises:
        UsageError, DataError, ModelFileError: something does not fit, or there are no validation rows.
    """
    first, _ = applied(settings, {parameter.name: parameter.extremes[0] for parameter in space})
    saved, opened, _ = build_for(first) if first.arch is not None else read_for(first)
    if settings.val:
        saved.classes, saved.preprocessing = opened.classes, opened.preprocessing or saved.preprocessing
        opened = replace(opened, valid=open_validation(settings, saved))
        settings = replace(settings, val=(), val_labels=None)
    for changed in space:
        for value in changed.extremes:
            ends = {parameter.name: parameter.extremes[0] for parameter in space}
            wanted, dropout = applied(settings, {**ends, changed.name: value})
            task = start_of(wanted, dropout, opened)
            chosen_schedule(wanted, task)
            chosen_augment(wanted, task)
            check_memory(
                task.saved.model.graph, task.optimizer, min(wanted.batch_size, len(task.train)), available_bytes()
            )
    if task.validation is None:
        raise UsageError("--val: missing; trials are compared by validation rows, so give --val, or --val-split 0.2")
    return settings, opened, task


def chosen_monitor(settings: FitSettings, space: Sequence[Parameter], task: Task) -> Monitor:
    """What trials are compared by: as said, else the accuracy where there are classes, else the loss.

    Raises:
        UsageError: losses of different kinds would be compared.
    """
    names, objective = {parameter.name for parameter in space}, task.objective
    accuracy = next((f"val_{name}" for name in objective.metric_names if name.endswith("accuracy")), None)
    wanted = settings.monitor or accuracy
    if wanted is None and "loss" in names:
        raise UsageError("--monitor: missing; losses of different kinds cannot be compared, so name a metric to go by")
    return objective.monitor(wanted, True)
