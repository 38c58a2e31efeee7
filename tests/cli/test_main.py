"""Rules that every command keeps: what help costs, how errors look, which exit code they give."""

import json
import os
import re
import signal
import statistics
import subprocess
import sys

import pytest

from dltool.cli import main as main_module
from dltool.cli.console import Console
from dltool.cli.help import TOPICS
from dltool.cli.main import COMMANDS, main, report
from dltool.errors import EXIT_CODES, DataError, DltoolError

HEAVY = {"numpy", "h5py", "PIL", "tabulate", "dltool.engine", "dltool.data", "dltool.modelfile", "dltool.training"}
COMMAND = [sys.executable, "-m", "dltool"]


def subcommands(command):
    """All subclasses of an error, itself included."""
    return {command, *(found for child in command.__subclasses__() for found in subcommands(child))}


LIGHT = [
    [],
    ["--help"],
    ["-h"],
    ["--version"],
    *([command, "--help"] for command in COMMANDS),
    ["help"],
    *(["help", topic] for topic in TOPICS),
    ["help", "fit"],
    ["biuld"],
    ["--hepl"],
    ["fit", "m.h5", "--epohcs", "3"],
    ["fit", "m.h5"],
    ["fit"],
    ["build", "m.h5", "--arch", "cn"],
    ["build", "m.h5", "cnv2d:3"],
    ["build", "m.h5", "conv2d:32,3,3"],
    ["build", "m.h5", "dense:3", "--loss", "msee"],
    ["build", "m.h5", "dense:3", "--optimizer", "sgd:momentum=x"],
    ["build", "m.h5", "--from", "no.json"],
    ["build", "m.h5", "--from", "-", "--like", "m.h5"],
    *(["completion", shell] for shell in ("bash", "zsh", "fish")),
    ["completion", "csh"],
]


def test_help_version_and_usage_errors_load_nothing_heavy():
    code = (
        "import io, sys, json\n"
        "from dltool.cli.main import main\n"
        "found = {}\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    main(words)\n"
        "    found[' '.join(words)] = sorted(sys.modules)\n"
        "print('\\n' + json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", code, json.dumps(LIGHT)], capture_output=True, text=True, timeout=60)
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == len({" ".join(words) for words in LIGHT})
    for words, modules in found.items():
        assert not HEAVY & set(modules), f"dltool {words}"


@pytest.mark.skipif(os.name != "posix", reason="reads the CPU time of children")
@pytest.mark.parametrize("words", [["--help"], ["fit", "--help"]])
def test_help_is_as_fast_as_python_and_click(words):
    """In CPU time, which other programs on the machine hardly change; measured by turns, medians."""
    import resource

    def seconds(*command):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    pairs = [(seconds(sys.executable, "-c", "import click"), seconds(*COMMAND, *words)) for _ in range(7)]
    bare, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    assert ours - bare < 0.060


@pytest.mark.parametrize("command", list(COMMANDS))
def test_the_groups_line_is_the_commands_own_first_line(command):
    found = main_module.group.get_command(None, command)
    assert found.help.splitlines()[0] == COMMANDS[command]
    assert found.name == command


def test_options_mean_the_same_everywhere():
    """One long option, one help text: no command words a shared option anew."""
    seen = {}
    for command in COMMANDS:
        for param in main_module.group.get_command(None, command).params:
            for name in param.opts:
                if name.startswith("--"):
                    assert seen.setdefault(name, (param.help, param.opts)) == (param.help, param.opts), name


