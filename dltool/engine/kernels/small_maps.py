"""Convolutions on small maps in inference: lanes share the filters, because bands of rows would be too thin."""

from __future__ import annotations

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import NUM_BANDS, NUM_TILES, SMALL_BATCH, Phase, Run, Site, chain
from dltool.engine.kernels.convolution import ConvolutionKernel, bind_sum_and_relu
from dltool.engine.kernels.panels import Panels
from dltool.engine.kernels.tricks import bind_copy

MOST_PIXELS = 100
"""Output pixels up to which filters are cut. A quarter of the rows of a map of 7x7 makes a product of 14 rows, at half
the speed. From 14x14 bands win, although their products are slower: with all layers in bands a lane finds most of what
it reads in its own cache (14x14x512 of a MobileNet: 1x1 .52 instead of .57 ms, depthwise .11 instead of .21)."""
FEWEST_FILTERS = 128
"""Below this bands win: tiles of less than 32 filters run at half the speed."""
VECTOR = 16
"""Tiles are whole vectors of filters: 160 filters are cut into 32, 48, 32 and 48."""


def suits(site: Site) -> bool:
    height, width, filters = site.output_shape
    is_small = height * width <= MOST_PIXELS and filters >= FEWEST_FILTERS
    return not site.training and site.batch_size < SMALL_BATCH and is_small


def filter_bounds(filters: int) -> list[int]:
    """Where the tiles of filters start, and where the last one ends."""
    vectors = filters // VECTOR
    return [VECTOR * (vectors * i // NUM_TILES) for i in range(NUM_TILES)] + [filters]


class SmallMapConvolution(ConvolutionKernel):
    """Columns of windows in bands of rows, then one product in tiles of filters."""

    needs_flipped = False

    def __init__(self, site: Site):
        super().__init__(site)
        g = self.geometry
        if not g.is_pointwise:
            site.shared.reserve("columns", (site.batch_size, g.pixels, g.depth))
        self.panels = Panels(site.batch_size * g.pixels, g.depth, filter_bounds(g.filters))

    def forward_phases(self) -> list[Phase]:
        product = Phase("tile", self.bind_filters, frozenset({"x", "y"}), None, True, NUM_TILES)
        if self.geometry.is_pointwise:
            return [product]
        fill = Phase("tile", self.bind_fill, frozenset("x"), None, True, NUM_BANDS, banded=True)
        return [fill, product]

    def columns(self, piece: Piece) -> np.ndarray:
        """(images, pixels, depth)."""
        return self.site.shared.array("columns", (piece.total, self.geometry.pixels, self.geometry.depth))

    def bind_fill(self, piece: Piece) -> Run:
        g, x, band = self.geometry, self.site.x[0], piece.band(self.geometry.out_height)
        windows = g.windows(x.padded(piece), x.padding, band)
        rows = slice(band.start * g.out_width, band.stop * g.out_width)
        columns = self.columns(piece)[:, rows].reshape(windows.shape)
        return bind_copy(windows, columns)

    def bind_filters(self, piece: Piece) -> Run:
        """A tile of filters; where the output has no border the product is written into it at once."""
        g, part = self.geometry, self.panels.tile(piece.tile)
        gather = None
        if g.is_pointwise:
            columns, gather = self.bind_columns(piece, None)
        else:
            columns = self.columns(piece).reshape(-1, g.depth)
        y = self.site.y.image(piece)
        whole, y = self.matrix(y, g.filters), y[..., part]
        product = piece.temp("product", (len(columns), y.shape[-1])) if whole is None else whole[:, part]
        multiply = self.panels.bind(columns, piece.tile, product, piece)
        shaped, added = y if whole is not None else product.reshape(y.shape), self.added_image(piece)
        terms = (self.bias_row[part] if self.has_bias else None, None if added is None else added[..., part])
        return chain(gather, multiply, bind_sum_and_relu(shaped, y, terms, self.site))
