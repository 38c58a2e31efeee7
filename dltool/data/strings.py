"""Labels that are strings, for CTC: every row is read as symbols of an alphabet, as many as it has.

Symbols are numbered from 1 in the order of the alphabet; 0, which is CTC's blank, fills rows up. In files of numbers
the symbols count from 0, as classes do, and -1 fills up. Imports numpy and ``dltool.errors``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dltool.data.arrays import STRINGS
from dltool.data.listing import natural_key
from dltool.errors import DataError

FILL = -1
"""What stands behind a string's last symbol in a file of numbers."""


def parse_strings(
    array: np.ndarray, path: str, alphabet: tuple[str, ...] | None = None, num_symbols: int | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The symbols of all strings and the alphabet, from the array of a label file.

    Args:
        array: (n,) texts, or (n, longest) whole numbers from 0, filled up with -1.
        alphabet: of the model; None: what occurs.
        num_symbols: of a model without an alphabet.

    Returns:
        (n, longest) int64, symbols from 1 and 0 behind them; the alphabet.

    Raises:
        DataError: an unknown symbol, a fill between symbols, no symbols at all.
    """
    if array.dtype.kind in STRINGS:
        if array.ndim != 1 and array.shape[1:] != (1,):
            raise DataError(f"{path}: texts of shape {array.shape}; save one text per row, shape (rows,)")
        try:
            texts = [t.decode("utf-8") if isinstance(t, bytes) else str(t) for t in array.reshape(-1).tolist()]
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: texts that are not valid Unicode; save them as text") from error
        if alphabet is None and num_symbols is not None:
            alphabet = tuple(map(str, range(num_symbols)))
        return encoded(texts, alphabet, lambda row: f"{path}: row {row}")
    if array.ndim != 2 or (array.dtype.kind == "f" and not (array == np.rint(array)).all()):
        raise DataError(
            f"{path}: labels of shape {array.shape} are no strings; save texts, or whole numbers of shape "
            f"(rows, longest) filled up with {FILL}"
        )
    return _numbered(array.astype(np.int64), path, alphabet, num_symbols)


def encoded(
    texts: Sequence[str], alphabet: tuple[str, ...] | None, where: Callable[[int], str]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The same from texts; ``where(row)`` says what to call a row in a message."""
    if alphabet is None:
        alphabet = tuple(sorted({symbol for text in texts for symbol in text}, key=natural_key))
    if not alphabet:
        raise DataError(f"{where(0)}: every text is empty, so there is nothing to read; give texts")
    place = {symbol: number for number, symbol in enumerate(alphabet, 1)}
    values = np.zeros((len(texts), max(1, max(map(len, texts)))), np.int64)
    for row, text in enumerate(texts):
        unknown = next((symbol for symbol in text if symbol not in place), None)
        if unknown is not None:
            known = "".join(alphabet[:40]) + ("..." if len(alphabet) > 40 else "")
            raise DataError(f"{where(row)} has the symbol {unknown!r}; the alphabet is {known}")
        values[row, : len(text)] = [place[symbol] for symbol in text]
    return values, alphabet


def _numbered(
    symbols: np.ndarray, path: str, alphabet: tuple[str, ...] | None, num_symbols: int | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    lengths = (symbols != FILL).sum(axis=1)
    known = len(alphabet) if alphabet is not None else num_symbols
    filled = np.arange(symbols.shape[1]) >= lengths[:, np.newaxis]
    wrong = (symbols < FILL) | (filled != (symbols == FILL))
    if known is not None:
        wrong |= symbols >= known
    if wrong.any():
        row, step = (int(i) for i in np.argwhere(wrong)[0])
        range_text = f"0 to {known - 1}" if known is not None else "0 up"
        raise DataError(
            f"{path}: symbol {symbols[row, step]} at row {row}, step {step}; symbols go from {range_text}, "
            f"and {FILL} stands behind the last one only"
        )
    if not lengths.any():
        raise DataError(f"{path}: every string is empty, so there is nothing to read; give symbols from 0 up")
    names = alphabet or tuple(map(str, range(known or int(symbols.max()) + 1)))
    return symbols[:, : int(lengths.max())] + 1, names
