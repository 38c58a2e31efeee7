"""Several views of the same images, to average what a model says of them (test-time augmentation)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from dltool.data.augment.base import Array, Augmentation, pixels
from dltool.data.augment.geometry import HorizontalFlip, QuarterTurns, Shift, VerticalFlip

View = Callable[[Array], Array]
SHIFT_PART = 4
"""Views are shifted by this part of the most that training shifted: near the middle the model is surest."""


def views(operations: Sequence[Augmentation], size: tuple[int, int]) -> list[View]:
    """What training did to images of (height, width) without interpolating, each way once; first the image as it is.

    Mirrored where it mirrored, turned where it turned, and shifted a little to two corners where it shifted or cropped.
    Each view takes images (n, height, width, ...) and gives an array like it.
    """
    kinds = {type(operation): operation for operation in operations}
    choices: list[list[View]] = []
    if QuarterTurns in kinds:
        turns = (0, 1, 2, 3) if size[0] == size[1] else (0, 2)
        choices.append([lambda x, k=k: np.rot90(x, k, axes=(1, 2)) for k in turns])
    for kind, axis in ((HorizontalFlip, 2), (VerticalFlip, 1)):
        # All turns and one mirror are all eight ways to lay down a square.
        if kind in kinds and not (kind is VerticalFlip and {QuarterTurns, HorizontalFlip} <= set(kinds)):
            choices.append([lambda x: x, lambda x, axis=axis: np.flip(x, axis)])
    shifts = [operation for operation in operations if isinstance(operation, Shift)]
    if shifts:
        most = max(pixels(operation.amount, min(size)) for operation in shifts)
        step = max(1, round(most / SHIFT_PART))
        choices.append([lambda x, by=by: shifted(x, by) for by in (0, -step, step)])
    return [_one_after_another(chain) for chain in product(*choices)]


def shifted(images: Array, by: int) -> Array:
    """Images moved down and right by so many pixels, the border mirrored."""
    if not by:
        return images
    room = [(0, 0), (abs(by), abs(by)), (abs(by), abs(by)), *[(0, 0)] * (images.ndim - 3)]
    start, (height, width) = abs(by) - by, images.shape[1:3]
    return np.pad(images, room, "reflect")[:, start : start + height, start : start + width]


def _one_after_another(chain: Sequence[View]) -> View:
    def view(images: Array) -> Array:
        for step in chain:
            images = step(images)
        return images

    return view
