"""Winograd's minimal filtering F(4x4, 3x3): a 3x3 convolution with a quarter of the multiplications.

An output tile of 4x4 pixels comes from an input tile of 6x6 (two rows shared with the next tile):

    Y = A^T [ (G g G^T) * (B^T d B) ] A        (* elementwise; summed over input channels: 36 matrix products)

All transforms are sums of a few rows, done first along one image axis, then along the other. Their adjoints give the
gradients from the same 36 products: with M = V U, dM = A dY A^T, dU = V^T dM, dV = dM U^T, dg = G^T dU G and
dd = B dV B^T.

Errors are 6-17 times a direct convolution's (3-7e-5 of rms), as in the fast paths of GPU libraries.
Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308, section 4.3.
Imports numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TILE = 4
"""Output pixels of a tile along each axis."""
REACH = 6
"""Input pixels of a tile along each axis."""

Array = np.ndarray
Rows = Sequence[np.ndarray]

KERNEL_TRANSFORM = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    np.float32,
)
"""G (6, 3)."""

KERNEL_PRODUCT = np.kron(KERNEL_TRANSFORM, KERNEL_TRANSFORM)
"""(36, 9): G kernel G^T of a flattened kernel. Its transpose is the adjoint, dg = G^T dU G."""

TILE_SUM = 7
"""Of dM = A dY A^T, the entry (1, 1) is the sum of a tile: that row of A is all ones. It gives the bias's gradient."""

TWO, FOUR, FIVE = np.float32(2), np.float32(4), np.float32(5)


def transform_kernel(kernel: Array, out: Array) -> None:
    """``out`` (36, inputs, outputs) = G kernel G^T for a kernel (3, 3, inputs, outputs)."""
    np.matmul(KERNEL_PRODUCT, kernel.reshape(9, -1), out=out.reshape(36, -1))


def input_rows(s: Rows, o: Rows, scratch: tuple[Array, Array]) -> None:
    """One axis of B^T d: six rows from six.

    o0 = 4 s0 - 5 s2 + s4, o1/o2 = (s4 - 4 s2) +- (s3 - 4 s1), o3/o4 = (s4 - s2) +- 2 (s3 - s1), o5 = 4 s1 - 5 s3 + s5.
    """
    a, b = scratch
    np.multiply(s[2], FOUR, out=a)
    np.subtract(s[4], a, out=a)
    np.multiply(s[1], FOUR, out=b)
    np.subtract(s[3], b, out=b)
    np.add(a, b, out=o[1])
    np.subtract(a, b, out=o[2])
    np.subtract(s[4], s[2], out=a)
    np.subtract(s[3], s[1], out=b)
    np.add(b, b, out=b)
    np.add(a, b, out=o[3])
    np.subtract(a, b, out=o[4])
    np.subtract(s[0], s[2], out=o[0])
    np.multiply(o[0], FOUR, out=o[0])
    np.add(o[0], a, out=o[0])
    np.add(b, b, out=b)
    np.subtract(s[5], s[3], out=o[5])
    np.subtract(o[5], b, out=o[5])


def input_rows_back(o: Rows, d: Rows, scratch: tuple[Array, Array, Array]) -> None:
    """The adjoint of ``input_rows``: six rows from six.

    With a = o1 + o2, b = o1 - o2, c = o3 + o4, e = 2 (o3 - o4), t = o0 + a:
    d0 = 4 o0, d1 = 4 (o5 - b) - e, d2 = a - 4 t - d4, d3 = b + e - 5 o5, d4 = t + c, d5 = o5.
    d5 is not written: it is o5.
    """
    a, b, e = scratch
    np.add(o[1], o[2], out=a)
    np.subtract(o[1], o[2], out=b)
    np.subtract(o[3], o[4], out=e)
    np.add(e, e, out=e)
    np.subtract(o[5], b, out=d[1])
    np.multiply(d[1], FOUR, out=d[1])
    np.subtract(d[1], e, out=d[1])
    np.add(b, e, out=b)
    np.multiply(o[5], FIVE, out=e)
    np.subtract(b, e, out=d[3])
    np.add(o[3], o[4], out=b)
    np.add(o[0], a, out=e)
    np.add(e, b, out=d[4])
    np.multiply(e, FOUR, out=e)
    np.subtract(a, e, out=a)
    np.subtract(a, d[4], out=d[2])
    np.multiply(o[0], FOUR, out=d[0])


def output_rows(s: Rows, o: Rows, scratch: tuple[Array, Array]) -> None:
    """One axis of A^T M: four rows from six.

    o0 = s0 + (s1 + s2) + (s3 + s4), o1 = (s1 - s2) + 2 (s3 - s4), o2 = (s1 + s2) + 4 (s3 + s4),
    o3 = (s1 - s2) + 8 (s3 - s4) + s5.
    """
    a, b = scratch
    np.add(s[1], s[2], out=a)
    np.add(s[3], s[4], out=b)
    np.add(s[0], a, out=o[0])
    np.add(o[0], b, out=o[0])
    np.multiply(b, FOUR, out=b)
    np.add(a, b, out=o[2])
    np.subtract(s[1], s[2], out=a)
    np.subtract(s[3], s[4], out=b)
    np.add(b, b, out=b)
    np.add(a, b, out=o[1])
    np.multiply(b, FOUR, out=b)
    np.add(b, s[5], out=b)
    np.add(a, b, out=o[3])


