"""Image data sets from class folders and lists of files. Imports numpy and ``dltool.errors``."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dltool.data import headers
from dltool.data.capacity import store_limit
from dltool.data.dataset import Dataset, Subset
from dltool.data.folder import find_parts, ignored_notes, list_all, list_classes
from dltool.data.groups import read_groups
from dltool.data.image_folder import ImageFolder
from dltool.data.images import ImageReader
from dltool.data.inputs import reader_from
from dltool.data.listing import Listing, joined_weights, merge, natural_key
from dltool.data.lists import FileList, ListedRow, hold_class_numbers, hold_numbers, targets_of
from dltool.data.opened import OpenedData, Request
from dltool.data.split import limit_rows
from dltool.data.strings import encoded
from dltool.errors import DataError


def open_images(paths: list[str], lists: dict[str, FileList], request: Request) -> OpenedData:
    """Folders of class folders and lists of image files, joined in the order given.

    Args:
        lists: path -> what was read, for the paths that are lists.
    """
    listings = _list_parts(paths, lists, request)
    if request.groups is not None:
        train = listings["train"]
        listings["train"] = replace(train, groups=read_groups(request.groups, train.paths, train.relative))
    if request.limit is not None:
        listings = {
            part: listing.keep(limit_rows(listing.labels, request.limit, request.seed))
            for part, listing in listings.items()
        }
    listings, found, errors = _check_headers(listings, request)
    reader, notes = _decide_reader(paths[0], found.get("train"), errors, request)
    parts: dict[str, Dataset] = {}
    memory = store_limit() if request.memory_limit is None else request.memory_limit
    for part, listing in listings.items():
        parts[part] = dataset = ImageFolder(listing, reader, memory)
        memory -= dataset.store.num_bytes
        if request.skip_bad:
            parts[part] = _decodable(dataset, request.workers, errors)
    train = parts["train"]
    if not len(train):
        raise _first_of(errors)
    ignored = sum(listing.ignored for listing in listings.values())
    unusual = sum((part.unusual for part in found.values()), Counter())
    return OpenedData(
        train=train,
        valid=parts.get("valid"),
        test=parts.get("test"),
        kind="images",
        input_shape=reader.shape,
        classes=train.classes,
        ignored_files=ignored,
        skipped_files=len(errors),
        notes=(*notes, *headers.unusual_notes(unusual), *_file_notes(ignored, errors)),
        preprocessing=reader.preprocessing,
        label_sources=(paths[0],),
    )


def _list_parts(paths: list[str], lists: dict[str, FileList], request: Request) -> dict[str, Listing]:
    """The listings of train and, where folders have them, valid and test; all with the training classes."""
    if request.wants == "input":
        return _unlabelled_parts(paths, lists, request)
    if request.wants == "strings":
        return {"train": _strings(paths, lists, request)}
    numbers, several = _are_numbers(paths, lists, request), has_several(lists, request)
    gathered: dict[str, list[Listing]] = {}
    for path in paths:
        if path in lists:
            gathered.setdefault("train", []).append(_listing(lists[path], numbers, several))
            continue
        for part, root in (find_parts(path) or {"train": path}).items():
            gathered.setdefault(part, []).append(list_classes(root, request.allow_empty))
    if numbers:
        return {"train": merge(gathered["train"])}
    if several:
        gathered = {part: [listing.with_several() for listing in found] for part, found in gathered.items()}
    listings = {"train": merge(gathered["train"], _class_names(gathered["train"], paths, lists, request))}
    names = listings["train"].classes
    if request.num_classes is not None and len(names) != request.num_classes:
        raise DataError(
            f"{paths[0]}: {len(names)} classes ({', '.join(names[:10])}), the model has {request.num_classes}; "
            "give data of its classes, or name them with --class-names"
        )
    return listings | {part: merge(gathered[part], names) for part in ("valid", "test") if part in gathered}


def _unlabelled_parts(paths: list[str], lists: dict[str, FileList], request: Request) -> dict[str, Listing]:
    """The same where nobody asks for labels: all images of folders and lists."""
    gathered: dict[str, list[Listing]] = {}
    for path in paths:
        if path in lists:
            zeros = np.zeros((len(lists[path]), 1), np.float32)
            gathered.setdefault("train", []).append(_labelled(lists[path].rows, zeros, None, lists[path].weights))
            continue
        for part, root in (find_parts(path) or {"train": path}).items():
            gathered.setdefault(part, []).append(list_all(root))
    return {part: merge(found) for part, found in gathered.items()}


def _strings(paths: list[str], lists: dict[str, FileList], request: Request) -> Listing:
    """The images of lists whose labels are texts to be read."""
    folder = next((path for path in paths if path not in lists), None)
    if folder is not None:
        raise DataError(f"{folder}: class folders hold no texts; give a list of path,text")
    rows = [(path, row) for path in paths for row in lists[path].rows]
    alphabet = request.class_names
    if alphabet is None and request.num_classes is not None:
        alphabet = tuple(map(str, range(request.num_classes)))
    labels, alphabet = encoded([row.label for _, row in rows], alphabet, lambda i: lists[rows[i][0]].where(rows[i][1]))
    weights = joined_weights([(len(lists[path]), lists[path].weights) for path in paths])
    return _labelled([row for _, row in rows], labels, alphabet, weights)


def has_several(lists: dict[str, FileList], request: Request) -> bool:
    """Whether a row may have several labels: said so, or a list for independent outputs has such a row."""
    known = request.class_names or ()
    return request.multi_label or (
        request.wants == "labels"
        and any(row.label not in known and len(row.labels) > 1 for listed in lists.values() for row in listed.rows)
    )


def _are_numbers(paths: list[str], lists: dict[str, FileList], request: Request) -> bool:
    """Whether the labels are numbers to learn; the model's head decides first."""
    folder = next((path for path in paths if path not in lists), None)
    if request.multi_label or not lists or request.wants not in (None, "values") or request.class_names is not None:
        return False
    if request.wants != "values" and not hold_numbers(list(lists.values())):
        return False
    if folder is not None:
        raise DataError(f"{folder}: class folders cannot be joined with a list of numbers; give one kind of labels")
    return True


