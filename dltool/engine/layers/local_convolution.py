"""Convolutions of channels apart along a sequence, and with filters of their own at every place. Engine basics only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dltool.engine.constraints import Constraint
from dltool.engine.initializers import Initializer
from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Shape, WeightSpec, normalize
from dltool.engine.layers.convolution_nd import Windowed
from dltool.engine.layers.core import positive
from dltool.engine.layers.rules import ruled, ruled_bias
from dltool.engine.layers.spatial import check_positions
from dltool.engine.regularizers import Regularizer
from dltool.errors import UsageError


@LAYERS.register("DepthwiseConv1D")
@dataclass(frozen=True)
class DepthwiseConv1D(Windowed):
    """A sequence's channels convolved one by one, with ``depth_multiplier`` filters each.

    Output channel ``c * depth_multiplier + m`` is filter m on channel c.
    Weights: kernel (steps, channels, depth_multiplier), bias (channels * depth_multiplier,).
    """

    kernel_size: int | tuple[int]
    strides: int | tuple[int] = 1
    padding: str = "valid"
    depth_multiplier: int = 1
    dilation_rate: int | tuple[int] = 1
    activation: str = "linear"
    use_bias: bool = True
    depthwise_initializer: Initializer | str | dict = "glorot_uniform"
    bias_initializer: Initializer | str | dict = "zeros"
    depthwise_regularizer: Regularizer | str | dict | None = None
    bias_regularizer: Regularizer | str | dict | None = None
    activity_regularizer: Regularizer | str | dict | None = None
    depthwise_constraint: Constraint | str | dict | None = None
    bias_constraint: Constraint | str | dict | None = None

    weight_kinds: ClassVar[tuple[str, ...]] = ("depthwise", "bias")

    def __post_init__(self) -> None:
        super().__post_init__()
        normalize(self, depth_multiplier=positive("depth_multiplier", self.depth_multiplier))

    def output_shape(self, shape: Shape) -> Shape:
        check_positions(shape, self.rank)
        return *self.windows(shape[:-1]), shape[-1] * self.depth_multiplier

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        kernel = ruled(self, "depthwise", (*self.kernel_size, shape[-1], self.depth_multiplier), "kernel")
        return (kernel, *ruled_bias(self, shape[-1] * self.depth_multiplier))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        kernel = weights[0].reshape(-1, *weights[0].shape[-2:])  # (taps, channels, multiplier)
        columns, columns_back = self.columns(x)
        apart = np.einsum("...kc,kcm->...cm", columns, kernel)
        y, finish_back = self.finish(apart.reshape(*apart.shape[:-2], -1), weights)

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dz, dbias = finish_back(dy)
            dapart = dz.reshape(apart.shape)
            rows = columns.reshape(-1, *columns.shape[-2:])
            dkernel = np.einsum("nkc,ncm->kcm", rows, dapart.reshape(-1, *apart.shape[-2:]))
            return columns_back(np.einsum("...cm,kcm->...kc", dapart, kernel)), (
                dkernel.reshape(weights[0].shape),
                *dbias,
            )

        return y, backward


@dataclass(frozen=True)
class LocallyConnected(Windowed):
    """A convolution whose filters are others at every place of the output.

    Weights: kernel (places of the output, taps * channels, filters), bias (size of the output ..., filters), as Keras 1
    and Keras 2's ``implementation`` 1 have them; padding is "valid".
    """

    filters: int
    kernel_size: int | tuple[int, ...]
    strides: int | tuple[int, ...] = 1
    padding: str = "valid"
    activation: str = "linear"
    use_bias: bool = True
    kernel_initializer: Initializer | str | dict = "glorot_uniform"
    bias_initializer: Initializer | str | dict = "zeros"
    kernel_regularizer: Regularizer | str | dict | None = None
    bias_regularizer: Regularizer | str | dict | None = None
    activity_regularizer: Regularizer | str | dict | None = None
    kernel_constraint: Constraint | str | dict | None = None
    bias_constraint: Constraint | str | dict | None = None

    paddings: ClassVar[tuple[str, ...]] = ("valid",)
    dilation_rate: ClassVar[int] = 1

    def output_shape(self, shape: Shape) -> Shape:
        found = super().output_shape(shape)
        if None in found:
            raise UsageError("has filters for every place, so the size of its input must be known")
        return found

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        out = self.windows(shape[:-1])
        taps = math.prod(self.kernel_size) * shape[-1]
        kernel = ruled(self, "kernel", (math.prod(out), taps, self.filters))
        return (kernel, ruled(self, "bias", (*out, self.filters))) if self.use_bias else (kernel,)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        columns, columns_back = self.columns(x)
        places = columns.reshape(len(x), -1, weights[0].shape[1]).swapaxes(0, 1)  # (places, n, taps * channels)
        products = (places @ weights[0]).swapaxes(0, 1)
        y, finish_back = self.finish(products.reshape(*columns.shape[:-2], self.filters), weights)

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dz, _ = finish_back(dy)
            dproducts = dz.reshape(products.shape).swapaxes(0, 1)
            dkernel = places.swapaxes(1, 2) @ dproducts
            dcolumns = (dproducts @ weights[0].swapaxes(1, 2)).swapaxes(0, 1)
            dbias = (dz.sum(0),) if self.use_bias else ()
            return columns_back(dcolumns.reshape(columns.shape)), (dkernel, *dbias)

        return y, backward


@LAYERS.register("LocallyConnected1D")
@dataclass(frozen=True)
class LocallyConnected1D(LocallyConnected):
    """Filters of its own at every step of a sequence."""


@LAYERS.register("LocallyConnected2D")
@dataclass(frozen=True)
class LocallyConnected2D(LocallyConnected):
    """Filters of its own at every place of an image."""

    rank: ClassVar[int] = 2
