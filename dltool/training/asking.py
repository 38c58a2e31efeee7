"""Which unlabelled rows a person should label: those that the model doubts most, and far from each other.

Works on arrays only.
"""

from __future__ import annotations

import numpy as np


def margins(probs: np.ndarray) -> np.ndarray:
    """(n,) how far the best class of each row is ahead of the second; 0 is the greatest doubt.

    Args:
        probs: (n, classes), at least two.

    Source: Scheffer, Decomain and Wrobel, Active hidden Markov models for information extraction, 2001.
    """
    second, first = np.partition(probs, -2, axis=1)[:, -2:].T
    return first - second


def most_doubtful(margin: np.ndarray, count: int) -> np.ndarray:
    """(k,) the ``count`` rows of the smallest margin, the smallest first; among equals the earlier row."""
    return np.argsort(margin, kind="stable")[:count]


def unit_length(values: np.ndarray) -> np.ndarray:
    """(n, features) divided by each row's length, in float32; rows of zeros stay."""
    values = np.asarray(values, np.float32)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(lengths > 0, lengths, 1)


def spread(points: np.ndarray, count: int) -> np.ndarray:
    """(k,) rows far from each other, greedily: the first one, then always the one farthest from all chosen so far.

    Every row of ``points`` is then at most twice as far from the nearest chosen one as the best choice of ``count``
    rows could make it. Among equals the earlier row is taken, so that rows may come in the order of their doubt.

    Source: T. F. Gonzalez, Clustering to minimize the maximum intercluster distance, 1985; for choosing what to label:
    Sener and Savarese, Active learning for convolutional neural networks: a core-set approach, 2018.
    """
    points = np.asarray(points, np.float32)
    squares = np.einsum("ij,ij->i", points, points)
    distance = np.full(len(points), np.inf, np.float32)
    chosen = [0]
    while len(chosen) < min(count, len(points)):
        last = chosen[-1]
        nearer = squares + squares[last] - 2 * (points @ points[last])
        distance = np.minimum(distance, np.maximum(nearer, 0))
        distance[last] = -1
        chosen.append(int(distance.argmax()))
    return np.array(chosen[:count], np.int64)
