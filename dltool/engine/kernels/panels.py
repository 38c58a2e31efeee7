"""Weights of an inference product in the order in which they are read: panels of a few columns, each in one piece.

A few rows times a large matrix of weights takes as long as the weights take to come from memory. Columns cut from the
matrix as it lies come in runs of 128 or 256 bytes that no prefetcher follows; a panel is one run. GFLOP/s on one lane
(peak 115), with weights that are not in the second level cache, as they lie and in panels:

    (49, 512) @ (512, 2048)     77 -> 102        (196, 256) @ (256, 1024)    98 -> 106
    (49, 1024) @ (1024, 1024)   72 -> 100        (196, 512) @ (512, 512)    102 -> 108
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels import products
from dltool.engine.kernels.base import Run
from dltool.engine.memory import shared_zeros

FEW_ROWS = 64
"""Rows up to which panels are narrow, so that blocks of more rows are multiplied in place and a panel is read twice at
most: (49, 1024) @ (1024, 1024) runs at 82 GFLOP/s in panels of 64 columns, at 102 in panels of 32."""
LONGEST_DEPTH = 1200
"""Depth of a block; a deeper product is a sum."""

Block = tuple[np.ndarray, np.ndarray, np.ndarray]


class Panels:
    """The weights (depth, columns) of products of ``rows`` rows, in panels that end where tiles of columns end.

    Args:
        bounds: where tiles of columns start, and where the last one ends.
    """

    def __init__(self, rows: int, depth: int, bounds: list[int]):
        self.rows, self.depth, self.bounds = rows, depth, bounds
        self.store = shared_zeros(depth * bounds[-1])

    def tile(self, index: int) -> slice:
        """The columns of a tile."""
        return slice(self.bounds[index], self.bounds[index + 1])

    def stacks(self, index: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Columns and panels (number, depth, width) of a tile: those of equal width, then a narrower one."""
        tile = self.tile(index)
        width = tile.stop - tile.start
        for start, stop, size in products.cuts(width, panel_width(width, self.rows)):
            columns = slice(tile.start + start, tile.start + stop)
            stored = self.store[self.depth * columns.start : self.depth * columns.stop]
            yield columns, stored.reshape(-1, self.depth, size)

    def fill(self, weights: np.ndarray, scale: np.ndarray | None) -> None:
        """Take over weights (depth, columns), times a number per column where there is a scale."""
        for index in range(len(self.bounds) - 1):
            for columns, panels in self.stacks(index):
                source = weights[:, columns].reshape(self.depth, len(panels), -1)
                if scale is None:
                    np.copyto(panels, source.swapaxes(0, 1))
                else:
                    np.multiply(source, scale[columns].reshape(len(panels), -1), out=panels.swapaxes(0, 1))

    def bind(self, a: np.ndarray, index: int, out: np.ndarray, piece: Piece) -> Run:
        """A function: ``out`` (rows, columns of a tile) = ``a`` (rows, depth) @ those columns of the weights."""
        parts = -(-self.depth // LONGEST_DEPTH) if products.multiplies_in_place() else 1
        if parts == 1:
            return products.bind_products(list(self._blocks(a, index, out, slice(0, self.depth))))
        longest = -(-self.depth // parts)
        sums = piece.temp("products of parts", (parts, *out.shape))
        blocks: list[Block] = []
        for part, start in zip(sums, range(0, self.depth, longest), strict=True):
            blocks += self._blocks(a, index, part, slice(start, min(start + longest, self.depth)))
        multiply = products.bind_products(blocks)

        def run() -> None:
            multiply()
            np.add.reduce(sums, axis=0, out=out)

        return run

    def _blocks(self, a: np.ndarray, index: int, out: np.ndarray, part: slice) -> Iterator[Block]:
        for columns, panels in self.stacks(index):
            start = self.bounds[index]
            target = out[:, columns.start - start : columns.stop - start]
            yield from stacks_of_blocks(a[:, part], panels[:, part], target)


def fits_panels(depth: int, columns: int) -> bool:
    """Whether panels of any width are equal, and no product a sum."""
    return columns % products.MOST_COLUMNS == 0 and depth <= LONGEST_DEPTH


def panel_width(columns: int, rows: int) -> int:
    """Columns of a panel for products of so many rows."""
    widest = products.MOST_COLUMNS if rows > FEW_ROWS else products.MOST_COLUMNS // 2
    return products.even_part(columns, widest) if products.multiplies_in_place() else columns


def stacks_of_blocks(a: np.ndarray, panels: np.ndarray, out: np.ndarray) -> Iterator[Block]:
    """Stacks of blocks for ``out`` (..., rows, columns) = ``a`` (..., rows, depth) @ panels, equal ones together.

    Args:
        panels: (..., number, depth, width). All rows pass while a panel is in cache.
    """
    *lead, count, depth, width = panels.shape
    rows, (*steps, down, across) = a.shape[-2], out.strides
    most = products.MOST_WORK // (depth * width) if products.multiplies_in_place() else rows
    for top, bottom, height in products.cuts(rows, products.equal_part(rows, max(1, most))):
        number = (bottom - top) // height
        shape = (*lead, count, number, height, width)
        strides = (*steps, width * across, height * down, down, across)
        yield (
            a[..., top:bottom, :].reshape(*lead, 1, number, height, depth),
            panels[..., :, None, :, :],
            np.lib.stride_tricks.as_strided(out[..., top:, :], shape, strides),
        )
