"""Rules on the gradient and running averages of it or of its square: SGD, RMSprop, Adagrad, Adadelta."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from dltool.engine.optimizers.base import (
    OPTIMIZERS,
    Array,
    Blocks,
    Coefficients,
    Optimizer,
    blend,
    blend_square,
    float32,
)


@OPTIMIZERS.register("sgd", "SGD")
@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent: ``w -= rate * g``; with momentum ``v = momentum * v - rate * g; w += v``.

    Nesterov: ``w += momentum * v - rate * g`` with the new v.
    Source: Sutskever et al., On the importance of initialization and momentum in deep learning, 2013.
    """

    learning_rate: float = 0.01
    momentum: float = field(default=0.0, kw_only=True)
    nesterov: bool = field(default=False, kw_only=True)

    keras_class: ClassVar[str] = "SGD"

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()

    def coefficients(self, step: int, rate: float, memory: dict[str, float]) -> Coefficients:
        return np.float32(self.rate_at(step, rate)), np.float32(self.momentum)

    def update(self, w: Array, g: Array, slots: Blocks, scratch: Blocks, c: Coefficients) -> None:
        rate, momentum = c
        s, q = scratch
        np.multiply(g, rate, out=s)
        if not slots:
            np.subtract(w, s, out=w)
            return
        (v,) = slots
        np.multiply(v, momentum, out=v)
        np.subtract(v, s, out=v)
        if not self.nesterov:
            np.add(w, v, out=w)
            return
        np.multiply(v, momentum, out=q)
        np.subtract(q, s, out=q)
        np.add(w, q, out=w)


@OPTIMIZERS.register("rmsprop", "RMSprop")
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """``v = rho*v + (1-rho)*g^2;  w -= rate * g / sqrt(v + epsilon)``.

    ``centered`` subtracts the squared average gradient from v; ``momentum`` averages the increments. With ``legacy``
    and neither of the two, epsilon is added outside the root, as tf.keras <= 2.10 does.
    Source: Tieleman and Hinton, lecture 6.5 of Neural Networks for Machine Learning, 2012; Graves, arXiv:1308.0850,
    equations 38 to 41 (centered).
    """

    rho: float = field(default=0.9, kw_only=True)
    momentum: float = field(default=0.0, kw_only=True)
    epsilon: float = field(default=1e-7, kw_only=True)
    centered: bool = field(default=False, kw_only=True)

    keras_class: ClassVar[str] = "RMSprop"

    @property
    def slots(self) -> tuple[str, ...]:
        momentum = ("momentum",) if self.momentum else ()
        average = ("average_gradient",) if self.centered else ()
        return ("velocity", *momentum, *average)

    def coefficients(self, step: int, rate: float, memory: dict[str, float]) -> Coefficients:
        scalars = (self.rate_at(step, rate), self.rho, 1.0 - self.rho, self.epsilon, self.momentum)
        return float32(*scalars)

    def update(self, w: Array, g: Array, slots: Blocks, scratch: Blocks, c: Coefficients) -> None:
        rate, rho, one_minus_rho, epsilon, momentum = c
        s, q = scratch
        v = slots[0]
        blend_square(v, g, rho, one_minus_rho, s)
        if self.centered:
            average = slots[-1]
            blend(average, g, rho, one_minus_rho, s)
            np.multiply(average, average, out=s)
            np.subtract(v, s, out=s)
            np.add(s, epsilon, out=s)
            np.sqrt(s, out=s)
        elif self.legacy and not self.momentum:
            np.sqrt(v, out=s)
            np.add(s, epsilon, out=s)
        else:
            np.add(v, epsilon, out=s)
            np.sqrt(s, out=s)
        np.multiply(g, rate, out=q)
        np.divide(q, s, out=q)
        if self.momentum:
            increment = slots[1]
            np.multiply(increment, momentum, out=increment)
            np.add(increment, q, out=increment)
            q = increment
        np.subtract(w, q, out=w)


@OPTIMIZERS.register("adagrad", "Adagrad")
@dataclass(frozen=True)
class Adagrad(Optimizer):
    """``a += g^2;  w -= rate * g / sqrt(a + epsilon)``, a starting at ``initial_accumulator_value``.

    Source: Duchi, Hazan and Singer, Adaptive Subgradient Methods, 2011.
    """

    initial_accumulator_value: float = field(default=0.1, kw_only=True)
    epsilon: float = field(default=1e-7, kw_only=True)

    keras_class: ClassVar[str] = "Adagrad"

    @property
    def slots(self) -> tuple[str, ...]:
        return ("accumulator",)

    def slot_start(self, slot: str) -> float:
        return self.initial_accumulator_value

    def coefficients(self, step: int, rate: float, memory: dict[str, float]) -> Coefficients:
        return float32(self.rate_at(step, rate), self.epsilon)

    def update(self, w: Array, g: Array, slots: Blocks, scratch: Blocks, c: Coefficients) -> None:
        rate, epsilon = c
        s, q = scratch
        (a,) = slots
        np.multiply(g, g, out=s)
        np.add(a, s, out=a)
        np.add(a, epsilon, out=s)
        np.sqrt(s, out=s)
        np.multiply(g, rate, out=q)
        np.divide(q, s, out=q)
        np.subtract(w, q, out=w)


@OPTIMIZERS.register("adadelta", "Adadelta")
@dataclass(frozen=True)
class Adadelta(Optimizer):
    """``a = rho*a + (1-rho)*g^2;  u = g*sqrt((d+epsilon)/(a+epsilon));  d = rho*d + (1-rho)*u^2;  w -= rate*u``.

    One root of the quotient instead of a quotient of roots: same to float32 rounding, one pass less.
    Source: Zeiler, ADADELTA, arXiv:1212.5701, algorithm 1.
    """

    rho: float = field(default=0.95, kw_only=True)
    epsilon: float = field(default=1e-7, kw_only=True)

    keras_class: ClassVar[str] = "Adadelta"

    @property
    def slots(self) -> tuple[str, ...]:
        return ("accumulated_grad", "accumulated_delta_var")

    def coefficients(self, step: int, rate: float, memory: dict[str, float]) -> Coefficients:
        return float32(self.rate_at(step, rate), self.rho, 1.0 - self.rho, self.epsilon)

    def update(self, w: Array, g: Array, slots: Blocks, scratch: Blocks, c: Coefficients) -> None:
        rate, rho, one_minus_rho, epsilon = c
        s, q = scratch
        a, d = slots
        blend_square(a, g, rho, one_minus_rho, s)
        np.add(a, epsilon, out=s)
        np.add(d, epsilon, out=q)
        np.divide(q, s, out=q)
        np.sqrt(q, out=q)
        np.multiply(q, g, out=q)
        blend_square(d, q, rho, one_minus_rho, s)
        np.multiply(q, rate, out=q)
        np.subtract(w, q, out=w)
