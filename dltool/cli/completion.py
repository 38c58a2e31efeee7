"""``dltool completion SHELL``: the completion script of a shell, generated from the real commands.

The scripts hold every command, option and choice as plain words and start no program, so a TAB costs nothing; file
names are completed by the shell itself, never by text that would be evaluated. ``completions/`` keeps the output.
"""

import click

from dltool.cli import options
from dltool.cli.command import Command
from dltool.cli.types import ChoiceType

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", cls=Command)
@click.argument("shell", type=ChoiceType("shell", *SHELLS), metavar="|".join(SHELLS))
@options.common
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion of a shell: bash, zsh or fish.

    \b
      . <(dltool completion bash)
      dltool completion zsh > "${fpath[1]}/_dltool"
      dltool completion fish > ~/.config/fish/completions/dltool.fish

    The first line is for ~/.bashrc. For zsh any folder of $fpath will do; start a new shell afterwards.
    """
    from dltool.cli.described import describe
    from dltool.cli.shells import SCRIPTS

    context.obj.results(SCRIPTS[shell](describe(context.parent.command)).splitlines())
