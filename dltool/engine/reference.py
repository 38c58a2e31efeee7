"""The plain executor: every layer's reference arithmetic, node by node, in any float type.

It is slow and obvious, the oracle that the fast executor is compared with. Same constructor, same methods.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.engine.batch import Batch
from dltool.engine.graph import Graph
from dltool.engine.layers.base import Array, Call
from dltool.engine.layers.penalties import activity_of
from dltool.engine.losses import Loss
from dltool.engine.model import Model
from dltool.engine.optimizers import Optimizer
from dltool.engine.stepping import average_weights, step_vector, with_momentum
from dltool.engine.streams import Stream
from dltool.engine.weights import ParameterStore, Span, apply_constraints


@dataclass
class Tape:
    """What a forward pass leaves: each node's output, its mask and way back, new values of statistics and states."""

    values: list[Array]
    masks: list[Array | None]
    backwards: list[Callable[[Array], Any] | None]
    updates: dict[str, dict[int, Array]]
    states: dict[int, tuple[Array, ...]]
    penalty: float = 0.0


def run_forward(
    graph: Graph,
    weights: dict[str, tuple[Array, ...]],
    inputs: Sequence[Array],
    *,
    training: bool = False,
    seed: int = 0,
    step: int = 0,
    states: Mapping[int, tuple[Array, ...]] | None = None,
) -> Tape:
    """All nodes in order.

    Args:
        inputs: arrays (rows, ...) in the order of ``graph.inputs``.
        states: what stateful nodes left after the batch before, by node.
    """
    given = dict(zip(graph.inputs, inputs, strict=True))
    tape = Tape([], [], [], {}, dict(states or {}))
    for index, node in enumerate(graph.nodes):
        if index in given:
            tape.values.append(given[index])
            tape.masks.append(None)
            tape.backwards.append(None)
            continue
        x: Any = tuple(tape.values[i] for i in node.inputs) if node.joins else tape.values[node.inputs[0]]
        masks = tuple(tape.masks[i] for i in node.inputs)
        learns = training and not node.inference
        needs_stream = learns and node.layer.is_random
        stream = Stream(seed, step, index) if needs_stream else None
        call = Call(learns, stream, masks=masks, state=tape.states.get(index))
        y, backward = node.layer.forward(x, weights[node.name], call)
        activity = activity_of(node.layer) if training else None
        if activity is not None:
            y, after = activity.forward(y, (), call)
            backward = chained(backward, after)
        tape.penalty += call.penalty
        tape.values.append(y)
        tape.masks.append(None if graph.masks[index] is None else node.layer.output_mask(x, masks))
        tape.backwards.append(backward)
        if call.updates:
            tape.updates[node.name] = call.updates
        if call.new_state is not None:
            tape.states[index] = call.new_state
    return tape


