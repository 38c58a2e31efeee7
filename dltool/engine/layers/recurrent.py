"""Recurrent layers: a state that walks along a sequence. Imports engine basics only.

The products of all time steps with the kernel are one matrix product; only the product with the state stays in the
loop. What the three layers share is ``walk``; each gives its ``step``, one time step and its way back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from dltool.engine.activations import activation, activation_name
from dltool.engine.constraints import Constraint, constraint
from dltool.engine.initializers import Initializer, Ones, initializer
from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, WeightSpec, describe, normalize
from dltool.engine.layers.core import DROPOUT_LEVELS, positive
from dltool.engine.regularizers import Regularizer, regularizer
from dltool.errors import UsageError

States = tuple[Array, ...]
StepBack = Callable[[States], tuple[Array, States, tuple[Array, ...]]]
"""Gradients of the new states -> those of the step's projected input, of the old states, and of the other weights."""


@dataclass(frozen=True)
class ForgetBias(Initializer):
    """``initial`` for all gates but the second, the forget gate, which starts at 1. For the bias of an LSTM."""

    initial: Initializer

    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        values = self.initial(shape, generator)
        quarter = shape[-1] // 4
        values[quarter : 2 * quarter] = Ones()((quarter,), generator)
        return values


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
        for name in ("kernel", "recurrent", "bias"):
            normalize(
                self,
                **{
                    f"{name}_initializer": initializer(getattr(self, f"{name}_initializer")),
                    f"{name}_regularizer": regularizer(getattr(self, f"{name}_regularizer")),
                    f"{name}_constraint": constraint(getattr(self, f"{name}_constraint")),
                },
            )

    @property
    def is_random(self) -> bool:
        return self.dropout > 0 or self.recurrent_dropout > 0

    @property
    def keeps_mask(self) -> bool:
        return self.return_sequences and not self.return_state

    @property
    def state_sizes(self) -> tuple[Shape, ...]:
        return ((self.units,),) * self.num_states if self.stateful else ()

    def output_shape(self, shape: Any) -> Shape:
        sequence = checked_sequence(shape, self.num_states, self.units)
        if not self.return_state:
            return (sequence[0], self.units) if self.return_sequences else (self.units,)
        steps = sequence[0] if self.return_sequences else 1
        return (None if steps is None else steps + self.num_states, self.units)

    def weight_specs(self, shape: Any) -> tuple[WeightSpec, ...]:
        width, features = self.num_gates * self.units, first_shape(shape)[-1]
        kernel = self._spec("kernel", (features, width))
        recurrent = replace(self._spec("recurrent", (self.units, width)), name="recurrent_kernel")
        return (kernel, recurrent, self._spec("bias", self.bias_shape)) if self.use_bias else (kernel, recurrent)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (self.num_gates * self.units,)

    def _spec(self, name: str, shape: tuple[int, ...]) -> WeightSpec:
        found = {key: getattr(self, f"{name}_{key}") for key in ("initializer", "regularizer", "constraint")}
        return WeightSpec(name, shape, **found)

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


def dropout_factors(layer: Recurrent, sequence: Array, call: Call) -> tuple[Any, Any]:
    """What the inputs (rows, 1, features) and the states (rows, units) are multiplied with; 1 without dropout."""
    if not call.training or not layer.is_random:
        return sequence.dtype.type(1), sequence.dtype.type(1)
    rows, _, features = sequence.shape
    drawn = call.stream.random_bytes((rows, features + layer.units))
    on_input = kept(drawn[:, None, :features], layer.dropout, sequence.dtype)
    return on_input, kept(drawn[:, features:], layer.recurrent_dropout, sequence.dtype)


def kept(drawn: Array, share: float, dtype: Any) -> Array:
    """0 where a random byte drops, else the scale that keeps the mean (see ``Dropout``)."""
    threshold = min(round(share * DROPOUT_LEVELS), DROPOUT_LEVELS - 1)
    return (drawn >= threshold) * np.dtype(dtype).type(DROPOUT_LEVELS / (DROPOUT_LEVELS - threshold))


