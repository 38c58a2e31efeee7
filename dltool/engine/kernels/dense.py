"""Dense layers on the whole batch: one product cut into fixed tiles, no partial sums.

Forward and dX are cut by output columns, dW by rows, so every tile writes its own part of the result. (Cutting by
shards instead would double the time of a small network's products.)
"""

from __future__ import annotations

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import NUM_TILES, Kernel, Phase, Run, Site, chain, planner
from dltool.engine.kernels.products import bind_product, product_into
from dltool.engine.kernels.tricks import ones, relu, relu_gradient
from dltool.engine.layers.core import Dense

SMALLEST_TILE = 16
"""Columns below which cutting costs more than it gains."""


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
        y, fused, ceiling = site.y.interior(piece)[rows, part], site.relu, site.ceiling
        bias = site.weights[1][part] if site.layer.use_bias else None

        product = bind_product(x, kernel, y, piece)

        def run() -> None:
            product()
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


@planner(Dense)
def plan_dense(site: Site) -> Kernel | None:
    """Dense on more than one axis per row (sequences, images) runs its reference."""
    return DenseKernel(site) if len(site.input_shapes[0]) == 1 else None
