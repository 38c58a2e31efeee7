"""Activation functions with their derivatives, by Keras's names. Imports numpy and the registry only.

Each is a function ``f(x) -> (y, backward)`` with ``backward(dy) -> dx`` beside it. Any float type goes in and the same
comes out: constants are Python numbers, which do not widen an array. Where a function has a corner, the derivative
there is TensorFlow's (0 for relu at 0). Source: Keras 3.15, keras/src/activations/activations.py.

Not here: ``glu`` (halves the channels) and ``threshold`` (has arguments without defaults).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dltool.registry import Registry

Array = np.ndarray
Result = tuple[Array, Callable[[Array], Array]]
"""The output, and the way back from its gradient to the input's."""
Function = Callable[[Array], Result]


@dataclass(frozen=True)
class Activation:
    """A named activation: ``y, backward = activation(x)``, then ``dx = backward(dy)``; both are new arrays.

    ``elementwise`` is False where an output depends on the whole last axis (softmax).
    """

    name: str
    function: Function
    elementwise: bool = True

    def __call__(self, x: Array) -> Result:
        return self.function(x)


ACTIVATIONS: Registry[Activation] = Registry("activation")


def activation(name: str | None) -> Activation:
    """The activation behind a name; None is linear, as in Keras. Raises UnknownNameError."""
    return ACTIVATIONS.get(name or "linear")


def activation_name(name: str | None) -> str:
    """The canonical name: None -> "linear", "swish" -> "silu". Raises UnknownNameError."""
    return activation(name).name


def register(name: str, *aliases: str, elementwise: bool = True) -> Callable[[Function], Function]:
    """Decorator: file a function as an activation."""

    def decorate(function: Function) -> Function:
        ACTIVATIONS.register(name, *aliases)(Activation(name, function, elementwise))
        return function

    return decorate


@register("linear")
def linear(x: Array) -> Result:
    return x.copy(), lambda dy: dy.copy()


# --- the ReLU family -------------------------------------------------------------------------------------------------


@register("relu")
def relu(x: Array) -> Result:
    positive = x > 0
    return np.maximum(x, 0), lambda dy: dy * positive


@register("relu6")
def relu6(x: Array) -> Result:
    inside = (x > 0) & (x < 6)
    return np.clip(x, 0, 6), lambda dy: dy * inside


@register("leaky_relu")
def leaky_relu(x: Array) -> Result:
    """Slope 0.2 below zero (the LeakyReLU *layer* of Keras starts at 0.3)."""
    slope = np.where(x > 0, x.dtype.type(1), x.dtype.type(0.2))
    return x * slope, lambda dy: dy * slope


@register("elu")
def elu(x: Array) -> Result:
    below = np.expm1(np.minimum(x, 0))
    return np.maximum(x, 0) + below, lambda dy: dy * (below + 1)


@register("celu")
def celu(x: Array) -> Result:
    """With Keras's default alpha of 1 this is elu."""
    return elu(x)


@register("selu")
def selu(x: Array) -> Result:
    """Source: Klambauer et al., "Self-normalizing neural networks", 2017, equation 2."""
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    below = np.expm1(np.minimum(x, 0))
    slope = np.where(x > 0, x.dtype.type(scale), scale * alpha * (below + 1))
    return scale * np.maximum(x, 0) + scale * alpha * below, lambda dy: dy * slope


# --- sigmoids --------------------------------------------------------------------------------------------------------