def test_no_command_is_help_on_stdout(capsys):
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert "Commands:" in out
    assert err == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["biuld"], "biuld: no such command; did you mean 'build'?"),
        (["xyz"], f"xyz: no such command; commands: {', '.join(COMMANDS)}"),
        (["bui"], "bui: no such command; did you mean 'build'?"),
        (["--hepl"], "--hepl: no such option; did you mean --help?"),
        (["--quiet", "fit"], "--quiet: no such option; write it after the command, as dltool fit --quiet"),
        (["fit", "m.h5", "--epohcs", "3"], "--epohcs: no such option; did you mean --epochs?"),
        (["fit", "m.h5", "--epoch", "3"], "--epoch: no such option; did you mean --epochs?"),
        (["fit", "m.h5", "--qqq"], "--qqq: no such option; see 'dltool fit --help'"),
        (["fit", "m.h5", "--epochs", "x"], "--epochs: 'x' is not a whole number from 1 up; see 'dltool fit --help'"),
        (["fit", "m.h5", "--epochs"], "--epochs: needs a value; see 'dltool fit --help'"),
        (["fit", "m.h5", "--force=3"], "--force: takes no value; see 'dltool fit --help'"),
        (["fit"], "MODEL: missing; see 'dltool fit --help'"),
        (["fit", "m.h5", "extra"], "extra: one argument too many; see 'dltool fit --help'"),
        (["fit", "m.h5", "--optimizer", "adm"], "--optimizer: unknown optimizer 'adm'; did you mean 'adam'?"),
        (
            ["fit", "m.h5", "--optimizer", "sgd:momentun=0.9"],
            "--optimizer: sgd has no option 'momentun'; did you mean 'momentum'?",
        ),
        (["fit", "m.h5", "--loss", "msee"], "--loss: unknown loss 'msee'; did you mean 'mse'?"),
        (["fit", "m.h5", "--metric", "acuracy"], "--metric: unknown metric 'acuracy'; did you mean 'accuracy'?"),
        (["fit", "m.h5", "--backend", "gpu"], "--backend: unknown backend 'gpu'; give one of auto, threads, processes"),
        (["fit", "", "--data", "train"], "MODEL: '' is no name; give one"),
        (["fit", "m.h5", "--data", "train", "-o", ""], "--output: '' is no name; give one, or leave it out"),
        (["fit", "m.h5", "--data", "train", "--data", ""], "--data: '' is no name; give one, or leave it out"),
        (["predict", "m.h5", "a.png", ""], "PATH: '' is no name; give one, or leave it out"),
        (["build", "m.h5", "--input", "8", ""], "WORD: '' is no name; give one, or leave it out"),
        (["help", "exit-code"], "exit-code: no such topic; did you mean 'exit-codes'?"),
    ],
)
def test_usage_errors_are_one_line_with_the_nearest_match(words, message, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"dltool: error: {message}\n"


def test_every_error_has_a_code_in_the_table():
    assert {error.exit_code for error in subcommands(DltoolError)} <= set(EXIT_CODES)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("x.npy: bad"), 3, "dltool: error: x.npy: bad\n"),
        (DataError("a\x1b[2Jb\n.npy: bad"), 3, "dltool: error: a\\x1b[2Jb\\n.npy: bad\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 141, ""),
        (
            ZeroDivisionError("division\nby zero"),
            70,
            "dltool: error: internal error: ZeroDivisionError: division by zero; "
            "run again with --debug for the traceback\n",
        ),
        (
            MemoryError(),
            2,
            "dltool: error: memory: not enough; give a smaller --batch-size, --limit or --image-size\n",
        ),
    ],
)
def test_errors_become_one_line_and_a_code(error, code, line, capsys, monkeypatch):
    monkeypatch.setattr(main_module, "_drop_stdout", lambda: None)
    assert report(error, Console()) == code
    assert capsys.readouterr().err == line


def test_debug_shows_the_traceback_and_nothing_else_does(run_dltool, tmp_path):
    missing = str(tmp_path / "no.h5")
    for words, wanted in ((["summary", missing], False), (["summary", missing, "--debug"], True)):
        done = run_dltool(*words)
        assert done.returncode == 4
        assert ("Traceback" in done.stderr) == wanted
        assert done.stderr.splitlines()[-1].startswith(f"dltool: error: {missing}: no such file")


def test_names_with_control_characters_are_escaped(run_dltool, tmp_path):
    done = run_dltool("summary", "evil\x1b]0;x\x07\n.h5", cwd=tmp_path)
    assert done.returncode == 4
    assert "evil\\x1b]0;x\\x07\\n.h5" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not re.search("[\x00-\x09\x0b-\x1f]", done.stderr)


@pytest.mark.skipif(os.name != "posix", reason="pipes as on Unix")
@pytest.mark.parametrize("words", ["help layer-words", "--help"])
def test_a_closed_pipe_is_silent(words):
    code = f"{sys.executable} -m dltool {words}; echo code $? >&2"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(["sh", "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert done.stderr == "code 141\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["help", "exit-codes"], ["--help"], ["--version"]])
def test_a_full_disk_under_stdout_is_exit_5(words):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 5
    assert done.stderr == ("dltool: error: standard output: no space left on device; free space or write elsewhere\n")


def test_ascii_where_the_encoding_is_not_utf8(run_dltool, tmp_path):
    done = run_dltool("summary", "猫.h5", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 4
    assert "\\u732b.h5" in done.stderr


def test_numpy_uses_one_blas_thread_per_lane():
    code = (
        "import os; os.environ.pop('OPENBLAS_NUM_THREADS', None)\n"
        "from dltool.cli.main import main; main(['--version']); print(os.environ['OPENBLAS_NUM_THREADS'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "1"


def test_a_users_own_blas_setting_stands():
    code = "import os; from dltool.cli.main import main; main(['--version']); print(os.environ['OPENBLAS_NUM_THREADS'])"
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.splitlines()[-1] == "3"


def test_signals_are_in_the_table():
    assert {128 + signal.SIGINT, 128 + signal.SIGTERM, 141} <= set(EXIT_CODES)
