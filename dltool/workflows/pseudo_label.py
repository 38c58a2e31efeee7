"""``dltool pseudo-label``: score unlabelled rows, accept what validation rows show to be reliable, write a list.

The list, ``path,label,weight`` as CSV, is what ``dltool fit --extra`` takes; a row's weight is the precision to expect
of its class. Relative paths in it count from the list's own folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.data.dataset import Dataset
from dltool.errors import DataError, ShortError, UsageError
from dltool.modelfile.atomic import check_target
from dltool.modelfile.reading import read
from dltool.settings import PseudoLabelSettings
from dltool.training.confusion import wilson_interval
from dltool.training.objective import class_indices
from dltool.training.pseudo_labels import (
    MOST_DIVERGENCE,
    Drift,
    Precision,
    Scores,
    accepted,
    drifts,
    find_thresholds,
    given_thresholds,
    jensen_shannon,
    precisions,
    rows_needed,
    together,
)
from dltool.workflows.finetune_stages import shortened
from dltool.workflows.model_data import label_names
from dltool.workflows.path_lists import Row, write_list
from dltool.workflows.pseudo_scoring import Pool, Progress, labelled, score, score_pool

SCHEMA = "dltool.pseudo-label/1"
DEFAULT_PRECISION = 0.95


@dataclass(frozen=True)
class ClassResult:
    """One class.

    Attributes:
        threshold: the least probability accepted; infinity accepts none. accepted: how many rows were.
        precision: of the accepted validation rows. expected: that of the accepted rows of the pool; a class with few
            validation rows is expected to be like the others.
        share: the class's part of the accepted rows. train_share: its part of the labelled ones.
    """

    name: str
    threshold: float
    accepted: int
    precision: Precision
    expected: float
    share: float
    train_share: float


@dataclass(frozen=True)
class PseudoLabelResult:
    """Attributes:
    rows: (path, label, weight) of every accepted row, in the order of the input.
    scored: rows that could be read. failed: what is wrong with the others.
    classes: in the order of the model's outputs.
    precision: to expect of all accepted rows together; interval: what the validation rows leave open, at 95 %.
    accuracy, majority: of the model, and of the most frequent class, on the validation rows.
    drifts: the pool against the validation rows.
    notes: sentences for the user.
    """

    rows: tuple[tuple[str, str, float], ...]
    scored: int
    failed: tuple[str, ...]
    classes: tuple[ClassResult, ...]
    precision: float
    interval: tuple[float, float]
    accuracy: float
    majority: float
    drifts: tuple[Drift, ...]
    notes: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against using the list."""
        return (*drift_warnings(self.drifts), *(missing_warning(self.classes) or balance_warning(self.classes)))

    def as_json(self) -> dict[str, Any]:
        """The documented form of ``--json``."""
        return {
            "schema": SCHEMA,
            "scored": self.scored,
            "accepted": len(self.rows),
            "failed": len(self.failed),
            "precision": {"value": self.precision, "low": self.interval[0], "high": self.interval[1]},
            "accuracy": self.accuracy,
            "majority": self.majority,
            "classes": [_class_as_json(found) for found in self.classes],
            "drift": {d.what: {"divergence": d.divergence, "warned": d.is_warned} for d in self.drifts},
            "warnings": list(self.warnings),
        }


