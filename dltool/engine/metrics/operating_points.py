"""The best of one measure among all thresholds at which another is good enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dltool.engine.metrics.base import METRICS, Array, Metric, ratios, rows_of
from dltool.errors import UsageError


@dataclass
class OperatingPoint(Metric):
    """Counts at ``num_thresholds`` even thresholds from 0 to 1; an output says yes above one.

    ``class_id`` looks at one output column only; else several are pooled. Where no threshold is good enough the
    result is 0, as in Keras.
    """

    num_thresholds: int = 200
    class_id: int | None = None

    wanted: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if not 0 <= getattr(self, self.wanted) <= 1:
            raise UsageError(f"metric {self.registered}: {self.wanted} is {getattr(self, self.wanted)}; give 0 to 1")
        if self.num_thresholds < 1:
            raise UsageError(f"metric {self.registered}: num_thresholds is {self.num_thresholds}; give at least 1")
        super().__post_init__()

    def reset(self) -> None:
        # Per number of thresholds below an output: weights of the positive and of the negative outputs.
        self._positive = np.zeros(self.num_thresholds + 1)
        self._negative = np.zeros(self.num_thresholds + 1)

    def update(self, y_true: Array, y_pred: Array, weights: Array | None = None) -> None:
        truth = rows_of(np.asarray(y_true), y_pred) != 0
        if self.class_id is not None:
            truth, y_pred = truth[..., self.class_id], y_pred[..., self.class_id]
        many = self.num_thresholds > 1
        thresholds = np.linspace(0, 1, self.num_thresholds) if many else np.array([0.5])
        below = np.searchsorted(thresholds.astype(y_pred.dtype), y_pred.reshape(-1), side="left")
        scale = np.ones(len(y_pred)) if weights is None else np.asarray(weights, np.float64)
        scale = np.repeat(scale, y_pred.size // max(1, len(y_pred)))
        for counts, mask in ((self._positive, truth.reshape(-1)), (self._negative, ~truth.reshape(-1))):
            counts += np.bincount(below[mask], scale[mask], minlength=self.num_thresholds + 1)

    def rates(self) -> dict[str, Array]:
        """Every measure at every threshold."""
        hits, alarms = (np.cumsum(counts[::-1])[::-1][1:] for counts in (self._positive, self._negative))
        recall = ratios(hits, np.full_like(hits, self._positive.sum()))
        negatives = np.full_like(alarms, self._negative.sum())
        specificity = ratios(negatives - alarms, negatives)
        precision = ratios(hits, hits + alarms)
        return {"precision": precision, "recall": recall, "sensitivity": recall, "specificity": specificity}

    def best(self, measure: str) -> float:
        """The largest ``measure`` where the wanted one is reached."""
        rates = self.rates()
        enough = rates[self.wanted] >= getattr(self, self.wanted)
        return float(rates[measure][enough].max(initial=0.0))


@METRICS.register("precision_at_recall", "PrecisionAtRecall")
@dataclass
class PrecisionAtRecall(OperatingPoint):
    """The best precision at a recall of at least ``recall``."""

    recall: float = 0.5

    keras_class: ClassVar[str] = "PrecisionAtRecall"
    registered: ClassVar[str] = "precision_at_recall"
    short: ClassVar[str] = "prec"
    wanted: ClassVar[str] = "recall"

    def result(self) -> float:
        return self.best("precision")


@METRICS.register("recall_at_precision", "RecallAtPrecision")
@dataclass
class RecallAtPrecision(OperatingPoint):
    """The best recall at a precision of at least ``precision``."""

    precision: float = 0.5

    keras_class: ClassVar[str] = "RecallAtPrecision"
    registered: ClassVar[str] = "recall_at_precision"
    short: ClassVar[str] = "rec"
    wanted: ClassVar[str] = "precision"

    def result(self) -> float:
        return self.best("recall")


@METRICS.register("sensitivity_at_specificity", "SensitivityAtSpecificity")
@dataclass
class SensitivityAtSpecificity(OperatingPoint):
    """The best share of positives found where at least ``specificity`` of the negatives are left alone."""

    specificity: float = 0.5

    keras_class: ClassVar[str] = "SensitivityAtSpecificity"
    registered: ClassVar[str] = "sensitivity_at_specificity"
    short: ClassVar[str] = "sens"
    wanted: ClassVar[str] = "specificity"

    def result(self) -> float:
        return self.best("sensitivity")


@METRICS.register("specificity_at_sensitivity", "SpecificityAtSensitivity")
@dataclass
class SpecificityAtSensitivity(OperatingPoint):
    """The best share of negatives left alone where at least ``sensitivity`` of the positives are found."""

    sensitivity: float = 0.5

    keras_class: ClassVar[str] = "SpecificityAtSensitivity"
    registered: ClassVar[str] = "specificity_at_sensitivity"
    short: ClassVar[str] = "spec"
    wanted: ClassVar[str] = "sensitivity"

    def result(self) -> float:
        return self.best("specificity")
