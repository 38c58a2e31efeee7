"""Which predictions to believe: thresholds per class, the precision to expect, and whether new data look like old.

Everything is judged on labelled rows that the model was not trained on. Works on arrays only: ``predicted`` class,
``confidence`` (its probability) and, for the labelled rows, whether it was ``right``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dltool.errors import UsageError
from dltool.registry import nearest
from dltool.training.confusion import wilson_interval

FEWEST_ROWS = 30
"""Fewer validation rows say nothing about a precision: Wilson's interval of 30 in 30 begins at 0.886."""
CONFIDENCE_EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
MOST_DIVERGENCE = 0.02
"""Jensen-Shannon divergence in bits from which distributions count as different: ten equal classes of which half
have 7 % and half 13 % are 0.017 away."""
Z999 = 3.090232306167813
"""99.9 % quantile of the normal distribution."""


@dataclass(frozen=True)
class Scores:
    """Predictions of some rows.

    Attributes:
        predicted: (n,) int64 most probable class. confidence: (n,) its probability.
    """

    predicted: np.ndarray
    confidence: np.ndarray

    def __len__(self) -> int:
        return len(self.predicted)


@dataclass(frozen=True)
class Precision:
    """How many of the accepted validation rows were right; ``low`` and ``high`` are Wilson's 95 % interval."""

    right: int
    total: int

    @property
    def value(self) -> float | None:
        return self.right / self.total if self.total else None

    def expected(self, prior: float) -> float:
        """The precision to expect, pulled to ``prior`` as if two more rows had been seen that follow it.

        20 right of 20 do not promise 100 %. With prior 1/2 this is Laplace's rule of succession, (k + 1) / (n + 2).
        """
        return (self.right + 2 * prior) / (self.total + 2)

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.right, self.total)


@dataclass(frozen=True)
class Drift:
    """How far the pool is from the validation rows in one respect.

    Attributes:
        what: "predicted classes" or "confidence".
        divergence: Jensen-Shannon, in bits: 0 the same, 1 nothing in common.
        is_significant: chance alone would do this less than once in a thousand times.
    """

    what: str
    divergence: float
    is_significant: bool

    @property
    def is_warned(self) -> bool:
        """Large and not by chance: with many rows every difference is significant, with few every one is large."""
        return self.is_significant and self.divergence >= MOST_DIVERGENCE


def rows_needed(precision: float) -> int:
    """So many validation rows, all of them right, lead one to expect ``precision``: (n + 1) / (n + 2) reaches it."""
    return max(FEWEST_ROWS, math.ceil((2 * precision - 1) / (1 - precision) - 1e-9))


def given_thresholds(text: str, classes: Sequence[str]) -> np.ndarray:
    """(classes,) thresholds from ``0.9`` or ``cat=0.9,dog=0.95``; classes that are not named accept nothing.

    Raises:
        UsageError: an unknown class, or no probability.
    """
    if "=" not in text:
        return np.full(len(classes), _probability(text))
    found = np.full(len(classes), np.inf)
    for part in text.split(","):
        name, _, value = part.rpartition("=")
        if name not in classes:
            close = nearest(name, list(classes))
            advice = f"did you mean {close!r}?" if close else f"the classes are {', '.join(classes)}"
            raise UsageError(f"--threshold: {part!r} names no class; {advice}")
        found[classes.index(name)] = _probability(value)
    return found


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise UsageError(f"--threshold: {text!r} is not a probability; give a number from 0 to 1")
    return value


def find_thresholds(scores: Scores, right: np.ndarray, num_classes: int, precision: float) -> np.ndarray:
    """(classes,) the lowest confidence from which the validation rows predicted as a class reach ``precision``.

    A class with too few such rows to tell (``rows_needed``) takes the threshold of all classes together, unless its few
    rows from there upward speak against it (Wilson's 95 % interval ends below ``precision``). Infinity where no
    confidence is enough.
    """
    together = lowest_threshold(scores.confidence, right, precision)
    found = np.full(num_classes, together)
    for number in range(num_classes):
        mine = scores.predicted == number
        passed = right[mine & (scores.confidence >= together)]
        if mine.sum() >= rows_needed(precision) or wilson_interval(int(passed.sum()), len(passed))[1] < precision:
            found[number] = lowest_threshold(scores.confidence[mine], right[mine], precision)
    return found


