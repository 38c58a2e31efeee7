"""What ``dltool pseudo-label`` found: the accepted rows, thresholds and precision of each class, warnings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dltool.training.calibration import Temperature
from dltool.training.pseudo_labels import MOST_DIVERGENCE, Drift, Precision, jensen_shannon
from dltool.workflows.finetuning.stages import shortened

SCHEMA = "dltool.pseudo-label/1"


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
class Round:
    """One training with the labels that the model before it gave.

    Attributes:
        number: from 1. accepted: rows of its list.
        before, after: part of the validation rows that the best model before it, and the new one, are right on.
        kept: it is not worse, so that its model and list are the ones to use so far.
    """

    number: int
    accepted: int
    before: float
    after: float
    kept: bool


@dataclass(frozen=True)
class PseudoLabelResult:
    """Attributes:
    rows: (path, label, weight) of every accepted row, in the order of the input.
    scored: rows that could be read. failed: what is wrong with the others.
    classes: in the order of the model's outputs.
    precision: to expect of all accepted rows together; interval: what the validation rows leave open, at 95 %.
    accuracy, majority: of the model, and of the most frequent class, on the validation rows.
    drifts: the pool against the validation rows.
    temperature: that the probabilities were divided by; None where they are the model's own.
    notes: sentences for the user.
    rounds: what became of the trainings with the list; () without any.
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
    temperature: Temperature | None = None
    notes: tuple[str, ...] = ()
    rounds: tuple[Round, ...] = ()

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
            "calibration": None if self.temperature is None else asdict(self.temperature),
            "rounds": [asdict(found) for found in self.rounds],
            "warnings": list(self.warnings),
        }


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
