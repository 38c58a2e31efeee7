"""Where a training run begins: at its start, or where it was interrupted; who decides and who remembers in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from dltool.data.loader import Loader
from dltool.engine.executor import Executor
from dltool.settings import FitSettings
from dltool.training.callbacks import BestWeights, Callback, EarlyStopping, Events
from dltool.training.interrupt import StopOnSignal
from dltool.training.loop import evaluate
from dltool.training.time_limit import TimeLimit
from dltool.training.weight_average import WeightAverage
from dltool.workflows.fitting.resuming import KEY, Origin, go_on
from dltool.workflows.fitting.run_record import check_partial, reading_run, restore_memory
from dltool.workflows.fitting.saving import BYTES_PER_SECOND
from dltool.workflows.fitting.start import UNBOUNDED, rate_setter, starting_point
from dltool.workflows.fitting.state import FitState
from dltool.workflows.fitting.task import Task
from dltool.workflows.plugin_record import recall_own

LEAST_WRITING = 0.1
"""Seconds for flushing a file to the disk, whatever its size."""


def begin(
    settings: FitSettings,
    task: Task,
    executor: Executor,
    validation: Loader | None,
    events: Events,
    start: float,
    own: Mapping[str, Callback],
) -> FitState:
    """The run where it starts, or where it was interrupted."""
    monitor = task.objective.monitor(settings.monitor, validation is not None, settings.min_delta)
    judged = validation is not None or settings.monitor is not None
    best = BestWeights(replace(monitor, min_delta=0.0) if judged else None)
    if not task.resumed and judged:
        keep_earlier_best(best, executor, validation, task)
    kept = task.saved.model.weights.vector.copy()
    record = starting_point(settings, task, executor)
    origin = Origin(record.epoch, record.step, task.validation.fingerprint if task.validation is not None else "")
    if task.resumed:
        origin = go_on(task.saved, record)
    remembering: dict[str, Callback] = {}
    if settings.early_stop is not None:
        remembering["early_stopping"] = EarlyStopping(monitor, settings.early_stop)
    limit = None
    if settings.time is not None:
        limit = TimeLimit(settings.time, start, write_seconds(task), settings.epochs < UNBOUNDED)
        remembering["time"] = limit
    setter = rate_setter(settings, task, monitor, origin.step, limit)
    if setter is not None:
        remembering["schedule"] = setter
    if settings.ema is not None:
        remembering["ema"] = WeightAverage(settings.ema, record.model.weights.vector)
    if task.resumed:
        with reading_run(settings.output or settings.model):
            recall(task, best, kept, remembering)
        recall_own(task.saved.state.callbacks, own)
    return FitState(settings, task, executor, record, origin, best, StopOnSignal(events), remembering, dict(own))


def keep_earlier_best(best: BestWeights, executor: Executor, validation: Loader | None, task: Task) -> None:
    """A file that was trained before comes with its best weights: they are measured on today's validation rows."""
    saved, name = task.saved, best.monitor.name
    if validation is not None and saved.history and name.startswith("val_"):
        value = evaluate(executor, validation, task.objective, by_class=True)[name.removeprefix("val_")]
        epoch = saved.recipe.get("best_epoch") or saved.history[-1]["epoch"]
        best.keep(saved.model.weights.vector, epoch, value)


def recall(task: Task, best: BestWeights, kept: Any, remembering: dict[str, Callback]) -> None:
    """Give the callbacks of an interrupted run their memory back; ``kept`` are the weights that the file calls best."""
    memory = task.saved.state.callbacks
    restore_memory(best, memory["best_weights"])
    if best.epoch is not None:
        best.keep(kept, int(best.epoch), best.value)
    for name, callback in remembering.items():
        restore_memory(callback, memory[name])
        if isinstance(callback, WeightAverage):
            np.copyto(callback.average, task.saved.state.averaged)
    if memory[KEY]["batch"]:
        check_partial(memory[KEY]["partial"], memory[KEY]["samples"], task.objective, task.train)


def write_seconds(task: Task) -> float:
    """A guess for the last writing of the file."""
    return file_bytes(task) / BYTES_PER_SECOND + LEAST_WRITING


def file_bytes(task: Task) -> int:
    """About what the file takes: the best weights, the last ones, and the optimizer's slots."""
    return 4 * task.saved.model.weights.num_parameters * (2 + len(task.optimizer.kept))