@LAYERS.register("SimpleRNN", "rnn")
@dataclass(frozen=True)
class SimpleRNN(Recurrent):
    """``h = activation(x @ kernel + h @ recurrent_kernel + bias)`` at every step.

    Weights: kernel (features, units), recurrent_kernel (units, units), bias (units,).
    """

    units: int
    activation: str = "tanh"
    use_bias: bool = True
    kernel_initializer: Initializer | str | dict = "glorot_uniform"
    recurrent_initializer: Initializer | str | dict = "orthogonal"
    bias_initializer: Initializer | str | dict = "zeros"
    kernel_regularizer: Regularizer | str | dict | None = None
    recurrent_regularizer: Regularizer | str | dict | None = None
    bias_regularizer: Regularizer | str | dict | None = None
    activity_regularizer: Regularizer | str | dict | None = None
    kernel_constraint: Constraint | str | dict | None = None
    recurrent_constraint: Constraint | str | dict | None = None
    bias_constraint: Constraint | str | dict | None = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    zero_output_for_mask: bool = False

    def step(self, z: Array, states: States, entering: Array, weights: tuple[Array, ...]) -> tuple[States, StepBack]:
        h, way = activation(self.activation)(z + entering @ weights[1])

        def back(dnew: States) -> tuple[Array, States, tuple[Array, ...]]:
            dz = way(dnew[0])
            return dz, (np.zeros_like(dz), dz @ weights[1].T), (entering.T @ dz,)

        return (h,), back

    def add_input_bias(self, total: Array, dbias: Array) -> None:
        total += dbias


@LAYERS.register("LSTM")
@dataclass(frozen=True)
class LSTM(Recurrent):
    """Long short-term memory: a cell state c that gates write, keep and show.

    With gates i, f, g, o = parts of ``x @ kernel + h @ recurrent_kernel + bias`` (in this order)::

        c = sigmoid(f) * c + sigmoid(i) * tanh(g);   h = sigmoid(o) * tanh(c)

    ``recurrent_activation`` stands for the sigmoid, ``activation`` for the tanh.
    Weights: kernel (features, 4 units), recurrent_kernel (units, 4 units), bias (4 units,), whose forget gate starts at
    1 with ``unit_forget_bias``. States: h, c.
    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997; Gers et al., 2000 (forget gate).
    """

    units: int
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Initializer | str | dict = "glorot_uniform"
    recurrent_initializer: Initializer | str | dict = "orthogonal"
    bias_initializer: Initializer | str | dict = "zeros"
    unit_forget_bias: bool = True
    kernel_regularizer: Regularizer | str | dict | None = None
    recurrent_regularizer: Regularizer | str | dict | None = None
    bias_regularizer: Regularizer | str | dict | None = None
    activity_regularizer: Regularizer | str | dict | None = None
    kernel_constraint: Constraint | str | dict | None = None
    recurrent_constraint: Constraint | str | dict | None = None
    bias_constraint: Constraint | str | dict | None = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    zero_output_for_mask: bool = False

    num_gates: ClassVar[int] = 4
    num_states: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        normalize(self, recurrent_activation=activation_name(self.recurrent_activation))

    def weight_specs(self, shape: Any) -> tuple[WeightSpec, ...]:
        specs = super().weight_specs(shape)
        if self.use_bias and self.unit_forget_bias:
            specs = (*specs[:2], replace(specs[2], initializer=ForgetBias(self.bias_initializer)))
        return specs

    def step(self, z: Array, states: States, entering: Array, weights: tuple[Array, ...]) -> tuple[States, StepBack]:
        gate, squash = activation(self.recurrent_activation), activation(self.activation)
        parts = np.split(z + entering @ weights[1], 4, axis=-1)
        (i, i_back), (f, f_back), (g, g_back), (o, o_back) = (
            rule(part) for rule, part in zip((gate, gate, squash, gate), parts, strict=True)
        )
        before = states[1]
        c = f * before + i * g
        shown, shown_back = squash(c)

        def back(dnew: States) -> tuple[Array, States, tuple[Array, ...]]:
            dh, dc = dnew
            dc = dc + shown_back(dh * o)
            dparts = [i_back(dc * g), f_back(dc * before), g_back(dc * i), o_back(dh * shown)]
            dz = np.concatenate(dparts, axis=-1)
            return dz, (np.zeros_like(dh), dc * f, dz @ weights[1].T), (entering.T @ dz,)

        return (o * shown, c), back

    def add_input_bias(self, total: Array, dbias: Array) -> None:
        total += dbias


