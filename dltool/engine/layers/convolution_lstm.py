"""LSTMs over sequences, images and volumes that change in time. Imports engine basics only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from dltool.engine.activations import activation, activation_name
from dltool.engine.constraints import Constraint
from dltool.engine.initializers import Initializer
from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Shape, WeightSpec, describe, normalize
from dltool.engine.layers.convolution_nd import PADDINGS, Windowed
from dltool.engine.layers.noise import kept, rate
from dltool.engine.layers.recurrent import ForgetBias
from dltool.engine.layers.rules import ruled
from dltool.engine.layers.spatial import WHAT, Sizes, frame_of, framed, gathered, scattered, unframed, windows_of
from dltool.engine.regularizers import Regularizer
from dltool.errors import UsageError

Way = Callable[[Array], tuple[Array, Array]]


@dataclass(frozen=True)
class ConvLSTM(Windowed):
    """An LSTM whose products are convolutions: (steps, positions ..., channels) -> the same of ``filters`` channels.

    The state is convolved with padding "same"; ``strides``, ``padding`` and ``dilation_rate`` are the input's.
    ``dropout`` and ``recurrent_dropout`` draw one pattern per row for all steps and gates, on the input and on the
    state. Keras's masks, ``stateful`` and ``return_state`` are not supported here.
    Weights: kernel (taps ..., channels, 4 filters), recurrent_kernel (taps ..., filters, 4 filters), bias
    (4 filters,); gates i, f, candidate, o. Source: Shi et al., arXiv:1506.04214.
    """

    filters: int
    kernel_size: int | tuple[int, ...]
    strides: int | tuple[int, ...] = 1
    padding: str = "valid"
    dilation_rate: int | tuple[int, ...] = 1
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
    go_backwards: bool = False

    activation_is_last: ClassVar[bool] = False
    paddings: ClassVar[tuple[str, ...]] = PADDINGS
    weight_kinds: ClassVar[tuple[str, ...]] = ("kernel", "recurrent", "bias")

    def __post_init__(self) -> None:
        super().__post_init__()
        normalize(
            self,
            recurrent_activation=activation_name(self.recurrent_activation),
            dropout=rate("dropout", self.dropout),
            recurrent_dropout=rate("recurrent_dropout", self.recurrent_dropout),
        )

    @property
    def is_random(self) -> bool:
        return self.dropout > 0 or self.recurrent_dropout > 0

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != self.rank + 2:
            raise UsageError(f"needs steps before {WHAT[self.rank]} but gets {describe(shape)}; reshape its input")
        found = super().output_shape(shape[1:])
        return (shape[0], *found) if self.return_sequences else found

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        wide = 4 * self.filters
        kernel = ruled(self, "kernel", (*self.kernel_size, shape[-1], wide))
        recurrent = ruled(self, "recurrent", (*self.kernel_size, self.filters, wide), "recurrent_kernel")
        bias = ruled(self, "bias", (wide,))
        if self.unit_forget_bias:
            bias = replace(bias, initializer=ForgetBias(self.bias_initializer))
        return (kernel, recurrent, bias) if self.use_bias else (kernel, recurrent)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        rows, steps = x.shape[:2]
        geometry = (self.kernel_size, self.strides, self.dilation_rate, self.padding)
        on_input, on_state = self._dropout_factors(x, call)
        z, input_back = convolve((x * on_input).reshape(-1, *x.shape[2:]), weights[0], *geometry)
        if self.use_bias:
            z = z + weights[2]
        z = z.reshape(rows, steps, *z.shape[1:])
        order = range(steps - 1, -1, -1) if self.go_backwards else range(steps)
        h = c = np.zeros((rows, *z.shape[2:-1], self.filters), x.dtype)
        outputs, ways = [], []
        for t in order:
            h, c, way = self._step(z[:, t], h, c, weights[1], on_state)
            outputs.append(h)
            ways.append(way)
        y = np.stack(outputs, 1) if self.return_sequences else h

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dz, drecurrent = np.empty_like(z), np.zeros_like(weights[1])
            dh = dc = np.zeros_like(h)
            if not self.return_sequences:
                dh = dy
            for k in reversed(range(steps)):
                dout = dh + dy[:, k] if self.return_sequences else dh
                dz[:, order[k]], dh, dc, part = ways[k](dout, dc)
                drecurrent += part
            flat = dz.reshape(-1, *dz.shape[2:])
            dx, dkernel = input_back(flat)
            dbias = (flat.reshape(-1, flat.shape[-1]).sum(0),) if self.use_bias else ()
            return dx.reshape(x.shape) * on_input, (dkernel, drecurrent, *dbias)

        return y, backward

    def _dropout_factors(self, x: Array, call: Call) -> tuple[Any, Any]:
        """What the input of all steps and the state are multiplied with; 1 without dropout."""
        if not call.training or not self.is_random:
            return x.dtype.type(1), x.dtype.type(1)
        state = (*self.windows(x.shape[2:-1]), self.filters)
        size = math.prod(x.shape[2:])
        drawn = call.stream.random_bytes((len(x), size + math.prod(state)))
        on_input = kept(drawn[:, :size].reshape(len(x), 1, *x.shape[2:]), self.dropout, x.dtype)
        return on_input, kept(drawn[:, size:].reshape(len(x), *state), self.recurrent_dropout, x.dtype)

    def _step(self, z: Array, h: Array, cell: Array, recurrent: Array, on: Any) -> tuple[Array, Array, Callable]:
        """One time step: new h and c, and the way back: (dh, dc) -> (dz, dh before, dc before, drecurrent)."""
        gate, squash = activation(self.recurrent_activation), activation(self.activation)
        ones = (1,) * self.rank
        inner, inner_back = convolve(h * on, recurrent, self.kernel_size, ones, ones, "same")
        parts = np.split(z + inner, 4, -1)
        (i, i_back), (f, f_back), (g, g_back), (o, o_back) = (
            rule(part) for rule, part in zip((gate, gate, squash, gate), parts, strict=True)
        )
        c = f * cell + i * g
        shown, shown_back = squash(c)

        def back(dh: Array, dc: Array) -> tuple[Array, Array, Array, Array]:
            dc = dc + shown_back(dh * o)
            dz = np.concatenate([i_back(dc * g), f_back(dc * cell), g_back(dc * i), o_back(dh * shown)], -1)
            dbefore, drecurrent = inner_back(dz)
            return dz, dbefore * on, dc * f, drecurrent

        return o * shown, c, back


@LAYERS.register("ConvLSTM1D")
@dataclass(frozen=True)
class ConvLSTM1D(ConvLSTM):
    """An LSTM over sequences that change in time: (times, steps, channels) -> ``filters`` channels."""


@LAYERS.register("ConvLSTM2D")
@dataclass(frozen=True)
class ConvLSTM2D(ConvLSTM):
    """An LSTM over images: (times, height, width, channels) -> images of ``filters`` channels."""

    rank: ClassVar[int] = 2


@LAYERS.register("ConvLSTM3D")
@dataclass(frozen=True)
class ConvLSTM3D(ConvLSTM):
    """An LSTM over volumes: (times, depth, height, width, channels) -> volumes of ``filters`` channels."""

    rank: ClassVar[int] = 3


def convolve(x: Array, kernel: Array, size: Sizes, strides: Sizes, dilation: Sizes, padding: str) -> tuple[Array, Way]:
    """The plain convolution, and the way back: dy -> (dx, dkernel)."""
    frame = frame_of(x.shape[1:-1], size, strides, dilation, padding)
    padded = framed(x, frame)
    columns = gathered(padded, windows_of(x.shape[1:-1], size, strides, dilation, padding), size, strides, dilation)
    flat = kernel.reshape(-1, *kernel.shape[-2:])

    def back(dy: Array) -> tuple[Array, Array]:
        positions = tuple(range(x.ndim - 1))
        dkernel = np.tensordot(columns, dy, (positions, positions))
        dcolumns = np.tensordot(dy, flat, ((-1,), (-1,)))
        dx = unframed(scattered(dcolumns, padded.shape, size, strides, dilation), frame)
        return dx, dkernel.reshape(kernel.shape)

    return np.tensordot(columns, flat, 2), back
