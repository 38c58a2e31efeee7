"""``dltool pseudo-label``."""

import shlex
from collections.abc import Sequence
from typing import Any

import click

from dltool.cli import options
from dltool.cli.command import Command, plugins
from dltool.cli.console import Console, json_text, printable
from dltool.cli.progress import Counter, Progress
from dltool.cli.types import POSITIVE, PROBABILITY, NumberType
from dltool.errors import UsageError
from dltool.wording import counted

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
@options.validation
@click.option(
    "--threshold",
    type=ThresholdType(),
    metavar="P|A=P,B=P",
    help="Least probability to accept, for all classes or each.",
)
@click.option("--min-precision", type=PRECISION, metavar="P", help="Find thresholds so that a part P is right.  [0.95]")
@click.option("--max-per-class", type=POSITIVE, metavar="N", help="Accept the N surest of each class at most.")
@click.option(
    "--no-calibration",
    "calibrate",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Take the model's probabilities as they are.",
)
@click.option("--into", metavar="DIR", help="Link each accepted file into DIR/LABEL/.")
@click.option("--rounds", type=POSITIVE, metavar="N", help="Label and train N times, while validation does not worsen.")
@click.option("--train-to", metavar="FILE", help="Train with the list, and write the model here.")
@click.option("--epochs", type=POSITIVE, metavar="N", help="Passes over the data.")
@options.augment
@click.option("--ask", type=POSITIVE, metavar="N", help="Instead list N doubtful, different rows for you to label.")
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
      dltool pseudo-label m.h5 --unlabelled pool/ --data train/ --train-to n.h5
      dltool pseudo-label m.h5 --unlabelled pool/ --ask 50 -o ask.csv

    Thresholds and precision come from --val, or from the part of --data that fit held out. The list of
    path,label,weight goes to -o FILE; to stdout where no file or folder is named.
    """
    from dltool.settings import PseudoLabelSettings

    rounds = rest.pop("rounds")
    found = {"plugins": plugins(click.get_current_context()), "rounds": rounds or 1}
    settings = PseudoLabelSettings(model=model, data=options.data_settings(rest), **found, **rest)
    check(settings, as_json, rounds is not None)
    console.draw("reading the data")
    counter = Counter(console, "pseudo-label")
    if settings.ask is not None:
        from dltool.workflows.pseudo_labels import ask

        asked = ask.run(settings, counter)
        tell_questions(console, asked, settings, as_json)
        return ending(console, asked.failed, settings)
    if settings.train_to is not None:
        from dltool.workflows.pseudo_labels.rounds import run as run_rounds

        result = run_rounds(settings, counter, Rounds(console))
    else:
        from dltool.workflows import pseudo_label

        result = pseudo_label.run(settings, counter)
    report(console, result, settings, as_json)
    for text in result.warnings:
        console.warning(text)
    hint(console, settings)
    return ending(console, result.failed, settings)


def ending(console: Console, failed: tuple[str, ...], settings: Any) -> int:
    """The exit code, after the rows that could not be read."""
    for text in failed:
        console.failure(text)
    return 1 if failed and not settings.data.skip_bad else 0


def hint(console: Console, settings: Any) -> None:
    """What to do with the outcome."""
    extra = settings.output or settings.into
    if settings.train_to is not None:
        console.hint(f"next    dltool evaluate {shlex.quote(settings.train_to)} --data TEST", fold=False)
    elif extra is not None and settings.data.data:
        data = " ".join(f"--data {shlex.quote(path)}" for path in settings.data.data)
        console.hint(
            f"next    dltool fit {shlex.quote(settings.model)} {data} --extra {shlex.quote(extra)}", fold=False
        )


ONLY_LABELS = {
    "--threshold": "threshold",
    "--min-precision": "min_precision",
    "--max-per-class": "max_per_class",
    "--into": "into",
    "--train-to": "train_to",
    "--epochs": "epochs",
    "--augment": "augment",
}
"""Options about accepted rows, of which --ask has none: option -> field."""


def check(settings: Any, as_json: bool, has_rounds: bool) -> None:
    """What can be refused before numpy is loaded."""
    if not settings.unlabelled:
        raise UsageError("--unlabelled: missing; give a folder of images, as --unlabelled pool/")
    if settings.val_labels is not None and not settings.val:
        raise UsageError("--val-labels: needs --val; give the array that the labels belong to")
    if as_json and goes_to_stdout(settings):
        raise UsageError("--json: the list goes to stdout already; give -o FILE for it")
    if settings.ask is not None:
        check_ask(settings, has_rounds)
        return
    if not settings.val and not settings.data.data:
        raise UsageError("--val: missing; give labelled rows that the model was not trained on, as --val val/")
    if settings.threshold is not None and settings.min_precision is not None:
        raise UsageError("--threshold: cannot be combined with --min-precision; give one of the two")
    trainings = {
        "--rounds": has_rounds,
        "--epochs": settings.epochs is not None,
        "--augment": settings.augment is not None,
    }
    for option, is_given in trainings.items():
        if is_given and settings.train_to is None:
            raise UsageError(f"{option}: needs --train-to FILE, a name for the model that is trained")


def check_ask(settings: Any, has_rounds: bool) -> None:
    found = next((option for option, name in ONLY_LABELS.items() if getattr(settings, name) is not None), None)
    found = found or ("--rounds" if has_rounds else None) or (None if settings.calibrate else "--no-calibration")
    if found is not None:
        raise UsageError(f"{found}: cannot be combined with --ask, which accepts no rows; give one of the two")


def goes_to_stdout(settings: Any) -> bool:
    """Whether the list does: nobody named anything to write."""
    return settings.output is None and settings.into is None and settings.train_to is None


class Rounds(Progress):
    """Shows trainings with lists: their epochs, and what each round gained."""

    def understood(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.console.detail(line)

    def note(self, text: str) -> None:
        self.console.detail(text)

    def hint(self, text: str) -> None:
        """Nothing: the training was chosen by the user before."""

    def finished(self, run: Any) -> None:
        """Nothing: the round's end says what came out."""

    def interrupted(self, run: Any, path: str) -> None:
        """Nothing: the file is temporary."""

    def round_begin(self, result: Any, number: int, epochs: int) -> None:
        tell_temperature(self.console, result)
        rows, passes = counted(len(result.rows), "row"), counted(epochs, "epoch")
        self.console.note(f"round {number}  {rows} accepted, est. precision {result.precision:.3f}; {passes}")

    def round_end(self, found: Any) -> None:
        end = "kept" if found.kept else "worse, not kept"
        self.console.note(
            f"round {found.number}  right on the validation rows {found.before:.4f} -> {found.after:.4f}  {end}"
        )

    def stopped(self, text: str) -> None:
        self.console.note(text)


