"""Layers without a fast kernel: their reference, on a shard's rows (or the whole batch where rows depend on others)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dltool.engine.activations import activation
from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import WHOLE_SHARD, Kernel, Phase, Run, Site
from dltool.engine.layers.base import Call
from dltool.engine.layers.core import Activation
from dltool.engine.streams import Stream

ALL = frozenset({"x", "y", "dx", "dy"})


class ReferenceKernel(Kernel):
    """Calls ``layer.forward`` per shard and keeps the way back until the same lane asks for it."""

    def __init__(self, site: Site):
        super().__init__(site)
        self.couples_batch = site.layer.couples_batch and site.in_training
        self.sums_shards = not self.couples_batch
        self.runs_in_bands = isinstance(site.layer, Activation) and activation(site.layer.activation).elementwise

    def _phase(self, bind: Callable[[Piece], Run]) -> Phase:
        if self.couples_batch:
            return Phase("tile", bind, ALL, needs_all=True)
        return Phase("shard", bind, ALL, WHOLE_SHARD)

    def forward_phases(self) -> list[Phase]:
        return [self._phase(self.bind_forward)]

    def backward_phases(self) -> list[Phase]:
        return [self._phase(self.bind_backward)]

    def bind_forward(self, piece: Piece) -> Run:
        site = self.site
        inputs = tuple(buffer.interior(piece) for buffer in site.x)
        x = inputs if site.joins else inputs[0]
        y, saved, key = site.y.interior(piece), piece.workspace.saved, self.key(piece)
        draws = site.in_training and site.layer.is_random
        given = [None if buffer is None else buffer.image(piece) for buffer in site.masks]
        made = site.output_mask.image(piece) if site.makes_mask else None
        states = tuple(array[piece.start : piece.stop] for array in site.states)

        def run() -> None:
            stream = Stream(site.seed, int(site.clock[0]), site.node, piece.start) if draws else None
            masks = tuple(None if mask is None else mask > 0 for mask in given)
            call = Call(site.in_training, stream, masks=masks, state=states or None, total_rows=piece.total)
            value, backward = site.layer.forward(x, site.weights, call)
            np.copyto(y, value)
            if site.penalties is not None:
                site.penalties[piece.shard] = call.penalty
            if made is not None:
                np.copyto(made, site.layer.output_mask(x, masks))
            if site.training:
                saved[key] = backward
            for index, update in call.updates.items():
                np.copyto(site.weights[index], update)
            for state, new in zip(states, call.new_state or (), strict=True):
                np.copyto(state, new)

        return run

    def key(self, piece: Piece) -> tuple:
        return ("backward", id(self), piece.start, piece.stop)

    def bind_backward(self, piece: Piece) -> Run:
        site = self.site
        dy, saved, key = site.dy.interior(piece), piece.workspace.saved, self.key(piece)
        targets = [
            (i, buffer.interior(piece), site.dx_accumulates[i])
            for i, buffer in enumerate(site.dx)
            if buffer is not None
        ]
        weights = [(i, *self.weight_target(piece, i)) for i in self.trained()]

        def run() -> None:
            dx, dweights = saved.pop(key)(dy)
            parts = dx if site.joins else (dx,)
            for index, target, accumulates in targets:
                if accumulates:
                    np.add(target, parts[index], out=target)
                else:
                    np.copyto(target, parts[index])
            for index, target, add in weights:
                np.copyto(target, dweights[index])
                if add is not None:
                    add()

        return run

    def trained(self) -> list[int]:
        """Indices of the weights that want a gradient."""
        if not self.site.trains_weights:
            return []
        return [i for i, gradient in enumerate(self.site.gradients) if gradient is not None]

    def weight_target(self, piece: Piece, index: int) -> tuple[np.ndarray, Run | None]:
        if self.sums_shards:
            return self.site.weight_target(piece, index)
        gradient = self.site.gradients[index]
        if not self.site.accumulates:
            return gradient, None
        part = piece.temp("weight_part", gradient.shape)
        return part, lambda: np.add(gradient, part, out=gradient)
