"""What the values of a label file mean: classes, one-hot rows, names or regression targets.

Imports numpy and ``dltool.errors``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dltool.data.arrays import STRINGS, check_finite
from dltool.data.listing import natural_key
from dltool.data.strings import parse_strings
from dltool.errors import DataError


@dataclass(frozen=True)
class Labels:
    """What a label file means.

    Attributes:
        values: (n,) int64 class indices, (n, steps) int64 where every step has a class of its own (or a symbol of a
            string, see ``strings``), or (n, ...) float32 targets (always with at least two axes).
        classes: class names, or None for targets.
    """

    values: np.ndarray
    classes: tuple[str, ...] | None


def parse_labels(
    array: np.ndarray,
    path: str,
    *,
    class_names: tuple[str, ...] | None = None,
    num_classes: int | None = None,
    wants: str | None = None,
    multi_label: bool = False,
    steps: int | None = None,
) -> Labels:
    """Classes or regression targets from the array of a label file.

    Strings are class names; integers (n,) or (n, 1) are classes; 0/1 rows with a single 1 are one-hot; floats are
    targets. The model's head decides first.

    Args:
        class_names: in the order of the model's outputs; None: from the data.
        num_classes: of the model, when it has no names.
        wants: "classes" (softmax head), "labels" (independent sigmoid units, which take classes too), "steps" (a class
            for every step), "strings" (texts to be read, for CTC), "values" (regression head) or None.
        multi_label: the labels must be 0/1 rows, each 1 a label of its own; float32 (n, classes) comes out.
        steps: of the rows that the labels belong to, where those are sequences.

    Raises:
        DataError: NaN, negative or too large classes, fractions where classes are wanted, unknown names.
    """
    if multi_label or (wants == "labels" and _has_several_ones(array)):
        return _several(array, path, class_names, num_classes)
    if wants == "strings":
        return Labels(*parse_strings(array, path, class_names, num_classes))
    if array.ndim == 2 and (wants == "steps" or (wants is None and _is_per_step(array, steps))):
        return _per_step(array, path, class_names, num_classes)
    if array.dtype.kind in STRINGS:
        return _named(array, path, class_names)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = np.asarray(array, np.float32)
        check_finite(array, path)
    if wants in ("values", "steps"):
        return Labels(_as_targets(array), None)
    if _is_column(array):
        column = array.reshape(len(array))
        if array.dtype.kind != "f":
            return _numbered(column.astype(np.int64), path, class_names, num_classes)
        if wants in ("classes", "labels"):
            return _numbered(_whole(column, path), path, class_names, num_classes)
        return Labels(_as_targets(array), None)
    if array.ndim == 2 and _is_binary(array):
        return _one_hot(array, path, class_names, num_classes)
    if array.dtype.kind != "f" or wants in ("classes", "labels"):
        raise DataError(
            f"{path}: labels of shape {array.shape} are neither one class per row nor one-hot; "
            "save class numbers of shape (rows,), or floats for regression"
        )
    return Labels(_as_targets(array), None)


def _is_column(array: np.ndarray) -> bool:
    return array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)


def _is_per_step(array: np.ndarray, steps: int | None) -> bool:
    """Whether (n, columns) labels have a column for every step of their rows; floats and one-hot rows do not."""
    if steps is None or steps < 2 or array.shape[1] != steps or array.dtype.kind == "f":
        return False
    return array.dtype.kind in STRINGS or not (_is_binary(array) and bool((array.sum(axis=1) == 1).all()))


def _per_step(array: np.ndarray, path: str, names: tuple[str, ...] | None, num_classes: int | None) -> Labels:
    """A class for every step: the labels one after the other, then in their shape again."""
    steps, column = array.shape[1], array.reshape(-1)
    if array.dtype.kind in STRINGS:
        found = _named(column, path, names, steps)
    else:
        if array.dtype.kind == "f":
            check_finite(array, path)
            column = _whole(column, path, steps)
        found = _numbered(column.astype(np.int64), path, names, num_classes, steps)
    return Labels(found.values.reshape(array.shape), found.classes)


def _is_binary(array: np.ndarray) -> bool:
    return bool(((array == 0) | (array == 1)).all())


def _has_several_ones(array: np.ndarray) -> bool:
    """True for 0/1 rows of which some have not exactly a single 1."""
    if array.dtype.kind in STRINGS or array.ndim != 2 or array.shape[1] == 1 or not _is_binary(array):
        return False
    return bool((array.sum(axis=1, dtype=np.int64) != 1).any())


def _as_targets(array: np.ndarray) -> np.ndarray:
    values = np.ascontiguousarray(array, np.float32)
    return values[:, np.newaxis] if values.ndim == 1 else values


def _whole(column: np.ndarray, path: str, steps: int = 1) -> np.ndarray:
    fractions = np.flatnonzero(column != np.rint(column))
    if fractions.size:
        row = int(fractions[0])
        raise DataError(
            f"{path}: label {column[row]:g} at {_place(row, steps)} is not a class number; the model has classes"
        )
    return column.astype(np.int64)


def _one_hot(array: np.ndarray, path: str, class_names: tuple[str, ...] | None, num_classes: int | None) -> Labels:
    wrong = np.flatnonzero(array.sum(axis=1, dtype=np.int64) != 1)
    if wrong.size:
        raise DataError(
            f"{path}: row {wrong[0]} has {int(array[wrong[0]].sum(dtype=np.int64))} ones, one-hot labels have one "
            "per row; several classes per row need --multi-label"
        )
    width = len(class_names) if class_names else num_classes or array.shape[1]
    if width != array.shape[1]:
        raise DataError(f"{path}: one-hot labels for {array.shape[1]} classes, the model has {width}; give its labels")
    names = class_names or tuple(str(label) for label in range(width))
    return Labels(array.argmax(axis=1).astype(np.int64), names)


def _several(array: np.ndarray, path: str, class_names: tuple[str, ...] | None, num_classes: int | None) -> Labels:
    """0/1 rows that may hold any number of ones."""
    if array.dtype.kind in STRINGS or array.ndim != 2 or not _is_binary(array):
        raise DataError(f"{path}: labels for --multi-label are rows of 0 and 1, of shape (rows, classes); save them so")
    width = len(class_names) if class_names else num_classes or array.shape[1]
    if width != array.shape[1]:
        raise DataError(f"{path}: rows of {array.shape[1]} labels, the model has {width}; give its labels")
    names = class_names or tuple(str(label) for label in range(width))
    return Labels(np.ascontiguousarray(array, np.float32), names)


def _place(position: int, steps: int) -> str:
    """Where a label stands, from its position among all: "row 3", or with several in a row "row 3, step 7"."""
    row, step = divmod(position, steps)
    return f"row {row}" if steps == 1 else f"row {row}, step {step}"


def _numbered(
    labels: np.ndarray, path: str, names: tuple[str, ...] | None, num_classes: int | None, steps: int = 1
) -> Labels:
    lowest, highest = int(labels.argmin()), int(labels.argmax())
    if labels[lowest] < 0:
        raise DataError(
            f"{path}: label {labels[lowest]} at {_place(lowest, steps)} is negative; classes are numbered from 0"
        )
    top = int(labels[highest])
    known = len(names) if names else num_classes
    if known is not None and top >= known:
        raise DataError(f"{path}: label {top} at {_place(highest, steps)}; there are {known} classes (0..{known - 1})")
    if known is None and top >= max(len(labels), 1000):
        raise DataError(
            f"{path}: label {top} at {_place(highest, steps)}, but there are only {len(labels) // steps} rows; "
            "classes are numbered from 0"
        )
    return Labels(labels, names or tuple(str(label) for label in range(known or top + 1)))


def _named(array: np.ndarray, path: str, class_names: tuple[str, ...] | None, steps: int = 1) -> Labels:
    if not _is_column(array):
        raise DataError(f"{path}: class names of shape {array.shape}; save one name per row, shape (rows,)")
    column = array.reshape(len(array))
    try:
        distinct, inverse = np.unique(column, return_inverse=True)
        texts = [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in distinct.tolist()]
    except (UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{path}: class names that are not valid Unicode; save them as text") from error
    names = class_names or tuple(sorted(texts, key=natural_key))
    place = {name: label for label, name in enumerate(names)}
    for position, text in enumerate(texts):
        if text not in place:
            row = int(np.flatnonzero(inverse == position)[0])
            known = ", ".join(names[:10])
            raise DataError(f"{path}: unknown class {text!r} at {_place(row, steps)}; the classes are {known}")
    labels = np.array([place[text] for text in texts], np.int64)
    return Labels(labels[inverse.reshape(-1)], names)
