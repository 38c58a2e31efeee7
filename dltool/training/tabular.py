"""Scaling for tables: a Normalization layer adapted to the training rows, targets scaled back at the end.

Columns of a table come in any unit; networks learn from numbers near 0 with a spread near 1. The scaling is part of
the network, so that nobody needs to repeat it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from dltool.engine.graph import Graph, Node
from dltool.engine.layers import Normalization, Rescaling
from dltool.engine.model import Model

LAYER_NAME, SCALING_NAME = "normalization", "target_scale"
CHUNK_ROWS = 4096
RESOLUTION = 1e-7
"""A column whose deviation is below this part of its mean is constant: float32 resolves 6e-8."""

Chunks = Callable[[], Iterator[np.ndarray]]


def with_normalization(graph: Graph) -> Graph:
    """The graph with a Normalization layer after its one input."""
    (start,) = graph.inputs
    added = start + 1

    def moved(index: int) -> int:
        return index + 1 if index >= added else index

    nodes = [*graph.nodes[:added], Node(Normalization(name=LAYER_NAME), (start,))]
    for node in graph.nodes[added:]:
        nodes.append(replace(node, inputs=tuple(added if i == start else moved(i) for i in node.inputs)))
    return Graph(tuple(nodes), tuple(moved(o) for o in graph.outputs), graph.name)


def with_scaled_output(graph: Graph, targets: np.ndarray) -> Graph:
    """The graph with its one output scaled and shifted to the mean and deviation of ``targets`` (n, ..., units)."""
    starts, columns = range(0, len(targets), CHUNK_ROWS), targets.shape[-1]
    mean, deviation = moments(lambda: (targets[start : start + CHUNK_ROWS].reshape(-1, columns) for start in starts))
    scaling = Rescaling(tuple(deviation.tolist()), tuple(mean.tolist()), name=SCALING_NAME)
    return Graph((*graph.nodes, Node(scaling, graph.outputs)), (len(graph.nodes),), graph.name)


def adapt(model: Model, chunks: Chunks, count: int) -> None:
    """Set the weights of the layer that ``with_normalization`` added.

    Args:
        chunks: gives the rows anew at each call, as arrays (rows, columns).
        count: number of rows, which Keras stores too.
    """
    mean, deviation = moments(chunks)
    values = (mean, deviation**2, count)
    for view, value in zip(model.weights.views[LAYER_NAME], values, strict=True):
        view[...] = value


def moments(chunks: Chunks) -> tuple[np.ndarray, np.ndarray]:
    """(columns,) mean and standard deviation in float64, in two passes; 1 for a constant column.

    Keras leaves the deviation of a constant column at 0 and divides by 1e-7: one other value then is a million.
    """
    total, count = 0.0, 0
    for rows in chunks():
        total = total + rows.sum(axis=0, dtype=np.float64)
        count += len(rows)
    mean = np.asarray(total) / count
    squares = sum(np.square(rows - mean).sum(axis=0) for rows in chunks())
    deviation = np.sqrt(squares / count)
    return mean, np.where(deviation <= RESOLUTION * np.abs(mean), 1.0, deviation)
