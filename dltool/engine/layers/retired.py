"""Layers that Keras had until version 1.2 and no later one has. Imports engine basics only.

Source: keras/layers/core.py and advanced_activations.py of Keras 1.2.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dltool.engine.activations import activation, activation_name, logistic, softplus
from dltool.engine.constraints import Constraint, constraint
from dltool.engine.initializers import Constant, Initializer, initializer
from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, WeightSpec, describe, normalize
from dltool.engine.layers.core import positive
from dltool.engine.regularizers import Regularizer, regularizer
from dltool.errors import UsageError


@dataclass(frozen=True)
class OfVector(Layer):
    """Base of layers of a vector with kernels and biases."""

    def __post_init__(self) -> None:
        for kind in ("kernel", "bias"):
            rules = (("initializer", initializer), ("regularizer", regularizer), ("constraint", constraint))
            normalize(self, **{f"{kind}_{key}": rule(getattr(self, f"{kind}_{key}")) for key, rule in rules})

    def spec(self, kind: str, name: str, shape: tuple[int, ...]) -> WeightSpec:
        found = {key: getattr(self, f"{kind}_{key}") for key in ("initializer", "regularizer", "constraint")}
        return WeightSpec(name, shape, **found)

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
        kernel = self.spec("kernel", "kernel", (self.nb_feature, shape[-1], self.units))
        return (kernel, self.spec("bias", "bias", (self.nb_feature, self.units))) if self.use_bias else (kernel,)

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
        kernels = (self.spec("kernel", "kernel", square), self.spec("kernel", "kernel_carry", square))
        carry = WeightSpec("bias_carry", (shape[-1],), Constant(self.transform_bias))
        return (*kernels, self.spec("bias", "bias", (shape[-1],)), carry) if self.use_bias else kernels

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


@dataclass(frozen=True)
class PerPlace(Layer):
    """Base of activations with weights for every position and channel; ``shared_axes`` (batch 0) share one each."""

    keeps_mask: ClassVar[bool] = True
    starts: ClassVar[tuple[str, ...]] = ()
    """The weights' names, which begin the names of their initializers."""

    def __post_init__(self) -> None:
        axes = self.shared_axes
        axes = (axes,) if isinstance(axes, int) else axes
        normalize(self, shared_axes=None if axes is None else tuple(int(axis) for axis in axes))
        normalize(
            self, **{f"{name}_initializer": initializer(getattr(self, f"{name}_initializer")) for name in self.starts}
        )

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        shared = self.shared_axes or ()
        sizes = tuple(1 if axis in shared else size for axis, size in enumerate(shape, 1))
        if None in sizes:
            raise UsageError("the size of its input is unknown; share those axes with shared_axes=1x2")
        return tuple(WeightSpec(name, sizes, getattr(self, f"{name}_initializer")) for name in self.starts)

    def summed(self, gradient: Array) -> Array:
        """A gradient for every number of the batch, summed over what shares a weight."""
        return gradient.sum((0, *(self.shared_axes or ())), keepdims=True)[0]


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

    starts: ClassVar[tuple[str, ...]] = ("t_left", "a_left", "t_right", "a_right")

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

    starts: ClassVar[tuple[str, ...]] = ("alpha", "beta")

    def __post_init__(self) -> None:
        for name in self.starts:
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
