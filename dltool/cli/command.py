"""The class of all commands: the same help options, and surplus arguments refused by name."""

from typing import Any

import click

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Command(click.Command):
    """A click command in our manner."""

    def __init__(self, *args: Any, **kwargs: Any):
        kwargs["context_settings"] = {**CONTEXT, "allow_extra_args": True, **kwargs.get("context_settings", {})}
        super().__init__(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            rest = super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click forgets it in some places, and then names the wrong command
            raise
        if ctx.args and not ctx.resilient_parsing:
            raise click.UsageError(f"{ctx.args[0]}: one argument too many; see '{ctx.command_path} --help'", ctx)
        return rest
