"""``dltool summary``."""

from typing import Any

import click

from dltool.cli import options
from dltool.cli.command import Command
from dltool.cli.console import Console, aligned, clipped, json_text, wrapped
from dltool.errors import UsageError
from dltool.wording import counted


@click.command("summary", cls=Command)
@click.argument("model", type=click.Path(), required=False, metavar="MODEL")
@click.option(
    "--weights", is_flag=False, flag_value="", metavar="[NAME]", help="Statistics of the weights; values of one."
)
@click.option("--config", is_flag=True, help="The network as Keras JSON.")
@click.option("--timing", is_flag=True, help="Measure each layer at inference, on one lane.")
@click.option("--advice", is_flag=True, help="What experienced people would remark on the model.")
@click.option("--activations", is_flag=True, help="Dead and saturated units of each layer, on the rows of --data.")
@options.data
@options.labels
@click.option("--diff", type=click.Path(), metavar="OTHER", help="What is different in another model.")
@options.batch_size
@options.plugin
@options.as_json
@options.common
@click.pass_obj
def command(console: Console, model: str | None, as_json: bool, **rest) -> None:
    """Show what a model file holds.

    \b
      dltool summary m.h5
      dltool summary m.h5 --timing
      dltool summary m.h5 --weights dense/kernel
      dltool summary m.h5 --diff other.h5

    Layers, output shapes, parameters, multiply-adds and memory for one sample; input, classes, loss, optimizer and
    history as far as the file knows them.
    """
    if model is None and rest["weights"]:
        model, rest["weights"] = rest["weights"], ""  # summary --weights m.h5: the one word is the model
    if model is None:
        raise UsageError("MODEL: missing; see 'dltool summary --help'")
    config, advice = rest.pop("config"), rest.pop("advice")
    from dltool.settings import SummarySettings

    settings = SummarySettings(model=model, data=options.data_settings(rest), **rest)
    for name in ("data", "labels"):
        if getattr(settings.data, name) and not settings.activations:
            raise UsageError(f"--{name}: is for --activations; add it, or leave --{name} out")
    modes = {"--weights": settings.weights is not None, "--config": config, "--timing": settings.timing}
    modes |= {"--activations": settings.activations, "--advice": advice, "--diff": settings.diff is not None}
    given = [name for name, asked in modes.items() if asked]
    if len(given) > 1:
        raise UsageError(f"{given[1]}: cannot be combined with {given[0]}; give one of the two")
    from dltool.workflows import summary

    if config:
        console.results(json_text(summary.config(settings), indent=None if as_json else 2).splitlines())
    elif settings.weights is not None:
        show_weights(console, *summary.weights(settings), as_json)
    elif settings.activations:
        from dltool.workflows.reports import activations

        show_activations(console, *activations.run(settings), as_json)
    elif advice:
        show_advice(console, summary.advise(settings), as_json)
    elif settings.diff is not None:
        found = summary.diff(settings)
        console.results([json_text(found.as_json())] if as_json else difference_lines(found, console.result_width))
    else:
        console.draw("measuring") if settings.timing else None
        result = summary.run(settings)
        console.result(json_text(result.as_json())) if as_json else show(console, result)


def show(console: Console, result: Any) -> None:
    """The table and what follows it, at most as wide as the terminal (80 columns when there is none)."""
    width = console.result_width
    headers = ["output shape", "parameters", "mult-adds", "memory", *(["ms"] if result.timed_rows else [])]
    cells = [_cells(row, bool(result.timed_rows)) for row in result.rows]
    taken = sum(max(map(len, column)) + 2 for column in zip(headers, *cells, strict=True))
    rows = [[_layer(row, max(width - taken, 13)), *rest] for row, rest in zip(result.rows, cells, strict=True)]
    head, *body = aligned([["layer (class)", *headers], *rows], left=2)
    console.results([head, "-" * max(map(len, (head, *body))), *body])
    console.result("")
    for name, text in [*totals(result), *result.facts]:
        lines = wrapped(text, width - 12) or [""]
        console.results(f"{name if not i else '':<12}{line}" for i, line in enumerate(lines))


def _cells(row: Any, timed: bool) -> list[str]:
    """A layer's columns after its name."""
    counts = [_count(row.multiply_adds), _bytes(row.activation_bytes)]
    time = ["-" if row.milliseconds is None else f"{row.milliseconds:.3f}"] if timed else []
    return [row.shape, "-" if row.shared else f"{row.parameters:,}", *counts, *time]


def show_activations(console: Console, rows: list[Any], num_rows: int, as_json: bool) -> None:
    """One line per layer: its units, and the parts of them that are dead or of values that are saturated."""
    if as_json:
        found = {"schema": "dltool.activations/1", "n": num_rows, "layers": [row.as_json() for row in rows]}
        console.result(json_text(found))
        return
    cells = [
        [
            row.name,
            row.activation,
            f"{row.units:,}",
            *("-" if x is None else f"{x:.1%}" for x in (row.dead, row.saturated)),
        ]
        for row in rows
    ]
    console.results(aligned([["layer", "activation", "units", "dead", "saturated"], *cells], left=2))
    console.note(f"{counted(num_rows, 'row')}; dead: 0 for all of them; saturated: within 1 % of an end of the range")


