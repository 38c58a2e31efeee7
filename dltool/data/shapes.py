"""Shapes of rows: do they match what a model expects? Imports numpy and ``dltool.errors``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dltool.errors import DataError

Shape = tuple[int, ...]
WantedShape = tuple[int | None, ...]


def adapt_rows(array: np.ndarray, shape: WantedShape, path: str) -> np.ndarray:
    """An array whose rows have the wanted shape, at most by adding or dropping a last axis of 1.

    Raises:
        DataError: any other difference.
    """
    row = array.shape[1:]
    if matches(row, shape):
        return array
    if matches((*row, 1), shape):
        return array[..., np.newaxis]
    if row[-1:] == (1,) and matches(row[:-1], shape):
        return array[..., 0]
    raise DataError(f"{path}: rows are {shapes_text([row])}, the model wants {shapes_text([shape])}; reshape the array")


def matches(row: Shape, shape: WantedShape) -> bool:
    """Whether a row's shape is the wanted one; None is any size."""
    return len(row) == len(shape) and all(want in (None, side) for side, want in zip(row, shape, strict=True))


def shapes_text(shapes: Sequence[WantedShape]) -> str:
    return " and ".join("x".join("?" if side is None else str(side) for side in shape) for shape in shapes)
