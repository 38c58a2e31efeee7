"""The commands in few words, for completion: what each takes, and what may follow its options.

Whatever comes from here is a word of ours (checked by ``plain``) or a help text.
"""

import re
from dataclasses import dataclass

import click

from dltool.cli.command import CONTEXT

_WORD = re.compile(r"[A-Za-z0-9_.:=+\-]+")


@dataclass(frozen=True)
class Value:
    """What may follow: one of ``words``, the name of a file, or (neither) something that cannot be guessed."""

    words: tuple[str, ...] = ()
    files: bool = False


@dataclass(frozen=True)
class Option:
    """An option: its names (``-o``, ``--output``), one line of help, and its value (None for a flag)."""

    names: tuple[str, ...]
    help: str
    value: Value | None
    repeats: bool = False


@dataclass(frozen=True)
class Described:
    """A command: its options, and what each of its arguments takes; the last may repeat."""

    name: str
    help: str
    options: tuple[Option, ...]
    arguments: tuple[Value, ...]
    repeats: bool = False


def describe(root: click.Group) -> list[Described]:
    """All commands of a group, the group itself first (with the commands as its argument)."""
    group = click.Context(root, info_name="dltool", **CONTEXT)
    commands = [_described(group, name) for name in group.command.list_commands(group)]
    names = tuple(command.name for command in commands)
    top = tuple(_option(param) for param in group.command.get_params(group))
    return [Described("", "", top, (Value(names),)), *commands]


def _described(group: click.Context, name: str) -> Described:
    command = group.command.get_command(group, name)
    context = click.Context(command, info_name=name, parent=group, **CONTEXT)
    params = command.get_params(context)
    arguments = [param for param in params if isinstance(param, click.Argument)]
    return Described(
        plain(name),
        (command.help or "").splitlines()[0],
        tuple(_option(param) for param in params if isinstance(param, click.Option)),
        tuple(_argument(name, param, group) for param in arguments),
        bool(arguments) and arguments[-1].nargs == -1,
    )


def _option(param: click.Parameter) -> Option:
    takes_value = not (getattr(param, "is_flag", False) or getattr(param, "count", False))
    value = _value(param) if takes_value else None
    text = re.sub(r"\s+", " ", getattr(param, "help", None) or "")
    return Option(tuple(map(plain, (*param.opts, *param.secondary_opts))), text, value, param.multiple)


def _argument(command: str, param: click.Argument, group: click.Context) -> Value:
    if (command, param.name) == ("build", "words"):
        from dltool.architectures.vocabulary import kinds

        return Value(tuple(sorted(kind for kind in kinds() if kind.islower() and "_" not in kind)))
    if (command, param.name) == ("help", "topic"):
        from dltool.cli.help import TOPICS

        return Value((*TOPICS, *group.command.list_commands(group)))
    return _value(param)


def _value(param: click.Parameter) -> Value:
    """Words where the type has a list of names, files where the help says FILE, LIST, PATH, DIR or MODEL."""
    kind = getattr(param.type, "inner", param.type)
    words = getattr(kind, "choices", None) or getattr(kind, "known", None) or ()
    shown = param.metavar or ""
    return Value(tuple(map(plain, words)), any(word in shown for word in ("FILE", "PATH", "DIR", "MODEL", "LIST")))


def plain(word: str) -> str:
    """The word, which no shell may take for more than itself. Raises ValueError for our own mistake."""
    if not _WORD.fullmatch(word):
        raise ValueError(f"{word!r} cannot stand in a completion script as it is")
    return word
