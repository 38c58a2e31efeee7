"""What all optimizers are, and what their rules share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from dltool.engine.rate_schedules import RATE_SCHEDULES, RateSchedule, rate_schedule
from dltool.errors import UsageError
from dltool.registry import Registry

Array = np.ndarray

Blocks = tuple[np.ndarray, ...]

Coefficients = tuple[np.float32, ...]

OPTIMIZERS: Registry[type[Optimizer]] = Registry("optimizer")

# Entries of Keras configs that dltool accepts with these values only, because they then change nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "loss_scale_factor": (None,),
    "gradient_accumulation_steps": (None, 1),
}

_IGNORED = ("name", "jit_compile", "is_legacy_optimizer")


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
        schedule: how the rate goes with the steps of all runs; shares of its peak multiply the rate.
        use_ema: keep a moving average of the weights, ``ema_momentum`` of it and the rest of the new weights after
            every step; every ``ema_overwrite_frequency`` steps the weights become the average. As in Keras 3 the
            average starts at the weights after step 1. Deviation: the end of a training does not overwrite the
            weights, because the best epoch's are kept; ask for that with a frequency.
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
    schedule: RateSchedule | None = field(default=None, kw_only=True)
    use_ema: bool = field(default=False, kw_only=True)
    ema_momentum: float = field(default=0.99, kw_only=True)
    ema_overwrite_frequency: int | None = field(default=None, kw_only=True)

    keras_class: ClassVar[str] = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", rate_schedule(self.schedule))
        object.__setattr__(self, "use_ema", bool(self.use_ema))
        _check(self, "ema_momentum", lambda v: 0 <= v <= 1, "a number from 0 to 1")
        _check(self, "ema_overwrite_frequency", lambda v: v is None or v >= 1, "a number of steps from 1")
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

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of all that is kept from step to step, one number per weight each: slots and moving average."""
        return (*self.slots, "average") if self.use_ema else self.slots

    def averaging(self, step: int) -> tuple[float, bool]:
        """How much of the moving average stays at a step, and whether the weights then become the average."""
        often = self.ema_overwrite_frequency
        return (self.ema_momentum if step > 1 else 0.0), bool(often) and step % often == 0

    def slot_start(self, slot: str) -> float:
        """What a slot is filled with before the first step."""
        return 0.0

    def rate_at(self, step: int, rate: float) -> float:
        """The learning rate of a step (counted from 1) after the optimizer's own schedule or old time decay."""
        if self.schedule is not None:
            return rate * self.schedule.after(step - 1) / self.schedule.peak
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
        """The fields by Keras's names (``legacy`` and ``decay`` are dltool's way to keep Keras 2's arithmetic).

        Without those of the moving average and the schedule where there is none.
        """
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        unused = () if self.use_ema else ("use_ema", "ema_momentum", "ema_overwrite_frequency")
        unused += () if self.schedule is not None else ("schedule",)
        found = {key: value for key, value in found.items() if key not in unused}
        if self.schedule is not None:
            found["schedule"] = {"class_name": type(self.schedule).__name__, "config": self.schedule.config()}
        return found


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
        if key == "learning_rate" and isinstance(entry, dict) and entry.get("class_name") in RATE_SCHEDULES:
            arguments["schedule"] = rate_schedule(entry)
            arguments["learning_rate"] = arguments["schedule"].peak
        elif key == "schedule":
            arguments[key] = entry
        elif isinstance(entry, dict):
            kind = entry.get("class_name")
            raise UsageError(f"optimizer {cls.keras_class}: {key} {kind!r} is not supported; give a number")
        elif key in known:
            arguments[key] = entry
        elif key in _NEUTRAL and entry not in _NEUTRAL[key]:
            raise UsageError(f"optimizer {cls.keras_class}: {key}={entry!r} is not supported; leave it out")
        elif key not in _NEUTRAL and key not in _IGNORED:
            raise UsageError(f"optimizer {cls.keras_class}: has no option {key!r}; it has {', '.join(sorted(known))}")
    return cls(**arguments)


def float32(*scalars: float) -> Coefficients:
    return tuple(np.float32(value) for value in scalars)


def blend(m: Array, x: Array, keep: np.float32, take: np.float32, s: Array) -> None:
    """m = keep*m + take*x, in place; s is scratch."""
    np.multiply(x, take, out=s)
    np.multiply(m, keep, out=m)
    np.add(m, s, out=m)


def blend_square(v: Array, x: Array, keep: np.float32, take: np.float32, s: Array) -> None:
    """v = keep*v + take*x^2, in place; s is scratch."""
    np.multiply(x, x, out=s)
    np.multiply(s, take, out=s)
    np.multiply(v, keep, out=v)
    np.add(v, s, out=v)


def _check(optimizer: Optimizer, name: str, valid: Any, wanted: str) -> None:
    if hasattr(optimizer, name) and not valid(value := getattr(optimizer, name)):
        raise UsageError(f"optimizer {optimizer.name}: {name} is {value!r}; give {wanted}")
