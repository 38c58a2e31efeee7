"""Metrics: what a person reads about predictions, summed over samples in float64. Imports numpy only.

A metric is a dataclass whose fields are its Keras config; ``update`` takes batches, ``result`` gives one number. Sample
weights count as in Keras: ``sum(w * value) / sum(w)`` (a loss divides by the number of samples instead). Class indices
(n,) or (n, 1) are accepted wherever one-hot rows are. An empty metric is 0, as in Keras.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from dltool.errors import DataError, UsageError
from dltool.registry import Registry

Array = np.ndarray

EPSILON = 1e-7

METRICS: Registry[type[Metric]] = Registry("metric")


@dataclass
class Metric:
    """Base of all metrics.

    Attributes:
        name: what histories and messages call it; the registered name unless the config says otherwise.
        keras_class: Keras's class name ("" for ``accuracy``, which Keras writes as a plain string).
        short: a name of a few letters for progress lines.
        higher_is_better: which direction is the good one.
        fixed: Keras config entries that are supported with this value only, so they are not fields.
    """

    name: str = ""

    keras_class: ClassVar[str] = ""
    registered: ClassVar[str] = ""
    short: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    fixed: ClassVar[dict[str, Any]] = {}

    def __post_init__(self) -> None:
        self.name = self.name or self.registered
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        raise NotImplementedError(type(self).__name__)

    def update(self, y_true: Array, y_pred: Array, weights: Array | None = None) -> None:
        """Take in a batch.

        Args:
            y_true: (n, ..., c) like ``y_pred``; or (n, ...) or (n, ..., 1), class indices when c > 1.
            y_pred: (n, ..., c) outputs of the model.
            weights: (n,) sample weights; a row with weight 0 does not count.

        Raises:
            DataError: the targets do not fit the outputs.
        """
        raise NotImplementedError(type(self).__name__)

    def result(self) -> float:
        """The metric over everything since ``reset``."""
        raise NotImplementedError(type(self).__name__)

    def state(self) -> dict[str, Any]:
        """The sums since ``reset`` as values that JSON can hold, exactly."""
        return {name: np.asarray(sums).tolist() for name, sums in vars(self).items() if name.startswith("_")}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave. Raises ValueError, TypeError for what another metric gave."""
        own = self.state()
        if state.keys() != own.keys():
            raise ValueError(f"{self.name} has other sums than {', '.join(map(str, state))}")
        for name, sums in state.items():
            setattr(self, name, np.asarray(sums, np.float64) if isinstance(sums, list) else float(sums))

    def config(self) -> dict[str, Any]:
        """The fields by Keras's names."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass
class MeanMetric(Metric):
    """The weighted mean of a value per position; subclasses say which."""

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """(n, ...) numbers, one per position."""
        raise NotImplementedError(type(self).__name__)

    def reset(self) -> None:
        self._total = self._count = 0.0

    def update(self, y_true: Array, y_pred: Array, weights: Array | None = None) -> None:
        values = self.values(np.asarray(y_true), y_pred)
        if weights is None:
            self._total += float(values.sum(dtype=np.float64))
            self._count += values.size
            return
        per_row = values.reshape(len(values), -1)
        scale = np.asarray(weights, np.float64)
        self._total += float(scale @ per_row.sum(axis=1, dtype=np.float64))
        self._count += float(scale.sum()) * per_row.shape[1]

    def result(self) -> float:
        return _ratio(self._total, self._count)


@METRICS.register("accuracy", "acc")
@dataclass
class Accuracy(MeanMetric):
    """How often the guess is right: binary, sparse or categorical accuracy, whichever fits the output and the targets.

    Keras's rule: one output column means binary (threshold 0.5); more columns with class indices mean sparse, with rows
    of the output's width categorical (also for independent labels; ask for ``binary_accuracy`` there).
    """

    registered: ClassVar[str] = "accuracy"
    short: ClassVar[str] = "acc"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return _binary_hits(y_true, y_pred, 0.5) if y_pred.shape[-1] == 1 else _class_hits(y_true, y_pred)


@METRICS.register("binary_accuracy", "BinaryAccuracy")
@dataclass
class BinaryAccuracy(MeanMetric):
    """Share of labels on the right side of ``threshold``; a value counts as 1 above it."""

    threshold: float = 0.5

    keras_class: ClassVar[str] = "BinaryAccuracy"
    registered: ClassVar[str] = "binary_accuracy"
    short: ClassVar[str] = "acc"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return _binary_hits(y_true, y_pred, self.threshold)


@METRICS.register("categorical_accuracy", "CategoricalAccuracy")
@dataclass
class CategoricalAccuracy(MeanMetric):
    """Share of positions whose largest output is at the largest target (the first one on ties)."""

    keras_class: ClassVar[str] = "CategoricalAccuracy"
    registered: ClassVar[str] = "categorical_accuracy"
    short: ClassVar[str] = "acc"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return _class_hits(y_true, y_pred)


@METRICS.register("sparse_categorical_accuracy", "SparseCategoricalAccuracy")
@dataclass
class SparseCategoricalAccuracy(CategoricalAccuracy):
    """Share of positions whose largest output is at the class index in the targets."""

    keras_class: ClassVar[str] = "SparseCategoricalAccuracy"
    registered: ClassVar[str] = "sparse_categorical_accuracy"


@METRICS.register("top_k_categorical_accuracy", "TopKCategoricalAccuracy")
@dataclass
class TopKCategoricalAccuracy(MeanMetric):
    """Share of positions where fewer than ``k`` outputs are larger than the right class's (ties count as right)."""

    k: int = 5

    keras_class: ClassVar[str] = "TopKCategoricalAccuracy"
    registered: ClassVar[str] = "top_k_categorical_accuracy"
    short: ClassVar[str] = "top-k"

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise UsageError(f"metric {self.registered}: k is {self.k}; give a whole number from 1 up")
        super().__post_init__()

    def values(self, y_true: Array, y_pred: Array) -> Array:
        right = np.take_along_axis(y_pred, _classes(y_true, y_pred)[..., None], axis=-1)
        ahead = (y_pred > right).sum(axis=-1)
        return (ahead < self.k) & np.isfinite(right[..., 0])


