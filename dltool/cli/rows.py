"""Prediction rows as a table, csv, tsv, JSON lines or an array. Rows are written as they come.

Classes: ``path,label,prob``, with --top ``label_2,prob_2,...``, with --probs a column per class. Numbers:
``path,value[,value_1,...]``, with several outputs ``OUTPUT.value``. Failed inputs keep their row, with empty cells (NaN
in arrays), and are named on stderr. Only the npz of several outputs is put together in memory.
"""

import io
import math
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

from dltool.cli.console import Console, json_text, printable
from dltool.settings import PredictSettings

FLUSH_SECONDS = 0.2
"""Rows wait at most so long for the reader of a pipe."""
TABLE_ROWS = 64
"""The widths of a table's columns come from so many rows."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes spreadsheets take a cell for a formula."""


def write_rows(console: Console, result: Any, settings: PredictSettings, layout: str) -> int:
    """Write all rows and give the number of failed ones."""
    watched = Watched(console, result.rows)
    if layout == "jsonl":
        console.results(json_text(as_data(result, row, settings)) for row in watched)
    elif layout == "npy":
        write_arrays(console.binary_out, result, watched)
    elif layout == "png":
        for _ in watched:  # each picture is written as its row comes
            pass
    else:
        {"table": write_table, "csv": write_csv, "tsv": write_tsv}[layout](console, table_of(result, watched, settings))
    return watched.failed


class Watched:
    """Rows on their way: failures go to stderr and are counted, written rows are pushed out now and then."""

    def __init__(self, console: Console, rows: Iterable[Any], clock: Callable[[], float] = time.monotonic):
        self.console, self.rows, self.failed, self._clock = console, rows, 0, clock

    def __iter__(self) -> Iterator[Any]:
        flushed = -math.inf
        for row in self.rows:
            if row.error is not None:
                self.failed += 1
                self.console.failure(row.error)
            yield row
            now = self._clock()
            if now - flushed >= FLUSH_SECONDS:
                self.console.flush()
                flushed = now


def as_data(result: Any, row: Any, settings: PredictSettings) -> dict[str, Any]:
    """One JSON line."""
    found = result.as_json(row, settings.probs)
    if settings.top > 1 and row.top:
        found["top"] = [{"label": label, "prob": prob} for label, prob in row.top]
    return found


def table_of(result: Any, rows: Iterable[Any], settings: PredictSettings) -> Iterator[list[str]]:
    """The header, then one list of cells per row."""
    if result.classes is None:
        yield from value_table(result, rows)
        return
    top = min(settings.top, len(result.classes))
    best = [cell for i in range(1, top + 1) for cell in (("label", "prob") if i == 1 else (f"label_{i}", f"prob_{i}"))]
    probs = [f"prob.{name}" for name in result.classes] if settings.probs else []
    yield ["path", *best, *probs]
    for row in rows:
        yield [row.path, *_padded(_class_cells(row, settings.probs), len(best) + len(probs))]


def value_table(result: Any, rows: Iterable[Any]) -> Iterator[list[str]]:
    """The same for numbers; where the model leaves a size open, the first good row says how many there are."""
    rows = iter(rows)
    early: list[Any] = []
    shapes = result.output_shapes
    if any(None in shape for shape in shapes):
        early, shapes = _until_good(rows, shapes)
    header = value_names(result.output_names, shapes)
    yield ["path", *header]
    for row in chain(early, rows):
        yield [row.path, *_padded([_number(v) for output in row.outputs for v in output.reshape(-1)], len(header))]


def _until_good(rows: Iterator[Any], shapes: Any) -> tuple[list[Any], list[tuple[int, ...]]]:
    """Rows up to the first good one, and the shapes of its outputs (open sides are 1 when there is none)."""
    early = []
    for row in rows:
        early.append(row)
        if row.outputs:
            return early, [output.shape for output in row.outputs]
    return early, [tuple(side or 1 for side in shape) for shape in shapes]


