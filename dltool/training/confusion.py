"""Counts of true against predicted classes, and what follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Z95 = 1.959963984540054
"""97.5 % quantile of the normal distribution: 95 % lie between -z and z."""


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


@dataclass(frozen=True)
class ClassScore:
    """How well one class is told from the others; 0 where nothing was predicted or nothing is there (as sklearn)."""

    name: str
    precision: float
    recall: float
    f1: float
    n: int


class Confusion:
    """Counts rows by (true class, predicted class) as batches come.

    Attributes:
        counts: (classes, classes) int64, rows true, columns predicted.
    """

    def __init__(self, num_classes: int):
        self.counts = np.zeros((num_classes, num_classes), np.int64)

    def add(self, true: np.ndarray, predicted: np.ndarray) -> None:
        """Count one batch; both (n,) class indices."""
        size = len(self.counts)
        pairs = true.astype(np.int64) * size + predicted
        self.counts += np.bincount(pairs, minlength=size * size).reshape(size, size)

    @property
    def num_rows(self) -> int:
        return int(self.counts.sum())

    @property
    def num_right(self) -> int:
        return int(np.trace(self.counts))

    @property
    def majority(self) -> float:
        """Accuracy of always saying the most frequent class."""
        return int(self.counts.sum(axis=1).max()) / self.num_rows if self.num_rows else 0.0

    def scores(self, names: tuple[str, ...]) -> tuple[ClassScore, ...]:
        """Precision, recall and F1 of every class."""
        true, predicted, right = self.counts.sum(axis=1), self.counts.sum(axis=0), np.diag(self.counts)
        found = []
        for name, t, p, r in zip(names, true.tolist(), predicted.tolist(), right.tolist(), strict=True):
            precision, recall = r / p if p else 0.0, r / t if t else 0.0
            f1 = 2 * r / (t + p) if t + p else 0.0
            found.append(ClassScore(name, precision, recall, f1, t))
        return tuple(found)
