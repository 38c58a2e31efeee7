"""``dltool help TOPIC``: the texts of ``dltool/help``, with tables made from the real lists of names."""

from collections.abc import Callable, Collection
from pathlib import Path

import click

from dltool.cli import options
from dltool.cli.command import Command
from dltool.cli.console import wrapped
from dltool.errors import UsageError
from dltool.registry import nearest

WIDTH = 78
FOLDER = Path(__file__).parent.parent / "help"

TOPICS = {
    "augmentation": "images that change in every epoch: presets, lists, mixing",
    "data": "what --data takes: folders, arrays, lists; images; splits",
    "exit-codes": "what the exit codes mean",
    "layer-words": "one word per layer: the grammar, all kinds, all architectures",
    "limits": "what dltool does not do",
    "losses": "all losses, metrics and optimizers with their options",
    "model-file": "what a model file holds, Keras, safety",
    "numerics": "what is repeatable, lanes, precision",
    "output": "stdout and stderr, colour, JSON, options of every command",
    "plugins": "layers, losses, metrics and more of your own: --plugin",
    "python": "import dltool: load, build, fit, evaluate, predict, callbacks",
    "schedules": "learning rates that change during training",
    "sequences": "texts, series, strings in images, autoencoders",
    "changelog": "what is new",
}
"""Topic -> what it is about; its text is in ``help/TOPIC.md``."""

PAGES = ("build", "fit", "evaluate", "predict", "summary", "lr-find", "tune", "pseudo-label", "finetune", "convert")
"""Commands with a page of their own, ``help/COMMAND.md``."""


@click.command("help", cls=Command)
@click.argument("topic", required=False, metavar="[TOPIC]")
@options.common
@click.pass_context
def command(context: click.Context, topic: str | None) -> None:
    """Explain a topic or a command.

    \b
      dltool help
      dltool help layer-words
      dltool help fit

    Without a topic all topics are listed. A command's name gives its page: what it does with each option, and what
    comes out.
    """
    console, group = context.obj, context.parent.command
    if topic is None:
        console.results([*context.parent.get_help().splitlines(), *topic_lines()])
    elif topic in TOPICS or topic in PAGES:
        console.results(text_of(topic))
    elif topic in group.list_commands(context):
        found = group.get_command(context, topic)
        with click.Context(found, info_name=topic, parent=context.parent) as inner:
            console.results(found.get_help(inner).splitlines())
    else:
        known = [*TOPICS, *group.list_commands(context)]
        close = nearest(topic, known)
        advice = f"did you mean {close!r}?" if close else f"topics: {', '.join(TOPICS)}"
        raise UsageError(f"{topic}: no such topic; {advice}")


def topic_lines() -> list[str]:
    """The list of topics, as it follows the group's help."""
    width = max(map(len, TOPICS))
    return ["", "Topics (dltool help TOPIC):", *(f"  {name:<{width}}  {about}" for name, about in TOPICS.items())]


def text_of(topic: str) -> list[str]:
    """The lines of a topic: marks of headings taken away, ``{name}`` on a line of its own replaced by that table."""
    lines = []
    for line in (FOLDER / f"{topic}.md").read_text(encoding="utf-8").splitlines():
        name = line.removeprefix("{").removesuffix("}")
        if line == f"{{{name}}}" and name in TABLES:
            lines += TABLES[name]()
        else:
            lines.append(line.lstrip("#").lstrip() if line.startswith("#") else line)
    return lines


def exit_codes() -> list[str]:
    """One line per code."""
    from dltool.errors import EXIT_CODES

    lines = []
    for code, meaning in EXIT_CODES.items():
        lines += wrapped(meaning, WIDTH, initial_indent=f"  {code:>3}  ", subsequent_indent=" " * 7)
    return lines


def kinds() -> list[str]:
    """Every kind of layer with its short names, and its options in order."""
    from dltool import names
    from dltool.architectures import vocabulary

    short: dict[str, list[str]] = {}
    for kind, class_name in vocabulary.kinds().items():
        short.setdefault(class_name, []).append(kind)
    lines = []
    for class_name, found in names.LAYERS.items():
        aliases = sorted({kind for kind in short[class_name] if kind.islower()}, key=lambda k: (len(k), k))
        lines.append(f"  {', '.join(aliases)}")
        lines += _indented(", ".join(key for key in found if key != "trainable"), 6)
    return [*lines, "", "Every kind also takes trainable=false."]


def activations() -> list[str]:
    from dltool import names

    return _indented(", ".join(name for name in names.ACTIVATIONS if not name.endswith("_keras2")), 2)


def architectures() -> list[str]:
    from dltool import names

    width = max(map(len, names.ARCHITECTURES))
    lines = []
    for name, known in names.ARCHITECTURES.items():
        options = ", ".join(f"{key}={str(value).lower()}" for key, value in known.items())
        first, *more = _indented(options, width + 4)
        lines += [f"  {name:<{width}}  {first.lstrip()}", *more]
    return lines


def losses() -> list[str]:
    from dltool import names

    return _with_options(names.LOSSES, names.LOSS_ALIASES, ("reduction",))


def metrics() -> list[str]:
    from dltool import names

    return _with_options(names.METRICS, names.METRIC_ALIASES)


def optimizers() -> list[str]:
    from dltool import names

    common = set.intersection(*map(set, names.OPTIMIZERS.values()))
    return _with_options(names.OPTIMIZERS, names.OPTIMIZER_ALIASES, common)


def _with_options(known: dict[str, dict], aliases: dict[str, str], hidden: Collection[str] = ()) -> list[str]:
    """A line per name with its short names, and its options below."""
    lines = []
    for name, keys in known.items():
        short = sorted(alias for alias, full in aliases.items() if full == name and alias.islower())
        lines.append(f"  {', '.join([name, *short])}")
        lines += _indented(", ".join(key for key in keys if key not in hidden), 6)
    return lines


def augment_presets() -> list[str]:
    from dltool import names

    width = max(map(len, names.AUGMENT_PRESETS))
    return [
        line
        for name, text in names.AUGMENT_PRESETS.items()
        for line in wrapped(
            f"{name:<{width}}  {text.replace(',', ', ') or 'nothing'}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent=" " * (width + 4),
        )
    ]


def _indented(text: str, indent: int) -> list[str]:
    return wrapped(text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)


TABLES: dict[str, Callable[[], list[str]]] = {
    "exit-codes": exit_codes,
    "kinds": kinds,
    "activations": activations,
    "architectures": architectures,
    "losses": losses,
    "metrics": metrics,
    "optimizers": optimizers,
    "augment-presets": augment_presets,
}
"""What may stand in a text as ``{name}``."""
