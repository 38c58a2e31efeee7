"""Inference of a depthwise convolution with the convolution before it and the 1x1 convolution after it, by image rows.

What lies between them is what is largest in a MobileNet, and nobody else reads it. A lane makes as many rows of it as
a band needs, in memory of its own, and goes on with them at once: nothing leaves for the caches that lanes share, and
three barriers become one. Rows at the edge of a band are made twice. One lane's share of 112x112x16 -> 96 -> 56x56x24
takes 890 instead of 1100 us.

With a stride across, the pixels that a tap sees lie apart and einsum would work on one pixel's channels at a time. So
the convolution before deals the pixels of a row out to as many planes as the stride is long, where those of a tap are
neighbours: 1.5-1.7 instead of 2.2-3.6 ns per output of a 3x3 window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dltool.engine.buffers import NO_PADDING, Padding, Piece
from dltool.engine.kernels.base import NUM_BANDS, Kernel, Phase, Run, chain
from dltool.engine.kernels.convolution import FREE_ROWS, ConvolutionKernel, ShardConvolution
from dltool.engine.kernels.depthwise import DepthwiseKernel
from dltool.engine.kernels.products import bind_product
from dltool.engine.kernels.tricks import merged_rows

BLOCK_BYTES = 3 << 19
"""Rows between the first two that are made at once; half as many take 1.04 of the time: more rows are made twice."""
MOST_AGAIN = 12
"""Multiplications for rows made twice, per number between the first two, up to which the first is worth joining."""


def can_lead(before: Kernel | None, middle: DepthwiseKernel) -> bool:
    """Whether a block may make what its depthwise convolution reads."""
    if type(before) is not ShardConvolution or before.site.adds or before.panels is not None:
        return False
    g = middle.geometry
    again = NUM_BANDS * max(0, g.kernel[0] - g.strides[0]) / g.height
    return g.dilation == (1, 1) and g.strides[1] <= g.kernel[1] and again * before.geometry.depth <= MOST_AGAIN


def can_follow(after: Kernel | None) -> bool:
    """Whether a block may go on with this convolution."""
    return type(after) is ShardConvolution and after.geometry.is_pointwise


class DepthwiseBlock(Kernel):
    """Two or three convolutions; the site is that of the last one, but ``x[0]`` is what the first one reads."""

    runs_in_bands = True
    writes_band = True

    def __init__(self, before: ShardConvolution | None, middle: DepthwiseKernel, after: ShardConvolution | None):
        super().__init__((after or middle).site)
        self.before, self.middle, self.after = before, middle, after
        self.parts: list[ConvolutionKernel] = [part for part in (before, middle, after) if part is not None]
        if before is not None:
            middle.take_planes()
        g = middle.geometry
        self.row_bytes = 4 * g.strides[0] * g.width * g.channels
        rows = BLOCK_BYTES // (self.row_bytes * g.out_height)
        self.micro_batch = max(1, rows) if rows < FREE_ROWS else None

    def input_padding(self, index: int) -> Padding:
        return NO_PADDING if index else self.parts[0].input_padding(0)

    def refresh(self) -> None:
        for part in self.parts:
            part.refresh()

    def forward_phases(self) -> list[Phase]:
        self.parts[0].site.x = self.site.x[:1]
        return [Phase("shard", self.bind_forward, frozenset({"x", "y"}), self.micro_batch)]

    def bind_forward(self, piece: Piece) -> Run:
        """The piece in bands of equal height that keep within ``BLOCK_BYTES``."""
        band = piece.band(self.middle.geometry.out_height)
        height = band.stop - band.start
        step = -(-height // -(-height * self.row_bytes * len(piece) // BLOCK_BYTES))
        bands = [slice(first, min(first + step, band.stop)) for first in range(band.start, band.stop, step)]
        return chain(*[self.bind_band(replace(piece, banded=True, lines=lines)) for lines in bands])

    def bind_band(self, piece: Piece) -> Run:
        g, lines = self.middle.geometry, piece.lines
        if self.after is None:
            y = self.site.y.interior(piece)
        else:
            y = piece.temp("depthwise", (len(piece), lines.stop - lines.start, g.out_width, g.channels))
        if self.before is None:
            x = self.site.x[0]
            runs = [self.middle.bind_image(x.padded(piece), x.padding, lines, y)]
        else:
            planes = self.planes(piece)
            runs = [*self.bind_planes(piece, planes), self.middle.bind_planes(planes, y, piece)]
        if self.after is not None:
            runs.append(self.after.bind_matrix(y.reshape(-1, g.channels), piece))
        return chain(*runs)

    def planes(self, piece: Piece) -> np.ndarray:
        """Memory for what a band reads, with its border: (images, rows, planes, pixels, channels)."""
        g, (down, across) = self.middle.geometry, self.middle.geometry.strides
        rows = (piece.lines.stop - piece.lines.start - 1) * down + g.kernel[0]
        width = g.width + g.padding.left + g.padding.right
        return piece.temp("planes", (len(piece), rows, across, -(-width // across), g.channels))

    def bind_planes(self, piece: Piece, planes: np.ndarray) -> Iterator[Run]:
        """Functions that fill the planes: zeros on the border, the convolution before on all rows and pixels inside."""
        g, across = self.middle.geometry, self.middle.geometry.strides[1]
        top = piece.lines.start * g.strides[0] - g.padding.top
        inside = slice(max(0, top), min(g.height, top + planes.shape[1]))
        rows = planes[:, inside.start - top : inside.stop - top]
        columns, fill = self.before.bind_columns(replace(piece, lines=inside), None)
        columns = columns.reshape(*rows.shape[:2], g.width, -1)
        border, runs = [planes[:, : inside.start - top], planes[:, inside.stop - top :]], [fill]
        for plane in range(across):
            column = (plane - g.padding.left) % across
            pixels = columns[:, :, column::across]
            first = (column + g.padding.left) // across
            target = rows[:, :, plane, first : first + pixels.shape[2]]
            border += [rows[:, :, plane, :first], rows[:, :, plane, first + pixels.shape[2] :]]
            runs.append(bind_product(pixels, self.before.kernel, target, piece))
            runs.append(self.before.bind_finish(merged_rows(target), target))
        yield chain(*[lambda edge=edge: edge.fill(0) for edge in border if edge.size])
        yield from (run for run in runs if run is not None)
