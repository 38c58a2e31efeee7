"""Convolution with more weights than its batch has activations: tap by tap over the whole batch."""

from __future__ import annotations

import numpy as np

from dltool.engine.buffers import NO_PADDING, Padding, Piece
from dltool.engine.kernels.base import NUM_TILES, Phase, Run, Site, chain
from dltool.engine.kernels.convolution import ConvolutionKernel
from dltool.engine.kernels.products import bind_product, product_into
from dltool.engine.kernels.taps import Taps
from dltool.engine.kernels.tricks import ones
from dltool.engine.memory import shared_zeros


class BatchConvolution(ConvolutionKernel):
    """One product per tap of the window, of the pixels that the tap really sees, and a sum over the taps.

    Sums per shard of such large weight gradients would cost more than the barriers that this needs. Border pixels are
    left out (5 of 9 products on a map of 2x2, 3 of 10 on 4x4), each tap writes its own part of the weight gradient, and
    dX needs no flipped copy of the weights. Against columns of whole windows a step of the convolutions of ResNet-18
    takes, on one lane, for 16 images: 6.0 instead of 16.9 ms (512 channels, 2x2), 7.3 instead of 10.6 (256, 4x4).
    """

    sums_shards = False
    needs_flipped = False

    def __init__(self, site: Site):
        super().__init__(site)
        g, rows, layer = self.geometry, site.batch_size, site.layer
        shapes = (site.input_shapes[0], site.output_shape)
        self.taps = Taps(g.kernel, g.strides, g.dilation, layer.padding, *shapes)
        sizes = [(oy.stop - oy.start, ox.stop - ox.start) for (oy, ox), _ in self.taps.slices]
        self.values = [shared_zeros((rows, *size, g.channels)) for size in sizes]
        self.products = [shared_zeros((rows, *size, g.filters)) for size in sizes]
        self.units = balanced([down * across for down, across in sizes], -(-NUM_TILES // len(sizes)))

    def input_padding(self, index: int) -> Padding:
        return NO_PADDING

    def gradient_padding(self) -> Padding:
        return NO_PADDING

    def forward_phases(self) -> list[Phase]:
        tiles = len(self.units)
        return [
            Phase("shard", self.bind_values, frozenset("x")),
            Phase("tile", self.bind_taps, frozenset(), num_tiles=tiles, needs_all=True),
            Phase("shard", self.bind_sum, frozenset("y"), needs_all=True),
        ]

    def backward_phases(self) -> list[Phase]:
        tiles = len(self.units)
        return [
            Phase("shard", self.bind_spread, frozenset({"y", "dy"})),
            Phase("tile", self.bind_gradients, frozenset({"dy"}), num_tiles=tiles, needs_all=True),
            Phase("shard", self.bind_dx, frozenset({"dx"}), needs_all=True),
        ]

    def bind_values(self, piece: Piece) -> Run:
        """The input pixels that each tap sees."""
        return copies(self.values, self.site.x[0].interior(piece), [inside for _, inside in self.taps.slices], piece)

    def bind_taps(self, piece: Piece) -> Run:
        """What a tap gives to some filters: its pixels times its kernel."""
        tap, part = self.unit(piece, self.geometry.filters)
        values, products = self.matrices(tap, piece)
        kernel, out = self.kernel_of(self.weights, tap)[:, part], products[:, part]
        return bind_product(values, kernel, out, piece)

    def bind_sum(self, piece: Piece) -> Run:
        """The output: the sum over the taps, then bias and relu."""
        g = self.geometry
        total = piece.temp("tap sum", (len(piece), g.out_height, g.out_width, g.filters))
        outside = [outside for outside, _ in self.taps.slices]
        return chain(sums(self.products, total, outside, piece), self.bind_output(piece, total))

    def bind_spread(self, piece: Piece) -> Run:
        """The output gradients that each tap served, where its products were."""
        outside = [outside for outside, _ in self.taps.slices]
        spread = copies(self.products, self.site.dy.interior(piece), outside, piece)
        return chain(self.bind_relu_gradient(piece), spread)

    def bind_gradients(self, piece: Piece) -> Run | None:
        """The tap's part of dW, then its part of dX, where its values were."""
        site, g = self.site, self.geometry
        tap, part = self.unit(piece, g.channels)
        values, dy = self.matrices(tap, piece)
        runs: list[Run | None] = []
        if site.trains_weights:
            gradient = self.kernel_of(site.gradients[0], tap)[part]
            runs += product_into(values[:, part].T, dy, gradient, site.accumulates, piece)
            if self.has_bias and piece.tile == piece.num_tiles - 1:
                whole = site.dy.interior(piece).reshape(-1, g.filters)
                runs += product_into(ones(len(whole)), whole, site.gradients[1], site.accumulates, piece)
        if site.dx[0] is not None:
            transposed, out = self.kernel_of(self.weights, tap)[part].T, values[:, part]
            runs.append(bind_product(dy, transposed, out, piece))
        return chain(*runs) if runs else None

    def bind_dx(self, piece: Piece) -> Run | None:
        if self.site.dx[0] is None:
            return None
        target, add = self.site.dx_target(piece)
        return chain(sums(self.values, target, [inside for _, inside in self.taps.slices], piece), add)

    def unit(self, piece: Piece, size: int) -> tuple[int, slice]:
        """The tap of a tile, and the tile's part of an axis of ``size``."""
        tap, part, parts = self.units[piece.tile]
        return tap, slice(size * part // parts, size * (part + 1) // parts)

    def matrices(self, tap: int, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
        """A tap's values and products for the whole batch, a row per pixel."""
        g = self.geometry
        values, products = self.values[tap][: piece.total], self.products[tap][: piece.total]
        return values.reshape(-1, g.channels), products.reshape(-1, g.filters)

    def kernel_of(self, weights: np.ndarray, tap: int) -> np.ndarray:
        """One tap's matrix (channels, filters) of the weights or of their gradient."""
        return weights.reshape(-1, self.geometry.channels, self.geometry.filters)[tap]


def balanced(sizes: list[int], parts: int) -> list[tuple[int, int, int]]:
    """(tap, part, parts) of every tile, in an order whose first and second half hold about equal work.

    The largest goes to the first half, the next two to the second, and so on; of an odd number the last to the second.
    """
    largest_first = sorted(range(len(sizes)), key=lambda tap: -sizes[tap])
    units = [(tap, part, parts) for tap in largest_first for part in range(parts)]
    paired = len(units) - len(units) % 2
    first = [unit for i, unit in enumerate(units) if i < paired and i % 4 in (0, 3)]
    return first + [unit for unit in units if unit not in first]


def copies(parts: list[np.ndarray], image: np.ndarray, places: list, piece: Piece) -> Run:
    """A function that copies the piece's pixels at each tap's place out of an image."""
    pairs = [(part[piece.start : piece.stop], image[:, y, x]) for part, (y, x) in zip(parts, places, strict=True)]

    def run() -> None:
        for part, pixels in pairs:
            np.copyto(part, pixels)

    return run


def sums(parts: list[np.ndarray], image: np.ndarray, places: list, piece: Piece) -> Run:
    """A function that sets an image to the sum of the taps' parts at their places."""
    pairs = [(part[piece.start : piece.stop], image[:, y, x]) for part, (y, x) in zip(parts, places, strict=True)]

    def run() -> None:
        image[...] = 0
        for part, pixels in pairs:
            np.add(pixels, part, out=pixels)

    return run
