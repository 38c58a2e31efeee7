"""Means of what losses measure: cross-entropies, percentages, logarithms, angles, margins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from dltool.engine.losses import LOSSES
from dltool.engine.metrics.base import METRICS, Array, MeanMetric, rows_of
from dltool.engine.metrics.means import MeanSquaredError


@dataclass
class LossMetric(MeanMetric):
    """The mean of the loss ``of``, with weights as metrics count them; lower is better."""

    of: ClassVar[str] = ""
    by_name: ClassVar[bool] = False
    higher_is_better: ClassVar[bool] = False

    def values(self, y_true: Array, y_pred: Array) -> Array:
        options = {key: entry for key, entry in self.config().items() if key != "name"}
        return LOSSES.get(self.of)(**options)(rows_of(y_true, y_pred), y_pred)[0]


@METRICS.register("binary_crossentropy", "bce", "BCE", "BinaryCrossentropy")
@dataclass
class BinaryCrossentropy(LossMetric):
    """Mean cross-entropy of independent yes/no labels."""

    from_logits: bool = False
    label_smoothing: float = 0.0

    of: ClassVar[str] = "binary_crossentropy"
    keras_class: ClassVar[str] = "BinaryCrossentropy"
    registered: ClassVar[str] = "binary_crossentropy"
    short: ClassVar[str] = "bce"


@METRICS.register("categorical_crossentropy", "CategoricalCrossentropy")
@dataclass
class CategoricalCrossentropy(LossMetric):
    """Mean cross-entropy of classes, which may be given as rows or as indices."""

    from_logits: bool = False
    label_smoothing: float = 0.0

    of: ClassVar[str] = "categorical_crossentropy"
    keras_class: ClassVar[str] = "CategoricalCrossentropy"
    registered: ClassVar[str] = "categorical_crossentropy"
    short: ClassVar[str] = "ce"
    fixed: ClassVar[dict[str, Any]] = {"axis": -1}


@METRICS.register("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy")
@dataclass
class SparseCategoricalCrossentropy(LossMetric):
    """Mean cross-entropy of classes given as indices."""

    from_logits: bool = False

    of: ClassVar[str] = "categorical_crossentropy"
    keras_class: ClassVar[str] = "SparseCategoricalCrossentropy"
    registered: ClassVar[str] = "sparse_categorical_crossentropy"
    short: ClassVar[str] = "ce"
    fixed: ClassVar[dict[str, Any]] = {"axis": -1, "ignore_class": None}


@METRICS.register("crossentropy", "ce")
@dataclass
class Crossentropy(LossMetric):
    """Mean cross-entropy, binary or of classes, whichever fits the outputs and the targets, as for ``accuracy``."""

    registered: ClassVar[str] = "crossentropy"
    short: ClassVar[str] = "ce"
    by_name: ClassVar[bool] = True

    def values(self, y_true: Array, y_pred: Array) -> Array:
        name = "binary_crossentropy" if y_pred.shape[-1] == 1 else "categorical_crossentropy"
        return LOSSES.get(name)()(rows_of(y_true, y_pred), y_pred)[0]


@METRICS.register("kl_divergence", "kld", "KLD", "kullback_leibler_divergence", "KLDivergence")
@dataclass
class KLDivergence(LossMetric):
    """Mean of ``sum(t * log(t / p))``: how far the outputs' distribution is from the targets'."""

    of: ClassVar[str] = "kl_divergence"
    keras_class: ClassVar[str] = "KLDivergence"
    registered: ClassVar[str] = "kl_divergence"
    short: ClassVar[str] = "kl"


@METRICS.register("poisson", "Poisson")
@dataclass
class Poisson(LossMetric):
    """Mean of ``p - t * log(p)``, for counts."""

    of: ClassVar[str] = "poisson"
    keras_class: ClassVar[str] = "Poisson"
    registered: ClassVar[str] = "poisson"
    short: ClassVar[str] = "poiss"


@METRICS.register("log_cosh_error", "log_cosh", "logcosh", "LogCoshError")
@dataclass
class LogCoshError(LossMetric):
    """Mean of ``log(cosh(p - t))``."""

    of: ClassVar[str] = "log_cosh"
    keras_class: ClassVar[str] = "LogCoshError"
    registered: ClassVar[str] = "log_cosh_error"
    short: ClassVar[str] = "lcosh"


@METRICS.register("cosine_similarity", "cosine_proximity", "CosineSimilarity")
@dataclass
class CosineSimilarity(LossMetric):
    """Mean cosine of the angle between outputs and targets: 1 where they point the same way."""

    of: ClassVar[str] = "cosine_similarity"
    keras_class: ClassVar[str] = "CosineSimilarity"
    registered: ClassVar[str] = "cosine_similarity"
    short: ClassVar[str] = "cos"
    higher_is_better: ClassVar[bool] = True
    fixed: ClassVar[dict[str, Any]] = {"axis": -1}

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return -super().values(y_true, y_pred)


@METRICS.register("hinge", "Hinge")
@dataclass
class Hinge(LossMetric):
    """Mean of ``max(1 - t * p, 0)`` for labels -1 and 1, or 0 and 1."""

    of: ClassVar[str] = "hinge"
    keras_class: ClassVar[str] = "Hinge"
    registered: ClassVar[str] = "hinge"
    short: ClassVar[str] = "hinge"


@METRICS.register("squared_hinge", "SquaredHinge")
@dataclass
class SquaredHinge(LossMetric):
    """Mean of ``max(1 - t * p, 0)^2``."""

    of: ClassVar[str] = "squared_hinge"
    keras_class: ClassVar[str] = "SquaredHinge"
    registered: ClassVar[str] = "squared_hinge"
    short: ClassVar[str] = "hinge2"


@METRICS.register("categorical_hinge", "CategoricalHinge")
@dataclass
class CategoricalHinge(LossMetric):
    """Mean of ``max(1 + largest wrong output - right output, 0)``."""

    of: ClassVar[str] = "categorical_hinge"
    keras_class: ClassVar[str] = "CategoricalHinge"
    registered: ClassVar[str] = "categorical_hinge"
    short: ClassVar[str] = "hinge"


@METRICS.register("mean_absolute_percentage_error", "mape", "MAPE", "MeanAbsolutePercentageError")
@dataclass
class MeanAbsolutePercentageError(LossMetric):
    """Mean of ``100 * |p - t| / |t|``."""

    of: ClassVar[str] = "mean_absolute_percentage_error"
    keras_class: ClassVar[str] = "MeanAbsolutePercentageError"
    registered: ClassVar[str] = "mean_absolute_percentage_error"
    short: ClassVar[str] = "mape"


@METRICS.register("mean_squared_logarithmic_error", "msle", "MSLE", "MeanSquaredLogarithmicError")
@dataclass
class MeanSquaredLogarithmicError(LossMetric):
    """Mean of ``(log(p + 1) - log(t + 1))^2``."""

    of: ClassVar[str] = "mean_squared_logarithmic_error"
    keras_class: ClassVar[str] = "MeanSquaredLogarithmicError"
    registered: ClassVar[str] = "mean_squared_logarithmic_error"
    short: ClassVar[str] = "msle"


@METRICS.register("root_mean_squared_error", "rmse", "RMSE", "RootMeanSquaredError")
@dataclass
class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean of ``(p - t)^2``, in the targets' own unit."""

    keras_class: ClassVar[str] = "RootMeanSquaredError"
    registered: ClassVar[str] = "root_mean_squared_error"
    short: ClassVar[str] = "rmse"
    by_name: ClassVar[bool] = False

    def result(self) -> float:
        return math.sqrt(super().result())
