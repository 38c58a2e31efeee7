"""How much of the targets' variation the outputs explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dltool.engine.metrics.base import METRICS, Array, MeanMetric, Metric, ratio, ratios, rows_of
from dltool.errors import UsageError

AVERAGES = ("uniform_average", "variance_weighted_average", None)


@METRICS.register("r2_score", "r2", "R2Score")
@dataclass
class R2Score(Metric):
    """``1 - sum((p - t)^2) / sum((t - mean(t))^2)`` per output, then averaged; 1 is perfect, 0 as good as the mean.

    ``class_aggregation``: "uniform_average", "variance_weighted_average" (outputs that vary more count more), or None;
    that gives a vector in Keras, its plain mean here (``scores`` gives the vector). ``num_regressors`` p corrects for
    the number of inputs: ``1 - (1 - r2) * (n - 1) / (n - p - 1)``. Source: Wright, Correlation and causation, 1921.
    """

    class_aggregation: str | None = "uniform_average"
    num_regressors: int = 0

    keras_class: ClassVar[str] = "R2Score"
    registered: ClassVar[str] = "r2_score"
    short: ClassVar[str] = "r2"

    def __post_init__(self) -> None:
        if self.class_aggregation not in AVERAGES:
            raise UsageError(
                f"metric r2_score: class_aggregation {self.class_aggregation!r}; use {AVERAGES[0]} or {AVERAGES[1]}"
            )
        if self.num_regressors < 0:
            raise UsageError(f"metric r2_score: num_regressors is {self.num_regressors}; give a number from 0")
        super().__post_init__()

    def reset(self) -> None:
        self._sum: Array | float = 0.0
        self._squares: Array | float = 0.0
        self._left: Array | float = 0.0
        self._count = self._rows = 0.0

    def update(self, y_true: Array, y_pred: Array, weights: Array | None = None) -> None:
        columns = y_pred.shape[-1]
        target = np.asarray(rows_of(np.asarray(y_true), y_pred), np.float64).reshape(-1, columns)
        error = y_pred.reshape(-1, columns) - target
        scale = np.ones(len(y_pred)) if weights is None else np.asarray(weights, np.float64)
        scale = np.repeat(scale, len(target) // max(1, len(y_pred)))
        self._sum = self._sum + scale @ target
        self._squares = self._squares + scale @ target**2
        self._left = self._left + scale @ error**2
        self._count += float(scale.sum())
        self._rows += float(np.count_nonzero(scale))

    def scores(self) -> Array:
        """(outputs,) float64."""
        total = self._variation()
        left = np.atleast_1d(self._left)
        found = np.where(total > 0, 1 - ratios(left, total), 0.0)
        if self.num_regressors and self._rows - self.num_regressors - 1 > 0:
            found = 1 - (1 - found) * (self._rows - 1) / (self._rows - self.num_regressors - 1)
        return found

    def _variation(self) -> Array:
        mean = np.atleast_1d(self._sum) / self._count if self._count else np.zeros(1)
        return np.atleast_1d(self._squares) - np.atleast_1d(self._sum) * mean

    def result(self) -> float:
        scores = self.scores()
        if self.class_aggregation == "variance_weighted_average":
            variation = self._variation()
            return ratio(float(variation @ scores), float(variation.sum()))
        return float(scores.mean()) if self._count else 0.0


@METRICS.register("pearson_correlation", "PearsonCorrelation")
@dataclass
class PearsonCorrelation(MeanMetric):
    """Mean over rows of the correlation between outputs and targets along the last axis; 1 is a straight line upwards.

    Source: Pearson, Note on regression and inheritance in the case of two parents, 1895.
    """

    keras_class: ClassVar[str] = "PearsonCorrelation"
    registered: ClassVar[str] = "pearson_correlation"
    short: ClassVar[str] = "corr"
    by_name: ClassVar[bool] = False
    fixed: ClassVar[dict[str, int]] = {"axis": -1}

    def values(self, y_true: Array, y_pred: Array) -> Array:
        t, p = centred(rows_of(y_true, y_pred)), centred(y_pred)
        return ratios((t * p).sum(-1), np.sqrt((t * t).sum(-1) * (p * p).sum(-1)))


@METRICS.register("concordance_correlation", "ConcordanceCorrelation")
@dataclass
class ConcordanceCorrelation(PearsonCorrelation):
    """As ``pearson_correlation``, but lower where outputs have another mean or spread than the targets.

    Source: Lin, A concordance correlation coefficient to evaluate reproducibility, 1989.
    """

    keras_class: ClassVar[str] = "ConcordanceCorrelation"
    registered: ClassVar[str] = "concordance_correlation"
    short: ClassVar[str] = "ccc"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        target = np.asarray(rows_of(y_true, y_pred), np.float64)
        t, p = centred(target), centred(y_pred)
        apart = target.mean(-1) - y_pred.mean(-1, dtype=np.float64)
        spread = (t * t).mean(-1) + (p * p).mean(-1) + apart**2
        return ratios(2 * (t * p).mean(-1), spread)


def centred(rows: Array) -> Array:
    """Rows less their mean, float64."""
    rows = np.asarray(rows, np.float64)
    return rows - rows.mean(-1, keepdims=True)
