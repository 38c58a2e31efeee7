"""Layers that disturb images in training only, as Keras has them: flips, turns, shifts, crops, light.

At inference they pass images on (a crop cuts the middle and resizes). In training every image draws its own numbers
from the node's counter-based stream, so that a run is the same on any number of lanes. Imports engine basics only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, normalize
from dltool.engine.layers.core import positive
from dltool.engine.layers.resizing import Resampled, checked_interpolation
from dltool.engine.layers.sampling import FILL_MODES, affine
from dltool.engine.layers.spatial import check_positions
from dltool.errors import UsageError

MODES = ("horizontal", "vertical", "horizontal_and_vertical")

Range = tuple[float, float]


def drawn_range(name: str, value: Any, lowest: float = -1.0) -> Range:
    """(lower, upper) of a number f, which means -f to f, or of two numbers. Raises UsageError."""
    found = tuple(map(float, value)) if isinstance(value, list | tuple) else (-abs(float(value)), abs(float(value)))
    if len(found) != 2 or not lowest <= min(found) or not max(found) <= 1:
        raise UsageError(f"{name} {value}: give a number from 0 to 1, or two from {lowest:g} to 1")
    return min(found), max(found)


def between(limits: Range, uniform: Array) -> Array:
    """Uniform numbers from 0 to 1 stretched onto a range."""
    return limits[0] + (limits[1] - limits[0]) * uniform


@dataclass(frozen=True)
class RandomImage(Layer):
    """A layer that passes images on at inference and disturbs each one apart in training."""

    is_random: ClassVar[bool] = True
    idle_at_inference: ClassVar[bool] = True

    def output_shape(self, shape: Shape) -> Shape:
        check_positions(shape, 2)
        return shape

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        if not call.training:
            return x, lambda dy: (dy, ())
        return self.disturbed(x, call)

    def disturbed(self, x: Array, call: Call) -> tuple[Array, Backward]:
        raise NotImplementedError(type(self).__name__)


@LAYERS.register("RandomFlip")
@dataclass(frozen=True)
class RandomFlip(RandomImage):
    """In training mirrors every second image, left to right, top to bottom, or either.

    Deviation from Keras 3.15, which draws one number for both directions: here they are drawn apart, as in Keras 2.
    """

    mode: str = "horizontal_and_vertical"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"mode {self.mode!r} is not known; use {', '.join(MODES)}")

    def disturbed(self, x: Array, call: Call) -> tuple[Array, Backward]:
        chosen = call.stream.uniform((len(x), 2)) < 0.5
        chosen &= (self.mode != "horizontal", self.mode != "vertical")
        return mirrored(x, chosen), lambda dy: (mirrored(dy, chosen), ())


def mirrored(x: Array, chosen: Array) -> Array:
    """A copy of images with the rows, the columns or both in reverse; chosen: (n, 2) bool."""
    y = x.copy()
    y[chosen[:, 0]] = y[chosen[:, 0], ::-1]
    y[chosen[:, 1]] = y[chosen[:, 1], :, ::-1]
    return y


@dataclass(frozen=True)
class RandomMove(RandomImage):
    """A layer that moves the pixels of images: its ``matrices`` say from where."""

    def check(self, **ranges: Any) -> None:
        """The common fields of all moves. Raises UsageError."""
        if self.fill_mode not in FILL_MODES:
            raise UsageError(f"fill_mode {self.fill_mode!r} is not known; use {', '.join(FILL_MODES)}")
        checked_interpolation(self.interpolation)
        normalize(self, fill_value=float(self.fill_value), **ranges)

    def matrices(self, uniform: Array, height: int, width: int) -> Array:
        """(n, 2, 3): (row, column, 1) in the new image -> the place in the old one; uniform: (n, 2) from 0 to 1."""
        raise NotImplementedError(type(self).__name__)

    def disturbed(self, x: Array, call: Call) -> tuple[Array, Backward]:
        uniform = call.stream.uniform((len(x), 2))
        places = self.matrices(uniform, x.shape[1], x.shape[2])
        return affine(x, places, self.interpolation, self.fill_mode, self.fill_value)


def scaled_about_middle(rows: Array, columns: Array, height: int, width: int) -> Array:
    """Matrices (n, 2, 3) that scale places by (n,) factors and leave the middle where it is."""
    places = np.zeros((len(rows), 2, 3))
    places[:, 0, 0], places[:, 1, 1] = rows, columns
    places[:, 0, 2] = (1 - rows) * (height - 1) / 2
    places[:, 1, 2] = (1 - columns) * (width - 1) / 2
    return places


@LAYERS.register("RandomRotation")
@dataclass(frozen=True)
class RandomRotation(RandomMove):
    """In training turns images about their middle by ``factor`` of a full turn: 0.1 is -36 to 36 degrees."""

    factor: float | tuple[float, float]
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    fill_value: float = 0.0

    def __post_init__(self) -> None:
        self.check(factor=drawn_range("factor", self.factor))

    def matrices(self, uniform: Array, height: int, width: int) -> Array:
        angle = 2 * np.pi * between(self.factor, uniform[:, 0])
        cos, sin = np.cos(angle), np.sin(angle)
        y, x = (height - 1) / 2, (width - 1) / 2
        rows = np.stack([cos, sin, y - cos * y - sin * x], -1)
        return np.stack([rows, np.stack([-sin, cos, x + sin * y - cos * x], -1)], 1)


@LAYERS.register("RandomZoom")
@dataclass(frozen=True)
class RandomZoom(RandomMove):
    """In training shows images smaller (positive factors) or larger; without ``width_factor`` the aspect is kept."""

    height_factor: float | tuple[float, float]
    width_factor: float | tuple[float, float] | None = None
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    fill_value: float = 0.0

    def __post_init__(self) -> None:
        width = None if self.width_factor is None else drawn_range("width_factor", self.width_factor)
        self.check(height_factor=drawn_range("height_factor", self.height_factor), width_factor=width)

    def matrices(self, uniform: Array, height: int, width: int) -> Array:
        rows = 1 + between(self.height_factor, uniform[:, 0])
        columns = rows if self.width_factor is None else 1 + between(self.width_factor, uniform[:, 1])
        return scaled_about_middle(rows, columns, height, width)


@LAYERS.register("RandomTranslation")
@dataclass(frozen=True)
class RandomTranslation(RandomMove):
    """In training shifts images by up to these shares of their height and width; positive is down and to the right."""

    height_factor: float | tuple[float, float]
    width_factor: float | tuple[float, float]
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    fill_value: float = 0.0

    def __post_init__(self) -> None:
        self.check(
            height_factor=drawn_range("height_factor", self.height_factor),
            width_factor=drawn_range("width_factor", self.width_factor),
        )

    def matrices(self, uniform: Array, height: int, width: int) -> Array:
        still = np.ones(len(uniform))
        places = scaled_about_middle(still, still, height, width)
        places[:, 0, 2] = -height * between(self.height_factor, uniform[:, 0])
        places[:, 1, 2] = -width * between(self.width_factor, uniform[:, 1])
        return places


def clipped(y: Array, limits: Range) -> tuple[Array, Array]:
    """Values within limits, and where they were already."""
    low, high = limits
    return np.clip(y, low, high), (y >= low) & (y <= high)


def value_limits(value: Any) -> Range:
    """The two ends of the pixels' values. Raises UsageError."""
    found = tuple(map(float, value))
    if len(found) != 2 or found[0] >= found[1]:
        raise UsageError(f"value_range {value}: give the smallest and the largest value of a pixel, e.g. 0 and 255")
    return found


