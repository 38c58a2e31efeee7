"""``dltool finetune``."""

import os
import shlex
import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from dltool.cli import options
from dltool.cli.command import Command, plugins
from dltool.cli.console import Console
from dltool.cli.progress import Counter, Progress, duration, short, tell_waiting
from dltool.cli.types import COUNT, POSITIVE, RATE, ChoiceType
from dltool.errors import ModelFileError, UsageError
from dltool.wording import counted


class RatesType(click.ParamType):
    """One learning rate, or several with commas, from the input to the head."""

    name = "rates"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(RATE.convert(part.strip(), param, ctx) for part in value.split(","))


@click.command("finetune", cls=Command)
@options.model
@options.dataset
@options.validation
@options.val_split
@click.option(
    "--pop", type=COUNT, metavar="N", help="Drop the last N layers, 0 for none.  [the last Dense and its dropout]"
)
@click.option("--at", metavar="LAYER", help="Drop everything after LAYER.")
@click.option("--head", multiple=True, metavar="WORDS", help="The new head as layer words.  [dense:CLASSES,softmax]")
@click.option("--epochs", type=POSITIVE, metavar="N", help="Passes over the data.")
@click.option(
    "--epochs-unfrozen",
    type=COUNT,
    metavar="N",
    help="Further passes that train the base too; 0 leaves it as it is.  [5; more with few rows]",
)
@click.option(
    "--unfreeze", default="all", metavar="N|all|NAMES", help="Layers that train then: the last N, or block5_*.  [all]"
)
@click.option("--gradual", is_flag=True, help="Unfreeze block after block, from the head down.")
@click.option(
    "--precompute/--no-precompute",
    default=None,
    help="Run the frozen base once, not in every epoch.  [where it fits]",
)
@click.option("--features", metavar="FILE", help="Keep what the frozen base gives in a .npy, or with labels in a .npz.")
@click.option(
    "--bn",
    type=ChoiceType("mode", "freeze", "update"),
    default="freeze",
    help="Batch normalisation of unfrozen layers follows the new data, or does not.  [freeze]",
)
@click.option(
    "--preprocess",
    type=ChoiceType("mode", "caffe", "tf", "torch", "none"),
    help="What a Keras application expects of its pixels.  [0..1, where the file does not say]",
)
@options.augment
@options.batch_size
@options.optimizer
@click.option(
    "--lr",
    "learning_rates",
    type=RatesType(),
    default=(),
    metavar="RATE",
    help="Learning rate.  [the file's own, or the optimizer's]",
)
@options.loss
@options.metrics
@options.seed
@options.jobs
@options.backend
@options.plugin
@options.output
@options.force
@options.rescale
@options.common
@click.pass_obj
def command(console: Console, model: str, **rest) -> None:
    """Give a trained model a new head and train it on other classes.

    \b
      dltool finetune base.h5 --data train/ -o pets.h5
      dltool finetune base.h5 --data train/ -o pets.h5 --lr 1e-5,1e-4,1e-2

    The head trains first, on features that are computed once; then the base trains too. Several --lr are for equal
    parts of the network from input to head; by default its thirds get a hundredth, a tenth and the whole rate.
    """
    from dltool.settings import FinetuneSettings

    found = plugins(click.get_current_context())
    settings = FinetuneSettings(model=model, data=options.data_settings(rest), plugins=found, **rest)
    check(settings)
    console.draw("reading the data")
    from dltool.workflows import finetune

    result = finetune.run(settings, Stages(console))
    tell_waiting(console, result.waiting)
    console.note(f"saved   {result.path} ({duration(result.seconds)})")
    console.hint(f"next    dltool evaluate {shlex.quote(result.path)} --data TEST", fold=False)


def check(settings: Any) -> None:
    """What can be refused before numpy is loaded."""
    if not settings.data.data:
        raise UsageError("--data: missing; give a folder of class folders or an array, as --data train/")
    if settings.pop is not None and settings.at is not None:
        raise UsageError("--pop: cannot be combined with --at; give one of the two")
    if settings.gradual and settings.epochs_unfrozen == 0:
        raise UsageError("--gradual: needs passes to share; give --epochs-unfrozen 1 or more")
    if settings.val and settings.val_split:
        raise UsageError("--val-split: cannot be combined with --val; give one of the two")
    if settings.val_labels is not None and not settings.val:
        raise UsageError("--val-labels: needs --val; give the array that the labels belong to")
    if settings.output is None and not settings.force:
        raise UsageError(f"-o: missing; name the new model, or give --force to replace {settings.model}")
    if not os.path.lexists(settings.model):
        raise ModelFileError(f"{settings.model}: no such file; give a model that dltool or Keras wrote")


class Stages(Progress):
    """Shows a training in stages: a moving count of features, a line per epoch, and one when a stage is done.

    The epochs are numbered through all stages.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic):
        super().__init__(console, clock)
        self._counter = Counter(console, "features", clock=self._clock)

    def planned(self, epochs: int) -> None:
        self.epochs = epochs

    def understood(self, lines: Sequence[str]) -> None:
        super().understood(lines)
        self._counter = Counter(self.console, "features", clock=self._clock)  # what comes now, its speed is told of

    def features_done(self, done: int, total: int) -> None:
        self._counter(done, total)

    def stage_end(self, stage: Any) -> None:
        names = [name for name in ("val_accuracy", "val_loss", "accuracy", "loss") if name in stage.logs]
        value = f"  {short(names[0])} {stage.logs[names[0]]:.3f}" if names else ""
        epochs = counted(stage.epochs, "epoch")
        self.console.note(f"stage {stage.number}  {stage.what}  {epochs}  {duration(stage.seconds)}{value}")
