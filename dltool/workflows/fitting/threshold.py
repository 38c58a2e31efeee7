"""``--decision-threshold``: when a model of two classes says the second one."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.errors import UsageError
from dltool.settings import FitSettings
from dltool.training.callbacks import Events
from dltool.training.loop import predict
from dltool.training.objective import class_indices
from dltool.training.thresholds import best_threshold
from dltool.workflows.fitting.task import Task
from dltool.workflows.scoring import Reading


def check_threshold(settings: FitSettings, task: Task) -> None:
    """Raise UsageError unless the model tells two classes apart, and rows are there to choose a threshold on."""
    wanted = settings.decision_threshold
    if wanted is None:
        return
    reading = Reading(task.saved)
    if reading.names is None or len(reading.names) != 2 or len(task.saved.model.graph.outputs) > 1:
        raise UsageError("--decision-threshold: is for models of two classes; leave it out")
    if task.train.labels.ndim > 1:
        raise UsageError("--decision-threshold: the labels are several per row; leave it out")
    if wanted == "auto" and task.validation is None:
        raise UsageError("--decision-threshold: auto needs validation rows; give --val or --val-split, or a number")


def decision_threshold(
    settings: FitSettings, task: Task, executor: Any, validation: Any, events: Events
) -> float | None:
    """The threshold of the trained model, chosen on the validation rows where it was asked for; None without one."""
    wanted = settings.decision_threshold
    if wanted != "auto":
        return wanted
    reading, truth, probs = Reading(task.saved), [], []
    for batch, (output,) in predict(executor, validation.epoch(0)):
        truth.append(class_indices(batch.targets[0]) == 1)
        probs.append(reading(output)[:, 1])
    found, score, before = best_threshold(np.concatenate(truth), np.concatenate(probs))
    found = float(f"{found:.4g}")
    events.note(f"decide  {reading.names[1]} from {found:g} on: mean F1 {score:.3f} on validation, {before:.3f} at 0.5")
    return found
