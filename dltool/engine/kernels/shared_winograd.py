"""Winograd's F(4x4, 3x3) with many filters in inference: lanes share the frequencies.

The transformed kernels of a layer are four times its weights, up to 38 MB. A product of a few tiles takes as long as
they take to come from memory, so each lane must read its own part of them once; bands of image rows, each with all 36
products, would read all of them once a band. Between the transforms, which go in bands, and the products lie barriers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from dltool.engine.buffers import NO_PADDING, Padding, Piece
from dltool.engine.kernels.base import NUM_BANDS, NUM_TILES, Phase, Run, Site, chain
from dltool.engine.kernels.convolution import ConvolutionKernel
from dltool.engine.kernels.panels import fits_panels, panel_width, stacks_of_blocks
from dltool.engine.kernels.products import bind_products, equal_part
from dltool.engine.kernels.tricks import merged_rows
from dltool.engine.kernels.winograd import FREQUENCIES, SMALLEST_CHANNELS
from dltool.engine.memory import shared_zeros
from dltool.engine.winograd import TILE, Tiles, transform_kernel

PIXELS = range(128, 3137)
"""Output pixels of an image. The transforms of a map of 7x7 cost more than they save; from 112x112 bands win, whose
transformed pixels stay in cache."""
FEWEST_WEIGHTS = 1 << 15
"""Input channels times filters. One lane, against bands: 28x28x512 10.9 instead of 35 ms, 56x56x256 12.4 instead of
17.1; against columns of windows: 14x14x512 4.6 instead of 10.5, 14x14x256 1.55 instead of 2.4. 16 images through VGG16,
two lanes: 0.62 of the time."""
VALUES_BYTES = 1 << 24
"""Transformed input of the images that are taken at once: a third level cache may hold it."""


def suits(site: Site) -> bool:
    """Whether a convolution's shape is one that this wins."""
    layer, (height, width, filters), channels = site.layer, site.output_shape, site.input_shapes[0][-1]
    plain = layer.kernel_size == (3, 3) and layer.strides == (1, 1) and layer.dilation_rate == (1, 1)
    is_wide = channels * filters >= FEWEST_WEIGHTS and min(channels, filters) >= SMALLEST_CHANNELS
    return not site.training and plain and height * width in PIXELS and is_wide and fits_panels(channels, filters)


class SharedWinograd(ConvolutionKernel):
    """Where a side is no multiple of four the last tiles read border and their surplus is dropped."""

    needs_flipped = False

    def __init__(self, site: Site):
        super().__init__(site)
        g = self.geometry
        self.tiles = (-(-g.out_height // TILE), -(-g.out_width // TILE))
        count = FREQUENCIES * self.tiles[0] * self.tiles[1]
        self.at_once = equal_part(site.batch_size, max(1, VALUES_BYTES // (4 * count * max(g.channels, g.filters))))
        self.panel = panel_width(g.filters, self.at_once * self.tiles[0] * self.tiles[1])
        self.kernels = shared_zeros((FREQUENCIES, g.filters // self.panel, g.channels, self.panel))
        site.shared.reserve("values", (self.at_once * count, g.channels))
        site.shared.reserve("products", (self.at_once * count, g.filters))

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
        """The three stages of some images, then of the next ones."""
        touches, phases = frozenset({"x", "y"}), []
        for first in range(0, self.site.batch_size, self.at_once):
            for bind in (self.bind_input, self.bind_frequencies, self.bind_output):
                banded = bind != self.bind_frequencies
                tiles = NUM_BANDS if banded else NUM_TILES
                phases.append(Phase("tile", partial(self.bind_images, bind, first), touches, None, True, tiles, banded))
        return phases

    def bind_images(self, bind: Callable[[Piece, slice], Run], first: int, piece: Piece) -> Run | None:
        """A stage of the images from the first on, where there are any; bands are bands of tiles, four rows high."""
        images, down = slice(first, min(first + self.at_once, piece.total)), piece.band(self.tiles[0])
        return None if images.start >= images.stop or down.start == down.stop else bind(piece, images)

    def bind_input(self, piece: Piece, images: slice) -> Run:
        g, x, down = self.geometry, self.site.x[0], piece.band(self.tiles[0])
        top = x.padding.top - g.padding.top + TILE * down.start
        padded = x.padded(piece)[images, top:, x.padding.left - g.padding.left :]
        values = self.held("values", images, g.channels)[:, :, down]
        return self.tiles_of(values, piece).bind_input(padded, values)

    def bind_frequencies(self, piece: Piece, images: slice) -> Run:
        """Some of the 36 products of all tiles."""
        g, part = self.geometry, piece.span(FREQUENCIES)
        values, products = (
            self.held(name, images, depth).reshape(FREQUENCIES, -1, depth)[part]
            for name, depth in (("values", g.channels), ("products", g.filters))
        )
        return bind_products(list(stacks_of_blocks(values, self.kernels[part], products)))

    def bind_output(self, piece: Piece, images: slice) -> Run:
        g, down = self.geometry, piece.band(self.tiles[0])
        products = self.held("products", images, g.filters)[:, :, down]
        rows = slice(TILE * down.start, TILE * down.stop)
        y, added = self.site.y.image(piece)[images, rows], self.added_image(piece)
        whole = piece.temp("whole tiles", (len(y), rows.stop - rows.start, TILE * self.tiles[1], g.filters))
        source = y if y.shape == whole.shape else whole
        transform = self.tiles_of(products, piece).bind_output(products, source)
        inner = merged_rows(source[:, : y.shape[1], : y.shape[2]])
        return chain(transform, self.bind_finish(inner, y, None if added is None else added[images, rows]))

    def held(self, name: str, images: slice, depth: int) -> np.ndarray:
        """(36, images, tiles down, tiles across, depth)."""
        return self.site.shared.array(name, (FREQUENCIES, images.stop - images.start, *self.tiles, depth))

    @staticmethod
    def tiles_of(values: np.ndarray, piece: Piece) -> Tiles:
        _, images, down, across, channels = values.shape
        return Tiles(images, (down, across), channels, piece.temp)
