"""The walk of an optimizer over the flat parameter vector: clipping, weight decay, update. Imports numpy only.

It goes in blocks that stay in cache, inside the spans that train. Everything is elementwise, so the bits do not depend
on how the vector is cut among blocks and lanes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dltool.engine.optimizers import Array, Coefficients, Optimizer

if TYPE_CHECKING:
    from dltool.engine.weights import Span

BLOCK = 32768
"""Elements per block: weights, gradient, two slots and two scratch blocks are then 768 kB, which stays in a 1 MB second
level cache between the passes. Whole-vector passes are 1.5-2 times slower (11 M parameters); shorter blocks pay more
for numpy's call overhead."""

_NORM_PIECE = 8192


def clip_gradients(optimizer: Optimizer, gradient: Array, spans: Sequence[Span]) -> None:
    """Limit the gradient in place, as Keras does before the step.

    ``clipvalue`` cuts each number to [-clipvalue, clipvalue]; ``clipnorm`` scales each span (one weight of a layer, so
    give the spans unmerged) down to that norm; ``global_clipnorm`` scales all spans by one factor down to that joint
    norm. Keras 3 allows one of the three; files of tf.keras 2 may set several, which then apply in this order.
    """
    if optimizer.clipvalue is not None:
        limit = np.float32(optimizer.clipvalue)
        for span in spans:
            part = gradient[span.start : span.stop]
            np.clip(part, -limit, limit, out=part)
    if optimizer.clipnorm is not None:
        for span in spans:
            part = gradient[span.start : span.stop]
            _scale_to(part, math.sqrt(squared_norm(part)), optimizer.clipnorm)
    if optimizer.global_clipnorm is not None:
        norm = math.sqrt(math.fsum(squared_norm(gradient[span.start : span.stop]) for span in spans))
        for span in spans:
            _scale_to(gradient[span.start : span.stop], norm, optimizer.global_clipnorm)


def squared_norm(x: Array) -> float:
    """Sum of squares of a vector: float32 products in short pieces, added in float64 (2e-9 off for 11 M numbers).

    A float64 einsum takes 13 ms for them instead of 2.4 and allocates its conversion buffers, so it is left for squares
    beyond float32.
    """
    total = 0.0
    with np.errstate(over="ignore"):
        for start in range(0, len(x), _NORM_PIECE):
            piece = x[start : start + _NORM_PIECE]
            total += float(np.dot(piece, piece))
    return float(np.einsum("i,i->", x, x, dtype=np.float64)) if math.isinf(total) else total


def with_momentum(optimizer: Optimizer, momentum: float | None) -> Optimizer:
    """The optimizer with another momentum for a step, or with another beta_1; as it is where it has neither."""
    for name in ("momentum", "beta_1"):
        if momentum is not None and getattr(optimizer, name, 0.0):
            return replace(optimizer, **{name: momentum})
    return optimizer


def merge_spans(spans: Sequence[Span]) -> list[Span]:
    """Neighbouring spans with equal rate and decay joined into one: small biases then cost no calls of their own.

    For ``update_range``; ``clip_gradients`` needs the spans as they were.
    """
    merged: list[Span] = []
    for span in spans:
        last = merged[-1] if merged else None
        if last and (last.stop, last.rate, last.decays) == (span.start, span.rate, span.decays):
            merged[-1] = type(span)(last.start, span.stop, span.rate, span.decays)
        else:
            merged.append(span)
    return merged


def average_weights(w: Array, average: Array, keep: float, overwrites: bool, s: Array) -> None:
    """One step of the moving average, in place; then maybe the weights become it. ``s`` is scratch."""
    np.multiply(w, w.dtype.type(1 - keep), out=s)
    np.multiply(average, average.dtype.type(keep), out=average)
    np.add(average, s, out=average)
    if overwrites:
        np.copyto(w, average)


def step_coefficients(
    optimizer: Optimizer, spans: Sequence[Span], step: int, rate: float, memory: dict[str, float]
) -> dict[float, Coefficients]:
    """Rate multiplier of a span -> the step's coefficients. Changes ``memory`` as one step does."""
    found: dict[float, Coefficients] = {}
    after: dict[str, float] = dict(memory)
    for multiplier in sorted({span.rate for span in spans}):
        after = dict(memory)
        found[multiplier] = optimizer.coefficients(step, rate * multiplier, after)
    memory.update(after)
    return found


def update_range(
    optimizer: Optimizer,
    weights: Array,
    gradient: Array,
    slots: Sequence[Array],
    spans: Sequence[Span],
    bounds: tuple[int, int],
    coefficients: Mapping[float, Coefficients],
    rate: float,
    scratch: tuple[Array, Array],
) -> None:
    """Step the elements of the spans that lie in [start, stop); any cut gives the same bits.

    Args:
        weights, gradient: the flat vectors of a ParameterStore (or aligned copies).
        slots: one vector per name in ``optimizer.slots``, in that order, aligned with ``gradient``.
        bounds: (start, stop).
        coefficients: from ``step_coefficients``.
        rate: the step's learning rate after schedule and ``rate_at``, for the weight decay.
        scratch: two blocks of at least BLOCK elements, of the weights' type.
    """
    for span, start, stop in _blocks(spans, *bounds):
        w, g = weights[start:stop], gradient[start:stop]
        s, q = scratch[0][: stop - start], scratch[1][: stop - start]
        if optimizer.weight_decay and span.decays:
            # Two passes: the factor 1 - decay*rate would lose 1 % of a decay of 4e-6 in float32.
            np.multiply(w, np.float32(optimizer.weight_decay * rate * span.rate), out=s)
            np.subtract(w, s, out=w)
        optimizer.update(w, g, tuple(v[start:stop] for v in slots), (s, q), coefficients[span.rate])


def step_vector(
    optimizer: Optimizer,
    weights: Array,
    gradient: Array,
    slots: Sequence[Array],
    spans: Sequence[Span],
    step: int,
    rate: float,
    memory: dict[str, float],
) -> None:
    """One whole step on the flat vector: clipping (changes ``gradient``), weight decay, update.

    Args: as for ``update_range``; ``step`` counts from 1, ``rate`` is the learning rate after the schedule,
        ``memory`` the optimizer's scalars, changed in place.
    """
    clip_gradients(optimizer, gradient, spans)
    coefficients = step_coefficients(optimizer, spans, step, rate, memory)
    scratch = (np.empty(BLOCK, weights.dtype), np.empty(BLOCK, weights.dtype))
    rate = optimizer.rate_at(step, rate)
    bounds = (0, len(gradient))
    update_range(optimizer, weights, gradient, slots, merge_spans(spans), bounds, coefficients, rate, scratch)


def _blocks(spans: Sequence[Span], start: int, stop: int) -> Iterator[tuple[Span, int, int]]:
    """(span, start, stop) of blocks of at most BLOCK elements, inside the spans and inside [start, stop)."""
    for span in spans:
        end = min(span.stop, stop)
        for first in range(max(span.start, start), end, BLOCK):
            yield span, first, min(first + BLOCK, end)


def _scale_to(part: Array, norm: float, limit: float) -> None:
    """Scale in place so that the norm is at most ``limit``; a NaN norm leaves NaN for the loss check to find."""
    if not norm <= limit:
        np.multiply(part, np.float32(limit / norm), out=part)
