"""Layers that change how many positions there are without weights: padding, cropping, enlarging, resizing.

Imports engine basics only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, normalize
from dltool.engine.layers.core import positive
from dltool.engine.layers.spatial import check_positions, framed, per_axis, unframed
from dltool.errors import UsageError

INTERPOLATIONS = ("nearest", "bilinear")
RESIZINGS = (*INTERPOLATIONS, "bicubic")
CUBIC_STEPS = 1024
"""TensorFlow takes the weights of cubic interpolation from a table with so many places between two pixels."""


def frame_per_axis(name: str, value: Any, rank: int) -> tuple[tuple[int, int], ...]:
    """(before, after) for each axis, of n, one number per axis, or pairs. Raises UsageError."""
    sides = (value,) * rank if isinstance(value, int) else tuple(value)
    if rank == 1 and len(sides) == 2 and all(isinstance(side, int) for side in sides):
        sides = (sides,)
    if len(sides) != rank:
        raise UsageError(f"{name} {value}: give one number, or one (or a pair) for each of {rank} axes")
    found = tuple((int(side), int(side)) if isinstance(side, int) else tuple(map(int, side)) for side in sides)
    if any(len(side) != 2 or min(side) < 0 for side in found):
        raise UsageError(f"{name} {value}: sizes must not be negative")
    return found


@dataclass(frozen=True)
class Padded(Layer):
    """Zeros before and after the positions."""

    rank: ClassVar[int] = 1

    def __post_init__(self) -> None:
        frame = frame_per_axis("padding", self.padding, self.rank)
        normalize(self, padding=frame[0] if self.rank == 1 else frame)

    @property
    def frame(self) -> tuple[tuple[int, int], ...]:
        return (self.padding,) if self.rank == 1 else self.padding

    def output_shape(self, shape: Shape) -> Shape:
        check_positions(shape, self.rank)
        sizes = zip(shape[:-1], self.frame, strict=True)
        return *(None if size is None else size + sum(side) for size, side in sizes), shape[-1]

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        return framed(x, self.frame), lambda dy: (unframed(dy, self.frame), ())


@LAYERS.register("ZeroPadding1D")
@dataclass(frozen=True)
class ZeroPadding1D(Padded):
    """Steps of zeros before and after a sequence: n for both, or (before, after)."""

    padding: int | tuple[int, int] = 1


@LAYERS.register("ZeroPadding3D")
@dataclass(frozen=True)
class ZeroPadding3D(Padded):
    """A frame of zeros around a volume: n for all sides, three numbers, or three pairs."""

    padding: int | tuple[Any, Any, Any] = 1

    rank: ClassVar[int] = 3


@dataclass(frozen=True)
class Cropped(Layer):
    """The positions without some at the sides."""

    rank: ClassVar[int] = 1

    def __post_init__(self) -> None:
        frame = frame_per_axis("cropping", self.cropping, self.rank)
        normalize(self, cropping=frame[0] if self.rank == 1 else frame)

    @property
    def frame(self) -> tuple[tuple[int, int], ...]:
        return (self.cropping,) if self.rank == 1 else self.cropping

    def output_shape(self, shape: Shape) -> Shape:
        check_positions(shape, self.rank)
        sizes = zip(shape[:-1], self.frame, strict=True)
        return *(None if size is None else size - sum(side) for size, side in sizes), shape[-1]

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        return unframed(x, self.frame).copy(), lambda dy: (framed(dy, self.frame), ())


@LAYERS.register("Cropping1D")
@dataclass(frozen=True)
class Cropping1D(Cropped):
    """A sequence without steps at its ends: n at both, or (before, after)."""

    cropping: int | tuple[int, int] = (1, 1)


@LAYERS.register("Cropping2D")
@dataclass(frozen=True)
class Cropping2D(Cropped):
    """An image without its border: n for all sides, (rows, columns), or ((top, bottom), (left, right))."""

    cropping: int | tuple[Any, Any] = ((0, 0), (0, 0))

    rank: ClassVar[int] = 2


@LAYERS.register("Cropping3D")
@dataclass(frozen=True)
class Cropping3D(Cropped):
    """A volume without its border: n for all sides, three numbers, or three pairs."""

    cropping: int | tuple[Any, Any, Any] = ((1, 1), (1, 1), (1, 1))

    rank: ClassVar[int] = 3


@dataclass(frozen=True)
class Repeated(Layer):
    """Every position several times."""

    rank: ClassVar[int] = 1

    def __post_init__(self) -> None:
        sizes = per_axis("size", self.size, self.rank)
        normalize(self, size=sizes[0] if self.rank == 1 else sizes)

    @property
    def factors(self) -> tuple[int, ...]:
        return (self.size,) if self.rank == 1 else self.size

    def output_shape(self, shape: Shape) -> Shape:
        check_positions(shape, self.rank)
        sizes = zip(shape[:-1], self.factors, strict=True)
        return *(None if size is None else size * factor for size, factor in sizes), shape[-1]

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        y = x
        for axis, factor in enumerate(self.factors, 1):
            y = np.repeat(y, factor, axis)

        def backward(dy: Array) -> tuple[Array, tuple]:
            for axis, factor in enumerate(self.factors, 1):
                dy = dy.reshape(*dy.shape[:axis], -1, factor, *dy.shape[axis + 1 :]).sum(axis + 1)
            return dy, ()

        return y, backward


@LAYERS.register("UpSampling1D")
@dataclass(frozen=True)
class UpSampling1D(Repeated):
    """Every step ``size`` times."""

    size: int | tuple[int] = 2


@LAYERS.register("UpSampling3D")
@dataclass(frozen=True)
class UpSampling3D(Repeated):
    """Every point of a volume ``size`` times along each axis."""

    size: int | tuple[int, int, int] = 2

    rank: ClassVar[int] = 3


@dataclass(frozen=True)
class Resampled(Layer):
    """An image at other sizes: a weighted sum of rows, then of columns."""

    def resample(self, x: Array, height: int, width: int) -> tuple[Array, Backward]:
        rows = resize_matrix(x.shape[1], height, self.interpolation).astype(x.dtype)
        columns = resize_matrix(x.shape[2], width, self.interpolation).astype(x.dtype)
        y = np.einsum("ih,nhwc,jw->nijc", rows, x, columns, optimize=True)
        return y, lambda dy: (np.einsum("ih,nijc,jw->nhwc", rows, dy, columns, optimize=True), ())

    def largest_window(self, x: Array, height: int, width: int) -> tuple[Array, Backward]:
        """The largest window in the middle that has the wanted shape, at the wanted size."""
        tall = max(min(x.shape[1], x.shape[2] * height // width), 1)
        wide = max(min(x.shape[2], x.shape[1] * width // height), 1)
        top, left = (x.shape[1] - tall) // 2, (x.shape[2] - wide) // 2
        inside = (slice(None), slice(top, top + tall), slice(left, left + wide))
        y, shrink = self.resample(x[inside], height, width)

        def backward(dy: Array) -> tuple[Array, tuple]:
            dx = np.zeros_like(x)
            dx[inside] = shrink(dy)[0]
            return dx, ()

        return y, backward


@LAYERS.register("UpSampling2D", "upsample")
@dataclass(frozen=True)
class UpSampling2D(Resampled):
    """An image ``size`` times as large, "nearest" (every pixel repeated), "bilinear" or "bicubic"."""

    size: int | tuple[int, int] = (2, 2)
    interpolation: str = "nearest"

    def __post_init__(self) -> None:
        checked_interpolation(self.interpolation, RESIZINGS)
        normalize(self, size=per_axis("size", self.size, 2))

    def output_shape(self, shape: Shape) -> Shape:
        check_positions(shape, 2)
        sizes = zip(shape[:2], self.size, strict=True)
        return *(None if size is None else size * factor for size, factor in sizes), shape[-1]

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        return self.resample(x, x.shape[1] * self.size[0], x.shape[2] * self.size[1])


@LAYERS.register("Resizing", "resize")
@dataclass(frozen=True)
class Resizing(Resampled):
    """An image at ``height`` x ``width``, stretched, or with ``crop_to_aspect_ratio`` the largest part of that shape.

    ``interpolation``: bilinear, nearest or bicubic (Keras's other ways are not supported).
    """

    height: int
    width: int
    interpolation: str = "bilinear"
    crop_to_aspect_ratio: bool = False

    def __post_init__(self) -> None:
        checked_interpolation(self.interpolation, RESIZINGS)
        sizes = {"height": positive("height", self.height), "width": positive("width", self.width)}
        normalize(self, **sizes, crop_to_aspect_ratio=bool(self.crop_to_aspect_ratio))

    def output_shape(self, shape: Shape) -> Shape:
        check_positions(shape, 2)
        return self.height, self.width, shape[-1]

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        return (self.largest_window if self.crop_to_aspect_ratio else self.resample)(x, self.height, self.width)


@LAYERS.register("CenterCrop")
@dataclass(frozen=True)
class CenterCrop(Resampled):
    """The ``height`` x ``width`` pixels in the middle of an image; of a smaller one the largest window, enlarged."""

    height: int
    width: int

    interpolation: ClassVar[str] = "bilinear"

    def __post_init__(self) -> None:
        normalize(self, height=positive("height", self.height), width=positive("width", self.width))

    def output_shape(self, shape: Shape) -> Shape:
        check_positions(shape, 2)
        return self.height, self.width, shape[-1]

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        if x.shape[1] < self.height or x.shape[2] < self.width:
            return self.largest_window(x, self.height, self.width)
        top, left = (x.shape[1] - self.height) // 2, (x.shape[2] - self.width) // 2
        inside = (slice(None), slice(top, top + self.height), slice(left, left + self.width))

        def backward(dy: Array) -> tuple[Array, tuple]:
            dx = np.zeros_like(x)
            dx[inside] = dy
            return dx, ()

        return x[inside].copy(), backward


def checked_interpolation(name: str, known: tuple[str, ...] = INTERPOLATIONS) -> None:
    if name not in known:
        raise UsageError(f"interpolation {name!r} is not supported; use {' or '.join(known)}")


def resize_matrix(size: int, wanted: int, interpolation: str) -> Array:
    """(wanted, size): how much each old position counts in each new one, with pixel centres at half numbers."""
    centre = (np.arange(wanted) + 0.5) * size / wanted
    matrix = np.zeros((wanted, size))
    rows = np.arange(wanted)
    if interpolation == "nearest":
        matrix[rows, np.minimum(centre.astype(int), size - 1)] = 1
        return matrix
    low = np.floor(centre - 0.5).astype(int)
    share = centre - 0.5 - low
    if interpolation == "bicubic":
        for step in (-1, 0, 1, 2):
            inside = (low + step >= 0) & (low + step < size)
            weight = cubic(np.abs(np.rint(share * CUBIC_STEPS) / CUBIC_STEPS - step))
            matrix[rows[inside], (low + step)[inside]] = weight[inside]
        return matrix / matrix.sum(1, keepdims=True)
    np.add.at(matrix, (rows, np.clip(low, 0, size - 1)), 1 - share)
    np.add.at(matrix, (rows, np.clip(low + 1, 0, size - 1)), share)
    return matrix


def cubic(distance: Array) -> Array:
    """How much a pixel counts at a distance of 0 to 2.

    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981, equation 4 with a = -1/2.
    """
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance <= 1, near, far)
