"""Augmentations that hide a part of the image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dltool.data.augment.base import AUGMENTATIONS, Array, Erasing, Size, pixels, rounded, uniform
from dltool.data.augment.colour import means
from dltool.errors import UsageError

AREAS = (0.02, 0.33)
PROPORTIONS = (0.3, 1 / 0.3)


@AUGMENTATIONS.register("cutout")
@dataclass(frozen=True)
class Cutout(Erasing):
    """A square of so many pixels (or a part of the shorter side) takes the image's mean colour.

    Its centre is any pixel, so that a part of it may lie outside. Source: DeVries and Taylor, Improved regularization
    of convolutional neural networks with cutout, 2017, section 3, who set normalised pixels to zero.
    """

    amount: float = 0.25

    draws = 2

    def __post_init__(self) -> None:
        self._check("amount", 0, 1024)

    def check_size(self, size: Size) -> None:
        if pixels(self.amount, min(size)) >= min(size):
            raise UsageError(f"--augment: {self} is larger than the images of {size[0]}x{size[1]}; give less")

    def erase(self, planes: Array, u: Array, span: tuple[float, float]) -> None:
        side = pixels(self.amount, min(planes.shape[2:]))
        tops, lefts = (np.floor(u.T * np.array(planes.shape[2:])[:, None]).astype(int) - side // 2).tolist()
        fill = rounded(means(planes), planes.dtype)
        for row, (top, left) in enumerate(zip(tops, lefts, strict=True)):
            planes[:, row, max(0, top) : top + side, max(0, left) : left + side] = fill[:, row]


@AUGMENTATIONS.register("erase")
@dataclass(frozen=True)
class RandomErasing(Erasing):
    """With a probability, a rectangle of 2 to 33 % of the area gets one random colour.

    Its proportions are between 0.3 and 3.3; one that does not fit is cut to the image. Source: Zhong et al., Random
    erasing data augmentation, 2017, algorithm 1, which draws a colour for each pixel and tries again until it fits.
    """

    probability: float = 0.25

    draws = 8

    def __post_init__(self) -> None:
        self._check("probability", 0, 1)

    def erase(self, planes: Array, u: Array, span: tuple[float, float]) -> None:
        height, width = planes.shape[2:]
        area = uniform(u[:, 1], *AREAS) * height * width
        ratio = np.exp(uniform(u[:, 2], *map(math.log, PROPORTIONS)))
        tall = np.clip(np.rint(np.sqrt(area * ratio)), 1, height).astype(int)
        wide = np.clip(np.rint(np.sqrt(area / ratio)), 1, width).astype(int)
        top, left = (u[:, 3] * (height - tall + 1)).astype(int), (u[:, 4] * (width - wide + 1)).astype(int)
        fill = rounded(uniform(u[:, 5:8], *span).astype(np.float32), planes.dtype)
        for row in np.flatnonzero(u[:, 0] < self.probability).tolist():
            place = slice(top[row], top[row] + tall[row]), slice(left[row], left[row] + wide[row])
            for channel, plane in enumerate(planes):
                plane[row][place] = fill[row, channel % 3]
