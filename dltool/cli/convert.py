"""``dltool convert``."""

import os

import click

from dltool.cli import options
from dltool.cli.command import Command
from dltool.cli.console import Console
from dltool.cli.types import POSITIVE, SHAPE
from dltool.errors import ModelFileError, UsageError

ENDINGS = (".h5", ".hdf5", ".keras", ".json")


@click.command("convert", cls=Command)
@click.argument("source", type=click.Path(), metavar="IN")
@click.argument("target", type=click.Path(), metavar="OUT")
@click.option("--from", "from_config", metavar="FILE", help="Take the network from Keras JSON; - for stdin.")
@options.arch
@click.option("--input", "input_shape", type=SHAPE, metavar="SHAPE", help="Shape of one sample: 28x28x1, or 20.")
@click.option("--classes", type=POSITIVE, metavar="N", help="Number of classes.")
@options.rescale
@options.class_names
@click.option("--labels-from", metavar="FILE", help="Take class names and preprocessing of another model file.")
@options.plugin
@options.force
@options.common
@click.pass_obj
def command(console: Console, source: str, target: str, input_shape: tuple | None, **rest) -> None:
    """Write a model in another format of Keras, or give weights their network.

    \b
      dltool convert old.h5 new.keras
      dltool convert weights.h5 m.h5 --from model.json
      dltool convert resaved.h5 m.h5 --labels-from old.h5
      dltool convert keras_model.h5 m.h5 --class-names labels.txt

    OUT ends with .h5 (a model that Keras 2 and 3 open), .keras (Keras 3), .weights.h5 (its weights alone) or .json
    (its network alone). IN may be a file of any version of Keras; one of weights only needs --from or --arch.
    """
    from dltool.settings import ConvertSettings

    settings = ConvertSettings(source=source, target=target, input=input_shape, **rest)
    check(settings)
    from dltool.workflows import convert

    result = convert.run(settings)
    console.note(f"saved   {target}: {result.line}")
    for warning in result.warnings:
        console.warning(f"{target}: {warning}")
    if result.lost:
        console.note(f"left    {', '.join(result.lost)}: the format has no place for them, {source} keeps them")


def check(settings: object) -> None:
    """What can be refused before numpy is loaded."""
    if not settings.target.lower().endswith(ENDINGS):
        raise UsageError(f"{settings.target}: its ending says no format; use .h5, .keras, .weights.h5 or .json")
    if settings.from_config is not None and settings.arch is not None:
        raise UsageError("--arch: cannot be combined with --from; give one of the two")
    if settings.arch is not None and (settings.input is None or settings.classes is None):
        raise UsageError(f"--arch: needs --input and --classes, as --arch {settings.arch} --input 28x28x1 --classes 10")
    for option, value in (("--input", settings.input), ("--classes", settings.classes)):
        if settings.arch is None and value is not None:
            raise UsageError(f"{option}: needs --arch; other networks say it themselves")
    if settings.arch is None and not settings.rescale:
        raise UsageError("--no-rescale: needs --arch; other networks are taken as they are")
    if settings.labels_from is not None and settings.class_names is not None:
        raise UsageError("--class-names: cannot be combined with --labels-from; give one of the two")
    for path in (settings.source, settings.from_config, settings.labels_from):
        if path is not None and not os.path.lexists(path) and not (path == "-" and path is settings.from_config):
            raise ModelFileError(f"{path}: no such file; give a model that dltool or Keras wrote")
