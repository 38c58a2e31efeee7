"""Recurrent layers: what one time step computes, and the outputs of a layer apart. Imports engine basics only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from dltool.engine.activations import activation, activation_name
from dltool.engine.constraints import Constraint
from dltool.engine.initializers import Initializer, Ones
from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, WeightSpec, describe, normalize
from dltool.engine.layers.recurrence import Recurrent, States, StepBack
from dltool.engine.regularizers import Regularizer
from dltool.errors import UsageError


@dataclass(frozen=True)
class ForgetBias(Initializer):
    """``initial`` for all gates but the second, the forget gate, which starts at 1. For the bias of an LSTM."""

    initial: Initializer

    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        values = self.initial(shape, generator)
        quarter = shape[-1] // 4
        values[quarter : 2 * quarter] = Ones()((quarter,), generator)
        return values


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
    """One of the outputs of a layer that has several: 0 its usual output, 1 and up its states.

    Not a Keras layer: there a call has several outputs, and model files are written so. ``count`` is the number of
    states, ``sequences`` says whether output 0 is a sequence, ``size`` is the width where it is not the layer's.
    ``pair``: the usual output is two side by side, 0 and 1, and the states start at 2.
    """

    index: int
    count: int = 1
    sequences: bool = False
    size: int | None = None
    pair: bool = False

    is_part: ClassVar[bool] = True

    def __post_init__(self) -> None:
        last = self.count + self.pair
        if not 0 <= self.index <= last:
            raise UsageError(f"index is {self.index}; the layer before has outputs 0 to {last}")

    @property
    def is_state(self) -> bool:
        return self.index > self.pair

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != (2 if self.sequences or self.count else 1):
            raise UsageError(f"takes the outputs of a layer with return_state, but gets {describe(shape)}")
        width = shape[-1] if self.size is None else self.size
        if self.is_state:
            return (width,)
        width = width // 2 if self.pair else width
        if not self.sequences:
            return (width,)
        return (None if shape[0] is None else shape[0] - self.count, width)

    def mask_shape(self, shape: Any, masks: tuple[Shape | None, ...]) -> Shape | None:
        if not masks or masks[0] is None or self.is_state or not self.sequences:
            return None
        return (masks[0][0] - self.count,)

    def output_mask(self, x: Any, masks: tuple[Array | None, ...]) -> Array:
        return masks[0][:, : masks[0].shape[1] - self.count]

    def _place(self, width: int) -> Any:
        if self.is_state:
            return (slice(None), self.index - self.pair - self.count - 1, slice(None, self.size))
        half = width // 2
        columns = slice(self.index * half, (self.index + 1) * half) if self.pair else slice(None, self.size)
        rows = (slice(None, -self.count or None),) if self.sequences else (0,) if self.count else ()
        return (slice(None), *rows, columns)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        place = self._place(x.shape[-1])

        def backward(dy: Array) -> tuple[Array, tuple]:
            dx = np.zeros_like(x)
            dx[place] = dy
            return dx, ()

        return x[place].copy(), backward
