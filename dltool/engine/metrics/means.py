"""Means over positions: accuracies and errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dltool.engine.metrics.base import (
    METRICS,
    Array,
    MeanMetric,
    classes_of,
    rows_of,
)
from dltool.errors import UsageError


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
        right = np.take_along_axis(y_pred, classes_of(y_true, y_pred)[..., None], axis=-1)
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
        return np.abs(y_pred - rows_of(y_true, y_pred)).mean(axis=-1)


@METRICS.register("mean_squared_error", "mse", "MSE", "MeanSquaredError")
@dataclass
class MeanSquaredError(MeanMetric):
    """Mean of ``(p - t)^2`` over everything."""

    keras_class: ClassVar[str] = "MeanSquaredError"
    registered: ClassVar[str] = "mean_squared_error"
    short: ClassVar[str] = "mse"
    higher_is_better: ClassVar[bool] = False

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return np.square(y_pred - rows_of(y_true, y_pred)).mean(axis=-1)


def _binary_hits(y_true: Array, y_pred: Array, threshold: float) -> Array:
    return (rows_of(y_true, y_pred) == (y_pred > threshold)).mean(axis=-1)


def _class_hits(y_true: Array, y_pred: Array) -> Array:
    return classes_of(y_true, y_pred) == y_pred.argmax(axis=-1)
