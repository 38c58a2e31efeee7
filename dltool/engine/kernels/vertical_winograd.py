"""Winograd's F(4, 3) along the image's height alone, windows along its width: half the multiplications.

Four output rows come from six input rows: ``Y = A^T [ (G g) * (B^T d) ]``, the transforms of ``engine.winograd`` along
one axis. They work on whole image rows, hundreds of numbers at a time, and need no tiles across, so they cost little
beside those of F(4x4, 3x3); errors stay at 1e-5 of rms.

Nothing is copied into columns: see ``Planes``.
"""

from __future__ import annotations

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import Phase, Run, Site, chain
from dltool.engine.kernels.convolution import ConvolutionKernel
from dltool.engine.kernels.products import bind_product, bind_products
from dltool.engine.kernels.tricks import merged_rows, ones
from dltool.engine.memory import shared_zeros
from dltool.engine.winograd import (
    INPUT_TRANSFORM,
    KERNEL_TRANSFORM,
    OUTPUT_ADJOINT,
    OUTPUT_TRANSFORM,
    REACH,
    TILE,
    tiles_along,
)

TRANSFORMED_BYTES = 5 << 18
"""Transformed input and output of one micro-batch: 4 images of 26x26x32, 1 of 32x32x64. Larger ones leave a second
level cache of 1 MB."""
WINDOW = 3


def suits(site: Site) -> bool:
    """Whether a convolution's shape is one that this wins; tiles over the lower edge waste up to a quarter."""
    layer, height = site.layer, site.output_shape[0]
    plain = layer.kernel_size == (3, 3) and layer.strides == (1, 1) and layer.dilation_rate == (1, 1)
    return plain and height >= TILE and -height % TILE * 3 <= height


