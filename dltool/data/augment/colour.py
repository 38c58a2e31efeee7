"""Augmentations that change values: brightness, contrast, saturation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dltool.data.augment.base import AUGMENTATIONS, Array, Colour, uniform

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


@AUGMENTATIONS.register("brightness")
@dataclass(frozen=True)
class Brightness(Colour):
    """Up to this part of the range of values added or taken away (Keras: RandomBrightness)."""

    part: float = 0.2

    draws = 1

    def __post_init__(self) -> None:
        self._check("part", 0, 1)

    def recolour(self, planes: Array, u: Array, span: tuple[float, float]) -> None:
        planes += _each(uniform(u[:, 0], -self.part, self.part) * (span[1] - span[0]))


@AUGMENTATIONS.register("contrast")
@dataclass(frozen=True)
class Contrast(Colour):
    """The distance to the image's mean, channel by channel, times 1 - part to 1 + part (Keras: RandomContrast)."""

    part: float = 0.2

    draws = 1

    def __post_init__(self) -> None:
        self._check("part", 0, 1)

    def recolour(self, planes: Array, u: Array, span: tuple[float, float]) -> None:
        stretch(planes, _each(uniform(u[:, 0], 1 - self.part, 1 + self.part)), means(planes))


@AUGMENTATIONS.register("saturation")
@dataclass(frozen=True)
class Saturation(Colour):
    """The distance to grey times 1 - part to 1 + part; images that are not RGB stay as they are."""

    part: float = 0.2

    draws = 1

    def __post_init__(self) -> None:
        self._check("part", 0, 1)

    def recolour(self, planes: Array, u: Array, span: tuple[float, float]) -> None:
        if len(planes) == len(LUMA):
            stretch(planes, _each(uniform(u[:, 0], 1 - self.part, 1 + self.part)), grey(planes))


def stretch(planes: Array, gain: Array, middle: Array) -> None:
    """``middle + gain * (planes - middle)`` in place."""
    planes -= middle
    planes *= gain
    planes += middle


def means(planes: Array) -> Array:
    """(channels, n, 1, 1), the mean of each image's channel."""
    return planes.mean(axis=(2, 3), keepdims=True)


def grey(planes: Array) -> Array:
    """(n, height, width) from red, green and blue planes."""
    found = planes[0] * np.float32(LUMA[0])
    found += planes[1] * np.float32(LUMA[1])
    found += planes[2] * np.float32(LUMA[2])
    return found


def _each(values: Array) -> Array:
    """One number per image, to go with planes."""
    return values.astype(np.float32)[:, None, None]
