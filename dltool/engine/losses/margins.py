"""Losses with a margin (hinge)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dltool.engine.losses.core import LOSSES, Array, Loss, mean_last


@LOSSES.register("hinge", "Hinge")
@dataclass(frozen=True)
class Hinge(Loss):
    """``max(1 - t * p, 0)`` for labels -1 and 1 (or 0 and 1), the mean over the last axis.

    Deviation from Keras: a 0 always counts as -1; there it does only where all labels of a batch are 0 or 1.
    """

    keras_class: ClassVar[str] = "Hinge"

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        target = signs(self._targets(y_true, y_pred))
        margin = 1 - target * y_pred
        return mean_last(np.maximum(margin, 0), -target * (margin > 0))


@LOSSES.register("squared_hinge", "SquaredHinge")
@dataclass(frozen=True)
class SquaredHinge(Loss):
    """``max(1 - t * p, 0)^2`` for labels as in ``hinge``, the mean over the last axis."""

    keras_class: ClassVar[str] = "SquaredHinge"

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        target = signs(self._targets(y_true, y_pred))
        margin = np.maximum(1 - target * y_pred, 0)
        return mean_last(margin * margin, -2 * target * margin)


@LOSSES.register("categorical_hinge", "CategoricalHinge")
@dataclass(frozen=True)
class CategoricalHinge(Loss):
    """``max(1 + largest wrong output - right output, 0)`` for one-hot targets."""

    keras_class: ClassVar[str] = "CategoricalHinge"

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        target = self._targets(y_true, y_pred)
        wrong = (1 - target) * y_pred
        largest = wrong.max(-1, keepdims=True)
        margin = largest - (target * y_pred).sum(-1, keepdims=True) + 1
        ties = (wrong == largest).astype(y_pred.dtype)
        gradient = ties / ties.sum(-1, keepdims=True) * (1 - target) - target
        return np.maximum(margin, 0)[..., 0], gradient * (margin > 0)


def signs(target: Array) -> Array:
    """Labels of 0 as -1."""
    return np.where(target == 0, target.dtype.type(-1), target)
