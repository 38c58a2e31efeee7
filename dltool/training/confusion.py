"""Counts of true against predicted classes, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dltool.training.measures import Measure, proportion, wilson_interval, with_influences

__all__ = ["ClassScore", "Confusion", "scores_of", "wilson_interval"]


@dataclass(frozen=True)
class ClassScore:
    """How well one class is told from the others; 0 where nothing was predicted or nothing is there (as sklearn).

    ``f_beta`` is ``f1`` with recall counting ``beta`` times as much as precision; ``n`` the rows of the class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    n: int
    f_beta: float = 0.0


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
    def accuracy(self) -> Measure:
        return proportion(self.num_right, self.num_rows)

    @property
    def majority(self) -> float:
        """Accuracy of always saying the most frequent class."""
        return int(self.counts.sum(axis=1).max()) / self.num_rows if self.num_rows else 0.0

    def f_scores(self, beta: float = 1.0) -> np.ndarray:
        """(classes,) float64: ``(1 + beta^2) right / (beta^2 true + predicted)``, 0 for a class that never occurs."""
        return _f_scores(self.counts, beta)

    def macro_f(self, beta: float = 1.0) -> Measure:
        """The plain mean of the F scores of all classes that occur in the data or the predictions.

        Source for the interval: Takahashi, Yamamoto, Kuchiba and Koyama, Confidence interval for micro-averaged F1 and
        macro-averaged F1 scores, 2022 (the delta method; here for any beta).
        """
        counts, square = self.counts, beta * beta
        weight = square * counts.sum(axis=1) + counts.sum(axis=0)
        occurs = weight > 0
        if not occurs.any():
            return Measure(0.0)
        f = self.f_scores(beta)
        share = np.divide(1.0, weight * occurs.sum(), out=np.zeros(len(f)), where=occurs)
        # What one row of a cell adds to the mean: its part as a true, as a predicted and as a right one.
        influence = -(square * f * share)[:, None] - (f * share)[None, :]
        influence[np.diag_indices(len(f))] += (1 + square) * share
        rows = np.sqrt(counts) * influence
        return with_influences(float(f[occurs].mean()), rows, 0.0, 1.0)

    def scores(self, names: tuple[str, ...], beta: float = 1.0) -> tuple[ClassScore, ...]:
        """Precision, recall and F of every class."""
        true, predicted, right = self.counts.sum(axis=1), self.counts.sum(axis=0), np.diag(self.counts)
        return scores_of(names, true, predicted, right, beta)


def scores_of(
    names: tuple[str, ...], true: np.ndarray, predicted: np.ndarray, right: np.ndarray, beta: float
) -> tuple[ClassScore, ...]:
    """One score per class from (classes,) counts: rows of the class, rows given to it, rows given to it rightly."""
    found, square = [], beta * beta
    for name, t, p, r in zip(names, true.tolist(), predicted.tolist(), right.tolist(), strict=True):
        precision, recall = r / p if p else 0.0, r / t if t else 0.0
        f1 = 2 * r / (t + p) if t + p else 0.0
        f_beta = (1 + square) * r / (square * t + p) if t + p else 0.0
        found.append(ClassScore(name, precision, recall, f1, t, f_beta))
    return tuple(found)


def _f_scores(counts: np.ndarray, beta: float) -> np.ndarray:
    square = beta * beta
    weight = square * counts.sum(axis=1) + counts.sum(axis=0)
    return np.divide((1 + square) * np.diag(counts), weight, out=np.zeros(len(counts)), where=weight > 0)
