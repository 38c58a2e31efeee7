"""``dltool summary``."""

import json
import textwrap
from dataclasses import asdict
from typing import Any

import click

from dltool.cli import options
from dltool.cli.command import Command
from dltool.cli.console import Console, printable
from dltool.settings import SummarySettings


@click.command("summary", cls=Command)
@options.model
@options.as_json
@options.common
@click.pass_obj
def command(console: Console, model: str, as_json: bool) -> None:
    """Show what a model file holds.

    \b
      dltool summary m.h5
      dltool summary m.h5 --json

    Layers, output shapes and parameters; input, classes, loss, optimizer and history as far as the file knows them.
    """
    from dltool.workflows import summary

    result = summary.run(SummarySettings(model=model))
    if as_json:
        console.result(json.dumps(as_data(result)))
    else:
        show(console, result)


def show(console: Console, result: Any) -> None:
    """The table and what follows it, at most as wide as the terminal (80 columns when there is none)."""
    from tabulate import tabulate

    width = max(min(console.width, 100), 40) if console.out_is_terminal else 80
    rows = [[_layer(row, width), row.shape, "-" if row.shared else f"{row.parameters:,}"] for row in result.rows]
    headers = ["layer (class)", "output shape", "parameters"]
    table = tabulate(rows, headers, tablefmt="simple", colalign=("left", "left", "right"), disable_numparse=True)
    console.results(table.splitlines())
    console.result("")
    parts = [("trainable", result.trainable), ("frozen", result.frozen), ("statistics", result.statistics)]
    told = ", ".join(f"{count:,} {name}" for name, count in parts if count)
    facts = [("parameters", f"{result.parameters:,}" + (f": {told}" if told else "")), *result.facts]
    for name, text in facts:
        lines = textwrap.wrap(text, width - 12) or [""]
        console.results(f"{name if not i else '':<12}{line}" for i, line in enumerate(lines))


def _layer(row: Any, width: int) -> str:
    text = f"{row.name} ({row.kind})" + (" frozen" if row.frozen else "") + (" shared" if row.shared else "")
    if row.inputs:
        text += f" @{'+'.join(row.inputs)}"
    text, room = printable(text), width - 32
    return text if len(text) <= room else text[: room - 1] + "…"


def as_data(result: Any) -> dict[str, Any]:
    """The JSON of ``dltool summary --json``."""
    return {
        "schema": "dltool.summary/1",
        "layers": [asdict(row) for row in result.rows],
        "parameters": {
            "total": result.parameters,
            "trainable": result.trainable,
            "frozen": result.frozen,
            "statistics": result.statistics,
        },
        **dict(result.facts),
    }
