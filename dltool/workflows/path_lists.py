"""Lists of paths: unlabelled rows to read, and labelled rows to write for ``dltool fit --extra``.

Relative paths in a list count from the list's own folder.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator

from dltool.errors import DataError
from dltool.modelfile.atomic import replacing

SUFFIXES = {".csv": ",", ".tsv": "\t", ".txt": "\n"}
"""Suffix of a list of paths -> what separates its cells."""

Row = tuple[str, str, float]
"""Path, label, weight."""


def expanded(path: str) -> Iterator[str]:
    """A list's paths, which count from its own folder; any other path as it is."""
    separator = SUFFIXES.get(os.path.splitext(path)[1].lower())
    if separator is None:
        yield path
        return
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = [row[0].strip() for row in csv.reader(file, delimiter=separator) if row and row[0].strip()]
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a list of paths ({error}); write one path per line") from error
    if lines and lines[0].lower() == "path":
        lines = lines[1:]
    if not lines:
        raise DataError(f"{path}: holds no paths; write one per line")
    yield from (os.path.join(os.path.dirname(path), line) for line in lines)


def list_text(rows: Iterable[Row], folder: str = "") -> str:
    """``path,label,weight`` as CSV; relative paths are written as seen from ``folder``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "weight"])
    for path, label, weight in rows:
        seen = path if os.path.isabs(path) or not folder else os.path.relpath(path, folder)
        writer.writerow([seen, label, f"{weight:g}"])
    return text.getvalue()


def write_list(rows: Iterable[Row], path: str, overwrite: bool) -> None:
    """Write the list whole or not at all. Raises OutputError."""
    data = list_text(rows, os.path.dirname(path)).encode("utf-8", "surrogateescape")
    with replacing(path, len(data), overwrite=overwrite) as descriptor, os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
