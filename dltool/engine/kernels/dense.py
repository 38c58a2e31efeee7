"""Dense layers on the whole batch: one product cut into fixed tiles, with no partial sums but for one image.

Forward and dX are cut by output columns, dW by rows, so every tile writes its own part of the result. (Cutting by
shards instead would double the time of a small network's products.)
"""

from __future__ import annotations

from math import prod

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import NUM_TILES, SMALL_BATCH, Kernel, Phase, Run, Site, chain, planner
from dltool.engine.kernels.products import bind_product, product_into
from dltool.engine.kernels.tricks import ones, relu, relu_gradient
from dltool.engine.layers.core import Dense

SMALLEST_TILE = 16
"""Columns below which cutting costs more than it gains."""
FEWEST_READ = 1 << 18
"""Weights from which reading them is what a product of few rows costs."""


def num_tiles(size: int) -> int:
    return NUM_TILES if size >= NUM_TILES * SMALLEST_TILE else 1


class DenseKernel(Kernel):
    """y = x @ kernel + bias for x (rows, features)."""

    fuses_relu = True
    sums_shards = False
    can_mask_input = True

    def forward_phases(self) -> list[Phase]:
        tiles = num_tiles(self.site.output_shape[-1])
        if tiles == 1:
            return [Phase("tile", self.bind_rows, frozenset({"x", "y"}), num_tiles=NUM_TILES, needs_all=True)]
        return [Phase("tile", self.bind_forward, frozenset({"x", "y"}), num_tiles=tiles, needs_all=True)]

    def backward_phases(self) -> list[Phase]:
        site = self.site
        phases = []
        if site.relu and not site.relu_gradient_done:
            phases.append(Phase("shard", self.bind_relu_gradient, frozenset({"y", "dy"})))
        needs_all = True
        if site.trains_weights:
            tiles = num_tiles(site.input_shapes[0][-1])
            phases.append(Phase("tile", self.bind_weights, frozenset({"x", "dy"}), num_tiles=tiles, needs_all=True))
            needs_all = False
        if site.dx[0] is not None:
            tiles = num_tiles(site.input_shapes[0][-1])
            touches = frozenset({"x", "dx", "dy"})
            phases.append(Phase("tile", self.bind_dx, touches, num_tiles=tiles, needs_all=needs_all))
        return phases

    def bind_forward(self, piece: Piece) -> Run:
        """A tile of columns."""
        return self.bind_part(piece, slice(None), piece.span(self.site.output_shape[-1]))

    def bind_rows(self, piece: Piece) -> Run | None:
        """A tile of rows, where columns are too few to cut."""
        rows = piece.span(len(piece))
        return self.bind_part(piece, rows, slice(None)) if rows.start < rows.stop else None

    def bind_part(self, piece: Piece, rows: slice, part: slice) -> Run:
        site = self.site
        x, kernel = site.x[0].interior(piece)[rows], site.weights[0][:, part]
        y = site.y.interior(piece)[rows, part]
        return chain(bind_product(x, kernel, y, piece), self.bind_finish(y, part))

    def bind_finish(self, y: np.ndarray, part: slice) -> Run:
        """A function: bias and relu of some columns of the output."""
        fused, ceiling = self.site.relu, self.site.ceiling
        bias = self.site.weights[1][part] if self.site.layer.use_bias else None

        def run() -> None:
            if bias is not None:
                np.add(y, bias, out=y)
            if fused:
                relu(y, y, ceiling)

        return run

    def bind_relu_gradient(self, piece: Piece) -> Run:
        y = self.site.y.interior(piece)
        return relu_gradient(self.site.dy.interior(piece), y, piece.temp("positive", y.shape, np.int32))

    def bind_weights(self, piece: Piece) -> Run:
        site, part = self.site, piece.span(self.site.input_shapes[0][-1])
        transposed, dy = site.x[0].interior(piece)[:, part].T, site.dy.interior(piece)
        runs = product_into(transposed, dy, site.gradients[0][part], site.accumulates, piece)
        if site.layer.use_bias and piece.tile == piece.num_tiles - 1:
            runs += product_into(ones(len(dy)), dy, site.gradients[1], site.accumulates, piece)
        return chain(*runs)

    def bind_dx(self, piece: Piece) -> Run:
        site, part = self.site, piece.span(self.site.input_shapes[0][-1])
        dy, transposed = site.dy.interior(piece), site.weights[0][part].T
        target = site.dx[0].interior(piece)[:, part]
        mask = None
        if site.masks_input:
            x = site.x[0].interior(piece)[:, part]
            mask = relu_gradient(target, x, piece.temp("positive", x.shape, np.int32))
        return chain(*product_into(dy, transposed, target, site.dx_accumulates[0], piece), mask)


class DenseByDepth(DenseKernel):
    """Inference on so few rows that all the time goes into reading the weights, which rows of them give in one piece.

    Columns come in runs of 1 kB: 1280x1000 takes 150 us a lane instead of 55 from the third level cache, 210 instead of
    150 from memory.
    """

    def __init__(self, site: Site):
        super().__init__(site)
        self.shape = (NUM_TILES, site.batch_size, *site.output_shape)
        site.shared.reserve("products of depths", self.shape)

    def forward_phases(self) -> list[Phase]:
        parts = Phase("tile", self.bind_depth, frozenset("x"), num_tiles=NUM_TILES, needs_all=True)
        return [parts, Phase("tile", self.bind_sum, frozenset("y"), num_tiles=NUM_TILES, needs_all=True)]

    def parts(self, piece: Piece) -> np.ndarray:
        """(tiles, rows, units)."""
        return self.site.shared.array("products of depths", self.shape)[:, : len(piece)]

    def bind_depth(self, piece: Piece) -> Run:
        part, x = piece.span(self.site.input_shapes[0][-1]), self.site.x[0].interior(piece)
        return bind_product(x[:, part], self.site.weights[0][part], self.parts(piece)[piece.tile], piece)

    def bind_sum(self, piece: Piece) -> Run:
        part = piece.span(self.site.output_shape[-1])
        y, sums = self.site.y.interior(piece)[:, part], self.parts(piece)[..., part]
        return chain(lambda: np.add.reduce(sums, axis=0, out=y), self.bind_finish(y, part))


@planner(Dense)
def plan_dense(site: Site) -> Kernel | None:
    """Dense on more than one axis per row (sequences, images) runs its reference."""
    if len(site.input_shapes[0]) > 1:
        return None
    is_read = not site.training and site.batch_size < SMALL_BATCH and prod(site.weights[0].shape) >= FEWEST_READ
    return DenseByDepth(site) if is_read else DenseKernel(site)