def logistic(x: Array) -> Array:
    """1 / (1 + e^-x) without overflow, and exact in relative terms for very negative x."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, x.dtype.type(1), small) / (1 + small)


@register("sigmoid")
def sigmoid(x: Array) -> Result:
    y = logistic(x)
    return y, lambda dy: dy * y * (1 - y)


@register("log_sigmoid")
def log_sigmoid(x: Array) -> Result:
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))), lambda dy: dy * logistic(-x)


@register("hard_sigmoid")
def hard_sigmoid(x: Array) -> Result:
    """clip(x / 6 + 1/2, 0, 1): what Keras 3 calls so."""
    inside = (x > -3) & (x < 3)
    return np.clip(x / 6 + 0.5, 0, 1), lambda dy: dy * inside / 6


@register("hard_sigmoid_keras2")
def hard_sigmoid_keras2(x: Array) -> Result:
    """clip(0.2 x + 1/2, 0, 1): what Keras 1 and 2 call hard_sigmoid. Not a Keras name."""
    inside = (x > -2.5) & (x < 2.5)
    return np.clip(0.2 * x + 0.5, 0, 1), lambda dy: dy * inside * 0.2


@register("sparse_sigmoid")
def sparse_sigmoid(x: Array) -> Result:
    """clip(x / 2 + 1/2, 0, 1)."""
    inside = (x > -1) & (x < 1)
    return np.clip(x / 2 + 0.5, 0, 1), lambda dy: dy * inside / 2


@register("tanh")
def tanh(x: Array) -> Result:
    y = np.tanh(x)
    return y, lambda dy: dy * (1 - y * y)


@register("hard_tanh")
def hard_tanh(x: Array) -> Result:
    inside = (x >= -1) & (x <= 1)  # the corners count, as in TensorFlow
    return np.clip(x, -1, 1), lambda dy: dy * inside


@register("softsign")
def softsign(x: Array) -> Result:
    scale = 1 / (1 + np.abs(x))
    return x * scale, lambda dy: dy * scale * scale


# --- gates: x times something between 0 and 1 ------------------------------------------------------------------------


@register("silu", "swish")
def silu(x: Array) -> Result:
    gate = logistic(x)
    return x * gate, lambda dy: dy * gate * (1 + x * (1 - gate))


@register("hard_silu", "hard_swish")
def hard_silu(x: Array) -> Result:
    gate, gate_backward = hard_sigmoid(x)
    return x * gate, lambda dy: dy * gate + gate_backward(dy * x)


@register("mish")
def mish(x: Array) -> Result:
    """x tanh(softplus(x)). Source: Misra, "Mish: a self regularized non-monotonic activation function", 2020."""
    gate = np.tanh(softplus(x)[0])
    return x * gate, lambda dy: dy * (gate + x * (1 - gate * gate) * logistic(x))


@register("gelu")
def gelu(x: Array) -> Result:
    """x times the normal distribution function, exact (not the tanh approximation).

    Source: Hendrycks and Gimpel, "Gaussian error linear units", 2016.
    """
    distribution = (1 + erf(x * 0.5**0.5)) / 2
    density = np.exp(-np.square(np.clip(x, -40, 40)) / 2) * 0.3989422804014327  # 1 / sqrt(2 pi)
    return x * distribution, lambda dy: dy * (distribution + x * density)


ERFC_SERIES = (
    0.377376099625859466,
    0.482509119650680719,
    0.122324595330977044,
    0.0178311497192767926,
    0.000321173652494398344,
    -0.00035039525647961568,
    -2.24388065062032601e-05,
    1.05374331193560636e-05,
    5.67133113264755263e-07,
    -4.29768157666587643e-07,
    5.10495251286516483e-09,
    1.88996993181795698e-08,
    -2.2427555298561462e-09,
    -6.85525437055074131e-10,
    2.14879595257402472e-10,
    5.51540971841859506e-12,
    -1.34774950479943206e-11,
    2.08638946714197299e-12,
    4.48188144580445696e-13,
    -2.26841757838884954e-13,
    1.85058675722104965e-14,
    1.15096113546710365e-14,
    -4.00989011533837081e-15,
)
"""Chebyshev coefficients of e^(x^2) erfc(x) in u = 4 / (2 + x) - 1, for x >= 0: interpolated at 200 nodes in 60-digit
arithmetic. The first 12 suffice for float32."""


def erf(x: Array) -> Array:
    """The error function, which NumPy lacks; the error is below 1e-15 in float64 and 2e-7 in float32."""
    size = np.clip(np.abs(x), 0, 30)  # beyond 6 the result is 1; the limit keeps the square finite
    u = 4 / (2 + size) - 1
    terms = ERFC_SERIES if x.dtype.itemsize > 4 else ERFC_SERIES[:12]
    last, before = np.zeros_like(u), np.zeros_like(u)
    for coefficient in reversed(terms[1:]):  # Clenshaw's recurrence
        last, before = 2 * u * last - before + coefficient, last
    complement = np.exp(-size * size) * (u * last - before + terms[0])
    return np.copysign(1 - complement, x)


# --- smooth and sparse relatives of relu -----------------------------------------------------------------------------


@register("softplus")
def softplus(x: Array) -> Result:
    """log(1 + e^x) without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), lambda dy: dy * logistic(x)


@register("squareplus")
def squareplus(x: Array) -> Result:
    root = np.sqrt(x * x + 4)
    return (x + root) / 2, lambda dy: dy * (1 + x / root) / 2


@register("sparse_plus")
def sparse_plus(x: Array) -> Result:
    """0 below -1, (x + 1)^2 / 4 up to 1, then x."""
    inside = np.clip(x, -1, 1) + 1
    return np.where(x < 1, inside * inside / 4, x), lambda dy: dy * inside / 2


@register("exponential")
def exponential(x: Array) -> Result:
    y = np.exp(x)
    return y, lambda dy: dy * y


# --- shrinking -------------------------------------------------------------------------------------------------------


@register("soft_shrink")
def soft_shrink(x: Array) -> Result:
    outside = np.abs(x) > 0.5
    return np.where(outside, x - 0.5 * np.sign(x), x.dtype.type(0)), lambda dy: dy * outside


@register("hard_shrink")
def hard_shrink(x: Array) -> Result:
    outside = np.abs(x) > 0.5
    return x * outside, lambda dy: dy * outside


@register("tanh_shrink")
def tanh_shrink(x: Array) -> Result:
    y = np.tanh(x)
    return x - y, lambda dy: dy * y * y


# --- distributions over the last axis --------------------------------------------------------------------------------


@register("softmax", elementwise=False)
def softmax(x: Array) -> Result:
    powers = np.exp(x - x.max(-1, keepdims=True))
    y = powers / powers.sum(-1, keepdims=True)
    return y, lambda dy: y * (dy - (dy * y).sum(-1, keepdims=True))


@register("log_softmax", elementwise=False)
def log_softmax(x: Array) -> Result:
    shifted = x - x.max(-1, keepdims=True)
    y = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return y, lambda dy: dy - np.exp(y) * dy.sum(-1, keepdims=True)


@register("sparsemax", elementwise=False)
def sparsemax(x: Array) -> Result:
    """The nearest point of the probability simplex: like softmax, with true zeros.

    Source: Martins and Astudillo, "From softmax to sparsemax", 2016, algorithm 1 and equation 14.
    """
    ordered = -np.sort(-x, -1)
    sums = np.cumsum(ordered, -1)
    counts = np.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    size = (1 + counts * ordered > sums).sum(-1, keepdims=True)
    y = np.maximum(x - (np.take_along_axis(sums, size - 1, -1) - 1) / size.astype(x.dtype), 0)
    support = y > 0

    def backward(dy: Array) -> Array:
        mean = (dy * support).sum(-1, keepdims=True) / support.sum(-1, keepdims=True).astype(dy.dtype)
        return support * (dy - mean)

    return y, backward
