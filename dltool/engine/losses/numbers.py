"""Losses of numbers and of distributions: percentages, logarithms, angles, divergences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dltool.engine.losses.core import EPSILON, LOSSES, Array, Loss, mean_last


@LOSSES.register("mean_absolute_percentage_error", "mape", "MAPE", "MeanAbsolutePercentageError")
@dataclass(frozen=True)
class MeanAbsolutePercentageError(Loss):
    """``100 * |p - t| / max(|t|, 1e-7)``, the mean over the last axis."""

    keras_class: ClassVar[str] = "MeanAbsolutePercentageError"

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        target = self._targets(y_true, y_pred)
        error = y_pred - target
        scale = y_pred.dtype.type(100) / np.maximum(np.abs(target), y_pred.dtype.type(EPSILON))
        return mean_last(np.abs(error) * scale, np.sign(error) * scale)


@LOSSES.register("mean_squared_logarithmic_error", "msle", "MSLE", "MeanSquaredLogarithmicError")
@dataclass(frozen=True)
class MeanSquaredLogarithmicError(Loss):
    """``(log(p + 1) - log(t + 1))^2`` with p and t at least 1e-7, the mean over the last axis."""

    keras_class: ClassVar[str] = "MeanSquaredLogarithmicError"

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        least = y_pred.dtype.type(EPSILON)
        p, t = np.maximum(y_pred, least), np.maximum(self._targets(y_true, y_pred), least)
        error = np.log1p(p) - np.log1p(t)
        return mean_last(error * error, 2 * error / (p + 1) * (y_pred > least))


@LOSSES.register("log_cosh", "logcosh", "LogCosh")
@dataclass(frozen=True)
class LogCosh(Loss):
    """``log(cosh(p - t))``, the mean over the last axis: squares of small errors, amounts of large ones."""

    keras_class: ClassVar[str] = "LogCosh"

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        error = y_pred - self._targets(y_true, y_pred)
        size = np.abs(error)  # log(cosh(x)) = |x| + log(1 + exp(-2|x|)) - log(2) cannot overflow
        values = size + np.log1p(np.exp(-2 * size)) - y_pred.dtype.type(np.log(2))
        return mean_last(values, np.tanh(error))


@LOSSES.register("cosine_similarity", "CosineSimilarity")
@dataclass(frozen=True)
class CosineSimilarity(Loss):
    """Minus the cosine of the angle between p and t along the last axis: -1 where they point the same way."""

    keras_class: ClassVar[str] = "CosineSimilarity"
    fixed: ClassVar[dict[str, Any]] = {"axis": -1}

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        target, _ = unit(self._targets(y_true, y_pred))
        p, size = unit(y_pred)
        cosine = (target * p).sum(-1, keepdims=True)
        return -cosine[..., 0], (p * cosine - target) / size


@LOSSES.register("kl_divergence", "kld", "KLD", "KLDivergence")
@dataclass(frozen=True)
class KLDivergence(Loss):
    """``sum(t * log(t / p))`` over the last axis, with t and p kept in [1e-7, 1]."""

    keras_class: ClassVar[str] = "KLDivergence"

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        least = y_pred.dtype.type(EPSILON)
        t, p = np.clip(self._targets(y_true, y_pred), least, 1), np.clip(y_pred, least, 1)
        inside = (y_pred >= least) & (y_pred <= 1)
        return (t * np.log(t / p)).sum(-1), -t / p * inside


@LOSSES.register("poisson", "Poisson")
@dataclass(frozen=True)
class Poisson(Loss):
    """``p - t * log(p + 1e-7)``, the mean over the last axis: for counts t and expected counts p."""

    keras_class: ClassVar[str] = "Poisson"

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        target, shifted = self._targets(y_true, y_pred), y_pred + y_pred.dtype.type(EPSILON)
        return mean_last(y_pred - target * np.log(shifted), 1 - target / shifted)


def unit(x: Array) -> tuple[Array, Array]:
    """Vectors of length 1 along the last axis, and their lengths before (at least 1e-12)."""
    size = np.maximum(np.sqrt(np.square(x).sum(-1, keepdims=True)), x.dtype.type(1e-12))
    return x / size, size
