"""Convolution of a few small images, in inference: lanes share the filters, because bands of rows would be too thin."""

from __future__ import annotations

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import NUM_BANDS, NUM_TILES, SMALL_BATCH, Phase, Run, Site
from dltool.engine.kernels.convolution import ConvolutionKernel
from dltool.engine.kernels.products import bind_product
from dltool.engine.kernels.tricks import relu
from dltool.engine.memory import shared_zeros

MOST_PIXELS = 256
"""Output pixels up to which filters are cut. A quarter of the rows of a map of 7x7 makes a product of 14 rows, at half
the speed (49x1024 times 1024x1024: 1.45 instead of 2.74 ms), of 14x14 one of 49 at 0.75-0.95; from 28x28 rows win."""


def suits(site: Site) -> bool:
    height, width, _ = site.output_shape
    return not site.training and site.batch_size < SMALL_BATCH and height * width <= MOST_PIXELS


class SmallMapConvolution(ConvolutionKernel):
    """Columns of windows in bands of rows, then one product in tiles of filters."""

    needs_flipped = False

    def __init__(self, site: Site):
        super().__init__(site)
        g = self.geometry
        self.columns = None if g.is_pointwise else shared_zeros((site.batch_size, g.pixels, g.depth))

    def forward_phases(self) -> list[Phase]:
        product = Phase("tile", self.bind_filters, frozenset({"x", "y"}), None, True, NUM_TILES)
        if self.columns is None:
            return [product]
        fill = Phase("tile", self.bind_fill, frozenset("x"), None, True, NUM_BANDS, banded=True)
        return [fill, product]

    def bind_fill(self, piece: Piece) -> Run:
        g, x, band = self.geometry, self.site.x[0], piece.band(self.geometry.out_height)
        windows = g.windows(x.padded(piece), x.padding, band)
        rows = slice(band.start * g.out_width, band.stop * g.out_width)
        columns = self.columns[: piece.total, rows].reshape(windows.shape)
        return lambda: np.copyto(columns, windows)

    def bind_filters(self, piece: Piece) -> Run | None:
        g, part = self.geometry, piece.span(self.geometry.filters)
        fused, ceiling = self.site.relu, self.site.ceiling
        if part.start == part.stop:
            return None
        gather = None
        if self.columns is None:
            images = self.site.x[0].interior(piece)
            columns = self.matrix(images, g.depth)
            if columns is None:
                columns = piece.temp("columns", (images.size // g.depth, g.depth))
                gather = columns.reshape(images.shape)
        else:
            columns = self.columns[: piece.total].reshape(-1, g.depth)
        kernel, y = self.kernel[:, part], self.site.y.image(piece)[..., part]
        product = piece.temp("product", (len(columns), part.stop - part.start))
        shaped = product.reshape(y.shape)
        bias = self.bias_row[part] if self.has_bias else None
        multiply = bind_product(columns, kernel, product, piece)

        def run() -> None:
            if gather is not None:
                np.copyto(gather, images)
            multiply()
            if bias is not None:
                np.add(product, bias, out=product)
            if fused:
                relu(product, product, ceiling)
            np.copyto(y, shaped)

        return run
