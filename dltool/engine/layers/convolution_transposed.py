"""Transposed convolutions over sequences, images and volumes. Imports engine basics only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dltool.engine.constraints import Constraint
from dltool.engine.initializers import Initializer
from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Shape, WeightSpec, normalize
from dltool.engine.layers.convolution_nd import Windowed
from dltool.engine.layers.rules import ruled, ruled_bias
from dltool.engine.layers.spatial import Sizes, check_positions, gathered, scattered
from dltool.engine.regularizers import Regularizer
from dltool.errors import UsageError


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
        return (ruled(self, "kernel", (*self.kernel_size, self.filters, shape[-1])), *ruled_bias(self, self.filters))

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


@LAYERS.register("Conv3DTranspose")
@dataclass(frozen=True)
class Conv3DTranspose(TransposedConvolution):
    """A transposed convolution of a volume, which makes it larger.

    Weights: kernel (depth, rows, columns, filters, channels), bias (filters,).
    """

    rank: ClassVar[int] = 3
