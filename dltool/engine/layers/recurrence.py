"""The walk along a sequence that all recurrent layers share. Imports engine basics only.

The products of all time steps with the kernel are one matrix product; only the product with the state stays in the
loop. Each layer gives its ``step``, one time step and its way back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dltool.engine.activations import activation_name
from dltool.engine.layers.base import Array, Backward, Call, Layer, Shape, WeightSpec, describe, normalize
from dltool.engine.layers.core import positive
from dltool.engine.layers.noise import kept, rate
from dltool.engine.layers.rules import normalize_rules, ruled
from dltool.engine.regularizers import regularizer
from dltool.errors import UsageError

States = tuple[Array, ...]
StepBack = Callable[[States], tuple[Array, States, tuple[Array, ...]]]
"""Gradients of the new states -> those of the step's projected input, of the old states, and of the other weights."""


@dataclass(frozen=True)
class Recurrent(Layer):
    """What all recurrent layers share.

    The input is (steps, features); with further inputs, these are the initial states. The output is the last step's,
    with ``return_sequences`` every step's. Where the mask is False a step leaves the states as they are and repeats the
    output of the step before (zeros before the first), or gives zeros with ``zero_output_for_mask``.

    ``return_state`` appends the last states to the output along the first axis: (1 + states, units), or
    (steps + states, units). ``Part`` takes one out; Keras gives several outputs instead.
    ``dropout`` and ``recurrent_dropout`` draw one pattern per row for all steps and gates, on the input and on the
    state where it enters a product.
    ``stateful``: the states after a batch are the initial states of the next, row by row, until they are reset.
    """

    activation_is_last: ClassVar[bool] = False
    num_gates: ClassVar[int] = 1
    num_states: ClassVar[int] = 1
    may_join: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(
            self,
            units=positive("units", self.units),
            activation=activation_name(self.activation),
            activity_regularizer=regularizer(self.activity_regularizer),
            dropout=rate("dropout", self.dropout),
            recurrent_dropout=rate("recurrent_dropout", self.recurrent_dropout),
        )
        normalize_rules(self, "kernel", "recurrent", "bias")

    @property
    def is_random(self) -> bool:
        return self.dropout > 0 or self.recurrent_dropout > 0

    @property
    def keeps_mask(self) -> bool:
        return self.return_sequences and not self.return_state

    @property
    def num_states_given(self) -> int:
        """How many states the output has behind it."""
        return self.num_states if self.return_state else 0

    @property
    def state_sizes(self) -> tuple[Shape, ...]:
        return ((self.units,),) * self.num_states if self.stateful else ()

    def output_shape(self, shape: Any) -> Shape:
        sequence = checked_sequence(shape, self.num_states, self.units)
        if not self.return_state:
            return (sequence[0], self.units) if self.return_sequences else (self.units,)
        steps = sequence[0] if self.return_sequences else 1
        return (None if steps is None else steps + self.num_states, self.units)

    def mask_shape(self, shape: Any, masks: tuple[Shape | None, ...]) -> Shape | None:
        return mask_of_outputs(self, masks)

    def output_mask(self, x: Any, masks: tuple[Array | None, ...]) -> Array:
        return with_states_on(masks[0], self.num_states_given)

    def weight_specs(self, shape: Any) -> tuple[WeightSpec, ...]:
        width, features = self.num_gates * self.units, first_shape(shape)[-1]
        kernel = ruled(self, "kernel", (features, width))
        recurrent = ruled(self, "recurrent", (self.units, width), "recurrent_kernel")
        return (kernel, recurrent, ruled(self, "bias", self.bias_shape)) if self.use_bias else (kernel, recurrent)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (self.num_gates * self.units,)

    def input_bias(self, weights: tuple[Array, ...]) -> Array | None:
        """The bias that is added to the projected input."""
        return weights[2] if self.use_bias else None

    def step(self, z: Array, states: States, entering: Array, weights: tuple[Array, ...]) -> tuple[States, StepBack]:
        """One time step: ``z`` is the projected input (rows, gates * units), ``entering`` the state for products."""
        raise NotImplementedError(type(self).__name__)

    def forward(self, x: Any, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        return walk(self, x, weights, call)


def walk(layer: Recurrent, x: Any, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
    """The whole sequence."""
    sequence, initial = (x[0], tuple(x[1:])) if isinstance(x, tuple) else (x, ())
    rows, steps, _ = sequence.shape
    backwards = slice(None, None, -1 if layer.go_backwards else 1)
    mask = None if call.mask is None else call.mask[:, backwards]
    on_input, on_state = dropout_factors(layer, sequence, call)
    entering = sequence[:, backwards] * on_input
    z = entering @ weights[0]
    bias = layer.input_bias(weights)
    if bias is not None:
        z += bias
    states = initial or call.state or (np.zeros((rows, layer.units), sequence.dtype),) * layer.num_states
    outputs, ways = np.zeros((rows, steps, layer.units), sequence.dtype), []
    last = np.zeros((rows, layer.units), sequence.dtype)
    for t in range(steps):
        new, way = layer.step(z[:, t], states, states[0] * on_state, weights)
        ways.append(way)
        if mask is None:
            states, last = new, new[0]
        else:
            on = mask[:, t, None]
            states = tuple(np.where(on, n, s) for n, s in zip(new, states, strict=True))
            last = np.where(on, new[0], 0 if layer.zero_output_for_mask else last)
        outputs[:, t] = last
    if layer.stateful:
        call.new_state = states
    y = outputs if layer.return_sequences else outputs[:, -1]
    if layer.return_state:
        ends = [state[:, None] for state in states]
        y = np.concatenate([outputs if layer.return_sequences else outputs[:, -1:], *ends], 1)

    def backward(dy: Array) -> tuple[Any, tuple[Array, ...]]:
        douts = np.zeros_like(outputs)
        dstates: States = (np.zeros((rows, layer.units), dy.dtype),) * layer.num_states
        if layer.return_state:
            count = dy.shape[1] - layer.num_states
            douts[:, -count:] = dy[:, :count]
            dstates = tuple(dy[:, count + k] for k in range(layer.num_states))
        elif layer.return_sequences:
            douts[...] = dy
        else:
            douts[:, -1] = dy
        dz = np.empty_like(z)
        dothers = [np.zeros_like(w) for w in weights[1:]]
        carried = np.zeros((rows, layer.units), dy.dtype)
        for t in reversed(range(steps)):
            dout = douts[:, t] + carried
            if mask is None:
                dnew, kept = (dstates[0] + dout, *dstates[1:]), None
            else:
                on = mask[:, t, None]
                dnew = tuple(np.where(on, d, 0) for d in (dstates[0] + dout, *dstates[1:]))
                kept = tuple(np.where(on, 0, d) for d in dstates)
                carried = carried if layer.zero_output_for_mask else np.where(on, 0, dout)
            dz[:, t], dold, parts = ways[t](dnew)
            dold = ((dold[-1] * on_state) + dold[0], *dold[1:-1])
            dstates = dold if kept is None else tuple(a + b for a, b in zip(dold, kept, strict=True))
            for total, part in zip(dothers, parts, strict=False):
                total += part
        flat = dz.reshape(-1, dz.shape[-1])
        dkernel = entering.reshape(-1, entering.shape[-1]).T @ flat
        if layer.use_bias:
            layer.add_input_bias(dothers[-1], flat.sum(0))
        dsequence = (dz @ weights[0].T * on_input)[:, backwards]
        dx = (dsequence, *dstates) if initial else dsequence
        return (dx if isinstance(x, tuple) else dsequence), (dkernel, *dothers)

    return y, backward


def mask_of_outputs(layer: Any, masks: tuple[Shape | None, ...]) -> Shape | None:
    """The shape of a recurrent layer's output mask: the sequence's own, and behind it the states, if there are any."""
    if not masks or masks[0] is None or not layer.return_sequences:
        return None
    return (masks[0][0] + layer.num_states_given,)


def with_states_on(mask: Array, count: int) -> Array:
    """A sequence's mask (rows, steps) with ``count`` states behind it, which always count."""
    return np.concatenate([mask, np.ones((len(mask), count), bool)], 1)


def dropout_factors(layer: Recurrent, sequence: Array, call: Call) -> tuple[Any, Any]:
    """What the inputs (rows, 1, features) and the states (rows, units) are multiplied with; 1 without dropout."""
    if not call.training or not layer.is_random:
        return sequence.dtype.type(1), sequence.dtype.type(1)
    rows, _, features = sequence.shape
    drawn = call.stream.random_bytes((rows, features + layer.units))
    on_input = kept(drawn[:, None, :features], layer.dropout, sequence.dtype)
    return on_input, kept(drawn[:, features:], layer.recurrent_dropout, sequence.dtype)


def first_shape(shape: Any) -> Shape:
    """The sequence's shape, without those of initial states."""
    return shape[0] if shape and isinstance(shape[0], tuple) else shape


def checked_sequence(shape: Any, num_states: int, units: int) -> Shape:
    """The sequence's shape. Raises UsageError for anything that is no sequence, or initial states that do not fit."""
    sequence = first_shape(shape)
    if len(sequence) != 2:
        raise UsageError(f"needs a sequence (steps x features) but gets {describe(sequence)}; reshape its input")
    if sequence[1] is None:
        raise UsageError("the number of features of its input is unknown; give the full input shape")
    if shape is not sequence and tuple(shape[1:]) != ((units,),) * num_states and len(shape) > 1:
        raise UsageError(f"its initial states are {describe(shape[1:])}; it needs {num_states} of {units} numbers")
    return sequence
