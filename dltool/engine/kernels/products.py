"""Matrix products in blocks that OpenBLAS multiplies where they lie.

For AVX-512 processors OpenBLAS has kernels that read small matrices in place; larger ones it first copies ("packs")
into its own order, which costs most where one side is short: layers with few filters, tiles of a small Dense layer.
numpy's matmul loops over a stack of matrices in C, so a large product is a stack of small ones, cut by views. Against
one packed product, GFLOP/s on one lane (peak 115):

    (784, 288) @ (288, 32)    83 -> 105      its weight gradient, (288, 784) @ (784, 32)    80 -> 110
    (3136, 64) @ (64, 64)     88 -> 108      Dense of a batch, (128, 512) @ (512, 512)      85 -> 95
    (196, 1152) @ (1152, 128) 85 -> 107      its weight gradient                            83 -> 103

How a product is cut depends on its shape and on the processor's kernels alone. Source of the limits: OpenBLAS 0.3.31,
``kernel/x86_64/sgemm_small_kernel_permit_skylakex.c``; Heinecke et al., "LIBXSMM" (2016), for the idea.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from dltool.engine.blas import blas_name
from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import Run, chain

CORES = frozenset({"SkylakeX", "Cooperlake", "SapphireRapids"})
"""OpenBLAS's kernels that multiply small matrices in place."""

Block = tuple[int, int, int]
"""Rows, columns and depth."""

MOST_WORK = 1_000_000
"""rows * columns * depth up to which they do."""
MOST_RESULTS = 1200
"""rows * columns up to which they do where b is transposed."""
MOST_COLUMNS = 64
MOST_SUMMED = 1 << 19
"""Elements of products of parts of the depth, which should not leave the caches before they are added."""
LEFT_ELEMENTS = 4096
"""Elements of a block of a: half of a first level cache of 32 kB, where it stays while b's columns pass."""


@functools.cache
def multiplies_in_place() -> bool:
    """Whether this processor's BLAS has kernels for small matrices."""
    return blas_name() in CORES


def bind_product(a: np.ndarray, b: np.ndarray, out: np.ndarray, piece: Piece) -> Run:
    """A function: ``out = a @ b``.

    Args:
        a: (..., rows, depth), as it lies or transposed, or a vector. b: (..., depth, columns), likewise.
        out: (..., rows, columns).
        piece: whose lane runs it; lends the memory for sums over parts of the depth.
    """
    if a.ndim < 2:
        return lambda: np.matmul(a, b, out=out)
    (rows, depth), columns = a.shape[-2:], b.shape[-1]
    if rows * depth * columns <= MOST_WORK or not multiplies_in_place():
        return lambda: np.matmul(a, b, out=out)
    block = block_of(rows, depth, columns, is_transposed(a), is_transposed(b))
    if block is None:
        return lambda: np.matmul(a, b, out=out)
    parts = -(-depth // block[2])
    if parts == 1:
        return bind_products(list(_blocks(a, b, out, block)))
    if parts * rows * columns > MOST_SUMMED:
        return lambda: np.matmul(a, b, out=out)
    if a.ndim > 2:
        return chain(*(bind_product(*operands, piece) for operands in zip(a, b, out, strict=True)))
    return _product_of_parts(a, b, out, block, piece)


def bind_products(calls: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Run:
    """A function: ``out = a @ b`` for each (a, b, out) in turn.

    Of stacks the last rows follow each other while a block of b's columns is in cache (order C keeps numpy to that).
    """

    def run() -> None:
        for a, b, out in calls:
            np.matmul(a, b, out=out, order="C")

    return run


def product_into(a: np.ndarray, b: np.ndarray, out: np.ndarray, accumulate: bool, piece: Piece) -> list[Run | None]:
    """``out = a @ b``, or ``out += a @ b`` for the later calls of a shared layer."""
    if not accumulate:
        return [bind_product(a, b, out, piece)]
    part = piece.temp("weight_part", out.shape)
    return [bind_product(a, b, part, piece), lambda: np.add(out, part, out=out)]


def block_of(rows: int, depth: int, columns: int, a_transposed: bool, b_transposed: bool) -> Block | None:
    """The blocks that a product is cut into; None: it is faster whole."""
    wide = even_part(columns, MOST_COLUMNS)
    if a_transposed:
        parts = -(-depth // (MOST_WORK // (32 * wide)))
        return min(rows, 32), wide, -(-depth // parts)
    if b_transposed:
        if not 128 <= depth <= 960 or rows > 256:
            return None
        return min(rows, MOST_RESULTS // wide // 8 * 8), wide, depth
    longest = -(-depth // -(-depth // 1024))
    return min(rows, max(8, min(128, LEFT_ELEMENTS // longest // 8 * 8))), wide, longest


def is_transposed(matrix: np.ndarray) -> bool:
    return matrix.strides[-1] != matrix.itemsize


def equal_part(size: int, most: int) -> int:
    """The size of equal parts of at most ``most``."""
    return -(-size // -(-size // most))


def even_part(size: int, most: int) -> int:
    """The size of equal parts of at most ``most``, a multiple of a vector's 16 where it is not the whole."""
    parts = -(-size // most)
    return size if parts == 1 else min(most, -(-size // parts // 16) * 16)


def _product_of_parts(a: np.ndarray, b: np.ndarray, out: np.ndarray, block: Block, piece: Piece) -> Run:
    """The depth in equal parts (the last may be shorter), whose products are added in their order."""
    depth, longest = a.shape[1], block[2]
    starts = range(0, depth, longest)
    parts = piece.temp("products of parts", (len(starts), *out.shape))
    calls = []
    for part, start in zip(parts, starts, strict=True):
        calls += _blocks(a[:, start : start + longest], b[start : start + longest], part, block)
    run = bind_products(calls)

    def run_and_add() -> None:
        run()
        np.add.reduce(parts, axis=0, out=out)

    return run_and_add


def _blocks(
    a: np.ndarray, b: np.ndarray, out: np.ndarray, block: Block
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Stacks (a, b, out) of equal blocks: the inner ones, then those at the lower and right edges."""
    high, wide, _ = block
    for top, bottom, height in cuts(a.shape[-2], high):
        for left, right, width in cuts(b.shape[-1], wide):
            counts = ((right - left) // width, (bottom - top) // height)
            yield (
                _stack(a[..., top:bottom, :], counts, (0, height), (height, a.shape[-1])),
                _stack(b[..., left:right], counts, (width, 0), (b.shape[-2], width)),
                _stack(out[..., top:bottom, left:right], counts, (width, height), (height, width)),
            )


def cuts(size: int, part: int) -> list[tuple[int, int, int]]:
    """(start, stop, size of parts): what whole parts cover, and the rest."""
    whole = size - size % part
    return [cut for cut in ((0, whole, part), (whole, size, size - whole)) if cut[0] < cut[1]]


def _stack(matrix: np.ndarray, counts: tuple[int, int], steps: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """View (..., rows, columns) as (..., blocks of columns, blocks of rows, *shape); ``steps`` columns, rows apart."""
    *lead, down, across = matrix.strides
    strides = (*lead, steps[0] * across, steps[1] * down, down, across)
    return np.lib.stride_tricks.as_strided(matrix, (*matrix.shape[:-2], *counts, *shape), strides)
