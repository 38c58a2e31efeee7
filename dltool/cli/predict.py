"""``dltool predict``."""

import os
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from dltool.cli import options
from dltool.cli.command import Command
from dltool.cli.console import Console
from dltool.cli.name_lists import expand_inputs
from dltool.cli.output import check_output, output_to
from dltool.cli.progress import Counter, tell_waiting
from dltool.cli.types import PROBABILITY, ChoiceType
from dltool.errors import UsageError
from dltool.wording import counted

if TYPE_CHECKING:
    from dltool.settings import PredictSettings

FORMATS = ("table", "csv", "tsv", "jsonl", "npy", "png")
SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".npy": "npy", ".npz": "npy"}


@click.command("predict", cls=Command)
@options.model
@click.argument("inputs", nargs=-1, metavar="PATH...")
@click.option("--files0-from", metavar="FILE", help="Take NUL-separated names from here; - for stdin.")
@options.top
@click.option("--probs", is_flag=True, help="Give the probability of every class.")
@click.option("--min-prob", type=PROBABILITY, default=0.0, metavar="P", help='Say "?" below this probability.')
@click.option("--layer", metavar="NAME", help="Give this layer's output instead (features, as npy).")
@click.option(
    "--format", "layout", type=ChoiceType("format", *FORMATS), help="What rows look like.  [by -o's suffix, or table]"
)
@options.beam
@click.option("--sort-into", metavar="DIR", help="Link each file into DIR/LABEL/.")
@options.output
@options.force
@options.image
@options.window
@options.class_names
@options.tta
@options.compute
@options.plugin
@options.exact
@options.common
@click.pass_obj
def command(console: Console, model: str, inputs: tuple[str, ...], layout: str | None, **rest) -> int:
    """Label files, folders and arrays.

    \b
      dltool predict m.h5 photos/ --top 3
      find . -name '*.jpg' -print0 | dltool predict m.h5 --files0-from -
      dltool predict m.h5 x.npy --layer dense -o features.npy

    One row per input, in the order given. An unreadable input gives a row without a label, and exit code 1. PATH -
    takes names from stdin, one per line.
    """
    output, force, files0_from = rest.pop("output"), rest.pop("force"), rest.pop("files0_from")
    if layout == "png":
        rest |= {"pictures": output or "-", "force": force}
    top = rest.pop("top") or 1
    from dltool.settings import PredictSettings

    settings = PredictSettings(model=model, inputs=inputs, data=options.data_settings(rest), top=top, **rest)
    layout = layout or layout_of(output, settings)
    if layout == "npy" and output in (None, "-") and console.out_is_terminal:
        raise UsageError("--format: npy is not for a terminal; send it to a file, as -o out.npy")
    settings = replace(settings, inputs=expand_inputs(inputs, files0_from))
    console.draw("reading the model")
    from dltool.cli.rows import write_rows
    from dltool.modelfile.hdf5 import ModelSource

    if layout != "png":
        check_output(output, force)
    with ModelSource(model) as source:  # before the engine is imported, which takes as long as opening the file
        from dltool.workflows import predict

        result = predict.run(settings, Counter(console, "predict"), source)
    with closing(result.rows), output_to(console, output if layout != "png" else None, force):
        failed = write_rows(console, result, settings, layout)
    if layout == "png":
        console.note(f"saved   {counted(result.num_rows - failed, 'picture')} in {output}")
    for text in result.notes:
        console.note(f"note    {text}")
    tell_waiting(console, [result.waiting])
    if failed:
        console.note(f"{failed:,} of {result.num_rows:,} inputs could not be predicted")
    return 1 if failed else 0


def layout_of(output: str | None, settings: "PredictSettings") -> str:
    """The format that nobody named: npy for features, else by the file's suffix."""
    suffix = os.path.splitext(output or "")[1].lower()
    return SUFFIXES.get(suffix, "npy" if settings.layer is not None else "table")
