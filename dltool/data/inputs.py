"""Rows to predict: files, folders, lists and arrays, in the order given, failures included.

Imports numpy and ``dltool.errors``.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np

from dltool.data.arrays import InMemory
from dltool.data.dataset import load_rows
from dltool.data.folder import list_images
from dltool.data.images import COLORS, MAX_PIXELS, RESIZES, ImageReader
from dltool.data.lists import FileList, array_row, is_list, read_list
from dltool.data.named_arrays import arrays_by_name, rows_of
from dltool.data.parallel import default_workers, map_in_order
from dltool.data.shapes import WantedShape, adapt_rows
from dltool.data.windows import windows_of
from dltool.errors import DataError

_ARRAY_ROWS = 256


@dataclass(frozen=True)
class InputRow:
    """One row to predict: its name, and either its value (uint8 or float32) or why there is none.

    ``others`` are its values for a model's further inputs.
    """

    name: str
    value: np.ndarray | None
    error: DataError | None = None
    others: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class _Failed:
    name: str
    error: DataError


@dataclass(frozen=True)
class _Array:
    """Rows of an array; ``rows`` are those of a list, None takes all. ``others`` belong to further inputs."""

    path: str
    values: np.ndarray
    rows: np.ndarray | None = None
    others: tuple[_Array, ...] = ()

    def __len__(self) -> int:
        return len(self.values if self.rows is None else self.rows)


Source = _Failed | _Array | list[str]
"""Where rows come from: a path that failed as a whole, an array, or image files."""


class Inputs:
    """The rows behind some paths. Iterating reads them, images ahead in threads; it may be repeated.

    Attributes:
        num_rows: how many rows will come. ignored_files: entries of folders that are not images.
        unusual: kind of image (a key of ``headers.UNUSUAL``) -> how many of the rows read so far are.
    """

    def __init__(self, sources: list[Source], ignored_files: int, reader: ImageReader | None, workers: int):
        self._sources, self._reader, self._workers = sources, reader, workers
        self.ignored_files, self.unusual = ignored_files, Counter()
        self.num_rows = sum(map(_num_rows, sources))

    def __len__(self) -> int:
        return self.num_rows

    def __iter__(self) -> Iterator[InputRow]:
        self.unusual.clear()
        for source in self._sources:
            if isinstance(source, _Failed):
                yield InputRow(source.name, None, source.error)
            elif isinstance(source, _Array):
                yield from _array_rows(source)
            else:
                for path, result in zip(source, map_in_order(self._read, source, self._workers), strict=True):
                    if isinstance(result, DataError):
                        yield InputRow(path, None, result)
                    else:
                        self.unusual.update(result[1])
                        yield InputRow(path, result[0])

    def batches(self, size: int) -> Iterator[list[InputRow]]:
        """The rows in lists of at most ``size``."""
        rows = iter(self)
        while batch := list(islice(rows, size)):
            yield batch

    def _read(self, path: str) -> tuple[np.ndarray, tuple[str, ...]]:
        if self._reader is None:
            raise DataError(f"{path}: the model takes arrays, not images; give a .npy file")
        return self._reader.look(path)


def open_inputs(
    paths: Sequence[str | Path],
    preprocessing: Mapping[str, Any] | None,
    input_shape: WantedShape | None = None,
    *,
    window: int | None = None,
    workers: int | None = None,
) -> Inputs:
    """The rows of files, folders (recursive, natural order), .npy and .npz files, and lists of files.

    What cannot be read is a row with an error, never an exception, so that there is one row per input.

    Args:
        preprocessing: what the model remembers of its images; None: from ``input_shape`` if that is an image's.
        input_shape: of the model, to bring .npy rows into; None: as stored.
        window: arrays of at most two axes are series, whose windows of so many steps are the rows; None: rows are rows.
        workers: decoding threads; None: as many as CPUs, at most 4.
    """
    if preprocessing is None and input_shape is not None:
        preprocessing = preprocessing_for(input_shape)
    reader = None if preprocessing is None else reader_from(preprocessing, "model")
    sources: list[Source] = []
    ignored = 0
    for path in map(os.fspath, paths):
        found, left_out = _expand(path, input_shape, window)
        ignored += left_out
        for source in found:
            if isinstance(source, list) and sources and isinstance(sources[-1], list):
                sources[-1].extend(source)  # one long list of images is read ahead across arguments
            else:
                sources.append(source)
    return Inputs(sources, ignored, reader, default_workers() if workers is None else workers)


def preprocessing_for(input_shape: WantedShape) -> dict[str, Any] | None:
    """How to read images for a model that does not say: by its (height, width, 1 or 3); None for other shapes."""
    if len(input_shape) != 3 or None in input_shape or input_shape[2] not in (1, 3):
        return None
    height, width, channels = input_shape
    color = "gray" if channels == 1 else "rgb"
    return {"kind": "image", "height": height, "width": width, "color": color, "resize": "stretch"}


def reader_from(preprocessing: Mapping[str, Any], source: str) -> ImageReader:
    """The image reader for a model's preprocessing. Raises DataError, naming ``source``, for impossible values."""
    height, width = preprocessing.get("height"), preprocessing.get("width")
    color, resize = preprocessing.get("color"), preprocessing.get("resize", "stretch")
    if not all(isinstance(side, int) and side > 0 for side in (height, width)) or height * width > MAX_PIXELS:
        raise DataError(f"{source}: image size {height}x{width} cannot be used; give --image-size HEIGHTxWIDTH")
    if color not in COLORS:
        raise DataError(f"{source}: color {color!r} is not known; use --color {' or '.join(COLORS)}")
    if resize not in RESIZES:
        raise DataError(f"{source}: resize {resize!r} is not known; use --resize {', '.join(RESIZES)}")
    return ImageReader(height, width, color, resize)


