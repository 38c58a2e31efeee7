"""Winograd's minimal filtering F(4x4, 3x3): a 3x3 convolution with a quarter of the multiplications.

An output tile of 4x4 pixels comes from an input tile of 6x6 (two rows shared with the next tile):

    Y = A^T [ (G g G^T) * (B^T d B) ] A        (* elementwise; summed over input channels: 36 matrix products)

All transforms are products with a small matrix, along one image axis after the other. Their adjoints give the
gradients from the same 36 products: with M = V U, dM = A dY A^T, dU = V^T dM, dV = dM U^T, dg = G^T dU G and
dd = B dV B^T.

The lines of a tile lie one image line apart, its pixels one pixel: views make stacks of small matrices of them, which
numpy's matmul hands to BLAS where they lie. Sums of lines by ufuncs, with fewer operations, pass over memory 13-17
times: 67 against 15 us along the height of two images of 28x28x32, 512 against 130 along the width of four of 32x32x64.

Errors are 6-17 times a direct convolution's (3-7e-5 of rms), as in the fast paths of GPU libraries.
Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308, section 4.3.
Imports numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TILE = 4
"""Output pixels of a tile along each axis."""
REACH = 6
"""Input pixels of a tile along each axis."""

Array = np.ndarray


def _matrix(rows: list[list[float]]) -> Array:
    return np.array(rows, np.float32)


INPUT_TRANSFORM = _matrix(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
"""B^T (6, 6)."""

OUTPUT_TRANSFORM = _matrix([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
"""A^T (4, 6)."""

OUTPUT_ADJOINT = np.ascontiguousarray(OUTPUT_TRANSFORM.T)
"""A (6, 4)."""

OWN_LINES = np.ascontiguousarray(INPUT_TRANSFORM.T[:TILE])
"""Of B, what gives the four lines of an input tile that are its own."""

SHARED_LINES = np.ascontiguousarray(INPUT_TRANSFORM.T[TILE:])
"""Of B, what gives the two that it shares with the next tile."""

KERNEL_TRANSFORM = _matrix(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
"""G (6, 3)."""

KERNEL_PRODUCT = np.kron(KERNEL_TRANSFORM, KERNEL_TRANSFORM)
"""(36, 9): G kernel G^T of a flattened kernel. Its transpose is the adjoint, dg = G^T dU G."""

TILE_SUM = 7
"""Of dM = A dY A^T, the entry (1, 1) is the sum of a tile: that row of A is all ones. It gives the bias's gradient."""


@dataclass(frozen=True, eq=False)
class Filtering:
    """F(tile, 3) along one axis: ``tile`` outputs of three taps from ``tile + 2`` products, ``A^T [(G g) * (B^T d)]``.

    Row 1 of A is all ones.
    """

    input: Array
    """B^T (reach, reach)."""
    kernel: Array
    """G (reach, 3)."""
    output: Array
    """A^T (tile, reach)."""

    @property
    def tile(self) -> int:
        return len(self.output)

    @property
    def reach(self) -> int:
        return len(self.input)


BY_FOUR = Filtering(INPUT_TRANSFORM, KERNEL_TRANSFORM, OUTPUT_TRANSFORM)
"""F(4, 3): half the multiplications, about three times the rounding error of direct sums."""

