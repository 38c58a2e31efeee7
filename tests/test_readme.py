"""The README's commands do what it says. Runs its shell blocks as they stand, in a copy of the sample data."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys

import pytest

from dltool.cli.help import PAGES, TOPICS
from dltool.cli.main import LazyGroup
from dltool.errors import EXIT_CODES

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the README's blocks are for a Unix shell")


def blocks(text, marker):
    """The shell blocks that follow ``<!-- marker -->``."""
    return re.findall(rf"<!-- {marker} -->\n```sh\n(.*?)```", text, flags=re.DOTALL)


def without_installation(block):
    """The block's dltool commands alone: the interpreter that runs the tests has everything installed."""
    lines = [line for line in block.splitlines() if "pip install" not in line and "-m venv" not in line]
    return "\n".join(lines).replace(".venv/bin/", "")


@pytest.fixture(scope="module")
def readme(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shell(tmp_path_factory, repository):
    """Runs shell text where ``sample_data`` lies and ``dltool`` is this interpreter's; returns its stdout."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(repository / "sample_data", folder / "sample_data")
    programs = folder / "bin"
    programs.mkdir()
    (programs / "dltool").write_text(f'#!/bin/sh\nexec "{sys.executable}" -W error -m dltool "$@"\n')
    (programs / "dltool").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(repository)}

    def run(text):
        command = ["bash", "-euo", "pipefail", "-c", text]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run.folder = folder
    return run


def test_first_block_trains_to_the_accuracy_that_it_promises(readme, shell):
    (block,) = blocks(readme, "install")
    assert "pip install ." in block
    output = shell(without_installation(block))
    accuracy = float(re.search(r"accuracy\s+([0-9.]+)", output).group(1))
    assert accuracy >= 0.97
    assert "test accuracy of 0.97 or more" in readme.replace("\n", " ")


def test_second_block_installs_and_runs_the_tests(readme):
    (block,) = blocks(readme, "test")
    assert block.splitlines() == [".venv/bin/pip install -e '.[test]'", ".venv/bin/python -m pytest -n auto"]


@pytest.fixture(scope="module")
def toured(readme, shell):
    """What each block of the tour prints; its files lie in ``shell.folder``."""
    return [shell(block) for block in blocks(readme, "tour")]


def test_tour_builds_fits_evaluates_and_predicts(toured, shell):
    _, _, evaluated, predicted, converted = toured
    assert "accuracy" in evaluated
    assert len(re.findall(r"sample_data/digits/test/7/\d{4}\.png", predicted)) == 36
    assert len((shell.folder / "digits.csv").read_text().splitlines()) == 1 + 360
    assert converted == ""
    assert (shell.folder / "named.h5").stat().st_size > (shell.folder / "small.weights.h5").stat().st_size


@pytest.mark.interop
def test_keras_opens_what_the_tour_made(toured, readme, shell):
    if importlib.util.find_spec("keras") is None:
        pytest.skip("keras is not installed")
    program, _ = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    program += "print(model.output_shape)"
    done = subprocess.run([sys.executable, "-c", program], cwd=shell.folder, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["(None, 10)"], done.stderr


def test_the_program_in_python_trains_measures_and_saves(readme, shell):
    (program,) = re.findall(r"<!-- python -->\n```python\n(.*?)```", readme, flags=re.DOTALL)
    (shell.folder / "program.py").write_text(program, encoding="utf-8")
    epochs, accuracy, *shape = shell(f"'{sys.executable}' -W error program.py").split(maxsplit=2)
    assert (int(epochs), shape) == (5, ["(1, 10)\n"]) and float(accuracy) > 0.5
    assert "5 epochs" in shell("dltool summary from_python.h5")


def test_every_shell_block_is_marked_and_thereby_run(readme):
    marked = sum(len(blocks(readme, marker)) for marker in ("install", "test", "tour", "more"))
    assert readme.count("```sh\n") == marked


def test_every_page_is_linked_and_every_link_leads_somewhere(readme, repository):
    links = dict(re.findall(r"\[`([a-z-]+)`\]\(([^)]+)\)", readme))
    assert set(links) == {*TOPICS, *PAGES}
    assert all(path == f"dltool/help/{name}.md" and (repository / path).is_file() for name, path in links.items())


def test_every_option_that_it_names_exists(readme):
    have = set()
    for command in PAGES:
        params = LazyGroup().get_command(None, command).params
        have |= {name for param in params for name in (*param.opts, *param.secondary_opts)}
    ours = "\n".join(line for line in readme.splitlines() if "tests.bench" not in line)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", ours)) - have <= {"--help"}


def test_exit_codes_are_the_tables(readme):
    listed = {
        int(code) for row in re.findall(r"^\| ([0-9, ]+) \|", readme, flags=re.MULTILINE) for code in row.split(", ")
    }
    assert listed <= set(EXIT_CODES)
    assert set(EXIT_CODES) - listed == {8, 141}


def test_architectures_that_it_names_exist(readme):
    from dltool.names import ARCHITECTURES

    (sentence,) = re.findall(r"have names: (.*?)\.\n", readme, flags=re.DOTALL)
    assert set(re.findall(r"`(?:--arch )?([a-z-]+)`", sentence)) <= set(ARCHITECTURES)


def test_further_commands_do_what_is_said(readme, toured, shell):
    found, searched, _, _, compared, labelled, tuned, drawn, piped = [shell(block) for block in blocks(readme, "more")]
    assert found == ""
    assert len(searched.splitlines()) == 1 + 6 and (shell.folder / "best.h5").is_file()
    assert "accuracy" in compared and "small.h5" in compared
    assert "accepted" in labelled
    assert tuned == "" and (shell.folder / "threes.h5").is_file()
    assert drawn == "" and len(list((shell.folder / "squeezed").rglob("*.png"))) == 36
    assert len([line for line in piped.splitlines() if line.startswith("{")]) == 36
    assert (shell.folder / "features.npy").stat().st_size > 360 * 4
