"""Is the run in a model file one that can go on? Asked before anything uses it.

The file's digest finds damage. These checks are for forged files: afterwards no value of the record becomes an error of
ours in the middle of the training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from dltool.data.dataset import Dataset
from dltool.errors import DataError, ModelFileError
from dltool.settings import FitSettings
from dltool.training.averages import Averages
from dltool.training.callbacks import Callback
from dltool.training.labels import target_form
from dltool.training.objective import Objective

MOST = 2**53
"""Counts in a file are below this, so that JSON and float64 hold them."""
BROKEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, DataError)
"""What reading a wrong value raises."""
MEASURED = ("value", "best", "rate")
"""What callbacks remember that is no count."""


@contextmanager
def reading_run(path: str) -> Iterator[None]:
    """Wrong values in the record become an error about the file."""
    try:
        yield
    except BROKEN as error:
        raise ModelFileError(
            f"{path}: its interrupted run cannot be used; leave --resume out to start another run from its weights"
        ) from error


def check_record(record: Any, options: dict[str, str]) -> None:
    """Raise ValueError unless a record (what ``resuming.run_state`` gave) has the right things in it.

    Args:
        options: the fields of ``FitSettings`` that a record has.
    """
    hints = get_type_hints(FitSettings)
    said, origin = record["options"], record["origin"]
    _demand(set(said) == set(options) and all(fits(said[name], hints[name]) for name in options))
    _demand(said["epochs"] >= 1 and said["batch_size"] >= 1)
    _demand(set(origin) == {"epoch", "step", "validation"} and isinstance(origin["validation"], str))
    _demand(all(fits(value, int) for value in (origin["epoch"], origin["step"])))
    _demand(all(fits(record[name], int) for name in ("epochs", "batch", "samples")))
    _demand(isinstance(record["partial"], dict) and bool(record["partial"]) == bool(record["batch"]))
    _demand(isinstance(record["finished"], bool))


def fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value may stand in a field of ``FitSettings`` with this type; numbers are finite and not negative.

    >>> fits(["a", "b"], tuple[str, ...] | None)
    True
    """
    if get_origin(hint) is UnionType:
        return any(fits(value, part) for part in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, list) and all(fits(entry, get_args(hint)[0]) for entry in value)
    if hint in (int, float):
        kinds = (int,) if hint is int else (int, float)
        return type(value) in kinds and math.isfinite(value) and 0 <= value < MOST
    return value is None if hint is type(None) else type(value) is hint


def restore_memory(callback: Callback, found: dict[str, Any]) -> None:
    """``callback.restore``, for a state with the names of the callback's own, each a finite number or, as there, None.

    Raises:
        ValueError: it is another.
    """
    own = callback.state()
    _demand(isinstance(found, dict) and set(found) == set(own))
    for name, value in found.items():
        kinds = (int, float) if name in MEASURED else (int,)
        _demand(own[name] is None if value is None else type(value) in kinds and math.isfinite(value))
    callback.restore(found)


def check_partial(partial: dict[str, Any], samples: int, objective: Objective, rows: Dataset) -> None:
    """Raise an error of ``BROKEN`` unless these are running averages of the objective, after so many samples."""
    example = objective.prepare(rows.fetch(np.arange(1, dtype=np.int64)))
    averages = Averages(objective)
    averages.restore(partial)
    _demand(averages.count == samples)
    if averages.gathered:
        pairs = zip(objective.losses, objective.heads, averages.gathered, example.targets, strict=True)
        for rule, head, (targets, outputs), wanted in pairs:
            _demand(targets.dtype == wanted.dtype and targets.shape[1:] == wanted.shape[1:])
            _demand(outputs.dtype == np.float32 and len(outputs.shape) == 1 + len(head.shape))
            _demand(all(own in (None, side) for own, side in zip(head.shape, outputs.shape[1:], strict=True)))
            if len(targets):
                target_form(rule, head, targets, "run")
    _demand(all(type(value) is float for value in averages.results().values()))
    outputs = tuple(np.zeros((1, *(side or 1 for side in head.shape)), np.float32) for head in objective.heads)
    if not any(None in head.shape for head in objective.heads):  # the metrics' sums must go on, too
        averages.add(0.0, example, outputs)
        _demand(all(type(value) is float for value in averages.results().values()))


def _demand(right: bool) -> None:
    if not right:
        raise ValueError("the record has a value of another kind")