@LAYERS.register("GRU")
@dataclass(frozen=True)
class GRU(Recurrent):
    """Gated recurrent unit: ``h = z * h + (1 - z) * candidate``, with gates z (update) and r (reset).

    The candidate is ``tanh(x @ W + r * (h @ U + b))`` with ``reset_after``, ``tanh(x @ W + (r * h) @ U)`` without,
    as in files of Keras before 2.2. Deviation: Keras 3 does not apply ``recurrent_dropout`` to a GRU; here it works as
    in the other layers and in Keras 2's first implementation.
    Weights: kernel (features, 3 units), recurrent_kernel (units, 3 units) for z, r and the candidate; bias (2, 3 units)
    with ``reset_after`` (for the input, for the state), else (3 units,). State: h.
    Source: Cho et al., arXiv:1406.1078, first and third version.
    """

    units: int
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Initializer | str | dict = "glorot_uniform"
    recurrent_initializer: Initializer | str | dict = "orthogonal"
    bias_initializer: Initializer | str | dict = "zeros"
    kernel_regularizer: Regularizer | str | dict | None = None
    recurrent_regularizer: Regularizer | str | dict | None = None
    bias_regularizer: Regularizer | str | dict | None = None
    activity_regularizer: Regularizer | str | dict | None = None
    kernel_constraint: Constraint | str | dict | None = None
    recurrent_constraint: Constraint | str | dict | None = None
    bias_constraint: Constraint | str | dict | None = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    zero_output_for_mask: bool = False
    reset_after: bool = True

    num_gates: ClassVar[int] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        normalize(self, recurrent_activation=activation_name(self.recurrent_activation))

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def input_bias(self, weights: tuple[Array, ...]) -> Array | None:
        if not self.use_bias:
            return None
        return weights[2][0] if self.reset_after else weights[2]

    def step(self, z: Array, states: States, entering: Array, weights: tuple[Array, ...]) -> tuple[States, StepBack]:
        gate, squash, u = activation(self.recurrent_activation), activation(self.activation), self.units
        h, recurrent = states[0], weights[1]
        if self.reset_after:
            inner = entering @ recurrent
            if self.use_bias:
                inner = inner + weights[2][1]
        else:
            inner = entering @ recurrent[:, : 2 * u]
        update, update_back = gate(z[:, :u] + inner[:, :u])
        reset, reset_back = gate(z[:, u : 2 * u] + inner[:, u : 2 * u])
        if self.reset_after:
            candidate, candidate_back = squash(z[:, 2 * u :] + reset * inner[:, 2 * u :])
        else:
            candidate, candidate_back = squash(z[:, 2 * u :] + (reset * entering) @ recurrent[:, 2 * u :])
        new = update * h + (1 - update) * candidate

        def back(dnew: States) -> tuple[Array, States, tuple[Array, ...]]:
            (dh,) = dnew
            dcandidate = candidate_back(dh * (1 - update))
            dupdate = update_back(dh * (h - candidate))
            if self.reset_after:
                dreset = reset_back(dcandidate * inner[:, 2 * u :])
                dinner = np.concatenate([dupdate, dreset, dcandidate * reset], axis=-1)
                dentering = dinner @ recurrent.T
                bias = np.zeros((2, 3 * u), dh.dtype)
                bias[1] = dinner.sum(0)
                parts = (entering.T @ dinner, bias)
            else:
                through = dcandidate @ recurrent[:, 2 * u :].T
                dreset = reset_back(through * entering)
                dgates = np.concatenate([dupdate, dreset], axis=-1)
                dentering = dgates @ recurrent[:, : 2 * u].T + through * reset
                parts = (np.concatenate([entering.T @ dgates, (reset * entering).T @ dcandidate], axis=-1),)
            dz = np.concatenate([dupdate, dreset, dcandidate], axis=-1)
            return dz, (dh * update, dentering), parts

        return (new,), back

    def add_input_bias(self, total: Array, dbias: Array) -> None:
        row = total[0] if self.reset_after else total
        row += dbias


@LAYERS.register("Part")
@dataclass(frozen=True)
class Part(Layer):
    """One of the outputs of a layer with ``return_state``: 0 its usual output, 1 and up its states.

    Not a Keras layer: there a call has several outputs, and model files are written so. ``count`` is the number of
    states, ``sequences`` says whether output 0 is a sequence, ``size`` is the width where it is not the layer's.
    """

    index: int
    count: int = 1
    sequences: bool = False
    size: int | None = None

    is_part: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.index <= self.count:
            raise UsageError(f"index is {self.index}; the layer before has outputs 0 to {self.count}")

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise UsageError(f"takes the outputs of a layer with return_state, but gets {describe(shape)}")
        width = shape[1] if self.size is None else self.size
        if self.index or not self.sequences:
            return (width,)
        return (None if shape[0] is None else shape[0] - self.count, width)

    def _place(self) -> Any:
        width = slice(None, self.size)
        if self.index == 0:
            return (slice(None), slice(None, -self.count) if self.sequences else 0, width)
        return (slice(None), self.index - self.count - 1, width)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        place = self._place()

        def backward(dy: Array) -> tuple[Array, tuple]:
            dx = np.zeros_like(x)
            dx[place] = dy
            return dx, ()

        return x[place].copy(), backward


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


def rate(name: str, value: Any) -> float:
    """A share from 0 to 1. Raises UsageError."""
    if not 0 <= float(value) <= 1:
        raise UsageError(f"{name} is {value}; give a number from 0 to 1")
    return float(value)
