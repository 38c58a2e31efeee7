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


def grouped_split(labels: np.ndarray, groups: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Hold out whole groups, near a share of every class.

    The groups are looked at in an order drawn at random; one is held out when that brings the held-out share of the
    classes nearer to ``fraction``, measured by the squared differences. At least one group is held out and one is not.

    Args:
        labels: as for ``stratified_split``. groups: (n,) integers, of two or more different values.

    Returns:
        (training rows, validation rows), each int64 and in rising order.
    """
    numbers, place = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(numbers), 0))
    for _, rows in _groups(labels):
        share = np.bincount(place[rows], minlength=len(numbers)) / len(rows)
        counts = np.column_stack([counts, share])
    held, share = np.zeros(len(numbers), bool), np.zeros(counts.shape[1])
    order = generator(seed, "groups", 0).permutation(len(numbers))
    for group in order if fraction > 0 else ():
        if np.square(share + counts[group] - fraction).sum() < np.square(share - fraction).sum():
            held[group] = True
            share += counts[group]
    if fraction > 0 and not held.any():
        held[order[np.square(counts[order] - fraction).sum(axis=1).argmin()]] = True
    if held.all():
        held[order[-1]] = False
    return np.flatnonzero(~held[place]), np.flatnonzero(held[place])


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
