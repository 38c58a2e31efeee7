"""Counts of hits, false alarms and misses per output: precision, recall, F scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dltool.engine.metrics.base import (
    METRICS,
    Array,
    Metric,
    column_sums,
    ratio,
    rows_of,
)
from dltool.errors import UsageError

EPSILON = 1e-7


def single_threshold(metric: Any) -> float | None:
    """The threshold of a metric for which Keras may hold a list of one. Raises UsageError for several."""
    given = metric.thresholds
    if not isinstance(given, list | tuple):
        return given
    if len(given) != 1:
        raise UsageError(f"metric {metric.registered}: {len(given)} thresholds; give one number")
    return given[0]


@dataclass
class CountMetric(Metric):
    """Weighted counts of right and wrong yes-guesses per output column: true and false positives, false negatives."""

    def guesses(self, y_pred: Array) -> Array:
        """(..., c) bool: which outputs say yes."""
        raise NotImplementedError(type(self).__name__)

    def reset(self) -> None:
        self._hits: Array | float = 0.0
        self._false_alarms: Array | float = 0.0
        self._misses: Array | float = 0.0

    def update(self, y_true: Array, y_pred: Array, weights: Array | None = None) -> None:
        truth = rows_of(np.asarray(y_true), y_pred) != 0
        guess = self.guesses(y_pred)
        self._hits = self._hits + column_sums(truth & guess, weights)
        self._false_alarms = self._false_alarms + column_sums(~truth & guess, weights)
        self._misses = self._misses + column_sums(truth & ~guess, weights)


@dataclass
class ThresholdCount(CountMetric):
    """Yes means above ``thresholds``, 0.5 without."""

    thresholds: float | None = None

    def __post_init__(self) -> None:
        self.thresholds = single_threshold(self)
        super().__post_init__()

    def guesses(self, y_pred: Array) -> Array:
        return y_pred > (0.5 if self.thresholds is None else self.thresholds)


@dataclass
class CellCount(ThresholdCount):
    """How many outputs, or what weight of them, fall into one cell of the table."""

    counted: ClassVar[str] = ""
    """The attribute with the counts."""

    def result(self) -> float:
        return float(np.sum(getattr(self, self.counted)))


@dataclass
class ShareOfCounts(ThresholdCount):
    """A share of two cells; yes may also mean among the ``top_k`` outputs; ``class_id`` looks at one column only."""

    top_k: int | None = None
    class_id: int | None = None

    def guesses(self, y_pred: Array) -> Array:
        if self.top_k is None:
            return super().guesses(y_pred)
        order = np.argsort(-y_pred, axis=-1, kind="stable")
        among = np.zeros(y_pred.shape, bool)
        np.put_along_axis(among, order[..., : self.top_k], True, axis=-1)
        return among if self.thresholds is None else among & (y_pred > self.thresholds)

    def _share(self, others: Array | float) -> float:
        """hits / (hits + others), over all columns or the one of ``class_id``."""
        pick = slice(None) if self.class_id is None else self.class_id
        hits, others = (float(np.sum(np.atleast_1d(counts)[pick])) for counts in (self._hits, others))
        return ratio(hits, hits + others)


@METRICS.register("true_positives", "TruePositives")
@dataclass
class TruePositives(CellCount):
    """How many yes-guesses are right."""

    keras_class: ClassVar[str] = "TruePositives"
    registered: ClassVar[str] = "true_positives"
    short: ClassVar[str] = "tp"
    counted: ClassVar[str] = "_hits"


@METRICS.register("false_positives", "FalsePositives")
@dataclass
class FalsePositives(CellCount):
    """How many yes-guesses are wrong."""

    keras_class: ClassVar[str] = "FalsePositives"
    registered: ClassVar[str] = "false_positives"
    short: ClassVar[str] = "fp"
    counted: ClassVar[str] = "_false_alarms"
    higher_is_better: ClassVar[bool] = False


@METRICS.register("false_negatives", "FalseNegatives")
@dataclass
class FalseNegatives(CellCount):
    """How many no-guesses are wrong."""

    keras_class: ClassVar[str] = "FalseNegatives"
    registered: ClassVar[str] = "false_negatives"
    short: ClassVar[str] = "fn"
    counted: ClassVar[str] = "_misses"
    higher_is_better: ClassVar[bool] = False


@METRICS.register("true_negatives", "TrueNegatives")
@dataclass
class TrueNegatives(CellCount):
    """How many no-guesses are right."""

    keras_class: ClassVar[str] = "TrueNegatives"
    registered: ClassVar[str] = "true_negatives"
    short: ClassVar[str] = "tn"
    counted: ClassVar[str] = "_rejections"

    def reset(self) -> None:
        super().reset()
        self._rejections: Array | float = 0.0

    def update(self, y_true: Array, y_pred: Array, weights: Array | None = None) -> None:
        super().update(y_true, y_pred, weights)
        truth = rows_of(np.asarray(y_true), y_pred) != 0
        self._rejections = self._rejections + column_sums(~truth & ~self.guesses(y_pred), weights)


@METRICS.register("precision", "Precision")
@dataclass
class Precision(ShareOfCounts):
    """How many of the yes-guesses are right, over all output columns together."""

    keras_class: ClassVar[str] = "Precision"
    registered: ClassVar[str] = "precision"
    short: ClassVar[str] = "prec"

    def result(self) -> float:
        return self._share(self._false_alarms)


@METRICS.register("recall", "Recall")
@dataclass
class Recall(ShareOfCounts):
    """How many of the true labels are guessed, over all output columns together."""

    keras_class: ClassVar[str] = "Recall"
    registered: ClassVar[str] = "recall"
    short: ClassVar[str] = "rec"

    def result(self) -> float:
        return self._share(self._misses)


@METRICS.register("fbeta_score", "f_beta", "FBetaScore")
@dataclass
class FBetaScore(CountMetric):
    """``(1 + beta^2) * precision * recall / (beta^2 * precision + recall)`` per class, then averaged.

    ``average``: "macro" (plain mean over classes), "weighted" (by how often a class occurs), "micro" (counts of all
    classes together), or None. Without ``threshold`` the largest output of a row is its guess; a single output column
    then uses 0.5. Deviations from Keras: None gives a vector there, its plain mean here (``scores`` gives the vector);
    and a single column without threshold always says yes there.
    Source: van Rijsbergen, Information Retrieval, 1979.
    """

    average: str | None = None
    beta: float = 1.0
    threshold: float | None = None

    keras_class: ClassVar[str] = "FBetaScore"
    registered: ClassVar[str] = "fbeta_score"
    short: ClassVar[str] = "f-beta"

    def __post_init__(self) -> None:
        if self.average not in (None, "macro", "weighted", "micro"):
            raise UsageError(f"metric {self.registered}: average {self.average!r}; use macro, weighted or micro")
        super().__post_init__()

    def guesses(self, y_pred: Array) -> Array:
        if self.threshold is not None or y_pred.shape[-1] == 1:
            return y_pred > (0.5 if self.threshold is None else self.threshold)
        return (y_pred == y_pred.max(axis=-1, keepdims=True)) & (np.abs(y_pred) > 1e-9)

    def scores(self) -> Array:
        """(classes,) float64, or one number for "micro"."""
        counts = np.stack([np.atleast_1d(c) for c in (self._hits, self._false_alarms, self._misses)])
        if self.average == "micro":
            counts = counts.sum(axis=1, keepdims=True)
        hits, false_alarms, misses = counts
        precision, recall = hits / (hits + false_alarms + EPSILON), hits / (hits + misses + EPSILON)
        square = self.beta**2
        return (1 + square) * precision * recall / (square * precision + recall + EPSILON)

    def result(self) -> float:
        scores = self.scores()
        if self.average == "weighted":
            occurring = np.atleast_1d(self._hits + self._misses)
            return ratio(float(occurring @ scores), float(occurring.sum()))
        return float(scores.mean())


@METRICS.register("f1_score", "f1", "F1Score")
@dataclass
class F1Score(FBetaScore):
    """``fbeta_score`` with beta 1: the harmonic mean of precision and recall."""

    keras_class: ClassVar[str] = "F1Score"
    registered: ClassVar[str] = "f1_score"
    short: ClassVar[str] = "f1"
    fixed: ClassVar[dict[str, Any]] = {"beta": 1.0}