@LAYERS.register("RandomContrast")
@dataclass(frozen=True)
class RandomContrast(RandomImage):
    """In training stretches the pixels about each channel's mean by 1 - lower to 1 + upper, within ``value_range``."""

    factor: float | tuple[float, float]
    value_range: tuple[float, float] = (0.0, 255.0)

    def __post_init__(self) -> None:
        factor = self.factor
        factor = tuple(map(float, factor)) if isinstance(factor, list | tuple) else (float(factor), float(factor))
        if len(factor) != 2 or min(factor) < 0 or factor[0] > 1:
            raise UsageError(f"factor {self.factor}: give a number from 0 to 1, or two")
        normalize(self, factor=factor, value_range=value_limits(self.value_range))

    def disturbed(self, x: Array, call: Call) -> tuple[Array, Backward]:
        stretch = between((1 - self.factor[0], 1 + self.factor[1]), call.stream.uniform((len(x), 1)))
        stretch = stretch.astype(x.dtype).reshape(-1, 1, 1, 1)
        mean = x.mean((1, 2), keepdims=True)
        y, inside = clipped((x - mean) * stretch + mean, self.value_range)

        def backward(dy: Array) -> tuple[Array, tuple]:
            dy = dy * inside
            return dy * stretch + dy.mean((1, 2), keepdims=True) * (1 - stretch), ()

        return y, backward


