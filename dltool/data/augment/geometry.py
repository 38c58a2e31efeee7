"""Augmentations that move pixels, each as a matrix from the result to the original, and the one resampling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dltool.data.augment.base import AUGMENTATIONS, Array, Geometric, Size, pixels, uniform
from dltool.engine.buffers import Workspace
from dltool.errors import UsageError


def identity(count: int) -> Array:
    """(count, 3, 3) matrices that move nothing."""
    return np.tile(np.eye(3), (count, 1, 1))


@AUGMENTATIONS.register("hflip")
@dataclass(frozen=True)
class HorizontalFlip(Geometric):
    """Left and right exchanged, with a probability."""

    probability: float = 0.5

    draws = 1
    whole = True

    def __post_init__(self) -> None:
        self._check("probability", 0, 1)

    def matrices(self, u: Array, size: Size) -> Array:
        found = identity(len(u))
        found[:, 0, 0] = np.where(u[:, 0] < self.probability, -1, 1)
        return found


@AUGMENTATIONS.register("vflip")
@dataclass(frozen=True)
class VerticalFlip(Geometric):
    """Top and bottom exchanged, with a probability."""

    probability: float = 0.5

    draws = 1
    whole = True

    def __post_init__(self) -> None:
        self._check("probability", 0, 1)

    def matrices(self, u: Array, size: Size) -> Array:
        found = identity(len(u))
        found[:, 1, 1] = np.where(u[:, 0] < self.probability, -1, 1)
        return found


@AUGMENTATIONS.register("turn")
@dataclass(frozen=True)
class QuarterTurns(Geometric):
    """No, one, two or three quarter turns (no or two where the image is not square), with a probability at all."""

    probability: float = 1.0

    draws = 2
    whole = True

    def __post_init__(self) -> None:
        self._check("probability", 0, 1)

    def matrices(self, u: Array, size: Size) -> Array:
        turns = np.floor(4 * u[:, 1]).astype(int) if size[0] == size[1] else 2 * np.floor(2 * u[:, 1]).astype(int)
        turns[u[:, 0] >= self.probability] = 0
        cos, sin = np.array([1, 0, -1, 0])[turns], np.array([0, 1, 0, -1])[turns]
        return rotation(cos, sin)


@AUGMENTATIONS.register("rotate")
@dataclass(frozen=True)
class Rotation(Geometric):
    """Up to so many degrees either way."""

    degrees: float = 15.0

    draws = 1

    def __post_init__(self) -> None:
        self._check("degrees", 0, 180)

    def matrices(self, u: Array, size: Size) -> Array:
        angle = np.radians(uniform(u[:, 0], -self.degrees, self.degrees))
        return rotation(np.cos(angle), np.sin(angle))


def rotation(cos: Array, sin: Array) -> Array:
    """(n, 3, 3); a positive angle turns the picture against the clock."""
    found = identity(len(cos))
    found[:, 0, 0], found[:, 0, 1], found[:, 1, 0], found[:, 1, 1] = cos, -sin, sin, cos
    return found


@AUGMENTATIONS.register("zoom")
@dataclass(frozen=True)
class Zoom(Geometric):
    """Larger or smaller by a factor between 1 / (1 + part) and 1 + part, its logarithm uniform."""

    part: float = 0.1

    draws = 1

    def __post_init__(self) -> None:
        self._check("part", 0, 4)

    def matrices(self, u: Array, size: Size) -> Array:
        found = identity(len(u))
        found[:, 0, 0] = found[:, 1, 1] = (1 + self.part) ** uniform(u[:, 0], -1, 1)
        return found


@AUGMENTATIONS.register("shift")
@dataclass(frozen=True)
class Shift(Geometric):
    """Up to a part of the side (or so many pixels) in each direction, by whole pixels, which blurs nothing."""

    amount: float = 0.1

    draws = 2
    whole = True

    def __post_init__(self) -> None:
        self._check("amount", 0, 1024)

    def check_size(self, size: Size) -> None:
        if pixels(self.amount, min(size)) >= min(size):
            raise UsageError(f"--augment: {self} is larger than the images of {size[0]}x{size[1]}; give less")

    def matrices(self, u: Array, size: Size) -> Array:
        found = identity(len(u))
        for axis, side in enumerate((size[1], size[0])):
            most = pixels(self.amount, side)
            found[:, axis, 2] = np.floor((2 * most + 1) * u[:, axis]) - most
        return found


@AUGMENTATIONS.register("crop")
@dataclass(frozen=True)
class PaddedCrop(Shift):
    """Padded on all sides by so many pixels (or a part of the side), then cut to its size anywhere.

    Source: Lee et al., Deeply-supervised nets, 2014, and He et al., 2015, section 4.2, who pad with zeros; here the
    border is mirrored, as in every other move.
    """

    amount: float = 0.125


@AUGMENTATIONS.register("shear")
@dataclass(frozen=True)
class Shear(Geometric):
    """Slanted by up to so many degrees, along each axis."""

    degrees: float = 10.0

    draws = 2

    def __post_init__(self) -> None:
        self._check("degrees", 0, 80)

    def matrices(self, u: Array, size: Size) -> Array:
        found = identity(len(u))
        found[:, 0, 1], found[:, 1, 0] = np.tan(np.radians(uniform(u, -self.degrees, self.degrees))).T
        return found


def resample(images: Array, matrices: Array, planes: Array, room: Workspace, whole: bool = False) -> None:
    """Fill (channels, n, height, width) planes, each pixel from where its image's matrix says.

    Bilinear; what lies outside is mirrored at the border's pixels.

    Args:
        images: (n, height, width, channels), at least 2x2. matrices: (n, 3, 3).
        room: for temporaries; fresh ones of this size would be given back to the system, and cleared, at every call
            (measured: twice the time).
        whole: all places are pixels, so that nothing is interpolated; planes may then be of the images' type.
    """
    count, height, width, channels = images.shape
    shape = (count, height, width)
    x, y = _places(matrices.astype(np.float32), height, width, room)
    start = (np.arange(count) * (height * width))[:, None, None]
    index = room.temp("index", shape, np.intp)
    if whole:
        np.add(np.rint(y).astype(np.intp) * width, np.rint(x).astype(np.intp) + start, out=index)
        index *= channels
        flat = np.ascontiguousarray(images).reshape(-1)
        for plane in planes:
            _take(flat, index, plane, room)
            index += 1
        return
    across, down = room.temp("across", shape), room.temp("down", shape)
    left = room.temp("left", shape, np.intp)
    _split(y, height, index, down)
    _split(x, width, left, across)
    index *= width
    index += left
    index += start
    index *= channels
    flat = room.temp("flat", (images.size,))
    np.copyto(flat, images.reshape(-1), casting="unsafe")
    lower = room.temp("lower", shape)
    for plane in planes:
        _between(flat, index, channels, across, plane, room)
        index += width * channels
        _between(flat, index, channels, across, lower, room)
        index += 1 - width * channels
        lower -= plane
        lower *= down
        plane += lower


def _places(matrices: Array, height: int, width: int, room: Workspace) -> tuple[Array, Array]:
    """x and y in the original of each pixel, inside it; (n, 1, width) and (n, height, 1) where nothing slants."""
    right = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
    downward = np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2)
    m = matrices[:, :, :, None, None]
    x = m[:, 0, 0] * right[None, None, :] + (m[:, 0, 2] + np.float32((width - 1) / 2))
    y = m[:, 1, 1] * downward[None, :, None] + (m[:, 1, 2] + np.float32((height - 1) / 2))
    shape = (len(matrices), height, width)
    if matrices[:, 0, 1].any():
        x = np.add(x, m[:, 0, 1] * downward[None, :, None], out=room.temp("x", shape))
    if matrices[:, 1, 0].any():
        y = np.add(y, m[:, 1, 0] * right[None, None, :], out=room.temp("y", shape))
    return _mirrored(x, width), _mirrored(y, height)


def _mirrored(places: Array, side: int) -> Array:
    """Places folded back at the first and the last pixel, in place."""
    last = np.float32(side - 1)
    np.abs(places, out=places)
    if places.max(initial=0) > 2 * last:
        np.fmod(places, 2 * last, out=places)
    np.subtract(last, places, out=places)
    np.abs(places, out=places)
    np.subtract(last, places, out=places)
    return np.clip(places, 0, last, out=places)


def _split(places: Array, side: int, whole: Array, part: Array) -> None:
    """Places as the pixel before and what is left; the last pixel is one after the last but one."""
    np.copyto(whole, places, casting="unsafe")
    np.minimum(whole, side - 2, out=whole)
    np.copyto(part, whole, casting="unsafe")
    np.subtract(places, part, out=part)


def _between(flat: Array, index: Array, channels: int, part: Array, out: Array, room: Workspace) -> None:
    """Values at ``index`` and at the next pixel, mixed."""
    second = room.temp("second", out.shape)
    _take(flat, index, out, room)
    _take(flat[channels:], index, second, room)
    second -= out
    second *= part
    out += second


def _take(flat: Array, index: Array, out: Array, room: Workspace) -> None:
    """``out[...] = flat[index]``, converted where the types differ; indices are known to be inside."""
    if out.dtype == flat.dtype:
        flat.take(index, out=out, mode="clip")
    else:
        np.copyto(out, flat.take(index, out=room.temp("taken", out.shape, flat.dtype), mode="clip"))
