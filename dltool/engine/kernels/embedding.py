"""Embedding: rows of a table, and a gradient that touches only the rows which the batch used.

The gradient vector keeps its zeros: before a step the rows of the last step are cleared, after it the new ones are
added, each number of the table being summed once. What follows is dense all the same: an optimizer with momentum moves
rows that the batch did not use too, as Keras's optimizers do.
"""

from __future__ import annotations

import math

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import Kernel, Phase, Run, Site, planner
from dltool.engine.kernels.dense import num_tiles
from dltool.engine.layers.sequences import Embedding
from dltool.engine.memory import shared_zeros

EVERY_ROW = -1
"""As the number of touched rows: nobody knows what the gradient holds."""


@planner(Embedding)
class EmbeddingKernel(Kernel):
    """See the module's docstring. ``touched``: the rows of the last step, ``count`` how many."""

    sums_shards = False
    makes_mask = True

    def __init__(self, site: Site):
        super().__init__(site)
        self.positions = math.prod(site.input_shapes[0])
        self.touched = shared_zeros(site.batch_size * self.positions if site.training else 0, np.int64)
        self.count = shared_zeros(1, np.int64)
        self.count[0] = EVERY_ROW

    def refresh(self) -> None:
        """Clear what the last step left in the gradient; a regulariser leaves something in every row."""
        site, count = self.site, int(self.count[0])
        if not site.trains_weights or not site.training:
            return
        if count == EVERY_ROW or site.layer.embeddings_regularizer is not None:
            site.gradients[0][...] = 0
        else:
            site.gradients[0][self.touched[:count]] = 0
        self.count[0] = 0

    def forward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_forward, frozenset({"x", "y"}))]

    def backward_phases(self) -> list[Phase]:
        phases = []
        if self.site.trains_weights:
            tiles = num_tiles(self.site.layer.output_dim)
            touches = frozenset({"x", "dy"})
            phases.append(Phase("tile", self.bind_weights, touches, num_tiles=tiles, needs_all=True))
        if self.site.dx[0] is not None:
            phases.append(Phase("shard", self.bind_dx, frozenset({"dx"})))
        return phases

    def bind_forward(self, piece: Piece) -> Run:
        site, table = self.site, self.site.weights[0]
        x, y = site.x[0].interior(piece), site.y.interior(piece)
        made = site.output_mask.image(piece) if site.makes_mask else None
        rounded = piece.temp("rounded", x.shape)
        indices = piece.temp("indices", x.shape, np.int64)

        def run() -> None:
            np.rint(x, out=rounded)
            np.copyto(indices, rounded, casting="unsafe")
            np.take(table, indices, 0, out=y, mode="clip")
            if made is not None:
                np.not_equal(x, 0, out=made, casting="unsafe")

        return run

    def bind_weights(self, piece: Piece) -> Run:
        """A tile of columns: the batch's rows in the table's order, then one sum per row of the table."""
        site, columns = self.site, piece.span(self.site.layer.output_dim)
        x = site.x[0].interior(piece)
        dy = site.dy.interior(piece).reshape(-1, site.layer.output_dim)[:, columns]
        gradient = site.gradients[0][:, columns]
        last = site.layer.input_dim - 1

        def run() -> None:
            used = np.clip(np.rint(x.reshape(-1)), 0, last).astype(np.int64)
            order = np.argsort(used, kind="stable")
            rows, starts = np.unique(used[order], return_index=True)
            gradient[rows] += np.add.reduceat(dy[order], starts, axis=0)
            if piece.tile == 0:
                self.touched[: len(rows)] = rows
                self.count[0] = len(rows)

        return run

    def bind_dx(self, piece: Piece) -> Run | None:
        """Whole numbers have no gradient: zeros, unless another reader of them has written already."""
        if self.site.dx_accumulates[0]:
            return None
        target = self.site.dx[0].interior(piece)
        return lambda: np.copyto(target, 0)