def open_named_inputs(paths: Sequence[str], names: Sequence[str], shapes: Sequence[WantedShape]) -> Inputs:
    """The rows for a model of several inputs: ``a=x1.npy b=x2.npy``, or one archive with arrays of these names.

    Raises:
        UsageError: an input without an array. DataError: arrays of different lengths or shapes.
    """
    found = arrays_by_name("inputs", paths, names)
    for path, values in found[1:]:
        if len(values) != len(found[0][1]):
            raise DataError(
                f"{path}: {len(values)} rows, but {found[0][0]} has {len(found[0][1])}; rows belong together"
            )
    first, *others = (
        _Array(path, adapt_rows(_at_least_2d(values), shape, path))
        for (path, values), shape in zip(found, shapes, strict=True)
    )
    return Inputs([replace(first, others=tuple(others))], 0, None, 0)


def _expand(path: str, input_shape: WantedShape | None, window: int | None) -> tuple[list[Source], int]:
    try:
        if isinstance(path, InMemory):
            return [_Array(path, _adapted(path, input_shape, window))], 0
        if stat.S_ISDIR(os.stat(path).st_mode):
            found, ignored = list_images(path)
            if not found:
                raise DataError(f"{path}: no images in this folder; check the path")
            return [found], ignored
        if path.lower().endswith((".npy", ".npz")):
            return [_Array(path, _adapted(path, input_shape, window))], 0
        if is_list(path):
            return list(_listed(read_list(path, labelled=False), input_shape, window)), 0
    except DataError as error:
        return [_Failed(path, error)], 0
    except (OSError, ValueError):
        pass  # the reader says what is wrong with it
    return [[path]], 0


def _listed(listed: FileList, input_shape: WantedShape | None, window: int | None) -> Iterator[Source]:
    """The rows of a list in its order: images, and runs of rows of the same array."""
    for path, run in groupby(listed.rows, key=lambda row: (array_row(row.path) or ("",))[0]):
        rows = list(run)
        if not path:
            yield [row.path for row in rows]
            continue
        numbers = np.array([array_row(row.path)[1] for row in rows], np.int64)
        try:
            values = _adapted(path, input_shape, window)
            beyond = np.flatnonzero(numbers >= len(values))
            if beyond.size:
                raise DataError(f"{listed.where(rows[beyond[0]])}: {path} has only {len(values)} rows")
            yield _Array(path, values, numbers)
        except DataError as error:
            yield from (_Failed(row.path, error) for row in rows)


def _adapted(path: str, input_shape: WantedShape | None, window: int | None) -> np.ndarray:
    array = _at_least_2d(rows_of(path))
    if window is not None and array.ndim == 2:
        array = windows_of(array, window, path)
    return array if input_shape is None else adapt_rows(array, input_shape, path)


def _at_least_2d(array: np.ndarray) -> np.ndarray:
    return array[:, np.newaxis] if array.ndim == 1 else array


def _num_rows(source: Source) -> int:
    return 1 if isinstance(source, _Failed) else len(source)


def _array_rows(source: _Array) -> Iterator[InputRow]:
    for start in range(0, len(source), _ARRAY_ROWS):
        stop = min(start + _ARRAY_ROWS, len(source))
        rows = np.arange(start, stop) if source.rows is None else source.rows[start:stop]
        try:
            values = [load_rows(part.values, rows, part.path) for part in (source, *source.others)]
        except DataError:  # some row of these is bad: one by one
            yield from (_array_row(source, row) for row in rows.tolist())
            continue
        for place, row in enumerate(rows.tolist()):
            first, *others = (array[place] for array in values)
            yield InputRow(f"{source.path}[{row}]", first, others=tuple(others))


def _array_row(source: _Array, row: int) -> InputRow:
    name = f"{source.path}[{row}]"
    try:
        first, *others = (load_rows(p.values, slice(row, row + 1), p.path)[0] for p in (source, *source.others))
    except DataError as error:
        return InputRow(name, None, error)
    return InputRow(name, first, others=tuple(others))
