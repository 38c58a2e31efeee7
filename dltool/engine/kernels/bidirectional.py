"""Bidirectional LSTM and GRU: both directions walk the sequence side by side, as in ``kernels.recurrent``.

A tile is some rows in one direction, so that two lanes have work even on a small batch. Then the rows of both are
joined, on the way back after a barrier the two gradients of the input added.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import Kernel, Phase, Run, Site, chain, planner
from dltool.engine.kernels.gru import GRUKernel
from dltool.engine.kernels.recurrent import HALF, ONE, LSTMKernel, WalkKernel, is_usual
from dltool.engine.layers.recurrent import GRU, LSTM
from dltool.engine.layers.wrappers import Bidirectional

WALKS: dict[type, type[WalkKernel]] = {LSTM: LSTMKernel, GRU: GRUKernel}
LATER = ("x", "dx", "dx_accumulates", "masks", "trains_weights", "accumulates")
"""What the plan says about a site only after its kernel was made."""


class BidirectionalKernel(Kernel):
    """One walking kernel per direction. With sequences, both outputs are in the order of the forward layer's walk."""

    sums_shards = False

    def __init__(self, site: Site, sites: tuple[Site, Site]):
        super().__init__(site)
        self.ways = tuple(WALKS[type(way.layer)](way) for way in sites)
        self.units, self.sequences = site.layer.layer.units, site.layer.layer.return_sequences
        self.row_tiles = self.ways[0].row_tiles
        self.zeroes = site.is_masked and self.sequences

    def refresh(self) -> None:
        for way in self.ways:
            way.refresh()

    def settle(self) -> None:
        """Give both directions what the plan has decided since; the second adds to the first's gradient of x."""
        for way in self.ways:
            for name in LATER:
                setattr(way.site, name, getattr(self.site, name))
        self.ways[1].site.dx_accumulates = (True,)

    def forward_phases(self) -> list[Phase]:
        self.settle()
        tiles = self.row_tiles
        return [
            Phase("tile", self.bind_walk, frozenset("x"), num_tiles=2 * tiles, needs_all=True),
            Phase("tile", self.bind_join, frozenset("y"), num_tiles=tiles, needs_all=True),
        ]

    def backward_phases(self) -> list[Phase]:
        self.settle()
        phases = [
            Phase("tile", self.bind_walk_back, frozenset({"dy"}), num_tiles=2 * self.row_tiles, needs_all=True),
            Phase("tile", self.bind_dx, frozenset({"dx"}), num_tiles=self.row_tiles, needs_all=True),
        ]
        if self.site.trains_weights:
            for way in self.ways:
                *_, phase = way.backward_phases()
                phase.needs_all = False  # after the barrier that the gradient of x has waited for
                phases.append(phase)
        return phases

    def part_of(self, piece: Piece) -> tuple[int, Piece, slice]:
        """The direction of a tile, its piece as that direction's kernel sees it, and its rows."""
        way, tile = divmod(piece.tile, self.row_tiles)
        part = replace(piece, tile=tile, num_tiles=self.row_tiles)
        return way, part, part.span(len(part))

    def output(self, way: int, total: int, rows: slice) -> np.ndarray:
        """What a direction gives, put into the order of the forward layer's walk."""
        found = self.ways[way].outputs(total, rows)
        return found[:, ::-1] if way and self.sequences else found

    def off(self, total: int, rows: slice) -> np.ndarray:
        """Where the mask lets no step pass, (rows, steps, 1) in the order of the forward layer's walk."""
        return self.ways[0].of_batch(self.ways[0].off, total)[:, rows].swapaxes(0, 1)

    def bind_walk(self, piece: Piece) -> Run | None:
        way, part, rows = self.part_of(piece)
        return None if rows.start == rows.stop else self.ways[way].bind_walk(part, rows)

    def bind_join(self, piece: Piece) -> Run | None:
        rows, u = piece.span(len(piece)), self.units
        if rows.start == rows.stop:
            return None
        y = self.site.y.interior(piece)[rows]
        ahead, behind = (self.output(way, len(piece), rows) for way in (0, 1))
        mode = self.site.layer.merge_mode
        if mode in ("concat", None):
            first, second = y[..., :u], y[..., u:]
            runs: list[Run] = [lambda: np.copyto(first, ahead), lambda: np.copyto(second, behind)]
        else:
            join = np.multiply if mode == "mul" else np.add
            runs = [lambda: join(ahead, behind, out=y)]
        if mode == "ave":
            runs.append(lambda: np.multiply(y, HALF, out=y))
        if self.zeroes:
            off = self.off(len(piece), rows)
            runs.append(lambda: np.copyto(y, 0, where=off))
        return chain(*runs)

    def bind_walk_back(self, piece: Piece) -> Run | None:
        way, part, rows = self.part_of(piece)
        if rows.start == rows.stop:
            return None
        dy = self.site.dy.interior(piece)[rows]
        mode = self.site.layer.merge_mode
        if mode in ("concat", None):
            dy = dy[..., way * self.units : (way + 1) * self.units]
        runs: list[Run] = []
        if self.zeroes or mode in ("ave", "mul"):
            given, dy = dy, piece.temp("bidirectional dy", dy.shape)
            factor = {"ave": HALF, "mul": self.output(1 - way, len(piece), rows)}.get(mode, ONE)
            runs.append(lambda: np.multiply(given, factor, out=dy))
        if self.zeroes:
            off = self.off(len(piece), rows)
            runs.append(lambda: np.copyto(dy, 0, where=off))
        taken = dy[:, ::-1] if way and self.sequences else dy
        return chain(*runs, self.ways[way].bind_walk_back(part, rows, taken))

    def bind_dx(self, piece: Piece) -> Run | None:
        rows = piece.span(len(piece))
        if rows.start == rows.stop or self.site.dx[0] is None:
            return None
        return chain(*(way.bind_dx(piece, rows) for way in self.ways))


@planner(Bidirectional)
def plan_bidirectional(site: Site) -> Kernel | None:
    layers = (site.layer.layer, site.layer.backward_layer)
    first = len(layers[0].weight_specs(site.input_shapes[0]))
    cuts = (slice(None, first), slice(first, None))
    sites = tuple(
        replace(site, layer=layer, weights=site.weights[cut], gradients=site.gradients[cut])
        for layer, cut in zip(layers, cuts, strict=True)
    )
    known = all(type(way.layer) in WALKS and is_usual(way) for way in sites)
    return BidirectionalKernel(site, sites) if known else None