def tell_temperature(console: Console, result: Any) -> None:
    found = result.temperature
    if found is not None:
        console.note(f"temperature {found.value:.2f}, ECE {found.before:.3f} -> {found.after:.3f}")


def report(console: Console, result: Any, settings: Any, as_json: bool) -> None:
    """The table on stdout, or on stderr where stdout has the list."""
    if not result.rounds:
        tell_temperature(console, result)
    if goes_to_stdout(settings):
        from dltool.workflows.pseudo_labels.path_lists import list_text

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
        console.note(f"saved   {settings.output}: {counted(len(result.rows), 'row')} of path,label,weight")
    if settings.into is not None:
        console.note(f"saved   {settings.into}: {len(result.rows):,} links in folders of classes")
    if settings.train_to is not None:
        last = max(found.number for found in result.rounds if found.kept)
        console.note(f"saved   {settings.train_to}: the model of round {last}")


def tell_questions(console: Console, asked: Any, settings: Any, as_json: bool) -> None:
    """The list on stdout, or what is in its file."""
    num = len(asked.questions)
    mean = sum(question.margin for question in asked.questions) / num
    rows = counted(asked.scored, "row")
    line = f"{rows} scored, {num:,} to label; mean lead of the guess {mean:.3f}, of all {asked.margin:.3f}"
    if settings.output is None:
        from dltool.workflows.pseudo_labels.ask import ask_text

        console.results(ask_text(asked).splitlines())
        console.note(line)
    else:
        console.result(json_text(asked.as_json()) if as_json else line)
    for text in asked.notes:
        console.note(f"note    {text}")
    if settings.output is not None:
        console.note(f"saved   {settings.output}: fill in the column label, and give it to fit --extra")


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
    taken, left, rows = len(result.rows), result.scored - len(result.rows), counted(result.scored, "row")
    low, high = result.interval
    drift = ", ".join(f"{d.what} {d.divergence:.3f}" for d in result.drifts)
    return [
        f"{rows} scored, {taken:,} accepted ({taken / result.scored:.0%}), {left:,} left unlabelled",
        f"est. precision {result.precision:.3f} (95%: {low:.3f} to {high:.3f})",
        f"model on the validation rows {result.accuracy:.3f} (majority class {result.majority:.3f})",
        f"divergence from the validation rows: {drift}",
    ]
