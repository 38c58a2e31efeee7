"""The two ends of a program: where a batch enters, and where losses make the first gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dltool.engine.buffers import Buffer, Piece, Storage, Workspace
from dltool.engine.kernels.base import NUM_SHARDS, WHOLE_SHARD, Kernel, Phase, Run, Site, shard_rows, share
from dltool.engine.losses import Loss, SparseCategoricalCrossentropy
from dltool.engine.memory import shared_zeros

LARGEST_DIRECT_BYTES = 1 << 20
"""Inputs of a batch up to this size are copied once, by the parent; larger ones are worth the lanes' help."""

FEW_OUTPUTS = 1024
"""Losses of rows of so few numbers are computed for all of a lane's rows at once: in pieces the calls alone would take
longer (.27 instead of .17 ms of a step of a small network, one lane)."""


class Staging:
    """Shared memory into which the parent copies a batch's array, in the type it comes in.

    Bytes are planned for the larger of the types it may come in; ``view`` gives it a type.
    """

    def __init__(self, rows: int, shape: tuple[int, ...], item_bytes: int):
        self.shape = shape
        self.memory = shared_zeros(rows * max(1, math.prod(shape)) * item_bytes, np.uint8)

    def view(self, rows: int, dtype: object, shape: tuple[int, ...] | None = None) -> np.ndarray:
        shape = self.shape if shape is None else shape
        size = rows * max(1, math.prod(shape)) * np.dtype(dtype).itemsize
        return self.memory[:size].view(dtype).reshape(rows, *shape)


class InputKernel(Kernel):
    """Copies staged rows into the (bordered, float32) buffer of an input.

    A small buffer can do without staging: the parent's copy then saves the lanes theirs, and the wait for it.
    """

    def __init__(self, site: Site):
        super().__init__(site)
        self.staging = Staging(site.batch_size, site.output_shape, 4)
        self.dtype: object = np.float32
        self.is_direct = False

    def share_buffer(self) -> None:
        """Let the parent write into the input's buffer, if it is small."""
        if self.staging.memory.size <= LARGEST_DIRECT_BYTES:
            self.is_direct = True
            self.site.y.storage = Storage.full(self.site.batch_size, self.site.y.padded_shape)

    def stage(self, array: np.ndarray) -> type:
        """Copy a batch's rows into shared memory; the type in which they lie there."""
        kind, count = np.uint8 if array.dtype == np.uint8 and not self.is_direct else np.float32, len(array)
        view = (
            self.site.y.image(Piece(0, count, count, Workspace())) if self.is_direct else self.staging.view(count, kind)
        )
        np.copyto(view, array.reshape(view.shape), casting="unsafe")
        return kind

    def forward_phases(self) -> list[Phase]:
        return [] if self.is_direct else [Phase("shard", self.bind_forward, frozenset("y"))]

    def backward_phases(self) -> list[Phase]:
        return []

    def bind_forward(self, piece: Piece) -> Run:
        source = self.staging.view(piece.total, self.dtype)[piece.start : piece.stop]
        y = self.site.y.interior(piece)
        return lambda: np.copyto(y, source)


