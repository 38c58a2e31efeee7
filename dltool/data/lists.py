"""Lists of files with labels: ``path,label[,weight]`` as CSV, TSV or JSON lines, in a file or on stdin.

A list is text; what it names is opened later, by the readers of images and arrays. Relative paths count from the list's
own folder (from the current one for stdin). Imports the standard library, numpy and ``dltool.errors``.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.errors import DataError

SEPARATORS = {".csv": ",", ".tsv": "\t", ".jsonl": "", ".ndjson": ""}
"""Suffix of a list -> what separates its cells; "" for JSON lines."""
STDIN = "-"
BETWEEN_LABELS = ";"
"""Between the labels of a row that may have several, ``cat;dog``; in JSON they are a list."""
MAX_BYTES = 256 << 20
COLUMNS = {
    "path": ("path", "file", "filename", "image", "image_path"),
    "label": ("label", "class", "target"),
    "weight": ("weight", "sample_weight"),
}
"""What a header may call the columns that are read; others are ignored."""
_ARRAY_ROW = re.compile(r"(.+\.np[yz])\[([0-9]{1,18})\]", re.DOTALL)
_WHOLE = re.compile(r"[+-]?[0-9]+")
_CLASS_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class ListedRow:
    """One row of a list: its line, the path to open, the path as written, its label and its weight."""

    line: int
    path: str
    written: str
    label: str = ""
    weight: float = 1.0

    @property
    def labels(self) -> list[str]:
        """The labels of a row that may have several, or none."""
        return [label for part in self.label.split(BETWEEN_LABELS) if (label := part.strip())]


@dataclass(frozen=True)
class FileList:
    """A list that was read. ``source`` is its path or "-"; ``has_weights`` tells whether any row gives one."""

    source: str
    rows: tuple[ListedRow, ...]
    has_weights: bool

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def weights(self) -> np.ndarray | None:
        """(n,) float32, or None when no row gives one."""
        return np.array([row.weight for row in self.rows], np.float32) if self.has_weights else None

    def where(self, row: ListedRow) -> str:
        return f"{name_of(self.source)}: line {row.line}"


def name_of(source: str) -> str:
    """What to call a list in messages."""
    return "stdin" if source == STDIN else source


def is_list(path: str) -> bool:
    """Whether a path names a list, judged by its suffix; "-" does."""
    return path == STDIN or os.path.splitext(path)[1].lower() in SEPARATORS


def read_list(source: str, labelled: bool = True) -> FileList:
    """The rows of a list.

    Args:
        labelled: every row must have a label.

    Raises:
        DataError: naming the line that cannot be used.
    """
    text = _text(source)
    rows = tuple(_rows(source, text))
    if not rows:
        raise DataError(f"{name_of(source)}: holds no rows; write one path,label per line")
    unlabelled = next((row for row in rows if not row.label), None) if labelled else None
    if unlabelled is not None:
        raise DataError(f"{name_of(source)}: line {unlabelled.line} has no label; write it as path,label")
    has_weights = any(row.weight != 1 for row in rows)
    if has_weights and not any(row.weight for row in rows):
        raise DataError(f"{name_of(source)}: every weight is 0, so nothing would be learnt; give some rows more")
    return FileList(source, rows, has_weights)


def array_row(path: str) -> tuple[str, int] | None:
    """``x.npy[17]`` -> ("x.npy", 17); None for other paths."""
    match = _ARRAY_ROW.fullmatch(path)
    return (match[1], int(match[2])) if match else None


def _text(source: str) -> str:
    data = _bytes(source)
    if len(data) > MAX_BYTES:
        raise DataError(f"{name_of(source)}: a list of more than {MAX_BYTES >> 20} MB; split it")
    if b"\0" in data:
        raise DataError(f"{name_of(source)}: not UTF-8 text; save the list as UTF-8")
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def _bytes(source: str) -> bytes:
    try:
        if source == STDIN:
            if sys.stdin is None:
                raise DataError("stdin: is closed; give a list on it, or name a file")
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        if not stat.S_ISREG(os.stat(source).st_mode):
            raise DataError(f"{source}: is not a regular file; give a list of path,label")
        with open(source, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{name_of(source)}: cannot be read ({reason}); check the path and its permissions") from error


def _rows(source: str, text: str) -> Iterator[ListedRow]:
    separator = _separator(source, text)
    folder = "" if source == STDIN else os.path.dirname(source)
    found = _json_lines(source, text) if separator == "" else _separated(source, text, separator)
    for line, path, label, weight in found:
        if not path:
            raise DataError(f"{name_of(source)}: line {line} has no path; write it as path,label")
        if "\n" in label or "\r" in label:
            raise DataError(f"{name_of(source)}: line {line} has a line break in its label; close the quotes")
        yield ListedRow(line, os.path.join(folder, path), path, label, _weight(source, line, weight))


def _separator(source: str, text: str) -> str:
    """By the suffix; on stdin JSON lines begin with "{", and TSV has a tabulator in its first line."""
    if source != STDIN:
        return SEPARATORS[os.path.splitext(source)[1].lower()]
    start = text.lstrip()
    if start.startswith("{"):
        return ""
    return "\t" if "\t" in start.partition("\n")[0] else ","


def _separated(source: str, text: str, separator: str) -> Iterator[tuple[int, str, str, str]]:
    """(line, path, label, weight) of every row."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    places: list[int] | None = None
    try:
        for cells in reader:
            if not any(map(str.strip, cells)):
                continue
            if places is None:
                header = _header(cells)
                places = header or [0, 1, 2]
                if header:
                    continue
                _check_width(source, reader.line_num, cells)
            elif places == [0, 1, 2]:
                _check_width(source, reader.line_num, cells)
            path, label, weight = (cells[p].strip() if 0 <= p < len(cells) else "" for p in places)
            yield reader.line_num, path, label, weight
    except csv.Error as error:
        raise DataError(
            f"{name_of(source)}: line {reader.line_num} cannot be read ({error}); check its quotes"
        ) from error


