"""``dltool build``."""

import click

from dltool import names
from dltool.cli import options
from dltool.cli.command import Command
from dltool.cli.console import Console
from dltool.cli.types import POSITIVE, SHAPE
from dltool.errors import UsageError
from dltool.settings import BuildSettings, DataSettings


@click.command("build", cls=Command)
@options.model
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option("--input", "input_shape", type=SHAPE, metavar="SHAPE", help="Shape of one sample: 28x28x1, or 20.")
@click.option("--classes", type=POSITIVE, metavar="N", help="Number of classes.  [from the data]")
@options.arch
@options.dataset
@options.compile_step
@options.seed
@options.rescale
@options.force
@click.option("--dry-run", is_flag=True, help="Show the summary and write nothing.")
@options.common
@click.pass_obj
def command(console: Console, model: str, words: tuple[str, ...], input_shape, dry_run: bool, **rest) -> None:
    """Write an untrained model from layer words or a ready architecture.

    \b
      dltool build m.h5 --input 28x28x1 --classes 10 \\
          conv2d:32,3,same,relu maxpool:2 flatten dense:10,softmax
      dltool build m.h5 --data train/ --arch cnn

    'dltool help layer-words' explains the words.
    """
    check(model, words, rest["arch"])
    data = options.data_settings(rest)
    settings = BuildSettings(
        model=None if dry_run else model,
        words=words,
        input=input_shape,
        data=data if data.data else _nothing_but(data),
        **rest,
    )
    from dltool.cli.summary import show
    from dltool.workflows import build, summary

    result = build.run(settings)
    for line in result.hints:
        console.hint(f"hint    {line}")
    if dry_run:
        show(console, summary.describe_model(result.saved))
    else:
        console.note(f"saved   {model}: {result.line}")


def check(model: str, words: tuple[str, ...], arch: str | None) -> None:
    """What can be refused before numpy is loaded."""
    from dltool.architectures.grammar import kinds, parse

    first = model.partition(":")[0].partition("=")[2] or model.partition(":")[0]
    if (":" in model and first in kinds()) or model in kinds():
        raise UsageError(f"{model}: is a layer word; name the model file first, as dltool build m.h5 {model}")
    if arch and words:
        raise UsageError(f"--arch: cannot be combined with layer words ({words[0]}); give one of the two")
    if not arch and not words:
        raise UsageError(f"build: no layers given; write layer words or --arch {'|'.join(names.ARCHITECTURES)}")
    parse(words)


def _nothing_but(data: DataSettings) -> DataSettings | None:
    """Data options without --data: how images shall be read. Labels make no sense then."""
    if data.labels is not None:
        raise UsageError("--labels: needs --data; give the array that the labels belong to")
    return None if data == DataSettings() else data
