"""Windows of a time series as rows: the values of some steps as input, those that follow as targets.

A row is a view of the series until it is fetched, so that a long series is never copied as a whole. Imports numpy,
``dltool.engine.batch`` and ``dltool.errors``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from dltool.data.arrays import sample_digest
from dltool.data.capacity import store_limit
from dltool.data.dataset import load_rows
from dltool.data.named_arrays import rows_of
from dltool.data.shapes import Shape, WantedShape, matches, shapes_text
from dltool.engine.batch import Batch
from dltool.errors import DataError

KIND = "series"
"""What a model file calls data of this kind in its preprocessing."""


@dataclass(frozen=True)
class Cut:
    """How rows are cut from a series.

    Attributes:
        window: steps of a row's input. horizon: steps after it that are predicted.
        columns: of the series that are predicted; None: all.
    """

    window: int
    horizon: int = 1
    columns: tuple[int, ...] | None = None

    @property
    def span(self) -> int:
        """Steps that a row and its targets take."""
        return self.window + self.horizon

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What a model file must remember."""
        columns = None if self.columns is None else list(self.columns)
        return {"kind": KIND, "window": self.window, "horizon": self.horizon, "columns": columns}


def remembered_cut(preprocessing: dict[str, Any] | None) -> Cut | None:
    """How a model's rows were cut; None for a model of other data."""
    if preprocessing is None or preprocessing.get("kind") != KIND:
        return None
    columns = preprocessing.get("columns")
    return Cut(preprocessing["window"], preprocessing["horizon"], None if columns is None else tuple(columns))


def series_of(path: str) -> np.ndarray:
    """(time, features) from a .npy or .npz file with that or with (time,). Raises DataError for another shape."""
    array = rows_of(path)
    if array.ndim > 2:
        raise DataError(f"{path}: an array of shape {array.shape} is no series; save it as (time, features) or (time,)")
    return array[:, np.newaxis] if array.ndim == 1 else array


def windows_of(series: np.ndarray, window: int, path: str) -> np.ndarray:
    """(n, window, features) view of all windows. Raises DataError when there is none."""
    if len(series) < window:
        raise DataError(f"{path}: {len(series)} steps, but a window has {window}; give a longer series")
    return sliding_window_view(series, window, axis=0).transpose(0, 2, 1)


class Windows:
    """The windows of a series from step ``first`` on, in the order of time.

    The series is read into memory, and checked, where it fits into ``limit`` bytes; else it stays mapped.

    Args:
        series: (time, features). path: of its file, for messages.
        limit: see ``dataset.ArrayDataset``.

    Raises:
        DataError: the series is too short, or has no such column.
    """

    classes = weights = groups = None

    def __init__(self, series: np.ndarray, cut: Cut, path: str, limit: int | None = None):
        if len(series) < cut.span:
            raise DataError(
                f"{path}: {len(series)} steps, but a window of {cut.window} and a horizon of {cut.horizon} need "
                f"{cut.span}; give a longer series or a smaller --window"
            )
        beyond = next((column for column in cut.columns or () if column >= series.shape[1]), None)
        if beyond is not None:
            raise DataError(f"--target-column: {beyond}, but {path} has {series.shape[1]} columns; they count from 0")
        limit = store_limit() if limit is None else limit
        self._digest = sample_digest(series)
        self._in_memory = 4 * series.size <= limit
        if self._in_memory:
            series = load_rows(series, slice(None), path)
        self.series, self.cut, self.path, self.first = series, cut, path, 0
        self.shape: Shape = (cut.window, series.shape[1])

    def __len__(self) -> int:
        return len(self.series) - self.cut.span + 1

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (self.shape,)

    @property
    def labels(self) -> np.ndarray:
        """(n, horizon, columns) view of the targets, without an axis of one."""
        following = self.series[self.cut.window :]
        if self.cut.columns is not None:
            following = following[:, list(self.cut.columns)]
        found = windows_of(following, self.cut.horizon, self.path)
        return found[:, :, 0] if found.shape[2] == 1 else found[:, 0] if found.shape[1] == 1 else found

    @property
    def targets(self) -> tuple[np.ndarray, ...]:
        return (self.labels,)

    @property
    def fingerprint(self) -> str:
        parts = f"{self._digest} {self.cut} {self.first} {len(self)}"
        return hashlib.sha256(parts.encode()).hexdigest()

    def fetch(self, rows: np.ndarray) -> Batch:
        read = (lambda array: array[rows]) if self._in_memory else (lambda array: load_rows(array, rows, self.path))
        inputs = read(windows_of(self.series, self.cut.window, self.path))
        return Batch(
            (inputs.reshape(len(rows), *self.shape),), (read(self.labels).astype(np.float32, copy=False),), None, rows
        )

    def names(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        starts = [self.first + int(row) for row in rows]
        return [f"{self.path}[{start}:{start + self.cut.window}]" for start in starts]

    def is_ready(self, rows: np.ndarray | None = None) -> bool:
        return self._in_memory

    def adapt_to(self, shapes: Sequence[WantedShape]) -> Windows:
        """The same; windows of one feature also as (window,) or (window, 1, 1)."""
        steps, features = self.cut.window, self.series.shape[1]
        forms = [(steps, features), (steps, features, 1), *([(steps,)] if features == 1 else [])]
        found = next((form for form in forms if len(shapes) == 1 and matches(form, shapes[0])), None)
        if found is None:
            raise DataError(
                f"{self.path}: windows are {shapes_text(forms[:1])}, the model wants {shapes_text(shapes)}; "
                "give the --window that it was made for"
            )
        adapted = self.part(0, len(self.series))
        adapted.shape = found
        return adapted

    def part(self, start: int, stop: int) -> Windows:
        """The windows that lie, with their targets, within some steps of the series."""
        found = Windows.__new__(Windows)
        found.__dict__.update(self.__dict__)
        found.series, found.first = self.series[start:stop], self.first + start
        return found


def time_split(windows: Windows, fraction: float) -> tuple[Windows, Windows]:
    """The windows of the first steps, and those of the last share of them: no value is in both.

    Raises:
        DataError: one of the parts would be shorter than a window and its targets.
    """
    border = len(windows.series) - round(fraction * len(windows.series))
    for what, steps in (("training", border), ("validation", len(windows.series) - border)):
        if steps < windows.cut.span:
            raise DataError(
                f"{windows.path}: the {what} part has {steps} of {len(windows.series)} steps, a window with its "
                f"targets needs {windows.cut.span}; change --val-split (0 for none), or give a smaller --window"
            )
    return windows.part(0, border), windows.part(border, len(windows.series))


def open_series(path: str, cut: Cut, limit_rows: int | None = None, memory_limit: int | None = None) -> Windows:
    """The windows of a file; with ``limit_rows`` the last so many."""
    series = series_of(path)
    if limit_rows is not None:
        series = series[max(0, len(series) - cut.span + 1 - limit_rows) :]
    return Windows(series, cut, path, memory_limit)
