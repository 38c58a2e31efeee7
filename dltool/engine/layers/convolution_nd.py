"""Convolutions over sequences and volumes, in two steps, and transposed. Imports engine basics only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dltool.engine.activations import activation, activation_name
from dltool.engine.constraints import Constraint, constraint
from dltool.engine.initializers import Initializer, initializer
from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, WeightSpec, normalize
from dltool.engine.layers.convolution import group_slices
from dltool.engine.layers.core import positive
from dltool.engine.layers.spatial import (
    Sizes,
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
        normalize(
            self,
            filters=positive("filters", self.filters),
            activation=activation_name(self.activation),
            activity_regularizer=regularizer(self.activity_regularizer),
        )
        for kind in self.weight_kinds:
            rules = (("initializer", initializer), ("regularizer", regularizer), ("constraint", constraint))
            normalize(self, **{f"{kind}_{key}": rule(getattr(self, f"{kind}_{key}")) for key, rule in rules})
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise UsageError(
                f"strides {self.strides} and dilation_rate {self.dilation_rate}: Keras takes only one of them above 1"
            )

    def spec(self, kind: str, name: str, shape: tuple[int, ...]) -> WeightSpec:
        found = {key: getattr(self, f"{kind}_{key}") for key in ("initializer", "regularizer", "constraint")}
        return WeightSpec(name, shape, **found)

    def bias(self) -> tuple[WeightSpec, ...]:
        return (self.spec("bias", "bias", (self.filters,)),) if self.use_bias else ()

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
        return (self.spec("kernel", "kernel", kernel), *self.bias())

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
        depthwise = self.spec("depthwise", "depthwise_kernel", (*self.kernel_size, shape[-1], self.depth_multiplier))
        pointwise = self.spec("pointwise", "pointwise_kernel", (*(1,) * self.rank, inner, self.filters))
        return (depthwise, pointwise, *self.bias())

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


@dataclass(frozen=True)
class TransposedConvolution(Windowed):
    """The way back of a convolution as a layer: every input position adds a kernel onto the output.

    An axis of n positions becomes ``n * strides`` with "same", ``(n - 1) * strides + kernel`` (at least
    ``n * strides``) with "valid"; ``output_padding`` chooses among the sizes that a convolution would have shrunk to n.
    """

    filters: int
    kernel_size: int | tuple[int, ...]
    strides: int | tuple[int, ...] = 1
    padding: str = "valid"
    output_padding: int | tuple[int, ...] | None = None
    dilation_rate: int | tuple[int, ...] = 1
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
        more = self.output_padding
        more = (more,) * self.rank if isinstance(more, int) else more
        normalize(self, output_padding=None if more is None else tuple(int(size) for size in more))
        if more is not None and not all(0 <= m < s for m, s in zip(more, self.strides, strict=True)):
            raise UsageError(f"output_padding {self.output_padding} must be less than strides {self.strides}")

    def _reach(self) -> Sizes:
        return tuple((k - 1) * rate + 1 for k, rate in zip(self.kernel_size, self.dilation_rate, strict=True))

    def output_shape(self, shape: Shape) -> Shape:
        check_positions(shape, self.rank)
        extra = self.output_padding or (None,) * self.rank
        axes = zip(shape[:-1], self._reach(), self.strides, extra, strict=True)
        return *(self._size(*axis) for axis in axes), self.filters

    def _size(self, size: int | None, reach: int, stride: int, extra: int | None) -> int | None:
        if size is None:
            return None
        if extra is None:
            return size * stride + (max(reach - stride, 0) if self.padding == "valid" else 0)
        return (size - 1) * stride + reach - (2 * (reach // 2) if self.padding == "same" else 0) + extra

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        return (self.spec("kernel", "kernel", (*self.kernel_size, self.filters, shape[-1])), *self.bias())

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        kernel = weights[0].reshape(-1, *weights[0].shape[-2:])  # (taps, filters, channels)
        sizes = self.output_shape(x.shape[1:])[:-1]
        full = [(n - 1) * s + r for n, s, r in zip(x.shape[1:-1], self.strides, self._reach(), strict=True)]
        # where the full result and the output overlap: "same" cuts half of what is too much in front
        before = [max(f - n, 0) // 2 if self.padding == "same" else 0 for f, n in zip(full, sizes, strict=True)]
        values = np.tensordot(x, kernel, ((-1,), (-1,)))  # (n, ..., taps, filters)
        geometry = (self.kernel_size, self.strides, self.dilation_rate)
        room = tuple(b + max(f - b, n) for b, f, n in zip(before, full, sizes, strict=True))
        inside = (slice(None), *(slice(b, b + n) for b, n in zip(before, sizes, strict=True)))
        whole = scattered(values, (len(x), *room, self.filters), *geometry)
        y, finish_back = self.finish(whole[inside], weights)
        positions = tuple(range(self.rank + 1))

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dz, dbias = finish_back(dy)
            dwhole = np.zeros_like(whole)
            dwhole[inside] = dz
            dvalues = gathered(dwhole, x.shape[1:-1], *geometry)
            dkernel = np.tensordot(dvalues, x, (positions, positions))
            return np.tensordot(dvalues, kernel, 2), (dkernel.reshape(weights[0].shape), *dbias)

        return y, backward


@LAYERS.register("Conv1DTranspose")
@dataclass(frozen=True)
class Conv1DTranspose(TransposedConvolution):
    """A transposed convolution along a sequence.

    Weights: kernel (steps, filters, channels), bias (filters,).
    """


@LAYERS.register("Conv2DTranspose", "deconv")
@dataclass(frozen=True)
class Conv2DTranspose(TransposedConvolution):
    """A transposed convolution of an image, which makes it larger.

    Weights: kernel (rows, columns, filters, channels), bias (filters,).
    """

    rank: ClassVar[int] = 2
