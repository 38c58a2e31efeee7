"""Whole numbers that name entries of a table (words, symbols): how many there are, and whether a model knows all.

Imports numpy and ``dltool.errors``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dltool.data.dataset import Dataset
from dltool.errors import DataError

_CHUNK_ROWS = 4096


def vocabulary_of(dataset: Dataset) -> int:
    """One more than the largest number in the first input."""
    return 1 + int(max(rows.max() for _, rows in _chunks(dataset, 0)))


def check_tokens(dataset: Dataset, number: int, vocabulary: int) -> None:
    """Raise DataError naming the first value of an input that is no whole number from 0 to below ``vocabulary``.

    Args:
        number: of the input among the model's.
    """
    for start, rows in _chunks(dataset, number):
        error = token_error(rows, vocabulary)
        if error is not None:
            row, text = error
            raise DataError(f"{dataset.names([start + row])[0]}: {text}")


def token_error(rows: np.ndarray, vocabulary: int) -> tuple[int, str] | None:
    """(row, what is wrong) of the first row (rows, ...) with a number that has no entry; None when all have one."""
    wrong = (rows < 0) | (rows >= vocabulary) | (rows != np.rint(rows))
    if not wrong.any():
        return None
    row, *place = (int(i) for i in np.argwhere(wrong)[0])
    value, step = rows[(row, *place)], ",".join(map(str, place))
    return row, (
        f"holds {value:g} at step {step}, but the model knows the numbers 0 to {vocabulary - 1}; "
        "number the tokens as in the training, or build the model with a larger vocabulary"
    )


def _chunks(dataset: Dataset, number: int) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(dataset), _CHUNK_ROWS):
        rows = np.arange(start, min(start + _CHUNK_ROWS, len(dataset)))
        yield start, dataset.fetch(rows).inputs[number]
