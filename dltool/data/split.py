"""Which rows train and which validate. Imports numpy and ``dltool.engine.streams``."""

from __future__ import annotations

import numpy as np

from dltool.engine.streams import generator


def stratified_split(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Hold out a share of every class, drawn at random.

    A class of n rows gives round(fraction * n) of them (halves up), at least one when n >= 2 and never all.
    Regression targets are drawn from all rows alike. A class's draw depends on the seed and its number only, so other
    classes do not change it.

    Args:
        labels: (n,) integer classes, or float targets of any shape. fraction: 0..1; 0 holds out nothing.

    Returns:
        (training rows, validation rows), each int64 and in rising order.
    """
    held_out = np.zeros(len(labels), bool)
    if fraction > 0:
        for number, rows in _groups(labels):
            count = min(max(_rounded(fraction * len(rows)), 1), len(rows) - 1)
            held_out[generator(seed, "split", number).permutation(rows)[:count]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def limit_rows(labels: np.ndarray, limit: int, seed: int = 0) -> np.ndarray:
    """At most ``limit`` rows with the classes in their proportions, drawn at random, in rising order.

    Every class gives the whole part of its share; what rounding leaves over goes to the largest remainders.
    """
    if limit >= len(labels):
        return np.arange(len(labels))
    groups = _groups(labels)
    shares = np.array([len(rows) * limit / len(labels) for _, rows in groups])
    counts = np.floor(shares).astype(np.int64)
    order = np.argsort(counts - shares, kind="stable")
    counts[order[: limit - counts.sum()]] += 1
    drawn = [
        generator(seed, "limit", number).permutation(rows)[:count]
        for (number, rows), count in zip(groups, counts.tolist(), strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def _groups(labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """(class, its rows); one group for regression targets."""
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        return [(0, np.arange(len(labels)))]
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    return list(zip(present.tolist(), np.split(order, starts[1:]), strict=True))


def _rounded(value: float) -> int:
    return int(value + 0.5)
