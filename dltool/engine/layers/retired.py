"""Layers that Keras had until version 1.2 and no later one has. Imports engine basics only.

Source: keras/layers/core.py and advanced_activations.py of Keras 1.2.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dltool.engine.activations import activation, activation_name, logistic, softplus
from dltool.engine.constraints import Constraint
from dltool.engine.initializers import Constant, Initializer
from dltool.engine.layers.advanced_activations import PerPlace
from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, WeightSpec, describe, normalize
from dltool.engine.layers.core import positive
from dltool.engine.layers.rules import normalize_rules, ruled
from dltool.engine.regularizers import Regularizer
from dltool.errors import UsageError


@dataclass(frozen=True)
class OfVector(Layer):
    """Base of layers of a vector with kernels and biases."""

    def __post_init__(self) -> None:
        normalize_rules(self, "kernel", "bias")

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1 or shape[0] is None:
            raise UsageError(f"needs a vector of known size but gets {describe(shape)}; put a Flatten before it")
        return shape


@LAYERS.register("MaxoutDense")
@dataclass(frozen=True)
class MaxoutDense(OfVector):
    """The largest of ``nb_feature`` dense layers, number by number.

    Weights: kernel (nb_feature, inputs, units), bias (nb_feature, units).
    Source: Goodfellow et al., "Maxout networks", arXiv:1302.4389.
    """

    units: int
    nb_feature: int = 4
    use_bias: bool = True
    kernel_initializer: Initializer | str | dict = "glorot_uniform"
    bias_initializer: Initializer | str | dict = "zeros"
    kernel_regularizer: Regularizer | str | dict | None = None
    bias_regularizer: Regularizer | str | dict | None = None
    kernel_constraint: Constraint | str | dict | None = None
    bias_constraint: Constraint | str | dict | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        normalize(self, units=positive("units", self.units), nb_feature=positive("nb_feature", self.nb_feature))

    def output_shape(self, shape: Shape) -> Shape:
        super().output_shape(shape)
        return (self.units,)

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        kernel = ruled(self, "kernel", (self.nb_feature, shape[-1], self.units))
        return (kernel, ruled(self, "bias", (self.nb_feature, self.units))) if self.use_bias else (kernel,)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        found = x @ weights[0]  # (features, n, units)
        if self.use_bias:
            found = found + weights[1][:, None]
        y = found.max(0)
        chosen = (found == y).astype(x.dtype)

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dfound = chosen * dy / chosen.sum(0)
            dkernel = x.T @ dfound
            dbias = (dfound.sum(1),) if self.use_bias else ()
            return (dfound @ weights[0].swapaxes(1, 2)).sum(0), (dkernel, *dbias)

        return y, backward


@LAYERS.register("Highway")
@dataclass(frozen=True)
class Highway(OfVector):
    """``t * activation(x @ kernel + bias) + (1 - t) * x`` with ``t = sigmoid(x @ kernel_carry + bias_carry)``.

    Weights: kernel and kernel_carry (inputs, inputs), bias and bias_carry (inputs,).
    ``transform_bias`` is where bias_carry starts. Source: Srivastava et al., "Highway networks", arXiv:1505.00387.
    """

    transform_bias: float = -2.0
    activation: str = "linear"
    use_bias: bool = True
    kernel_initializer: Initializer | str | dict = "glorot_uniform"
    bias_initializer: Initializer | str | dict = "zeros"
    kernel_regularizer: Regularizer | str | dict | None = None
    bias_regularizer: Regularizer | str | dict | None = None
    kernel_constraint: Constraint | str | dict | None = None
    bias_constraint: Constraint | str | dict | None = None

    activation_is_last: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        normalize(self, transform_bias=float(self.transform_bias), activation=activation_name(self.activation))

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        square = (shape[-1], shape[-1])
        kernels = (ruled(self, "kernel", square), ruled(self, "kernel", square, "kernel_carry"))
        carry = WeightSpec("bias_carry", (shape[-1],), Constant(self.transform_bias))
        return (*kernels, ruled(self, "bias", (shape[-1],)), carry) if self.use_bias else kernels

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        kernel, carry = weights[:2]
        biases = weights[2:] if self.use_bias else (x.dtype.type(0),) * 2
        share = logistic(x @ carry + biases[1])
        h, h_back = activation(self.activation)(x @ kernel + biases[0])

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dz = h_back(dy * share)
            dgate = dy * (h - x) * share * (1 - share)
            dx = dy * (1 - share) + dz @ kernel.T + dgate @ carry.T
            dbiases = (dz.sum(0), dgate.sum(0)) if self.use_bias else ()
            return dx, (x.T @ dz, x.T @ dgate, *dbiases)

        return share * h + (1 - share) * x, backward


@LAYERS.register("SReLU")
@dataclass(frozen=True)
class SReLU(PerPlace):
    """x between t_left and ``t_left + |t_right|``, straight lines of the slopes a_left and a_right beyond.

    Weights: t_left, a_left, t_right, a_right, of the input's shape with 1 for shared axes.
    Source: Jin et al., arXiv:1512.07030.
    """

    t_left_initializer: Initializer | str | dict = "zeros"
    a_left_initializer: Initializer | str | dict = "glorot_uniform"
    t_right_initializer: Initializer | str | dict = "glorot_uniform"
    a_right_initializer: Initializer | str | dict = "ones"
    shared_axes: int | tuple[int, ...] | None = None

    weight_kinds: ClassVar[tuple[str, ...]] = ("t_left", "a_left", "t_right", "a_right")

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        left, below, width, above = weights
        right = left + np.abs(width)
        under, over = np.minimum(x - left, 0), np.maximum(x - right, 0)
        y = np.clip(x, left, right) + below * under + above * over
        is_under, is_over = x < left, x > right

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dunder, dover = np.where(is_under, dy, 0), np.where(is_over, dy, 0)
            dright = self.summed(dover * (1 - above))
            dleft = self.summed(dunder * (1 - below)) + dright
            slope = np.where(is_under, below, np.where(is_over, above, x.dtype.type(1)))
            found = (dleft, self.summed(dunder * under), dright * np.sign(width), self.summed(dover * over))
            return dy * slope, found

        return y, backward


@LAYERS.register("ParametricSoftplus")
@dataclass(frozen=True)
class ParametricSoftplus(PerPlace):
    """``alpha * log(1 + exp(beta * x))`` with trained alpha and beta, of the input's shape with 1 for shared axes."""

    alpha_initializer: Initializer | str | dict | float = 0.2
    beta_initializer: Initializer | str | dict | float = 5.0
    shared_axes: int | tuple[int, ...] | None = None

    weight_kinds: ClassVar[tuple[str, ...]] = ("alpha", "beta")

    def __post_init__(self) -> None:
        for name in self.weight_kinds:
            value = getattr(self, f"{name}_initializer")
            if isinstance(value, int | float):
                normalize(self, **{f"{name}_initializer": Constant(float(value))})
        super().__post_init__()

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        alpha, beta = weights
        y, back = softplus(beta * x)

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dinside = back(dy * alpha)
            return dinside * beta, (self.summed(dy * y), self.summed(dinside * x))

        return alpha * y, backward
