"""What an augmentation is: a frozen dataclass of its amounts, filed under its name by decorator.

Each kind works at one place of the pipeline: geometry gives matrices, of which all are composed into one resampling;
colour and erasing change float planes; mixing joins two rows. All randomness comes in as numbers ``u`` between 0 and 1,
one row of them for each sample, so an augmentation is a plain function.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from dltool.errors import UsageError
from dltool.registry import Registry

AUGMENTATIONS: Registry[type[Augmentation]] = Registry("augmentation")

Array = np.ndarray
Size = tuple[int, int]


@dataclass(frozen=True)
class Augmentation:
    """Base of all.

    Attributes:
        draws: how many random numbers a sample needs.
        needs_image: False where rows of any shape will do.
    """

    draws: ClassVar[int] = 0
    needs_image: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """The name it is registered under."""
        return next(name for name in AUGMENTATIONS if AUGMENTATIONS.get(name) is type(self))

    def __str__(self) -> str:
        return f"{self.name}={':'.join(f'{getattr(self, f.name):g}' for f in fields(self))}"

    def check_size(self, size: Size) -> None:
        """Raise UsageError when images of (height, width) are too small for it."""

    def _check(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not low <= value <= high:
            raise UsageError(f"--augment: {self.name}={value:g} is out of range; give {low:g} to {high:g}")


class Geometric(Augmentation):
    """Moves pixels.

    Attributes:
        whole: every pixel of the result is one of the original, so that nothing need be interpolated.
    """

    whole: ClassVar[bool] = False

    def matrices(self, u: Array, size: Size) -> Array:
        """(n, 3, 3) from a pixel of the result to the place in the original, as (x, y, 1) from the centre in pixels.

        Args:
            u: (n, draws). size: (height, width).
        """
        raise NotImplementedError(type(self).__name__)


class Colour(Augmentation):
    """Changes values, not places."""

    def recolour(self, planes: Array, u: Array, span: tuple[float, float]) -> None:
        """Change (channels, n, height, width) float32 in place; what leaves ``span`` is cut off later, once.

        Args:
            u: (n, draws). span: the lowest and highest value.
        """
        raise NotImplementedError(type(self).__name__)


class Erasing(Augmentation):
    """Hides a part."""

    def erase(self, planes: Array, u: Array, span: tuple[float, float]) -> None:
        """Change (channels, n, height, width) of any type in place; arguments as for ``Colour.recolour``."""
        raise NotImplementedError(type(self).__name__)


class Mixing(Augmentation):
    """Joins each row with the next one of its batch."""

    def mix(self, rows: Array, partners: Array, u: Array) -> Array:
        """Change ``rows`` (n, ...) in place; (n,) float32, the share of each row that is its own.

        Args:
            partners: (n, ...) unchanged rows, to take the rest from. u: (n, draws).
        """
        raise NotImplementedError(type(self).__name__)


def pixels(amount: float, side: int) -> int:
    """A length: below 1 a part of ``side``, else pixels."""
    return max(1, round(amount * side)) if 0 < amount < 1 else round(amount)


def uniform(u: Array, low: float, high: float) -> Array:
    """Numbers from ``low`` to ``high`` for numbers from 0 to 1."""
    return low + (high - low) * u


def rounded(values: Array, dtype: object) -> Array:
    """Values as ``dtype``: rounded for uint8, which they must fit in. May change ``values``."""
    if dtype == np.uint8 and values.dtype != np.uint8:
        np.rint(values, out=values)
    return values.astype(dtype, copy=False)
