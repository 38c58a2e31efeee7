"""Pooling of sequences and volumes, over windows or everything. Imports engine basics only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, normalize
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
from dltool.engine.windows import check_padding


@dataclass(frozen=True)
class PoolingND(Layer):
    """``strides`` None means ``pool_size``; padding is "valid" or TensorFlow's "same"."""

    pool_size: int | tuple[int, ...] = 2
    strides: int | tuple[int, ...] | None = None
    padding: str = "valid"

    rank: ClassVar[int] = 1

    def __post_init__(self) -> None:
        strides = self.pool_size if self.strides is None else self.strides
        sizes = {"pool_size": self.pool_size, "strides": strides}
        normalize(self, **{key: per_axis(key, value, self.rank) for key, value in sizes.items()})
        normalize(self, padding=check_padding(self.padding))

    @property
    def geometry(self) -> tuple[tuple[int, ...], ...]:
        return self.pool_size, self.strides, (1,) * self.rank

    def output_shape(self, shape: Shape) -> Shape:
        check_positions(shape, self.rank)
        return *windows_of(shape[:-1], *self.geometry, self.padding), shape[-1]

    def columns(self, x: Array, border: float) -> tuple[Array, tuple, tuple[int, ...]]:
        """Windows (n, ..., taps, channels) of the padded input, the frame, and the padded shape."""
        frame = frame_of(x.shape[1:-1], *self.geometry, self.padding)
        padded = framed(x, frame, border)
        out = windows_of(x.shape[1:-1], *self.geometry, self.padding)
        return gathered(padded, out, *self.geometry), frame, padded.shape


@dataclass(frozen=True)
class MaxPoolingND(PoolingND):
    """The largest value of each window, whose gradient goes to the first of equal ones."""

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        columns, frame, shape = self.columns(x, -np.inf)
        first = columns.argmax(-2)[..., None, :]

        def backward(dy: Array) -> tuple[Array, tuple]:
            dcolumns = np.zeros(columns.shape, dy.dtype)
            np.put_along_axis(dcolumns, first, dy[..., None, :], -2)
            return unframed(scattered(dcolumns, shape, *self.geometry), frame), ()

        return np.take_along_axis(columns, first, -2)[..., 0, :], backward


@dataclass(frozen=True)
class AveragePoolingND(PoolingND):
    """The mean of each window; padding is not counted."""

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        columns, frame, shape = self.columns(x, 0.0)
        inside = self.columns(np.ones((1, *x.shape[1:-1], 1), x.dtype), 0.0)[0]
        counts = inside.sum(-2)

        def backward(dy: Array) -> tuple[Array, tuple]:
            dcolumns = np.broadcast_to((dy / counts)[..., None, :], columns.shape)
            return unframed(scattered(dcolumns, shape, *self.geometry), frame), ()

        return columns.sum(-2) / counts, backward


@LAYERS.register("MaxPooling1D", "MaxPool1D")
@dataclass(frozen=True)
class MaxPooling1D(MaxPoolingND):
    """The largest value of every few steps."""


@LAYERS.register("MaxPooling3D", "MaxPool3D")
@dataclass(frozen=True)
class MaxPooling3D(MaxPoolingND):
    """The largest value of each block of a volume."""

    rank: ClassVar[int] = 3


@LAYERS.register("AveragePooling1D", "AvgPool1D")
@dataclass(frozen=True)
class AveragePooling1D(AveragePoolingND):
    """The mean of every few steps."""


@LAYERS.register("AveragePooling3D", "AvgPool3D")
@dataclass(frozen=True)
class AveragePooling3D(AveragePoolingND):
    """The mean of each block of a volume."""

    rank: ClassVar[int] = 3


@dataclass(frozen=True)
class GlobalPoolingND(Layer):
    """One number per channel; with ``keepdims`` the axes of positions stay, with size 1."""

    keepdims: bool = False

    rank: ClassVar[int] = 1

    def output_shape(self, shape: Shape) -> Shape:
        check_positions(shape, self.rank)
        return (*(1,) * self.rank, shape[-1]) if self.keepdims else (shape[-1],)

    @property
    def axes(self) -> tuple[int, ...]:
        return tuple(range(1, self.rank + 1))


@dataclass(frozen=True)
class GlobalMaxPoolingND(GlobalPoolingND):
    """The largest value of each channel; equal ones share the gradient."""

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        largest = x.max(self.axes, keepdims=True)

        def backward(dy: Array) -> tuple[Array, tuple]:
            winners = (x == largest).astype(dy.dtype)
            return winners * (dy.reshape(largest.shape) / winners.sum(self.axes, keepdims=True)), ()

        return largest if self.keepdims else largest.reshape(len(x), -1), backward


@dataclass(frozen=True)
class GlobalAveragePoolingND(GlobalPoolingND):
    """The mean of each channel, over the positions that the mask lets count."""

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        on = np.ones((1, *x.shape[1:-1], 1), x.dtype)
        if call.mask is not None:
            on = call.mask.reshape(*call.mask.shape, *[1] * (x.ndim - call.mask.ndim)).astype(x.dtype)
        share = on / on.sum(self.axes, keepdims=True)
        y = (x * share).sum(self.axes, keepdims=True)

        def backward(dy: Array) -> tuple[Array, tuple]:
            return dy.reshape(y.shape) * share * np.ones_like(x), ()

        return y if self.keepdims else y.reshape(len(x), -1), backward


@LAYERS.register("GlobalMaxPooling1D", "GlobalMaxPool1D")
@dataclass(frozen=True)
class GlobalMaxPooling1D(GlobalMaxPoolingND):
    """The largest value of each channel over all steps."""


@LAYERS.register("GlobalMaxPooling3D", "GlobalMaxPool3D")
@dataclass(frozen=True)
class GlobalMaxPooling3D(GlobalMaxPoolingND):
    """The largest value of each channel of a volume."""

    rank: ClassVar[int] = 3


@LAYERS.register("GlobalAveragePooling1D", "GlobalAvgPool1D")
@dataclass(frozen=True)
class GlobalAveragePooling1D(GlobalAveragePoolingND):
    """The mean of each channel over the steps that are not masked."""


@LAYERS.register("GlobalAveragePooling3D", "GlobalAvgPool3D")
@dataclass(frozen=True)
class GlobalAveragePooling3D(GlobalAveragePoolingND):
    """The mean of each channel of a volume."""

    rank: ClassVar[int] = 3
