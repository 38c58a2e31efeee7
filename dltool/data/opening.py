"""From the paths on the command line to data sets: what is there, and what was understood.

Imports numpy, ``dltool.engine`` and ``dltool.errors``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dltool.data import headers
from dltool.data.arrays import NUMBERS, STRINGS, find_labels, map_array
from dltool.data.capacity import store_limit
from dltool.data.dataset import ArrayDataset, Concatenated, Dataset, Subset
from dltool.data.folder import Listing, find_parts, list_classes, merge, natural_key
from dltool.data.image_folder import ImageFolder
from dltool.data.images import ImageReader
from dltool.data.inputs import open_inputs, preprocessing_for, reader_from
from dltool.data.labels import Labels, parse_labels
from dltool.data.parallel import default_workers
from dltool.data.shapes import WantedShape
from dltool.data.split import limit_rows
from dltool.errors import DataError

__all__ = ["OpenedData", "open_data", "open_inputs", "preprocessing_for", "reader_from"]


@dataclass(frozen=True)
class OpenedData:
    """Data sets and what the user should be told about them.

    Attributes:
        train: everything that was named, or the ``train/`` part of a folder.
        valid, test: the other parts of that folder, or None.
        kind: "images" or "arrays".
        input_shape: shape of one row, (height, width, channels) for images.
        classes: class names in the order of the model's outputs; None for regression.
        ignored_files: entries of folders that are not images. skipped_files: unreadable images left out.
        notes: sentences for the user.
        preprocessing: what a model file must remember, ``{"kind": "image", "height": ..., ...}``; None for arrays.
    """

    train: Dataset
    valid: Dataset | None
    test: Dataset | None
    kind: str
    input_shape: tuple[int, ...]
    classes: tuple[str, ...] | None
    ignored_files: int = 0
    skipped_files: int = 0
    notes: tuple[str, ...] = ()
    preprocessing: dict[str, Any] | None = None

    def adapt_to(self, shape: WantedShape) -> OpenedData:
        """The same with rows in the shape a model expects, (28, 28) as (28, 28, 1). Raises DataError otherwise."""
        parts = [part and part.adapt_to([shape]) for part in (self.train, self.valid, self.test)]
        return replace(self, train=parts[0], valid=parts[1], test=parts[2], input_shape=parts[0].input_shapes[0])


@dataclass(frozen=True)
class _Options:
    """The arguments of ``open_data``, see there."""

    labels: str | None
    image_size: tuple[int, int] | None
    color: str | None
    resize: str
    class_names: tuple[str, ...] | None
    num_classes: int | None
    wants: str | None
    limit: int | None
    allow_empty: bool
    skip_bad: bool
    plain_order: bool
    check: bool
    seed: int
    memory_limit: int | None
    workers: int


def open_data(
    paths: Sequence[str | Path],
    *,
    labels: str | Path | None = None,
    image_size: tuple[int, int] | None = None,
    color: str | None = None,
    resize: str | None = None,
    class_names: Sequence[str] | None = None,
    num_classes: int | None = None,
    wants: str | None = None,
    limit: int | None = None,
    allow_empty: bool = False,
    skip_bad: bool = False,
    plain_order: bool = False,
    check: bool = True,
    seed: int = 0,
    memory_limit: int | None = None,
    workers: int | None = None,
) -> OpenedData:
    """Open class folders or .npy files for fit and evaluate; several paths are joined.

    Args:
        labels: the label file of one .npy; None: the file beside it with "y" for "x" in its name.
        image_size, color, resize: of the pixels; None: from the data ("stretch" for resize). Give a model's own.
        class_names: in the order of a model's outputs, matched by name; data may lack some. None: from the data.
        num_classes: of a model without class names.
        wants: what the model's head takes, "classes" or "values" (regression); None: labels decide alone.
        limit: use at most this many rows of each part, classes in their proportions.
        allow_empty: accept class folders without images. skip_bad: leave unreadable images out.
        plain_order: order classes as Keras does ("10" before "2"), for its models without class names.
        check: read all image headers even when size and colour are known, to find bad files before the first batch.
        seed: of the draw that ``limit`` makes.
        memory_limit: bytes to keep in memory; None: a quarter of what is available.
        workers: decoding threads; None: as many as CPUs, at most 4.

    Raises:
        DataError: naming the path, file, row or class that cannot be used.
    """
    options = _Options(
        None if labels is None else os.fspath(labels),
        image_size,
        color,
        resize or "stretch",
        None if class_names is None else tuple(class_names),
        num_classes,
        wants,
        limit,
        allow_empty,
        skip_bad,
        plain_order,
        check,
        seed,
        memory_limit,
        default_workers() if workers is None else workers,
    )
    names = [os.fspath(path) for path in paths]
    if not names:
        raise DataError("--data: no path given; name a folder of class folders or a .npy file")
    kinds = [_kind(name) for name in names]
    if len(set(kinds)) > 1:
        raise DataError(f"{names[kinds.index('arrays')]}: arrays and image folders cannot be joined; give one kind")
    opened = (_open_images if kinds[0] == "images" else _open_arrays)(names, options)
    if options.class_names is None and options.num_classes is None:
        _check_several_classes(opened, names[0])
    return opened


def _kind(path: str) -> str:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be opened ({getattr(error, 'strerror', error)}); check the path") from error
    if stat.S_ISDIR(mode):
        return "images"
    if stat.S_ISREG(mode) and path.lower().endswith(".npy"):
        return "arrays"
    raise DataError(f"{path}: is neither a folder of class folders nor a .npy file; give one of these")


def _check_several_classes(opened: OpenedData, path: str) -> None:
    if opened.classes is None:
        return
    present = np.unique(opened.train.labels)
    if len(present) < 2:
        raise DataError(
            f"{path}: all {len(opened.train)} rows are of one class, {opened.classes[present[0]]!r}; "
            "training needs at least two classes"
        )


# Images


def _open_images(paths: list[str], options: _Options) -> OpenedData:
    listings = _list_parts(paths, options)
    if options.limit is not None:
        listings = {
            part: listing.keep(limit_rows(listing.labels, options.limit, options.seed))
            for part, listing in listings.items()
        }
    listings, found, errors = _check_headers(listings, options)
    reader, notes = _decide_reader(paths[0], found, errors, options)
    parts: dict[str, Dataset] = {}
    memory = store_limit() if options.memory_limit is None else options.memory_limit
    for part, listing in listings.items():
        parts[part] = dataset = ImageFolder(listing, reader, memory)
        memory -= dataset.store.num_bytes
        if options.skip_bad:
            parts[part] = _decodable(dataset, options.workers, errors)
    train = parts["train"]
    if not len(train):
        raise _first_of(errors)
    ignored = sum(listing.ignored for listing in listings.values())
    return OpenedData(
        train=train,
        valid=parts.get("valid"),
        test=parts.get("test"),
        kind="images",
        input_shape=reader.shape,
        classes=train.classes,
        ignored_files=ignored,
        skipped_files=len(errors),
        notes=tuple(notes + _file_notes(ignored, errors)),
        preprocessing=reader.preprocessing,
    )


def _list_parts(paths: list[str], options: _Options) -> dict[str, Listing]:
    """The listings of train and, where folders have them, valid and test; all with the training classes."""
    gathered: dict[str, list[Listing]] = {}
    for path in paths:
        for part, root in (find_parts(path) or {"train": path}).items():
            gathered.setdefault(part, []).append(list_classes(root, options.allow_empty))
    names = options.class_names
    if names is None and options.plain_order:
        names = tuple(sorted({name for listing in gathered["train"] for name in listing.classes}))
    listings = {"train": merge(gathered["train"], names)}
    names = listings["train"].classes
    if options.num_classes is not None and len(names) != options.num_classes:
        raise DataError(
            f"{paths[0]}: {len(names)} classes ({', '.join(names[:10])}), the model has {options.num_classes}; "
            "give data of its classes, or name them with --class-names"
        )
    listings |= {part: merge(gathered[part], names) for part in ("valid", "test") if part in gathered}
    return listings


def _check_headers(
    listings: dict[str, Listing], options: _Options
) -> tuple[dict[str, Listing], headers.Headers | None, list[DataError]]:
    """The listings without files whose headers are bad, the training headers (None: not read), and the errors."""
    if not options.check and options.image_size is not None and options.color is not None:
        return listings, None, []
    found = {part: headers.read_headers(listing.paths, options.workers) for part, listing in listings.items()}
    errors = [error for part in found.values() for error in part.errors.values()]
    if errors and not options.skip_bad:
        raise _first_of(errors)
    good = {part: found[part].good_rows for part in found}
    return {part: listing.keep(good[part]) for part, listing in listings.items()}, found["train"], errors


def _decodable(dataset: ImageFolder, workers: int, errors: list[DataError]) -> Dataset:
    """The rows that can be decoded, found by decoding all; what is wrong with the others joins ``errors``."""
    bad = dataset.decode_all(workers)
    errors += bad.values()
    return Subset(dataset, np.setdiff1d(np.arange(len(dataset)), list(bad))) if bad else dataset


def _first_of(errors: list[DataError]) -> DataError:
    more = f" (and {len(errors) - 1} more files)" if len(errors) > 1 else ""
    return DataError(f"{errors[0]}{more}, or use --skip-bad")


def _decide_reader(
    path: str, found: headers.Headers | None, errors: list[DataError], options: _Options
) -> tuple[ImageReader, list[str]]:
    """The reader that the options ask for; what they leave open is decided from the training headers."""
    size, color, notes = options.image_size, options.color, []
    if found is not None:
        good = found.good_rows
        if not good.size:
            raise _first_of(errors)
        if size is None:
            size, note = headers.decide_size(found.sizes[good])
            notes = [note] if note else []
        if color is None:
            color = "gray" if found.grey[good].all() else "rgb"
    if options.plain_order and options.class_names is None:
        notes.append("class order: plain alphabetical, as Keras takes it (--class-names for another)")
    return reader_from({"height": size[0], "width": size[1], "color": color, "resize": options.resize}, path), notes


def _file_notes(ignored: int, errors: list[DataError]) -> list[str]:
    notes = []
    if ignored:
        notes.append(
            f"ignored {ignored} {'entry that is not an image' if ignored == 1 else 'entries that are not images'}"
        )
    if errors:
        count = f"{len(errors)} unreadable {'image' if len(errors) == 1 else 'images'}"
        notes.append(f"left out {count}, the first: {errors[0]}")
    return notes


# Arrays


def _open_arrays(paths: list[str], options: _Options) -> OpenedData:
    arrays = [map_array(path) for path in paths]
    label_paths = [_label_path(path, options.labels, len(paths)) for path in paths]
    parsed = _parse_all(label_paths, options)
    datasets = []
    for path, label_path, array, labels in zip(paths, label_paths, arrays, parsed, strict=True):
        if len(labels.values) != len(array):
            raise DataError(f"{label_path}: {len(labels.values)} labels for the {len(array)} rows of {path}")
        limited = options.limit is not None and options.limit < len(array)
        # A few rows of a large file are better read when they are needed.
        memory = 0 if limited else options.memory_limit
        datasets.append(ArrayDataset([array], labels.values, labels.classes, [path], memory))
    train: Dataset = datasets[0] if len(datasets) == 1 else Concatenated(datasets)
    if options.limit is not None and options.limit < len(train):
        train = Subset(train, limit_rows(train.labels, options.limit, options.seed))
    return OpenedData(train, None, None, "arrays", train.input_shapes[0], train.classes)


def _label_path(path: str, given: str | None, num_paths: int) -> str:
    if given is not None:
        if num_paths > 1:
            raise DataError(f"{given}: one --labels for {num_paths} arrays; put each y.npy beside its x.npy instead")
        return given
    found = find_labels(path)
    if found is None:
        raise DataError(f"{path}: no labels; give --labels y.npy, or put y.npy beside x.npy")
    return found


def _parse_all(paths: list[str], options: _Options) -> list[Labels]:
    """The labels of all files, with one list of classes for them together."""
    raw = [map_array(path, NUMBERS + STRINGS) for path in paths]

    def parse(names: tuple[str, ...] | None) -> list[Labels]:
        return [
            parse_labels(array, path, class_names=names, num_classes=options.num_classes, wants=options.wants)
            for array, path in zip(raw, paths, strict=True)
        ]

    parsed = parse(options.class_names)
    found = [labels.classes for labels in parsed if labels.classes is not None]
    if options.class_names is not None or len(set(found)) <= 1:
        return parsed
    return parse(tuple(sorted({name for classes in found for name in classes}, key=natural_key)))
