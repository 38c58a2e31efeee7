"""Two models on the same rows: is one better, or is it chance?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dltool.training.measures import Z95, Measure, mean

LEVEL = 0.05
"""Differences less likely than this under chance are called real."""


@dataclass(frozen=True)
class McNemar:
    """Rows on which exactly one of two models is right.

    Attributes:
        only_first, only_second: how many rows only the one gets right.
        num_rows: all rows.
    """

    only_first: int
    only_second: int
    num_rows: int

    @property
    def p_exact(self) -> float:
        """Two-sided: the chance of a split at least as uneven if either were as likely to win a row."""
        return min(1.0, 2 * self._tail())

    @property
    def p_mid(self) -> float:
        """The exact p with the split itself counted half: nearer to the nominal level, less timid.

        Source: Fagerland, Lydersen and Laake, The McNemar test for binary matched-pairs data: mid-p and asymptotic are
        better than exact conditional, 2013.
        """
        fewer = min(self.only_first, self.only_second)
        return min(1.0, 2 * self._tail() - binomial_half(self.only_first + self.only_second, fewer))

    def _tail(self) -> float:
        split = self.only_first + self.only_second
        return math.fsum(binomial_half(split, k) for k in range(min(self.only_first, self.only_second) + 1))

    @property
    def difference(self) -> Measure:
        """Accuracy of the second minus that of the first, with the paired normal interval."""
        gain, split, n = self.only_second - self.only_first, self.only_first + self.only_second, self.num_rows
        error = Z95 * math.sqrt(max(split - gain * gain / n, 0.0)) / n
        return Measure(gain / n, gain / n - error, gain / n + error)


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> McNemar:
    """From (n,) bool: which rows each model gets right."""
    return McNemar(int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum()), len(first_right))


def binomial_half(n: int, k: int) -> float:
    """The chance of ``k`` heads in ``n`` fair throws."""
    if n <= 1000:
        return math.comb(n, k) / 2**n
    # exp(lgamma) loses some digits but does not build numbers of thousands of bits for each term
    return math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2))


@dataclass(frozen=True)
class PairedMeans:
    """A number per row under two models, smaller being better: the mean difference, second minus first."""

    difference: Measure
    p: float


def paired_means(first: np.ndarray, second: np.ndarray) -> PairedMeans:
    """The paired z test on (n,) numbers."""
    gain = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    spread = float(gain.std()) / math.sqrt(len(gain))
    value = mean(gain)
    return PairedMeans(value, math.erfc(abs(value.value) / spread / math.sqrt(2)) if spread else 1.0)