def totals(result: Any) -> list[tuple[str, str]]:
    """Parameters, computation and memory, one line each."""
    parts = [("trainable", result.trainable), ("frozen", result.frozen), ("statistics", result.statistics)]
    told = ", ".join(f"{count:,} {name}" for name, count in parts if count)
    lines = [("parameters", f"{result.parameters:,}" + (f": {told}" if told else ""))]
    if result.multiply_adds is not None:
        work = f"{_count(result.multiply_adds)} multiply-adds a sample ({_count(2 * result.multiply_adds)} FLOPs)"
        lines.append(("compute", work))
    memory = f"weights {_bytes(4 * result.parameters)}"
    if result.activation_bytes is not None:
        memory += f", activations {_bytes(result.activation_bytes)} a sample (all outputs, as training keeps them)"
    lines.append(("memory", memory))
    if result.timed_rows:
        speed = f"{1000 * result.timed_rows / result.milliseconds:,.0f} rows/s" if result.milliseconds else ""
        lines.append(
            ("timing", f"{result.milliseconds:.3f} ms for {counted(result.timed_rows, 'row')} on one lane, {speed}")
        )
    return lines


def _layer(row: Any, room: int) -> str:
    text = f"{row.name} ({row.kind})" + (" frozen" if row.frozen else "") + (" shared" if row.shared else "")
    if row.inputs:
        text += f" @{'+'.join(row.inputs)}"
    return clipped(text, room)


def _count(number: int | None) -> str:
    """12,345 or 1.23 M."""
    if number is None:
        return "?"
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if number >= size:
            return f"{number / size:.3g} {unit}" if number / size < 1000 else f"{number / size:,.0f} {unit}"
    return f"{number:,}"


def _bytes(number: int | None) -> str:
    """Decimal units, as disks and files have them."""
    if number is None:
        return "?"
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} B"


def show_weights(console: Console, rows: list[Any], values: Any, as_json: bool) -> None:
    """A line of statistics per weight; for a single one its values follow, one line per last axis."""
    import numpy as np

    if as_json:
        found = {"schema": "dltool.summary/1", "weights": [row.as_json() for row in rows]}
        if values is not None:
            found["values"] = np.where(np.isfinite(values), values.astype(object), None).tolist()
        console.result(json_text(found))
        return
    bad = any(row.num_bad for row in rows)
    headers = ["shape", "mean", "std", "min", "max", "zeros", *(["NaN/inf"] if bad else [])]
    cells = [_weight_cells(row, bad) for row in rows]
    room = console.result_width - sum(max(map(len, column)) + 2 for column in zip(headers, *cells, strict=True))
    names = [clipped(row.name, max(room, 12)) for row in rows]
    table = [["weight", *headers], *([name, *rest] for name, rest in zip(names, cells, strict=True))]
    console.results(aligned(table, left=2))
    if values is not None:
        console.result("")
        for line in values.reshape(-1, values.shape[-1] if values.ndim else 1):
            console.result(" ".join(map(str, line)))


def _weight_cells(row: Any, bad: bool) -> list[str]:
    shape = "x".join(map(str, row.shape)) or "scalar"
    numbers = ["-" if v is None else f"{v:.4g}" for v in (row.mean, row.std, row.min, row.max)]
    cells = [shape, *numbers, f"{100 * row.zeros:.1f}%"]
    return [*cells, str(row.num_bad)] if bad else cells


def show_advice(console: Console, remarks: list[Any], as_json: bool) -> None:
    """The remarks, the most important first, each with its source."""
    if as_json:
        console.result(json_text({"schema": "dltool.summary/1", "advice": [vars(remark) for remark in remarks]}))
        return
    width = console.result_width
    for remark in remarks:
        console.results(wrapped(f"- {remark.words}", width, subsequent_indent="  "))
        console.results(wrapped(f"({remark.source})", width, initial_indent="  ", subsequent_indent="  "))
    if not remarks:
        console.result("nothing to remark")


def difference_lines(found: Any, width: int) -> list[str]:
    """What changed, or that nothing did."""
    if found.is_empty:
        return [f"no difference: the layers and all {found.num_equal:,} weights are equal"]
    lines = []
    signs = {"added": "+", "removed": "-", "changed": "~"}
    for change in found.layers:
        lines += wrapped(f"{signs[change.kind]} {change.name}: {change.words}", width, subsequent_indent="    ")
    for weight in found.weights:
        change = "another shape" if weight.largest == float("inf") else f"largest difference {weight.largest:.3g}"
        relative = f", {weight.relative:.2%} of its size" if weight.relative < 100 else ""
        lines.append(f"~ {clipped(weight.name, 28)}: {change}{relative}")
    if found.num_equal:
        lines.append(f"= {found.num_equal:,} weight{'s are' if found.num_equal > 1 else ' is'} equal")
    for name, first, second in found.facts:
        text = f"~ {name}: {first or '-'} | {second or '-'}"
        lines += wrapped(text, width, subsequent_indent="    ")
    return lines