def chained(first: Callable[[Array], Any], after: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """The way back through ``after``, which has no weights, and then ``first``."""
    return lambda dy: first(after(dy)[0])


def run_backward(graph: Graph, tape: Tape, output_gradients: Sequence[Array]) -> dict[str, list[Array | None]]:
    """Weight gradients by layer name, summed over the calls of a shared layer."""
    pending: list[Array | None] = [None] * len(graph.nodes)
    for index, gradient in zip(graph.outputs, output_gradients, strict=True):
        pending[index] = _add(pending[index], gradient)
    found: dict[str, list[Array | None]] = {}
    for index in reversed(range(len(graph.nodes))):
        node, backward, dy = graph.nodes[index], tape.backwards[index], pending[index]
        if backward is None or dy is None:
            continue
        dx, dweights = backward(dy)
        for source, part in zip(node.inputs, dx if node.joins else (dx,), strict=True):
            pending[source] = _add(pending[source], part)
        sums = found.setdefault(node.name, [None] * len(dweights))
        for k, gradient in enumerate(dweights):
            sums[k] = _add(sums[k], gradient)
    return found


def _add(total: Array | None, part: Array | None) -> Array | None:
    if total is None or part is None:
        return part if total is None else total
    return total + part


def loss_and_gradient(
    loss: Loss,
    y_true: Array,
    y_pred: Array,
    weights: Array | None,
    scale: float = 1.0,
    mask: Array | None = None,
) -> tuple[float, Array]:
    """Keras's reduction: ``scale * sum(w * l) / count`` (or the plain sum), and its gradient in y_pred.

    With a ``mask``, masked positions count neither in the sum nor in the count.
    """
    values, gradient = loss(y_true, y_pred)
    count = values.size if mask is None else max(np.count_nonzero(mask), 1)
    factor = scale / count if loss.reduction == "sum_over_batch_size" else scale
    if weights is None and mask is None:
        return float(values.sum(dtype=np.float64)) * factor, gradient * y_pred.dtype.type(factor)
    w = np.ones(1, y_pred.dtype) if weights is None else np.asarray(weights, y_pred.dtype)
    w = w.reshape(-1, *[1] * (values.ndim - 1))
    if mask is not None:
        w = w * mask.reshape(*mask.shape, *[1] * (values.ndim - mask.ndim))
    total = float((values * w).sum(dtype=np.float64)) * factor
    share = (w * y_pred.dtype.type(factor)).reshape(*w.shape, *[1] * (gradient.ndim - w.ndim))
    return total, gradient * share


def add_regularization(weights: ParameterStore, graph: Graph) -> float:
    """Add every regulariser's gradient to ``weights.gradient``; returns the penalty (a part of the loss)."""
    penalty = 0.0
    for slot in weights.slots:
        rule = slot.spec.regularizer
        if rule is None or not slot.spec.trainable:
            continue
        value, gradient = rule(weights.views[slot.layer][slot.index])
        penalty += float(value)
        weights.gradients[slot.layer][slot.index][...] += gradient
    return penalty


class ReferenceExecutor:
    """See ``executor.Executor``; ``jobs``, ``backend`` and ``exact`` are accepted and mean nothing here."""

    def __init__(
        self,
        model: Model,
        *,
        batch_size: int,
        losses: tuple[Loss, ...] = (),
        loss_weights: tuple[float, ...] = (),
        optimizer: Optimizer | None = None,
        spans: list[Span] | None = None,
        seed: int = 0,
        jobs: int | None = None,
        backend: str = "auto",
        exact: bool = True,
    ):
        self.model, self.batch_size, self.seed = model, batch_size, seed
        self.losses, self.optimizer = losses, optimizer
        self.loss_weights = loss_weights or (1.0,) * len(losses)
        self.spans = model.weights.spans(model.graph) if spans is None else spans
        self.memory: dict[str, float] = {}
        self.slots: dict[str, Array] = {}
        for slot in optimizer.kept if optimizer else ():
            self.slots[slot] = np.full(model.weights.num_trainable, optimizer.slot_start(slot), np.float32)
        self.predictions: tuple[Array, ...] = ()
        self.masks: tuple[Array | None, ...] = ()
        self.states: dict[bool, dict[int, tuple[Array, ...]]] = {}

    def reset_states(self) -> None:
        self.states = {}

    def gradient_step(self, batch: Batch, step: int) -> float:
        """Loss of the batch; leaves the gradient in ``weights.gradient``, moves the statistics."""
        graph, store = self.model.graph, self.model.weights
        inputs = [np.asarray(x, np.float32) for x in batch.inputs]
        states = self.states.get(True)
        tape = run_forward(graph, store.views, inputs, training=True, seed=self.seed, step=step, states=states)
        self.states[True] = tape.states
        self.predictions = tuple(tape.values[i] for i in graph.outputs)
        self.masks = tuple(tape.masks[i] for i in graph.outputs)
        total, gradients = 0.0, []
        for loss, scale, y_true, y_pred, mask in zip(
            self.losses, self.loss_weights, batch.targets, self.predictions, self.masks, strict=True
        ):
            value, gradient = loss_and_gradient(loss, y_true, y_pred, batch.weights, scale, mask)
            total += value
            gradients.append(gradient)
        store.gradient[...] = 0
        for name, found in run_backward(graph, tape, gradients).items():
            for view, gradient in zip(store.gradients[name], found, strict=True):
                if view is not None and gradient is not None:
                    view[...] = gradient
        for name, changes in tape.updates.items():
            for index, value in changes.items():
                store.views[name][index][...] = value
        return total + tape.penalty + add_regularization(store, graph)

    def train_step(self, batch: Batch, step: int, learning_rate: float, momentum: float | None = None) -> float:
        total = self.gradient_step(batch, step)
        if not math.isfinite(total):
            return total
        store = self.model.weights
        slots = tuple(self.slots[name] for name in self.optimizer.slots)
        rule = with_momentum(self.optimizer, momentum)
        step_vector(rule, store.vector, store.gradient, slots, self.spans, step, learning_rate, self.memory)
        for span in self.spans if rule.use_ema else ():
            w, average = store.vector[span.start : span.stop], self.slots["average"][span.start : span.stop]
            average_weights(w, average, *rule.averaging(step), np.empty_like(w))
        apply_constraints(store, self.spans)
        return total

    def forward(self, inputs: tuple[Array, ...], same_weights: bool = False) -> tuple[Array, ...]:
        """As ``Executor.forward``; nothing derived from the weights is kept from call to call."""
        graph, arrays = self.model.graph, [np.asarray(x, np.float32) for x in inputs]
        tape = run_forward(graph, self.model.weights.views, arrays, states=self.states.get(False))
        self.states[False] = tape.states
        self.masks = tuple(tape.masks[i] for i in graph.outputs)
        return tuple(tape.values[i] for i in graph.outputs)

    def close(self) -> None:
        pass

    def __enter__(self) -> ReferenceExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
