"""Augmentations that join two rows, and their labels with them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from dltool.data.augment.base import AUGMENTATIONS, Array, Mixing, rounded

TABLE = 4097
"""Points of the table that turns uniform numbers into Beta ones."""


@AUGMENTATIONS.register("mixup")
@dataclass(frozen=True)
class Mixup(Mixing):
    """Both rows laid over each other, with a share drawn from Beta(alpha, alpha); for rows of any shape.

    Source: Zhang et al., mixup: beyond empirical risk minimization, 2017, section 2. The share is drawn for each row.
    """

    alpha: float = 0.2

    draws = 1
    needs_image = False

    def __post_init__(self) -> None:
        self._check("alpha", 0, 100)

    def mix(self, rows: Array, partners: Array, u: Array) -> Array:
        share = beta(self.alpha, u[:, 0]).astype(np.float32)
        for row, part in enumerate(share):
            rows[row] = rounded(rows[row] * part + partners[row] * (np.float32(1) - part), rows.dtype)
        return share


@AUGMENTATIONS.register("cutmix")
@dataclass(frozen=True)
class Cutmix(Mixing):
    """A rectangle comes from the other image; its area is drawn from Beta(alpha, alpha), labels follow its pixels.

    Source: Yun et al., CutMix: regularization strategy to train strong classifiers, 2019, section 3.1.
    """

    alpha: float = 1.0

    draws = 3

    def __post_init__(self) -> None:
        self._check("alpha", 0, 100)

    def mix(self, rows: Array, partners: Array, u: Array) -> Array:
        height, width = rows.shape[1:3]
        part = np.sqrt(1 - beta(self.alpha, u[:, 0]))
        share = np.empty(len(rows), np.float32)
        sides = []
        for side, centre in ((height, u[:, 1]), (width, u[:, 2])):
            half, middle = (part * side).astype(int) // 2, (centre * side).astype(int)
            sides.append(np.clip([middle - half, middle + half], 0, side))
        (tops, bottoms), (lefts, rights) = sides
        for row, (top, bottom, left, right) in enumerate(zip(tops, bottoms, lefts, rights, strict=True)):
            rows[row, top:bottom, left:right] = partners[row, top:bottom, left:right]
            share[row] = 1 - (bottom - top) * (right - left) / (height * width)
        return share


def beta(alpha: float, u: Array) -> Array:
    """Numbers of the distribution Beta(alpha, alpha) for uniform ones, by inverting its distribution function."""
    places, values = _half(alpha)
    lower = np.interp(np.minimum(u, 1 - u), places, values)
    return np.where(u <= 0.5, lower, 1 - lower)


@cache
def _half(alpha: float) -> tuple[Array, Array]:
    """The distribution function up to 1/2 and where it is reached.

    Below alpha = 1 the density x^(alpha-1) (1-x)^(alpha-1) has a pole at 0, which is gone with t = x^alpha for x.
    """
    power = min(alpha, 1.0)
    t = np.linspace(0, 0.5**power, TABLE)
    values = t ** (1 / power)
    density = t ** (alpha / power - 1) * (1 - values) ** (alpha - 1)
    total = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return total / (2 * total[-1]), values