BY_TWO = Filtering(
    _matrix([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
    _matrix([[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]]),
    _matrix([[1, 1, 1, 0], [0, 1, -1, -1]]),
)
"""F(2, 3): two thirds of the multiplications, 0.8 to 1.4 times the rounding error of direct sums, which are longer."""


def transform_kernel(kernel: Array, out: Array) -> None:
    """``out`` (36, inputs, outputs) = G kernel G^T for a kernel (3, 3, inputs, outputs)."""
    np.matmul(KERNEL_PRODUCT, kernel.reshape(9, -1), out=out.reshape(36, -1))


def tiles_along(x: Array, tiles: int, size: int, apart: int = TILE) -> Array:
    """View with the last axis but one cut into ``tiles`` tiles of ``size``: (..., tiles, size, last).

    They start ``apart`` from each other and overlap where they are larger.
    """
    *outer, step, last = x.strides
    shape = (*x.shape[:-2], tiles, size, x.shape[-1])
    return np.lib.stride_tricks.as_strided(x, shape, (*outer, apart * step, step, last))


class Tiles:
    """The transforms of some images of a fixed size, with all views and scratch prepared.

    Args:
        rows: number of images. tiles: (down, across). channels: of the images.
        temp: ``temp(name, shape) -> array``, memory that other kernels may use between calls.
    """

    def __init__(self, rows: int, tiles: tuple[int, int], channels: int, temp):
        self.rows, self.channels = rows, channels
        self.down, self.across = tiles
        self.width = TILE * self.across + 2
        self.count = rows * self.down * self.across
        self._temp = temp

    def bind_input(self, padded: Array, values: Array):
        """A function: ``values`` (36, count, channels) = B^T d B for images (rows, 4 down + 2, 4 across + 2, channels).

        The images may be larger: what lies behind is not read. ``values`` may also be (36, rows, down, across,
        channels).
        """
        half = self._half(REACH, self.width)
        lines, half_lines = self._lines(padded, self.width, REACH), self._half_lines(half)
        pixels, values = tiles_along(half, self.across, REACH), self._frequencies(values)

        def run() -> None:
            np.matmul(INPUT_TRANSFORM, lines, out=half_lines)
            np.matmul(INPUT_TRANSFORM, pixels, out=values)

        return run

    def bind_input_back(self, values: Array, image: Array):
        """A function: ``image`` (rows, 4 down + 2, 4 across + 2, channels) = B values B^T, tiles overlapping by two."""
        half = self._half(REACH, self.width)
        across = self._overlapping(self._frequencies(values), half, self.across, "shared pixels")
        lines = image.reshape(self.rows, TILE * self.down + 2, -1)
        down = self._overlapping(self._half_lines(half), lines, self.down, "shared lines")

        def run() -> None:
            across()
            down()

        return run

    def _overlapping(self, frequencies: Array, whole: Array, tiles: int, name: str):
        """A function: ``whole`` (..., 4 tiles + 2, last) = B ``frequencies`` (..., tiles, 6, last), which overlap."""
        own = tiles_along(whole, tiles, TILE)
        shared = self._temp(name, (*own.shape[:-2], REACH - TILE, own.shape[-1]))
        places = tiles_along(whole[..., TILE:, :], tiles, REACH - TILE)
        end = whole[..., TILE * tiles :, :]

        def run() -> None:
            np.matmul(OWN_LINES, frequencies, out=own)
            np.matmul(SHARED_LINES, frequencies, out=shared)
            end[...] = 0
            np.add(places, shared, out=places)

        return run

    def bind_output(self, products: Array, image: Array):
        """A function: ``image`` (rows, 4 down, 4 across, channels) = A^T products A.

        ``products``: (36, count, channels) or (36, rows, down, across, channels).
        """
        across, c = self.across, self.channels
        source = products.reshape(REACH, REACH, self.rows, self.down, across * c)
        half = self._temp("half", (TILE, REACH, self.rows, self.down, across * c))
        rows, half_rows = np.moveaxis(source, 0, -2), np.moveaxis(half, 0, -2)
        pixels = np.moveaxis(half.reshape(TILE, REACH, self.rows, self.down, across, c), 1, -2)
        row, line, pixel, item = image.strides
        target = np.lib.stride_tricks.as_strided(
            image,
            (TILE, self.rows, self.down, across, TILE, c),
            (line, row, TILE * line, TILE * pixel, pixel, item),
        )

        def run() -> None:
            np.matmul(OUTPUT_TRANSFORM, rows, out=half_rows)
            np.matmul(OUTPUT_TRANSFORM, pixels, out=target)

        return run

    def bind_output_back(self, image: Array, products: Array):
        """A function: ``products`` (36, count, channels) = A image A^T, the adjoint of ``bind_output``."""
        half = self._half(REACH, TILE * self.across)
        lines, half_lines = self._lines(image, TILE * self.across, TILE), self._half_lines(half)
        pixels, products = tiles_along(half, self.across, TILE), self._frequencies(products)

        def run() -> None:
            np.matmul(OUTPUT_ADJOINT, lines, out=half_lines)
            np.matmul(OUTPUT_ADJOINT, pixels, out=products)

        return run

    def _half(self, lines: int, width: int) -> Array:
        """Scratch for images transformed along their height alone."""
        return self._temp("half", (lines, self.rows, self.down, width, self.channels))

    def _half_lines(self, half: Array) -> Array:
        """The same as a stack of matrices (images, tiles, lines, width * channels)."""
        return np.moveaxis(half.reshape(*half.shape[:3], -1), 0, -2)

    def _lines(self, image: Array, width: int, size: int) -> Array:
        """An image's lines by tiles: (images, tiles, size, width * channels)."""
        row, line, _, item = image.strides
        shape = (self.rows, self.down, size, width * self.channels)
        return np.lib.stride_tricks.as_strided(image, shape, (row, TILE * line, line, item))

    def _frequencies(self, values: Array) -> Array:
        """(36, count, channels) as (6, images, down, across, 6, channels): the tile's pixels are the matrix's rows."""
        whole = values.reshape(REACH, REACH, self.rows, self.down, self.across, self.channels)
        return np.moveaxis(whole, 1, -2)
