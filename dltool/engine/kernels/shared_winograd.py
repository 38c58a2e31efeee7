"""Winograd's F(4x4, 3x3) on one to three images in inference: lanes share the frequencies.

The transformed kernels of a layer are four times its weights, up to 38 MB. A product of a few tiles takes as long as
they take to come from memory, so each lane must read its own part of them once; bands of image rows, each with all 36
products, would read all of them once a band. Between the transforms, which go in bands, and the products lie barriers.
"""

from __future__ import annotations

import numpy as np

from dltool.engine.buffers import NO_PADDING, Padding, Piece
from dltool.engine.kernels import products
from dltool.engine.kernels.base import NUM_BANDS, NUM_TILES, SMALL_BATCH, Phase, Run, Site, chain
from dltool.engine.kernels.convolution import ConvolutionKernel
from dltool.engine.kernels.panels import fits_panels, panel_width, stacks_of_blocks
from dltool.engine.kernels.tricks import merged_rows
from dltool.engine.kernels.winograd import FREQUENCIES, SMALLEST_CHANNELS
from dltool.engine.memory import shared_zeros
from dltool.engine.winograd import TILE, Tiles, transform_kernel

PIXELS = range(128, 3137)
"""Output pixels of an image. The transforms of a map of 7x7 cost more than they save; from 112x112 bands win, whose
transformed pixels stay in cache."""
FEWEST_WEIGHTS = 1 << 15
"""Input channels times filters. One lane, against bands: 28x28x512 10.9 instead of 35 ms, 56x56x256 12.4 instead of
17.1; against columns of windows: 14x14x512 4.6 instead of 10.5, 14x14x256 1.55 instead of 2.4."""


def suits(site: Site) -> bool:
    """Whether a convolution's shape is one that this wins."""
    layer, (height, width, filters), channels = site.layer, site.output_shape, site.input_shapes[0][-1]
    plain = layer.kernel_size == (3, 3) and layer.strides == (1, 1) and layer.dilation_rate == (1, 1)
    is_small = site.batch_size < SMALL_BATCH and height * width in PIXELS
    is_wide = channels * filters >= FEWEST_WEIGHTS and min(channels, filters) >= SMALLEST_CHANNELS
    return not site.training and plain and is_small and is_wide and fits_panels(channels, filters)


class SharedWinograd(ConvolutionKernel):
    """Where a side is no multiple of four the last tiles read border and their surplus is dropped."""

    needs_flipped = False

    def __init__(self, site: Site):
        super().__init__(site)
        g = self.geometry
        self.tiles = (-(-g.out_height // TILE), -(-g.out_width // TILE))
        self.panel = panel_width(g.filters, site.batch_size * self.tiles[0] * self.tiles[1])
        self.kernels = shared_zeros((FREQUENCIES, g.filters // self.panel, g.channels, self.panel))
        self.values = shared_zeros((FREQUENCIES, site.batch_size, *self.tiles, g.channels))
        self.products = shared_zeros((FREQUENCIES, site.batch_size, *self.tiles, g.filters))

    def input_padding(self, index: int) -> Padding:
        if index:
            return NO_PADDING
        g, p = self.geometry, self.geometry.padding
        down, across = (TILE * count + 2 for count in self.tiles)
        return Padding(p.top, down - g.height - p.top, p.left, across - g.width - p.left)

    def refresh_weights(self, scale: np.ndarray | None) -> None:
        """The transform leaves the order of its columns, so the kernels are put into panels before it."""
        super().refresh_weights(scale)
        panels = self.weights.reshape(9, self.geometry.channels, -1, self.panel).swapaxes(1, 2)
        transform_kernel(np.ascontiguousarray(panels), self.kernels)

    def forward_phases(self) -> list[Phase]:
        return [
            Phase("tile", self.bind_input, frozenset("x"), None, True, NUM_BANDS, banded=True),
            Phase("tile", self.bind_products, frozenset(), None, True, NUM_TILES),
            Phase("tile", self.bind_output, frozenset({"x", "y"}), None, True, NUM_BANDS, banded=True),
        ]

    def bind_input(self, piece: Piece) -> Run | None:
        """Bands are bands of tiles here, four rows high."""
        g, x, down = self.geometry, self.site.x[0], piece.band(self.tiles[0])
        if down.start == down.stop:
            return None
        top = x.padding.top - g.padding.top + TILE * down.start
        padded = x.padded(piece)[:, top:, x.padding.left - g.padding.left :]
        return self.tiles_of(piece, g.channels).bind_input(padded, self.values[:, : piece.total, down])

    def bind_products(self, piece: Piece) -> Run:
        """Some of the 36 products of all tiles."""
        g, part = self.geometry, piece.span(FREQUENCIES)
        values = self.values[part, : piece.total].reshape(-1, self.count(piece), g.channels)
        out = self.products[part, : piece.total].reshape(-1, self.count(piece), g.filters)
        return products.bind_products(list(stacks_of_blocks(values, self.kernels[part], out)))

    def bind_output(self, piece: Piece) -> Run | None:
        g, down = self.geometry, piece.band(self.tiles[0])
        if down.start == down.stop:
            return None
        whole = piece.temp(
            "whole tiles", (piece.total, TILE * (down.stop - down.start), TILE * self.tiles[1], g.filters)
        )
        rows = slice(TILE * down.start, TILE * down.stop)
        y, added = self.site.y.image(piece)[:, rows], self.added_image(piece)
        source = y if y.shape == whole.shape else whole
        transform = self.tiles_of(piece, g.filters).bind_output(self.products[:, : piece.total, down], source)
        inner = merged_rows(source[:, : y.shape[1], : y.shape[2]])
        return chain(transform, self.bind_finish(inner, y, None if added is None else added[:, rows]))

    def count(self, piece: Piece) -> int:
        """Tiles of all images."""
        return piece.total * self.tiles[0] * self.tiles[1]

    def tiles_of(self, piece: Piece, channels: int) -> Tiles:
        down = piece.band(self.tiles[0])
        return Tiles(piece.total, (down.stop - down.start, self.tiles[1]), channels, piece.temp)
