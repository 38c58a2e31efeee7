"""Rules that keep weights at zero or step by signs only: Ftrl, Lion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from dltool.engine.optimizers.base import OPTIMIZERS, Array, Blocks, Coefficients, Optimizer, blend, float32


@OPTIMIZERS.register("ftrl", "Ftrl")
@dataclass(frozen=True)
class Ftrl(Optimizer):
    """Follow the regularised leader: weights whose evidence stays below ``l1`` are exactly zero.

    With ``p = -learning_rate_power`` and ``L2 = l2 + beta / (2 * rate)``::

        n = a + g^2;  z += g + 2*shrinkage*w - (n^p - a^p) / rate * w;  a = n
        w = (clip(z, -l1, l1) - z) / (n^p / rate + 2 * L2)

    A rate of 0 leaves everything as it is (Keras divides by it).
    Source: McMahan et al., "Ad click prediction: a view from the trenches", 2013, algorithm 1.
    """

    learning_rate_power: float = field(default=-0.5, kw_only=True)
    initial_accumulator_value: float = field(default=0.1, kw_only=True)
    l1_regularization_strength: float = field(default=0.0, kw_only=True)
    l2_regularization_strength: float = field(default=0.0, kw_only=True)
    l2_shrinkage_regularization_strength: float = field(default=0.0, kw_only=True)
    beta: float = field(default=0.0, kw_only=True)

    keras_class: ClassVar[str] = "Ftrl"

    @property
    def slots(self) -> tuple[str, ...]:
        return ("accumulator", "linear")

    def slot_start(self, slot: str) -> float:
        return self.initial_accumulator_value if slot == "accumulator" else 0.0

    def coefficients(self, step: int, rate: float, memory: dict[str, float]) -> Coefficients:
        rate = self.rate_at(step, rate)
        inverse = 1.0 / rate if rate else 0.0
        l2 = 2.0 * (self.l2_regularization_strength + self.beta * inverse / 2.0)
        return float32(inverse, l2, self.l1_regularization_strength, 2.0 * self.l2_shrinkage_regularization_strength)

    def update(self, w: Array, g: Array, slots: Blocks, scratch: Blocks, c: Coefficients) -> None:
        inverse, l2, l1, shrinkage = c
        if not inverse:
            return
        power = np.float32(-self.learning_rate_power)
        s, q = scratch
        a, z = slots
        np.power(a, power, out=s)
        np.multiply(g, g, out=q)
        np.add(a, q, out=a)
        np.power(a, power, out=q)
        np.subtract(q, s, out=s)
        np.multiply(s, inverse, out=s)
        np.subtract(s, shrinkage, out=s)
        np.multiply(s, w, out=s)
        np.subtract(z, s, out=z)
        np.add(z, g, out=z)
        np.multiply(q, inverse, out=q)
        np.add(q, l2, out=q)
        np.clip(z, -l1, l1, out=s)
        np.subtract(s, z, out=s)
        np.divide(s, q, out=w)


@OPTIMIZERS.register("lion", "Lion")
@dataclass(frozen=True)
class Lion(Optimizer):
    """``w -= rate * sign(b1*m + (1-b1)*g);  m = b2*m + (1-b2)*g``.

    Every weight moves by the rate, so a smaller one than Adam's is wanted. Source: Chen et al., arXiv:2302.06675.
    """

    beta_1: float = field(default=0.9, kw_only=True)
    beta_2: float = field(default=0.99, kw_only=True)

    keras_class: ClassVar[str] = "Lion"

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum",)

    def coefficients(self, step: int, rate: float, memory: dict[str, float]) -> Coefficients:
        return float32(self.rate_at(step, rate), self.beta_1, 1.0 - self.beta_1, self.beta_2, 1.0 - self.beta_2)

    def update(self, w: Array, g: Array, slots: Blocks, scratch: Blocks, c: Coefficients) -> None:
        rate, beta_1, one_minus_1, beta_2, one_minus_2 = c
        s, q = scratch
        (m,) = slots
        np.multiply(m, beta_1, out=s)
        np.multiply(g, one_minus_1, out=q)
        np.add(s, q, out=s)
        np.sign(s, out=s)
        np.multiply(s, rate, out=s)
        np.subtract(w, s, out=w)
        blend(m, g, beta_2, one_minus_2, s)
