"""A penalty on what a layer gives out. Imports engine basics only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, normalize
from dltool.engine.regularizers import Regularizer


@LAYERS.register("ActivityRegularization")
@dataclass(frozen=True)
class ActivityRegularization(Layer):
    """Passes its input on and adds ``(l1 * sum(|x|) + l2 * sum(x^2)) / rows`` to the training loss.

    Where another layer has an ``activity_regularizer`` the executors run this one behind it.
    """

    l1: float = 0.0
    l2: float = 0.0

    keeps_mask: ClassVar[bool] = True
    idle_at_inference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, l1=float(self.l1), l2=float(self.l2))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        if not call.training:
            return x, lambda dy: (dy, ())
        rows = call.total_rows or len(x)
        penalty, gradient = Regularizer(self.l1, self.l2)(x)
        call.penalty = float(penalty) / rows
        return x, lambda dy: (dy + gradient / x.dtype.type(rows), ())


def activity_of(layer: Layer) -> ActivityRegularization | None:
    """What must run behind a layer with an activity regulariser, or None."""
    rule = getattr(layer, "activity_regularizer", None)
    return None if rule is None else ActivityRegularization(rule.l1, rule.l2, name=layer.name)