def output_rows_back(s: Rows, o: Rows, scratch: tuple[Array, Array]) -> None:
    """The adjoint of ``output_rows``: six rows from four."""
    a, b = scratch
    np.copyto(o[0], s[0])
    np.add(s[0], s[2], out=a)
    np.add(s[1], s[3], out=b)
    np.add(a, b, out=o[1])
    np.subtract(a, b, out=o[2])
    np.multiply(s[2], FOUR, out=a)
    np.add(a, s[0], out=a)
    np.multiply(s[3], FOUR, out=b)
    np.add(b, s[1], out=b)
    np.add(b, b, out=b)
    np.add(a, b, out=o[3])
    np.subtract(a, b, out=o[4])
    np.copyto(o[5], s[3])


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
        n, down, across, width, c = self.rows, self.down, self.across, self.width, self.channels
        half = self._temp("half", (REACH, n, down, width, c))
        line = (self._temp("line 0", (n, down, width, c)), self._temp("line 1", (n, down, width, c)))
        square = tuple(self._temp(f"square {i}", (REACH, n, down, across, c)) for i in range(2))
        sources = [padded[:, r : r + TILE * (down - 1) + 1 : TILE, :width] for r in range(REACH)]
        columns = [half[:, :, :, r : r + TILE * (across - 1) + 1 : TILE] for r in range(REACH)]
        target = values.reshape(REACH, REACH, n, down, across, c)
        targets = [target[:, r] for r in range(REACH)]

        def run() -> None:
            input_rows(sources, half, line)
            input_rows(columns, targets, square)

        return run

    def bind_input_back(self, values: Array, image: Array):
        """A function: ``image`` (rows, 4 down + 2, 4 across + 2, channels) = B values B^T, tiles overlapping by two."""
        n, down, across, width, c = self.rows, self.down, self.across, self.width, self.channels
        source = values.reshape(REACH, REACH, n, down, across, c)
        half = self._temp("half", (REACH, n, down, width, c))
        square = tuple(self._temp(f"square {i}", (REACH, n, down, across, c)) for i in range(4))
        line = tuple(self._temp(f"line {i}", (n, down, width, c)) for i in range(4))
        across_rows = Overlap(half, 3, across, square[3])
        down_rows = Overlap(image, 1, down, line[3])
        sources = [source[:, r] for r in range(REACH)]

        def run() -> None:
            input_rows_back(sources, across_rows.parts, square[:3])
            across_rows.add(sources[5])
            input_rows_back(half, down_rows.parts, line[:3])
            down_rows.add(half[5])

        return run

    def bind_output(self, products: Array, image: Array):
        """A function: ``image`` (rows, 4 down, 4 across, channels) = A^T products A.

        ``products``: (36, count, channels) or (36, rows, down, across, channels).
        """
        n, down, across, c = self.rows, self.down, self.across, self.channels
        source = products.reshape(REACH, REACH, n, down, across, c)
        half = self._temp("half", (TILE, REACH, n, down, across, c))
        line = tuple(self._temp(f"line {i}", (REACH, n, down, across, c)) for i in range(2))
        square = tuple(self._temp(f"square {i}", (TILE, n, down, across, c)) for i in range(2))
        columns = [half[:, r] for r in range(REACH)]
        targets = self._pixels(image)

        def run() -> None:
            output_rows(source, half, line)
            output_rows(columns, targets, square)

        return run

    def bind_output_back(self, image: Array, products: Array):
        """A function: ``products`` (36, count, channels) = A image A^T, the adjoint of ``bind_output``."""
        n, down, across, c = self.rows, self.down, self.across, self.channels
        half = self._temp("half", (REACH, n, down, TILE * across, c))
        line = tuple(self._temp(f"line {i}", (n, down, TILE * across, c)) for i in range(2))
        square = tuple(self._temp(f"square {i}", (REACH, n, down, across, c)) for i in range(2))
        target = products.reshape(REACH, REACH, n, down, across, c)
        sources = [image[:, r::TILE] for r in range(TILE)]
        columns = [half[:, :, :, r::TILE] for r in range(TILE)]
        targets = [target[:, r] for r in range(REACH)]

        def run() -> None:
            output_rows_back(sources, half, line)
            output_rows_back(columns, targets, square)

        return run

    def _pixels(self, image: Array) -> list[Array]:
        """Per column of a tile a view (tile row, image, down, across, channels) of the image."""
        row, line, pixel, item = image.strides
        shape = (TILE, self.rows, self.down, self.across, self.channels)
        steps = (line, row, TILE * line, TILE * pixel, item)
        view = np.lib.stride_tricks.as_strided
        return [view(image[:, :, b:], shape, steps) for b in range(TILE)]


class Overlap:
    """Six rows per tile laid into one axis of length 4 tiles + 2, where a tile's last two meet the next one's first.

    ``parts``: where rows 0 to 4 are written (row 4 into ``scratch``); ``add`` then adds rows 4 and 5 to their places.
    """

    def __init__(self, whole: Array, axis: int, tiles: int, scratch: Array):
        self.tiles, self.axis, self.scratch = tiles, axis, scratch
        self.whole = whole
        self.parts = [self._at(r, tiles) for r in range(TILE)] + [scratch]
        self.shared = [(self._at(TILE + r, tiles - 1), self._at(TILE * tiles + r, 1)) for r in range(2)]

    def _at(self, first: int, count: int) -> Array:
        index = [slice(None)] * self.whole.ndim
        index[self.axis] = slice(first, first + TILE * (count - 1) + 1 if count else first, TILE)
        return self.whole[tuple(index)]

    def _tiles(self, rows: Array, part: slice) -> Array:
        return rows[(slice(None),) * self.axis + (part,)]

    def add(self, fifth: Array) -> None:
        """Rows 4 (from the scratch) and 5 of every tile."""
        for (inner, end), rows in zip(self.shared, (self.scratch, fifth), strict=True):
            np.add(inner, self._tiles(rows, slice(0, self.tiles - 1)), out=inner)
            np.copyto(end, self._tiles(rows, slice(self.tiles - 1, self.tiles)))
