"""The learning-rate range test: raise the rate at every batch, watch the loss, and read a good rate off the curve.

It is ``loop.train`` with a callback and a snapshot. Afterwards everything is as before, bit for bit.
Source: L. N. Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.errors import DivergedError, ShortError
from dltool.training.callbacks import Callback
from dltool.training.loop import Loader, train
from dltool.training.objective import Objective
from dltool.training.run import Run

SMOOTHING = 0.9
"""Weight of the past in the smoothed loss. A longer memory shifts the curve to higher rates: at 0.98, which is often
used, by 50 of 100 steps, which are four decades."""
DIVERGED = 4.0
"""The sweep ends when the smoothed loss is so many times its best."""
FEWEST_STEPS = 10
QUIET_PART = 0.2
"""The first part of the sweep, whose rates are too small to change the loss: it shows how much batches differ."""

UNSETTLED_PART = 0.1
"""So much of the curve is left out at its start, where the average is of a few batches only."""


@dataclass(frozen=True)
class RangeTest:
    """What a sweep measured, one entry per step.

    Attributes:
        rates: rising learning rates, as far as the sweep came.
        losses: each batch's loss. smoothed: their moving average.
        diverged: the rate at which the sweep was ended early; None when the loss stayed bounded.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    diverged: float | None = None


@dataclass(frozen=True)
class Suggestions:
    """Learning rates read off the curve.

    Attributes:
        valley: halfway, on the logarithmic scale, from the middle of the loss's fall to ``min10``.
        steepest: where the loss falls fastest.
        min10: a tenth of the rate with the lowest loss.
    """

    valley: float
    steepest: float
    min10: float


class Sweep(Callback):
    """Gives every step its own rate and notes the loss; stops after the last rate or when the loss has run away."""

    def __init__(self, rates: Sequence[float]):
        self.rates = tuple(rates)
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self.diverged: float | None = None
        self._sum = 0.0

    def batch_begin(self, run: Run) -> None:
        run.learning_rate = self.rates[len(self.losses)]

    def batch_end(self, run: Run) -> None:
        self.losses.append(run.batch_loss)
        self._sum = SMOOTHING * self._sum + (1 - SMOOTHING) * run.batch_loss
        # Without the correction the average would start at zero and take its memory's length to come up.
        self.smoothed.append(self._sum / (1 - SMOOTHING ** len(self.losses)))
        best = min(self.smoothed)
        if len(self.losses) == len(self.rates):
            run.stop = "all rates were tried"
        elif best > 0 and self.smoothed[-1] > DIVERGED * best:
            self.diverged = run.learning_rate
            run.stop = "the loss diverged"


def sweep_rates(low: float, high: float, steps: int) -> np.ndarray:
    """(steps,) float64 rates from ``low`` to ``high``, each the same factor above the one before."""
    return np.geomspace(low, high, steps)


def range_test(
    executor: Any, loader: Loader, objective: Objective, run: Run, rates: Sequence[float], also: Sequence[Callback] = ()
) -> RangeTest:
    """Train one step at each rate and put everything back.

    Args:
        executor: with an optimizer; its weights and slots are where the sweep starts.
        run: counts on from its epoch and step; takes as many epochs as there are rates.
        also: callbacks that watch.
    """
    sweep = Sweep(rates)
    run.epochs = run.epoch + -(-len(rates) // len(loader))
    with unchanged(executor):
        try:
            train(executor, loader, objective, run, [sweep, *also])
        except DivergedError:  # what the sweep is looking for, not a failure
            sweep.diverged = sweep.diverged or run.learning_rate
    tried = np.asarray(sweep.rates[: len(sweep.losses)])
    return RangeTest(tried, np.asarray(sweep.losses), np.asarray(sweep.smoothed), sweep.diverged)


@contextmanager
def unchanged(executor: Any) -> Iterator[None]:
    """Weights, statistics, optimizer slots and the optimizer's scalars come back at the end, whatever happened."""
    vector = executor.model.weights.vector
    weights, memory = vector.copy(), dict(executor.memory)
    slots = {name: slot.copy() for name, slot in executor.slots.items()}
    try:
        yield
    finally:
        vector[...] = weights
        for name, slot in executor.slots.items():
            slot[...] = slots[name]
        executor.memory.clear()
        executor.memory.update(memory)


def suggest(test: RangeTest) -> Suggestions:
    """Read the three rates off the smoothed curve, up to its minimum.

    Raises:
        ShortError: the loss ran away at once, or fell by no more than batches differ anyway.
    """
    losses, rates = test.smoothed, test.rates
    if len(losses) < FEWEST_STEPS:
        raise ShortError(
            f"lr-find: no usable range: the loss ran away after {len(losses)} steps, at rate "
            f"{test.diverged or rates[-1]:.1e}; give a smaller --min"
        )
    quiet = test.losses[: max(FEWEST_STEPS // 2, round(QUIET_PART * len(losses)))]
    first = round(UNSETTLED_PART * len(losses))
    start, lowest = float(quiet.mean()), first + int(losses[first:].argmin())
    if not start - losses[lowest] > max(float(quiet.std()), 1e-6 * abs(start)):
        raise ShortError(
            f"lr-find: no usable range: the loss falls from {start:.4g} to {losses[lowest]:.4g} only, no more than "
            "batches differ; is the model trained already, or frozen? Try a larger --max or --batch-size"
        )
    first = max(min(first, lowest - 1), 0)
    falling = losses[first : lowest + 1]
    logs = np.log(rates[first : lowest + 1])
    steepest = int(np.gradient(falling, logs).argmin()) if len(falling) > 1 else 0
    min10 = float(rates[lowest]) / 10
    return Suggestions(valley(falling, logs, min10), float(rates[first + steepest]), min10)


def valley(losses: np.ndarray, logs: np.ndarray, min10: float) -> float:
    """The geometric mean of ``min10`` and of the rate in the middle of the fall.

    That middle is the mean of the logarithms of the rates, each weighted by how far the loss fell there for the first
    time; it moves little from seed to seed. It alone is too careful: the first half of the fall is often no more than
    the output layer that finds the frequencies of the classes, and batch normalisation bears ten times as much. A tenth
    of the minimum's rate alone is too bold for networks without it, because a sweep passes a rate at which they would
    break down after an epoch. The two err to opposite sides.

    Deviation: fastai's "valley" is a place in the longest fall of the curve. It changed fourfold with the seed.

    Args:
        losses: (steps,) smoothed, up to the minimum. logs: (steps,) the logarithms of their rates.
    """
    falls = -np.diff(np.minimum.accumulate(losses))
    middle = np.average((logs[1:] + logs[:-1]) / 2, weights=falls) if falls.any() else logs[0]
    return float(np.exp((middle + np.log(min10)) / 2))
