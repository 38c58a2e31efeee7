"""RandAugment: a few changes out of a list, all with one strength."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dltool.data.augment.base import AUGMENTATIONS, Array, Augmentation, Colour, Geometric, Size
from dltool.data.augment.colour import grey, means, stretch
from dltool.data.augment.geometry import identity, rotation

GEOMETRIC = ("shear x", "shear y", "shift x", "shift y", "rotate")
CHANGES = ("nothing", *GEOMETRIC, "brightness", "colour", "contrast", "posterize", "solarize", "autocontrast")
STRONGEST = 30
SHEAR, SHIFT, DEGREES, GAIN = 0.3, 150 / 331, 30.0, 0.9
"""What the strongest change does; the shift is a part of the side."""
DRAWS_EACH = 2


@AUGMENTATIONS.register("randaugment")
@dataclass(frozen=True)
class RandAugment(Geometric, Colour):
    """``count`` of twelve changes with ``strength`` 0 to 30, drawn for each image.

    Source: Cubuk et al., RandAugment: practical automated data augmentation with a reduced search space, 2019;
    strengths as in torchvision 0.20. Sharpness and equalize are left out, and all moves come before all changes of
    colour, so that the picture is resampled once.
    """

    count: float = 2
    strength: float = 9

    def __post_init__(self) -> None:
        self._check("count", 0, 12)
        self._check("strength", 0, STRONGEST)

    @property
    def draws(self) -> int:
        """Two for each change: which, and its sign."""
        return DRAWS_EACH * round(self.count)

    def _drawn(self, u: Array) -> list[tuple[Array, Array]]:
        """(index into ``CHANGES``, sign) of each change, for all samples."""
        pairs = u.reshape(len(u), -1, DRAWS_EACH)
        which = np.floor(pairs[..., 0] * len(CHANGES)).astype(int)
        return list(zip(which.T, np.where(pairs[..., 1] < 0.5, -1.0, 1.0).T, strict=True))

    def matrices(self, u: Array, size: Size) -> Array:
        found, part = identity(len(u)), self.strength / STRONGEST
        for which, sign in self._drawn(u):
            step, amounts = identity(len(u)), sign * part
            for name, axes, most in (
                ("shear x", (0, 1), SHEAR),
                ("shear y", (1, 0), SHEAR),
                ("shift x", (0, 2), SHIFT * size[1]),
                ("shift y", (1, 2), SHIFT * size[0]),
            ):
                chosen = which == CHANGES.index(name)
                step[(chosen, *axes)] = amounts[chosen] * most
            turned = which == CHANGES.index("rotate")
            angle = np.radians(DEGREES * amounts[turned])
            step[turned] = rotation(np.cos(angle), np.sin(angle))
            found = found @ step
        return found

    def recolour(self, planes: Array, u: Array, span: tuple[float, float]) -> None:
        for which, sign in self._drawn(u):
            for row in np.flatnonzero(which > len(GEOMETRIC)).tolist():
                self._change(CHANGES[which[row]], planes[:, row : row + 1], float(sign[row]), span)

    def _change(self, name: str, planes: Array, sign: float, span: tuple[float, float]) -> None:
        """One image's change of colour; planes (channels, 1, height, width) in place."""
        low, high = np.float32(span[0]), np.float32(span[1])
        part = self.strength / STRONGEST
        gain = np.float32(1 + sign * GAIN * part)
        np.clip(planes, low, high, out=planes)
        if name == "brightness":
            stretch(planes, gain, low)
        elif name == "colour":
            if len(planes) == 3:
                stretch(planes, gain, grey(planes))
        elif name == "contrast":
            whole = means(grey(planes)[None]) if len(planes) == 3 else means(planes)
            stretch(planes, gain, whole)
        elif name == "posterize":
            levels = np.float32(2 ** (8 - round(4 * part)))
            steps = np.floor((planes - low) / (high - low) * np.float32(255 / 256) * levels)
            planes[...] = low + steps * ((high - low) * np.float32(256 / 255) / levels)
        elif name == "solarize":
            limit = high - (high - low) * np.float32(part)
            planes[...] = np.where(planes < limit, planes, high + low - planes)
        elif name == "autocontrast":
            darkest, brightest = planes.min(axis=(2, 3), keepdims=True), planes.max(axis=(2, 3), keepdims=True)
            flat = brightest == darkest
            factor = np.where(flat, 1, (high - low) / np.where(flat, 1, brightest - darkest))
            planes -= np.where(flat, 0, darkest)
            planes *= factor
            planes += np.where(flat, 0, low)


def changes_nothing(operation: Augmentation) -> bool:
    """Whether an amount is 0, which leaves the operation out."""
    first = next(iter(vars(operation).values()))
    return math.isclose(first, 0.0, abs_tol=1e-12)
