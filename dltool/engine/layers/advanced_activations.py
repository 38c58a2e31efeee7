"""Activations that are layers, with options or weights of their own. Imports engine basics only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dltool.engine.constraints import Constraint
from dltool.engine.initializers import Initializer
from dltool.engine.layers.base import (
    LAYERS,
    Array,
    Backward,
    Call,
    Layer,
    Shape,
    WeightSpec,
    normalize,
    one_axis_or_more,
)
from dltool.engine.layers.rules import normalize_rules, ruled
from dltool.engine.regularizers import Regularizer
from dltool.errors import UsageError


@LAYERS.register("ELU")
@dataclass(frozen=True)
class ELU(Layer):
    """x above zero, ``alpha * (exp(x) - 1)`` below. Source: Clevert et al., arXiv:1511.07289."""

    alpha: float = 1.0

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, alpha=float(self.alpha))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        alpha = x.dtype.type(self.alpha)
        below = alpha * np.expm1(np.minimum(x, 0))
        slope = np.where(x > 0, x.dtype.type(1), below + alpha)
        return np.where(x > 0, x, below), lambda dy: (dy * slope, ())


@LAYERS.register("ThresholdedReLU")
@dataclass(frozen=True)
class ThresholdedReLU(Layer):
    """x above ``theta``, else 0. Keras 3 no longer has it (there it is ReLU with a threshold, less the threshold)."""

    theta: float = 1.0

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, theta=float(self.theta))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        on = (x > self.theta).astype(x.dtype)
        return x * on, lambda dy: (dy * on, ())


@dataclass(frozen=True)
class PerPlace(Layer):
    """Base of activations with weights for every position and channel; ``shared_axes`` (batch 0) share one each."""

    keeps_mask: ClassVar[bool] = True
    weight_kinds: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        axes = self.shared_axes
        axes = (axes,) if isinstance(axes, int) else axes
        normalize(self, shared_axes=None if axes is None else tuple(int(axis) for axis in axes))
        normalize_rules(self, *self.weight_kinds)

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        shared = self.shared_axes or ()
        sizes = tuple(1 if axis in shared else size for axis, size in enumerate(shape, 1))
        if None in sizes:
            raise UsageError("the size of its input is unknown; share those axes with shared_axes=1x2")
        return tuple(ruled(self, kind, sizes) for kind in self.weight_kinds)

    def summed(self, gradient: Array) -> Array:
        """A gradient for every number of the batch, summed over what shares a weight."""
        shared = (0, *(self.shared_axes or ()))
        return gradient.sum(tuple(axis for axis in range(gradient.ndim) if axis in shared), keepdims=True)[0]


@LAYERS.register("PReLU")
@dataclass(frozen=True)
class PReLU(PerPlace):
    """x above zero, ``alpha * x`` below, where alpha is trained, one per position and channel.

    ``shared_axes`` (the batch axis counted as 0) share one alpha: (1, 2) leaves one per channel of an image.
    Weights: alpha, of the input's shape with 1 for shared axes.
    Source: He et al., arXiv:1502.01852.
    """

    alpha_initializer: Initializer | str | dict = "zeros"
    alpha_regularizer: Regularizer | str | dict | None = None
    alpha_constraint: Constraint | str | dict | None = None
    shared_axes: int | tuple[int, ...] | None = None

    weight_kinds: ClassVar[tuple[str, ...]] = ("alpha",)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        alpha = weights[0]
        below = np.minimum(x, 0)

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            return np.where(x > 0, dy, dy * alpha), (self.summed(dy * below),)

        return np.maximum(x, 0) + alpha * below, backward


@LAYERS.register("Softmax")
@dataclass(frozen=True)
class Softmax(Layer):
    """``exp(x) / sum(exp(x))`` over ``axis``. Where the input's mask is False the share is 0."""

    axis: int | tuple[int, ...] = -1

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, axis=one_axis_or_more(self.axis))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        on = None
        if call.mask is not None:
            on = call.mask.reshape(*call.mask.shape, *[1] * (x.ndim - call.mask.ndim))
            x = np.where(on, x, np.finfo(x.dtype).min / 2)
        y = np.exp(x - x.max(self.axis, keepdims=True))
        y /= y.sum(self.axis, keepdims=True)
        if on is not None:
            y = y * on

        def backward(dy: Array) -> tuple[Array, tuple]:
            return y * (dy - (dy * y).sum(self.axis, keepdims=True)), ()

        return y, backward
