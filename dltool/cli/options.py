"""Options that several commands share: one option, one meaning, one help text. Decorators for click commands."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from dltool import names
from dltool.cli.types import (
    COLOR,
    COLUMNS,
    DURATION,
    FRACTION,
    IMAGE_SIZE,
    NAMES,
    POSITIVE,
    RATE,
    RESIZE,
    SEED,
    AugmentType,
    ChoiceType,
    NameType,
    PerOutput,
)

if TYPE_CHECKING:
    from dltool.settings import DataSettings

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def together(*decorators: Decorator) -> Decorator:
    """Several options as one decorator, shown in help in the order given."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def _remember(attribute: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value and context.obj is not None:
            setattr(context.obj, attribute, True)

    return callback


common = together(
    click.option("--quiet", "-q", is_flag=True, expose_value=False, callback=_remember("quiet"), help="Results only."),
    click.option("--verbose", "-v", is_flag=True, expose_value=False, callback=_remember("verbose"), help="Say more."),
    click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."),
)

model = click.argument("model", type=click.Path(), metavar="MODEL")
"""The model file."""


def one_or_more(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> Any:
    """For options that are mostly given once: None, the one text, or all of them."""
    return value if len(value) > 1 else next(iter(value), None)


data = click.option(
    "--data",
    multiple=True,
    metavar="PATH",
    help="A folder of class folders, x.npy, x.npz, or a list of path,label (.csv .tsv .jsonl, or - for stdin); "
    "several are joined. NAME=x.npy feeds one of a model's inputs.",
)
labels = click.option(
    "--labels",
    multiple=True,
    callback=one_or_more,
    metavar="FILE",
    help="Labels of an array: classes, one-hot rows, or numbers. NAME=y.npy for one of a model's outputs.",
)
multi_label = click.option(
    "--multi-label", is_flag=True, help="Rows may have several labels: 0 and 1 in arrays, cat;dog in lists."
)
group = click.option(
    "--group", metavar="FILE", help="Rows that a split keeps together: a group per line, or path,group."
)
limit = click.option("--limit", type=POSITIVE, metavar="N", help="Use at most N rows.")
class_names = click.option(
    "--class-names", type=NAMES, metavar="A,B|FILE", help="Names of the classes, in the order of the outputs."
)
allow_empty = click.option("--allow-empty", is_flag=True, help="Accept class folders without images.")
skip_bad = click.option("--skip-bad", is_flag=True, help="Leave unreadable images out, with a count.")
image = together(
    click.option("--image-size", type=IMAGE_SIZE, metavar="HxW", help="Size that images are brought to."),
    click.option("--color", type=COLOR, help="Read images as colour or grey."),
    click.option("--resize", type=RESIZE, help="How images are brought to the size.  [stretch]"),
)
window = click.option("--window", type=POSITIVE, metavar="N", help="Rows are windows of N steps of a series.")
series = together(
    window,
    click.option("--horizon", type=POSITIVE, metavar="N", help="Steps after a window that are predicted.  [1]"),
    click.option(
        "--target-column", type=COLUMNS, metavar="N,...", help="Columns of a series that are predicted, from 0.  [all]"
    ),
)
target = click.option(
    "--target", type=ChoiceType("target", "input"), help="Rows are their own targets (autoencoders); no labels needed."
)
dataset = together(data, labels, multi_label, image, class_names, limit, allow_empty, skip_bad)

batch_size = click.option(
    "--batch-size", type=POSITIVE, default=64, show_default=True, metavar="N", help="Rows per step."
)
jobs = click.option("--jobs", type=POSITIVE, metavar="N", help="Parallel lanes.  [one per CPU]")
backend = click.option(
    "--backend",
    type=ChoiceType("backend", "auto", "threads", "processes"),
    default="auto",
    show_default=True,
    help="Lanes as threads or processes; the results are the same.",
)
seed = click.option(
    "--seed", type=SEED, default=0, show_default=True, metavar="N", help="Same seed, same result, bit for bit."
)
compute = together(batch_size, jobs, backend)

arch = click.option(
    "--arch",
    type=NameType("architecture", names.ARCHITECTURES, spec=True),
    metavar="NAME[:K=V,...]",
    help=f"A ready architecture: {', '.join(names.ARCHITECTURES)}.",
)
loss = click.option(
    "--loss",
    type=PerOutput(NameType("loss", names.LOSSES, names.LOSS_ALIASES, spec=True)),
    multiple=True,
    callback=one_or_more,
    metavar="NAME",
    help="What is minimised (dltool help losses); OUTPUT=NAME for one of several outputs.  [by the last layer]",
)
optimizer = click.option(
    "--optimizer",
    type=NameType("optimizer", names.OPTIMIZERS, names.OPTIMIZER_ALIASES, spec=True),
    metavar="NAME[:K=V,...]",
    help=f"One of {', '.join(names.OPTIMIZERS)}.  [the file's own, or adam]",
)
learning_rate = click.option(
    "--lr", "learning_rate", type=RATE, metavar="RATE", help="Learning rate.  [the file's own, or the optimizer's]"
)
metrics = click.option(
    "--metric",
    "metrics",
    type=NameType("metric", names.METRICS, names.METRIC_ALIASES, spec=True),
    multiple=True,
    metavar="NAME",
    help="What is measured (dltool help losses); repeat for several.  [by the last layer]",
)
compile_step = together(optimizer, learning_rate, loss, metrics)
rescale = click.option(
    "--no-rescale",
    "rescale",
    flag_value=False,
    default=True,
    type=bool,
    help="Leave out the Rescaling layer of image models.",
)
force = click.option("--force", "-f", is_flag=True, help="Replace an existing file.")
as_json = click.option("--json", "as_json", is_flag=True, help="Give the result as JSON.")
output = click.option("--output", "-o", metavar="FILE", help="Write to this file instead.")
top = click.option("--top", type=POSITIVE, metavar="K", help="Look at the K best labels of a row.")
plot = click.option(
    "--plot", metavar="FILE", help="Draw the curve into a .png, .svg or .pdf file; needs the extra dltool[plot]."
)
beam = click.option(
    "--beam", type=POSITIVE, metavar="N", help="Read strings (CTC) along the N best beginnings.  [the best symbols]"
)
exact = click.option("--exact", is_flag=True, help="Leave out faster algorithms that round much more than direct sums.")
validation = together(
    click.option(
        "--val", multiple=True, metavar="PATH", help="Validation data.  [a valid/ folder, or a part of --data]"
    ),
    click.option(
        "--val-labels", multiple=True, callback=one_or_more, metavar="FILE", help="Labels of a validation array."
    ),
)
val_split = click.option(
    "--val-split", type=FRACTION, metavar="PART", help="Part held out for validation, 0 for none.  [0.2]"
)

schedule = click.option(
    "--schedule",
    type=NameType("schedule", names.SCHEDULES, names.SCHEDULE_ALIASES, spec=True),
    default="constant",
    metavar="NAME[:K=V,...]",
    help=f"How the rate changes: {', '.join(names.SCHEDULES)}.  [constant]",
)
warmup = click.option(
    "--warmup", type=DURATION, metavar="TIME", help="Let the rate rise over so many epochs, or 500steps, first."
)


tta = click.option(
    "--tta", is_flag=True, help="Average over views of each image: mirrored, turned, shifted, as training did."
)
augment = click.option(
    "--augment",
    type=AugmentType(),
    metavar="PRESET|LIST",
    help=f"Change images at random: {', '.join(names.AUGMENT_PRESETS)}, or a list as hflip,rotate=15,cutout=8.",
)


plugin = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    expose_value=False,
    metavar="FILE.py",
    help="Run this file, which defines layers, losses and more (dltool help plugins).",
)


def data_settings(options: dict[str, Any]) -> "DataSettings":
    """Take the options of ``dataset`` out of a command's options."""
    from dltool.settings import DataSettings  # making dataclasses takes 4 ms, which help does not need

    names_of_fields = DataSettings.__dataclass_fields__
    return DataSettings(**{name: options.pop(name) for name in list(options) if name in names_of_fields})