def lowest_threshold(confidence: np.ndarray, right: np.ndarray, precision: float) -> float:
    """The lowest confidence of a row such that ``precision`` is to be expected of the rows from it upward.

    With k of n right (k + 1) / (n + 2) is expected: the plain share is too hopeful, the more so because the best of
    many thresholds is taken.
    """
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence = confidence[order]
    expected = (np.cumsum(right[order]) + 1) / (np.arange(len(order)) + 3)
    ends = np.append(sorted_confidence[1:] != sorted_confidence[:-1], True)  # equal rows are accepted together
    good = np.flatnonzero(ends & (expected >= precision))
    return float(sorted_confidence[good[-1]]) if good.size else math.inf


def accepted(scores: Scores, thresholds: np.ndarray, most: int | None = None) -> np.ndarray:
    """(k,) rows whose confidence reaches their class's threshold, in rising order.

    Args:
        most: rows per class at most; the most confident ones are kept.
    """
    rows = np.flatnonzero(scores.confidence >= thresholds[scores.predicted])
    if most is None:
        return rows
    kept = []
    for number in range(len(thresholds)):
        mine = rows[scores.predicted[rows] == number]
        kept.append(mine[np.argsort(-scores.confidence[mine], kind="stable")[:most]])
    return np.sort(np.concatenate(kept))


def precisions(scores: Scores, right: np.ndarray, thresholds: np.ndarray) -> list[Precision]:
    """What the thresholds let through of the validation rows, class by class."""
    rows = accepted(scores, thresholds)
    totals = np.bincount(scores.predicted[rows], minlength=len(thresholds)).tolist()
    rights = np.bincount(scores.predicted[rows][right[rows]], minlength=len(thresholds)).tolist()
    return [Precision(r, t) for r, t in zip(rights, totals, strict=True)]


def together(found: Sequence[Precision]) -> Precision:
    """All classes' accepted validation rows as one."""
    return Precision(sum(p.right for p in found), sum(p.total for p in found))


def drifts(validation: Scores, pool: Scores, num_classes: int) -> list[Drift]:
    """The pool against the validation rows, in predicted classes and in confidence."""
    classes = [np.bincount(s.predicted, minlength=num_classes) for s in (validation, pool)]
    bins = [
        np.bincount(np.digitize(s.confidence, CONFIDENCE_EDGES), minlength=len(CONFIDENCE_EDGES) + 1)
        for s in (validation, pool)
    ]
    return [drift("predicted classes", *classes), drift("confidence", *bins)]


def drift(what: str, first: np.ndarray, second: np.ndarray) -> Drift:
    """Compare two histograms (counts)."""
    return Drift(what, jensen_shannon(first, second), differ(first, second))


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> float:
    """The divergence in bits, 0..1, of two histograms: the mean Kullback-Leibler divergence to their average.

    Source: J. Lin, Divergence measures based on the Shannon entropy, 1991.
    """
    p, q = first / first.sum(), second / second.sum()
    middle = (p + q) / 2
    total = 0.0
    for part in (p, q):
        some = part > 0
        total += float((part[some] * np.log2(part[some] / middle[some])).sum()) / 2
    return max(total, 0.0)


def differ(first: np.ndarray, second: np.ndarray) -> bool:
    """The chi-square test of two histograms at one in a thousand.

    The quantile is Wilson and Hilferty's approximation (1931), within 1 % from 2 degrees of freedom up.
    """
    counts = np.stack([first, second]).astype(np.float64)
    counts = counts[:, counts.sum(axis=0) > 0]
    degrees = counts.shape[1] - 1
    if degrees < 1:
        return False
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    statistic = float((np.square(counts - expected) / expected).sum())
    spread = 2 / (9 * degrees)
    return statistic > degrees * (1 - spread + Z999 * math.sqrt(spread)) ** 3
