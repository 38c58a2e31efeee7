"""``dltool fit``."""

import os
import shlex

import click

from dltool.cli import options
from dltool.cli.command import Command
from dltool.cli.console import Console
from dltool.cli.progress import Progress, duration
from dltool.cli.types import AMOUNT, POSITIVE, PerOutput
from dltool.errors import ModelFileError, UsageError
from dltool.settings import FitSettings


@click.command("fit", cls=Command)
@options.model
@options.dataset
@click.option("--val", multiple=True, metavar="PATH", help="Validation data.  [a valid/ folder, or a part of --data]")
@click.option(
    "--val-labels", multiple=True, callback=options.one_or_more, metavar="FILE", help="Labels of a validation array."
)
@options.val_split
@options.group
@click.option("--extra", multiple=True, metavar="LIST", help="More rows for training only: path,label[,weight].")
@options.arch
@click.option("--epochs", type=POSITIVE, default=10, show_default=True, metavar="N", help="Passes over the data.")
@options.batch_size
@options.compile_step
@click.option(
    "--loss-weight",
    "loss_weights",
    type=PerOutput(AMOUNT),
    multiple=True,
    metavar="OUTPUT=X",
    help="How much the loss of one of several outputs counts.  [1]",
)
@click.option("--early-stop", type=POSITIVE, metavar="N", help="Stop after N epochs without an improvement.")
@click.option("--monitor", metavar="NAME", help="What decides which epoch is best.  [val_loss]")
@click.option("--min-delta", type=AMOUNT, default=0.0, metavar="X", help="Least change that is an improvement.  [0]")
@click.option("--class-weight", metavar="balanced|A=1,B=9", help="How much the rows of each class count.")
@options.seed
@click.option("--no-shuffle", "shuffle", is_flag=True, flag_value=False, default=True, help="Keep the rows' order.")
@options.jobs
@options.backend
@click.option("--output", "-o", metavar="FILE", help="Write here and leave MODEL as it is.")
@options.force
@click.option(
    "--no-state", "keep_state", is_flag=True, flag_value=False, default=True, help="Smaller file; training restarts."
)
@click.option(
    "--no-normalize", "normalize", is_flag=True, flag_value=False, default=True, help="Take tables as they are."
)
@options.rescale
@options.common
@click.pass_obj
def command(console: Console, model: str, **rest) -> None:
    """Train a model on labelled data.

    \b
      dltool fit m.h5 --data train/ --epochs 30 --early-stop 3
      dltool fit new.h5 --data train/ --arch cnn

    MODEL is trained in place; with --arch a missing one is built first. The best epoch's weights are kept.
    """
    settings = FitSettings(model=model, data=options.data_settings(rest), **rest)
    check(settings)
    console.draw("reading the data")
    from dltool.workflows import fit

    result = fit.run(settings, Progress(console))
    console.note(f"saved   {result.path} ({duration(result.seconds)})")
    console.hint(f"next    dltool evaluate {shlex.quote(result.path)} --data TEST")


def check(settings: FitSettings) -> None:
    """What can be refused before numpy is loaded."""
    if not settings.data.data:
        raise UsageError("--data: missing; give a folder of class folders or an array, as --data train/")
    if settings.val and settings.val_split:
        raise UsageError("--val-split: cannot be combined with --val; give one of the two")
    if (*settings.data.data, *settings.val, *settings.extra).count("-") > 1:
        raise UsageError("--data, --val, --extra: '-' is given twice, but stdin can be read only once; name a file")
    if settings.data.group is not None and (settings.val or settings.val_split == 0):
        raise UsageError("--group: says how rows are split, but nothing is; leave out --val and --val-split 0")
    if settings.val_labels is not None and not settings.val:
        raise UsageError("--val-labels: needs --val; give the array that the labels belong to")
    if not os.path.lexists(settings.model) and settings.arch is None:
        raise ModelFileError(f"{settings.model}: no such file; build it first, or give --arch cnn to build it now")