@METRICS.register("sparse_top_k_categorical_accuracy", "SparseTopKCategoricalAccuracy")
@dataclass
class SparseTopKCategoricalAccuracy(TopKCategoricalAccuracy):
    """``top_k_categorical_accuracy`` for class indices."""

    keras_class: ClassVar[str] = "SparseTopKCategoricalAccuracy"
    registered: ClassVar[str] = "sparse_top_k_categorical_accuracy"


@METRICS.register("mean_absolute_error", "mae", "MAE", "MeanAbsoluteError")
@dataclass
class MeanAbsoluteError(MeanMetric):
    """Mean of ``|p - t|`` over everything."""

    keras_class: ClassVar[str] = "MeanAbsoluteError"
    registered: ClassVar[str] = "mean_absolute_error"
    short: ClassVar[str] = "mae"
    higher_is_better: ClassVar[bool] = False

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return np.abs(y_pred - _rows(y_true, y_pred)).mean(axis=-1)


@METRICS.register("mean_squared_error", "mse", "MSE", "MeanSquaredError")
@dataclass
class MeanSquaredError(MeanMetric):
    """Mean of ``(p - t)^2`` over everything."""

    keras_class: ClassVar[str] = "MeanSquaredError"
    registered: ClassVar[str] = "mean_squared_error"
    short: ClassVar[str] = "mse"
    higher_is_better: ClassVar[bool] = False

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return np.square(y_pred - _rows(y_true, y_pred)).mean(axis=-1)


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
        truth = _rows(np.asarray(y_true), y_pred) != 0
        guess = self.guesses(y_pred)
        self._hits = self._hits + _column_sums(truth & guess, weights)
        self._false_alarms = self._false_alarms + _column_sums(~truth & guess, weights)
        self._misses = self._misses + _column_sums(truth & ~guess, weights)


