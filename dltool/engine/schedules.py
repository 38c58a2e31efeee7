"""Learning-rate schedules: the rate of every optimizer step. Imports the errors and the registry only.

A schedule is called with the step, counted from 1 over one training run, and answers the learning rate. It keeps no
state, so a run that is resumed at some step goes on with the same rates. ``plateau`` alone depends on what was
measured: its rates are those of ``training.scheduling``, and the class here only holds its options.

Times are numbers of steps here. People write them in epochs, or in steps as ``500steps``; ``make_schedule`` converts.
The formulas are those of ``keras.optimizers.schedules`` (Keras 3.15), whose steps count from 0.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from dltool.errors import UsageError
from dltool.registry import Registry, nearest

SCHEDULES: Registry[type[Schedule]] = Registry("schedule")

RUN = "run"
"""As a default duration: all steps of the run."""

_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)\s*(epochs?|steps?)?")


@dataclass(frozen=True)
class Schedule:
    """Base of all schedules.

    Attributes:
        learning_rate: the rate at the first step, or the highest of those that rise first.
        durations: fields that are times, each with what it is when not said: "1" (epochs), or ``RUN``.
    """

    learning_rate: float

    durations: ClassVar[dict[str, str]] = {}

    def __call__(self, step: int) -> float:
        """The learning rate of ``step``, counted from 1."""
        return self.after(step - 1)

    def after(self, done: float) -> float:
        """The rate when ``done`` steps are done."""
        raise NotImplementedError(type(self).__name__)

    def momentum_after(self, done: float) -> float | None:
        """The momentum when ``done`` steps are done; None for the optimizer's own."""
        return None

    def _check(self, name: str, good: bool, wanted: str) -> None:
        if not good:
            raise UsageError(f"--schedule: {name} is {getattr(self, name):g}; give {wanted}")


