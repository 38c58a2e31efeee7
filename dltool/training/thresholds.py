"""The probability above which a row is of the second of two classes, chosen on validation rows."""

from __future__ import annotations

import numpy as np


def best_threshold(is_second: np.ndarray, probs: np.ndarray) -> tuple[float, float, float]:
    """The threshold with the highest mean of both classes' F1.

    Args:
        is_second: (n,) bool, whether a row is of the second class. probs: (n,) what the model gives that class.

    Returns:
        The threshold, halfway between two probabilities that were seen, of several the one nearest to 1/2; the mean F1
        there, and at 1/2.
    """
    order = np.argsort(probs, kind="stable")
    values, truth = probs[order].astype(np.float64), is_second[order].astype(np.int64)
    # Cut k: the k lowest rows are called first.
    positives_below = np.concatenate([[0], np.cumsum(truth)])
    below = np.arange(len(truth) + 1)
    scores = _mean_f1(below, positives_below, int(truth.sum()))
    edges = np.concatenate([[0.0], values, [1.0]])
    thresholds = (edges[:-1] + edges[1:]) / 2
    possible = np.concatenate([[True], values[1:] > values[:-1], [True]])
    at_half = float(scores[np.searchsorted(values, 0.5)])
    best = scores[possible].max()
    good = np.flatnonzero(possible & (scores >= best - 1e-12))
    chosen = good[np.abs(thresholds[good] - 0.5).argmin()]
    if at_half >= best - 1e-12:
        return 0.5, at_half, at_half
    return float(thresholds[chosen]), float(scores[chosen]), at_half


def _mean_f1(below: np.ndarray, positives_below: np.ndarray, positives: int) -> np.ndarray:
    """Mean F1 of both classes where ``below`` rows are called first, ``positives_below`` of them wrongly."""
    total = below[-1]
    above, right_above = total - below, positives - positives_below
    right_below = below - positives_below
    second = 2 * right_above / np.maximum(above + positives, 1)
    first = 2 * right_below / np.maximum(below + total - positives, 1)
    return (first + second) / 2