def _class_names(
    listings: list[Listing], paths: list[str], lists: dict[str, FileList], request: Request
) -> tuple[str, ...] | None:
    """The model's names; for a model without any plain order, or numbers where lists number the classes."""
    if request.class_names is not None:
        for listed in lists.values():
            _check_known(listed, request.class_names, has_several(lists, request))
        return request.class_names
    known = request.num_classes
    numbered = all(path in lists for path in paths) and hold_class_numbers(list(lists.values()))
    if known is not None and numbered and not has_several(lists, request):
        for listed in lists.values():
            beyond = next((row for row in listed.rows if int(row.label) >= known), None)
            if beyond is not None:
                raise DataError(
                    f"{listed.where(beyond)}: label {beyond.label}; there are {known} classes (0..{known - 1})"
                )
        return tuple(map(str, range(known)))
    if request.plain_order:
        return tuple(sorted({name for listing in listings for name in listing.classes}))
    return None


def _check_known(listed: FileList, names: tuple[str, ...], several: bool) -> None:
    for row in listed.rows:
        unknown = next((label for label in (row.labels if several else [row.label]) if label not in names), None)
        if unknown is not None:
            known = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            raise DataError(f"{listed.where(row)}: unknown class {unknown!r}; the classes are {known}")


def _listing(listed: FileList, numbers: bool, several: bool) -> Listing:
    """The images of a list."""
    if numbers:
        labels, names = targets_of(listed), None
    elif several:
        names = tuple(sorted({label for row in listed.rows for label in row.labels}, key=natural_key))
        place = {name: label for label, name in enumerate(names)}
        labels = np.zeros((len(listed), len(names)), np.float32)
        for number, row in enumerate(listed.rows):
            labels[number, [place[label] for label in row.labels]] = 1
    else:
        names = tuple(sorted({row.label for row in listed.rows}, key=natural_key))
        place = {name: label for label, name in enumerate(names)}
        labels = np.array([place[row.label] for row in listed.rows], np.int64)
    return _labelled(listed.rows, labels, names, listed.weights)


def _labelled(
    rows: Sequence[ListedRow], labels: np.ndarray, names: tuple[str, ...] | None, weights: np.ndarray | None
) -> Listing:
    paths = [row.path for row in rows]
    written = [row.written.replace(os.sep, "/") for row in rows]
    return Listing(paths, written, np.array(list(map(_size, paths)), np.int64), labels, names, 0, weights)


def _size(path: str) -> int:
    """Bytes of a file; 0 when there is none, which the reader of its header will say."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return 0


def _check_headers(
    listings: dict[str, Listing], request: Request
) -> tuple[dict[str, Listing], dict[str, headers.Headers], list[DataError]]:
    """The listings without files whose headers are bad, the headers of each part ({}: not read), and the errors."""
    if not request.check and request.image_size is not None and request.color is not None:
        return listings, {}, []
    found = {part: headers.read_headers(listing.paths, request.workers) for part, listing in listings.items()}
    errors = [error for part in found.values() for error in part.errors.values()]
    if errors and not request.skip_bad:
        raise _first_of(errors)
    return {part: listing.keep(found[part].good_rows) for part, listing in listings.items()}, found, errors


def _decodable(dataset: ImageFolder, workers: int, errors: list[DataError]) -> Dataset:
    """The rows that can be decoded, found by decoding all; what is wrong with the others joins ``errors``."""
    bad = dataset.decode_all(workers)
    errors += bad.values()
    return Subset(dataset, np.setdiff1d(np.arange(len(dataset)), list(bad))) if bad else dataset


def _first_of(errors: list[DataError]) -> DataError:
    more = f" (and {len(errors) - 1} more files)" if len(errors) > 1 else ""
    return DataError(f"{errors[0]}{more}, or use --skip-bad")


def _decide_reader(
    path: str, found: headers.Headers | None, errors: list[DataError], request: Request
) -> tuple[ImageReader, list[str]]:
    """The reader that was asked for; what is left open is decided from the training headers."""
    size, color, notes = request.image_size, request.color, []
    if found is not None:
        good = found.good_rows
        if not good.size:
            raise _first_of(errors)
        if size is None:
            size, note = headers.decide_size(found.sizes[good])
            notes = [note] if note else []
        if color is None:
            color = "gray" if found.grey[good].all() else "rgb"
    if request.plain_order and request.class_names is None:
        notes.append("class order: plain alphabetical, as Keras takes it (--class-names for another)")
    return reader_from({"height": size[0], "width": size[1], "color": color, "resize": request.resize}, path), notes


def _file_notes(ignored: int, errors: list[DataError]) -> list[str]:
    notes = ignored_notes(ignored)
    if errors:
        count = f"{len(errors)} unreadable {'image' if len(errors) == 1 else 'images'}"
        notes.append(f"left out {count}, the first: {errors[0]}")
    return notes