class VerticalWinograd(ConvolutionKernel):
    """F(4, 3) on shards. Against columns of whole windows, one lane, a forward pass and its two gradients take 0.55-0.6
    of the time (8 to 128 channels, 16x16 to 64x64), 0.75 on 13x13, 0.9 on 9x9; a first layer without dX 0.4-0.8.
    """

    def __init__(self, site: Site):
        super().__init__(site)
        g = self.geometry
        self.down = -(-g.out_height // TILE)
        width = max(g.width, g.out_width) + WINDOW - 1
        per_row = 4 * REACH * max(self.down, -(-g.height // TILE)) * width * (g.channels + g.filters)
        self.micro_batch = 1 << min(4, max(1, TRANSFORMED_BYTES // per_row).bit_length() - 1)
        self.transformed = shared_zeros((REACH, WINDOW * g.channels, g.filters))
        self.transformed_flipped = shared_zeros((REACH, WINDOW * g.filters, g.channels)) if site.training else None

    def refresh(self) -> None:
        super().refresh()
        transform(self.weights, self.transformed)
        if self.flipped is not None:
            transform(self.flipped, self.transformed_flipped)

    def forward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_forward, frozenset({"x", "y"}), self.micro_batch)]

    def backward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_backward, frozenset({"x", "y", "dx", "dy"}), self.micro_batch)]

    def bind_forward(self, piece: Piece) -> Run | None:
        """Bands are bands of tiles here, four rows high."""
        down = piece.band(self.down)
        if down.start == down.stop:
            return None
        rows = slice(TILE * down.start, TILE * down.stop)
        y, added = self.site.y.image(piece)[:, rows], self.added_image(piece)
        product = bind_convolution(self.lines_of_x(piece, down.start), self.transformed, merged_rows(y), piece)
        return chain(product, self.bind_finish(merged_rows(y), y, None if added is None else added[:, rows]))

    def bind_backward(self, piece: Piece) -> Run:
        site = self.site
        runs = [self.bind_relu_gradient(piece)]
        if site.trains_weights:
            runs += self.bind_weight_gradient(piece)
        if site.dx[0] is not None:
            runs += self.bind_dx(piece)
        return chain(*runs)

    def lines_of_x(self, piece: Piece, tile: int) -> np.ndarray:
        """The lines (rows, height, width * channels) from which the output's come, from a tile on."""
        g, x = self.geometry, self.site.x[0]
        top, left = x.padding.top - g.padding.top + TILE * tile, x.padding.left - g.padding.left
        return merged_rows(x.padded(piece)[:, top:, left : left + g.out_width + WINDOW - 1])

    def bind_weight_gradient(self, piece: Piece) -> list[Run | None]:
        """dM = A dY per frequency, dU = windows^T dM, dg = G^T dU."""
        g, site = self.geometry, self.site
        values = Planes(piece, "values", self.down, g.out_width + WINDOW - 1, g.channels)
        spread = Planes(piece, "spread", self.down, g.out_width + WINDOW - 1, g.filters)
        dy = merged_rows(site.dy.interior(piece))
        products = piece.temp("products", (REACH, WINDOW, g.channels, g.filters))
        target, add = site.weight_target(piece, 0)
        out, back = target.reshape(WINDOW, -1), np.ascontiguousarray(KERNEL_TRANSFORM.T)
        runs = [
            values.bind_input(self.lines_of_x(piece, 0), g.out_height),
            spread.bind_output_back(dy),
            bind_product(values.taps.swapaxes(-1, -2), repeated(spread.pixels), products, piece),
            lambda: np.matmul(back, products.reshape(REACH, -1), out=out),
            add,
        ]
        if self.has_bias:
            # Row 1 of A is all ones: frequency 1 of dM holds the sum of each tile's rows.
            sums, (bias, add_bias) = spread.pixels[1], site.weight_target(piece, 1)
            row = ones(len(sums))
            runs += [lambda: np.matmul(row, sums, out=bias), add_bias]
        return runs

    def bind_dx(self, piece: Piece) -> list[Run | None]:
        """The same product on dY with flipped kernels."""
        g, dy = self.geometry, self.site.dy
        wanted = self.gradient_padding()
        top, left = dy.padding.top - wanted.top, dy.padding.left - wanted.left
        lines = merged_rows(dy.padded(piece)[:, top:, left : left + g.width + WINDOW - 1])
        target, add = self.site.dx_target(piece)
        return [bind_convolution(lines, self.transformed_flipped, merged_rows(target), piece), add]


class Planes:
    """Six planes, one per frequency, of the transformed lines of a piece's images, pixel after pixel.

    The window of a pixel is itself and the next two. Windows three pixels apart lie side by side in memory: a third of
    all windows is a matrix as it stands, and nothing needs to be copied into columns. The last two windows of a line
    reach into the next line and give products that are not used; behind a plane lie a few zeros for the last ones.

    Args:
        piece: whose lane lends the memory ``name``, and whose images these are.
        down: tiles. width: pixels of a line. channels: of a pixel.

    Attributes:
        pixels: (6, count, channels).
        taps: (6, 3, count, channels): for each place in the window the pixel there.
        lines: (images, tiles, 6, width * channels).
    """

    def __init__(self, piece: Piece, name: str, down: int, width: int, channels: int):
        count = len(piece) * down * width
        self.windows = -(-count // WINDOW)
        self.whole = piece.temp(name, (REACH, WINDOW * self.windows + WINDOW - 1, channels))
        self.pixels, self.rest = self.whole[:, :count], self.whole[:, count:]
        self.taps = self._strided((count, channels), (channels, 1))
        self.lines = np.moveaxis(self.pixels.reshape(REACH, len(piece), down, width * channels), 0, -2)

    def thirds(self, size: int) -> np.ndarray:
        """(6, 3, windows, size * channels): the pixels from the first, second, third on, ``size`` at each window."""
        channels = self.whole.shape[-1]
        return self._strided((self.windows, size * channels), (WINDOW * channels, 1))

    def _strided(self, shape: tuple[int, int], steps: tuple[int, int]) -> np.ndarray:
        """Three times a matrix of every plane, each from the next pixel on."""
        plane, pixel, item = self.whole.strides
        strides = (plane, pixel, *(step * item for step in steps))
        return np.lib.stride_tricks.as_strided(self.whole, (REACH, WINDOW, *shape), strides)

    def bind_input(self, lines: np.ndarray, height: int) -> Run:
        """A function: the planes of B^T d for the lines that give ``height`` lines of output."""
        calls = []
        for first, count, size in tile_runs(height):
            source = tiles_along(lines[:, TILE * first :], -2, count, size + WINDOW - 1)
            calls.append((INPUT_TRANSFORM[:, : size + WINDOW - 1], source, self.tiles(first, count)))
        return chain(bind_products(calls), lambda: self.rest.fill(0))

    def bind_output(self, image: np.ndarray) -> Run:
        """A function: the lines ``image`` (images, height, up to width * channels) = A^T times the planes."""
        calls = []
        for first, count, size in tile_runs(image.shape[1]):
            source = self.tiles(first, count)[..., : image.shape[-1]]
            calls.append((OUTPUT_TRANSFORM[:size], source, tiles_along(image[:, TILE * first :], -2, count, size)))
        return bind_products(calls)

    def bind_output_back(self, image: np.ndarray) -> Run:
        """A function: the planes are A times the lines, zero behind each line; the adjoint of ``bind_output``."""
        calls = []
        for first, count, size in tile_runs(image.shape[1]):
            source = tiles_along(image[:, TILE * first :], -2, count, size)
            calls.append((OUTPUT_ADJOINT[:, :size], source, self.tiles(first, count)[..., : image.shape[-1]]))
        behind = self.lines[..., image.shape[-1] :]
        return chain(bind_products(calls), lambda: behind.fill(0))

    def tiles(self, first: int, count: int) -> np.ndarray:
        return self.lines[:, first : first + count]


def tile_runs(height: int) -> list[tuple[int, int, int]]:
    """(first tile, tiles, lines of each): the whole tiles of an image, then one that its end cuts."""
    whole, rest = divmod(height, TILE)
    return [run for run in ((0, whole, TILE), (whole, 1, rest)) if run[1] and run[2]]


def bind_convolution(lines: np.ndarray, kernel: np.ndarray, image: np.ndarray, piece: Piece) -> Run:
    """A function: ``image`` (images, height, width * filters) = lines convolved with a kernel (6, depth, filters).

    Args:
        lines: (images, at least height + 2, (width + 2) * channels).
    """
    filters, channels = kernel.shape[-1], kernel.shape[-2] // WINDOW
    down, width = -(-image.shape[1] // TILE), lines.shape[-1] // channels
    values = Planes(piece, "values", down, width, channels)
    products = Planes(piece, "spread", down, width, filters)
    return chain(
        values.bind_input(lines, image.shape[1]),
        bind_product(values.thirds(WINDOW), repeated(kernel), products.thirds(1), piece),
        products.bind_output(image),
    )


def repeated(matrices: np.ndarray) -> np.ndarray:
    """View (6, rows, columns) as (6, 3, rows, columns)."""
    return np.broadcast_to(matrices[:, None], (REACH, WINDOW, *matrices.shape[1:]))


def transform(kernel: np.ndarray, out: np.ndarray) -> None:
    """``out`` (6, 3 * inputs, outputs) = G kernel along the height of a kernel (3, 3, inputs, outputs)."""
    np.matmul(KERNEL_TRANSFORM, kernel.reshape(WINDOW, -1), out=out.reshape(REACH, -1))
