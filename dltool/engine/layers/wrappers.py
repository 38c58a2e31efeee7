"""Layers around another layer: both directions, every time step. Imports engine basics only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, WeightSpec, describe, normalize
from dltool.engine.layers.recurrence import (
    Recurrent,
    checked_sequence,
    first_shape,
    mask_of_outputs,
    walk,
    with_states_on,
)
from dltool.errors import UsageError

MERGE_MODES = ("concat", "sum", "ave", "mul", None)


@LAYERS.register("TimeDistributed", "timedist")
@dataclass(frozen=True)
class TimeDistributed(Layer):
    """The same ``layer`` on every time step: its input is (steps, ...) with the layer's own input behind.

    Weights: the inner layer's.
    """

    layer: Layer | dict

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, layer=inner_layer(self.layer))
        if self.layer.joins:
            raise UsageError(f"cannot hold a {type(self.layer).__name__}, which takes several inputs")

    @property
    def is_random(self) -> bool:
        return self.layer.is_random

    @property
    def couples_batch(self) -> bool:
        return self.layer.couples_batch

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) < 2:
            raise UsageError(f"needs a sequence (steps x ...) but gets {describe(shape)}; reshape its input")
        return (shape[0], *self.layer.output_shape(shape[1:]))

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        return self.layer.weight_specs(shape[1:])

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        rows, steps = x.shape[:2]
        inner = replace(self.layer, trainable=self.layer.trainable and self.trainable)
        masks = tuple(None if m is None or m.ndim < 3 else m.reshape(rows * steps, *m.shape[2:]) for m in call.masks)
        stream = None if call.stream is None else call.stream.spread(steps)
        inner_call = Call(call.training, stream, masks=masks)
        y, back = inner.forward(x.reshape(rows * steps, *x.shape[2:]), weights, inner_call)
        call.updates.update(inner_call.updates)

        def backward(dy: Array) -> tuple[Array, tuple[Array | None, ...]]:
            dx, dweights = back(np.ascontiguousarray(dy).reshape(y.shape))
            return dx.reshape(x.shape), dweights

        return y.reshape(rows, steps, *y.shape[1:]), backward


@LAYERS.register("Bidirectional", "bidir")
@dataclass(frozen=True)
class Bidirectional(Layer):
    """A recurrent ``layer`` over the sequence in both directions, joined by ``merge_mode``.

    The backward layer is the same with ``go_backwards`` turned over, unless ``backward_layer`` is given. With
    ``return_sequences`` its output is put back into the order of time, and masked steps give zeros.
    ``merge_mode``: concat, sum, ave, mul, or None: both outputs side by side, of which ``Part`` takes out one.
    With ``return_state`` the last states of the forward layer and those of the backward layer follow along the first
    axis, filled up with zeros to the output's width; ``Part`` takes one out.
    Weights: all of the forward layer, then all of the backward layer.
    Source: Schuster and Paliwal, "Bidirectional recurrent neural networks", 1997.
    """

    layer: Layer | dict
    merge_mode: str | None = "concat"
    backward_layer: Layer | dict | None = None

    may_join: ClassVar[bool] = True

    def __post_init__(self) -> None:
        forward = inner_layer(self.layer)
        if not isinstance(forward, Recurrent):
            raise UsageError(f"runs a recurrent layer in both directions, and {type(forward).__name__} is none")
        mirrored = replace(forward, go_backwards=not forward.go_backwards)
        backward = mirrored if self.backward_layer is None else inner_layer(self.backward_layer)
        if not isinstance(backward, Recurrent) or forward.go_backwards == backward.go_backwards:
            raise UsageError("the backward layer must be recurrent, with go_backwards the other way round")
        for name in ("return_sequences", "return_state", "stateful", "units"):
            if getattr(forward, name) != getattr(backward, name):
                raise UsageError(f"the two layers differ in {name}; give both the same")
        zeros = forward.return_sequences
        forward, backward = (replace(layer, zero_output_for_mask=zeros) for layer in (forward, backward))
        normalize(self, layer=forward, backward_layer=backward)
        if self.merge_mode not in MERGE_MODES:
            raise UsageError(f"merge_mode {self.merge_mode!r} is not supported; use concat, sum, ave or mul")

    @property
    def is_mirrored(self) -> bool:
        """True when the backward layer is the forward one in the other direction."""
        return self.backward_layer == replace(self.layer, go_backwards=not self.layer.go_backwards)

    @property
    def is_random(self) -> bool:
        return self.layer.is_random or self.backward_layer.is_random

    @property
    def keeps_mask(self) -> bool:
        return self.layer.keeps_mask

    @property
    def return_sequences(self) -> bool:
        return self.layer.return_sequences

    @property
    def num_states_given(self) -> int:
        """How many states the output has behind it."""
        return self.layer.num_states_given + self.backward_layer.num_states_given

    def mask_shape(self, shape: Any, masks: tuple[Shape | None, ...]) -> Shape | None:
        return mask_of_outputs(self, masks)

    def output_mask(self, x: Any, masks: tuple[Array | None, ...]) -> Array:
        return with_states_on(masks[0], self.num_states_given)

    @property
    def state_sizes(self) -> tuple[Shape, ...]:
        return (*self.layer.state_sizes, *self.backward_layer.state_sizes)

    def output_shape(self, shape: Any) -> Shape:
        count = self.layer.num_states + self.backward_layer.num_states
        sequence = checked_sequence(shape, count, self.layer.units)
        width = 2 * self.layer.units if self.merge_mode in ("concat", None) else self.layer.units
        if not self.num_states_given:
            return (sequence[0], width) if self.return_sequences else (width,)
        steps = sequence[0] if self.return_sequences else 1
        return (None if steps is None else steps + self.num_states_given, width)

    def weight_specs(self, shape: Any) -> tuple[WeightSpec, ...]:
        sequence = first_shape(shape)
        ways = (("forward", self.layer), ("backward", self.backward_layer))
        return tuple(
            replace(spec, name=f"{way}_{spec.name}") for way, layer in ways for spec in layer.weight_specs(sequence)
        )

    def forward(self, x: Any, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        (first, first_call), (second, second_call) = self._both(x, call)
        half = len(self.layer.weight_specs((first[0] if isinstance(first, tuple) else first).shape[1:]))
        ahead, ahead_back = walk(self.layer, first, weights[:half], first_call)
        behind, behind_back = walk(self.backward_layer, second, weights[half:], second_call)
        if self.layer.stateful:
            call.new_state = (*first_call.new_state, *second_call.new_state)
        y, split = self._joined(ahead, behind)

        def backward(dy: Array) -> tuple[Any, tuple[Array, ...]]:
            dahead, dbehind = split(dy)
            dfirst, dweights = ahead_back(dahead)
            dsecond, more = behind_back(dbehind)
            if not isinstance(x, tuple):
                return dfirst + dsecond, (*dweights, *more)
            if len(x) == 1:
                return (dfirst + dsecond,), (*dweights, *more)
            return (dfirst[0] + dsecond[0], *dfirst[1:], *dsecond[1:]), (*dweights, *more)

        return y, backward

    def _joined(self, ahead: Array, behind: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
        """What both layers give, in the order of time, with the states behind it; and the way back."""
        count, sequences = self.layer.num_states_given, self.return_sequences
        outputs = [part[:, : part.shape[1] - count] if count else part for part in (ahead, behind)]
        y, split = merge(self.merge_mode, outputs[0], outputs[1][:, ::-1] if sequences else outputs[1])
        states = [part[:, part.shape[1] - count :] for part in (ahead, behind)]
        size, steps = self.layer.units, y.shape[1]
        if count:
            padded = np.zeros((len(y), 2 * count, y.shape[-1]), y.dtype)
            padded[..., :size] = np.concatenate(states, 1)
            y = np.concatenate([y, padded], 1)

        def back(dy: Array) -> tuple[Array, Array]:
            dahead, dbehind = split(dy[:, :steps] if count else dy)
            dbehind = dbehind[:, ::-1] if sequences else dbehind
            if not count:
                return dahead, dbehind
            dstates = dy[:, steps:, :size]
            return np.concatenate([dahead, dstates[:, :count]], 1), np.concatenate([dbehind, dstates[:, count:]], 1)

        return y, back

    def _both(self, x: Any, call: Call) -> tuple[tuple[Any, Call], tuple[Any, Call]]:
        """Inputs and calls of the two layers: each gets its half of the states, and random numbers of its own."""
        sequence, initial = (x[0], tuple(x[1:])) if isinstance(x, tuple) else (x, ())
        found = []
        for part in (0, 1):
            half = slice(part * len(initial) // 2, (part + 1) * len(initial) // 2)
            state = call.state
            if state is not None:
                state = state[part * len(state) // 2 : (part + 1) * len(state) // 2]
            stream = None if call.stream is None else call.stream.branch(part)
            inputs = (sequence, *initial[half]) if initial else sequence
            found.append((inputs, Call(call.training, stream, masks=call.masks[:1], state=state)))
        return found[0], found[1]


def merge(mode: str | None, a: Array, b: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """Two outputs in one, and the way back."""
    if mode in ("concat", None):
        size = a.shape[-1]
        return np.concatenate([a, b], -1), lambda dy: (dy[..., :size], dy[..., size:])
    if mode == "sum":
        return a + b, lambda dy: (dy, dy)
    if mode == "ave":
        return (a + b) / 2, lambda dy: (dy / 2, dy / 2)
    return a * b, lambda dy: (dy * b, dy * a)


def inner_layer(value: Layer | dict) -> Layer:
    """The layer inside a wrapper, from itself or from ``{"class_name", "config"}`` with the engine's fields."""
    if isinstance(value, Layer):
        return value
    if not isinstance(value, dict) or "class_name" not in value:
        raise UsageError(f"needs a layer inside, e.g. lstm:64, not {str(value)[:60]!r}")
    return LAYERS.get(value["class_name"])(**value.get("config", {}))
