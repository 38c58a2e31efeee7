"""The journal of a search: a line of JSON for what is searched, then one for every rung that a trial has come to.

It is only ever added to, each line with one write and onto the disk, so that a search that was killed goes on after its
last whole line. The trials' own states lie beside it while the search runs.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from typing import Any

from dltool.errors import DataError, OutputError, UsageError
from dltool.modelfile.atomic import check_target, reason_of
from dltool.training.halving import Result

SCHEMA = "dltool.tune-journal/1"
MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class Entry:
    """A result with what made it.

    Attributes:
        values: what was tried. measured: the values of the best epoch so far. elapsed: seconds of the whole search.
    """

    result: Result
    values: dict[str, Any]
    measured: dict[str, float]
    elapsed: float

    def as_json(self) -> dict[str, Any]:
        """The documented form, as a line of the journal has it."""
        found = self.result
        row = {"trial": found.trial + 1, "rung": found.rung, "epochs": found.epochs, "values": self.values}
        score = None if math.isnan(found.score) else found.score
        tie = None if math.isnan(found.tie) else found.tie
        measured = {name: value if math.isfinite(value) else None for name, value in self.measured.items()}
        times = {"seconds": round(found.seconds, 3), "elapsed": round(self.elapsed, 3)}
        return {**row, "score": score, "tie": tie, "measured": measured, **times}


class Journal:
    """The file, or nothing where none was named.

    Args:
        path: None keeps nothing.

    Attributes:
        entries: of earlier parts of the search.
    """

    def __init__(self, path: str | None):
        self.path, self.entries = path, []
        self._header: dict[str, Any] | None = None
        self._end = 0
        if path is not None:
            self._read(path)

    def begin(self, header: dict[str, Any], force: bool = False) -> None:
        """Say what is searched, or check that it is what the file has.

        Raises:
            UsageError: the file is of another search. OutputError: it cannot be written.
        """
        if self.path is None:
            return
        header = json.loads(json.dumps({"schema": SCHEMA, **header}))
        if self._header is None or (force and self._header != header):
            self.entries, self._end = [], 0
            self._append(header, os.O_CREAT | os.O_TRUNC)
            return
        other = next((key for key in header if self._header.get(key) != header[key]), None)
        if other is not None:
            differ = "differ" if other in ("options", "plugins") else "differs"
            raise UsageError(
                f"--journal: {self.path} is of another search ({other} {differ}); give the same command, another file, "
                "or --force to begin anew"
            )

    def add(self, entry: Entry) -> None:
        """Raises OutputError."""
        self.entries.append(entry)
        if self.path is not None:
            self._append(entry.as_json())

    def _append(self, row: dict[str, Any], flags: int = 0) -> None:
        line = (json.dumps(row) + "\n").encode()
        try:
            descriptor = os.open(self.path, os.O_RDWR | getattr(os, "O_BINARY", 0) | flags, 0o666)
            try:
                os.ftruncate(descriptor, self._end)  # half a line of a process that was killed
                os.lseek(descriptor, self._end, os.SEEK_SET)
                written = os.write(descriptor, line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {reason_of(error)}") from None
        if written < len(line):
            raise OutputError(f"{self.path}: disk full; free some space and run the same command again")
        self._end += len(line)

    def _read(self, path: str) -> None:
        check_target(path)
        try:
            with open(path, "rb") as file:
                text = file.read(MOST_BYTES)
        except FileNotFoundError:
            return
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {reason_of(error)}; give another --journal") from None
        lines = text[: text.rfind(b"\n") + 1].splitlines(keepends=True)
        try:
            rows = [json.loads(line) for line in lines]
            if rows and rows[0]["schema"] != SCHEMA:
                raise ValueError
            self.entries = [_entry(row) for row in rows[1:]]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise DataError(f"{path}: is no journal of dltool tune; give another file") from None
        if text and not rows:
            raise DataError(f"{path}: is no journal of dltool tune; give another file")
        self._header, self._end = rows[0] if rows else None, sum(map(len, lines))


def _entry(row: dict[str, Any]) -> Entry:
    """A line of the journal. Raises ValueError, LookupError or TypeError for anything else."""
    numbers = [int(row[name]) for name in ("trial", "rung", "epochs")]
    if min(numbers[0] - 1, numbers[1], numbers[2] - 1) < 0 or not isinstance(row["values"], dict):
        raise ValueError
    score, tie = (math.nan if row[name] is None else float(row[name]) for name in ("score", "tie"))
    result = Result(numbers[0] - 1, numbers[1], score, tie, float(row["seconds"]), numbers[2])
    measured = {str(name): math.nan if value is None else float(value) for name, value in row["measured"].items()}
    return Entry(result, dict(row["values"]), measured, float(row["elapsed"]))
