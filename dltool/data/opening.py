"""From the paths on the command line to data sets: what is there, and what was understood.

Imports numpy, ``dltool.engine`` and ``dltool.errors``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dltool.data.array_opening import OutputLabels, open_arrays, open_named
from dltool.data.arrays import InMemory
from dltool.data.image_opening import open_images
from dltool.data.inputs import open_inputs, open_named_inputs, preprocessing_for, reader_from
from dltool.data.lists import STDIN, FileList, array_row, is_list, name_of, read_list
from dltool.data.named_arrays import named
from dltool.data.opened import OpenedData, Request
from dltool.data.parallel import default_workers
from dltool.data.windows import open_series
from dltool.errors import DataError, UsageError

__all__ = [
    "OpenedData",
    "OutputLabels",
    "Request",
    "named",
    "open_data",
    "open_inputs",
    "open_named",
    "open_named_inputs",
    "preprocessing_for",
    "reader_from",
]


def open_data(paths: Sequence[str | Path], **options: Any) -> OpenedData:
    """Open class folders, arrays or lists for fit and evaluate; several paths are joined.

    Args:
        options: the fields of ``opened.Request``; ``labels`` may be one path, ``workers`` None for as many threads as
            CPUs, at most 4.

    Raises:
        DataError: naming the path, file, row or class that cannot be used. UsageError: options that contradict it.
    """
    request = _request(**options)
    names = [os.fspath(path) for path in paths]
    if not names:
        raise DataError("--data: no path given; name a folder of class folders, an array or a list")
    if names.count(STDIN) > 1:
        raise UsageError("--data: '-' is given twice, but stdin can be read only once; join the lists before")
    if request.cut is not None:
        return _open_series(names, request)
    lists = {
        name: read_list(name, labelled=not request.multi_label and request.wants != "input")
        for name in dict.fromkeys(names)
        if _kind(name) == "list"
    }
    kinds = [_kind_of_rows(lists[name]) if name in lists else _kind(name) for name in names]
    if len(set(kinds)) > 1:
        raise DataError(f"{names[kinds.index('arrays')]}: arrays and image folders cannot be joined; give one kind")
    _check_label_options(names, kinds[0], lists, request)
    opened = (open_images if kinds[0] == "images" else open_arrays)(names, lists, request)
    if request.class_names is None and request.num_classes is None:
        _check_several_classes(opened, names[0])
    return opened


def _open_series(names: list[str], request: Request) -> OpenedData:
    """The windows of the one series that was named."""
    for option, given in (("--labels", request.labels), ("--group", request.groups)):
        if given:
            raise UsageError(f"{option}: the rows are windows of a series, which follow each other; leave it out")
    if len(names) > 1 or not names[0].lower().endswith((".npy", ".npz")):
        wrong = names[1] if len(names) > 1 else names[0]
        raise UsageError(f"--window: cuts one series, and {wrong} is another or no array; give one .npy with --data")
    _kind(names[0])  # says what is wrong with the path
    windows = open_series(names[0], request.cut, request.limit, request.memory_limit)
    shape, preprocessing = windows.input_shapes[0], request.cut.preprocessing
    return OpenedData(
        windows, None, None, "arrays", shape, None, preprocessing=preprocessing, label_sources=(names[0],)
    )


def _request(**options: Any) -> Request:
    """The options with what callers may leave out or shorten."""
    labels = options.get("labels") or ()
    options["labels"] = tuple(map(os.fspath, [labels] if isinstance(labels, str | Path) else labels))
    if options.get("class_names") is not None:
        options["class_names"] = tuple(options["class_names"])
    options["resize"] = options.get("resize") or "stretch"
    if options.get("workers") is None:
        options["workers"] = default_workers()
    return Request(**options)


def _kind(path: str) -> str:
    """ "images" (a folder), "arrays" or "list"."""
    if isinstance(path, InMemory):
        return "arrays"
    if path == STDIN:
        return "list"
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be opened ({getattr(error, 'strerror', error)}); check the path") from error
    if stat.S_ISDIR(mode):
        return "images"
    if stat.S_ISREG(mode) and path.lower().endswith((".npy", ".npz")):
        return "arrays"
    if stat.S_ISREG(mode) and is_list(path):
        return "list"
    raise DataError(
        f"{path}: is neither a folder of class folders nor a .npy, .npz, .csv, .tsv or .jsonl file; give one of these"
    )


def _kind_of_rows(listed: FileList) -> str:
    """What a list names: images, or rows of arrays (``x.npy[17]``)."""
    of_arrays = [array_row(row.path) is not None for row in listed.rows]
    if any(of_arrays) and not all(of_arrays):
        other = listed.rows[of_arrays.index(of_arrays[0] is False)]
        raise DataError(f"{listed.where(other)}: images and rows of arrays cannot be joined; give one kind")
    return "arrays" if of_arrays[0] else "images"


def _check_label_options(names: list[str], kind: str, lists: dict[str, FileList], request: Request) -> None:
    """Refuse options that the kind of data makes meaningless."""
    if request.labels and (kind == "images" or len(lists) == len(names)):
        what = f"the list {name_of(names[0])} holds its own" if names[0] in lists else "class folders are the labels"
        raise UsageError(f"--labels: {what}; leave --labels out")
    if request.multi_label and kind == "images" and not lists:
        raise UsageError(f"--multi-label: {name_of(names[0])} gives one label per image; give a list of path,cat;dog")
    if request.multi_label and kind == "arrays" and lists:
        raise UsageError(f"--multi-label: {name_of(next(iter(lists)))} lists rows of arrays; give x.npy and 0/1 rows")


def _check_several_classes(opened: OpenedData, path: str) -> None:
    if opened.classes is None or opened.train.labels.ndim > 1:
        return
    present = np.unique(opened.train.labels)
    if len(present) < 2:
        raise DataError(
            f"{name_of(path)}: all {len(opened.train)} rows are of one class, {opened.classes[present[0]]!r}; "
            "training needs at least two classes"
        )
