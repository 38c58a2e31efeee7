"""The end of a training step: shards' sums become the gradient, and the optimizer steps the flat vector.

Both walk the vector in blocks that stay in cache (``optimizers.BLOCK``), dealt out to the lanes. Everything is
elementwise, so the cut does not matter for the bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from dltool.engine.buffers import Workspace
from dltool.engine.kernels.base import NUM_SHARDS, Run
from dltool.engine.memory import shared_zeros
from dltool.engine.optimizers import Optimizer
from dltool.engine.program import CallStage, Stage, share
from dltool.engine.regularizers import Regularizer
from dltool.engine.stepping import BLOCK, average_weights, clip_gradients, merge_spans, step_coefficients, with_momentum
from dltool.engine.weights import ParameterStore, Span, constraint_calls

MOST_COEFFICIENTS = 16


@dataclass(frozen=True)
class ShardSums:
    """Gradient sums per shard of one weight: ``sums`` (NUM_SHARDS, size) for ``gradient[start:stop]``.

    ``adds``: the gradient already holds another call's part (a layer shared by a convolution of each scope).
    """

    start: int
    sums: np.ndarray
    adds: bool = False

    @property
    def stop(self) -> int:
        return self.start + self.sums.shape[1]


class ParameterUpdate:
    """Stages that finish a training step.

    Args:
        sums: where shards left their gradients.
        slots: optimizer slot name -> vector aligned with the gradient.
        may_step: rows of the batch -> whether the weights are stepped. Every lane asks once per step, when all
            gradients are there: a batch whose loss is not finite must not spoil the weights.
    """

    def __init__(
        self,
        store: ParameterStore,
        optimizer: Optimizer,
        spans: list[Span],
        slots: dict[str, np.ndarray],
        sums: list[ShardSums],
        may_step: Callable[[int], bool] = lambda rows: True,
    ):
        self.store, self.optimizer, self.spans = store, optimizer, spans
        self.slots, self.sums, self.may_step = slots, sums, may_step
        self.rates = sorted({span.rate for span in spans})
        self.coefficients = shared_zeros((max(1, len(self.rates)), MOST_COEFFICIENTS))
        self.decay_rate = shared_zeros(1, np.float64)
        self.averaging = shared_zeros(2, np.float64)
        self.regularized = [
            (slot.start, slot.stop, slot.spec.regularizer)
            for slot in store.slots
            if slot.spec.trainable and slot.spec.regularizer is not None
        ]

    def prepare(self, step: int, rate: float, memory: dict[str, float], momentum: float | None = None) -> None:
        """Write the step's scalars where the lanes read them; once per step, before the program runs."""
        found = step_coefficients(with_momentum(self.optimizer, momentum), self.spans, step, rate, memory)
        for row, multiplier in enumerate(self.rates):
            self.coefficients[row, : len(found[multiplier])] = found[multiplier]
        self.averaging[:] = self.optimizer.averaging(step)
        self.decay_rate[0] = self.optimizer.rate_at(step, rate)

    def penalty(self) -> float:
        """What regularisers add to the loss at the current weights."""
        return sum(float(rule(self.store.vector[a:b])[0]) for a, b, rule in self.regularized)

    def stages(self) -> list[Stage]:
        o = self.optimizer
        merged = merge_spans(self.spans)
        if not self.spans:
            return []
        constraints = constraint_calls(self.store, self.spans)
        last = [CallStage(constraints)] if constraints else []
        if o.clipnorm is None and o.global_clipnorm is None and o.clipvalue is None:
            return [BlockStage(self, merged, gather=True, step=True), *last]
        clip = CallStage([lambda: clip_gradients(o, self.store.gradient, self.spans)])
        return [BlockStage(self, merged, gather=True, step=False), clip, BlockStage(self, merged, False, True), *last]


@dataclass
class BlockStage:
    """A walk over the blocks of all spans: gather the gradient, step the weights, or both while in cache."""

    update: ParameterUpdate
    spans: list[Span]
    gather: bool
    step: bool

    def bind(self, lane: int, num_lanes: int, rows: int, workspace: Workspace) -> Iterator[Run]:
        blocks = [
            (span, start, min(start + BLOCK, span.stop))
            for span in self.spans
            for start in range(span.start, span.stop, BLOCK)
        ]
        loaded: dict[float, tuple] = {}
        if self.step:
            yield self._load(loaded, rows)
        for position in share(len(blocks), lane, num_lanes):
            span, start, stop = blocks[position]
            if self.gather:
                yield from self._gather(start, stop, rows)
            if self.step:
                yield self._step(span, start, stop, loaded, workspace)

    def _load(self, loaded: dict[float, tuple], rows: int) -> Run:
        update = self.update
        sizes = len(update.optimizer.coefficients(1, 1.0, {}))

        def run() -> None:
            loaded.clear()
            if not update.may_step(rows):
                return
            for row, multiplier in enumerate(update.rates):
                loaded[multiplier] = tuple(update.coefficients[row, :sizes])

        return run

    def _gather(self, start: int, stop: int, rows: int) -> Iterator[Run]:
        gradient = self.update.store.gradient
        for found in self.update.sums:
            a, b = max(start, found.start), min(stop, found.stop)
            if a < b:
                parts = found.sums[: min(rows, NUM_SHARDS), a - found.start : b - found.start]
                yield tree_sum(parts, gradient[a:b], found.adds)
        for first, last, rule in self.update.regularized:
            a, b = max(start, first), min(stop, last)
            if a < b:
                yield self._regularize(rule, a, b)

    def _regularize(self, rule: Regularizer, start: int, stop: int) -> Run:
        w, g = self.update.store.vector[start:stop], self.update.store.gradient[start:stop]
        return lambda: np.add(g, rule(w)[1], out=g)

    def _step(self, span: Span, start: int, stop: int, loaded: dict[float, tuple], workspace: Workspace) -> Run:
        update, optimizer = self.update, self.update.optimizer
        w, g = update.store.vector[start:stop], update.store.gradient[start:stop]
        slots = tuple(update.slots[name][start:stop] for name in optimizer.slots)
        scratch = workspace.temp("step 0", w.shape), workspace.temp("step 1", w.shape)
        decay = optimizer.weight_decay if span.decays else None
        rate, averaging = update.decay_rate, update.averaging
        average = update.slots["average"][start:stop] if optimizer.use_ema else None

        def run() -> None:
            if not loaded:
                return
            if decay:
                np.multiply(w, np.float32(decay * rate[0] * span.rate), out=scratch[0])
                np.subtract(w, scratch[0], out=w)
            optimizer.update(w, g, slots, scratch, loaded[span.rate])
            if average is not None:
                average_weights(w, average, averaging[0], bool(averaging[1]), scratch[0])

        return run


def tree_sum(parts: np.ndarray, total: np.ndarray, adds: bool) -> Run:
    """A function that adds the rows of ``parts`` in a fixed binary tree into ``total``; ``parts`` is used up.

    The tree is what a distributed run can follow too: neighbours first, then neighbouring pairs.
    """
    count = len(parts)
    pairs = []
    width = 1
    while width < count:
        pairs += [(parts[i], parts[i + width]) for i in range(0, count - width, 2 * width)]
        width *= 2
    first = parts[0]

    def run() -> None:
        for left, right in pairs:
            np.add(left, right, out=left)
        if adds:
            np.add(total, first, out=total)
        else:
            np.copyto(total, first)

    return run
