"""Optimizers: tiny rules on 1-D blocks, and the walk over the flat parameter vector. Imports numpy only.

A rule changes a block of weights and its slots (running averages) in place from a block of gradients, with two scratch
blocks and without allocating. All scalars of a step (bias corrections, schedules) are folded into a few float32
``coefficients`` beforehand: float32 scalars keep numpy from converting blocks. Everything is elementwise with correctly
rounded operations, so the bits do not depend on how the vector is cut among blocks and lanes.

The formulas are Keras 3's; with ``legacy`` those of tf.keras <= 2.10 where they differ. Slots hold exactly Keras's
numbers, so states interchange with its files. (Storing Adam's slots divided by (1 - beta) would save two of twelve
passes, 11 to 14 % of its update as measured with 11 and 0.67 million weights; but every reader and writer of states
would have to convert.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from dltool.errors import UsageError
from dltool.registry import Registry

Array = np.ndarray
Blocks = tuple[np.ndarray, ...]
Coefficients = tuple[np.float32, ...]

OPTIMIZERS: Registry[type[Optimizer]] = Registry("optimizer")

# Entries of Keras configs that dltool accepts with these values only, because they then change nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "use_ema": (False, None),
    "loss_scale_factor": (None,),
    "gradient_accumulation_steps": (None, 1),
}
_IGNORED = ("name", "ema_momentum", "ema_overwrite_frequency", "jit_compile", "is_legacy_optimizer")


@dataclass(frozen=True)
class Optimizer:
    """Base of all optimizers; the fields are the Keras config.

    Weight decay and clipping are done by whoever walks the vector (``stepping``), before
    ``update``.

    Attributes:
        learning_rate: the rate before any schedule.
        weight_decay: fraction per unit of rate: ``w -= weight_decay * rate * w`` before the step.
        clipnorm, clipvalue, global_clipnorm: limits, see ``stepping.clip_gradients``.
        decay: Keras 2's time decay: the rate at step t is ``rate / (1 + decay * (t - 1))``.
        legacy: use the arithmetic of tf.keras <= 2.10 where it differs (RMSprop, Nadam).
        keras_class: Keras's class name.
    """

    learning_rate: float = 0.001
    weight_decay: float | None = field(default=None, kw_only=True)
    clipnorm: float | None = field(default=None, kw_only=True)
    clipvalue: float | None = field(default=None, kw_only=True)
    global_clipnorm: float | None = field(default=None, kw_only=True)
    decay: float = field(default=0.0, kw_only=True)
    legacy: bool = field(default=False, kw_only=True)

    keras_class: ClassVar[str] = ""

    def __post_init__(self) -> None:
        _check(self, "learning_rate", lambda v: v >= 0 and math.isfinite(v), "a number from 0")
        for name in ("clipnorm", "clipvalue", "global_clipnorm"):
            _check(self, name, lambda v: v is None or v > 0, "a number above 0")
        _check(self, "weight_decay", lambda v: v is None or v >= 0, "a number from 0")
        for name in ("decay", "epsilon", "initial_accumulator_value"):
            _check(self, name, lambda v: v >= 0, "a number from 0")
        for name in ("beta_1", "beta_2", "rho"):
            _check(self, name, lambda v: 0 <= v < 1, "a number from 0 to below 1")
        _check(self, "momentum", lambda v: 0 <= v <= 1, "a number from 0 to 1")

    @property
    def name(self) -> str:
        """The name in the registry."""
        return OPTIMIZERS.canonical(self.keras_class)

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the running averages, as Keras names them; one number per weight each."""
        raise NotImplementedError(type(self).__name__)

    def slot_start(self, slot: str) -> float:
        """What a slot is filled with before the first step."""
        return 0.0

    def rate_at(self, step: int, rate: float) -> float:
        """The learning rate of a step (counted from 1) after the old time decay."""
        return rate / (1.0 + self.decay * (step - 1)) if self.decay else rate

    def coefficients(self, step: int, rate: float, memory: dict[str, float]) -> Coefficients:
        """All scalars of one step.

        Args:
            step: counted from 1.
            rate: the learning rate after the schedule and a span's multiplier, before ``decay``.
            memory: scalars that live from step to step, changed in place; call once per step (``step_coefficients``
                does when spans have several rates).
        """
        raise NotImplementedError(type(self).__name__)

    def update(self, w: Array, g: Array, slots: Blocks, scratch: Blocks, c: Coefficients) -> None:
        """One step on equally long 1-D blocks, in place; ``g`` is only read, the scratch blocks are overwritten."""
        raise NotImplementedError(type(self).__name__)

    def config(self) -> dict[str, Any]:
        """The fields by Keras's names (``legacy`` and ``decay`` are dltool's way to keep Keras 2's arithmetic)."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


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
        return _float32(*scalars)

    def update(self, w: Array, g: Array, slots: Blocks, scratch: Blocks, c: Coefficients) -> None:
        rate, rho, one_minus_rho, epsilon, momentum = c
        s, q = scratch
        v = slots[0]
        _average_square(v, g, rho, one_minus_rho, s)
        if self.centered:
            average = slots[-1]
            _average(average, g, rho, one_minus_rho, s)
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
        return _float32(self.rate_at(step, rate), self.epsilon)

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
        return _float32(self.rate_at(step, rate), self.rho, 1.0 - self.rho, self.epsilon)

    def update(self, w: Array, g: Array, slots: Blocks, scratch: Blocks, c: Coefficients) -> None:
        rate, rho, one_minus_rho, epsilon = c
        s, q = scratch
        a, d = slots
        _average_square(a, g, rho, one_minus_rho, s)
        np.add(a, epsilon, out=s)
        np.add(d, epsilon, out=q)
        np.divide(q, s, out=q)
        np.sqrt(q, out=q)
        np.multiply(q, g, out=q)
        _average_square(d, q, rho, one_minus_rho, s)
        np.multiply(q, rate, out=q)
        np.subtract(w, q, out=w)


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
        return _float32(corrected, self.beta_1, 1.0 - self.beta_1, self.beta_2, 1.0 - self.beta_2, self.epsilon)

    def update(self, w: Array, g: Array, slots: Blocks, scratch: Blocks, c: Coefficients) -> None:
        rate, beta_1, one_minus_1, beta_2, one_minus_2, epsilon = c
        s, _ = scratch
        m, v = slots[:2]
        _average(m, g, beta_1, one_minus_1, s)
        _average_square(v, g, beta_2, one_minus_2, s)
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
        return _float32(corrected, self.beta_1, 1.0 - self.beta_1, self.beta_2, self.epsilon)

    def update(self, w: Array, g: Array, slots: Blocks, scratch: Blocks, c: Coefficients) -> None:
        rate, beta_1, one_minus_1, beta_2, epsilon = c
        s, _ = scratch
        m, u = slots
        _average(m, g, beta_1, one_minus_1, s)
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
        return _float32(*scalars)

    def update(self, w: Array, g: Array, slots: Blocks, scratch: Blocks, c: Coefficients) -> None:
        of_m, of_g, beta_1, one_minus_1, beta_2, one_minus_2, epsilon = c
        s, q = scratch
        m, v = slots
        _average(m, g, beta_1, one_minus_1, s)
        _average_square(v, g, beta_2, one_minus_2, s)
        np.multiply(m, of_m, out=s)
        np.multiply(g, of_g, out=q)
        np.add(s, q, out=s)
        np.sqrt(v, out=q)
        np.add(q, epsilon, out=q)
        np.divide(s, q, out=s)
        np.subtract(w, s, out=w)


def optimizer(value: str | dict | Optimizer) -> Optimizer:
    """An optimizer from its name, its Keras config or itself.

    Args:
        value: ``"adam"``, ``{"class_name": "Adam", "config": {"learning_rate": 0.01}}``, or an Optimizer.

    Raises:
        UnknownNameError: no such optimizer.
        UsageError: the config has an entry that is not supported; the message names it.
    """
    if isinstance(value, Optimizer):
        return value
    if isinstance(value, str):
        return OPTIMIZERS.get(value)()
    cls = OPTIMIZERS.get(value["class_name"])
    known = {f.name for f in fields(cls)}
    arguments = {}
    for key, entry in (value.get("config") or {}).items():
        if isinstance(entry, dict):
            kind = entry.get("class_name")
            raise UsageError(f"optimizer {cls.keras_class}: {key} {kind!r} is not supported; give a number")
        if key in known:
            arguments[key] = entry
        elif key in _NEUTRAL and entry not in _NEUTRAL[key]:
            raise UsageError(f"optimizer {cls.keras_class}: {key}={entry!r} is not supported; leave it out")
        elif key not in _NEUTRAL and key not in _IGNORED:
            raise UsageError(f"optimizer {cls.keras_class}: has no option {key!r}; it has {', '.join(sorted(known))}")
    return cls(**arguments)


def _float32(*scalars: float) -> Coefficients:
    return tuple(np.float32(value) for value in scalars)


def _average(m: Array, x: Array, keep: np.float32, take: np.float32, s: Array) -> None:
    """m = keep*m + take*x, in place; s is scratch."""
    np.multiply(x, take, out=s)
    np.multiply(m, keep, out=m)
    np.add(m, s, out=m)


def _average_square(v: Array, x: Array, keep: np.float32, take: np.float32, s: Array) -> None:
    """v = keep*v + take*x^2, in place; s is scratch."""
    np.multiply(x, x, out=s)
    np.multiply(s, take, out=s)
    np.multiply(v, keep, out=v)
    np.add(v, s, out=v)


def _check(optimizer: Optimizer, name: str, valid: Any, wanted: str) -> None:
    if hasattr(optimizer, name) and not valid(value := getattr(optimizer, name)):
        raise UsageError(f"optimizer {optimizer.name}: {name} is {value!r}; give {wanted}")
