"""Images seen through an affine map, and the way back. Imports numpy and engine basics only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dltool.engine.layers.base import Array, Backward

FILL_MODES = ("constant", "nearest", "reflect", "wrap")


def affine(x: Array, places: Array, interpolation: str, fill_mode: str, fill_value: float) -> tuple[Array, Backward]:
    """Each pixel of the new images from its place in the old ones.

    Args:
        x: (n, height, width, channels).
        places: (n, 2, 3), which give (row, column) in the old image for (row, column, 1) in the new one.
        fill_mode: what lies beyond the border: "reflect" (dcba|abcd|dcba), "nearest" (aaaa|abcd|dddd), "wrap"
            (abcd|abcd|abcd), or "constant".

    Source: keras/src/backend/numpy/image.py of Keras 3.15, ``affine_transform``, whose numbers the tests hold.
    """
    n, height, width, channels = x.shape
    grid = np.stack([*np.mgrid[:height, :width], np.ones((height, width))])
    rows, columns = np.moveaxis(np.tensordot(places, grid, 1), 1, 0)
    first = np.arange(n)[:, None, None] * (height * width)
    flat = x.reshape(-1, channels)
    y = np.zeros((n, height, width, channels), x.dtype)
    used = []
    for row, column, share in neighbours(rows, columns, interpolation):
        row, row_inside = folded(row, height, fill_mode)
        column, column_inside = folded(column, width, fill_mode)
        inside = row_inside & column_inside
        share = share.astype(x.dtype)
        if fill_value and not inside.all():
            y += (share * ~inside * x.dtype.type(fill_value))[..., None]
        share = (share * inside)[..., None]
        index = first + row * width + column
        y += flat[index] * share
        used.append((index, share))

    def backward(dy: Array) -> tuple[Array, tuple]:
        dx = np.zeros_like(flat)
        for index, share in used:
            np.add.at(dx, index.reshape(-1), (dy * share).reshape(-1, channels))
        return dx.reshape(x.shape), ()

    return y, backward


def neighbours(rows: Array, columns: Array, interpolation: str) -> Iterator[tuple[Array, Array, Array]]:
    """(row, column, share) of the whole pixels that make up the value at fractional places."""
    if interpolation == "nearest":
        yield np.floor(rows + 0.5).astype(int), np.floor(columns + 0.5).astype(int), np.ones(rows.shape)
        return
    top, left = np.floor(rows), np.floor(columns)
    below, right = rows - top, columns - left
    top, left = top.astype(int), left.astype(int)
    for down in (0, 1):
        for across in (0, 1):
            share = (below if down else 1 - below) * (right if across else 1 - right)
            yield top + down, left + across, share


def folded(index: Array, size: int, fill_mode: str) -> tuple[Array, Array]:
    """The index within 0 .. size - 1 that stands for one beyond it, and where a pixel is there at all."""
    if fill_mode == "reflect":
        index = index % (2 * size)
        return np.minimum(index, 2 * size - 1 - index), np.ones(index.shape, bool)
    if fill_mode == "wrap":
        return index % size, np.ones(index.shape, bool)
    near = np.clip(index, 0, size - 1)
    return near, np.ones(index.shape, bool) if fill_mode == "nearest" else near == index
