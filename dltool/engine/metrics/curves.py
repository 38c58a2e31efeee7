"""Areas under curves over all thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dltool.engine.metrics.base import (
    METRICS,
    Array,
    Metric,
    ratios,
    rows_of,
)
from dltool.errors import UsageError


@METRICS.register("auc", "AUC")
@dataclass
class AUC(Metric):
    """Area under the ROC curve (``curve="PR"``: precision over recall), from counts at fixed thresholds, as Keras.

    Outputs are taken as probabilities; several columns are pooled, or with ``multi_label`` averaged. The thresholds
    are ``num_thresholds`` even ones from just below 0 to just above 1, or the given ``thresholds`` between these two.
    ``num_labels`` is kept for Keras, which needs it; the outputs say it here.
    Source for the interpolation of "PR": Davis and Goadrich, The relationship between precision-recall and ROC curves,
    2006.
    """

    num_thresholds: int = 200
    curve: str = "ROC"
    summation_method: str = "interpolation"
    thresholds: tuple[float, ...] | None = None
    multi_label: bool = False
    num_labels: int | None = None

    keras_class: ClassVar[str] = "AUC"
    registered: ClassVar[str] = "auc"
    short: ClassVar[str] = "auc"
    fixed: ClassVar[dict[str, Any]] = {
        "label_weights": None,
        "from_logits": False,
    }

    def __post_init__(self) -> None:
        if self.curve not in ("ROC", "PR"):
            raise UsageError(f"metric auc: curve {self.curve!r}; use ROC or PR")
        if self.summation_method not in ("interpolation", "minoring", "majoring"):
            raise UsageError(
                f"metric auc: summation_method {self.summation_method!r}; use interpolation, minoring or majoring"
            )
        if self.thresholds is not None:
            self.thresholds = tuple(sorted(self.thresholds))
            self.num_thresholds = len(self.thresholds) + 2
        if self.num_thresholds < 2:
            raise UsageError(f"metric auc: num_thresholds is {self.num_thresholds}; give at least 2")
        super().__post_init__()

    def reset(self) -> None:
        # Per column (one when they are pooled) and bucket between two thresholds: weights of the positive and of the
        # negative outputs that fall there.
        self._positive = np.zeros((1, self.num_thresholds))
        self._negative = np.zeros((1, self.num_thresholds))

    def update(self, y_true: Array, y_pred: Array, weights: Array | None = None) -> None:
        columns = y_pred.shape[-1] if self.multi_label else 1
        truth = (rows_of(np.asarray(y_true), y_pred) != 0).reshape(-1)
        buckets = self._buckets(y_pred.reshape(-1)) + np.arange(y_pred.size) % columns * self.num_thresholds
        per_output = None
        if weights is not None:
            per_output = np.repeat(np.asarray(weights, np.float64), y_pred.size // len(y_pred))
        self._positive = self._positive + self._counts(buckets, truth, per_output, columns)
        self._negative = self._negative + self._counts(buckets, ~truth, per_output, columns)

    def _counts(self, buckets: Array, mask: Array, per_output: Array | None, columns: int) -> Array:
        """(columns, thresholds) weights of the outputs of ``mask`` in each bucket."""
        chosen = None if per_output is None else per_output[mask]
        return np.bincount(buckets[mask], chosen, minlength=columns * self.num_thresholds).reshape(columns, -1)

    def _buckets(self, p: Array) -> Array:
        """Index of the highest threshold below each output."""
        if self.thresholds is not None:
            return np.searchsorted(np.asarray(self.thresholds, p.dtype), p, side="left")
        # Keras's arithmetic, in the float type of p: outputs on a threshold fall as they do there.
        scaled = np.ceil(np.clip(p, 0, 1) * p.dtype.type(self.num_thresholds - 1)) - 1
        return np.fmax(scaled, 0).astype(np.int64)  # fmax: NaN says no

    def result(self) -> float:
        return float(np.mean([self._of_column(*counts) for counts in zip(self._positive, self._negative, strict=True)]))

    def _of_column(self, positive: Array, negative: Array) -> float:
        # An output says yes at every threshold below it: sums from the top.
        tp, fp = (np.cumsum(counts[::-1])[::-1] for counts in (positive, negative))
        fn, tn = tp[0] - tp, fp[0] - fp
        recall = ratios(tp, tp + fn)
        if self.curve == "ROC":
            return self._area(ratios(fp, fp + tn), recall)
        if self.summation_method == "interpolation":
            return _precision_recall_area(tp, fp, fn)
        return self._area(recall, ratios(tp, tp + fp))

    def _area(self, x: Array, y: Array) -> float:
        """Area under y(x), x falling; between two points the mean, the smaller or the larger y."""
        if self.summation_method == "interpolation":
            heights = (y[:-1] + y[1:]) / 2
        else:
            choose = np.minimum if self.summation_method == "minoring" else np.maximum
            heights = choose(y[:-1], y[1:])
        return float(((x[:-1] - x[1:]) * heights).sum())


def _precision_recall_area(tp: Array, fp: Array, fn: Array) -> float:
    """Area under precision over recall, where true positives grow linearly with positives between two thresholds."""
    positives = tp + fp
    gained = tp[:-1] - tp[1:]
    slope = ratios(gained, np.maximum(positives[:-1] - positives[1:], 0))
    intercept = tp[1:] - slope * positives[1:]
    both = (positives[:-1] > 0) & (positives[1:] > 0)
    ratio = np.divide(positives[:-1], positives[1:], out=np.ones_like(gained), where=both)
    steps = ratios(slope * (gained + intercept * np.log(ratio)), np.maximum(tp[1:] + fn[1:], 0))
    return float(steps.sum())
