"""``dltool evaluate``: loss, metrics with intervals, per-class scores and the confusion matrix on labelled data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dltool.data.dataset import Dataset
from dltool.data.loader import Loader
from dltool.data.opening import OpenedData
from dltool.engine.batch import Batch
from dltool.engine.executor import Executor
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.settings import EvaluateSettings
from dltool.training.confusion import ClassScore, Confusion, wilson_interval
from dltool.training.loop import evaluate
from dltool.training.objective import Objective, class_indices, common_metrics, make_objective
from dltool.workflows.model_data import label_names, open_for_model, probabilities, sized

SCHEMA = "dltool.evaluate/1"
Progress = Callable[[int, int], None]
"""Called with rows done and rows in total."""


@dataclass(frozen=True)
class Measure:
    """A measured value; ``low`` and ``high`` are its 95 % interval where one is known."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class EvaluateResult:
    """Attributes:
    n: number of rows. unit: "images" or "rows".
    metrics: by name; accuracy first where there are classes.
    classes: names in the order of the outputs; None for regression.
    scores: precision, recall, F1 and count of each class.
    confusion: (classes, classes) counts, rows true, columns predicted; None for regression.
    majority: accuracy of always naming the most frequent class; None for regression.
    notes: sentences for the user.
    """

    n: int
    unit: str
    loss: float
    metrics: dict[str, Measure]
    classes: tuple[str, ...] | None = None
    scores: tuple[ClassScore, ...] = ()
    confusion: np.ndarray | None = None
    majority: float | None = None
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The documented form of ``--json``."""
        metrics = {name: _without_none(vars(measure)) for name, measure in self.metrics.items()}
        found: dict[str, Any] = {"schema": SCHEMA, "n": self.n, "loss": self.loss, "metrics": metrics}
        if self.classes is not None:
            found["classes"] = list(self.classes)
            found["confusion"] = self.confusion.tolist()
        return found


def run(settings: EvaluateSettings, progress: Progress | None = None) -> EvaluateResult:
    """Measure a model.

    Data with parts (``train/``, ``test/`` ...) are measured on ``test/``, else on ``valid/``.

    Raises:
        ModelFileError, DataError, UsageError: before the first batch, for everything that can be checked.
    """
    saved = read(settings.model, with_state=False)
    opened = open_for_model(settings.data, saved)
    dataset, notes = part_to_measure(opened)
    objective = objective_for(saved, dataset, opened.label_sources)
    size = min(settings.batch_size, len(dataset))
    model = sized(saved.model, opened.input_shape)
    names = label_names(replace(saved, classes=opened.classes or saved.classes))
    if dataset.classes is not None and dataset.labels.ndim > 1:
        names = None  # several labels per row
    confusion = Confusion(len(names)) if names is not None else None
    watchers = [_counting(saved, confusion)] if confusion is not None else []
    if progress is not None:
        watchers.append(_reporting(progress, len(dataset)))
    with (
        Executor(model, batch_size=size, jobs=settings.jobs, backend=settings.backend) as executor,
        Loader(dataset, size, shuffle=False) as loader,
    ):
        logs = evaluate(executor, loader, objective, watchers)
    return result(opened, dataset, logs, names, confusion, (*opened.notes, *notes))


def part_to_measure(opened: OpenedData) -> tuple[Dataset, tuple[str, ...]]:
    """The test part where there is one, else the validation part, else everything."""
    if opened.test is not None:
        return opened.test, ("measured on the test/ part",)
    if opened.valid is not None:
        return opened.valid, ("measured on the validation part",)
    return opened.train, ()


def objective_for(saved: SavedModel, dataset: Dataset, sources: tuple[str, ...]) -> Objective:
    """The file's loss and metrics, or the usual ones; a loss that dltool does not know is replaced by the usual one."""
    config = saved.training_config
    losses = config.losses if config is not None else ()
    objective = make_objective(saved.model, dataset.targets, losses=losses, metrics=(), sources=sources)
    usual = common_metrics(objective.heads, objective.losses)
    metrics = (*usual, *(m for m in (config.metrics if config is not None else ()) if m not in usual))
    weights = config.loss_weights if config is not None else ()
    return make_objective(
        saved.model,
        dataset.targets,
        losses=objective.losses,
        loss_weights=weights,
        metrics=metrics,
        sources=sources,
    )


def result(
    opened: OpenedData,
    dataset: Dataset,
    logs: dict[str, float],
    names: tuple[str, ...] | None,
    confusion: Confusion | None,
    notes: tuple[str, ...],
) -> EvaluateResult:
    metrics = {name: Measure(value) for name, value in logs.items() if name != "loss"}
    unit = "images" if opened.kind == "images" else "rows"
    if confusion is None:
        return EvaluateResult(len(dataset), unit, logs["loss"], metrics, notes=notes)
    interval = wilson_interval(confusion.num_right, confusion.num_rows)
    accuracy = Measure(confusion.num_right / confusion.num_rows, *interval)
    return EvaluateResult(
        n=len(dataset),
        unit=unit,
        loss=logs["loss"],
        metrics={"accuracy": accuracy, **{name: m for name, m in metrics.items() if name != "accuracy"}},
        classes=names,
        scores=confusion.scores(names),
        confusion=confusion.counts,
        majority=confusion.majority,
        notes=notes,
    )


def _counting(saved: SavedModel, confusion: Confusion) -> Callable[[Batch, tuple[np.ndarray, ...]], None]:
    def count(batch: Batch, outputs: tuple[np.ndarray, ...]) -> None:
        confusion.add(class_indices(batch.targets[0]), probabilities(saved, outputs[0]).argmax(axis=-1))

    return count


def _reporting(progress: Progress, total: int) -> Callable[[Batch, tuple[np.ndarray, ...]], None]:
    done = 0

    def report(batch: Batch, outputs: tuple[np.ndarray, ...]) -> None:
        nonlocal done
        done += len(batch)
        progress(done, total)

    return report


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
