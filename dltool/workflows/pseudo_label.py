"""``dltool pseudo-label``: score unlabelled rows, accept what validation rows show to be reliable, write a list.

The list, ``path,label,weight`` as CSV, is what ``dltool fit --extra`` takes; a row's weight is the precision to expect
of its class. Relative paths in it count from the list's own folder. ``settings.into`` gets links to the accepted files
as a tree of class folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dltool.errors import DataError, ShortError, UsageError
from dltool.modelfile.atomic import check_target
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.settings import PseudoLabelSettings
from dltool.training.confusion import wilson_interval
from dltool.training.objective import class_indices
from dltool.training.pseudo_labels import (
    Precision,
    Scores,
    accepted,
    drifts,
    find_thresholds,
    given_thresholds,
    precisions,
    rows_needed,
    together,
)
from dltool.workflows.model_data import class_names, label_names
from dltool.workflows.plugin_record import differences
from dltool.workflows.pseudo_labels.path_lists import Row, write_list
from dltool.workflows.pseudo_labels.result import ClassResult, PseudoLabelResult
from dltool.workflows.pseudo_labels.scoring import Examined, Labelled, Pool, Progress, examine, labelled, score_pool
from dltool.workflows.sorting import Sorter, check_inputs, folder_names

DEFAULT_PRECISION = 0.95


@dataclass(frozen=True)
class Task:
    """What labels what, all of it opened. ``names`` are those of the classes; ``sorter`` makes links, None: no."""

    saved: SavedModel
    names: tuple[str, ...]
    known: Labelled
    sorter: Sorter | None


def run(settings: PseudoLabelSettings, progress: Progress | None = None) -> PseudoLabelResult:
    """Label a pool and write what ``settings.output`` and ``settings.into`` name.

    Raises:
        UsageError: the model gives no classes, or options contradict each other.
        DataError: the validation rows are too few, or the model is no better than the most frequent class.
        ShortError: no row was accepted, or none could be read; nothing is written.
    """
    check(settings)
    task = prepared(settings)
    result = label(settings, task, examine(settings, task.saved, task.known.validation), progress)
    write_result(settings, result, settings.force)
    link_result(task, result)
    return result


def check(settings: PseudoLabelSettings) -> None:
    """Raise what can be found out without opening the model."""
    if settings.threshold is not None and settings.min_precision is not None:
        raise UsageError("--threshold: cannot be combined with --min-precision; give one of the two")
    if settings.min_precision is not None and not 0 < settings.min_precision < 1:
        raise UsageError(f"--min-precision: {settings.min_precision} is no part of 1; give a number like 0.95")
    check_pool(settings)
    if settings.output is not None:
        check_target(settings.output, overwrite=settings.force)
    if settings.into is not None:
        check_inputs(settings.unlabelled, "--into")
        Sorter(settings.into, {}, "--into")


def check_pool(settings: PseudoLabelSettings) -> None:
    if not settings.unlabelled:
        raise UsageError("--unlabelled: missing; give a folder of images, as --unlabelled pool/")
    for path in settings.unlabelled:
        if not os.path.exists(path):
            raise DataError(f"{path}: does not exist; check the path of --unlabelled")


def prepared(settings: PseudoLabelSettings) -> Task:
    """The model and the labelled rows. Raises UsageError for a model without classes."""
    saved, names = classifier(settings)
    known = labelled(settings, saved)
    found = (known.opened.train if known.opened else known.validation).classes
    if saved.classes is None and found is not None and len(found) == len(names):
        names = found
    sorter = None
    if settings.into is not None:
        sorter = Sorter(settings.into, folder_names(names, "--into"), "--into")
        sorter.check_empty(settings.force)
    return Task(saved, names, known, sorter)


def classifier(settings: PseudoLabelSettings) -> tuple[SavedModel, tuple[str, ...]]:
    """The model and the names of its classes. Raises UsageError where it has none."""
    saved = read(settings.model, with_state=False)
    count = len(saved.model.graph.outputs)
    if count > 1:
        raise UsageError(f"{settings.model}: has {count} outputs; pseudo-label needs a classifier with one")
    saved.classes = class_names(settings.data, saved)
    names = label_names(saved)
    if names is None:
        raise UsageError(f"{settings.model}: gives numbers, not classes; pseudo-label needs a classifier")
    return saved, names


def label(
    settings: PseudoLabelSettings, task: Task, examined: Examined, progress: Progress | None
) -> PseudoLabelResult:
    """What the model says of the pool; nothing is written. ``examined`` is the model on the validation rows."""
    names, known, right = task.names, task.known, examined.right
    counts = np.bincount(class_indices(known.validation.labels), minlength=len(names))
    check_model(settings, counts, right, names)
    thresholds = chosen_thresholds(settings, examined.seen, right, names)
    pool = score_pool(settings, known.files, examined.judge, progress)
    rows = accepted(pool.scores, thresholds, settings.max_per_class)
    if not len(rows):
        raise ShortError(
            f"{settings.unlabelled[0]}: no row of {len(pool.scores):,} reaches its threshold; give a lower "
            "--threshold or --min-precision, or train the model longer"
        )
    measured = precisions(examined.seen, right, thresholds)
    classes = per_class(names, thresholds, measured, pool.scores.predicted[rows], known.labels)
    return PseudoLabelResult(
        rows=tuple(listed(pool, rows, classes)),
        scored=len(pool.scores),
        failed=tuple(pool.failed),
        classes=classes,
        precision=sum(c.accepted * c.expected for c in classes) / len(rows),
        interval=together(measured).interval,
        accuracy=examined.accuracy,
        majority=float(counts.max() / counts.sum()),
        drifts=tuple(drifts(examined.seen, pool.scores, len(names))),
        temperature=examined.temperature,
        notes=(*differences(task.saved.recipe, settings.plugins), *pool.notes),
    )


def check_model(settings: PseudoLabelSettings, counts: np.ndarray, right: np.ndarray, names: tuple[str, ...]) -> None:
    """Refuse what cannot give good labels.

    Too few validation rows: fewer than ``rows_needed``, or none of a class. Not better than always naming the most
    frequent class: Wilson's 95 % interval of the accuracy reaches down to that class's share.

    Args:
        counts: (classes,) validation rows. right: (n,) whether the model is.
    """
    source = settings.val[0] if settings.val else settings.data.data[0]
    precision = settings.min_precision or (DEFAULT_PRECISION if settings.threshold is None else 0.5)
    if len(right) < rows_needed(precision):
        what = "to find thresholds for" if settings.threshold is None else "to estimate"
        raise DataError(
            f"{source}: {len(right)} validation rows are too few {what} a precision of {precision:g}; "
            f"give at least {rows_needed(precision)}"
        )
    if not counts.all():
        raise DataError(
            f"{source}: no validation row is of class {names[int(counts.argmin())]!r}; each class needs some, so that "
            "its precision can be estimated"
        )
    majority = float(counts.max() / counts.sum())
    if wilson_interval(int(right.sum()), len(right))[0] <= majority:
        raise DataError(
            f"{settings.model}: is right on {right.mean():.3f} of the validation rows, and always saying "
            f"{names[int(counts.argmax())]!r} on {majority:.3f}; its labels are worth nothing, train it first"
        )


def chosen_thresholds(
    settings: PseudoLabelSettings, seen: Scores, right: np.ndarray, names: tuple[str, ...]
) -> np.ndarray:
    if settings.threshold is not None:
        return given_thresholds(settings.threshold, names)
    return find_thresholds(seen, right, len(names), settings.min_precision or DEFAULT_PRECISION)


def write_result(settings: PseudoLabelSettings, result: PseudoLabelResult, overwrite: bool) -> None:
    """Write the list, if one was named. Raises UsageError before that where what shall be linked is no file."""
    if settings.into is not None:
        for path, _, _ in result.rows:
            if not os.path.isfile(path):
                raise UsageError(f"--into: {path} is no file that can be linked; leave --into out and take the list")
    if settings.output is not None:
        write_list(result.rows, settings.output, overwrite)


def link_result(task: Task, result: PseudoLabelResult) -> None:
    """Make the links, if a folder was named for them; those of an earlier list go."""
    if task.sorter is None:
        return
    task.sorter.clear()
    for path, name, _ in result.rows:
        task.sorter.link(path, name)


# What is told


def per_class(
    names: tuple[str, ...], thresholds: np.ndarray, seen: list[Precision], taken: np.ndarray, labels: np.ndarray
) -> tuple[ClassResult, ...]:
    counts = np.bincount(taken, minlength=len(names))
    known = np.bincount(labels, minlength=len(names))
    shares, known_shares = counts / counts.sum(), known / known.sum()
    prior = together(seen).expected(0.5)
    columns = (
        names,
        thresholds.tolist(),
        counts.tolist(),
        seen,
        [p.expected(prior) for p in seen],
        shares.tolist(),
        known_shares.tolist(),
    )
    return tuple(ClassResult(*row) for row in zip(*columns, strict=True))


def listed(pool: Pool, rows: np.ndarray, classes: tuple[ClassResult, ...]) -> Iterator[Row]:
    """What the list says of the accepted rows."""
    for row in rows.tolist():
        found = classes[pool.scores.predicted[row]]
        yield pool.paths[row], found.name, round(found.expected, 4)
