"""Which rows belong together: several photos of one patient, frames of one film.

A group file has one group name per line, in the order of the rows, or CSV lines ``path,group``. Imports the standard
library, numpy and ``dltool.errors``.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence

import numpy as np

from dltool.errors import DataError

MAX_BYTES = 256 << 20
_HEADERS = (["group"], ["path", "group"])


def read_groups(path: str, names: Sequence[str], relative: Sequence[str] | None = None) -> np.ndarray:
    """(n,) int64 group number of every row.

    Args:
        names: of all rows, in order: paths, or ``x.npy[17]``.
        relative: other names of the rows ("cat/1.jpg"), which the file may use instead.

    Raises:
        DataError: the file cannot be read, or does not say a group for every row.
    """
    rows = _read(path)
    if all(len(row) == 1 for row in rows):
        groups = [row[0] for row in rows]
        if len(groups) != len(names):
            raise DataError(f"{path}: {len(groups)} groups for {len(names)} rows; write one per row, or path,group")
    elif all(len(row) == 2 for row in rows):
        groups = _by_path(path, dict(rows), names, relative or names)
    else:
        raise DataError(f"{path}: lines of different lengths; write one group per line, or path,group")
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _read(path: str) -> list[list[str]]:
    try:
        if not os.path.isfile(path):
            raise DataError(f"{path}: is no file; give a text file with one group per line, or path,group")
        if os.path.getsize(path) > MAX_BYTES:
            raise DataError(f"{path}: more than {MAX_BYTES >> 20} MB; give a smaller group file")
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(map(str.strip, row))]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); write one group per line, or path,group") from error
    if rows and [cell.lower() for cell in rows[0]] in _HEADERS:
        rows = rows[1:]
    if not rows:
        raise DataError(f"{path}: holds no groups; write one group per line, or path,group")
    return rows


def _by_path(path: str, groups: dict[str, str], names: Sequence[str], relative: Sequence[str]) -> list[str]:
    """The group of each row, looked up by its name as written, then by where it is."""
    folder = os.path.dirname(path)
    placed = {os.path.abspath(os.path.join(folder, name)): group for name, group in groups.items()}
    found = []
    for name, short in zip(names, relative, strict=True):
        group = groups.get(name) or groups.get(short) or placed.get(os.path.abspath(name))
        if group is None:
            raise DataError(f"{path}: no group for {name}; write a line {short},GROUP")
        found.append(group)
    return found
