"""Winograd's F(4, 3) along the image's height alone, windows along its width: half the multiplications.

Four output rows come from six input rows: ``Y = A^T [ (G g) * (B^T d) ]``, the transforms of ``engine.winograd`` along
one axis. They work on whole image rows, hundreds of numbers at a time, and need no tiles across, so they cost little
beside those of F(4x4, 3x3); errors stay at 1e-6 of rms. Where nothing may round much more than a direct sum two
output rows come from four, with two thirds of the multiplications.

Nothing is copied into columns: see ``Planes``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import Phase, Run, Site, chain
from dltool.engine.kernels.convolution import ConvolutionKernel
from dltool.engine.kernels.products import bind_product, bind_products
from dltool.engine.kernels.tricks import merged_rows, ones
from dltool.engine.memory import shared_zeros
from dltool.engine.winograd import BY_FOUR, BY_TWO, Filtering, tiles_along

TRANSFORMED_BYTES = 5 << 18
"""Transformed input and output of one micro-batch: 4 images of 26x26x32, 1 of 32x32x64. Larger ones leave a second
level cache of 1 MB."""
WINDOW = 3


def suits(site: Site) -> bool:
    """Whether a convolution's shape is one that this wins; tiles over the lower edge waste up to a quarter."""
    layer, height, tile = site.layer, site.output_shape[0], filtering_of(site).tile
    plain = layer.kernel_size == (3, 3) and layer.strides == (1, 1) and layer.dilation_rate == (1, 1)
    return plain and height >= 4 and -height % tile * 3 <= height


def filtering_of(site: Site) -> Filtering:
    return BY_TWO if site.exact else BY_FOUR


