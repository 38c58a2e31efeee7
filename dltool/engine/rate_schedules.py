"""Learning-rate schedules inside an optimizer, with Keras's own options: they come out of model files and go back.

The schedules of the command line (``schedules``) are made for one run; these count the optimizer's steps over all runs,
so that training goes on where it was. Imports the errors and the registry only.
Source: keras/src/optimizers/schedules/learning_rate_schedule.py of Keras 3.15.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from dltool.errors import UsageError
from dltool.registry import Registry

RATE_SCHEDULES: Registry[type[RateSchedule]] = Registry("learning-rate schedule")


@dataclass(frozen=True)
class RateSchedule:
    """Base: the fields are the Keras config without ``name``. ``rates``: those that are learning rates."""

    rates: ClassVar[tuple[str, ...]] = ("initial_learning_rate",)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if "steps" in field.name and field.name != "warmup_steps" and not value > 0:
                raise UsageError(f"{type(self).__name__}: {field.name} is {value}; give a number above 0")
        if not 0 < self.peak < math.inf:
            raise UsageError(f"{type(self).__name__}: its rate is {self.peak}; give a number above 0")

    @property
    def peak(self) -> float:
        """The rate that stands for the whole, which other rates are shares of."""
        return float(self.initial_learning_rate)

    def after(self, done: int) -> float:
        """The rate when ``done`` steps are done."""
        raise NotImplementedError(type(self).__name__)

    def scaled(self, factor: float) -> RateSchedule:
        """The same curve with all rates times ``factor``."""
        changed = {name: value for name in self.rates if (value := getattr(self, name)) is not None}
        return replace(
            self,
            **{
                name: tuple(factor * v for v in value) if isinstance(value, tuple) else factor * value
                for name, value in changed.items()
            },
        )

    def config(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@RATE_SCHEDULES.register("PiecewiseConstantDecay")
@dataclass(frozen=True)
class PiecewiseConstantDecay(RateSchedule):
    """``values[0]`` up to and with step ``boundaries[0]``, counted from 0, then ``values[1]``, and so on."""

    boundaries: tuple[float, ...]
    values: tuple[float, ...]

    rates: ClassVar[tuple[str, ...]] = ("values",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "boundaries", tuple(self.boundaries))
        object.__setattr__(self, "values", tuple(map(float, self.values)))
        if len(self.values) != len(self.boundaries) + 1 or list(self.boundaries) != sorted(self.boundaries):
            raise UsageError("PiecewiseConstantDecay: needs rising boundaries and one value more than boundaries")
        super().__post_init__()

    @property
    def peak(self) -> float:
        return max(self.values)

    def after(self, done: int) -> float:
        return self.values[bisect_left(self.boundaries, done)]


@RATE_SCHEDULES.register("ExponentialDecay")
@dataclass(frozen=True)
class ExponentialDecay(RateSchedule):
    """``rate * decay_rate ^ (t / decay_steps)``; with ``staircase`` the exponent is a whole number."""

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False

    def after(self, done: int) -> float:
        time = done / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (math.floor(time) if self.staircase else time)


@RATE_SCHEDULES.register("InverseTimeDecay")
@dataclass(frozen=True)
class InverseTimeDecay(RateSchedule):
    """``rate / (1 + decay_rate * t / decay_steps)``; with ``staircase`` of whole t / decay_steps."""

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False

    def after(self, done: int) -> float:
        time = done / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * (math.floor(time) if self.staircase else time))


@RATE_SCHEDULES.register("PolynomialDecay")
@dataclass(frozen=True)
class PolynomialDecay(RateSchedule):
    """``(rate - end) * (1 - t / decay_steps)^power + end``; with ``cycle`` over longer times, so that it never ends."""

    initial_learning_rate: float
    decay_steps: float
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False

    rates: ClassVar[tuple[str, ...]] = ("initial_learning_rate", "end_learning_rate")

    def after(self, done: int) -> float:
        over = self.decay_steps
        if self.cycle:
            over *= max(1, math.ceil(done / over))
        left = 1 - min(done, over) / over
        return (self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate


@RATE_SCHEDULES.register("CosineDecay")
@dataclass(frozen=True)
class CosineDecay(RateSchedule):
    """Half a cosine from the rate to ``alpha`` of it; before it maybe a straight rise to ``warmup_target``."""

    initial_learning_rate: float
    decay_steps: float
    alpha: float = 0.0
    warmup_target: float | None = None
    warmup_steps: float = 0

    rates: ClassVar[tuple[str, ...]] = ("initial_learning_rate", "warmup_target")

    @property
    def peak(self) -> float:
        return float(self.initial_learning_rate if self.warmup_target is None else self.warmup_target)

    def after(self, done: int) -> float:
        warmup = 0 if self.warmup_target is None else self.warmup_steps
        if done < warmup:
            return self.initial_learning_rate + (self.peak - self.initial_learning_rate) * done / warmup
        return self.peak * down(min(done - warmup, self.decay_steps) / self.decay_steps, self.alpha)


@RATE_SCHEDULES.register("CosineDecayRestarts")
@dataclass(frozen=True)
class CosineDecayRestarts(RateSchedule):
    """Half cosines one after the other, each ``t_mul`` times as long and starting ``m_mul`` times as high."""

    initial_learning_rate: float
    first_decay_steps: float
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.t_mul < 1:
            raise UsageError(f"CosineDecayRestarts: t_mul is {self.t_mul}; give a number from 1")

    def after(self, done: int) -> float:
        restarts, part = self.place(done / self.first_decay_steps)
        return self.initial_learning_rate * down(part, self.alpha, self.m_mul**restarts)

    def place(self, time: float) -> tuple[int, float]:
        """How many restarts there were at a time in units of the first cosine, and the share of the current one."""
        if self.t_mul == 1:
            return math.floor(time), time % 1
        restarts = math.floor(math.log1p(time * (self.t_mul - 1)) / math.log(self.t_mul))
        length = self.t_mul**restarts
        part = (time - (length - 1) / (self.t_mul - 1)) / length
        return (restarts, max(part, 0.0)) if part < 1 - 1e-9 else (restarts + 1, 0.0)


def down(part: float, lowest: float, top: float = 1.0) -> float:
    """Half a cosine from ``top`` to 0, squeezed to end at ``lowest``."""
    return (1 - lowest) * top * (1 + math.cos(math.pi * part)) / 2 + lowest


def rate_schedule(value: dict[str, Any] | RateSchedule | None) -> RateSchedule | None:
    """A schedule from its Keras config. Raises UsageError, and UnknownNameError for another class."""
    if value is None or isinstance(value, RateSchedule):
        return value
    cls = RATE_SCHEDULES.get(value["class_name"])
    config = {key: entry for key, entry in value["config"].items() if key != "name"}
    unknown = set(config) - {field.name for field in fields(cls)}
    if unknown:
        raise UsageError(f"{cls.__name__}: has no option {min(unknown)!r}")
    return cls(**config)
