"""Activations that are layers, with options or weights of their own. Imports engine basics only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dltool.engine.constraints import Constraint, constraint
from dltool.engine.initializers import Initializer, initializer
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
from dltool.engine.regularizers import Regularizer, regularizer
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


@LAYERS.register("PReLU")
@dataclass(frozen=True)
class PReLU(Layer):
    """x above zero, ``alpha * x`` below, where alpha is trained, one per position and channel.

    ``shared_axes`` (the batch axis counted as 0) share one alpha: (1, 2) leaves one per channel of an image.
    Weights: alpha, of the input's shape with 1 for shared axes.
    Source: He et al., arXiv:1502.01852.
    """

    alpha_initializer: Initializer | str | dict = "zeros"
    alpha_regularizer: Regularizer | str | dict | None = None
    alpha_constraint: Constraint | str | dict | None = None
    shared_axes: int | tuple[int, ...] | None = None

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        axes = self.shared_axes
        axes = (axes,) if isinstance(axes, int) else axes
        normalize(
            self,
            alpha_initializer=initializer(self.alpha_initializer),
            alpha_regularizer=regularizer(self.alpha_regularizer),
            alpha_constraint=constraint(self.alpha_constraint),
            shared_axes=None if axes is None else tuple(int(axis) for axis in axes),
        )

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        shared = self.shared_axes or ()
        sizes = tuple(1 if axis in shared else size for axis, size in enumerate(shape, 1))
        if None in sizes:
            raise UsageError("the size of its input is unknown; share those axes with shared_axes=1x2")
        return (
            WeightSpec("alpha", sizes, self.alpha_initializer, True, self.alpha_regularizer, self.alpha_constraint),
        )

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        alpha = weights[0]
        below = np.minimum(x, 0)
        shared = tuple(axis for axis in range(x.ndim) if axis == 0 or alpha.shape[axis - 1] != x.shape[axis])

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dalpha = (dy * below).sum(shared, keepdims=True)[0]
            return np.where(x > 0, dy, dy * alpha), (dalpha,)

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
