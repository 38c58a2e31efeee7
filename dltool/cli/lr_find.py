"""``dltool lr-find``."""

import os
from typing import Any

import click

from dltool.cli import options
from dltool.cli.command import Command
from dltool.cli.console import Console, json_text
from dltool.cli.plot import curve
from dltool.cli.progress import REDRAW_SECONDS, Progress, bar
from dltool.cli.types import RATE, ChoiceType, NumberType
from dltool.errors import ModelFileError, UsageError

STEPS = NumberType(int, 20, 1_000_000, "a whole number from 20 up")
PICKS = ("valley", "steepest", "min10")
WIDTH = 80


@click.command("lr-find", cls=Command)
@options.model
@options.dataset
@options.series
@options.target
@click.option("--min", "low", type=RATE, default=1e-7, metavar="RATE", help="The first rate.  [1e-07]")
@click.option("--max", "high", type=RATE, default=10.0, metavar="RATE", help="The last rate.  [10]")
@click.option("--steps", type=STEPS, default=100, show_default=True, metavar="N", help="Rates to try, one per batch.")
@click.option(
    "--pick", type=ChoiceType("pick", *PICKS), default="valley", show_default=True, help="Which suggestion to give."
)
@options.plot
@options.force
@options.optimizer
@options.loss
@options.compute
@options.seed
@options.plugin
@options.as_json
@options.common
@click.pass_obj
def command(console: Console, model: str, as_json: bool, **rest) -> None:
    """Find a learning rate: raise it until the loss diverges.

    \b
      dltool fit m.h5 --data train/ --lr "$(dltool lr-find -q m.h5 --data train/)"

    The answer on stdout is one number. MODEL is only read; untrained ones come from 'dltool build'.
    """
    from dltool.settings import LrFindSettings

    settings = LrFindSettings(model=model, data=options.data_settings(rest), **rest)
    check(settings)
    console.draw("reading the data")
    from dltool.workflows import lr_find

    result = lr_find.run(settings, Sweeping(console, settings.steps))
    explain(console, result)
    console.result(json_text(result.as_json()) if as_json else f"{result.rate:.3g}")


def check(settings: Any) -> None:
    """What can be refused before numpy is loaded."""
    if not settings.data.data:
        raise UsageError("--data: missing; give a folder of class folders or an array, as --data train/")
    if settings.low >= settings.high:
        raise UsageError(f"--min: {settings.low:g} is not below --max {settings.high:g}; give a smaller one")
    if not os.path.lexists(settings.model):
        raise ModelFileError(
            f"{settings.model}: no such file; build it first, as dltool build {settings.model} --data train/ --arch cnn"
        )


class Sweeping(Progress):
    """The moving line of a sweep; an epoch's end means nothing here."""

    def __init__(self, console: Console, steps: int):
        super().__init__(console)
        self.steps, self._done = steps, 0

    def epoch_begin(self, run: Any) -> None:
        pass

    def batch_end(self, run: Any) -> None:
        self._done += 1
        if self.console.live and self._clock() - self._drawn >= REDRAW_SECONDS:
            self._drawn = self._clock()
            rate = f"lr {run.learning_rate:.1e}  loss {run.batch_loss:.4g}"
            self.console.draw(f"lr-find  {bar(self._done / self.steps)}  {rate}")

    def epoch_end(self, run: Any) -> None:
        pass


def explain(console: Console, result: Any) -> None:
    """The curve and the three suggestions, on stderr."""
    test = result.test
    rates = {name: getattr(result.suggestions, name) for name in PICKS}
    marks = {name[0]: rate for name, rate in rates.items()}
    width = min(console.width, WIDTH)
    lines = curve(test.rates.tolist(), test.smoothed.tolist(), marks, width=width, unicode=console.err_is_unicode)
    for line in lines:
        console.note(line, fold=False)
    for name, rate in rates.items():
        chosen = "  <- given" if name == result.pick else ""
        console.note(f"{name[0]}  {name:<9} {rate:.2e}{chosen}")
    if test.diverged is not None:
        console.note(f"the loss ran away at {test.diverged:.1e}")