@LAYERS.register("RandomBrightness")
@dataclass(frozen=True)
class RandomBrightness(RandomImage):
    """In training adds one number to all pixels of an image, ``factor`` being a share of ``value_range``."""

    factor: float | tuple[float, float]
    value_range: tuple[float, float] = (0.0, 255.0)

    def __post_init__(self) -> None:
        normalize(self, factor=drawn_range("factor", self.factor), value_range=value_limits(self.value_range))

    def disturbed(self, x: Array, call: Call) -> tuple[Array, Backward]:
        low, high = self.value_range
        light = (high - low) * between(self.factor, call.stream.uniform((len(x), 1)))
        y, inside = clipped(x + light.astype(x.dtype).reshape(-1, 1, 1, 1), self.value_range)
        return y, lambda dy: (dy * inside, ())


@LAYERS.register("RandomCrop")
@dataclass(frozen=True)
class RandomCrop(Resampled):
    """In training a window of ``height`` x ``width`` from anywhere; else the largest one in the middle, resized.

    An image that is smaller is treated in training as at inference. Deviations: in Keras all images of a batch have one
    window, here each has its own; at inference Keras 3.15 does not cut at all and then contradicts its own output
    shape, so the documented rule, which Keras 2 follows, is taken.
    """

    height: int
    width: int

    is_random: ClassVar[bool] = True
    interpolation: ClassVar[str] = "bilinear"

    def __post_init__(self) -> None:
        normalize(self, height=positive("height", self.height), width=positive("width", self.width))

    def output_shape(self, shape: Shape) -> Shape:
        check_positions(shape, 2)
        return self.height, self.width, shape[-1]

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        spare = np.subtract(x.shape[1:3], (self.height, self.width))
        if call.training and spare.min() >= 0:
            corners = (call.stream.uniform((len(x), 2)) * (spare + 1)).astype(int)
            return self.windows(x, corners)
        return self.largest_window(x, self.height, self.width)

    def windows(self, x: Array, corners: Array) -> tuple[Array, Backward]:
        """Each image's window from its (top, left) corner."""
        cuts = [
            (row, slice(top, top + self.height), slice(left, left + self.width))
            for row, (top, left) in enumerate(corners)
        ]

        def backward(dy: Array) -> tuple[Array, tuple]:
            dx = np.zeros_like(x)
            for row, cut in enumerate(cuts):
                dx[cut] = dy[row]
            return dx, ()

        return np.stack([x[cut] for cut in cuts]), backward


@dataclass(frozen=True)
class RandomSize(RandomImage):
    """Images of another height or width in each batch of Keras 2; at inference they stay as they are.

    Deviation: a network with it predicts and gives features, but is not trained. What the layer is for is the change of
    size: stretched and brought back to one size, an image would only be blurred.
    """

    factor: float | tuple[float, float]
    interpolation: str = "bilinear"

    is_random: ClassVar[bool] = False
    refuses_training: ClassVar[str] = (
        "gives the images of each batch another size in training, and dltool plans a training for one size; save the "
        "model in Keras without the layer, and train with --augment zoom=0.2 instead"
    )

    def __post_init__(self) -> None:
        normalize(self, factor=drawn_range("factor", self.factor))

    def disturbed(self, x: Array, call: Call) -> tuple[Array, Backward]:
        return x, lambda dy: (dy, ())


@LAYERS.register("RandomHeight")
@dataclass(frozen=True)
class RandomHeight(RandomSize):
    """Passes images on; Keras 2 stretches each batch of a training to a random height, which dltool refuses to do."""


@LAYERS.register("RandomWidth")
@dataclass(frozen=True)
class RandomWidth(RandomSize):
    """Passes images on; Keras 2 stretches each batch of a training to a random width, which dltool refuses to do."""