class LossKernel(Kernel):
    """One output's loss: values and gradient per shard, summed in float64 by shard.

    Args:
        head: activation between ``site.x`` and the prediction that the loss takes in one step ("linear": none).
        predictions: full buffer for what the model predicts.
        weights: staged sample weights (rows,).
    """

    def __init__(self, site: Site, loss: Loss, scale: float, head: str, weights: Staging):
        super().__init__(site)
        self.loss, self.scale, self.head, self.weights = loss, scale, head, weights
        takes_indices = isinstance(loss, SparseCategoricalCrossentropy) or loss.per_row
        self.target_shape = site.output_shape[:-1] if takes_indices else site.output_shape
        self.target_type = np.int64 if takes_indices else np.float32
        self.targets = Staging(site.batch_size, self.target_shape, np.dtype(self.target_type).itemsize)
        self.totals = shared_zeros(NUM_SHARDS, np.float64)
        self.predictions = Buffer(site.output_shape)
        self.predictions.storage = Storage.full(site.batch_size, self.predictions.shape)
        self.positions = 1 if loss.per_row else max(1, math.prod(site.output_shape[:-1]))
        self.counts = shared_zeros(NUM_SHARDS, np.float64)

    def stage(self, targets: np.ndarray) -> None:
        """Copy a batch's targets, (rows, ...) or with an axis of one too much or too little, into shared memory."""
        view = self.targets.view(len(targets), self.target_type)
        if self.loss.per_row:  # a label may be shorter than the sequence: the rest is filled up with zeros
            targets, short = np.zeros(view.shape, self.target_type), np.asarray(targets)
            targets[:, : short.shape[1]] = short
        np.copyto(view, np.asarray(targets).reshape(view.shape), casting="unsafe")

    def total(self, rows: int) -> float:
        """The batch's loss, after a step."""
        return float(np.add.reduce(self.totals[: min(rows, NUM_SHARDS)]))

    def forward_phases(self) -> list[Phase]:
        touches = frozenset({"x", "dx"})
        if self.site.masks[0] is not None:
            count = Phase("shard", self.bind_count, frozenset("x"), WHOLE_SHARD)
            return [count, Phase("shard", self.bind_forward, touches, needs_all=True)]
        if math.prod(self.site.output_shape) <= FEW_OUTPUTS:
            return [Phase("lane", self.bind_rows_of_lane, touches, needs_all=True)]
        return [Phase("shard", self.bind_forward, touches)]

    def bind_count(self, piece: Piece) -> Run:
        """How many positions of a shard the mask lets count: the loss is a mean over those of the whole batch."""
        mask, counts, shard = self.site.masks[0].image(piece), self.counts, piece.shard

        def run() -> None:
            counts[shard] = np.count_nonzero(mask)

        return run

    def backward_phases(self) -> list[Phase]:
        return []

    def _masked_factor(self, piece: Piece) -> Callable[[], np.float32]:
        counts, shards = self.counts, min(piece.total, NUM_SHARDS)
        return lambda: np.float32(self.scale / max(np.add.reduce(counts[:shards]), 1.0))

    def bind_rows_of_lane(self, piece: Piece) -> Run | None:
        """The rows of all of a lane's shards at once: rows do not depend on each other, only the sums are by shard."""
        cuts = [(shard, *shard_rows(piece.total, shard)) for shard in share(NUM_SHARDS, piece.tile, piece.num_tiles)]
        cuts = [(shard, start, stop) for shard, start, stop in cuts if start < stop]
        if not cuts:
            return None
        first = cuts[0][1]
        sums = [(shard, slice(start - first, stop - first), True) for shard, start, stop in cuts]
        return self.bind_rows(replace(piece, start=first, stop=cuts[-1][2]), sums)

    def bind_forward(self, piece: Piece) -> Run:
        return self.bind_rows(piece, [(piece.shard, slice(None), piece.first)])

    def bind_rows(self, piece: Piece, sums: list[tuple[int, slice, bool]]) -> Run:
        """Predictions, gradient and the loss of some rows; ``sums``: (shard, its rows here, whether its sum starts)."""
        z = self.site.x[0].interior(piece)
        prediction = self.predictions.interior(piece)
        rows = slice(piece.start, piece.stop)
        targets = self.targets.view(piece.total, self.target_type)[rows]
        mean = self.loss.reduction == "sum_over_batch_size"
        factor = np.float32(self.scale / (piece.total * self.positions) if mean else self.scale)
        factor_of_mask = self._masked_factor(piece) if mean else lambda: factor
        mask = None if self.site.masks[0] is None else self.site.masks[0].image(piece)
        weights = self.weights.view(piece.total, np.float32, ())[rows].reshape(-1, *[1] * (z.ndim - 1))
        target, add = self.site.dx_target(piece)
        loss, fused = self.loss, self.head != "linear"
        totals = self.totals

        def run() -> None:
            if fused:
                values, gradient = loss.with_head(targets, z, prediction)
            else:
                np.copyto(prediction, z)
                values, gradient = loss(targets, z)
            factors = weights * factor
            if mask is not None:
                factors = weights * factor_of_mask() * mask.reshape(*mask.shape, *[1] * (z.ndim - mask.ndim))
            values = values * factors.reshape(factors.shape[: values.ndim])
            for shard, part, first in sums:
                total = values[part].sum(dtype=np.float64)
                totals[shard] = total if first else totals[shard] + total
            np.multiply(gradient, factors, out=target)
            if add is not None:
                add()

        return run
