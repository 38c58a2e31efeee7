"""The class of all commands: the same help options and layout, and surplus arguments refused by name."""

from collections.abc import Sequence
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

import click

from dltool.cli.sections import in_sections, split_examples

if TYPE_CHECKING:
    from dltool.settings import PluginFile

PLUGINS = "dltool.plugins"
"""Where a context keeps the plugins that are read."""

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

WIDEST_NAME = 24
"""Columns for an option and its value; the help of a longer one begins on the next line."""


HYPHEN = "\N{NON-BREAKING HYPHEN}"


class Formatter(click.HelpFormatter):
    """Breaks lines between words only, so that ``resnet-small`` and ``--val-split`` can be found and copied."""

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        super().write_dl([(name, text.replace("-", HYPHEN)) for name, text in rows], col_max, col_spacing)

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", HYPHEN))

    def getvalue(self) -> str:
        return super().getvalue().replace(HYPHEN, "-")


class Context(click.Context):
    formatter_class = Formatter


class Layout:
    """How help looks, for commands and the group: a sentence, examples, explanations, options by subject."""

    context_class = Context

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        first, examples, rest = split_examples(cleandoc(self.help or ""))
        self._write(formatter, first)
        if examples:
            with formatter.section("Examples"):
                for line in examples:
                    formatter.write(f"{line}\n")
        self._write(formatter, rest)

    def _write(self, formatter: click.HelpFormatter, paragraphs: list[str]) -> None:
        if paragraphs:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text("\n\n".join(paragraphs))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections = {
            heading: [_record(*record) for param in params if (record := param.get_help_record(ctx)) is not None]
            for heading, params in in_sections(self.get_params(ctx))
        }
        widest = max(len(name) for records in sections.values() for name, _ in records)
        width = min(widest, WIDEST_NAME)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl([(name.ljust(width), text) for name, text in records], col_max=width)


def _record(name: str, text: str) -> tuple[str, str]:
    """A line of help; defaults that click adds look like those that we write: ``[10]``."""
    return name, text.replace("[default: ", "[")


class Command(Layout, click.Command):
    """A click command in our manner."""

    def __init__(self, *args: Any, **kwargs: Any):
        kwargs["context_settings"] = {**CONTEXT, "allow_extra_args": True, **kwargs.get("context_settings", {})}
        super().__init__(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            self._read_plugins(ctx, args)
            rest = super().parse_args(ctx, args)
            self._refuse_empty(ctx)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click forgets it in some places, and then names the wrong command
            ctx.close()
            raise
        except BaseException:
            ctx.close()
            raise
        if ctx.args and not ctx.resilient_parsing:
            raise click.UsageError(f"{ctx.args[0]}: one argument too many; see '{ctx.command_path} --help'", ctx)
        return rest

    def _refuse_empty(self, ctx: click.Context) -> None:
        """Nothing takes an empty word; it is mostly a shell's variable that has no value."""
        for param in [] if ctx.resilient_parsing else self.get_params(ctx):
            value = ctx.params.get(param.name)
            is_option = isinstance(param, click.Option)
            if is_option and param.flag_value == "":  # the option without its value
                continue
            if value == "" or (isinstance(value, tuple) and "" in value):
                name = max(param.opts, key=len) if is_option else param.make_metavar(ctx).strip("[.]")
                advice = "give one" if param.required else "give one, or leave it out"
                raise click.UsageError(f"{name}: '' is no name; {advice}", ctx)

    def _read_plugins(self, ctx: click.Context, args: list[str]) -> None:
        """Read the files of --plugin before the other options, whose names they may define; --help reads none."""
        if ctx.resilient_parsing or not any(word.startswith("--plugin") for word in args):
            return
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        if given.get("plugins") and not given.get(self.get_help_option(ctx).name):
            from dltool.workflows.plugins import plugged

            ctx.meta[PLUGINS] = ctx.with_resource(plugged(given["plugins"]))

    def invoke(self, ctx: click.Context) -> Any:
        found = plugins(ctx)
        if not found:
            return super().invoke(ctx)
        from dltool.workflows.plugins import naming_plugins

        with naming_plugins(found):
            return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Arguments first, as people write them."""
        arguments = [param for param in self.get_params(ctx) if isinstance(param, click.Argument)]
        return [*(piece for param in arguments for piece in param.get_usage_pieces(ctx)), "[OPTIONS]"]


def plugins(ctx: click.Context) -> "tuple[PluginFile, ...]":
    """The plugins that the command was given, read already."""
    return ctx.meta.get(PLUGINS, ())
