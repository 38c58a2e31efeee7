"""Lists of labelled paths for ``dltool fit --extra``; relative paths count from the list's own folder."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable

from dltool.modelfile.atomic import replacing

Row = tuple[str, str, float]
"""Path, label, weight."""


def list_text(rows: Iterable[Row], folder: str = "") -> str:
    """``path,label,weight`` as CSV; relative paths are written as seen from ``folder``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "weight"])
    for path, label, weight in rows:
        writer.writerow([seen_from(path, folder), label, f"{weight:g}"])
    return text.getvalue()


def seen_from(path: str, folder: str) -> str:
    """A relative path as a list in ``folder`` writes it."""
    return path if os.path.isabs(path) or not folder else os.path.relpath(path, folder)


def write_list(rows: Iterable[Row], path: str, overwrite: bool) -> None:
    """Write the list whole or not at all. Raises OutputError."""
    write_text(list_text(rows, os.path.dirname(path)), path, overwrite)


def write_text(text: str, path: str, overwrite: bool) -> None:
    """Write a list that is text already, whole or not at all. Raises OutputError."""
    data = text.encode("utf-8", "surrogateescape")
    with replacing(path, len(data), overwrite=overwrite) as descriptor, os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
