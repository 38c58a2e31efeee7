"""What ``fit`` writes beside the model: a log of numbers, checkpoints, a picture of the curves.

A file that cannot be written any more never ends a training: the user is warned, and told again at the end.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import string
from collections.abc import Callable, Sequence
from typing import Any

from dltool.errors import OutputError, UsageError
from dltool.modelfile.atomic import check_target
from dltool.registry import nearest
from dltool.training.callbacks import Callback, Events
from dltool.training.run import Run

MOST_NAMES = 100_000


class LogFile(Callback):
    """One row per epoch, and with ``batches`` one per batch: .csv or .jsonl.

    Rows of epochs have no ``batch``; rows of batches have the batch's own loss and no metrics. Floats are written so
    that they read back exactly; NaN and infinity as null or an empty cell. A resumed run drops the rows after the point
    where it goes on.

    Args:
        names: of the values of an epoch, in order.
        resumed: keep what an earlier part of the run wrote.
    """

    def __init__(self, path: str, names: Sequence[str], events: Events, batches: bool = False, resumed: bool = False):
        self.path, self.events, self.batches = path, events, batches
        self.columns = ["epoch", "batch", "step", "seconds", "learning_rate", *names]
        self.is_csv = path.lower().endswith(".csv")
        self.resumed, self.error = resumed, ""
        self._file: io.TextIOBase | None = None

    def train_begin(self, run: Run) -> None:
        kept = self._kept(run) if self.resumed else []
        self._try(lambda: self._open(kept))

    def _open(self, kept: list[str]) -> None:
        self._file = open(self.path, "w", encoding="utf-8", newline="")  # noqa: SIM115 - closed in train_end
        header = [_csv_line(self.columns)] if self.is_csv else []
        self._file.writelines(kept or header)
        self._file.flush()

    def _kept(self, run: Run) -> list[str]:
        """The lines of an earlier part of this run, header included; [] when there is none."""
        if not os.path.exists(self.path):
            return []
        try:
            with open(self.path, encoding="utf-8", newline="") as file:
                lines = file.read().splitlines(keepends=True)
        except (OSError, UnicodeDecodeError):
            return []
        if self.is_csv:
            return lines[:1] + [line for line in lines[1:] if self._is_before(next(csv.reader([line])), run)]
        return [line for line in lines if self._is_before(_cells(line), run)]

    def _is_before(self, cells: list[Any], run: Run) -> bool:
        """Whether a row (epoch, batch, step, ...) was written before where the run is."""
        try:
            epoch, step = int(cells[0]), int(cells[2])
        except (ValueError, IndexError, TypeError):
            return False
        return step <= run.step if cells[1] not in ("", None) else epoch <= run.epoch

    def batch_end(self, run: Run) -> None:
        if self.batches:
            rate = run.rate_at(run.step, run.learning_rate)
            self._write({"epoch": run.epoch, "batch": run.batch, "loss": run.batch_loss}, run, rate)

    def epoch_end(self, run: Run) -> None:
        values = dict(run.history[-1])
        self._write({**values, "seconds": round(run.seconds, 3)}, run, values["learning_rate"])

    def _write(self, values: dict[str, Any], run: Run, rate: float) -> None:
        row = {**values, "step": run.step, "learning_rate": rate}
        row = {name: _finite(row[name]) for name in self.columns if name in row}
        cells = ["" if row.get(name) is None else row[name] for name in self.columns]
        text = _csv_line(cells) if self.is_csv else json.dumps(row, allow_nan=False) + "\n"
        if self._file is not None and not self.error:
            self._try(lambda: self._put(text))

    def _put(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            self.error = f"{self.path}: cannot be written: {error.strerror or error}; its rows are lost from here on"
            self.events.warning(self.error)

    def train_end(self, run: Run) -> None:
        if self._file is not None:
            self._try(self._file.close)


def _cells(line: str) -> list[Any]:
    try:
        row = json.loads(line)
        return [row.get("epoch"), row.get("batch"), row.get("step")]
    except (ValueError, AttributeError):
        return []


def _csv_line(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _finite(value: float) -> float | None:
    """None for NaN and infinity, which JSON has no word for: null there, an empty cell in CSV."""
    return value if math.isfinite(value) else None


class Checkpoint(Callback):
    """Writes the model as it is at an epoch's end.

    With a field in its name, ``e{epoch:03}.h5`` or ``{epoch}-{val_loss:.2f}.h5``, one file for every epoch; else one
    file, replaced at each improvement of the monitor (at every epoch without one).

    Args:
        write: writes the model to a path.
    """

    def __init__(self, template: str, write: Callable[[Run, str], None], events: Events):
        self.template, self.write, self.events = template, write, events
        self.is_template = bool(fields_of(template))
        self.error = ""

    def epoch_end(self, run: Run) -> None:
        if not self.is_template and run.monitor is not None and not run.is_best:
            return
        try:
            self.write(run, filled(self.template, dict(run.history[-1])))
        except (OutputError, ValueError) as error:
            self.error = str(error)
            self.events.warning(f"no checkpoint of epoch {run.epoch}: {error}")


def fields_of(template: str) -> list[str]:
    """Names in braces. Raises UsageError for braces that do not match."""
    try:
        return [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise UsageError(
            f"--checkpoint: {template!r} is no file name ({error}); write it as e{{epoch:03}}.h5"
        ) from None


def filled(template: str, values: dict[str, Any]) -> str:
    return template.format(**values) if fields_of(template) else template


def check_checkpoint(template: str, names: Sequence[str], epochs: range, model: str, overwrite: bool) -> None:
    """Find out before the training whether checkpoints can be written.

    Args:
        names: of the values of an epoch.

    Raises:
        UsageError: a field that is no value of an epoch, or the model's own name. OutputError: a file is in the way.
    """
    known = ["epoch", "learning_rate", *names]
    found = fields_of(template)
    for name in found:
        if name not in known:
            close = nearest(name, known)
            advice = f"did you mean {{{close}}}?" if close else f"an epoch has {', '.join(known)}"
            raise UsageError(f"--checkpoint: {{{name}}} in {template!r} is not known; {advice}")
    numbers = list(epochs)[:MOST_NAMES] if found == ["epoch"] else list(epochs)[:1]
    try:
        paths = [filled(template, {**dict.fromkeys(known, 1.0), "epoch": number}) for number in numbers]
    except ValueError as error:
        raise UsageError(
            f"--checkpoint: {template!r} cannot be filled in ({error}); write it as e{{epoch:03}}.h5"
        ) from None
    if os.path.abspath(model) in map(os.path.abspath, paths):
        raise UsageError(f"--checkpoint: {model} is the model itself; give another name")
    check_target(paths[0], overwrite=overwrite)
    taken = [path for path in paths if os.path.lexists(path)]
    if taken and not overwrite:
        raise OutputError(f"{taken[0]}: exists; use --force to replace it")


def check_log(path: str, overwrite: bool) -> None:
    """Raises UsageError for another kind of file, OutputError when it cannot be written."""
    if not path.lower().endswith((".csv", ".jsonl")):
        raise UsageError(f"--log: {path} is neither .csv nor .jsonl; name it so")
    check_target(path, overwrite=overwrite)
