"""How well strings are read: the shares of wrong strings and of wrong characters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dltool.training.measures import Measure, proportion, with_influences


def text_of(symbols: Sequence[int], alphabet: Sequence[str]) -> str:
    """The text of symbols that count from 1; with a space between them where the alphabet has longer names.

    >>> text_of([1, 3], ("a", "b", "c")), text_of([1, 2], ("10", "11"))
    ('ac', '10 11')
    """
    return ("" if all(len(name) == 1 for name in alphabet) else " ").join(alphabet[symbol - 1] for symbol in symbols)


def edit_distance(a: Sequence[int], b: Sequence[int]) -> int:
    """The fewest insertions, deletions and replacements that turn ``a`` into ``b``.

    Source: Levenshtein, "Binary codes capable of correcting deletions, insertions, and reversals", 1966.
    """
    before = list(range(len(b) + 1))
    for i, symbol in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (symbol != other)))
        before = row
    return before[-1]


class StringTally:
    """Strings that were read, beside what stands there; see ``tallies``.

    Args:
        alphabet: the texts of the symbols 1, 2, ...

    Attributes:
        rows_right: (n,) bool, all of the string right.
    """

    kind = "strings"
    names = ("string_error_rate", "character_error_rate")

    def __init__(self, alphabet: Sequence[str]):
        self.alphabet = tuple(alphabet)
        self._truth: list[list[int]] = []
        self._read: list[list[int]] = []
        self._edits: list[int] = []

    @property
    def rows_right(self) -> np.ndarray:
        return np.array(self._edits) == 0

    def add(self, truth: np.ndarray, read: Sequence[list[int]]) -> None:
        """The next rows: (n, longest) symbols with 0 behind them, and the symbols that were read."""
        for symbols, found in zip(truth.tolist(), read, strict=True):
            wanted = [int(symbol) for symbol in symbols if symbol]
            self._truth.append(wanted)
            self._read.append(list(found))
            self._edits.append(edit_distance(found, wanted))

    def metrics(self) -> dict[str, Measure]:
        """Share of strings with any mistake, and edits per true character."""
        edits, lengths = np.array(self._edits, np.float64), np.array([len(row) for row in self._truth], np.float64)
        wrong = proportion(int((edits > 0).sum()), len(edits))
        total = lengths.sum()
        if not total:
            return {"string_error_rate": wrong}
        rate = float(edits.sum() / total)
        return {
            "string_error_rate": wrong,
            "character_error_rate": with_influences(rate, (edits - rate * lengths) / total, 0.0),
        }

    def row(self, row: int) -> tuple[str, str]:
        """What stands in a row, and what was read."""
        return text_of(self._truth[row], self.alphabet), text_of(self._read[row], self.alphabet)
