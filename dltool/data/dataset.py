"""Rows that can be fetched in any order: arrays, and parts or joins of data sets (image files: ``image_folder``).

Imports numpy, ``dltool.engine.batch`` and ``dltool.errors``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from dltool.data.arrays import check_finite, engine_dtype, expect_few_rows, sample_digest
from dltool.data.capacity import store_limit
from dltool.data.listing import joined_weights, taken
from dltool.data.shapes import Shape, WantedShape, adapt_rows, shapes_text
from dltool.engine.batch import Batch
from dltool.errors import DataError


class Dataset(Protocol):
    """What the loader, the split and the workflows need of data.

    Attributes:
        input_shapes: shape of one row of each input.
        classes: names in the order of the model's outputs, or None for regression.
        labels: (n,) int64 class indices, (n, steps) int64 for sequences, or (n, ...) float32 targets; of the first
            output where there are several.
        targets: the labels of every output.
        weights: (n,) float32 sample weights, or None for all one.
        groups: (n,) int64, rows with the same number stay together in a split; None when nobody said.
        fingerprint: SHA-256 of the content, independent of paths and times.
    """

    @property
    def input_shapes(self) -> tuple[Shape, ...]: ...
    @property
    def classes(self) -> tuple[str, ...] | None: ...
    @property
    def labels(self) -> np.ndarray: ...
    @property
    def targets(self) -> tuple[np.ndarray, ...]: ...
    @property
    def weights(self) -> np.ndarray | None: ...
    @property
    def groups(self) -> np.ndarray | None: ...
    @property
    def fingerprint(self) -> str: ...

    def __len__(self) -> int: ...

    def fetch(self, rows: np.ndarray) -> Batch:
        """The given rows (int64), in the given order. Raises DataError naming the file. Safe in threads."""
        ...

    def names(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        """What to call rows in messages: "train/cat/1.jpg", "x.npy[17]"."""
        ...

    def is_ready(self, rows: np.ndarray | None = None) -> bool:
        """Whether fetching these rows (None: all) only copies memory, so that no thread need work ahead."""
        ...

    def adapt_to(self, shapes: Sequence[WantedShape]) -> Dataset:
        """The same rows in the shapes a model expects. Raises DataError when only a resize could do that."""
        ...


class ArrayDataset:
    """Rows of arrays.

    uint8 stays uint8 on the way to the engine, everything else becomes float32. Arrays that fit into ``limit`` are
    read into memory, converted and checked once; larger ones stay mapped and are converted and checked row by row.

    Args:
        arrays: one per model input, each (n, ...), often memory maps.
        labels: (n,) int64 classes or (n, ...) float32 targets; a tuple of such arrays for several outputs.
        classes: class names, or None.
        paths: of the arrays, for messages.
        limit: bytes that may be read into memory; None: a quarter of the available memory; 0: few rows will be read.
        weights: (n,) float32, or None.
        numbers: (n,) what to call the rows in messages; None: 0, 1, 2, ...
    """

    def __init__(
        self,
        arrays: Sequence[np.ndarray],
        labels: np.ndarray | tuple[np.ndarray, ...],
        classes: tuple[str, ...] | None,
        paths: Sequence[str],
        limit: int | None = None,
        weights: np.ndarray | None = None,
        numbers: np.ndarray | None = None,
    ):
        self.targets = labels if isinstance(labels, tuple) else (labels,)
        self.labels, self.classes, self.paths = self.targets[0], classes, tuple(paths)
        self.weights, self.groups, self._numbers = weights, None, numbers
        rest = [*self.targets, *([] if weights is None else [weights])]
        self.fingerprint = _digest(
            [*map(sample_digest, arrays), *(hashlib.sha256(_bytes(a)).hexdigest() for a in rest)]
        )
        limit = store_limit() if limit is None else limit
        needed = sum(array.size * engine_dtype(array.dtype).itemsize for array in arrays)
        self._checked = needed <= limit
        if limit == 0:
            expect_few_rows(arrays)
        if self._checked:
            arrays = [load_rows(array, slice(None), path) for array, path in zip(arrays, self.paths, strict=True)]
        self.arrays = tuple(array[:, np.newaxis] if array.ndim == 1 else array for array in arrays)

    def __len__(self) -> int:
        return len(self.arrays[0])

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return tuple(array.shape[1:] for array in self.arrays)

    def fetch(self, rows: np.ndarray) -> Batch:
        if self._checked:
            inputs = tuple(array.take(rows, axis=0) for array in self.arrays)
        else:
            inputs = tuple(load_rows(array, rows, path) for array, path in zip(self.arrays, self.paths, strict=True))
        return Batch(inputs, tuple(target[rows] for target in self.targets), taken(self.weights, rows), rows)

    def names(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        numbers = rows if self._numbers is None else self._numbers[np.asarray(rows, np.int64)]
        return [f"{self.paths[0]}[{int(number)}]" for number in numbers]

    def is_ready(self, rows: np.ndarray | None = None) -> bool:
        return self._checked

    def adapt_to(self, shapes: Sequence[WantedShape]) -> ArrayDataset:
        if len(shapes) != len(self.arrays):
            raise DataError(
                f"{self.paths[0]}: {len(self.arrays)} inputs, the model has {len(shapes)}; give --data for each"
            )
        adapted = ArrayDataset.__new__(ArrayDataset)
        adapted.__dict__.update(self.__dict__)
        adapted.arrays = tuple(map(adapt_rows, self.arrays, shapes, self.paths))
        return adapted


class Subset:
    """Some rows of another data set, counted from 0.

    Args:
        dataset: where the rows are. rows: (n,) int64 positions in it.
    """

    def __init__(self, dataset: Dataset, rows: np.ndarray):
        self.dataset, self.rows = dataset, np.asarray(rows, np.int64)
        self.targets, self.classes = tuple(target[self.rows] for target in dataset.targets), dataset.classes
        self.labels = self.targets[0]
        self.weights, self.groups = taken(dataset.weights, self.rows), taken(dataset.groups, self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return self.dataset.input_shapes

    @property
    def fingerprint(self) -> str:
        return _digest([self.dataset.fingerprint, hashlib.sha256(_bytes(self.rows)).hexdigest()])

    def fetch(self, rows: np.ndarray) -> Batch:
        return replace(self.dataset.fetch(self.rows[rows]), rows=rows)

    def names(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        return self.dataset.names(self.rows[np.asarray(rows, np.int64)])

    def is_ready(self, rows: np.ndarray | None = None) -> bool:
        return self.dataset.is_ready(self.rows if rows is None else self.rows[rows])

    def adapt_to(self, shapes: Sequence[WantedShape]) -> Subset:
        return Subset(self.dataset.adapt_to(shapes), self.rows)


class Concatenated:
    """Several data sets one after the other; they agree in input shapes, dtypes and classes.

    Raises:
        DataError: input shapes or kinds of labels differ.
    """

    def __init__(self, datasets: Sequence[Dataset]):
        first = datasets[0]
        for other in datasets[1:]:
            if other.input_shapes != first.input_shapes or _target_shapes(other) != _target_shapes(first):
                raise DataError(
                    f"{other.names([0])[0]}: rows are {shapes_text(other.input_shapes)}, those of "
                    f"{first.names([0])[0]} are {shapes_text(first.input_shapes)}; "
                    "only data of the same shape and labels can be joined"
                )
        self.datasets, self.classes = tuple(datasets), first.classes
        self.targets = tuple(np.concatenate(parts) for parts in zip(*(d.targets for d in datasets), strict=True))
        self.labels = self.targets[0]
        self.weights = joined_weights([(len(dataset), dataset.weights) for dataset in datasets])
        self.groups = None if any(d.groups is None for d in datasets) else np.concatenate([d.groups for d in datasets])
        self._starts = np.cumsum([0, *map(len, datasets)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return self.datasets[0].input_shapes

    @property
    def fingerprint(self) -> str:
        return _digest([dataset.fingerprint for dataset in self.datasets])

    def fetch(self, rows: np.ndarray) -> Batch:
        pieces = [(place, dataset.fetch(local)) for place, dataset, local in self._located(rows)]
        inputs = []
        for number in range(len(self.input_shapes)):
            parts = [(place, batch.inputs[number]) for place, batch in pieces]
            dtype = np.result_type(*(part.dtype for _, part in parts)) if parts else np.float32
            whole = np.empty((len(rows), *self.input_shapes[number]), dtype)
            for place, part in parts:
                whole[place] = part
            inputs.append(whole)
        return Batch(tuple(inputs), tuple(target[rows] for target in self.targets), taken(self.weights, rows), rows)

    def _located(self, rows: np.ndarray) -> list[tuple[np.ndarray, Dataset, np.ndarray]]:
        """(places in ``rows``, data set, its own rows) of every data set that is asked."""
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        return [
            (place, self.datasets[number], rows[place] - self._starts[number])
            for number in np.unique(owner).tolist()
            for place in [np.flatnonzero(owner == number)]
        ]

    def names(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        rows = np.asarray(rows, np.int64)
        found = [""] * len(rows)
        for place, dataset, local in self._located(rows):
            for position, name in zip(place.tolist(), dataset.names(local), strict=True):
                found[position] = name
        return found

    def is_ready(self, rows: np.ndarray | None = None) -> bool:
        if rows is None:
            return all(dataset.is_ready() for dataset in self.datasets)
        return all(dataset.is_ready(local) for _, dataset, local in self._located(rows))

    def adapt_to(self, shapes: Sequence[WantedShape]) -> Concatenated:
        return Concatenated([dataset.adapt_to(shapes) for dataset in self.datasets])


@dataclass(frozen=True)
class ClassCount:
    name: str
    count: int


def summary_counts(dataset: Dataset) -> list[ClassCount]:
    """Rows per class in the order of the classes, zeros included; empty for regression, and for labels of every step.

    A row with several labels counts for each of them.
    """
    if dataset.classes is None or (dataset.labels.ndim > 1 and dataset.labels.dtype.kind == "i"):
        return []
    if dataset.labels.ndim > 1:
        counts = dataset.labels.sum(axis=0, dtype=np.int64)
    else:
        counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    return [ClassCount(name, count) for name, count in zip(dataset.classes, counts.tolist(), strict=True)]


def _target_shapes(dataset: Dataset) -> list[Shape]:
    return [target.shape[1:] for target in dataset.targets]


def load_rows(array: np.ndarray, rows: np.ndarray | slice, path: str) -> np.ndarray:
    """Rows of an array as the engine wants them, in memory. Raises DataError for NaN and infinity."""
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinity, which is reported
        values = np.array(array[rows], engine_dtype(array.dtype), order="C")
    if array.dtype.kind == "f":
        check_finite(values, path, np.arange(len(array))[rows])
    return values


def _bytes(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
