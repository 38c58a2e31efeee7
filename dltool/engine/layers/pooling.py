"""Pooling over windows of an image, or over the whole image. Imports engine basics only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, normalize, pair
from dltool.engine.layers.core import positive
from dltool.engine.windows import add_windows, check_image, check_padding, crop, output_sizes, pad, padding_of, windows

ONE = (1, 1)


@dataclass(frozen=True)
class Pooling2D(Layer):
    """What both poolings share: ``strides`` None means ``pool_size``; padding is "valid" or TensorFlow's "same"."""

    pool_size: int | tuple[int, int] = (2, 2)
    strides: int | tuple[int, int] | None = None
    padding: str = "valid"

    def __post_init__(self) -> None:
        strides = self.pool_size if self.strides is None else self.strides
        normalize(self, pool_size=pair(self.pool_size), strides=pair(strides), padding=check_padding(self.padding))
        for size in (*self.pool_size, *self.strides):
            positive("pool_size or strides", size)

    def output_shape(self, shape: Shape) -> Shape:
        height, width, channels = check_image(shape)
        return *output_sizes((height, width), self.pool_size, self.strides, ONE, self.padding), channels

    def gather(self, x: Array, border: float) -> tuple[Any, Array, Array]:
        """The padding of ``x``, the padded ``x`` and the view of its windows (n, h, w, rows, columns, channels)."""
        size = x.shape[1:3]
        frame = padding_of(size, self.pool_size, self.strides, ONE, self.padding)
        x_padded = pad(x, frame, border)
        out_hw = output_sizes(size, self.pool_size, self.strides, ONE, self.padding)
        return frame, x_padded, windows(x_padded, out_hw, self.pool_size, self.strides)


@LAYERS.register("MaxPooling2D", "maxpool", "MaxPool2D")
@dataclass(frozen=True)
class MaxPooling2D(Pooling2D):
    """The largest value of each window; padding never wins.

    Where several values are largest, the gradient goes to the first in row-major order, as in TensorFlow.
    """

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        frame, x_padded, views = self.gather(x, -np.inf)
        n, height, width, rows, columns, channels = views.shape
        values = views.reshape(n, height, width, rows * columns, channels)
        first = values.argmax(3)[:, :, :, None]

        def backward(dy: Array) -> tuple[Array, tuple]:
            dvalues = np.zeros(values.shape, dy.dtype)
            np.put_along_axis(dvalues, first, dy[:, :, :, None], 3)
            dx_padded = np.zeros(x_padded.shape, dy.dtype)
            add_windows(dx_padded, dvalues.reshape(views.shape), self.strides)
            return crop(dx_padded, frame), ()

        return np.take_along_axis(values, first, 3)[:, :, :, 0], backward


@LAYERS.register("AveragePooling2D", "avgpool", "AvgPool2D")
@dataclass(frozen=True)
class AveragePooling2D(Pooling2D):
    """The mean of each window; padding is not counted, so the divisor is smaller at the border."""

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        frame, x_padded, views = self.gather(x, 0.0)
        inside = self.gather(np.ones((1, *x.shape[1:3], 1), x.dtype), 0.0)[2]
        counts = inside.sum((3, 4))

        def backward(dy: Array) -> tuple[Array, tuple]:
            share = (dy / counts)[:, :, :, None, None]
            dx_padded = np.zeros(x_padded.shape, dy.dtype)
            add_windows(dx_padded, np.broadcast_to(share, views.shape), self.strides)
            return crop(dx_padded, frame), ()

        return views.sum((3, 4)) / counts, backward


@dataclass(frozen=True)
class GlobalPooling2D(Layer):
    """One number per channel; with ``keepdims`` the output keeps height and width of 1."""

    keepdims: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        channels = check_image(shape)[2]
        return (1, 1, channels) if self.keepdims else (channels,)


@LAYERS.register("GlobalMaxPooling2D", "gmp", "GlobalMaxPool2D")
@dataclass(frozen=True)
class GlobalMaxPooling2D(GlobalPooling2D):
    """The largest value of each channel. Equal largest values share the gradient, as in TensorFlow's reduce_max."""

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        largest = x.max((1, 2), keepdims=True)

        def backward(dy: Array) -> tuple[Array, tuple]:
            winners = (x == largest).astype(dy.dtype)
            counts = winners.sum((1, 2), keepdims=True)
            return winners * (dy.reshape(largest.shape) / np.maximum(counts, 1)), ()

        return largest if self.keepdims else largest[:, 0, 0], backward


@LAYERS.register("GlobalAveragePooling2D", "gap", "GlobalAvgPool2D")
@dataclass(frozen=True)
class GlobalAveragePooling2D(GlobalPooling2D):
    """The mean of each channel."""

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        n, height, width, channels = x.shape

        def backward(dy: Array) -> tuple[Array, tuple]:
            share = dy.reshape(n, 1, 1, channels) / (height * width)
            return np.broadcast_to(share, x.shape).copy(), ()

        return x.mean((1, 2), keepdims=self.keepdims), backward
