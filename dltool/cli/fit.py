"""``dltool fit``."""

import os
import shlex
import time
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from dltool.cli import options
from dltool.cli.command import Command, plugins
from dltool.cli.console import Console, folded
from dltool.cli.progress import Progress, duration
from dltool.cli.types import AMOUNT, POSITIVE, PROBABILITY, RATE, TIME, ChoiceType, PerOutput, RateOrAuto, ThresholdType
from dltool.errors import ModelFileError, UsageError

if TYPE_CHECKING:
    from dltool.settings import FitSettings

WORDS = "dltool.fit.words"
"""Where the context keeps the words of the command, to show how to resume it."""


class FitCommand(Command):
    """Remembers its words."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[WORDS] = list(args)
        return super().parse_args(ctx, args)


@click.command("fit", cls=FitCommand)
@options.model
@options.dataset
@options.series
@options.target
@options.validation
@options.val_split
@options.group
@click.option("--extra", multiple=True, metavar="LIST", help="More rows for training only: path,label[,weight].")
@options.arch
@click.option("--epochs", type=POSITIVE, default=10, show_default=True, metavar="N", help="Passes over the data.")
@options.batch_size
@options.optimizer
@click.option(
    "--lr",
    "learning_rate",
    type=RateOrAuto(),
    metavar="RATE|auto",
    help="Learning rate.  [the file's own, or the optimizer's]",
)
@options.loss
@options.metrics
@click.option(
    "--loss-weight",
    "loss_weights",
    type=PerOutput(AMOUNT),
    multiple=True,
    metavar="OUTPUT=X",
    help="How much the loss of one of several outputs counts.  [1]",
)
@options.schedule
@options.warmup
@click.option(
    "--clip-norm", type=RATE, metavar="X", help="Shrink each weight's gradient to this norm (Keras clipnorm)."
)
@click.option("--clip-value", type=RATE, metavar="X", help="Cut every number of the gradient to -X..X.")
@click.option("--weight-decay", type=AMOUNT, metavar="X", help="Shrink the weights by X times the rate in each step.")
@click.option("--label-smoothing", type=PROBABILITY, metavar="PART", help="Part of a label spread over all classes.")
@click.option("--ema", type=PROBABILITY, metavar="DECAY", help="Keep a moving average of the weights, as 0.999.")
@click.option("--time", type=TIME, metavar="TIME", help="End on time, after 90s, 5m or 1h30m.")
@click.option("--restarts", type=POSITIVE, default=1, metavar="N", help="Try N random starts shortly, train the best.")
@click.option("--freeze", metavar="N|NAMES", help="Layers that do not train: the first N, names as 'conv*', or none.")
@click.option("--init-from", metavar="FILE", help="Start with the weights of FILE's layers of same name and shape.")
@click.option("--early-stop", type=POSITIVE, metavar="N", help="Stop after N epochs without an improvement.")
@click.option("--monitor", metavar="NAME", help="What decides which epoch is best.  [val_loss]")
@click.option("--min-delta", type=AMOUNT, default=0.0, metavar="X", help="Least change that is an improvement.  [0]")
@options.augment
@click.option("--augment-preview", metavar="FILE.png", help="Draw examples of --augment into a picture, and stop.")
@click.option(
    "--balance", type=ChoiceType("balance", "oversample"), help="Let rows of rare classes come as often as others."
)
@click.option("--class-weight", metavar="balanced|sqrt|A=1,B=9", help="How much the rows of each class count.")
@click.option(
    "--decision-threshold",
    type=ThresholdType(),
    metavar="auto|P",
    help="Say the second of two classes from probability P on; auto: by the validation rows.",
)
@options.seed
@click.option("--no-shuffle", "shuffle", is_flag=True, flag_value=False, default=True, help="Keep the rows' order.")
@options.jobs
@options.backend
@options.exact
@click.option("--resume", is_flag=True, help="Go on with the interrupted run in the file, exactly.")
@click.option("--reset-optimizer", is_flag=True, help="Forget the optimizer's state in the file.")
@options.plugin
@options.output
@click.option("--checkpoint", metavar="FILE", help="Also write each improvement here; as e{epoch:03}.h5, every epoch.")
@click.option("--log", metavar="FILE", help="Write the numbers of every epoch to a .csv or .jsonl file.")
@click.option(
    "--log-every", type=ChoiceType("interval", "epoch", "batch"), default="epoch", help="Rows of the log.  [epoch]"
)
@options.plot
@options.force
@click.option(
    "--no-state",
    "keep_state",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Leave the optimizer's state out of the file.",
)
@click.option(
    "--no-normalize",
    "normalize",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Leave out the Normalization layer of new models for tables.",
)
@options.rescale
@click.option("--dry-run", is_flag=True, help="Check everything, show the plan and write nothing.")
@options.common
@click.pass_context
def command(context: click.Context, model: str, dry_run: bool, **rest) -> None:
    """Train a model on labelled data.

    \b
      dltool fit m.h5 --data train/ --epochs 30 --early-stop 3
      dltool fit new.h5 --data train/ --arch cnn --schedule cosine --warmup 2

    MODEL is trained in place; with --arch a missing one is built first. The best epoch's weights are kept.
    After Ctrl-C, or a crash, the same command with --resume goes on as if nothing had happened.
    """
    began = time.monotonic()  # importing the engine counts for --time too
    console: Console = context.obj
    given = tuple(name for name in rest if context.get_parameter_source(name) is ParameterSource.COMMANDLINE)
    from dltool.settings import FitSettings

    data = options.data_settings(rest)
    settings = FitSettings(model=model, data=data, given=given, plugins=plugins(context), **rest)
    check(settings)
    check_exists(settings)
    console.draw("reading the data")
    from dltool.workflows import fit

    if settings.augment_preview is not None:
        console.note(fit.preview(settings))
        return
    if dry_run:
        for line in fit.dry_run(settings):
            console.results(folded(line, console.result_width))
        return
    result = fit.run(settings, Progress(console, resume=resume_command(context.meta[WORDS])), began)
    if not result.seconds:
        return
    console.note(f"saved   {result.path} ({duration(result.seconds)})")
    console.hint(f"next    dltool evaluate {shlex.quote(result.path)} --data TEST", fold=False)


def resume_command(words: list[str]) -> str:
    """The same command, going on with what it began."""
    kept = [word for word in words if word not in ("--resume", "--reset-optimizer")]
    end = kept.index("--") if "--" in kept else len(kept)
    return shlex.join(["dltool", "fit", *kept[:end], "--resume", *kept[end:]])


def check(settings: "FitSettings") -> None:
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
    if settings.clip_norm is not None and settings.clip_value is not None:
        raise UsageError("--clip-value: cannot be combined with --clip-norm; give one of the two")
    if settings.augment_preview is not None and settings.augment is None:
        raise UsageError("--augment-preview: needs --augment; say what to show, as --augment medium")
    if settings.balance is not None and settings.class_weight is not None:
        raise UsageError("--balance: cannot be combined with --class-weight; give one of the two")
    if settings.log is None and "log_every" in (settings.given or ()):
        raise UsageError("--log-every: needs --log; name the file, as --log log.csv")
    if settings.init_from is not None and settings.restarts > 1:
        raise UsageError("--restarts: draws weights anew, which --init-from has just taken; leave one of the two out")
    if settings.init_from is not None and not os.path.lexists(settings.init_from):
        raise ModelFileError(
            f"{settings.init_from}: no such file; --init-from takes a model that dltool or Keras wrote"
        )
    if settings.resume and settings.reset_optimizer:
        raise UsageError("--reset-optimizer: cannot be combined with --resume, which needs its state; give one")


def check_exists(settings: "FitSettings") -> None:
    """Raise ModelFileError when there is nothing to train."""
    exists = os.path.lexists(settings.model) or (settings.resume and os.path.lexists(settings.output or ""))
    if not exists and settings.arch is None:
        raise ModelFileError(f"{settings.model}: no such file; build it first, or give --arch cnn to build it now")
