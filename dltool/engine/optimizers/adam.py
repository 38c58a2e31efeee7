"""Adam and its kin: running averages of the gradient and of its size, both corrected for their start at zero."""

from __future__ import annotations

import math
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


@OPTIMIZERS.register("adam", "Adam")
@dataclass(frozen=True)
class Adam(Optimizer):
    """``m = b1*m + (1-b1)*g;  v = b2*v + (1-b2)*g^2;  w -= rate_t * m / (sqrt(v) + epsilon)``.

    ``rate_t = rate * sqrt(1-b2^t) / (1-b1^t)``: the paper's form at the end of its section 2, so epsilon is its
    "epsilon hat". ``amsgrad`` divides by the largest v so far, without bias correction of that maximum.
    Corrections are computed in float64; Keras uses float32, which at step 1 differs by 6e-6 of the step.
    Source: Kingma and Ba, arXiv:1412.6980; Reddi, Kale and Kumar, arXiv:1904.09237 (amsgrad).
    """

    beta_1: float = field(default=0.9, kw_only=True)
    beta_2: float = field(default=0.999, kw_only=True)
    epsilon: float = field(default=1e-7, kw_only=True)
    amsgrad: bool = field(default=False, kw_only=True)

    keras_class: ClassVar[str] = "Adam"

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum", "velocity", *(("velocity_hat",) if self.amsgrad else ()))

    def coefficients(self, step: int, rate: float, memory: dict[str, float]) -> Coefficients:
        corrected = self.rate_at(step, rate) * math.sqrt(1.0 - self.beta_2**step) / (1.0 - self.beta_1**step)
        return float32(corrected, self.beta_1, 1.0 - self.beta_1, self.beta_2, 1.0 - self.beta_2, self.epsilon)

    def update(self, w: Array, g: Array, slots: Blocks, scratch: Blocks, c: Coefficients) -> None:
        rate, beta_1, one_minus_1, beta_2, one_minus_2, epsilon = c
        s, _ = scratch
        m, v = slots[:2]
        blend(m, g, beta_1, one_minus_1, s)
        blend_square(v, g, beta_2, one_minus_2, s)
        if self.amsgrad:
            v = np.maximum(slots[2], v, out=slots[2])
        np.sqrt(v, out=s)
        np.add(s, epsilon, out=s)
        np.divide(m, s, out=s)
        np.multiply(s, rate, out=s)
        np.subtract(w, s, out=w)


@OPTIMIZERS.register("adamw", "AdamW")
@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay, 0.004 by default. Source: Loshchilov and Hutter, arXiv:1711.05101."""

    weight_decay: float | None = field(default=0.004, kw_only=True)

    keras_class: ClassVar[str] = "AdamW"


@OPTIMIZERS.register("adamax", "Adamax")
@dataclass(frozen=True)
class Adamax(Optimizer):
    """``m = b1*m + (1-b1)*g;  u = max(b2*u, |g|);  w -= rate/(1-b1^t) * m / (u + epsilon)``.

    Source: Kingma and Ba, arXiv:1412.6980, section 7.1.
    """

    beta_1: float = field(default=0.9, kw_only=True)
    beta_2: float = field(default=0.999, kw_only=True)
    epsilon: float = field(default=1e-7, kw_only=True)

    keras_class: ClassVar[str] = "Adamax"

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum", "norm")

    def coefficients(self, step: int, rate: float, memory: dict[str, float]) -> Coefficients:
        corrected = self.rate_at(step, rate) / (1.0 - self.beta_1**step)
        return float32(corrected, self.beta_1, 1.0 - self.beta_1, self.beta_2, self.epsilon)

    def update(self, w: Array, g: Array, slots: Blocks, scratch: Blocks, c: Coefficients) -> None:
        rate, beta_1, one_minus_1, beta_2, epsilon = c
        s, _ = scratch
        m, u = slots
        blend(m, g, beta_1, one_minus_1, s)
        np.multiply(u, beta_2, out=u)
        np.abs(g, out=s)
        np.maximum(u, s, out=u)
        np.add(u, epsilon, out=s)
        np.divide(m, s, out=s)
        np.multiply(s, rate, out=s)
        np.subtract(w, s, out=w)


@OPTIMIZERS.register("nadam", "Nadam")
@dataclass(frozen=True)
class Nadam(Optimizer):
    """Adam with Nesterov momentum.

    With ``u_t = b1 * (1 - 0.5 * 0.96^t)`` and ``P = u_1 * ... * u_t``::

        m = b1*m + (1-b1)*g;  v = b2*v + (1-b2)*g^2
        w -= rate * (u_{t+1}*m / (1 - P*u_{t+1}) + (1-u_t)*g / (1-P)) / (sqrt(v / (1-b2^t)) + epsilon)

    P is kept in ``memory["u_product"]``; when it is missing it is computed anew. With ``legacy`` the exponent is
    ``0.004 * t``, as in tf.keras <= 2.10 (whose config calls this 0.004 ``decay``: it is not a decay of the rate).
    The root's bias correction is folded into the other scalars.
    Source: Dozat, Incorporating Nesterov Momentum into Adam, 2016.
    """

    beta_1: float = field(default=0.9, kw_only=True)
    beta_2: float = field(default=0.999, kw_only=True)
    epsilon: float = field(default=1e-7, kw_only=True)

    keras_class: ClassVar[str] = "Nadam"

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum", "velocity")

    def _momentum_at(self, step: int) -> float:
        exponent = 0.004 * step if self.legacy else step
        return self.beta_1 * (1.0 - 0.5 * 0.96**exponent)

    def coefficients(self, step: int, rate: float, memory: dict[str, float]) -> Coefficients:
        now, following = self._momentum_at(step), self._momentum_at(step + 1)
        before = memory.get("u_product")
        if before is None:
            before = math.prod(self._momentum_at(t) for t in range(1, step))
        product = memory["u_product"] = before * now
        root = math.sqrt(1.0 - self.beta_2**step)
        rate = self.rate_at(step, rate) * root
        of_m, of_g = rate * following / (1.0 - product * following), rate * (1.0 - now) / (1.0 - product)
        scalars = (of_m, of_g, self.beta_1, 1.0 - self.beta_1, self.beta_2, 1.0 - self.beta_2, self.epsilon * root)
        return float32(*scalars)

    def update(self, w: Array, g: Array, slots: Blocks, scratch: Blocks, c: Coefficients) -> None:
        of_m, of_g, beta_1, one_minus_1, beta_2, one_minus_2, epsilon = c
        s, q = scratch
        m, v = slots
        blend(m, g, beta_1, one_minus_1, s)
        blend_square(v, g, beta_2, one_minus_2, s)
        np.multiply(m, of_m, out=s)
        np.multiply(g, of_g, out=q)
        np.add(s, q, out=s)
        np.sqrt(v, out=q)
        np.add(q, epsilon, out=q)
        np.divide(s, q, out=s)
        np.subtract(w, s, out=w)
