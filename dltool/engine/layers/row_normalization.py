"""Normalisation of each row by itself: layers, groups, unit length. Imports engine basics only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dltool.engine.constraints import Constraint
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
from dltool.engine.layers.core import positive
from dltool.engine.layers.rules import normalize_rules, ruled
from dltool.engine.regularizers import Regularizer
from dltool.errors import UsageError


@dataclass(frozen=True)
class RowNormalization(Layer):
    """What both trained normalisations share: gamma (with ``scale``) and beta (with ``center``)."""

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, axis=one_axis_or_more(self.axis), epsilon=float(self.epsilon))
        normalize_rules(self, "beta", "gamma")

    def axes(self, ndim: int) -> tuple[int, ...]:
        """``axis`` as positive numbers for an array with ``ndim`` axes, batch included."""
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        found = tuple(sorted(axis + ndim if axis < 0 else axis for axis in axes))
        if not all(1 <= axis < ndim for axis in found):
            raise UsageError(f"axis {self.axis}: its input has axes 1 to {ndim - 1}; use -1 for the last one")
        return found

    def output_shape(self, shape: Shape) -> Shape:
        if any(shape[axis - 1] is None for axis in self.axes(len(shape) + 1)):
            raise UsageError(f"axis {self.axis} of its input has no fixed size; give the full input shape")
        return shape

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        sizes = tuple(shape[axis - 1] for axis in self.axes(len(shape) + 1))
        return tuple(ruled(self, kind, sizes) for kind, has in (("gamma", self.scale), ("beta", self.center)) if has)

    def scaled(self, normed: Array, weights: tuple[Array, ...]) -> tuple[Array, Any]:
        """``normed * gamma + beta`` and the way back: dy -> (dnormed, dweights)."""
        axes = self.axes(normed.ndim)
        others = tuple(axis for axis in range(normed.ndim) if axis not in axes)
        aligned = tuple(size if axis in axes else 1 for axis, size in enumerate(normed.shape))
        gamma = weights[0].reshape(aligned) if self.scale else None
        y = normed if gamma is None else normed * gamma
        if self.center:
            y = y + weights[-1].reshape(aligned)

        def back(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dgamma = ((dy * normed).sum(others),) if self.scale else ()
            dbeta = (dy.sum(others),) if self.center else ()
            return (dy if gamma is None else dy * gamma), (*dgamma, *dbeta)

        return y, back


@LAYERS.register("LayerNormalization", "ln", "layernorm")
@dataclass(frozen=True)
class LayerNormalization(RowNormalization):
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta`` over ``axis`` of each row.

    Weights: gamma, beta, of the sizes of the axes. Source: Ba, Kiros and Hinton, arXiv:1607.06450.
    """

    axis: int | tuple[int, ...] = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Initializer | str | dict = "zeros"
    gamma_initializer: Initializer | str | dict = "ones"
    beta_regularizer: Regularizer | str | dict | None = None
    gamma_regularizer: Regularizer | str | dict | None = None
    beta_constraint: Constraint | str | dict | None = None
    gamma_constraint: Constraint | str | dict | None = None

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        normed, normed_back = centred(x, self.axes(x.ndim), self.epsilon)
        y, back = self.scaled(normed, weights)

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dnormed, dweights = back(dy)
            return normed_back(dnormed), dweights

        return y, backward


@LAYERS.register("GroupNormalization", "gn", "groupnorm")
@dataclass(frozen=True)
class GroupNormalization(RowNormalization):
    """The channels (``axis``) are cut into ``groups``, each normalised over its channels and all positions.

    ``groups`` -1 means one channel each. Weights: gamma, beta (channels,).
    Source: Wu and He, "Group normalization", arXiv:1803.08494.
    """

    groups: int = 32
    axis: int = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Initializer | str | dict = "zeros"
    gamma_initializer: Initializer | str | dict = "ones"
    beta_regularizer: Regularizer | str | dict | None = None
    gamma_regularizer: Regularizer | str | dict | None = None
    beta_constraint: Constraint | str | dict | None = None
    gamma_constraint: Constraint | str | dict | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.groups != -1:
            positive("groups", self.groups)

    def output_shape(self, shape: Shape) -> Shape:
        super().output_shape(shape)
        channels = shape[self.axes(len(shape) + 1)[0] - 1]
        if self.groups != -1 and channels % self.groups:
            raise UsageError(f"its input has {channels} channels, which {self.groups} groups cannot share evenly")
        return shape

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        (axis,) = self.axes(x.ndim)
        groups = x.shape[axis] if self.groups == -1 else self.groups
        cut = (*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])
        inside = tuple(a for a in range(1, x.ndim + 1) if a != axis)
        normed, normed_back = centred(x.reshape(cut), inside, self.epsilon)
        y, back = self.scaled(normed.reshape(x.shape), weights)

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dnormed, dweights = back(dy)
            return normed_back(dnormed.reshape(cut)).reshape(x.shape), dweights

        return y, backward


@LAYERS.register("RMSNormalization", "rmsnorm")
@dataclass(frozen=True)
class RMSNormalization(Layer):
    """``scale * x / sqrt(mean(x^2) + epsilon)`` over the last axis, the only one on which Keras's works.

    Weights: scale, of the size of the axis. Source: Zhang and Sennrich, arXiv:1910.07467.
    """

    axis: int = -1
    epsilon: float = 1e-6

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, axis=one_axis_or_more(self.axis), epsilon=float(self.epsilon))

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        if self.axis not in (-1, len(shape)):
            raise UsageError(f"axis {self.axis}: it works on the last axis only, -1")
        if not shape or shape[-1] is None:
            raise UsageError("the last axis of its input has no fixed size; give the full input shape")
        return (WeightSpec("scale", (shape[-1],), initializer("ones")),)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        factor = 1 / np.sqrt(np.square(x).mean(-1, keepdims=True) + x.dtype.type(self.epsilon))
        normed, scale = x * factor, weights[0]

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dnormed = dy * scale
            through = normed * (dnormed * normed).mean(-1, keepdims=True)
            return factor * (dnormed - through), ((dy * normed).reshape(-1, x.shape[-1]).sum(0),)

        return normed * scale, backward


@LAYERS.register("UnitNormalization")
@dataclass(frozen=True)
class UnitNormalization(Layer):
    """Each row divided by its length, ``x / max(|x|, 1e-12)``, over ``axis``."""

    axis: int | tuple[int, ...] = -1

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, axis=one_axis_or_more(self.axis))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        y, back = unit_length(x, self.axis)
        return y, lambda dy: (back(dy), ())


def unit_length(x: Array, axis: int | tuple[int, ...]) -> tuple[Array, Any]:
    """Rows of length 1 over ``axis``, and the way back."""
    size = np.maximum(np.sqrt(np.square(x).sum(axis, keepdims=True)), x.dtype.type(1e-12))
    y = x / size
    return y, lambda dy: (dy - y * (dy * y).sum(axis, keepdims=True)) / size


def centred(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Any]:
    """``(x - mean) / sqrt(variance + epsilon)`` over the axes, and the way back."""
    mean = x.mean(axes, keepdims=True)
    scale = 1 / np.sqrt(np.square(x - mean).mean(axes, keepdims=True) + x.dtype.type(epsilon))
    normed = (x - mean) * scale

    def back(dy: Array) -> Array:
        through = dy.mean(axes, keepdims=True) + normed * (dy * normed).mean(axes, keepdims=True)
        return scale * (dy - through)

    return normed, back
