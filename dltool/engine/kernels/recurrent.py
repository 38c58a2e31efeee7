"""Recurrent layers on the whole batch: inputs in large products, then each tile of rows walks the sequence by itself.

A batch is cut into a few tiles of rows, fixed by its size: shards would leave the product with the state four rows of
a batch of 32. Rows do not depend on each other, so no barrier is needed between time steps; the weights' gradients are
one product over all rows and steps, cut by rows of the result.

What is kept for the way back lies step by step, in the order of the walk, so that a step of a tile is one run of memory
(with the steps of a row together, rows are a multiple of 4 kB apart and push each other out of the cache), and a step
writes its state where the next one reads it. All views of a step are made when the walk is planned.

Sigmoids and tanh of a step are one call of tanh: sigmoid(z) = tanh(z / 2) / 2 + 1 / 2, with the halves in copies of the
weights.

Where a mask is False a row's states stay as they are, and so does its output; on the way back its gradients pass by.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import Kernel, Phase, Run, Site, chain, planner
from dltool.engine.kernels.dense import num_tiles
from dltool.engine.kernels.products import bind_product, product_into
from dltool.engine.kernels.tricks import ones
from dltool.engine.layers.recurrent import LSTM
from dltool.engine.memory import shared_zeros

SMALLEST_ROWS = 16
"""Rows of a tile below which the calls of a step cost more than a second lane gains: 0.6 of the time of 8 rows."""
MOST_TILES = 4
NEAR_STEPS = 8
"""Steps whose inputs are multiplied before a tile walks them: their gates stay in the second level cache."""
HALF, ONE = np.float32(0.5), np.float32(1)


class WalkKernel(Kernel):
    """What LSTM and GRU share. Kept for the way back, all (steps, rows, ...) in the order of the walk:

    inputs (features); gates (gates * units) after their activations, later their gradient; states (units), h before
    every step and after the last; off, where the mask is False.
    """

    sums_shards = False
    scales: tuple[float, ...] = ()
    """Per gate 0.5 for a sigmoid, 1 for a tanh."""
    bias_rows = 1

    def __init__(self, site: Site):
        super().__init__(site)
        self.steps, self.features = site.input_shapes[0]
        self.units, self.backwards = site.layer.units, site.layer.go_backwards
        rows, units, width = site.batch_size, self.units, len(self.scales) * self.units
        self.width = width
        self.inputs = shared_zeros((self.steps * rows, self.features))
        self.gates = shared_zeros((self.steps * rows, width))
        self.states = shared_zeros(((self.steps + 1) * rows, units))
        self.off = shared_zeros((self.steps * rows, 1), bool) if site.is_masked else None
        self.kernel = shared_zeros((self.features, width))
        self.recurrent = shared_zeros((units, width))
        self.recurrent_back = shared_zeros((width, units)) if site.training else None
        self.bias = shared_zeros((self.bias_rows, width))
        self.halves = np.repeat(np.float32(self.scales), units)
        self.row_tiles = min(MOST_TILES, max(1, rows // SMALLEST_ROWS))

    def refresh(self) -> None:
        np.multiply(self.site.weights[0], self.halves, out=self.kernel)
        np.multiply(self.site.weights[1], self.halves, out=self.recurrent)
        if self.recurrent_back is not None:
            np.copyto(self.recurrent_back, self.site.weights[1].T)
        if self.site.layer.use_bias:
            np.multiply(self.site.weights[2], self.halves, out=self.bias)

    def of_batch(self, kept: np.ndarray, total: int, steps: int | None = None) -> np.ndarray:
        """What is kept of a batch of ``total`` rows, (steps, total, ...)."""
        steps = self.steps if steps is None else steps
        return kept[: steps * total].reshape(steps, total, -1)

    def walked(self, rows: np.ndarray) -> np.ndarray:
        """View (rows, steps, ...) as (steps, rows, ...) in the order of the walk."""
        return (rows[:, ::-1] if self.backwards else rows).swapaxes(0, 1)

    def bind_inputs(self, piece: Piece, rows: slice, steps: slice = slice(None)) -> list[Run | None]:
        """Some steps' inputs times the kernel, with the bias, into the gates; and where the mask is False."""
        total = len(piece)
        x = self.walked(self.site.x[0].interior(piece)[rows])[steps]
        inputs, gates = (self.of_batch(kept, total)[steps, rows] for kept in (self.inputs, self.gates))
        kernel = np.broadcast_to(self.kernel, (len(gates), *self.kernel.shape))
        runs: list[Run | None] = [
            lambda: np.copyto(inputs, x),
            bind_product(inputs, kernel, gates, piece),
            lambda: np.add(gates, self.bias[0], out=gates),
        ]
        if self.off is not None:
            off = self.of_batch(self.off, total)[steps, rows]
            mask = self.walked(self.site.masks[0].image(piece)[rows])[steps, :, None]
            runs.append(lambda: np.equal(mask, 0, out=off))
        return runs

    def off_of(self, total: int, rows: slice) -> list[np.ndarray] | list[None]:
        """Per step which rows (rows, 1) stay as they are; None without a mask."""
        return [None] * self.steps if self.off is None else list(self.of_batch(self.off, total)[:, rows])

    def outputs(self, total: int, rows: slice) -> np.ndarray:
        """The states after all steps (rows, steps, units) in the order of the walk, or after the last (rows, units)."""
        states = self.of_batch(self.states, total, self.steps + 1)[1:, rows]
        return states.swapaxes(0, 1) if self.site.layer.return_sequences else states[-1]

    def bind_forward(self, piece: Piece) -> Run | None:
        rows = piece.span(len(piece))
        if rows.start == rows.stop:
            return None
        y, found = self.site.y.interior(piece)[rows], self.outputs(len(piece), rows)
        return chain(self.bind_walk(piece, rows), lambda: np.copyto(y, found))

    def bind_backward(self, piece: Piece) -> Run | None:
        rows = piece.span(len(piece))
        if rows.start == rows.stop:
            return None
        return chain(self.bind_walk_back(piece, rows, self.site.dy.interior(piece)[rows]), self.bind_dx(piece, rows))

    def forward_phases(self) -> list[Phase]:
        return [Phase("tile", self.bind_forward, frozenset({"x", "y"}), num_tiles=self.row_tiles, needs_all=True)]

    def backward_phases(self) -> list[Phase]:
        touches = frozenset({"dx", "dy"})
        phases = [Phase("tile", self.bind_backward, touches, num_tiles=self.row_tiles, needs_all=True)]
        if self.site.trains_weights:
            tiles = num_tiles(self.units)
            phases.append(Phase("tile", self.bind_weights, frozenset("x"), num_tiles=tiles, needs_all=True))
        return phases

    def bind_dx(self, piece: Piece, rows: slice) -> Run | None:
        site = self.site
        if site.dx[0] is None:
            return None
        target = self.walked(site.dx[0].interior(piece)[rows])
        dz = self.of_batch(self.gates, len(piece))[:, rows]
        dx = piece.temp("walk dx", (*dz.shape[:2], self.features))
        transposed = np.broadcast_to(site.weights[0].T, (self.steps, self.width, self.features))
        multiply = bind_product(dz, transposed, dx, piece)
        if site.dx_accumulates[0]:
            return chain(multiply, lambda: np.add(target, dx, out=target))
        return chain(multiply, lambda: np.copyto(target, dx))

    def bind_walk(self, piece: Piece, rows: slice) -> Run:
        """Some rows of the batch through the sequence, into ``states``."""
        raise NotImplementedError

    def bind_walk_back(self, piece: Piece, rows: slice, dy: np.ndarray) -> Run:
        """The same rows back, from the gradient of ``outputs`` to that of the gates before their activations."""
        raise NotImplementedError

    def bind_weights(self, piece: Piece) -> Run:
        raise NotImplementedError


