"""Measured values with their 95 % intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Z95 = 1.959963984540054
"""97.5 % quantile of the normal distribution: 95 % lie between -z and z."""


@dataclass(frozen=True)
class Measure:
    """A measured value; ``low`` and ``high`` are its 95 % interval where one is known."""

    value: float
    low: float | None = None
    high: float | None = None


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a proportion, good for few trials and near 0 and 1 too; (0, 1) without trials.

    ``(p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)``.
    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    if not trials:
        return 0.0, 1.0
    p, square = successes / trials, Z95 * Z95 / trials
    center = p + square / 2
    half = math.sqrt(square * (p * (1 - p) + square / 4))
    return max(0.0, (center - half) / (1 + square)), min(1.0, (center + half) / (1 + square))


def proportion(successes: int, trials: int) -> Measure:
    """Successes per trial with Wilson's interval."""
    return Measure(successes / trials if trials else 0.0, *wilson_interval(successes, trials))


def mean(values: np.ndarray, low: float = -math.inf, high: float = math.inf) -> Measure:
    """The mean of (n,) values, with the normal interval of their standard error cut to ``low`` .. ``high``."""
    center = float(np.mean(values, dtype=np.float64))
    influences = (np.asarray(values, np.float64) - center) / len(values)
    return with_influences(center, influences, low, high)


def with_influences(value: float, influences: np.ndarray, low: float = -math.inf, high: float = math.inf) -> Measure:
    """A statistic with the interval that the rows' influences on it give.

    Args:
        influences: (n,) how far each row pulls the statistic; their sum of squares is about its variance (the delta
            method). Where they all are 0 (every row right) the method says nothing, and there is no interval.
        low, high: the statistic's own bounds.
    """
    error = Z95 * math.sqrt(float(np.square(influences).sum()))
    if not error or not math.isfinite(error):
        return Measure(value)
    return Measure(value, max(low, value - error), min(high, value + error))
