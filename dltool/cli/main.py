"""The command group, and the one place where an error becomes a line and an exit code."""

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from dltool.cli.command import CONTEXT, Layout
from dltool.cli.console import Console, cannot_write
from dltool.errors import DltoolError, OutputError
from dltool.registry import nearest
from dltool.version import __version__

COMMANDS = {
    "build": "Write an untrained model from layer words or a ready architecture.",
    "fit": "Train a model on labelled data.",
    "evaluate": "Measure a model on labelled data.",
    "predict": "Label files, folders and arrays.",
    "summary": "Show what a model file holds.",
    "lr-find": "Find a learning rate: raise it until the loss diverges.",
    "tune": "Find good options for a training: try many a little, train the best on.",
    "pseudo-label": "Label unlabelled images that the model is sure of, for further training.",
    "finetune": "Give a trained model a new head and train it on other classes.",
    "convert": "Write a model in another format of Keras, or give weights their network.",
    "completion": "Print the completion of a shell: bash, zsh or fish.",
    "help": "Explain a topic or a command.",
}
"""Command -> its line in the group's help; the module of the same name ("_" for "-") is imported only when it runs."""

ANYWHERE = ("--quiet", "-q", "--verbose", "-v", "--debug")
SINGLE_THREAD_BLAS = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)


class LazyGroup(Layout, click.Group):
    """Knows its commands by name and imports a command's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return import_module(f"dltool.cli.{cmd_name.replace('-', '_')}").command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        if name not in COMMANDS:
            close = nearest(name, list(COMMANDS))
            advice = f"did you mean {close!r}?" if close else f"commands: {', '.join(COMMANDS)}"
            raise click.UsageError(f"{name}: no such command; {advice}", ctx)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        super().format_options(ctx, formatter)


@click.group(cls=LazyGroup, context_settings=CONTEXT, no_args_is_help=False, invoke_without_command=True)
@click.version_option(__version__, "--version", prog_name="dltool", message="%(prog)s %(version)s")
@click.pass_context
def group(context: click.Context) -> None:
    """Train, measure and use neural networks; the models are Keras files.

    \b
      dltool fit digits.h5 --data train/ --arch cnn
      dltool evaluate digits.h5 --data test/
      dltool predict digits.h5 photos/

    'dltool help' lists topics, 'dltool COMMAND --help' the options of a command.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(args: Sequence[str] | None = None) -> int:
    """Run dltool and return the exit code (see ``dltool.errors.EXIT_CODES``)."""
    for name in SINGLE_THREAD_BLAS:  # lanes share the CPUs; read once, when numpy loads its BLAS
        os.environ.setdefault(name, "1")
    console = Console()
    words = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in words[: words.index("--") if "--" in words else None]
    try:
        with group.make_context("dltool", words, obj=console) as context:  # click's own main() hides closed pipes
            code = group.invoke(context)
        console.clear()
        console.flush()
        return code if isinstance(code, int) else 0
    except BaseException as error:
        if debug and isinstance(error, Exception) and not isinstance(error, BrokenPipeError | click.exceptions.Exit):
            import traceback

            console.raw_error("".join(traceback.format_exception(error)))
        return report(error, console)


def report(error: BaseException, console: Console) -> int:
    """Say what went wrong in one line and give the exit code."""
    if isinstance(error, click.exceptions.Exit):  # --help and --version end this way
        return _flushed(console, error.exit_code)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 70
    if isinstance(error, BrokenPipeError):
        _drop_stdout()
        return 141
    if isinstance(error, click.exceptions.Abort | KeyboardInterrupt):
        return 130
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        error = OutputError(cannot_write(error))
    if isinstance(error, click.ClickException):
        console.error(usage_message(error))
        return 2
    if isinstance(error, DltoolError):
        console.error(str(error))
        if error.exit_code == 5:
            _drop_stdout()
        return error.exit_code
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        console.error("memory: not enough; give a smaller --batch-size, --limit or --image-size")
        return 2
    text = " ".join(str(error).split()) or "no message"
    console.error(f"internal error: {type(error).__name__}: {text}; run again with --debug for the traceback")
    return 70


def _flushed(console: Console, code: int) -> int:
    try:
        console.flush()
    except (OSError, DltoolError) as error:
        return report(error, console)
    return code


def usage_message(error: click.ClickException) -> str:
    """A click error in our form, ``OPTION: what is wrong; what to do``."""
    context = getattr(error, "ctx", None)
    see = f"see '{context.command_path if context else 'dltool'} --help'"
    if isinstance(error, click.NoSuchOption):
        return f"{error.option_name}: no such option; {_advice(error.option_name, context) or see}"
    if isinstance(error, click.MissingParameter):
        return f"{_label(error)}: missing; {see}"
    if isinstance(error, click.BadParameter):
        text = error.message.rstrip(".")
        return f"{_label(error)}: {text}" + ("" if ";" in text else f"; {see}")
    if isinstance(error, click.BadOptionUsage):
        problem = "takes no value" if "does not take" in error.message else "needs a value"
        return f"{error.option_name}: {problem}; {see}"
    return error.format_message()


def _label(error: click.BadParameter) -> str:
    param = error.param
    if param is None:
        return str(error.param_hint or "option")
    return param.opts[0] if isinstance(param, click.Option) else param.make_metavar(error.ctx).strip("[].")


def _advice(option: str, context: click.Context | None) -> str | None:
    if context is None:
        return None
    if context.parent is None and option in ANYWHERE:
        return f"write it after the command, as dltool fit {option}"
    known = [name for param in context.command.get_params(context) for name in (*param.opts, *param.secondary_opts)]
    close = nearest(option, [name for name in known if name.startswith("--")])
    return f"did you mean {close}?" if close else None


def _drop_stdout() -> None:
    """Let what is still buffered go nowhere, so that the interpreter does not fail over it when it ends."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError, AttributeError):
        pass
