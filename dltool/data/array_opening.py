"""Data sets from arrays: .npy files, .npz archives, and lists of their rows. Imports numpy and ``dltool.errors``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dltool.data.arrays import NUMBERS, STRINGS, InMemory, find_labels, map_array
from dltool.data.dataset import ArrayDataset, Concatenated, Dataset, Subset
from dltool.data.groups import read_groups
from dltool.data.labels import Labels, parse_labels
from dltool.data.listing import natural_key
from dltool.data.lists import FileList, array_row, hold_class_numbers, hold_numbers, name_of, targets_of
from dltool.data.named_arrays import arrays_by_name, rows_of
from dltool.data.npz import array_names, is_npz, load_member
from dltool.data.opened import OpenedData, Request
from dltool.data.split import limit_rows
from dltool.errors import DataError, UsageError

PART_NAMES = {"train": ("x_train", "y_train"), "valid": ("x_val", "y_val"), "test": ("x_test", "y_test")}
"""What the arrays of an archive with several parts are called (as in Keras's own data sets)."""


@dataclass(frozen=True)
class Source:
    """Rows and their labels as stored, with what to call both in messages.

    ``rows`` and ``weights`` are those of a list; None takes all rows of the array.
    """

    path: str
    array: np.ndarray
    labels_path: str
    labels: np.ndarray
    rows: np.ndarray | None = None
    weights: np.ndarray | None = None


def open_arrays(paths: list[str], lists: dict[str, FileList], request: Request) -> OpenedData:
    """Arrays with a label for every row, joined in the order given."""
    parts: dict[str, list[Source]] = {"train": []}
    form = _label_form(list(lists.values()), request)
    if request.wants == "input":
        return _open_unlabelled(paths, lists, request)
    for path, labels in zip(paths, _label_files(paths, lists, request.labels), strict=True):
        if path in lists:
            parts["train"] += _listed(lists[path], form)
        elif is_npz(path):
            for part, source in _archived(path, labels).items():
                parts.setdefault(part, []).append(source)
        else:
            found = labels or _beside(path)
            parts["train"].append(Source(path, map_array(path), found, map_array(found, NUMBERS + STRINGS)))
    if form == "numbers":
        request = replace(request, wants="values")
    parsed = _parsed([source for sources in parts.values() for source in sources], request)
    datasets = {
        part: _part(part, [parsed.pop(0) for _ in sources], sources, request) for part, sources in parts.items()
    }
    train = datasets["train"]
    return OpenedData(
        train=train,
        valid=datasets.get("valid"),
        test=datasets.get("test"),
        kind="arrays",
        input_shape=train.input_shapes[0],
        classes=train.classes,
        label_sources=(parts["train"][0].labels_path,),
        has_tokens=all(_holds_tokens(source.array) for source in parts["train"]),
    )


def _holds_tokens(array: np.ndarray) -> bool:
    """Whether rows are (steps,) whole numbers."""
    return array.ndim == 2 and array.dtype.kind in "iu"


def _label_files(paths: list[str], lists: dict[str, FileList], given: tuple[str, ...]) -> list[str | None]:
    """The label file that was named for each path, or None."""
    arrays = [path for path in paths if path not in lists]
    if given and len(given) != len(arrays):
        count = f"one --labels for {len(arrays)} arrays" if len(given) == 1 else f"{len(given)} --labels"
        raise DataError(f"{given[0]}: {count}; give one for each --data, or put each y.npy beside its x.npy")
    names = iter(given or [None] * len(arrays))
    return [None if path in lists else next(names) for path in paths]


def _beside(path: str) -> str:
    found = find_labels(path)
    if isinstance(path, InMemory):
        raise DataError(f"{path}: no labels; give an array with one for each row")
    if found is None:
        raise DataError(f"{path}: no labels; give --labels y.npy, or put y.npy beside x.npy")
    return found


def _archived(path: str, labels: str | None) -> dict[str, Source]:
    """The parts of an archive with ``x`` and ``y``, or with ``x_train``, ``y_train``, ``x_test`` ..."""
    names = array_names(path)
    if "x" in names:
        pairs = {"train": ("x", "y")}
    else:
        pairs = {part: pair for part, pair in PART_NAMES.items() if pair[0] in names}
    if "train" not in pairs:
        raise DataError(f"{path}: no array 'x'; it holds {', '.join(names)}; save x and y with numpy.savez")
    found = {}
    for part, (x, y) in pairs.items():
        if labels is not None and part == "train":
            stored = (labels, map_array(labels, NUMBERS + STRINGS))
        elif y in names:
            stored = (f"{path} ({y})", load_member(path, y, NUMBERS + STRINGS))
        else:
            raise DataError(f"{path}: no array {y!r} with the labels; save x and y with numpy.savez, or give --labels")
        found[part] = Source(path, load_member(path, x), *stored)
    return found


def _label_form(lists: Sequence[FileList], request: Request) -> str:
    """What the labels of lists are: "numbers" to learn, "indices" of a model's classes, or "names"."""
    if request.class_names is not None:
        return "names"
    if request.wants == "values" or (request.wants is None and lists and hold_numbers(lists)):
        return "numbers"
    return "indices" if request.num_classes is not None and hold_class_numbers(lists) else "names"


def _listed(listed: FileList, form: str) -> list[Source]:
    """One source for each array that a list names rows of."""
    positions: dict[str, list[int]] = {}
    numbers = np.zeros(len(listed), np.int64)
    for position, row in enumerate(listed.rows):
        path, numbers[position] = array_row(row.path)
        positions.setdefault(path, []).append(position)
    labels = targets_of(listed) if form == "numbers" else np.array([row.label for row in listed.rows])
    if form == "indices":
        labels = labels.astype(np.int64)
    found = []
    for path, places in positions.items():
        array = rows_of(path)
        beyond = next((p for p in places if numbers[p] >= len(array)), None)
        if beyond is not None:
            raise DataError(f"{listed.where(listed.rows[beyond])}: {path} has only {len(array)} rows")
        weights = None if listed.weights is None else listed.weights[places]
        found.append(Source(path, array, name_of(listed.source), labels[places], numbers[places], weights))
    return found


def _parsed(sources: Sequence[Source], request: Request) -> list[Labels]:
    """The labels of all sources, with one list of classes for them together."""

    def parse(names: tuple[str, ...] | None) -> list[Labels]:
        return [
            parse_labels(
                source.labels,
                source.labels_path,
                class_names=names,
                num_classes=request.num_classes,
                wants=request.wants,
                multi_label=request.multi_label,
                steps=_num_steps(source.array),
            )
            for source in sources
        ]

    parsed = parse(request.class_names)
    found = [labels.classes for labels in parsed if labels.classes is not None]
    if request.class_names is not None or len(set(found)) <= 1:
        return parsed
    return parse(tuple(sorted({name for classes in found for name in classes}, key=natural_key)))


def _num_steps(array: np.ndarray) -> int | None:
    """Steps of rows that are sequences: of tokens, or of several numbers at each step; None for other rows."""
    return array.shape[1] if array.ndim == 3 or _holds_tokens(array) else None


def _open_unlabelled(paths: list[str], lists: dict[str, FileList], request: Request) -> OpenedData:
    """Arrays whose labels, if they have any, do not matter; each row gets a 0."""
    if request.labels or lists:
        raise UsageError(
            f"--target: with input the rows are their own targets, but {(*request.labels, *lists)[0]} gives others; "
            "leave it out, and name arrays or folders"
        )
    arrays = [rows_of(path) for path in paths]
    sources = [Source(path, array, path, np.zeros(len(array))) for path, array in zip(paths, arrays, strict=True)]
    labels = [Labels(np.zeros((len(array), 1), np.float32), None) for array in arrays]
    train = _part("train", labels, sources, request)
    return OpenedData(train, None, None, "arrays", train.input_shapes[0], None, label_sources=(paths[0],))


def _part(part: str, parsed: list[Labels], sources: list[Source], request: Request) -> Dataset:
    """The rows of one part."""
    datasets = [_dataset(source, labels, request) for source, labels in zip(sources, parsed, strict=True)]
    dataset: Dataset = datasets[0] if len(datasets) == 1 else Concatenated(datasets)
    return _limited(dataset, request if part == "train" else replace(request, groups=None))


def _limited(dataset: Dataset, request: Request) -> Dataset:
    """The data with their groups, and no more rows than wanted."""
    if request.groups is not None:
        dataset.groups = read_groups(request.groups, dataset.names(np.arange(len(dataset))))
    if request.limit is not None and request.limit < len(dataset):
        return Subset(dataset, limit_rows(dataset.labels, request.limit, request.seed))
    return dataset


def _dataset(source: Source, labels: Labels, request: Request) -> ArrayDataset:
    array = source.array if source.rows is None else source.array[source.rows]
    if len(labels.values) != len(array):
        raise DataError(f"{source.labels_path}: {len(labels.values)} labels for the {len(array)} rows of {source.path}")
    limited = request.limit is not None and request.limit < len(array)
    # A few rows of a large file are better read when they are needed.
    memory = 0 if limited else request.memory_limit
    return ArrayDataset([array], labels.values, labels.classes, [source.path], memory, source.weights, source.rows)


# Several inputs or outputs


@dataclass(frozen=True)
class OutputLabels:
    """What one output of a model wants of its labels, see ``labels.parse_labels``."""

    name: str
    num_classes: int | None = None
    wants: str | None = None


def open_named(
    data: Sequence[str], labels: Sequence[str], inputs: Sequence[str], outputs: Sequence[OutputLabels], request: Request
) -> OpenedData:
    """Arrays for a model of several inputs or outputs: ``a=x1.npy``, or one archive with arrays of these names.

    Raises:
        UsageError: an input or output without an array, or unknown names. DataError: arrays of different lengths.
    """
    xs = arrays_by_name("--data", data, inputs)
    if not labels and len(data) == 1 and is_npz(data[0]):
        labels = data
    ys = arrays_by_name("--labels", labels, [output.name for output in outputs], NUMBERS + STRINGS)
    sources = tuple(source for source, _ in ys)
    parsed = [
        parse_labels(array, source, num_classes=o.num_classes, wants=o.wants).values
        for (source, array), o in zip(ys, outputs, strict=True)
    ]
    for source, array in [*xs[1:], *zip(sources, parsed, strict=True)]:
        if len(array) != len(xs[0][1]):
            raise DataError(f"{source}: {len(array)} rows, but {xs[0][0]} has {len(xs[0][1])}; rows belong together")
    paths = [source for source, _ in xs]
    dataset: Dataset = ArrayDataset([a for _, a in xs], tuple(parsed), None, paths, request.memory_limit)
    dataset = _limited(dataset, request)
    return OpenedData(dataset, None, None, "arrays", dataset.input_shapes[0], None, label_sources=sources)
