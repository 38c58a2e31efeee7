"""Prediction rows as a table, csv, tsv, JSON lines or an array. Writes rows as they come, except the table and arrays.

Classes: ``path,label,prob``, with --top ``label_2,prob_2,...``, with --probs a column per class. Numbers:
``path,value[,value_1,...]``, with several outputs ``OUTPUT.value``. Failed inputs keep their row, with empty cells (NaN
in arrays), and are named on stderr.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from dltool.cli.console import Console, printable
from dltool.settings import PredictSettings


def write_rows(console: Console, result: Any, settings: PredictSettings, layout: str) -> int:
    """Write all rows and give the number of failed ones."""
    watched = Watched(console, result.rows)
    if layout == "jsonl":
        console.results(json.dumps(as_data(result, row, settings)) for row in watched)
    elif layout == "npy":
        console.binary_out.write(as_array_file(result, watched))
    else:
        {"table": write_table, "csv": write_csv, "tsv": write_tsv}[layout](console, table_of(result, watched, settings))
    return watched.failed


class Watched:
    """Rows on their way, failures reported to stderr and counted."""

    def __init__(self, console: Console, rows: Iterable[Any]):
        self.console, self.rows, self.failed = console, rows, 0

    def __iter__(self) -> Iterator[Any]:
        for row in self.rows:
            if row.error is not None:
                self.failed += 1
                self.console.failure(row.error)
            yield row


def as_data(result: Any, row: Any, settings: PredictSettings) -> dict[str, Any]:
    """One JSON line."""
    found = result.as_json(row, settings.probs)
    if settings.top > 1 and row.top:
        found["top"] = [{"label": label, "prob": prob} for label, prob in row.top]
    return found


def table_of(result: Any, rows: Iterable[Any], settings: PredictSettings) -> Iterator[list[str]]:
    """The header, then one list of cells per row. Waits for a first good row of numbers, to know how many there are."""
    if result.classes is not None:
        top = min(settings.top, len(result.classes))
        best = [
            cell for i in range(1, top + 1) for cell in (("label", "prob") if i == 1 else (f"label_{i}", f"prob_{i}"))
        ]
        probs = [f"prob.{name}" for name in result.classes] if settings.probs else []
        yield ["path", *best, *probs]
        for row in rows:
            yield [row.path, *_padded(_class_cells(row, settings.probs), len(best) + len(probs))]
        return
    waiting: list[Any] = []
    header: list[str] | None = None
    for row in rows:
        if header is None and row.error is not None:
            waiting.append(row)
            continue
        if header is None:
            header = value_names(result.output_names, row.outputs)
            yield ["path", *header]
            yield from ([early.path, *[""] * len(header)] for early in waiting)
        yield [row.path, *_padded([_number(v) for output in row.outputs for v in output.reshape(-1)], len(header))]
    if header is None:
        yield ["path", "value"]
        yield from ([early.path, ""] for early in waiting)


def value_names(output_names: tuple[str, ...], outputs: tuple[Any, ...]) -> list[str]:
    """Columns of numbers: value, value_1, ...; after the output's name and a point when there are several."""
    names = []
    for name, output in zip(output_names, outputs, strict=True):
        prefix = f"{name}." if len(outputs) > 1 else ""
        names += [f"{prefix}value" if i == 0 else f"{prefix}value_{i}" for i in range(output.size)]
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


def write_table(console: Console, rows: Iterator[list[str]]) -> None:
    """Aligned columns, numbers with four digits."""
    from tabulate import tabulate

    header, *body = ([printable(cell) for cell in row] for row in rows)
    numeric = [name.partition(".")[0].partition("_")[0] in ("prob", "value") or ".value" in name for name in header]
    shown = [
        [_rounded(cell) if is_number else cell for cell, is_number in zip(row, numeric, strict=True)] for row in body
    ]
    aligned = ["right" if is_number else "left" for is_number in numeric]
    table = tabulate(shown, header, tablefmt="plain", colalign=aligned if shown else None, disable_numparse=True)
    console.results(line.rstrip() for line in table.splitlines())


def _rounded(cell: str) -> str:
    if not cell:
        return "-"
    value = float(cell)
    return f"{value:.4f}" if abs(value) < 1e4 else f"{value:.5g}"


def write_csv(console: Console, rows: Iterator[list[str]]) -> None:
    for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([printable(cell) for cell in row])
        console.result(line.getvalue())


def write_tsv(console: Console, rows: Iterator[list[str]]) -> None:
    for row in rows:
        console.cells(*row)


def as_array_file(result: Any, rows: Iterable[Any]) -> bytes:
    """A .npy of (n, ...) float32, or with several outputs an .npz of one such array each."""
    import numpy as np

    found = [row.outputs for row in rows]
    shapes = next(
        ([output.shape for output in outputs] for outputs in found if outputs), [()] * len(result.output_names)
    )
    arrays = []
    for i, shape in enumerate(shapes):
        missing = np.full(shape, np.nan, np.float32)
        values = [np.asarray(outputs[i], np.float32) if outputs else missing for outputs in found]
        arrays.append(np.stack(values) if values else np.empty((0, *shape), np.float32))
    file = io.BytesIO()
    if len(arrays) == 1:
        np.save(file, arrays[0], allow_pickle=False)
    else:
        np.savez(file, **dict(zip(result.output_names, arrays, strict=True)))
    return file.getvalue()
