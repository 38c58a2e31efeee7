"""``dltool pseudo-label``."""

import shlex
from typing import Any

import click

from dltool.cli import options
from dltool.cli.command import Command
from dltool.cli.console import Console, json_text, printable
from dltool.cli.progress import Counter
from dltool.cli.types import POSITIVE, PROBABILITY, NumberType
from dltool.errors import UsageError

PRECISION = NumberType(float, 0.01, 0.9999, "a part from 0.01 to 0.9999, as 0.97")


class ThresholdType(click.ParamType):
    """0.9 for all classes, or cat=0.9,dog=0.95. Gives the text as typed; which classes there are is known later."""

    name = "threshold"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        for part in value.split(","):
            PROBABILITY.convert(part.rpartition("=")[2], param, ctx)
        return value


@click.command("pseudo-label", cls=Command)
@options.model
@click.option(
    "--unlabelled", multiple=True, metavar="PATH", help="A folder of images, x.npy, or a list of paths (.csv)."
)
@options.dataset
@click.option("--val", multiple=True, metavar="PATH", help="Validation data.  [a valid/ folder, or a part of --data]")
@click.option(
    "--val-labels", multiple=True, callback=options.one_or_more, metavar="FILE", help="Labels of a validation array."
)
@click.option(
    "--threshold",
    type=ThresholdType(),
    metavar="P|A=P,B=P",
    help="Least probability to accept, for all classes or each.",
)
@click.option("--min-precision", type=PRECISION, metavar="P", help="Find thresholds so that a part P is right.  [0.95]")
@click.option("--max-per-class", type=POSITIVE, metavar="N", help="Accept the N surest of each class at most.")
@options.plugin
@options.output
@options.force
@options.compute
@options.as_json
@options.common
@click.pass_obj
def command(console: Console, model: str, as_json: bool, **rest) -> int:
    """Label unlabelled images that the model is sure of, for further training.

    \b
      dltool pseudo-label m.h5 --unlabelled pool/ --data train/ -o pool.csv
      dltool fit m.h5 --data train/ --extra pool.csv

    Thresholds and precision come from --val, or from the part of --data that fit held out. The list of
    path,label,weight goes to -o FILE, else to stdout.
    """
    from dltool.settings import PseudoLabelSettings

    settings = PseudoLabelSettings(model=model, data=options.data_settings(rest), **rest)
    check(settings, as_json)
    console.draw("reading the data")
    from dltool.workflows import pseudo_label

    result = pseudo_label.run(settings, Counter(console, "pseudo-label"))
    for text in result.failed:
        console.failure(text)
    report(console, result, settings, as_json)
    for text in result.warnings:
        console.warning(text)
    if settings.output is not None and settings.data.data:
        data = " ".join(f"--data {shlex.quote(path)}" for path in settings.data.data)
        console.hint(
            f"next    dltool fit {shlex.quote(model)} {data} --extra {shlex.quote(settings.output)}", fold=False
        )
    return 1 if result.failed and not settings.data.skip_bad else 0


def check(settings: Any, as_json: bool) -> None:
    """What can be refused before numpy is loaded."""
    if not settings.unlabelled:
        raise UsageError("--unlabelled: missing; give a folder of images, as --unlabelled pool/")
    if not settings.val and not settings.data.data:
        raise UsageError("--val: missing; give labelled rows that the model was not trained on, as --val val/")
    if settings.threshold is not None and settings.min_precision is not None:
        raise UsageError("--threshold: cannot be combined with --min-precision; give one of the two")
    if settings.val_labels is not None and not settings.val:
        raise UsageError("--val-labels: needs --val; give the array that the labels belong to")
    if as_json and settings.output is None:
        raise UsageError("--json: the list goes to stdout already; give -o FILE for it")


def report(console: Console, result: Any, settings: Any, as_json: bool) -> None:
    """The table on stdout, or on stderr where stdout has the list."""
    if settings.output is None:
        from dltool.workflows.path_lists import list_text

        console.results(list_text(result.rows).splitlines())
        tell = console.note
    else:
        tell = console.result
    if as_json:
        console.result(json_text(result.as_json()))
    else:
        for line in (*table(result), *totals(result)):
            tell(line)
    for text in result.notes:
        console.note(f"note    {text}")
    if settings.output is not None:
        console.note(f"saved   {settings.output}: {len(result.rows):,} rows of path,label,weight")


def table(result: Any) -> list[str]:
    """One line per class: threshold, accepted rows, the precision to expect with its interval, shares."""
    from tabulate import tabulate

    rows = []
    for found in result.classes:
        low, high = found.precision.interval
        precision = f"{found.expected:.3f} ({low:.2f}-{high:.2f})" if found.precision.total else "-"
        threshold = f"{found.threshold:.3f}" if found.threshold <= 1 else "-"
        shares = f"{found.share:.1%}", f"{found.train_share:.1%}"
        rows.append([printable(found.name), threshold, f"{found.accepted:,}", precision, *shares])
    headers = ["class", "threshold", "accepted", "est. precision (95%)", "share", "in train"]
    aligned = ("left", *["right"] * 5)
    return tabulate(rows, headers, tablefmt="plain", colalign=aligned, disable_numparse=True).splitlines()


def totals(result: Any) -> list[str]:
    """What came of the pool as a whole."""
    taken, left = len(result.rows), result.scored - len(result.rows)
    low, high = result.interval
    drift = ", ".join(f"{d.what} {d.divergence:.3f}" for d in result.drifts)
    return [
        f"{result.scored:,} rows scored, {taken:,} accepted ({taken / result.scored:.0%}), {left:,} left unlabelled",
        f"est. precision {result.precision:.3f} (95%: {low:.3f} to {high:.3f})",
        f"model on the validation rows {result.accuracy:.3f} (majority class {result.majority:.3f})",
        f"divergence from the validation rows: {drift}",
    ]
