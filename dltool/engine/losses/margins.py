"""Losses with a margin (hinge), and losses that look away from what is already right (focal)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dltool.engine.activations import activation
from dltool.engine.losses.core import EPSILON, LOSSES, Array, Loss, clipped, mean_last


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


@LOSSES.register("binary_focal_crossentropy", "BinaryFocalCrossentropy")
@dataclass(frozen=True)
class BinaryFocalCrossentropy(Loss):
    """Binary crossentropy times ``(1 - q)^gamma``, where q is the probability given to the right answer.

    With ``apply_class_balancing`` ones weigh ``alpha`` and zeros ``1 - alpha``. The mean over the last axis.
    Source: Lin et al., "Focal loss for dense object detection", arXiv:1708.02002.
    """

    apply_class_balancing: bool = False
    alpha: float = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0

    keras_class: ClassVar[str] = "BinaryFocalCrossentropy"
    fixed: ClassVar[dict[str, Any]] = {"axis": -1}

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        kind = y_pred.dtype.type
        target = self._targets(y_true, y_pred)
        if self.label_smoothing:
            target = target * kind(1 - self.label_smoothing) + kind(self.label_smoothing / 2)
        given, back = activation("sigmoid" if self.from_logits else "linear")(y_pred)
        p, inside = clipped(given)
        plain = -(target * np.log(p) + (1 - target) * np.log1p(-p))
        wrong = 1 - (target * given + (1 - target) * (1 - given))
        focus = wrong**self.gamma
        slope = self.gamma * np.maximum(wrong, kind(EPSILON)) ** kind(self.gamma - 1) * (1 - 2 * target)
        gradient = focus * ((p - target) / (p * (1 - p)) * inside) + slope * plain
        values = focus * plain
        if self.apply_class_balancing:
            share = target * kind(self.alpha) + (1 - target) * kind(1 - self.alpha)
            values, gradient = values * share, gradient * share
        return mean_last(values, back(gradient))


@LOSSES.register("categorical_focal_crossentropy", "CategoricalFocalCrossentropy")
@dataclass(frozen=True)
class CategoricalFocalCrossentropy(Loss):
    """``sum(alpha * (1 - p)^gamma * -t * log(p))`` for one-hot targets. Source: see ``binary_focal_crossentropy``."""

    alpha: float = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0

    keras_class: ClassVar[str] = "CategoricalFocalCrossentropy"
    fixed: ClassVar[dict[str, Any]] = {"axis": -1}

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        kind = y_pred.dtype.type
        target = self._targets(y_true, y_pred)
        if self.label_smoothing:
            target = target * kind(1 - self.label_smoothing) + kind(self.label_smoothing / target.shape[-1])
        given, back = activation("softmax" if self.from_logits else "linear")(y_pred)
        total = given.sum(-1, keepdims=True)
        q = given / total
        p, inside = clipped(q)
        wrong = 1 - p
        weight = kind(self.alpha) * target
        values = -(weight * wrong**self.gamma * np.log(p)).sum(-1)
        slope = self.gamma * wrong ** kind(self.gamma - 1) * np.log(p) - wrong**self.gamma / p
        dq = weight * slope * inside
        return values, back((dq - (dq * q).sum(-1, keepdims=True)) / total)


def signs(target: Array) -> Array:
    """Labels of 0 as -1."""
    return np.where(target == 0, target.dtype.type(-1), target)
