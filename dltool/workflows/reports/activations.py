"""``summary --activations --data D``: units that never answer, and answers at the end of their range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.engine.reference import run_forward
from dltool.errors import UsageError
from dltool.modelfile.reading import read
from dltool.settings import SummarySettings
from dltool.workflows.model_data import open_for_model

MOST_ROWS = 512
CHUNK_ROWS = 32
RECTIFIED = ("relu", "relu6")
RANGES = {"sigmoid": (0.0, 1.0), "hard_sigmoid": (0.0, 1.0), "hard_sigmoid_keras2": (0.0, 1.0), "tanh": (-1.0, 1.0)}
EDGE = 0.01
"""So near to an end of its range, as a part of it, a value counts as saturated: a sigmoid's slope there is below a
twenty-fifth of its greatest."""


@dataclass(frozen=True)
class ActivationRow:
    """One layer.

    Attributes:
        units: entries of the last axis.
        dead: part of the units that were 0 or less for every row and place; None where the activation is not rectified.
        saturated: part of all values at an end of their range; None where the range is open.
    """

    name: str
    activation: str
    units: int
    dead: float | None
    saturated: float | None

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def run(settings: SummarySettings) -> tuple[list[ActivationRow], int]:
    """Every layer with an activation that can die or saturate, but the outputs; and the rows that were looked at.

    Up to ``MOST_ROWS`` rows, evenly over the data, in inference.

    Raises:
        UsageError: no data. DataError, ModelFileError: they cannot be read.
    """
    if not settings.data.data:
        raise UsageError("--activations: needs rows to look at; give --data train/")
    saved = read(settings.model, with_state=False)
    dataset = open_for_model(settings.data, saved).train
    rows = np.unique(np.linspace(0, len(dataset) - 1, MOST_ROWS).astype(np.int64))
    graph = saved.model.graph
    watched = {
        index: activation
        for index, node in enumerate(graph.nodes)
        if index not in graph.outputs and (activation := activation_of(node.layer)) in (*RECTIFIED, *RANGES)
    }
    highest: dict[int, np.ndarray] = {}
    edges, values = dict.fromkeys(watched, 0), dict.fromkeys(watched, 0)
    for start in range(0, len(rows), CHUNK_ROWS):
        inputs = dataset.fetch(rows[start : start + CHUNK_ROWS]).inputs
        tape = run_forward(graph, saved.model.weights.views, [np.asarray(x, np.float32) for x in inputs])
        for index, activation in watched.items():
            y = tape.values[index].reshape(-1, tape.values[index].shape[-1])
            top = y.max(axis=0)
            highest[index] = np.maximum(highest[index], top) if index in highest else top
            edges[index] += num_saturated(y, activation)
            values[index] += y.size
    return [
        ActivationRow(
            graph.nodes[index].name,
            activation,
            len(highest[index]),
            float((highest[index] <= 0).mean()) if activation in RECTIFIED else None,
            edges[index] / values[index] if activation in RANGES else None,
        )
        for index, activation in watched.items()
    ], len(rows)


def activation_of(layer: Any) -> str:
    """The name of what makes a layer's output, "" without one."""
    found = getattr(layer, "activation", "relu" if type(layer).__name__ == "ReLU" else "")
    return found if isinstance(found, str) else ""


def num_saturated(values: np.ndarray, activation: str) -> int:
    """How many values are at an end of the activation's range; 0 where it is open."""
    if activation not in RANGES:
        return 0
    low, high = RANGES[activation]
    edge = EDGE * (high - low)
    return int(((values <= low + edge) | (values >= high - edge)).sum())