@SCHEDULES.register("constant")
@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate at every step."""

    def after(self, done: float) -> float:
        return self.learning_rate


@SCHEDULES.register("time")
@dataclass(frozen=True)
class TimeDecay(Schedule):
    """``rate / (1 + decay * t)``, t in units of ``every``. Keras: InverseTimeDecay; ``every=1steps``: the old decay."""

    decay: float = 0.1
    every: float = 1.0

    durations: ClassVar[dict[str, str]] = {"every": "1"}

    def __post_init__(self) -> None:
        self._check("decay", self.decay >= 0, "a number from 0")

    def after(self, done: float) -> float:
        return self.learning_rate / (1.0 + self.decay * done / self.every)


@SCHEDULES.register("step")
@dataclass(frozen=True)
class StepDecay(Schedule):
    """``rate * drop ^ floor(t)``, t in units of ``every``. Keras: ExponentialDecay with staircase."""

    drop: float = 0.5
    every: float = 1.0

    durations: ClassVar[dict[str, str]] = {"every": "10"}

    def __post_init__(self) -> None:
        self._check("drop", 0 < self.drop <= 1, "a number above 0, at most 1")

    def after(self, done: float) -> float:
        return self.learning_rate * self.drop ** math.floor(done / self.every)


@SCHEDULES.register("exp", "exponential")
@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """``rate * decay ^ t``, t in units of ``every``. Keras: ExponentialDecay."""

    decay: float = 0.95
    every: float = 1.0

    durations: ClassVar[dict[str, str]] = {"every": "1"}

    def __post_init__(self) -> None:
        self._check("decay", 0 < self.decay <= 1, "a number above 0, at most 1")

    def after(self, done: float) -> float:
        return self.learning_rate * self.decay ** (done / self.every)


@SCHEDULES.register("poly", "polynomial")
@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """``(rate - min) * (1 - t)^power + min``, t from 0 to 1 over ``over``. Keras: PolynomialDecay."""

    power: float = 1.0
    min: float = 0.0
    over: float = 1.0

    durations: ClassVar[dict[str, str]] = {"over": RUN}

    def __post_init__(self) -> None:
        self._check("power", self.power > 0, "a number above 0")
        self._check("min", 0 <= self.min <= self.learning_rate, f"at most the rate of {self.learning_rate:g}")

    def after(self, done: float) -> float:
        left = 1.0 - min(done, self.over) / self.over
        return (self.learning_rate - self.min) * left**self.power + self.min


@SCHEDULES.register("cosine")
@dataclass(frozen=True)
class CosineDecay(Schedule):
    """``min + (rate - min) * (1 + cos(pi * t)) / 2``, t from 0 to 1 over ``over``. Keras: CosineDecay.

    Source: Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2017, equation 5.
    """

    min: float = 0.0
    over: float = 1.0

    durations: ClassVar[dict[str, str]] = {"over": RUN}

    def __post_init__(self) -> None:
        self._check("min", 0 <= self.min <= self.learning_rate, f"at most the rate of {self.learning_rate:g}")

    def after(self, done: float) -> float:
        wave = (1.0 + math.cos(math.pi * min(done, self.over) / self.over)) / 2.0
        return self.min + (self.learning_rate - self.min) * wave


@SCHEDULES.register("1cycle", "onecycle")
@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to the rate and down to almost nothing, along half cosines, while the momentum goes down and up.

    The first ``rise`` of ``over`` leads from rate / ``start`` to the rate, the rest to rate / ``start`` / ``end``;
    momentum goes from ``high`` to ``low`` and back where the optimizer has one (beta_1 for the Adam family). Source:
    Smith and Topin, Super-convergence, 2018; the numbers are those of ``torch.optim.lr_scheduler.OneCycleLR`` (2.13).
    """

    rise: float = 0.3
    start: float = 25.0
    end: float = 1e4
    low: float = 0.85
    high: float = 0.95
    over: float = 1.0

    durations: ClassVar[dict[str, str]] = {"over": RUN}

    def __post_init__(self) -> None:
        self._check("rise", 0 < self.rise < 1, "a part between 0 and 1")
        self._check("start", self.start >= 1, "a number from 1")
        self._check("end", self.end >= 1, "a number from 1")
        self._check("low", 0 <= self.low < 1, "a number from 0 to below 1")
        self._check("high", 0 <= self.high < 1, "a number from 0 to below 1")

    def after(self, done: float) -> float:
        first = self.learning_rate / self.start
        return self._between(done, first, self.learning_rate, first / self.end)

    def momentum_after(self, done: float) -> float | None:
        return self._between(done, self.high, self.low, self.high)

    def _between(self, done: float, first: float, top: float, last: float) -> float:
        """From ``first`` to ``top``, which is reached at the last step of the rise, to ``last`` at the last step."""
        turn, end = self.rise * self.over - 1, self.over - 1
        if done <= turn:
            return _wave(first, top, done / turn)
        return _wave(top, last, min(1.0, (done - turn) / (end - turn)) if end > turn else 1.0)


@SCHEDULES.register("sgdr")
@dataclass(frozen=True)
class WarmRestarts(Schedule):
    """Half cosines from the rate to ``min``, one after the other; each is ``cycle_mult`` times as long as the last.

    Source: Loshchilov and Hutter, SGDR, 2017, section 3; torch: CosineAnnealingWarmRestarts.
    """

    min: float = 0.0
    cycle_mult: float = 2.0
    cycle_len: float = 1.0

    durations: ClassVar[dict[str, str]] = {"cycle_len": "1"}

    def __post_init__(self) -> None:
        self._check("min", 0 <= self.min <= self.learning_rate, f"at most the rate of {self.learning_rate:g}")
        self._check("cycle_mult", self.cycle_mult >= 1, "a number from 1")

    def after(self, done: float) -> float:
        length = self.cycle_len
        if self.cycle_mult == 1:
            done %= length
        while done >= length:
            done, length = done - length, length * self.cycle_mult
        return _wave(self.learning_rate, self.min, done / length)


@SCHEDULES.register("flat-cosine")
@dataclass(frozen=True)
class FlatCosine(Schedule):
    """The rate for the part ``flat`` of ``over``, then half a cosine down to ``min``."""

    flat: float = 0.7
    min: float = 0.0
    over: float = 1.0

    durations: ClassVar[dict[str, str]] = {"over": RUN}

    def __post_init__(self) -> None:
        self._check("flat", 0 <= self.flat < 1, "a part from 0 to below 1")
        self._check("min", 0 <= self.min <= self.learning_rate, f"at most the rate of {self.learning_rate:g}")

    def after(self, done: float) -> float:
        start = self.flat * self.over
        part = (min(done, self.over) - start) / (self.over - start)
        return _wave(self.learning_rate, self.min, max(0.0, part))


