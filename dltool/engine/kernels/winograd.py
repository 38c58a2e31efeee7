"""Winograd convolution on shards: 3x3, stride 1, 32 to 64 channels or more, where it beats im2col by 2 to 2.7 times.

Forward keeps the transformed input V for the backward pass, and dM serves both gradients, so that a training step
needs four transforms instead of six.
"""

from __future__ import annotations

import numpy as np

from dltool.engine.buffers import Padding, Piece
from dltool.engine.kernels.base import NUM_TILES, Phase, Run, Site, chain
from dltool.engine.kernels.convolution import ConvolutionKernel
from dltool.engine.kernels.products import bind_product, product_into
from dltool.engine.kernels.tricks import merged_rows, ones
from dltool.engine.memory import shared_zeros
from dltool.engine.winograd import KERNEL_PRODUCT, TILE, TILE_SUM, Tiles, transform_kernel

FREQUENCIES = 36
SMALLEST_CHANNELS = 32
SMALLEST_KERNEL = 2048
"""Channels times filters, below which half the transforms and twice the multiplications take less time."""
TRANSFORMED_BYTES = 5 << 19
"""Transformed input of one micro-batch: 4 images of 32x32x64."""
BAND_BYTES = 1 << 20
"""Transformed input of some tile rows of an image that is larger: 0.8 of the time of an image of 224x224x64 at once,
0.9 of one of 112x112x128; half and twice as much take 5-10 % longer."""
FREQUENCY_TILES = 12
"""Tiles of the 36 products that give the kernel's gradient."""


def suits(site: Site) -> bool:
    """Whether a convolution's shape is one that Winograd wins."""
    layer, (height, width, filters) = site.layer, site.output_shape
    plain = layer.kernel_size == (3, 3) and layer.strides == (1, 1) and layer.dilation_rate == (1, 1)
    whole = height % TILE == 0 and width % TILE == 0
    channels = site.input_shapes[0][-1]
    wide = min(filters, channels) >= SMALLEST_CHANNELS and channels * filters >= SMALLEST_KERNEL
    return plain and whole and wide


