"""Completion scripts: up to date, right in the real shells, and safe with any file name."""

import os
import shutil
import subprocess

import click
import pytest

from dltool.cli.described import Described, Option, Value, describe, plain
from dltool.cli.main import COMMANDS, group, main
from dltool.cli.sections import in_sections
from dltool.cli.shells import SCRIPTS
from tests import regenerate_completions
from tests.cli.terminal import SHELLS, Shell

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Unix shells")


@pytest.fixture(scope="module")
def described():
    return describe(group)


@pytest.mark.parametrize("shell", list(SCRIPTS))
def test_the_committed_scripts_are_up_to_date(shell, repository, capsys):
    path = repository / "completions" / regenerate_completions.FILES[shell]
    written = path.read_text(encoding="utf-8")
    assert regenerate_completions.text(shell) == written, "run: python tests/regenerate_completions.py"
    assert main(["completion", shell]) == 0
    assert capsys.readouterr().out == written


def test_every_command_option_and_choice_is_described(described):
    top, *commands = described
    assert top.arguments[0].words == tuple(command.name for command in commands) == tuple(COMMANDS)
    fit = next(command for command in commands if command.name == "fit")
    options = {name: option for option in fit.options for name in option.names}
    real = {name for param in group.get_command(None, "fit").params for name in param.opts if name.startswith("-")}
    assert real | {"-h", "--help"} == set(options)
    assert "resnet-small" in options["--arch"].value.words
    assert options["--resize"].value.words == ("stretch", "crop", "pad")
    assert options["-o"].value.files
    assert options["--force"].value is None


def test_a_word_that_a_shell_could_take_for_more_is_refused():
    for word in ("$(reboot)", "a b", "a'b", "", "a\nb", "*"):
        with pytest.raises(ValueError, match="cannot stand in a completion script"):
            plain(word)


@pytest.mark.parametrize("shell", list(SCRIPTS))
def test_help_texts_cannot_leave_their_quotes(shell, tmp_path):
    """The script of a command whose help holds everything special is still one that the shell accepts and lists."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    evil = "it's [a] $(touch pwned) `touch pwned` \"q\" \\ : ; | {x} 'y'"
    value = Value(("a", "b"), files=True)
    command = Described("fit", evil, (Option(("-x", "--xx"), evil, value),), (value,), True)
    script = tmp_path / "script"
    script.write_text(SCRIPTS[shell]([Described("", "", (), (Value(("fit",)),)), command]))
    done = subprocess.run([shell, "-n", script], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    terminal = Shell(shell, script, tmp_path)
    try:
        assert terminal.arguments("dltool fi\t --x\t\n")[:2] in (["fit", "--xx"], ["fit", "--xx="])
    finally:
        terminal.close()
    assert not (tmp_path / "pwned").exists()


@pytest.fixture(scope="module", params=list(SHELLS))
def shell(request, tmp_path_factory, repository):
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    script = repository / "completions" / regenerate_completions.FILES[request.param]
    found = Shell(request.param, script, tmp_path_factory.mktemp(request.param))
    yield found
    found.close()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("dltool sum\t", ["summary"]),
        ("dltool comp\t z\t", ["completion", "zsh"]),
        ("dltool help exit\t", ["help", "exit-codes"]),
        ("dltool fit m.h5 --early\t 3", ["fit", "m.h5", "--early-stop", "3"]),
        ("dltool fit m.h5 --arch resnet-\t", ["fit", "m.h5", "--arch", "resnet-small"]),
        ("dltool fit m.h5 --optimizer nad\t", ["fit", "m.h5", "--optimizer", "nadam"]),
        ("dltool fit m.h5 --resize=st\t", ["fit", "m.h5", "--resize=stretch"]),
        ("dltool build m.h5 globalaveragepooling2\t", ["build", "m.h5", "globalaveragepooling2d"]),
        ("dltool build m.h5 conv2d:3,3 glob\tmaxp\t", None),
        ("dltool predict -q m.h5 --pro\t", ["predict", "-q", "m.h5", "--probs"]),
    ],
)
def test_tab_completes_commands_options_and_choices(shell, typed, expected):
    found = shell.arguments(typed + "\n")
    if expected is None:
        assert found[:3] == ["build", "m.h5", "conv2d:3,3"]
    else:
        assert found == expected


ODD_NAMES = [
    "odd name.h5",
    "odd'quote\".h5",
    "odd$(touch pwned).h5",
    "odd`touch pwned`.h5",
    "odd;touch pwned;.h5",
    "odd&touch pwned&.h5",
    "odd|*?[x]{a,b}.h5",
    "odd\\back.h5",
    "odd\nline.h5",
    "odd=a:b.h5",
    "odd~#!ä猫.h5",
]


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("command", ["summary ", "predict m.h5 ", "fit m.h5 --data "])
def test_tab_completes_any_file_name_and_runs_nothing(shell, name, command):
    number = len(list(shell.folder.iterdir()))
    folder = shell.folder / f"files{number}"
    folder.mkdir()
    (folder / name).write_text("")
    shell.arguments(f"cd '{folder}'; dltool there\n")
    found = shell.arguments(f"dltool {command}od\t\n")
    assert found == [*command.split(), name]
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_value_that_cannot_be_guessed_completes_to_nothing(shell):
    (shell.folder / "onlyfile").mkdir(exist_ok=True)
    (shell.folder / "onlyfile" / "afile").write_text("")
    shell.arguments(f"cd '{shell.folder / 'onlyfile'}'; dltool there\n")
    assert shell.arguments("dltool fit m.h5 --epochs \t3\n") == ["fit", "m.h5", "--epochs", "3"]


def test_sections_hold_every_option_once():
    for name in COMMANDS:
        params = group.get_command(None, name).params
        listed = [param for _, found in in_sections(params) for param in found]
        assert sorted(p.name for p in listed) == sorted(p.name for p in params if isinstance(p, click.Option))
