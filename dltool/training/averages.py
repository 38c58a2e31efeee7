"""Averages over samples, not over batches, at little cost per step."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

from dltool.engine.batch import Batch
from dltool.training.objective import Objective

GROUP_BYTES = 256 * 1024
GROUP_ROWS = 4096
MOST_BYTES = 1 << 30
"""No group that was saved is larger; a batch of outputs never comes near it."""


class Averages:
    """The running loss and metrics of an epoch.

    Outputs and targets are gathered, and the metrics see them in groups of up to 256 kB: one update costs 20 to 60 us
    of Python and NumPy calls whatever its size, and a step of a small network takes only 1.7 ms. Where a group ends
    depends on the batches only, so that the sums, which are rounded, do not depend on who looks at them and when.
    Metrics are not weighted by class or sample weights (Keras's ``metrics``).
    """

    def __init__(self, objective: Objective):
        self.objective = objective
        self._targets: list[np.ndarray] = []
        self._predictions: list[np.ndarray] = []
        self._room = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything; for the begin of an epoch."""
        self.total, self.count, self._filled = 0.0, 0, 0
        for metric in self.objective.all_metrics:
            metric.reset()

    def add(
        self, loss: float, batch: Batch, predictions: tuple[np.ndarray, ...], masks: tuple[np.ndarray | None, ...] = ()
    ) -> None:
        """Count a batch with its loss (already a mean over its rows) and copy what the metrics need.

        Where an output has a mask, the metrics see the positions that count, at once.
        """
        rows, targets = len(batch), batch.targets if batch.judged is None else batch.judged
        self.total += loss * rows
        self.count += rows
        if not self.objective.all_metrics:
            return
        if any(mask is not None for mask in masks):
            self._add_masked(targets, predictions, masks)
            return
        if self._filled + rows > self._room:
            self._flush()
            if rows > self._room:
                self._make_room(rows, targets, predictions)
        place = slice(self._filled, self._filled + rows)
        for kept, array in zip(self._targets, targets, strict=True):
            kept[place] = array
        for kept, array in zip(self._predictions, predictions, strict=True):
            kept[place] = array
        self._filled += rows
        if self._filled + rows > self._room:  # nothing more fits: do not keep (and save) what is large
            self._flush()

    def _add_masked(
        self,
        targets: tuple[np.ndarray, ...],
        predictions: tuple[np.ndarray, ...],
        masks: tuple[np.ndarray | None, ...],
    ) -> None:
        for metrics, target, output, mask in zip(self.objective.metrics, targets, predictions, masks, strict=True):
            counts = np.ones(len(output), bool) if mask is None else mask
            for metric in metrics if counts.any() else ():
                metric.update(target[counts], output[counts])

    def _make_room(self, rows: int, targets: tuple[np.ndarray, ...], predictions: tuple[np.ndarray, ...]) -> None:
        row_bytes = sum(a.nbytes for a in (*targets, *predictions)) // rows
        self._room = max(rows, min(GROUP_ROWS, GROUP_BYTES // max(row_bytes, 1)))
        self._targets = [np.empty((self._room, *a.shape[1:]), a.dtype) for a in targets]
        self._predictions = [np.empty((self._room, *a.shape[1:]), a.dtype) for a in predictions]

    def _flush(self) -> None:
        """Let the metrics see what was gathered."""
        if not self._filled:
            return
        groups = zip(self.objective.metrics, self._targets, self._predictions, strict=True)
        for metrics, targets, predictions in groups:
            for metric in metrics:
                metric.update(targets[: self._filled], predictions[: self._filled])
        self._filled = 0

    def results(self) -> dict[str, float]:
        """``loss`` first, then the metrics by their names; {} before the first batch. Changes nothing."""
        if not self.count:
            return {}
        before, filled = [metric.state() for metric in self.objective.all_metrics], self._filled
        self._flush()
        values = [metric.result() for metric in self.objective.all_metrics]
        for metric, state in zip(self.objective.all_metrics, before, strict=True):
            metric.restore(state)
        self._filled = filled
        return {"loss": self.total / self.count, **dict(zip(self.objective.metric_names, values, strict=True))}

    def state(self) -> dict[str, Any]:
        """All of it as values that JSON can hold, exactly; at most about 400 kB."""
        gathered = [_packed(array[: self._filled]) for array in (*self._targets, *self._predictions)]
        metrics = [metric.state() for metric in self.objective.all_metrics]
        sums = {"total": self.total, "count": self.count, "metrics": metrics}
        return {**sums, "room": self._room, "filled": self._filled, "gathered": gathered}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave.

        Raises:
            ValueError, TypeError, LookupError: it did not give that.
        """
        self.total, self.count = float(state["total"]), state["count"]
        for metric, sums in zip(self.objective.all_metrics, state["metrics"], strict=True):
            metric.restore(sums)
        self._room, self._filled = state["room"], state["filled"]
        if type(self._room) is not int or type(self._filled) is not int or not 0 <= self._filled <= self._room:
            raise ValueError(f"{self._filled} rows in a room of {self._room}")
        arrays = [_unpacked(packed, self._filled, self._room) for packed in state["gathered"]]
        half = len(arrays) // 2
        self._targets, self._predictions = arrays[:half], arrays[half:]
        if len(self._targets) != len(self._predictions) or bool(arrays) != bool(self._room):
            raise ValueError(f"{len(arrays)} arrays in a room of {self._room}")

    @property
    def gathered(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Targets and outputs that the metrics have not seen yet, for each output of the model."""
        pairs = zip(self._targets, self._predictions, strict=True)
        return [(targets[: self._filled], outputs[: self._filled]) for targets, outputs in pairs]


def _packed(array: np.ndarray) -> dict[str, Any]:
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
    return {"dtype": array.dtype.str, "shape": list(array.shape[1:]), "data": data}


def _unpacked(packed: dict[str, Any], filled: int, room: int) -> np.ndarray:
    """The array with room for more rows behind its own. Raises ValueError when sizes contradict each other."""
    values = np.frombuffer(base64.b64decode(packed["data"]), np.dtype(packed["dtype"]))
    rows = values.reshape(filled, *packed["shape"])
    row_bytes = max(rows.dtype.itemsize * math.prod(rows.shape[1:]), 1)
    if room * row_bytes > MOST_BYTES:
        raise ValueError(f"a room of {room} rows")
    array = np.empty((room, *rows.shape[1:]), rows.dtype)
    array[:filled] = rows
    return array