def _check_width(source: str, line: int, cells: Sequence[str]) -> None:
    if len(cells) > 3:
        raise DataError(
            f"{name_of(source)}: line {line} has {len(cells)} cells; write path,label,weight, "
            "and quote what holds the separator"
        )


def _header(cells: Sequence[str]) -> list[int] | None:
    """Where path, label and weight stand (-1: nowhere) when the cells are a header; None for a row."""
    words = [cell.strip().lower() for cell in cells]
    places = [next((words.index(name) for name in names if name in words), -1) for names in COLUMNS.values()]
    is_header = places[0] >= 0 and (places[1] >= 0 or len(words) == 1)
    return places if is_header else None


def _json_lines(source: str, text: str) -> Iterator[tuple[int, str, str, str]]:
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{name_of(source)}: line {line} is not JSON; write one object per line") from error
        if not isinstance(row, dict):
            raise DataError(f'{name_of(source)}: line {line} is no object; write {{"path": "1.png", "label": "cat"}}')
        path, label, weight = (_cell(source, line, row, names) for names in COLUMNS.values())
        label = label if isinstance(label, str) else BETWEEN_LABELS.join(label)
        yield line, path, label, weight


def _cell(source: str, line: int, row: dict[str, Any], names: Sequence[str]) -> Any:
    """The text of a cell; of several labels the list of their texts."""
    value = next((row[name] for name in names if row.get(name) is not None), "")
    if isinstance(value, list) and names is COLUMNS["label"] and all(isinstance(label, str) for label in value):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DataError(f"{name_of(source)}: line {line}: {names[0]} is neither text nor a number; write it plainly")
    return value.strip() if isinstance(value, str) else repr(value)


def _weight(source: str, line: int, text: str) -> float:
    if not text:
        return 1.0
    value = number(text)
    if value is None or value < 0:
        raise DataError(f"{name_of(source)}: line {line}: weight {text!r} is not a number from 0 up")
    return value


def number(text: str) -> float | None:
    """A finite number that float32 can hold, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) <= 3.4e38 else None


def hold_numbers(lists: Sequence[FileList]) -> bool:
    """Whether the labels are numbers to learn: all are numbers, and one is not written as a whole number."""
    labels = {row.label for listed in lists for row in listed.rows}
    return all(number(label) is not None for label in labels) and not all(map(_WHOLE.fullmatch, labels))


def hold_class_numbers(lists: Sequence[FileList]) -> bool:
    """Whether all labels are whole numbers from 0, written without leading zeros."""
    return all(_CLASS_NUMBER.fullmatch(row.label) for listed in lists for row in listed.rows)


def targets_of(listed: FileList) -> np.ndarray:
    """(n, 1) float32 numbers of a list. Raises DataError naming the line that holds none."""
    values = []
    for row in listed.rows:
        value = number(row.label)
        if value is None:
            raise DataError(f"{listed.where(row)}: label {row.label!r} is not a number; the model gives numbers")
        values.append(value)
    return np.array(values, np.float32)[:, np.newaxis]