class LSTMKernel(WalkKernel):
    """Kept besides: cells (units), c before every step and after the last; shown (units), tanh of c after a step."""

    scales = (0.5, 0.5, 1, 0.5)

    def __init__(self, site: Site):
        super().__init__(site)
        rows = site.batch_size
        self.cells = shared_zeros(((self.steps + 1) * rows, self.units))
        self.shown = shared_zeros((self.steps * rows, self.units))
        self.shifts = np.repeat(np.float32([0.5, 0.5, 0, 0.5]), self.units)

    def gates_of(self, z: np.ndarray) -> list[np.ndarray]:
        """Views of i, f, the candidate g and o."""
        return [z[:, k * self.units : (k + 1) * self.units] for k in range(4)]

    def bind_walk(self, piece: Piece, rows: slice) -> Run:
        total = len(piece)
        gates, shown = (self.of_batch(kept, total)[:, rows] for kept in (self.gates, self.shown))
        states, cells = (self.of_batch(kept, total, self.steps + 1)[:, rows] for kept in (self.states, self.cells))
        product, more = (
            piece.temp(f"lstm {k}", (states.shape[1], n)) for k, n in (("z", self.width), ("x", self.units))
        )
        off = self.off_of(total, rows)
        # whole, because numpy takes twice as long for a vector with every row
        halves, shifts = (np.ascontiguousarray(np.broadcast_to(k, product.shape)) for k in (self.halves, self.shifts))
        walk = [
            (
                bind_product(states[k], self.recurrent, product, piece),
                gates[k],
                self.gates_of(gates[k]),
                (states[k], states[k + 1], cells[k], cells[k + 1]),
                shown[k],
                off[k],
            )
            for k in range(self.steps)
        ]

        def begin() -> None:
            states[0], cells[0] = 0, 0

        def take(steps: slice) -> None:
            for multiply, z, (i, f, g, o), (h, new_h, c, new_c), seen, stays in walk[steps]:
                multiply()
                np.add(z, product, out=z)
                np.tanh(z, out=z)
                np.multiply(z, halves, out=z)
                np.add(z, shifts, out=z)
                np.multiply(i, g, out=more)
                np.multiply(c, f, out=new_c)
                np.add(new_c, more, out=new_c)
                np.tanh(new_c, out=seen)
                np.multiply(seen, o, out=new_h)
                if stays is not None:
                    np.copyto(new_h, h, where=stays)
                    np.copyto(new_c, c, where=stays)

        runs: list[Run | None] = [begin]
        for first in range(0, self.steps, NEAR_STEPS):
            near = slice(first, first + NEAR_STEPS)
            runs += [*self.bind_inputs(piece, rows, near), partial(take, near)]
        return chain(*runs)

    def bind_walk_back(self, piece: Piece, rows: slice, dy: np.ndarray) -> Run:
        """``dh`` and ``dc`` go from step to step; the gradient before the activations replaces the gates."""
        total, sequences = len(piece), self.site.layer.return_sequences
        gates, shown = (self.of_batch(kept, total)[:, rows] for kept in (self.gates, self.shown))
        cells = self.of_batch(self.cells, total, self.steps + 1)[:, rows]
        count, u = gates.shape[1], self.units
        dh, dc, more, held_h, held_c = (piece.temp(f"lstm back {k}", (count, u)) for k in range(5))
        dz, slope = (piece.temp(f"lstm {name}", (count, self.width)) for name in ("dz", "slope"))
        (di, df, dg, do), candidate = self.gates_of(dz), self.gates_of(slope)[2]
        off = self.off_of(total, rows)
        walk = [
            (
                bind_product(gates[k], self.recurrent_back, dh, piece),
                gates[k],
                self.gates_of(gates[k]),
                (cells[k], shown[k]),
                dy[:, k] if sequences else None,
                off[k],
            )
            for k in reversed(range(self.steps))
        ]

        def run() -> None:
            dc[...] = 0
            np.copyto(dh, 0 if sequences else dy)
            for multiply, z, (i, f, g, o), (c, seen), given, stays in walk:
                if given is not None:
                    np.add(dh, given, out=dh)
                if stays is not None:
                    np.copyto(held_h, dh)
                    np.copyto(held_c, dc)
                # slopes: s * (1 - s) for the sigmoids, 1 - g * g for the tanh
                np.multiply(z, z, out=slope)
                np.subtract(ONE, candidate, out=more)
                np.subtract(z, slope, out=slope)
                np.copyto(candidate, more)
                np.multiply(dh, seen, out=do)
                np.multiply(do, seen, out=more)
                np.subtract(dh, more, out=more)
                np.multiply(more, o, out=more)
                np.add(dc, more, out=dc)
                np.multiply(dc, g, out=di)
                np.multiply(dc, c, out=df)
                np.multiply(dc, i, out=dg)
                np.multiply(dc, f, out=dc)
                np.multiply(dz, slope, out=z)
                if stays is not None:
                    np.copyto(z, 0, where=stays)
                multiply()
                if stays is not None:
                    np.copyto(dh, held_h, where=stays)
                    np.copyto(dc, held_c, where=stays)

        return run

    def bind_weights(self, piece: Piece) -> Run:
        site, total, add = self.site, len(piece), self.site.accumulates
        count, part = self.steps * total, piece.span(self.width)
        dz = self.gates[:count, part]
        runs = product_into(self.states[:count].T, dz, site.gradients[1][:, part], add, piece)
        runs += product_into(self.inputs[:count].T, dz, site.gradients[0][:, part], add, piece)
        if site.layer.use_bias:
            runs += product_into(ones(count), dz, site.gradients[2][part], add, piece)
        return chain(*runs)


def is_usual(site: Site) -> bool:
    """The usual activations on sequences, maybe masked; with states or dropout a layer runs its reference."""
    layer = site.layer
    usual = layer.activation == "tanh" and layer.recurrent_activation == "sigmoid"
    special = layer.stateful or layer.return_state or len(site.input_shapes) > 1
    return usual and not special and not (site.in_training and layer.is_random)


@planner(LSTM)
def plan_lstm(site: Site) -> Kernel | None:
    return LSTMKernel(site) if is_usual(site) and not site.layer.zero_output_for_mask else None
