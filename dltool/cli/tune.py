"""``dltool tune``."""

import shlex
import time
from typing import Any

import click
from click.core import ParameterSource

from dltool.cli import fit, options
from dltool.cli.command import Command, plugins
from dltool.cli.console import Console, aligned, json_text
from dltool.cli.progress import Progress, duration, number, short
from dltool.cli.types import POSITIVE, NameType
from dltool.errors import UsageError
from dltool.wording import counted

SHOWN = 10
"""So many trials are in the table."""
WORDS = "dltool.tune.words"
"""Where the context keeps the words of the command, to show how to go on."""
OF_FIT = frozenset(
    [
        "--val",
        "--val-labels",
        "--val-split",
        "--group",
        "--extra",
        "--arch",
        "--batch-size",
        "--optimizer",
        "--loss",
        "--metric",
        "--loss-weight",
        "--schedule",
        "--warmup",
        "--clip-norm",
        "--clip-value",
        "--weight-decay",
        "--label-smoothing",
        "--ema",
        "--freeze",
        "--augment",
        "--balance",
        "--class-weight",
        "--epochs",
        "--time",
        "--monitor",
        "--plugin",
        "--seed",
        "--jobs",
        "--backend",
        "--exact",
        "--no-normalize",
        "--no-rescale",
    ]
)
"""Options that trials have as ``fit`` has them."""


class TuneCommand(Command):
    """Remembers its words, and has options of ``fit``."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.params += [param for param in fit.command.params if OF_FIT & {*param.opts, *param.secondary_opts}]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[WORDS] = list(args)
        return super().parse_args(ctx, args)


class TryType(click.ParamType):
    """``lr=1e-4..1e-1:log`` or ``optimizer=adam,sgd``: each value is one that the option of ``fit`` takes."""

    name = "try"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from dltool.training.search_space import parse

        try:
            found = parse(value)
        except UsageError as error:
            self.fail(str(error).removeprefix("--try: "), param, ctx)
        option = f"--{found.name}"
        kind = next((p.type for p in command.params if option in p.opts and option in (*OF_FIT, "--lr")), None)
        for one in found.extremes if kind is not None else ():
            if one != "none" or isinstance(kind, NameType):
                kind.convert(str(one), param, ctx)
        return value


@click.command("tune", cls=TuneCommand)
@options.model
@options.dataset
@options.learning_rate
@click.option(
    "--try",
    "tries",
    type=TryType(),
    multiple=True,
    metavar="NAME=VALUES",
    help="What to try, as lr=1e-4..1e-1:log, dropout=0..0.5, optimizer=adam,sgd, arch.width=16..64; repeat for more.",
)
@click.option("--trials", type=POSITIVE, metavar="N", help="Begin no more than N trials.")
@click.option("--journal", metavar="FILE", help="Remember every trial here; the same command goes on after a crash.")
@options.output
@options.force
@options.as_json
@options.common
@click.pass_context
def command(context: click.Context, model: str, as_json: bool, **rest: Any) -> None:
    """Find good options for a training: try many a little, train the best on.

    \b
      dltool tune m.h5 --data train/ --arch cnn --try lr=1e-4..1e-1:log --time 10m
      dltool tune m.h5 --data train/ --try optimizer=adam,sgd --trials 30

    MODEL gets the best model; with --arch it is built anew for every trial, else every trial starts from it. The best
    third of the trials goes on three times as long, and so on up to --epochs.
    """
    began = time.monotonic()  # importing the engine counts for --time too
    console: Console = context.obj
    given = tuple(name for name in rest if context.get_parameter_source(name) is ParameterSource.COMMANDLINE)
    from dltool.settings import FitSettings, TuneSettings

    own = {name: rest.pop(name) for name in ("tries", "time", "trials", "journal")}
    found = plugins(context)
    shared = FitSettings(model=model, data=options.data_settings(rest), given=given, plugins=found, **rest)
    settings = TuneSettings(shared, **own)
    check(settings)
    console.draw("reading the data")
    from dltool.workflows import tune

    words = shlex.join(["dltool", "tune", *context.meta[WORDS]]) if settings.journal else ""
    result = tune.run(settings, Searching(console, words), began)
    console.note(f"ended   {result.stopped}; {counted(len(result.ranking), 'trial')} in {duration(result.seconds)}")
    console.note(f"saved   {result.path}")
    console.results([json_text(result.as_json())] if as_json else table(result))
    last = result.best.result.epochs < shared.epochs
    rest_of_it = (
        f"fit {shlex.quote(result.path)} --data DATA --resume"
        if last
        else f"evaluate {shlex.quote(result.path)} --data TEST"
    )
    console.hint(f"next    dltool {rest_of_it}", fold=False)


def check(settings: Any) -> None:
    """What can be refused before numpy is loaded."""
    shared = settings.fit
    fit.check(shared)
    if not settings.tries:
        raise UsageError("--try: missing; say what to try, as --try lr=1e-4..1e-1:log")
    if settings.time is None and settings.trials is None:
        raise UsageError("--time: missing; say how long to search, as --time 10m, or --trials 30")
    if not any(text.partition("=")[0].strip() == "arch" for text in settings.tries):
        fit.check_exists(shared)


class Searching(Progress):
    """A line per result, and a moving one for the trial that runs.

    Args:
        again: the command that goes on with a search that was left, "" when there is none.
    """

    def __init__(self, console: Console, again: str = ""):
        super().__init__(console)
        self.again = again

    def epoch_end(self, run: Any) -> None:
        pass

    def trial_begin(self, trial: int, epochs: int, values: dict[str, Any]) -> None:
        pass

    def trial_end(self, entry: Any, monitor: Any, is_best: bool) -> None:
        from dltool.workflows.tuning.parameters import as_words

        found = entry.result
        score = f"{short(monitor.name)} {number(entry.measured[monitor.name])}" if entry.measured else "diverged"
        epochs = counted(found.epochs, "epoch")
        cells = [f"trial {found.trial + 1:>4}", f"{epochs:>9}", score, f"{duration(found.seconds):>6}"]
        self.console.note("  ".join([*cells, as_words(entry.values)]) + (" *" if is_best else ""))

    def left(self, path: str, kept: bool) -> None:
        if kept:
            self.console.note(f"saved   {path} with the best model so far")
        if self.again:
            self.console.note(f"resume  {self.again}", fold=False)


def table(result: Any) -> list[str]:
    """The best trials: number, epochs, what they were compared by, what was tried."""
    from dltool.workflows.tuning.parameters import as_text

    names = list(result.best.values)
    head = ["trial", "epochs", short(result.monitor.name), *names]
    rows = [
        [
            str(entry.result.trial + 1),
            str(entry.result.epochs),
            number(entry.measured[result.monitor.name]) if entry.measured else "diverged",
            *(as_text(entry.values[name]) for name in names),
        ]
        for entry in result.ranking[:SHOWN]
    ]
    return aligned([head, *rows], left=0)