def run(settings: PseudoLabelSettings, progress: Progress | None = None) -> PseudoLabelResult:
    """Label a pool and, with ``settings.output``, write the list.

    Raises:
        UsageError: the model gives no classes, or options contradict each other.
        DataError: the validation rows are too few, or the model is no better than the most frequent class.
        ShortError: no row was accepted, or none could be read; nothing is written.
    """
    check(settings)
    saved = read(settings.model, with_state=False)
    names = label_names(saved)
    if names is None:
        raise UsageError(f"{settings.model}: gives numbers, not classes; pseudo-label needs a classifier")
    opened, validation = labelled(settings, saved)
    seen, right = score(settings, saved, validation)
    check_model(settings, validation, right, names)
    thresholds = chosen_thresholds(settings, seen, right, names)
    pool = score_pool(settings, names, opened, progress)
    rows = accepted(pool.scores, thresholds, settings.max_per_class)
    if not len(rows):
        raise ShortError(
            f"{settings.unlabelled[0]}: no row of {len(pool.scores):,} reaches its threshold; give a lower "
            "--threshold or --min-precision, or train the model longer"
        )
    labels = class_indices((opened.train if opened else validation).labels)
    measured = precisions(seen, right, thresholds)
    classes = per_class(names, thresholds, measured, pool.scores.predicted[rows], labels)
    counts = np.bincount(class_indices(validation.labels))
    result = PseudoLabelResult(
        rows=tuple(listed(pool, rows, classes)),
        scored=len(pool.scores),
        failed=tuple(pool.failed),
        classes=classes,
        precision=sum(c.accepted * c.expected for c in classes) / len(rows),
        interval=together(measured).interval,
        accuracy=float(right.mean()),
        majority=float(counts.max() / counts.sum()),
        drifts=tuple(drifts(seen, pool.scores, len(names))),
        notes=(f"left out {pool.num_known:,} rows that are labelled in --data",) if pool.num_known else (),
    )
    if settings.output is not None:
        write_list(result.rows, settings.output, settings.force)
    return result


def check(settings: PseudoLabelSettings) -> None:
    if settings.threshold is not None and settings.min_precision is not None:
        raise UsageError("--threshold: cannot be combined with --min-precision; give one of the two")
    if settings.min_precision is not None and not 0 < settings.min_precision < 1:
        raise UsageError(f"--min-precision: {settings.min_precision} is no part of 1; give a number like 0.95")
    if not settings.unlabelled:
        raise UsageError("--unlabelled: missing; give a folder of images, as --unlabelled pool/")
    for path in settings.unlabelled:
        if not os.path.exists(path):
            raise DataError(f"{path}: does not exist; check the path of --unlabelled")
    if settings.output is not None:
        check_target(settings.output, overwrite=settings.force)


def check_model(settings: PseudoLabelSettings, validation: Dataset, right: np.ndarray, names: tuple[str, ...]) -> float:
    """Refuse what cannot give good labels; returns the share of the most frequent class."""
    source = settings.val[0] if settings.val else settings.data.data[0]
    precision = settings.min_precision or (DEFAULT_PRECISION if settings.threshold is None else 0.5)
    if len(right) < rows_needed(precision):
        what = "to find thresholds for" if settings.threshold is None else "to estimate"
        raise DataError(
            f"{source}: {len(right)} validation rows are too few {what} a precision of {precision:g}; "
            f"give at least {rows_needed(precision)}"
        )
    counts = np.bincount(class_indices(validation.labels), minlength=len(names))
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


def drift_warnings(found: tuple[Drift, ...]) -> list[str]:
    return [
        f"the pool differs from the validation rows in {d.what} (divergence {d.divergence:.3f}, above "
        f"{MOST_DIVERGENCE:g}); the estimated precision may not hold, so look at some accepted rows"
        for d in found
        if d.is_warned
    ]


def missing_warning(classes: tuple[ClassResult, ...]) -> list[str]:
    """Whether classes are left out. 9,000 rows of five of MNIST's digits took a network from 95 to 87 %."""
    names = [found.name for found in classes if not found.accepted and found.train_share]
    if not names:
        return []
    return [
        f"no row of class {', '.join(shortened(names))} is accepted, and a training with such a list unlearns what it "
        "lacks; give a lower --min-precision or a --threshold"
    ]


def balance_warning(classes: tuple[ClassResult, ...]) -> list[str]:
    """Whether the accepted rows would shift the class balance of the training set."""
    shares = np.array([found.share for found in classes])
    known = np.array([found.train_share for found in classes])
    if jensen_shannon(shares, known) < MOST_DIVERGENCE:
        return []
    worst = classes[int(np.abs(shares - known).argmax())]
    return [
        f"the accepted rows are out of balance: {worst.share:.0%} {worst.name}, of the labelled rows "
        f"{worst.train_share:.0%}; --max-per-class N limits it"
    ]


def _class_as_json(found: ClassResult) -> dict[str, Any]:
    low, high = found.precision.interval
    return {
        "class": found.name,
        "threshold": found.threshold if np.isfinite(found.threshold) else None,
        "accepted": found.accepted,
        "expected": found.expected,
        "precision": {"value": found.precision.value, "low": low, "high": high, "n": found.precision.total},
        "share": found.share,
        "train_share": found.train_share,
    }
