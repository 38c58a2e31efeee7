"""Losses that look away from what is already right (focal)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dltool.engine.activations import activation
from dltool.engine.losses.core import (
    LOSSES,
    Array,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Loss,
    clipped,
    log_softmax,
    mean_last,
)
from dltool.errors import UsageError


@LOSSES.register("categorical_focal_crossentropy", "CategoricalFocalCrossentropy", "focal")
@dataclass(frozen=True)
class CategoricalFocalCrossentropy(CategoricalCrossentropy):
    """``-sum(alpha * (1 - p)^gamma * t * log(p))``: what is right already counts little.

    Source: Lin et al., Focal loss for dense object detection, 2017, equation 5. ``label_smoothing`` as without focus.
    """

    alpha: float = 0.25
    gamma: float = 2.0

    keras_class: ClassVar[str] = "CategoricalFocalCrossentropy"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_focus(self)

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        target, kind = self._targets(y_true, y_pred), y_pred.dtype.type
        if self.label_smoothing:
            target = target * kind(1.0 - self.label_smoothing) + kind(self.label_smoothing / target.shape[-1])
        total = kind(1.0)
        q = log_softmax(y_pred)[1] if self.from_logits else y_pred
        if not self.from_logits:
            total = y_pred.sum(axis=-1, keepdims=True)
            q = y_pred / total
        p, inside = clipped(q)
        log, focus = np.log(p), (1 - p) ** kind(self.gamma)
        values = -(kind(self.alpha) * focus * target * log).sum(axis=-1)
        slope = kind(self.gamma) * (1 - p) ** kind(self.gamma - 1) * log - focus / p
        dq = kind(self.alpha) * target * slope * inside
        inner = dq - (dq * q).sum(axis=-1, keepdims=True)
        return values, inner * q if self.from_logits else inner / total


@LOSSES.register("binary_focal_crossentropy", "BinaryFocalCrossentropy")
@dataclass(frozen=True)
class BinaryFocalCrossentropy(BinaryCrossentropy):
    """Binary cross-entropy times ``(1 - pt)^gamma``, pt the probability of what is right; the mean over the last axis.

    With ``apply_class_balancing`` also times ``alpha`` for 1 and ``1 - alpha`` for 0. Source: as for the categorical.
    """

    apply_class_balancing: bool = False
    alpha: float = 0.25
    gamma: float = 2.0

    keras_class: ClassVar[str] = "BinaryFocalCrossentropy"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_focus(self)

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        target, kind = self._targets(y_true, y_pred), y_pred.dtype.type
        if self.label_smoothing:
            target = target * kind(1.0 - self.label_smoothing) + kind(self.label_smoothing / 2)
        q = activation("sigmoid")(y_pred)[0] if self.from_logits else y_pred
        p, inside = clipped(q)
        right = target * p + (1 - target) * (1 - p)
        entropy = -(target * np.log(p) + (1 - target) * np.log1p(-p))
        focus = (1 - right) ** kind(self.gamma)
        slope = -kind(self.gamma) * (1 - right) ** kind(self.gamma - 1) * (2 * target - 1) * entropy
        slope += focus * (p - target) / (p * (1 - p))
        if self.apply_class_balancing:
            share = target * kind(self.alpha) + (1 - target) * kind(1 - self.alpha)
            focus, slope = focus * share, slope * share
        slope = slope * inside * (q * (1 - q) if self.from_logits else kind(1.0))
        return mean_last(focus * entropy, slope)


def _check_focus(rule: Loss) -> None:
    for name, high in (("alpha", 1.0), ("gamma", 100.0)):
        if not 0.0 <= getattr(rule, name) <= high:
            raise UsageError(f"loss {rule.name}: {name} is {getattr(rule, name):g}; give a number from 0 to {high:g}")