def value_names(output_names: tuple[str, ...], shapes: Iterable[tuple[int, ...]]) -> list[str]:
    """Columns of numbers: value, value_1, ...; after the output's name and a point when there are several."""
    names = []
    for name, shape in zip(output_names, shapes, strict=True):
        prefix = f"{name}." if len(output_names) > 1 else ""
        names += [f"{prefix}value" if i == 0 else f"{prefix}value_{i}" for i in range(math.prod(shape))]
    return names


def _class_cells(row: Any, with_probs: bool) -> list[str]:
    if row.error is not None:
        return []
    cells = [cell for label, prob in row.top for cell in (label, _number(prob))]
    return [*cells, *map(_number, row.probs)] if with_probs else cells


def _padded(cells: list[str], size: int) -> list[str]:
    return cells or [""] * size


def _number(value: Any) -> str:
    """The shortest text that gives the same float32."""
    import numpy as np

    return str(np.float32(value))


def are_numbers(header: list[str]) -> list[bool]:
    """Which columns hold numbers, by their names."""
    return [name.partition(".")[0].partition("_")[0] in ("prob", "value") or ".value" in name for name in header]


def write_table(console: Console, rows: Iterator[list[str]]) -> None:
    """Aligned columns, numbers with four digits; a later row that is longer than the first ones stands out."""
    header = [printable(name) for name in next(rows)]
    numeric = are_numbers(header)
    shown = (_table_cells(row, numeric) for row in rows)
    first = list(islice(shown, TABLE_ROWS))
    widths = [max(map(len, column)) for column in zip(header, *first, strict=True)]
    for cells in chain([header], first, shown):
        aligned = (
            f"{cell:>{width}}" if is_number else f"{cell:<{width}}"
            for cell, width, is_number in zip(cells, widths, numeric, strict=True)
        )
        console.result("  ".join(aligned).rstrip())


def _table_cells(row: list[str], numeric: list[bool]) -> list[str]:
    pairs = zip(row, numeric, strict=True)
    return [_rounded(cell) if is_number else printable(cell) or "-" for cell, is_number in pairs]


def _rounded(cell: str) -> str:
    if not cell:
        return "-"
    value = float(cell)
    return f"{value:.4f}" if abs(value) < 1e4 else f"{value:.5g}"


def write_csv(console: Console, rows: Iterator[list[str]]) -> None:
    """Comma-separated; texts that a spreadsheet would take for a formula are quoted and get an apostrophe."""
    header = next(rows)
    numeric = are_numbers(header)
    console.result(",".join(map(csv_cell, header)))
    for row in rows:
        cells = (cell if is_number else csv_cell(cell) for cell, is_number in zip(row, numeric, strict=True))
        console.result(",".join(cells))


def csv_cell(text: str) -> str:
    """One text cell: ``=1+1`` becomes ``"'=1+1"``."""
    is_formula = text.startswith(FORMULA)
    text = printable(text)
    if is_formula or any(c in text for c in ',"'):
        return '"' + ("'" if is_formula else "") + text.replace('"', '""') + '"'
    return text


def write_tsv(console: Console, rows: Iterator[list[str]]) -> None:
    for row in rows:
        console.cells(*row)


def write_arrays(stream: Any, result: Any, rows: Iterable[Any]) -> None:
    """A .npy of (n, ...) float32, or with several outputs an .npz of one such array each."""
    import numpy as np

    rows = iter(rows)
    early: list[Any] = []
    shapes = result.output_shapes
    if any(None in shape for shape in shapes):
        early, shapes = _until_good(rows, shapes)
    missing = [np.full(shape, np.nan, np.float32) for shape in shapes]
    arrays = (row.outputs or missing for row in chain(early, rows))
    if len(shapes) == 1:
        header = {"descr": "<f4", "fortran_order": False, "shape": (result.num_rows, *shapes[0])}
        np.lib.format.write_array_header_1_0(stream, header)
        for (array,) in arrays:
            stream.write(np.asarray(array, "<f4").tobytes())
        stream.flush()
        return
    columns = list(zip(*arrays, strict=True))
    file = io.BytesIO()
    np.savez(file, **{name: np.stack(column) for name, column in zip(result.output_names, columns, strict=True)})
    stream.write(file.getvalue())
    stream.flush()