def _wave(first: float, last: float, part: float) -> float:
    """From ``first`` to ``last`` along half a cosine; ``part`` from 0 to 1."""
    return last + (first - last) * (1.0 + math.cos(math.pi * part)) / 2.0


@SCHEDULES.register("plateau")
@dataclass(frozen=True)
class Plateau(Constant):
    """``factor`` times the rate when the monitor has not improved for ``patience`` epochs, down to ``min``.

    Keras: the callback ReduceLROnPlateau, with its defaults. ``min_delta`` is the least change that is an improvement;
    after a reduction ``cooldown`` epochs pass before it counts again.
    """

    factor: float = 0.1
    patience: int = 10
    min: float = 0.0
    min_delta: float = 1e-4
    cooldown: int = 0

    def __post_init__(self) -> None:
        self._check("factor", 0 < self.factor < 1, "a number between 0 and 1")
        self._check("min", 0 <= self.min <= self.learning_rate, f"at most the rate of {self.learning_rate:g}")
        self._check("min_delta", self.min_delta >= 0, "a number from 0")
        for name, least in (("patience", 1), ("cooldown", 0)):
            value = getattr(self, name)
            self._check(name, value >= least and value == int(value), f"a whole number from {least} up")


@dataclass(frozen=True)
class WarmedUp(Schedule):
    """``schedule`` after ``steps`` steps in which the rate rises linearly to its first one.

    The first step has rate / steps, not 0 as in Keras's ``warmup_steps``: a step at rate 0 would be lost.
    Source: Goyal et al., Accurate, large minibatch SGD: training ImageNet in 1 hour, 2017, section 2.2.
    """

    schedule: Schedule
    steps: int

    def after(self, done: float) -> float:
        if done < self.steps:
            return self.schedule.after(0) * (done + 1) / self.steps
        return self.schedule.after(done - self.steps)

    def momentum_after(self, done: float) -> float | None:
        return self.schedule.momentum_after(max(0.0, done - self.steps))


def make_schedule(
    name: str, options: dict[str, Any], learning_rate: float, steps_per_epoch: int, num_steps: int, warmup: str = ""
) -> Schedule:
    """The schedule of a run.

    Args:
        options: by name; times as epochs (``10``) or text (``"500steps"``).
        num_steps: of the whole run.
        warmup: a time, or "" for none; the schedule itself begins after it.

    Raises:
        UsageError: an unknown option, a value out of range, or a time that is none.
    """
    cls = SCHEDULES.get(name)
    known = [f.name for f in fields(cls) if f.name != "learning_rate"]
    for key, value in options.items():
        if key not in known:
            close = nearest(key, known)
            advice = f"did you mean {close!r}?" if close else f"it has {', '.join(known) or 'no options'}"
            raise UsageError(f"--schedule: {name} has no option {key!r}; {advice}")
        if key not in cls.durations and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise UsageError(f"--schedule: {key} is {value!r}; give a number")
    warm = round(steps_of(warmup, steps_per_epoch, "--warmup")) if warmup else 0
    if warm >= num_steps:
        raise UsageError(f"--warmup: {warm:,} steps, but the run has {num_steps:,}; give less, or more --epochs")
    times = {}
    for key, usual in cls.durations.items():
        text = str(options.get(key, usual))
        times[key] = num_steps - warm if text == RUN else steps_of(text, steps_per_epoch, f"--schedule: {key}")
    schedule = cls(learning_rate, **{**options, **times})
    return WarmedUp(learning_rate, schedule, warm) if warm else schedule


def steps_of(text: str, steps_per_epoch: int, source: str) -> float:
    """The number of steps in ``"2"`` or ``"2 epochs"``, ``"0.5"``, ``"500steps"``.

    Args:
        source: the option, for the message.

    Raises:
        UsageError: anything else, or no time at all.
    """
    found = _DURATION.fullmatch(text.strip())
    amount = float(found[1]) if found else 0.0
    if not amount or not math.isfinite(amount):
        raise UsageError(f"{source}: {text!r} is no time; give epochs as 2, or steps as 500steps")
    return amount if (found[2] or "").startswith("step") else amount * steps_per_epoch
