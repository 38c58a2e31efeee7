"""How well scores order the rows: the area under the ROC curve, and top-k hits."""

from __future__ import annotations

import math

import numpy as np

from dltool.training.measures import Measure, with_influences


def roc_auc(truth: np.ndarray, scores: np.ndarray) -> Measure | None:
    """The area under the ROC curve of each column, averaged over the columns that have both kinds of rows.

    Args:
        truth: (n, classes) bool. scores: (n, classes), larger for more likely.

    Returns:
        None when no column has both kinds of rows. The interval is DeLong's; for several columns their rows'
        influences are averaged too.

    Source: DeLong, DeLong and Clarke-Pearson, Comparing the areas under two or more correlated receiver operating
    characteristic curves, 1988.
    """
    areas, total = [], np.zeros(len(truth))
    for column in range(truth.shape[1]):
        found = column_auc(truth[:, column], scores[:, column])
        if found is not None:
            areas.append(found[0])
            total += found[1]
    if not areas:
        return None
    return with_influences(sum(areas) / len(areas), total / len(areas), 0.0, 1.0)


def column_auc(truth: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray] | None:
    """The chance that a true row scores above a false one (ties count half), and each row's influence on it (n,)."""
    positive, negative = np.flatnonzero(truth), np.flatnonzero(~truth)
    if not positive.size or not negative.size:
        return None
    ranks = midranks(scores)
    above = (ranks[positive] - midranks(scores[positive])) / negative.size
    below = 1 - (ranks[negative] - midranks(scores[negative])) / positive.size
    area = float(above.mean())
    influences = np.zeros(len(scores))
    for rows, part in ((positive, above), (negative, below)):
        if rows.size > 1:
            influences[rows] = (part - area) / math.sqrt(rows.size * (rows.size - 1))
    return area, influences


def midranks(values: np.ndarray) -> np.ndarray:
    """(n,) float64 ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[place.reshape(-1)]


def in_top(true: np.ndarray, probs: np.ndarray, k: int) -> np.ndarray:
    """(n,) bool: the right class is among the ``k`` most probable; of equal ones the first come first, as in predict.

    Args:
        true: (n,) class indices. probs: (n, classes).
    """
    right = np.take_along_axis(probs, true[:, None], axis=1)
    earlier = np.arange(probs.shape[1])[None, :] < true[:, None]
    ahead = (probs > right) | ((probs == right) & earlier)
    return ahead.sum(axis=1) < k
