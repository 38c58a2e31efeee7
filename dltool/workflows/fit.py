"""``dltool fit``: open the data, read or build the model, check that they belong together, train, write the file.

What the user does not say comes from the model file's compile step, else from the head and the labels (adam at 0.001).
An existing model goes on where it stopped: with its optimizer's state when the optimizer is the same, from its last
weights; the best weights so far count as an epoch, so that more training never makes the file worse. ``--resume`` goes
on with a run that was interrupted, exactly (see ``resuming``).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from dltool.data.capacity import available_bytes
from dltool.data.dataset import Dataset
from dltool.data.loader import Loader
from dltool.engine.process_lanes import LaneDied
from dltool.errors import DivergedError, OutputError
from dltool.modelfile.atomic import check_space
from dltool.modelfile.lock import locked
from dltool.modelfile.saved import SavedModel
from dltool.modelfile.writing import check_model_target, write
from dltool.settings import FitSettings
from dltool.training.autopsy import explained
from dltool.training.callbacks import Callback, Events, Reporting
from dltool.training.diagnosis import diagnose
from dltool.training.loop import train
from dltool.training.run import Run
from dltool.workflows.fitting.augmenting import check_preview, chosen_augment, write_preview
from dltool.workflows.fitting.begin import begin, file_bytes
from dltool.workflows.fitting.files import Checkpoint, LogFile, check_checkpoint, check_log
from dltool.workflows.fitting.report import check_memory, hints, plan, understood
from dltool.workflows.fitting.resuming import find_run, interrupted_run, resumed_settings
from dltool.workflows.fitting.saving import Saving
from dltool.workflows.fitting.start import (
    UNBOUNDED,
    batch_rows,
    check_restarts,
    choose_start,
    chosen_schedule,
    executor_for,
    found_rate,
    loader_for,
    with_rate,
)
from dltool.workflows.fitting.state import FitState
from dltool.workflows.fitting.task import Task, prepare
from dltool.workflows.fitting.threshold import check_threshold, decision_threshold
from dltool.workflows.plotting import check_plot, training_curves
from dltool.workflows.plugin_record import differences, own_callbacks

AUTO = "auto"
"""As a learning rate: that of a range test."""
MOST_CHECKED = 10_000
"""Files of so many epochs are looked for before the training."""


@dataclass(frozen=True)
class FitResult:
    """Attributes:
    path: the file that was written.
    history: one dict per epoch, of earlier runs too.
    best_epoch: whose weights are in the file; None without validation data (then the last).
    stopped: why training ended before its last epoch; empty when it did not.
    seconds: from the first check to the written file; 0 when a resumed run was finished already.
    diagnosis: what the curves say, "" for nothing.
    """

    path: str
    history: tuple[dict[str, float], ...]
    best_epoch: int | None
    stopped: str
    seconds: float
    diagnosis: str = ""


def run(
    settings: FitSettings, events: Events | None = None, began: float | None = None, callbacks: Sequence[Callback] = ()
) -> FitResult:
    """Train a model and write it.

    Args:
        began: what ``time.monotonic`` said when the time of ``settings.time`` began; None: now.
        callbacks: the user's own, besides those that plugins registered.

    Raises:
        UsageError, DataError, ModelFileError, OutputError: before the first batch, for everything that can be checked.
        OutputError: also at the end, when the model or a file beside it could not be written.
        DivergedError: the loss was not finite; the best finished epoch was written, if there was one.
        LaneDied: a lane of the engine was killed or failed; the file has the best finished epoch, if there was one.
        KeyboardInterrupt, SystemExit: a signal stopped the training; what was reached was written.
    """
    start, events, path = began or time.monotonic(), events or Events(), target(settings)
    with locked(path):
        settings, earlier = with_earlier(settings, path)
        if earlier is not None and interrupted_run(earlier) is None:
            events.note(f"{path}: the run is finished, nothing is left to resume")
            return FitResult(path, tuple(earlier.history), earlier.recipe.get("best_epoch"), "", 0.0)
        task = checked_task(settings if earlier is not None else decided(settings), earlier, path)
        state = trained(settings, task, events, path, start, callbacks)
        write(task.saved, path, keep_state=settings.keep_state or not state.is_finished)
    return result_of(state, events, path, start)


def run_in_memory(
    settings: FitSettings, saved: SavedModel, events: Events | None = None, callbacks: Sequence[Callback] = ()
) -> FitResult:
    """The same for a model in memory: afterwards ``saved`` is what the file would be.

    Raises: as ``run``; what is said there of the file holds for ``saved``. It stays as it was where a check fails, and
        its weights where no epoch was finished.
    """
    start, events = time.monotonic(), events or Events()
    task = checked_task(decided(settings), None, None, replace(saved))
    vars(saved).update(vars(task.saved))
    task = replace(task, saved=saved)
    before, epochs = saved.model.weights.vector.copy(), len(saved.history)
    try:
        state = trained(settings, task, events, None, start, callbacks)
    except DivergedError:
        if len(saved.history) == epochs:
            saved.model.weights.vector[...] = before
        raise
    return result_of(state, events, None, start)


def trained(
    settings: FitSettings, task: Task, events: Events, path: str | None, start: float, callbacks: Sequence[Callback]
) -> FitState:
    """Say what was understood, find what the data must say, train."""
    wanted = settings.learning_rate
    settings = settings if task.resumed else decided(settings)
    events.understood(understood(settings, task))
    for text in differences(task.saved.recipe, settings.plugins):
        events.warning(text)
    for text in hints(settings, task)[:1]:
        events.hint(text)
    if wanted == AUTO and not task.resumed:
        settings, task = with_rate(settings, task, found_rate(settings, task, events))
    own = {**own_callbacks(), **{str(number): callback for number, callback in enumerate(callbacks)}}
    return fit(settings, task, events, path, start, own)


def result_of(state: FitState, events: Events, path: str | None, start: float) -> FitResult:
    """Say how it ended; see ``conclude`` for what that may raise."""
    found = conclude(state, events, path)
    record, seconds = state.record, time.monotonic() - start
    return FitResult(path or "", tuple(record.history), record.best_epoch, record.stop, seconds, found)


def dry_run(settings: FitSettings) -> list[str]:
    """What ``run`` would do, after all its checks; nothing is written."""
    path = target(settings)
    settings, earlier = with_earlier(settings, path)
    wanted = settings if earlier is not None else decided(settings)
    return plan(wanted, checked_task(wanted, earlier, path), path)


def decided(settings: FitSettings) -> FitSettings:
    """Settings whose rate is a number or not said, and whose epochs are unbounded where the time alone was given."""
    if settings.learning_rate == AUTO:
        settings = replace(settings, learning_rate=None)
    if settings.time is not None and settings.given is not None and "epochs" not in settings.given:
        settings = replace(settings, epochs=UNBOUNDED)
    return settings


def preview(settings: FitSettings) -> str:
    """Draw what ``--augment`` makes of some rows, after all checks; what to say about it."""
    check_preview(settings)
    return write_preview(settings, prepare(settings))


def target(settings: FitSettings) -> str:
    """The file that will be written. Raises OutputError when it cannot be."""
    path = settings.output or settings.model
    check_model_target(path, overwrite=settings.force or settings.resume or path == settings.model)
    return path


def with_earlier(settings: FitSettings, path: str) -> tuple[FitSettings, SavedModel | None]:
    """The run to resume and its settings; (settings, None) for a new one."""
    earlier = find_run(settings, path) if settings.resume else None
    return (settings, None) if earlier is None else (resumed_settings(settings, earlier, path), earlier)


def checked_task(
    settings: FitSettings, earlier: SavedModel | None, path: str | None, saved: SavedModel | None = None
) -> Task:
    """What will be trained on what, and whether the model and the files beside it can be written."""
    task = prepare(settings, earlier, saved)
    overwrite, epochs = settings.force or settings.resume, range(1, min(settings.epochs, MOST_CHECKED) + 1)
    if earlier is None and task.saved.history:
        first = int(task.saved.history[-1]["epoch"])
        epochs = range(first + 1, first + len(epochs) + 1)
    if settings.checkpoint is not None:
        check_checkpoint(settings.checkpoint, value_names(task), epochs, path or "", overwrite)
    if settings.log is not None:
        check_log(settings.log, overwrite)
    if settings.plot is not None:
        check_plot(settings.plot, overwrite)
    chosen_schedule(settings, task)
    chosen_augment(settings, task)
    check_restarts(settings, task)
    check_threshold(settings, task)
    size = min(settings.batch_size, len(task.train))
    check_memory(task.saved.model.graph, task.optimizer, size, available_bytes())
    if path is not None:
        check_space(path, file_bytes(task))
    return task


def value_names(task: Task) -> list[str]:
    """The values of an epoch, in the order of the history."""
    names = ["loss", *task.objective.metric_names]
    return names + ([f"val_{name}" for name in names] if task.validation is not None else [])


def fit(
    settings: FitSettings,
    task: Task,
    events: Events,
    path: str | None,
    start: float,
    own: Mapping[str, Callback] = MappingProxyType({}),
) -> FitState:
    """Train; afterwards ``task.saved`` holds the best weights and the state.

    Args:
        path: the file that is written now and then; None for none.
        start: what ``time.monotonic`` said when the command began. own: the user's callbacks by name.
    """
    objective = task.objective
    with (
        executor_for(settings, task) as executor,
        loader_for(settings, task) as loader,
        held_out(task.validation, batch_rows(settings, task)) as validation,
    ):
        if settings.restarts > 1 and not task.resumed:
            choose_start(settings, task, executor, loader, validation, events)
        state = begin(settings, task, executor, validation, events, start, own)
        state.writers = writers(state, events, path)
        told = [state.best, *state.remembering.values(), state.stopper, *own.values(), *state.writers]
        try:
            train(executor, loader, objective, state.record, [*told, Reporting(events)], validation)
        except DivergedError as error:
            found = explained(error, state.record, objective, task.train, events, settings.seed, state.best.last)
            raise DivergedError(str(found), state.keep_best(path)) from None
        except LaneDied as error:
            raise LaneDied(f"{error}; {state.keep_written(path)}") from error
        if state.is_finished:
            state.threshold = decision_threshold(settings, task, executor, validation, events)
        state.collect(state.best.last)
        return state


def held_out(dataset: Dataset | None, batch_size: int) -> Any:
    """A loader of the validation rows in their order; a context that gives None without any."""
    return nullcontext() if dataset is None else Loader(dataset, batch_size, shuffle=False)


def writers(state: FitState, events: Events, path: str | None) -> list[Callback]:
    """Who writes files while the training goes on: log and checkpoints first, so that the model never is ahead."""
    settings, found = state.settings, []
    if settings.log is not None:
        batches = settings.log_every == "batch"
        found.append(LogFile(settings.log, value_names(state.task), events, batches, state.task.resumed))
    if settings.checkpoint is not None:
        found.append(Checkpoint(settings.checkpoint, lambda run, name: state.write_current(name), events))

    if path is None:
        return found

    def save(run: Run) -> None:
        try:
            state.write_best(path)
        except OutputError as error:
            events.warning(f"not saved yet: {error}")

    return [*found, Saving(save, file_bytes(state.task))]


def conclude(state: FitState, events: Events, path: str | None) -> str:
    """Say how it ended, and what the curves say; end the command when a signal or a full disk did.

    Returns:
        The diagnosis.
    """
    events.finished(state.record)
    if state.stopper.caught is not None:
        events.interrupted(state.record, path or "")
        raise SystemExit(143) if state.stopper.caught == signal.SIGTERM else KeyboardInterrupt
    found = diagnose(state.history)
    if found is not None:
        events.note(f"diagnosis  {found.words}")
    if state.settings.plot is not None and state.record.history:
        training_curves(state.record.history, state.settings.plot)
    failed = next((writer.error for writer in state.writers if getattr(writer, "error", "")), "")
    if failed:
        raise OutputError(f"{failed}; the model is {'trained' if path is None else f'saved in {path}'}")
    return found.words if found is not None else ""