@dataclass
class ThresholdCount(CountMetric):
    """Yes means above ``thresholds`` (0.5), or among the ``top_k`` outputs; ``class_id`` looks at one column only."""

    thresholds: float | None = None
    top_k: int | None = None
    class_id: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.thresholds, list | tuple):
            if len(self.thresholds) != 1:
                raise UsageError(f"metric {self.registered}: {len(self.thresholds)} thresholds; give one number")
            (self.thresholds,) = self.thresholds
        super().__post_init__()

    def guesses(self, y_pred: Array) -> Array:
        if self.top_k is None:
            return y_pred > (0.5 if self.thresholds is None else self.thresholds)
        order = np.argsort(-y_pred, axis=-1, kind="stable")
        among = np.zeros(y_pred.shape, bool)
        np.put_along_axis(among, order[..., : self.top_k], True, axis=-1)
        return among if self.thresholds is None else among & (y_pred > self.thresholds)

    def _share(self, others: Array | float) -> float:
        """hits / (hits + others), over all columns or the one of ``class_id``."""
        pick = slice(None) if self.class_id is None else self.class_id
        hits, others = (float(np.sum(np.atleast_1d(counts)[pick])) for counts in (self._hits, others))
        return _ratio(hits, hits + others)


@METRICS.register("precision", "Precision")
@dataclass
class Precision(ThresholdCount):
    """How many of the yes-guesses are right, over all output columns together."""

    keras_class: ClassVar[str] = "Precision"
    registered: ClassVar[str] = "precision"
    short: ClassVar[str] = "prec"

    def result(self) -> float:
        return self._share(self._false_alarms)


@METRICS.register("recall", "Recall")
@dataclass
class Recall(ThresholdCount):
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
            return _ratio(float(occurring @ scores), float(occurring.sum()))
        return float(scores.mean())


@METRICS.register("f1_score", "f1", "F1Score")
@dataclass
class F1Score(FBetaScore):
    """``fbeta_score`` with beta 1: the harmonic mean of precision and recall."""

    keras_class: ClassVar[str] = "F1Score"
    registered: ClassVar[str] = "f1_score"
    short: ClassVar[str] = "f1"
    fixed: ClassVar[dict[str, Any]] = {"beta": 1.0}


