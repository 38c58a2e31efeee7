"""What the frozen part of a network gives for every row, computed once, so that the head alone is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dltool.data.dataset import Dataset
from dltool.data.loader import Loader
from dltool.engine.batch import Batch
from dltool.engine.executor import Executor
from dltool.engine.model import Model
from dltool.training.loop import predict


@dataclass(frozen=True)
class Features:
    """A data set whose inputs are a base network's outputs.

    Attributes:
        values: (n, ...) float32. labels: (n, ...) as the source's. weights: (n,) or None.
        source: the rows that they were computed from, for names in messages.
    """

    values: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None
    source: Dataset

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        return (self.values.shape[1:],)

    @property
    def classes(self) -> tuple[str, ...] | None:
        return self.source.classes

    @property
    def targets(self) -> tuple[np.ndarray, ...]:
        return (self.labels,)

    @property
    def groups(self) -> np.ndarray | None:
        return self.source.groups

    @property
    def fingerprint(self) -> str:
        return self.source.fingerprint

    def __len__(self) -> int:
        return len(self.values)

    def fetch(self, rows: np.ndarray) -> Batch:
        weights = None if self.weights is None else self.weights[rows]
        return Batch((self.values.take(rows, axis=0),), (self.labels[rows],), weights, rows)

    def names(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        return self.source.names(rows)

    def is_ready(self, rows: np.ndarray | None = None) -> bool:
        return True


def num_bytes(num_rows: int, shape: tuple[int, ...]) -> int:
    """What the features of so many rows take."""
    return 4 * num_rows * math.prod(shape)


def size_text(size: int) -> str:
    """``960 B``, ``3.8 kB``, ``2.0 MB``, ``1.2 GB``."""
    if size < 1000:
        return f"{size} B"
    power = next((power for power in (1, 2) if size < 999.95 * 1000**power), 3)
    return f"{size / 1000**power:,.1f} {' kMG'[power]}B"


def features_of(
    model: Model,
    parts: Sequence[tuple[Dataset, np.ndarray]],
    batch_size: int,
    jobs: int | None,
    backend: str,
    tell: Callable[[int, int], None],
) -> list[Features]:
    """The model's output for every row of every data set, as data sets in the same order of rows.

    Args:
        parts: each data set with the array (n, ...) float32 that is filled.
        tell: called with the rows done and all rows after each batch.
    """
    total, before, found = sum(len(dataset) for dataset, _ in parts), 0, []
    size = max(1, min(batch_size, max(len(dataset) for dataset, _ in parts)))
    with Executor(model, batch_size=size, jobs=jobs, backend=backend) as executor:
        for dataset, values in parts:
            found.append(
                _features(executor, dataset, values, size, lambda done, start=before: tell(start + done, total))
            )
            before += len(dataset)
    return found


def _features(
    executor: Executor, dataset: Dataset, values: np.ndarray, size: int, tell: Callable[[int], None]
) -> Features:
    weights = None
    done = 0
    with Loader(dataset, size, shuffle=False) as loader:
        for batch, outputs in predict(executor, loader.epoch(0)):
            rows = slice(done, done + len(batch))
            values[rows] = outputs[0]
            if batch.weights is not None:
                weights = np.ones(len(dataset), np.float32) if weights is None else weights
                weights[rows] = batch.weights
            done += len(batch)
            tell(done)
    return Features(values, dataset.labels, weights, dataset)
