"""``dltool build``."""

import os
import sys

import click

from dltool import names
from dltool.cli import options
from dltool.cli.command import Command
from dltool.cli.console import Console, is_terminal
from dltool.cli.types import POSITIVE, SHAPE
from dltool.errors import ModelFileError, UsageError


@click.command("build", cls=Command)
@options.model
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option("--input", "input_shape", type=SHAPE, metavar="SHAPE", help="Shape of one sample: 28x28x1, or 20.")
@click.option("--classes", type=POSITIVE, metavar="N", help="Number of classes.")
@options.arch
@click.option("--from", "from_config", metavar="FILE", help="Take the network from Keras JSON; - for stdin.")
@click.option("--like", metavar="FILE", help="Take the network of a model file, with fresh weights.")
@options.dataset
@options.series
@options.target
@options.compile_step
@options.seed
@options.rescale
@options.plugin
@options.force
@click.option("--dry-run", is_flag=True, help="Check everything, show the plan and write nothing.")
@options.common
@click.pass_obj
def command(console: Console, model: str, words: tuple[str, ...], input_shape, dry_run: bool, **rest) -> None:
    """Write an untrained model from layer words or a ready architecture.

    \b
      dltool build m.h5 --input 28x28x1 --classes 10 \\
          conv2d:32,3,same,relu maxpool:2 flatten dense:10,softmax
      dltool build m.h5 --data train/ --arch cnn
      dltool build m.h5 --from model.json
      dltool build m.h5 --like other.h5 --seed 1

    'dltool help layer-words' explains the words. What is not said comes from
    the data and from the last layer: the loss, the metrics, adam.
    """
    check(model, words, input_shape, rest)
    if rest["from_config"] == "-" and is_terminal(sys.stdin):
        console.note("reading Keras JSON from the terminal; end it with Ctrl-D")
    from dltool.settings import BuildSettings, DataSettings

    data = options.data_settings(rest)
    settings = BuildSettings(
        model=None if dry_run else model,
        words=words,
        input=input_shape,
        data=data if data != DataSettings() else None,
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


def check(model: str, words: tuple[str, ...], input_shape: tuple[int, ...] | None, rest: dict) -> None:
    """What can be refused before numpy is loaded."""
    from dltool.architectures.grammar import parse
    from dltool.architectures.vocabulary import kinds

    first = model.partition(":")[0].partition("=")[2] or model.partition(":")[0]
    if (":" in model and first in kinds()) or model in kinds():
        raise UsageError(f"{model}: is a layer word; name the model file first, as dltool build m.h5 {model}")
    if model == "-":
        raise UsageError("-: a model file cannot go to standard output; name a file")
    given = {"--arch": rest["arch"], "--from": rest["from_config"], "--like": rest["like"]}
    sources = [f"layer words ({word})" for word in words[:1]] + [name for name, value in given.items() if value]
    if len(sources) > 1:
        raise UsageError(f"{sources[-1]}: cannot be combined with {sources[0]}; give one of the two")
    if not sources:
        ready = "|".join(names.ARCHITECTURES)
        raise UsageError(f"build: no layers given; write layer words, --arch {ready}, --from or --like")
    if sources[0] in ("--from", "--like"):
        _check_pattern(sources[0], given[sources[0]], input_shape, rest)
    if rest["labels"] is not None and not rest["data"]:
        raise UsageError("--labels: needs --data; give the array that the labels belong to")
    parse(words)


def _check_pattern(option: str, path: str, input_shape: tuple[int, ...] | None, rest: dict) -> None:
    """A network that is there already says its input and whether it rescales, and its file must exist."""
    for name, is_given in (("--input", input_shape is not None), ("--no-rescale", not rest["rescale"])):
        if is_given:
            raise UsageError(f"{name}: the network of {option} is taken as it is; leave {name} out")
    if not (option == "--from" and path == "-") and not os.path.exists(path):
        raise ModelFileError(f"{path}: no such file; {_ADVICE[option]}")


_ADVICE = {
    "--from": "give the JSON that model.to_json() of Keras wrote",
    "--like": "give a model that 'dltool build' or Keras wrote",
}
