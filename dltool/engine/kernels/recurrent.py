"""Recurrent layers on the whole batch: all inputs in one product, then each tile of rows walks the sequence by itself.

A batch is cut into a few tiles of rows, fixed by its size: shards would leave the product with the state four rows of
a batch of 32. Rows do not depend on each other, so no barrier is needed between time steps; the weights' gradients are
one product over all rows and steps, cut by rows of the result.

Sigmoids and tanh of a step are one call of tanh: sigmoid(z) = tanh(z / 2) / 2 + 1 / 2, with the halves in copies of the
weights.

Where a mask is False a row's states stay as they are, and so does its output; on the way back its gradients pass by.
"""

from __future__ import annotations

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import Kernel, Phase, Run, Site, planner
from dltool.engine.kernels.convolution import chain, product_into
from dltool.engine.kernels.dense import num_tiles
from dltool.engine.kernels.products import bind_product
from dltool.engine.kernels.tricks import ones
from dltool.engine.layers.recurrent import LSTM
from dltool.engine.memory import shared_zeros

SMALLEST_ROWS = 8
"""Rows of a tile below which the product with the state costs more than a second lane gains."""
MOST_TILES = 4
HALF, ONE = np.float32(0.5), np.float32(1)


class WalkKernel(Kernel):
    """What LSTM and GRU share. Kept for the way back, per row and step, all (rows, steps, ...):

    gates (gates * units) after their activations, later their gradient; entering (units), the state h before the step;
    off, where the mask is False.
    """

    sums_shards = False
    scales: tuple[float, ...] = ()
    """Per gate 0.5 for a sigmoid, 1 for a tanh."""
    bias_rows = 1

    def __init__(self, site: Site):
        super().__init__(site)
        steps, features = site.input_shapes[0]
        self.units, self.steps = site.layer.units, steps
        self.order = range(steps - 1, -1, -1) if site.layer.go_backwards else range(steps)
        rows, units, width = site.batch_size, self.units, len(self.scales) * self.units
        self.width = width
        self.gates = shared_zeros((rows, steps, width))
        self.entering = shared_zeros((rows, steps, units))
        self.off = shared_zeros((rows, steps, 1), bool) if site.is_masked else None
        self.kernel = shared_zeros((features, width))
        self.recurrent = shared_zeros((units, width))
        self.bias = shared_zeros((self.bias_rows, width))
        self.halves = np.repeat(np.float32(self.scales), units)
        self.row_tiles = min(MOST_TILES, max(1, rows // SMALLEST_ROWS))

    def refresh(self) -> None:
        np.multiply(self.site.weights[0], self.halves, out=self.kernel)
        np.multiply(self.site.weights[1], self.halves, out=self.recurrent)
        if self.site.layer.use_bias:
            np.multiply(self.site.weights[2], self.halves, out=self.bias)

    def bind_mask(self, piece: Piece, rows: slice) -> tuple[list[np.ndarray] | None, Run | None]:
        """Per step which rows (rows, 1) stay as they are, and what finds that out; None, None without a mask."""
        if self.off is None:
            return None, None
        mask, off = self.site.masks[0].image(piece)[rows], self.off[rows]
        return [off[:, t] for t in range(self.steps)], lambda: np.equal(mask[..., None], 0, out=off)

    def forward_phases(self) -> list[Phase]:
        return [Phase("tile", self.bind_forward, frozenset({"x", "y"}), num_tiles=self.row_tiles, needs_all=True)]

    def backward_phases(self) -> list[Phase]:
        touches = frozenset({"dx", "dy"})
        phases = [Phase("tile", self.bind_backward, touches, num_tiles=self.row_tiles, needs_all=True)]
        if self.site.trains_weights:
            tiles = num_tiles(self.units)
            phases.append(Phase("tile", self.bind_weights, frozenset("x"), num_tiles=tiles, needs_all=True))
        return phases

    def place(self, t: int) -> int:
        """Where the output of input step t stands: in the order in which the steps are taken."""
        return self.steps - 1 - t if self.site.layer.go_backwards else t

    def _bind_dx(self, piece: Piece, rows: slice) -> Run | None:
        site = self.site
        if site.dx[0] is None:
            return None
        target = site.dx[0].interior(piece)[rows]
        flat = target.reshape(-1, target.shape[-1])
        dz = self.gates[rows].reshape(-1, self.width)
        return chain(*product_into(dz, site.weights[0].T, flat, site.dx_accumulates[0], piece))

    def bind_forward(self, piece: Piece) -> Run | None:
        raise NotImplementedError

    def bind_backward(self, piece: Piece) -> Run | None:
        raise NotImplementedError

    def bind_weights(self, piece: Piece) -> Run:
        raise NotImplementedError


class LSTMKernel(WalkKernel):
    """Kept besides: cells (units), c before each step; shown (units), tanh of c after it."""

    scales = (0.5, 0.5, 1, 0.5)

    def __init__(self, site: Site):
        super().__init__(site)
        self.cells, self.shown = (shared_zeros((site.batch_size, self.steps, self.units)) for _ in range(2))

    def bind_forward(self, piece: Piece) -> Run | None:
        site, u, rows = self.site, self.units, piece.span(len(piece))
        if rows.start == rows.stop:
            return None
        x, y = site.x[0].interior(piece)[rows], site.y.interior(piece)[rows]
        gates, entering, cells, shown = (a[rows] for a in (self.gates, self.entering, self.cells, self.shown))
        flat, flat_gates = x.reshape(-1, x.shape[-1]), gates.reshape(-1, 4 * u)
        state, cell, product = (piece.temp(f"lstm {k}", (len(x), n)) for k, n in (("h", u), ("c", u), ("z", 4 * u)))
        more = piece.temp("lstm more", (len(x), u))
        sequences = site.layer.return_sequences
        off, read_mask = self.bind_mask(piece, rows)
        multiply = bind_product(flat, self.kernel, flat_gates, piece)

        def run() -> None:
            if read_mask is not None:
                read_mask()
            multiply()
            np.add(flat_gates, self.bias, out=flat_gates)
            state[...] = 0
            cell[...] = 0
            for t in self.order:
                all_gates = gates[:, t]
                np.copyto(entering[:, t], state)
                np.copyto(cells[:, t], cell)
                np.matmul(state, self.recurrent, out=product)
                np.add(product, all_gates, out=product)
                np.tanh(product, out=product)
                for part in (product[:, : 2 * u], product[:, 3 * u :]):
                    np.multiply(part, HALF, out=part)
                    np.add(part, HALF, out=part)
                np.copyto(all_gates, product)
                np.multiply(product[:, :u], product[:, 2 * u : 3 * u], out=more)
                np.multiply(cell, product[:, u : 2 * u], out=cell)
                np.add(cell, more, out=cell)
                np.tanh(cell, out=more)
                np.copyto(shown[:, t], more)
                np.multiply(more, product[:, 3 * u :], out=state)
                if off is not None:
                    np.copyto(state, entering[:, t], where=off[t])
                    np.copyto(cell, cells[:, t], where=off[t])
                if sequences:
                    np.copyto(y[:, self.place(t)], state)
            if not sequences:
                np.copyto(y, state)

        return run

    def bind_backward(self, piece: Piece) -> Run | None:
        site, u, rows = self.site, self.units, piece.span(len(piece))
        if rows.start == rows.stop:
            return None
        dy = site.dy.interior(piece)[rows]
        gates, cells, shown = (a[rows] for a in (self.gates, self.cells, self.shown))
        count = rows.stop - rows.start
        dh, dc, more = (piece.temp(f"lstm {name}", (count, u)) for name in ("dh", "dc", "more"))
        held_h, held_c = (piece.temp(f"lstm held {name}", (count, u)) for name in ("h", "c"))
        off = None if self.off is None else self.off[rows]
        dz, slope = (piece.temp(f"lstm {name}", (count, 4 * u)) for name in ("dz", "slope"))
        transposed = site.weights[1].T
        sequences = site.layer.return_sequences
        finish = self._bind_dx(piece, rows)

        def run() -> None:
            dc[...] = 0
            np.copyto(dh, 0 if sequences else dy)
            for t in reversed(self.order):
                if sequences:
                    np.add(dh, dy[:, self.place(t)], out=dh)
                if off is not None:
                    np.copyto(held_h, dh)
                    np.copyto(held_c, dc)
                all_gates, seen = gates[:, t], shown[:, t]
                i, f, g, o = (all_gates[:, k * u : (k + 1) * u] for k in range(4))
                # slopes: s * (1 - s) for the sigmoids, 1 - g * g for the tanh
                np.multiply(all_gates, all_gates, out=slope)
                np.subtract(all_gates, slope, out=slope)
                candidate = slope[:, 2 * u : 3 * u]
                np.multiply(g, g, out=candidate)
                np.subtract(ONE, candidate, out=candidate)
                np.multiply(dh, seen, out=dz[:, 3 * u :])
                np.multiply(seen, seen, out=more)
                np.subtract(ONE, more, out=more)
                np.multiply(more, o, out=more)
                np.multiply(more, dh, out=more)
                np.add(dc, more, out=dc)
                np.multiply(dc, g, out=dz[:, :u])
                np.multiply(dc, cells[:, t], out=dz[:, u : 2 * u])
                np.multiply(dc, i, out=dz[:, 2 * u : 3 * u])
                np.multiply(dc, f, out=dc)
                np.multiply(dz, slope, out=dz)
                if off is not None:
                    np.copyto(dz, 0, where=off[:, t])
                np.copyto(all_gates, dz)
                np.matmul(dz, transposed, out=dh)
                if off is not None:
                    np.copyto(dh, held_h, where=off[:, t])
                    np.copyto(dc, held_c, where=off[:, t])
            if finish is not None:
                finish()

        return run

    def bind_weights(self, piece: Piece) -> Run:
        site, total, add = self.site, len(piece), self.site.accumulates
        x = site.x[0].interior(piece)
        flat = x.reshape(-1, x.shape[-1])
        dz = self.gates[:total].reshape(-1, 4 * self.units)
        entering = self.entering[:total].reshape(-1, self.units)
        part, of_state = piece.span(flat.shape[1]), piece.span(self.units)
        runs = product_into(entering[:, of_state].T, dz, site.gradients[1][of_state], add, piece)
        if part.start < part.stop:
            runs += product_into(flat[:, part].T, dz, site.gradients[0][part], add, piece)
        if site.layer.use_bias and piece.tile == piece.num_tiles - 1:
            runs += product_into(ones(len(dz)), dz, site.gradients[2], add, piece)
        return chain(*runs)


def is_usual(site: Site) -> bool:
    """The usual activations on sequences, maybe masked; with states or dropout a layer runs its reference."""
    layer = site.layer
    usual = layer.activation == "tanh" and layer.recurrent_activation == "sigmoid"
    special = layer.stateful or layer.return_state or len(site.input_shapes) > 1 or layer.zero_output_for_mask
    return usual and not special and not (site.in_training and layer.is_random)


@planner(LSTM)
def plan_lstm(site: Site) -> Kernel | None:
    return LSTMKernel(site) if is_usual(site) else None