class VerticalWinograd(ConvolutionKernel):
    """F(4, 3) on shards. Against columns of whole windows, one lane, a forward pass and its two gradients take 0.55-0.6
    of the time (8 to 128 channels, 16x16 to 64x64), 0.75 on 13x13, 0.9 on 9x9; a first layer without dX 0.4-0.8.
    F(2, 3), which ``site.exact`` asks for, takes 0.7-0.8.
    """

    def __init__(self, site: Site):
        super().__init__(site)
        g = self.geometry
        self.filtering = filtering = filtering_of(site)
        self.down = -(-g.out_height // filtering.tile)
        width = max(g.width, g.out_width) + WINDOW - 1
        per_row = (
            4 * filtering.reach * max(self.down, -(-g.height // filtering.tile)) * width * (g.channels + g.filters)
        )
        self.micro_batch = 1 << min(4, max(1, TRANSFORMED_BYTES // per_row).bit_length() - 1)
        self.transformed = shared_zeros((filtering.reach, WINDOW * g.channels, g.filters))
        self.transformed_flipped = None
        if self.flipped is not None:
            self.transformed_flipped = shared_zeros((filtering.reach, WINDOW * g.filters, g.channels))

    def refresh(self) -> None:
        super().refresh()
        self.transform(self.weights, self.transformed)
        if self.flipped is not None:
            self.transform(self.flipped, self.transformed_flipped)

    def transform(self, kernel: np.ndarray, out: np.ndarray) -> None:
        """``out`` (reach, 3 * inputs, outputs) = G kernel along the height of a kernel (3, 3, inputs, outputs)."""
        np.matmul(self.filtering.kernel, kernel.reshape(WINDOW, -1), out=out.reshape(self.filtering.reach, -1))

    def forward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_forward, frozenset({"x", "y"}), self.micro_batch)]

    def backward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_backward, frozenset({"x", "y", "dx", "dy"}), self.micro_batch)]

    def bind_forward(self, piece: Piece) -> Run | None:
        """Bands are bands of tiles here."""
        down, tile = piece.band(self.down), self.filtering.tile
        if down.start == down.stop:
            return None
        rows = slice(tile * down.start, tile * down.stop)
        y, added = self.site.y.image(piece)[:, rows], self.added_image(piece)
        product = self.bind_convolution(self.lines_of_x(piece, down.start), self.transformed, merged_rows(y), piece)
        return chain(product, self.bind_finish(merged_rows(y), y, None if added is None else added[:, rows]))

    def bind_backward(self, piece: Piece) -> Run:
        site = self.site
        runs = [self.bind_relu_gradient(piece)]
        if site.trains_weights:
            runs += self.bind_weight_gradient(piece)
        if site.dx[0] is not None:
            runs += self.bind_dx(piece)
        return chain(*runs)

    def lines_of_x(self, piece: Piece, first: int) -> np.ndarray:
        """The lines (rows, height, width * channels) from which the output's come, from a tile on."""
        g, x = self.geometry, self.site.x[0]
        top, left = x.padding.top - g.padding.top + self.filtering.tile * first, x.padding.left - g.padding.left
        return merged_rows(x.padded(piece)[:, top:, left : left + g.out_width + WINDOW - 1])

    def bind_weight_gradient(self, piece: Piece) -> list[Run | None]:
        """dM = A dY per frequency, dU = windows^T dM, dg = G^T dU."""
        g, site, filtering = self.geometry, self.site, self.filtering
        values = Planes(piece, "values", filtering, (self.down, g.out_width + WINDOW - 1, g.channels))
        spread = Planes(piece, "spread", filtering, (self.down, g.out_width + WINDOW - 1, g.filters))
        dy = merged_rows(site.dy.interior(piece))
        products = piece.temp("products", (filtering.reach, WINDOW, g.channels, g.filters))
        target, add = site.weight_target(piece, 0)
        out, back = target.reshape(WINDOW, -1), np.ascontiguousarray(filtering.kernel.T)
        runs = [
            values.bind_input(self.lines_of_x(piece, 0), g.out_height),
            spread.bind_output_back(dy),
            bind_product(values.taps.swapaxes(-1, -2), repeated(spread.pixels), products, piece),
            lambda: np.matmul(back, products.reshape(filtering.reach, -1), out=out),
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
        return [self.bind_convolution(lines, self.transformed_flipped, merged_rows(target), piece), add]

    def bind_convolution(self, lines: np.ndarray, kernel: np.ndarray, image: np.ndarray, piece: Piece) -> Run:
        """A function: ``image`` (images, height, width * filters) = lines convolved with a transformed kernel.

        Args:
            lines: (images, at least height + 2, (width + 2) * channels).
        """
        filters, channels = kernel.shape[-1], kernel.shape[-2] // WINDOW
        down, width = -(-image.shape[1] // self.filtering.tile), lines.shape[-1] // channels
        values = Planes(piece, "values", self.filtering, (down, width, channels))
        products = Planes(piece, "spread", self.filtering, (down, width, filters))
        return chain(
            values.bind_input(lines, image.shape[1]),
            bind_product(values.thirds(WINDOW), repeated(kernel), products.thirds(1), piece),
            products.bind_output(image),
        )


class Planes:
    """Planes, one per frequency, of the transformed lines of a piece's images, pixel after pixel.

    The window of a pixel is itself and the next two. Windows three pixels apart lie side by side in memory: a third of
    all windows is a matrix as it stands, and nothing needs to be copied into columns. The last two windows of a line
    reach into the next line and give products that are not used; behind a plane lie a few zeros for the last ones.

    Args:
        piece: whose lane lends the memory ``name``, and whose images these are.
        sizes: tiles down, pixels of a line, channels of a pixel.

    Attributes:
        pixels: (reach, count, channels).
        taps: (reach, 3, count, channels): for each place in the window the pixel there.
        lines: (images, tiles, reach, width * channels).
    """

    def __init__(self, piece: Piece, name: str, filtering: Filtering, sizes: tuple[int, int, int]):
        down, width, channels = sizes
        self.filtering, reach = filtering, filtering.reach
        count = len(piece) * down * width
        self.windows = -(-count // WINDOW)
        self.whole = piece.temp(name, (reach, WINDOW * self.windows + WINDOW - 1, channels))
        self.pixels, self.rest = self.whole[:, :count], self.whole[:, count:]
        self.taps = self._strided((count, channels), (channels, 1))
        self.lines = np.moveaxis(self.pixels.reshape(reach, len(piece), down, width * channels), 0, -2)

    def thirds(self, size: int) -> np.ndarray:
        """(reach, 3, windows, size * channels): pixels from the first, second, third on, ``size`` at each window."""
        channels = self.whole.shape[-1]
        return self._strided((self.windows, size * channels), (WINDOW * channels, 1))

    def _strided(self, shape: tuple[int, int], steps: tuple[int, int]) -> np.ndarray:
        """Three times a matrix of every plane, each from the next pixel on."""
        plane, pixel, item = self.whole.strides
        strides = (plane, pixel, *(step * item for step in steps))
        return np.lib.stride_tricks.as_strided(self.whole, (len(self.whole), WINDOW, *shape), strides)

    def bind_input(self, lines: np.ndarray, height: int) -> Run:
        """A function: the planes of B^T d for the lines that give ``height`` lines of output."""
        calls, matrix = [], self.filtering.input
        for target, first, count, size in self.tile_runs(height):
            source = tiles_along(lines[:, first:], count, size + WINDOW - 1, self.filtering.tile)
            calls.append((matrix[:, : size + WINDOW - 1], source, target))
        return chain(bind_products(calls), lambda: self.rest.fill(0))

    def bind_output(self, image: np.ndarray) -> Run:
        """A function: the lines ``image`` (images, height, up to width * channels) = A^T times the planes."""
        calls, matrix = [], self.filtering.output
        for source, first, count, size in self.tile_runs(image.shape[1]):
            target = tiles_along(image[:, first:], count, size, self.filtering.tile)
            calls.append((matrix[:size], source[..., : image.shape[-1]], target))
        return bind_products(calls)

    def bind_output_back(self, image: np.ndarray) -> Run:
        """A function: the planes are A times the lines, zero behind each line; the adjoint of ``bind_output``."""
        calls, matrix = [], np.ascontiguousarray(self.filtering.output.T)
        for target, first, count, size in self.tile_runs(image.shape[1]):
            source = tiles_along(image[:, first:], count, size, self.filtering.tile)
            calls.append((matrix[:, :size], source, target[..., : image.shape[-1]]))
        behind = self.lines[..., image.shape[-1] :]
        return chain(bind_products(calls), lambda: behind.fill(0))

    def tile_runs(self, height: int) -> Iterator[tuple[np.ndarray, int, int, int]]:
        """(lines of the planes, first image line, tiles, image lines of each): the whole tiles, then one cut off."""
        tile = self.filtering.tile
        whole, rest = divmod(height, tile)
        if whole:
            yield self.lines[:, :whole], 0, whole, tile
        if rest:
            yield self.lines[:, whole:], tile * whole, 1, rest


def repeated(matrices: np.ndarray) -> np.ndarray:
    """View (frequencies, rows, columns) as (frequencies, 3, rows, columns)."""
    return np.broadcast_to(matrices[:, None], (len(matrices), WINDOW, *matrices.shape[1:]))
