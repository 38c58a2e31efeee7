"""``dltool evaluate``."""

import json
from typing import Any

import click

from dltool.cli import options
from dltool.cli.command import Command
from dltool.cli.console import Console, printable
from dltool.cli.progress import Counter
from dltool.errors import UsageError
from dltool.settings import EvaluateSettings

MOST_CLASSES = 30
"""So many classes get a row each; of more, the worst are shown."""
MOST_PAIRS = 5


@click.command("evaluate", cls=Command)
@options.model
@options.dataset
@options.compute
@options.as_json
@options.common
@click.pass_obj
def command(console: Console, model: str, as_json: bool, **rest) -> None:
    """Measure a model on labelled data.

    \b
      dltool evaluate m.h5 --data test/
      dltool evaluate m.h5 --data test/ --json

    The model file knows its classes and how its images are read, so --data is all that is needed.
    """
    settings = EvaluateSettings(model=model, data=options.data_settings(rest), **rest)
    if not settings.data.data:
        raise UsageError("--data: missing; give a folder of class folders or an array, as --data test/")
    console.draw("reading the data")
    from dltool.workflows import evaluate

    result = evaluate.run(settings, Counter(console, "evaluate"))
    for text in result.notes:
        console.note(f"note    {text}")
    if as_json:
        console.result(json.dumps(result.as_json()))
    else:
        show(console, result)


def show(console: Console, result: Any) -> None:
    """What was measured, in at most 80 columns (or the terminal's)."""
    from tabulate import tabulate

    classes = f", {len(result.classes):,} classes" if result.classes else ""
    console.result(f"{result.n:,} {result.unit if result.n != 1 else result.unit[:-1]}{classes}")
    lines = [(name, f"{value.value:.4f}", _remark(name, value, result)) for name, value in result.metrics.items()]
    lines.append(("loss", f"{result.loss:.4f}" if abs(result.loss) < 1000 else f"{result.loss:.4g}", ""))
    width = max(len(name) for name, _, _ in lines)
    console.results(f"{name:<{width}}  {value}  {remark}".rstrip() for name, value, remark in lines)
    if not result.classes:
        return
    worst = sorted(result.scores, key=lambda s: s.f1)[:MOST_CLASSES] if len(result.scores) > MOST_CLASSES else []
    headers = ["class" if not worst else f"worst {len(worst)} classes", "prec", "rec", "f1", "n"]
    rows = [
        [printable(s.name), f"{s.precision:.3f}", f"{s.recall:.3f}", f"{s.f1:.3f}", f"{s.n:,}"]
        for s in worst or result.scores
    ]
    console.result("")
    aligned = ("left", *["right"] * 4)
    console.results(tabulate(rows, headers, tablefmt="plain", colalign=aligned, disable_numparse=True).splitlines())
    matrix = confusion_table(result)
    if max(map(len, matrix)) <= (console.width if console.out_is_terminal else 80):
        console.results(["", *matrix])
    pairs = most_confused(result)
    if pairs:
        console.results(["", "most confused (true -> predicted)", *(f"  {t} -> {p}  {n:,}" for t, p, n in pairs)])


def _remark(name: str, measure: Any, result: Any) -> str:
    if measure.low is None:
        return ""
    baseline = f", majority class {result.majority:.4f}" if name == "accuracy" and result.majority is not None else ""
    return f"(95%: {measure.low:.4f} to {measure.high:.4f}{baseline})"


def confusion_table(result: Any) -> list[str]:
    """The confusion matrix as lines, rows true, columns predicted."""
    from tabulate import tabulate

    rows = [
        [printable(name), *(f"{count:,}" if count else "." for count in counts)]
        for name, counts in zip(result.classes, result.confusion.tolist(), strict=True)
    ]
    aligned = ("left", *["right"] * len(result.classes))
    headers = ["true\\pred", *map(printable, result.classes)]
    return tabulate(rows, headers, tablefmt="plain", colalign=aligned, disable_numparse=True).splitlines()


def most_confused(result: Any) -> list[tuple[str, str, int]]:
    """(true, predicted, count) of the most frequent mistakes."""
    counts = result.confusion.tolist()
    found = [
        (result.classes[t], result.classes[p], count)
        for t, row in enumerate(counts)
        for p, count in enumerate(row)
        if t != p and count
    ]
    return sorted(found, key=lambda pair: -pair[2])[:MOST_PAIRS]
