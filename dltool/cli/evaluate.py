"""``dltool evaluate``."""

from typing import Any

import click

from dltool.cli import options
from dltool.cli.command import Command, plugins
from dltool.cli.console import Console, json_text
from dltool.cli.output import check_output, output_to
from dltool.cli.progress import Counter, tell_waiting
from dltool.cli.types import BETA, COUNT, GATE
from dltool.errors import UsageError


@click.command("evaluate", cls=Command)
@options.model
@click.argument("other", required=False, type=click.Path(), metavar="[OTHER]")
@options.dataset
@options.series
@options.target
@click.option("--beta", type=BETA, default=1.0, metavar="B", help="Also the F score where recall counts B times.")
@options.top
@click.option("--top-losses", type=COUNT, default=0, metavar="N", help="List the N rows with the largest loss.")
@click.option(
    "--fail-under", type=GATE, multiple=True, metavar="NAME=X", help="Exit 1 when a metric is worse; repeatable."
)
@options.beam
@options.tta
@options.compute
@options.exact
@options.plugin
@options.as_json
@options.output
@options.force
@options.common
@click.pass_context
def command(context: click.Context, model: str, as_json: bool, output: str | None, force: bool, **rest) -> int:
    """Measure a model on labelled data.

    \b
      dltool evaluate m.h5 --data test/ --fail-under accuracy=0.85
      dltool evaluate old.h5 new.h5 --data test/

    The model file knows its classes and how its images are read, so --data is all that is needed. A second model is
    measured on the same rows, and compared.
    """
    console: Console = context.obj
    from dltool.settings import EvaluateSettings

    settings = EvaluateSettings(model=model, data=options.data_settings(rest), plugins=plugins(context), **rest)
    if not settings.data.data:
        raise UsageError("--data: missing; give a folder of class folders or an array, as --data test/")
    console.draw("reading the data")
    from dltool.cli import report
    from dltool.workflows import evaluate

    check_output(output, force)
    work = evaluate.run if settings.other is None else evaluate.compare
    result = work(settings, Counter(console, "evaluate"))
    results = [result] if settings.other is None else [result.first, result.second]
    for text in dict.fromkeys(note for found in results for note in found.notes):
        console.note(f"note    {text}")
    tell_waiting(console, [found.waiting for found in results])
    with output_to(console, output, force):
        if as_json:
            console.result(json_text(result.as_json()))
        elif settings.other is None:
            report.show(console, result)
        else:
            report.show_comparison(console, result)
    return missed(console, results)


def missed(console: Console, results: list[Any]) -> int:
    """Name the limits that were not kept; 1 when there are any."""
    failed = [(result, gate) for result in results for gate in result.gates if not gate.passed]
    for result, gate in failed:
        value = "could not be measured" if gate.value is None else f"is {gate.value:.4f}"
        wanted = "at least" if gate.higher_is_better else "at most"
        console.failure(f"{result.model}: {gate.name} {value}, {wanted} {gate.limit:g} is wanted")
    return 1 if failed else 0
