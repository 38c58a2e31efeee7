"""``dltool predict``."""

from contextlib import closing

import click

from dltool.cli import options
from dltool.cli.command import Command
from dltool.cli.console import Console
from dltool.cli.progress import Counter
from dltool.cli.types import POSITIVE, ChoiceType
from dltool.errors import UsageError
from dltool.settings import PredictSettings

FORMATS = ("table", "csv", "tsv", "jsonl", "npy")


@click.command("predict", cls=Command)
@options.model
@click.argument("inputs", nargs=-1, required=True, metavar="PATH...")
@click.option("--top", type=POSITIVE, default=1, metavar="K", help="Give the K best labels.  [1]")
@click.option("--probs", is_flag=True, help="Give the probability of every class.")
@click.option(
    "--format", "layout", type=ChoiceType("format", *FORMATS), default="table", help="What rows look like.  [table]"
)
@options.image
@options.class_names
@options.compute
@options.common
@click.pass_obj
def command(console: Console, model: str, inputs: tuple[str, ...], layout: str, **rest) -> int:
    """Label files, folders and arrays.

    \b
      dltool predict m.h5 photos/
      dltool predict m.h5 x.npy --format csv > labels.csv

    One row per input, in the order given. An unreadable input gives a row without a label, and exit code 1.
    """
    if layout == "npy" and console.out_is_terminal:
        raise UsageError("--format: npy is not for a terminal; send it to a file, as --format npy > out.npy")
    settings = PredictSettings(model=model, inputs=inputs, data=options.data_settings(rest), **rest)
    console.draw("reading the model")
    from dltool.cli.rows import write_rows
    from dltool.workflows import predict

    result = predict.run(settings, Counter(console, "predict"))
    with closing(result.rows):
        failed = write_rows(console, result, settings, layout)
    for text in result.notes:
        console.note(f"note    {text}")
    if failed:
        console.note(f"{failed:,} of {result.num_rows:,} inputs could not be predicted")
    return 1 if failed else 0
