"""``dltool help TOPIC``."""

import textwrap

import click

from dltool.cli import options
from dltool.cli.command import Command
from dltool.errors import UsageError
from dltool.registry import nearest


@click.command("help", cls=Command)
@click.argument("topic", required=False, metavar="[TOPIC]")
@options.common
@click.pass_context
def command(context: click.Context, topic: str | None) -> None:
    """Explain a topic: layer-words, exit-codes.

    A command's name gives that command's help.
    """
    console, group = context.obj, context.parent.command
    if topic is None:
        console.results(context.parent.get_help().splitlines())
    elif topic in TOPICS:
        console.results(TOPICS[topic]())
    elif topic in group.list_commands(context):
        found = group.get_command(context, topic)
        with click.Context(found, info_name=topic, parent=context.parent) as inner:
            console.results(found.get_help(inner).splitlines())
    else:
        known = [*TOPICS, *group.list_commands(context)]
        close = nearest(topic, known)
        advice = f"did you mean {close!r}?" if close else f"topics: {', '.join(TOPICS)}"
        raise UsageError(f"{topic}: no such topic; {advice}")


def exit_codes() -> list[str]:
    """The table of exit codes, one line each."""
    from dltool.errors import EXIT_CODES

    return [f"{code:>3}  {meaning}" for code, meaning in EXIT_CODES.items()]


def layer_words() -> list[str]:
    """The grammar of layer words and every kind with its options."""
    from dltool import names
    from dltool.architectures.grammar import kinds

    short: dict[str, list[str]] = {}
    for kind, class_name in kinds().items():
        short.setdefault(class_name, []).append(kind)
    lines = GRAMMAR.strip("\n").splitlines()
    for class_name, found in names.LAYERS.items():
        written = [kind for kind in found if kind != "trainable"]
        aliases = sorted({kind for kind in short[class_name] if kind.islower()}, key=lambda k: (len(k), k))
        lines.append(f"  {', '.join(aliases)}")
        lines += textwrap.wrap(", ".join(written), WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    activations = [name for name in names.ACTIVATIONS if not name.endswith("_keras2")]
    return [*lines, "", *textwrap.wrap(f"Activations: {', '.join(activations)}.", WIDTH)]


WIDTH = 80
GRAMMAR = """
A layer word is [name=]kind[:value,...,key=value,...][@input[+input...]]

  conv2d:32,3,same,relu      numbers in Keras's order; bare activation,
                             padding, regulariser (l2) or initializer will do
  conv2d:32,3x5,strides=2    sizes as 3 or 3x5; any Keras keyword as key=value
  dense:64,relu,l2=1e-4      l1= and l2= are weight penalties
  4*(conv2d:64,3,same,relu)  repeats; quote it for the shell; several words
                             may be inside, separated by spaces
  y1=dense:100@x1            has a name, and takes x1, not the layer before it
  both=concatenate@y1+x2     takes several
  x1=input:28x28x1           an input; with a single one, --input does the same

Numbers may be written 1/255 or 1e-4, tuples (1,2). Layers that no other takes
are the outputs. conv2d:32,3,3 is refused: the second 3 was the number of
columns in old Keras and is a stride now.

Kinds, and their options in order:
"""

TOPICS = {"layer-words": layer_words, "exit-codes": exit_codes}