@METRICS.register("auc", "AUC")
@dataclass
class AUC(Metric):
    """Area under the ROC curve (``curve="PR"``: precision over recall), from counts at fixed thresholds, as Keras.

    Outputs are taken as probabilities; several columns are pooled. The thresholds are ``num_thresholds`` even ones
    from just below 0 to just above 1, or the given ``thresholds`` between these two.
    Source for the interpolation of "PR": Davis and Goadrich, The relationship between precision-recall and ROC curves,
    2006.
    """

    num_thresholds: int = 200
    curve: str = "ROC"
    summation_method: str = "interpolation"
    thresholds: tuple[float, ...] | None = None

    keras_class: ClassVar[str] = "AUC"
    registered: ClassVar[str] = "auc"
    short: ClassVar[str] = "auc"
    fixed: ClassVar[dict[str, Any]] = {
        "multi_label": False,
        "num_labels": None,
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
        # Per bucket between two thresholds: weights of the positive and of the negative outputs that fall there.
        self._positive = np.zeros(self.num_thresholds)
        self._negative = np.zeros(self.num_thresholds)

    def update(self, y_true: Array, y_pred: Array, weights: Array | None = None) -> None:
        truth = (_rows(np.asarray(y_true), y_pred) != 0).reshape(-1)
        buckets = self._buckets(y_pred.reshape(-1))
        per_output = None
        if weights is not None:
            per_output = np.repeat(np.asarray(weights, np.float64), y_pred.size // len(y_pred))
        for counts, mask in ((self._positive, truth), (self._negative, ~truth)):
            chosen = None if per_output is None else per_output[mask]
            counts += np.bincount(buckets[mask], chosen, minlength=self.num_thresholds)

    def _buckets(self, p: Array) -> Array:
        """Index of the highest threshold below each output."""
        if self.thresholds is not None:
            return np.searchsorted(np.asarray(self.thresholds, p.dtype), p, side="left")
        # Keras's arithmetic, in the float type of p: outputs on a threshold fall as they do there.
        scaled = np.ceil(np.clip(p, 0, 1) * p.dtype.type(self.num_thresholds - 1)) - 1
        return np.fmax(scaled, 0).astype(np.int64)  # fmax: NaN says no

    def result(self) -> float:
        # An output says yes at every threshold below it: sums from the top.
        tp, fp = (np.cumsum(counts[::-1])[::-1] for counts in (self._positive, self._negative))
        fn, tn = tp[0] - tp, fp[0] - fp
        recall = _ratios(tp, tp + fn)
        if self.curve == "ROC":
            return self._area(_ratios(fp, fp + tn), recall)
        if self.summation_method == "interpolation":
            return _precision_recall_area(tp, fp, fn)
        return self._area(recall, _ratios(tp, tp + fp))

    def _area(self, x: Array, y: Array) -> float:
        """Area under y(x), x falling; between two points the mean, the smaller or the larger y."""
        if self.summation_method == "interpolation":
            heights = (y[:-1] + y[1:]) / 2
        else:
            choose = np.minimum if self.summation_method == "minoring" else np.maximum
            heights = choose(y[:-1], y[1:])
        return float(((x[:-1] - x[1:]) * heights).sum())


def metric(value: str | dict | Metric) -> Metric:
    """A fresh metric from its name or its Keras config; a Metric is returned as it is.

    Args:
        value: ``"accuracy"`` (decides by the shapes it meets), ``"auc"``,
            ``{"class_name": "TopKCategoricalAccuracy", "config": {"k": 3}}``, or a Metric.

    Raises:
        UnknownNameError: no such metric.
        UsageError: the config has an entry that is not supported; the message names it.
    """
    if isinstance(value, Metric):
        return value
    if isinstance(value, str):
        return METRICS.get(value)()
    cls = METRICS.get(value["class_name"])
    known = {f.name for f in fields(cls)}
    arguments = {}
    for key, entry in (value.get("config") or {}).items():
        if key in cls.fixed and entry != cls.fixed[key]:
            raise UsageError(f"metric {cls.registered}: {key}={entry!r} is not supported; only {cls.fixed[key]!r} is")
        if key in known:
            arguments[key] = entry
        elif key not in cls.fixed and key != "dtype":
            raise UsageError(f"metric {cls.registered}: has no option {key!r}; it has {', '.join(sorted(known))}")
    return cls(**arguments)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _ratios(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)


def _unfit(y_true: Array, y_pred: Array) -> DataError:
    return DataError(f"metrics: targets of shape {y_true.shape} do not fit outputs of shape {y_pred.shape}")


def _classes(y_true: Array, y_pred: Array) -> Array:
    """(n, ...) class of each position, from class indices or from rows as wide as the output."""
    if y_true.shape == y_pred.shape:
        return y_true.argmax(axis=-1)
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = y_true[..., 0]
    if y_true.shape != y_pred.shape[:-1]:
        raise _unfit(y_true, y_pred)
    return y_true.astype(np.int64, copy=False)


def _rows(y_true: Array, y_pred: Array) -> Array:
    """Targets in the shape of the output: as they are, with the missing last axis, or one-hot from class indices."""
    if y_true.shape == y_pred.shape:
        return y_true
    if y_pred.shape[-1] == 1 and y_true.shape == y_pred.shape[:-1]:
        return y_true[..., None]
    if y_pred.shape[-1] > 1:
        return _classes(y_true, y_pred)[..., None] == np.arange(y_pred.shape[-1])
    raise _unfit(y_true, y_pred)


def _binary_hits(y_true: Array, y_pred: Array, threshold: float) -> Array:
    return (_rows(y_true, y_pred) == (y_pred > threshold)).mean(axis=-1)


def _class_hits(y_true: Array, y_pred: Array) -> Array:
    return _classes(y_true, y_pred) == y_pred.argmax(axis=-1)


def _column_sums(mask: Array, weights: Array | None) -> Array:
    """(c,) float64: per output column the number, or the weight, of the positions where ``mask`` is true."""
    per_row = mask.reshape(len(mask), -1, mask.shape[-1]).sum(axis=1, dtype=np.float64)
    return per_row.sum(axis=0) if weights is None else np.asarray(weights, np.float64) @ per_row


def _precision_recall_area(tp: Array, fp: Array, fn: Array) -> float:
    """Area under precision over recall, where true positives grow linearly with positives between two thresholds."""
    positives = tp + fp
    gained = tp[:-1] - tp[1:]
    slope = _ratios(gained, np.maximum(positives[:-1] - positives[1:], 0))
    intercept = tp[1:] - slope * positives[1:]
    both = (positives[:-1] > 0) & (positives[1:] > 0)
    ratio = np.divide(positives[:-1], positives[1:], out=np.ones_like(gained), where=both)
    steps = _ratios(slope * (gained + intercept * np.log(ratio)), np.maximum(tp[1:] + fn[1:], 0))
    return float(steps.sum())
