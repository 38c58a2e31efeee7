"""Convolutions over sequences and volumes, and in two steps. Imports engine basics only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dltool.engine.activations import activation, activation_name
from dltool.engine.constraints import Constraint
from dltool.engine.initializers import Initializer
from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, WeightSpec, normalize
from dltool.engine.layers.convolution import group_slices
from dltool.engine.layers.core import positive
from dltool.engine.layers.rules import normalize_rules, ruled, ruled_bias
from dltool.engine.layers.spatial import (
    check_positions,
    frame_of,
    framed,
    gathered,
    per_axis,
    scattered,
    unframed,
    windows_of,
)
from dltool.engine.regularizers import Regularizer, regularizer
from dltool.errors import UsageError

PADDINGS = ("valid", "same")


@dataclass(frozen=True)
class Windowed(Layer):
    """Base of all layers here: canonical options, and specs by the names of their weights."""

    rank: ClassVar[int] = 1
    paddings: ClassVar[tuple[str, ...]] = PADDINGS
    weight_kinds: ClassVar[tuple[str, ...]] = ("kernel", "bias")

    def __post_init__(self) -> None:
        padding = str(self.padding).lower()
        if padding not in self.paddings:
            raise UsageError(f"padding {self.padding!r} is not known; use {' or '.join(self.paddings)}")
        sizes = {key: per_axis(key, getattr(self, key), self.rank) for key in ("kernel_size", "strides")}
        dilation = per_axis("dilation_rate", self.dilation_rate, self.rank)
        normalize(self, **sizes, dilation_rate=dilation, padding=padding)
        if hasattr(self, "filters"):
            normalize(self, filters=positive("filters", self.filters))
        normalize(
            self,
            activation=activation_name(self.activation),
            activity_regularizer=regularizer(self.activity_regularizer),
        )
        normalize_rules(self, *self.weight_kinds)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise UsageError(
                f"strides {self.strides} and dilation_rate {self.dilation_rate}: Keras takes only one of them above 1"
            )

    def windows(self, shape: Shape) -> tuple[int | None, ...]:
        return windows_of(shape, self.kernel_size, self.strides, self.dilation_rate, self.padding)

    def output_shape(self, shape: Shape) -> Shape:
        check_positions(shape, self.rank)
        return *self.windows(shape[:-1]), self.filters

    def columns(self, x: Array) -> tuple[Array, Any]:
        """Windows (n, ..., taps, channels) of the padded input, and the way back."""
        geometry = (self.kernel_size, self.strides, self.dilation_rate)
        frame = frame_of(x.shape[1:-1], *geometry, self.padding)
        padded = framed(x, frame)
        found = gathered(padded, self.windows(x.shape[1:-1]), *geometry)
        return found, lambda d: unframed(scattered(d, padded.shape, *geometry), frame)

    def finish(self, z: Array, weights: tuple[Array, ...]) -> tuple[Array, Any]:
        """Bias and activation, and the way back: dy -> (dz, gradients of the bias)."""
        if self.use_bias:
            z = z + weights[-1]
        y, back = activation(self.activation)(z)

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dz = back(dy)
            return dz, (dz.reshape(-1, dz.shape[-1]).sum(0),) if self.use_bias else ()

        return y, backward


@dataclass(frozen=True)
class Convolution(Windowed):
    """What Conv1D and Conv3D share; Conv2D has its own module and kernels."""

    filters: int
    kernel_size: int | tuple[int, ...]
    strides: int | tuple[int, ...] = 1
    padding: str = "valid"
    dilation_rate: int | tuple[int, ...] = 1
    groups: int = 1
    activation: str = "linear"
    use_bias: bool = True
    kernel_initializer: Initializer | str | dict = "glorot_uniform"
    bias_initializer: Initializer | str | dict = "zeros"
    kernel_regularizer: Regularizer | str | dict | None = None
    bias_regularizer: Regularizer | str | dict | None = None
    activity_regularizer: Regularizer | str | dict | None = None
    kernel_constraint: Constraint | str | dict | None = None
    bias_constraint: Constraint | str | dict | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        normalize(self, groups=positive("groups", self.groups))
        if self.filters % self.groups:
            raise UsageError(f"{self.filters} filters cannot be shared by {self.groups} groups; use a multiple")

    def output_shape(self, shape: Shape) -> Shape:
        found = super().output_shape(shape)
        if shape[-1] % self.groups:
            raise UsageError(f"its input has {shape[-1]} channels, which {self.groups} groups cannot share evenly")
        return found

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        kernel = (*self.kernel_size, shape[-1] // self.groups, self.filters)
        return (ruled(self, "kernel", kernel), *ruled_bias(self, self.filters))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        kernel = weights[0].reshape(-1, *weights[0].shape[-2:])  # (taps, channels, filters)
        columns, columns_back = self.columns(x)
        pieces = group_slices(self.groups, kernel.shape[1], self.filters)
        z = np.concatenate([np.tensordot(columns[..., ins], kernel[..., outs], 2) for ins, outs in pieces], -1)
        y, finish_back = self.finish(z, weights)
        positions = tuple(range(self.rank + 1))

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dz, dbias = finish_back(dy)
            dcolumns, dkernel = np.empty_like(columns), np.empty_like(kernel)
            for ins, outs in pieces:
                dkernel[..., outs] = np.tensordot(columns[..., ins], dz[..., outs], (positions, positions))
                dcolumns[..., ins] = np.tensordot(dz[..., outs], kernel[..., outs], ((-1,), (-1,)))
            return columns_back(dcolumns), (dkernel.reshape(weights[0].shape), *dbias)

        return y, backward


@LAYERS.register("Conv1D")
@dataclass(frozen=True)
class Conv1D(Convolution):
    """Convolution along a sequence, bias, activation; padding "causal" lets no step see a later one.

    Weights: kernel (steps, channels / groups, filters), bias (filters,).
    """

    paddings: ClassVar[tuple[str, ...]] = (*PADDINGS, "causal")


@LAYERS.register("Conv3D")
@dataclass(frozen=True)
class Conv3D(Convolution):
    """Convolution of a volume (depth x height x width x channels), bias, activation.

    Weights: kernel (depth, rows, columns, channels / groups, filters), bias (filters,).
    """

    rank: ClassVar[int] = 3


@dataclass(frozen=True)
class SeparableConvolution(Windowed):
    """Every channel convolved alone with ``depth_multiplier`` filters, then all mixed by a 1x1 convolution."""

    filters: int
    kernel_size: int | tuple[int, ...]
    strides: int | tuple[int, ...] = 1
    padding: str = "valid"
    dilation_rate: int | tuple[int, ...] = 1
    depth_multiplier: int = 1
    activation: str = "linear"
    use_bias: bool = True
    depthwise_initializer: Initializer | str | dict = "glorot_uniform"
    pointwise_initializer: Initializer | str | dict = "glorot_uniform"
    bias_initializer: Initializer | str | dict = "zeros"
    depthwise_regularizer: Regularizer | str | dict | None = None
    pointwise_regularizer: Regularizer | str | dict | None = None
    bias_regularizer: Regularizer | str | dict | None = None
    activity_regularizer: Regularizer | str | dict | None = None
    depthwise_constraint: Constraint | str | dict | None = None
    pointwise_constraint: Constraint | str | dict | None = None
    bias_constraint: Constraint | str | dict | None = None

    weight_kinds: ClassVar[tuple[str, ...]] = ("depthwise", "pointwise", "bias")

    def __post_init__(self) -> None:
        super().__post_init__()
        normalize(self, depth_multiplier=positive("depth_multiplier", self.depth_multiplier))

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        inner = shape[-1] * self.depth_multiplier
        depthwise = ruled(self, "depthwise", (*self.kernel_size, shape[-1], self.depth_multiplier), "depthwise_kernel")
        pointwise = ruled(self, "pointwise", (*(1,) * self.rank, inner, self.filters), "pointwise_kernel")
        return (depthwise, pointwise, *ruled_bias(self, self.filters))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        depthwise = weights[0].reshape(-1, *weights[0].shape[-2:])  # (taps, channels, multiplier)
        pointwise = weights[1].reshape(-1, self.filters)
        columns, columns_back = self.columns(x)
        inner = np.einsum("...kc,kcm->...cm", columns, depthwise)
        flat = inner.reshape(*inner.shape[:-2], -1)
        y, finish_back = self.finish(flat @ pointwise, weights)

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dz, dbias = finish_back(dy)
            dpointwise = flat.reshape(-1, flat.shape[-1]).T @ dz.reshape(-1, self.filters)
            dinner = (dz @ pointwise.T).reshape(inner.shape)
            rows = columns.reshape(-1, *columns.shape[-2:])
            ddepthwise = np.einsum("nkc,ncm->kcm", rows, dinner.reshape(-1, *inner.shape[-2:]))
            dx = columns_back(np.einsum("...cm,kcm->...kc", dinner, depthwise))
            return dx, (ddepthwise.reshape(weights[0].shape), dpointwise.reshape(weights[1].shape), *dbias)

        return y, backward


@LAYERS.register("SeparableConv1D")
@dataclass(frozen=True)
class SeparableConv1D(SeparableConvolution):
    """A sequence's channels convolved one by one, then mixed at every step.

    Weights: depthwise_kernel (steps, channels, multiplier), pointwise_kernel (1, channels * multiplier, filters), bias.
    """

    paddings: ClassVar[tuple[str, ...]] = (*PADDINGS, "causal")


@LAYERS.register("SeparableConv2D", "separable")
@dataclass(frozen=True)
class SeparableConv2D(SeparableConvolution):
    """An image's channels convolved one by one, then mixed at every pixel.

    Weights: depthwise_kernel (rows, columns, channels, multiplier), pointwise_kernel (1, 1, channels * multiplier,
    filters), bias (filters,). Source: Chollet, "Xception", arXiv:1610.02357.
    """

    rank: ClassVar[int] = 2