class WinogradConvolution(ConvolutionKernel):
    """F(4x4, 3x3); see ``engine.winograd`` for the arithmetic.

    In training V and dM of the whole batch are kept, so that dU = V^T dM is one product per frequency without sums per
    shard: eight sums of dU, four times the size of dW, would cost more than the memory traffic.
    """

    needs_flipped = False
    sums_shards = False

    def __init__(self, site: Site):
        super().__init__(site)
        g = self.geometry
        self.tiles = (g.out_height // TILE, g.out_width // TILE)
        self.tiles_per_row = self.tiles[0] * self.tiles[1]
        self.bytes_per_tile_row = 4 * FREQUENCIES * self.tiles[1] * max(g.channels, g.filters)
        self.micro_batch = max(1, min(16, TRANSFORMED_BYTES // (self.bytes_per_tile_row * self.tiles[0])))
        self.transformed_kernel = shared_zeros((FREQUENCIES, g.channels, g.filters))
        self.keeps_values = site.training and site.trains_weights
        if self.keeps_values:
            count = site.batch_size * self.tiles_per_row
            self.values = shared_zeros((FREQUENCIES, count, g.channels))
            self.products = shared_zeros((FREQUENCIES, count, g.filters))
            self.kernel_gradient = shared_zeros((FREQUENCIES, g.channels * g.filters))

    def gradient_padding(self) -> Padding:
        return Padding()

    def refresh(self) -> None:
        super().refresh()
        transform_kernel(self.weights, self.transformed_kernel)

    def forward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_forward, frozenset({"x", "y"}), self.micro_batch)]

    def backward_phases(self) -> list[Phase]:
        phases = [Phase("shard", self.bind_backward, frozenset({"y", "dx", "dy"}), self.micro_batch)]
        if self.site.trains_weights:
            nothing = frozenset()
            phases.append(Phase("tile", self.bind_frequencies, nothing, num_tiles=FREQUENCY_TILES, deferred=1))
            phases.append(Phase("tile", self.bind_kernel_gradient, nothing, num_tiles=NUM_TILES, deferred=2))
        return phases

    def rows_of(self, whole: str, piece: Piece, tiles: Tiles) -> np.ndarray:
        """The piece's rows of V or dM (36, tiles, channels): the batch's when needed again, else temporary."""
        if self.keeps_values:
            start = piece.start * self.tiles_per_row
            return getattr(self, whole)[:, start : start + tiles.count]
        return piece.temp(whole, (FREQUENCIES, tiles.count, tiles.channels))

    def tiles_of(self, piece: Piece, channels: int, down: slice | None = None) -> Tiles:
        down = down or slice(0, self.tiles[0])
        return Tiles(len(piece), (down.stop - down.start, self.tiles[1]), channels, piece.temp)

    def bind_forward(self, piece: Piece) -> Run | None:
        """Bands are bands of tiles here, four rows high; one that would not stay in cache is taken in parts."""
        down = piece.band(self.tiles[0])
        step = down.stop - down.start
        if not self.keeps_values:
            step = max(1, min(step, BAND_BYTES // self.bytes_per_tile_row // len(piece)))
        parts = [slice(first, min(first + step, down.stop)) for first in range(down.start, down.stop, max(1, step))]
        return chain(*[self.bind_tile_rows(piece, part) for part in parts]) if parts else None

    def bind_tile_rows(self, piece: Piece, down: slice) -> Run:
        g, x = self.geometry, self.site.x[0]
        top = x.padding.top - g.padding.top + TILE * down.start
        padded = x.padded(piece)[:, top:, x.padding.left - g.padding.left :]
        tiles = self.tiles_of(piece, g.channels, down)
        values, kernel = self.rows_of("values", piece, tiles), self.transformed_kernel
        products = piece.temp("forward products", (FREQUENCIES, tiles.count, g.filters))
        rows = slice(TILE * down.start, TILE * down.stop)
        y, added = self.site.y.image(piece)[:, rows], self.added_image(piece)
        return chain(
            tiles.bind_input(padded, values),
            bind_product(values, kernel, products, piece),
            self.tiles_of(piece, g.filters, down).bind_output(products, y),
            self.bind_finish(merged_rows(y), y, None if added is None else added[:, rows]),
        )

    def bind_backward(self, piece: Piece) -> Run:
        """dM = A dY A^T, and dX = B (dM U^T) B^T."""
        site, g = self.site, self.geometry
        tiles = self.tiles_of(piece, g.filters)
        products = self.rows_of("products", piece, tiles)
        spread = tiles.bind_output_back(site.dy.interior(piece), products)
        return chain(self.bind_relu_gradient(piece), spread, *self.bind_dx(piece, products))

    def bind_dx(self, piece: Piece, products: np.ndarray) -> list[Run | None]:
        g, p = self.geometry, self.geometry.padding
        if self.site.dx[0] is None:
            return []
        transposed = self.transformed_kernel.transpose(0, 2, 1)
        values = piece.temp("dx values", (FREQUENCIES, products.shape[1], g.channels))
        image = piece.temp("padded dx", (len(piece), g.out_height + 2, g.out_width + 2, g.channels))
        inner = image[:, p.top : p.top + g.height, p.left : p.left + g.width]
        target, add = self.site.dx_target(piece)
        return [
            bind_product(products, transposed, values, piece),
            self.tiles_of(piece, g.channels).bind_input_back(values, image),
            lambda: np.copyto(target, inner),
            add,
        ]

    def bind_frequencies(self, piece: Piece) -> Run:
        """dU = V^T dM for some of the 36 frequencies, over the whole batch."""
        g, part = self.geometry, piece.span(FREQUENCIES)
        count = piece.total * self.tiles_per_row
        transposed = self.values[part, :count].transpose(0, 2, 1)
        products = self.products[part, :count]
        out = self.kernel_gradient[part].reshape(-1, g.channels, g.filters)
        return bind_product(transposed, products, out, piece)

    def bind_kernel_gradient(self, piece: Piece) -> Run:
        """dg = G^T dU G for some entries of the kernel; the last tile also sums the bias's gradient."""
        site, g = self.site, self.geometry
        part = piece.span(g.channels * g.filters)
        out = site.gradients[0].reshape(9, -1)[:, part]
        runs = product_into(KERNEL_PRODUCT.T, self.kernel_gradient[:, part], out, site.accumulates, piece)
        if self.has_bias and piece.tile == piece.num_tiles - 1:
            sums = self.products[TILE_SUM, : piece.total * self.tiles_per_row]
            runs += product_into(ones(len(sums)), sums, site.gradients[1], site.accumulates, piece)
        return chain(*runs)
