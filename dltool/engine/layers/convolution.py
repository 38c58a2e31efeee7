"""Convolutions over images and their padding layer. Imports engine basics only.

Images are (batch, height, width, channels). The arithmetic here is the reference: every window is gathered
(``engine.windows``) and multiplied at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.engine.activations import activation, activation_name
from dltool.engine.constraints import Constraint
from dltool.engine.initializers import Initializer
from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, WeightSpec, normalize, pair
from dltool.engine.layers.core import positive
from dltool.engine.layers.rules import normalize_rules, ruled, ruled_bias
from dltool.engine.regularizers import Regularizer, regularizer
from dltool.engine.windows import add_windows, check_image, check_padding, crop, output_sizes, pad, padding_of, windows
from dltool.errors import UsageError


@LAYERS.register("Conv2D", "conv")
@dataclass(frozen=True)
class Conv2D(Layer):
    """Convolution (correlation, as everywhere in deep learning), bias, activation.

    Args:
        filters: output channels.
        kernel_size, strides, dilation_rate: a number or (rows, columns).
        padding: "valid", or "same" in TensorFlow's sense (what cannot be halved goes to the bottom and right).
        groups: input channels are cut into so many groups; each has its own ``filters / groups`` filters.

    Weights: kernel (rows, columns, channels / groups, filters), bias (filters,).
    """

    filters: int
    kernel_size: int | tuple[int, int]
    strides: int | tuple[int, int] = (1, 1)
    padding: str = "valid"
    dilation_rate: int | tuple[int, int] = (1, 1)
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
        normalize_windows(self)
        normalize(
            self,
            filters=positive("filters", self.filters),
            groups=positive("groups", self.groups),
        )
        normalize_rules(self, "kernel", "bias")
        if self.filters % self.groups:
            raise UsageError(f"{self.filters} filters cannot be shared by {self.groups} groups; use a multiple")

    def output_shape(self, shape: Shape) -> Shape:
        height, width, channels = check_image(shape)
        if channels % self.groups:
            raise UsageError(f"its input has {channels} channels, which {self.groups} groups cannot share evenly")
        size = (height, width)
        return *output_sizes(size, self.kernel_size, self.strides, self.dilation_rate, self.padding), self.filters

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        kernel = ruled(self, "kernel", (*self.kernel_size, shape[-1] // self.groups, self.filters))
        return (kernel, *ruled_bias(self, self.filters))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        kernel = weights[0]
        frame, x_padded, columns = gather(self, x)
        pieces = group_slices(self.groups, kernel.shape[2], self.filters)
        z = np.concatenate(
            [np.tensordot(columns[..., ins], kernel[..., outs], ((3, 4, 5), (0, 1, 2))) for ins, outs in pieces], -1
        )
        if self.use_bias:
            z = z + weights[1]
        y, activation_backward = activation(self.activation)(z)

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dz = activation_backward(dy)
            dx_padded, dkernel = np.zeros_like(x_padded), np.empty_like(kernel)
            for ins, outs in pieces:
                dkernel[..., outs] = np.tensordot(columns[..., ins], dz[..., outs], ((0, 1, 2), (0, 1, 2)))
                dcolumns = np.tensordot(dz[..., outs], kernel[..., outs], ((3,), (3,)))
                add_windows(dx_padded[..., ins], dcolumns, self.strides, self.dilation_rate)
            dweights = (dkernel, dz.sum((0, 1, 2))) if self.use_bias else (dkernel,)
            return crop(dx_padded, frame), dweights

        return y, backward


@LAYERS.register("DepthwiseConv2D", "depthwise")
@dataclass(frozen=True)
class DepthwiseConv2D(Layer):
    """Every channel is convolved alone, with ``depth_multiplier`` filters each.

    Output channel ``c * depth_multiplier + m`` is filter m on channel c.
    Weights: kernel (rows, columns, channels, depth_multiplier), bias (channels * depth_multiplier,).
    """

    kernel_size: int | tuple[int, int]
    strides: int | tuple[int, int] = (1, 1)
    padding: str = "valid"
    depth_multiplier: int = 1
    dilation_rate: int | tuple[int, int] = (1, 1)
    activation: str = "linear"
    use_bias: bool = True
    depthwise_initializer: Initializer | str | dict = "glorot_uniform"
    bias_initializer: Initializer | str | dict = "zeros"
    depthwise_regularizer: Regularizer | str | dict | None = None
    bias_regularizer: Regularizer | str | dict | None = None
    activity_regularizer: Regularizer | str | dict | None = None
    depthwise_constraint: Constraint | str | dict | None = None
    bias_constraint: Constraint | str | dict | None = None

    def __post_init__(self) -> None:
        normalize_windows(self)
        normalize(self, depth_multiplier=positive("depth_multiplier", self.depth_multiplier))
        normalize_rules(self, "depthwise", "bias")

    def output_shape(self, shape: Shape) -> Shape:
        height, width, channels = check_image(shape)
        sizes = output_sizes((height, width), self.kernel_size, self.strides, self.dilation_rate, self.padding)
        return *sizes, channels * self.depth_multiplier

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        kernel = ruled(self, "depthwise", (*self.kernel_size, shape[-1], self.depth_multiplier), "kernel")
        return (kernel, *ruled_bias(self, shape[-1] * self.depth_multiplier))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        kernel = weights[0]
        frame, x_padded, columns = gather(self, x)
        z = np.einsum("nhwijc,ijcm->nhwcm", columns, kernel)
        z = z.reshape(*z.shape[:3], -1)
        if self.use_bias:
            z = z + weights[1]
        y, activation_backward = activation(self.activation)(z)

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dz = activation_backward(dy)
            per_channel = dz.reshape(*dz.shape[:3], *kernel.shape[2:])
            dkernel = np.einsum("nhwijc,nhwcm->ijcm", columns, per_channel)
            dx_padded = np.zeros_like(x_padded)
            dcolumns = np.einsum("nhwcm,ijcm->nhwijc", per_channel, kernel)
            add_windows(dx_padded, dcolumns, self.strides, self.dilation_rate)
            dweights = (dkernel, dz.sum((0, 1, 2))) if self.use_bias else (dkernel,)
            return crop(dx_padded, frame), dweights

        return y, backward


@LAYERS.register("ZeroPadding2D", "zeropad")
@dataclass(frozen=True)
class ZeroPadding2D(Layer):
    """A frame of zeros: n for all sides, (rows, columns), or ((top, bottom), (left, right))."""

    padding: int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]] = ((1, 1), (1, 1))

    def __post_init__(self) -> None:
        rows, columns = (self.padding,) * 2 if isinstance(self.padding, int) else self.padding
        normalize(self, padding=(pair(rows), pair(columns)))
        if any(size < 0 for side in self.padding for size in side):
            raise UsageError(f"padding {self.padding}: sizes must not be negative")

    def output_shape(self, shape: Shape) -> Shape:
        height, width, channels = check_image(shape)
        rows, columns = sum(self.padding[0]), sum(self.padding[1])
        return None if height is None else height + rows, None if width is None else width + columns, channels

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        return pad(x, self.padding), lambda dy: (crop(dy, self.padding), ())


def normalize_windows(layer: Any) -> None:
    """Canonical values for the fields that all convolutions share. Raises UsageError."""
    normalize(
        layer,
        kernel_size=pair(layer.kernel_size),
        strides=pair(layer.strides),
        dilation_rate=pair(layer.dilation_rate),
        padding=check_padding(layer.padding),
        activation=activation_name(layer.activation),
        activity_regularizer=regularizer(layer.activity_regularizer),
    )
    for name in ("kernel_size", "strides", "dilation_rate"):
        for size in getattr(layer, name):
            positive(name, size)
    if max(layer.strides) > 1 and max(layer.dilation_rate) > 1:
        raise UsageError(
            f"strides {layer.strides} and dilation_rate {layer.dilation_rate}: Keras takes only one of them above 1"
        )


def gather(layer: Any, x: Array) -> tuple[tuple[tuple[int, int], tuple[int, int]], Array, Array]:
    """The padding of ``x``, the padded ``x`` and the view of its windows (n, h, w, rows, columns, channels)."""
    size, kernel, strides, dilation = x.shape[1:3], layer.kernel_size, layer.strides, layer.dilation_rate
    frame = padding_of(size, kernel, strides, dilation, layer.padding)
    x_padded = pad(x, frame)
    out_hw = output_sizes(size, kernel, strides, dilation, layer.padding)
    return frame, x_padded, windows(x_padded, out_hw, kernel, strides, dilation)


def group_slices(groups: int, inputs: int, filters: int) -> list[tuple[slice, slice]]:
    """For each group its input channels (``inputs`` each) and its part of the filters."""
    outputs = filters // groups
    return [(slice(g * inputs, (g + 1) * inputs), slice(g * outputs, (g + 1) * outputs)) for g in range(groups)]
