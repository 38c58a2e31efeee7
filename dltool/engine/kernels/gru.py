"""The GRU of both kinds; see ``kernels.recurrent`` for how it walks.

With gates u, r and the candidate c, ``h' = u * h + (1 - u) * c``; c's product with the state is multiplied by r after
it (``reset_after``) or before.
"""

from __future__ import annotations

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import Kernel, Run, Site, chain, planner
from dltool.engine.kernels.products import product_into
from dltool.engine.kernels.recurrent import HALF, ONE, WalkKernel, is_usual
from dltool.engine.kernels.tricks import ones
from dltool.engine.layers.recurrent import GRU
from dltool.engine.memory import shared_zeros


class GRUKernel(WalkKernel):
    """Kept besides: inner (units), what c's product with the state was, or r * h; later the gradient of the former."""

    scales = (0.5, 0.5, 1)

    def __init__(self, site: Site):
        self.reset_after = site.layer.reset_after
        self.bias_rows = 2 if self.reset_after else 1
        super().__init__(site)
        self.inner = shared_zeros((self.steps * site.batch_size, self.units))

    def bind_walk(self, piece: Piece, rows: slice) -> Run:
        total, u = len(piece), self.units
        gates, inner = (self.of_batch(kept, total)[:, rows] for kept in (self.gates, self.inner))
        states = self.of_batch(self.states, total, self.steps + 1)[:, rows]
        product = piece.temp("gru product", (states.shape[1], self.width))
        advance = self.after_step(product) if self.reset_after else self.before_step(product, states.shape[1], piece)
        off = self.off_of(total, rows)
        walk = [
            (gates[k], gates[k][:, :u], gates[k][:, 2 * u :], states[k], states[k + 1], inner[k], off[k])
            for k in range(self.steps)
        ]

        def run() -> None:
            states[0] = 0
            for z, update, candidate, h, new, kept, stays in walk:
                advance(h, z, kept)
                np.subtract(h, candidate, out=new)  # h' = c + u * (h - c)
                np.multiply(new, update, out=new)
                np.add(new, candidate, out=new)
                if stays is not None:
                    np.copyto(new, h, where=stays)

        return chain(*self.bind_inputs(piece, rows), run)

    def after_step(self, product: np.ndarray):
        """One step's gates from ``z``, where r multiplies c's finished product with the state."""
        u = self.units

        def advance(state: np.ndarray, z: np.ndarray, inner: np.ndarray) -> None:
            np.matmul(state, self.recurrent, out=product)
            np.add(product, self.bias[1], out=product)
            np.copyto(inner, product[:, 2 * u :])
            both, candidate = product[:, : 2 * u], product[:, 2 * u :]
            np.add(both, z[:, : 2 * u], out=both)
            sigmoid(both)
            np.multiply(candidate, both[:, u:], out=candidate)
            np.add(candidate, z[:, 2 * u :], out=candidate)
            np.tanh(candidate, out=candidate)
            np.copyto(z, product)

        return advance

    def before_step(self, product: np.ndarray, count: int, piece: Piece):
        """The same where r multiplies the state before c's product."""
        u = self.units
        both = piece.temp("gru both", (count, 2 * u))
        reset = piece.temp("gru reset", (count, u))
        candidate = piece.temp("gru candidate", (count, u))

        def advance(state: np.ndarray, z: np.ndarray, inner: np.ndarray) -> None:
            np.matmul(state, self.recurrent[:, : 2 * u], out=both)
            np.add(both, z[:, : 2 * u], out=both)
            sigmoid(both)
            np.multiply(both[:, u:], state, out=reset)
            np.copyto(inner, reset)
            np.matmul(reset, self.recurrent[:, 2 * u :], out=candidate)
            np.add(candidate, z[:, 2 * u :], out=candidate)
            np.tanh(candidate, out=z[:, 2 * u :])
            np.copyto(z[:, : 2 * u], both)

        return advance

    def bind_walk_back(self, piece: Piece, rows: slice, dy: np.ndarray) -> Run:
        total, sequences = len(piece), self.site.layer.return_sequences
        gates, inner = (self.of_batch(kept, total)[:, rows] for kept in (self.gates, self.inner))
        states = self.of_batch(self.states, total, self.steps + 1)[:, rows]
        count, u = gates.shape[1], self.units
        dh, held = (piece.temp(f"gru {name}", (count, u)) for name in ("dh", "held"))
        dz = piece.temp("gru dz", (count, self.width))
        off = self.off_of(total, rows)
        retreat = self.after_back(count, piece) if self.reset_after else self.before_back(count, piece)
        walk = [
            (gates[k], states[k], inner[k], dy[:, k] if sequences else None, off[k])
            for k in reversed(range(self.steps))
        ]

        def run() -> None:
            np.copyto(dh, 0 if sequences else dy)
            for z, h, kept, given, stays in walk:
                if given is not None:
                    np.add(dh, given, out=dh)
                if stays is not None:
                    np.copyto(held, dh)
                    np.copyto(dh, 0, where=stays)  # then all that comes of it is 0
                retreat(dh, dz, z, h, kept)
                np.copyto(z, dz)
                if stays is not None:
                    np.copyto(dh, held, where=stays)

        return run

    def candidate_back(self, dh: np.ndarray, dz: np.ndarray, gates: np.ndarray, h: np.ndarray) -> None:
        """The gradients of u and c before their activations into ``dz``, and dh times u."""
        u = self.units
        update, candidate = gates[:, :u], gates[:, 2 * u :]
        du, dc = dz[:, :u], dz[:, 2 * u :]
        np.subtract(ONE, update, out=dc)
        np.multiply(dc, update, out=du)
        np.multiply(dc, dh, out=dc)
        np.multiply(du, dh, out=du)
        np.multiply(dh, update, out=dh)
        slope = dz[:, u : 2 * u]  # free until the gradient of r comes
        np.multiply(candidate, candidate, out=slope)
        np.subtract(ONE, slope, out=slope)
        np.multiply(dc, slope, out=dc)
        np.subtract(h, candidate, out=slope)
        np.multiply(du, slope, out=du)

    def after_back(self, count: int, piece: Piece):
        u, transposed = self.units, self.site.weights[1].T
        dinner, more = piece.temp("gru dinner", (count, 3 * u)), piece.temp("gru more", (count, u))

        def retreat(dh: np.ndarray, dz: np.ndarray, gates: np.ndarray, h: np.ndarray, inner: np.ndarray) -> None:
            self.candidate_back(dh, dz, gates, h)
            reset, dr, dc = gates[:, u : 2 * u], dz[:, u : 2 * u], dz[:, 2 * u :]
            np.subtract(ONE, reset, out=dr)
            np.multiply(dr, reset, out=dr)
            np.multiply(dr, inner, out=dr)
            np.multiply(dr, dc, out=dr)
            np.copyto(dinner[:, : 2 * u], dz[:, : 2 * u])
            np.multiply(dc, reset, out=dinner[:, 2 * u :])
            np.copyto(inner, dinner[:, 2 * u :])
            np.matmul(dinner, transposed, out=more)
            np.add(dh, more, out=dh)

        return retreat

    def before_back(self, count: int, piece: Piece):
        u, weights = self.units, self.site.weights[1]
        of_gates, of_candidate = weights[:, : 2 * u].T, weights[:, 2 * u :].T
        through, more = (piece.temp(f"gru {name}", (count, u)) for name in ("through", "more"))

        def retreat(dh: np.ndarray, dz: np.ndarray, gates: np.ndarray, h: np.ndarray, inner: np.ndarray) -> None:
            self.candidate_back(dh, dz, gates, h)
            reset, dr = gates[:, u : 2 * u], dz[:, u : 2 * u]
            np.matmul(dz[:, 2 * u :], of_candidate, out=through)
            np.subtract(ONE, reset, out=dr)
            np.multiply(dr, reset, out=dr)
            np.multiply(dr, h, out=dr)
            np.multiply(dr, through, out=dr)
            np.multiply(through, reset, out=through)
            np.add(dh, through, out=dh)
            np.matmul(dz[:, : 2 * u], of_gates, out=more)
            np.add(dh, more, out=dh)

        return retreat

    def bind_weights(self, piece: Piece) -> Run:
        site, total, add, u = self.site, len(piece), self.site.accumulates, self.units
        count = self.steps * total
        flat, dz, entering, inner = (kept[:count] for kept in (self.inputs, self.gates, self.states, self.inner))
        part, of_state = piece.span(self.features), piece.span(u)
        of_gates, of_candidate = site.gradients[1][of_state, : 2 * u], site.gradients[1][of_state, 2 * u :]
        runs = product_into(entering[:, of_state].T, dz[:, : 2 * u], of_gates, add, piece)
        pair = (entering, inner) if self.reset_after else (inner, dz[:, 2 * u :])
        runs += product_into(pair[0][:, of_state].T, pair[1], of_candidate, add, piece)
        if part.start < part.stop:
            runs += product_into(flat[:, part].T, dz, site.gradients[0][part], add, piece)
        if site.layer.use_bias and piece.tile == piece.num_tiles - 1:
            rows, bias = ones(len(dz)), site.gradients[2].reshape(self.bias_rows, -1)
            runs += product_into(rows, dz, bias[0], add, piece)
            if self.reset_after:
                runs += product_into(rows, dz[:, : 2 * u], bias[1, : 2 * u], add, piece)
                runs += product_into(rows, inner, bias[1, 2 * u :], add, piece)
        return chain(*runs)


def sigmoid(z: np.ndarray) -> None:
    """In place, for z that is halved already."""
    np.tanh(z, out=z)
    np.multiply(z, HALF, out=z)
    np.add(z, HALF, out=z)


@planner(GRU)
def plan_gru(site: Site) -> Kernel | None:
    return GRUKernel(site) if is_usual(site) and not site.layer.zero_output_for_mask else None
