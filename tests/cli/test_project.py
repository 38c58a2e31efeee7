"""A whole project as a stranger does it, from pictures to a finetuned network, on a terminal and in pipes."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.cli.terminal import run_in_terminal
from tests.workflows.pictures import DARK_AND_BRIGHT, picture_folder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="terminals of Unix")

STEPS = [
    "build m.h5 --data train --arch mlp:units=16",
    "fit m.h5 --data train --epochs 25 --lr 0.02 --early-stop 20 --schedule cosine --log log.jsonl",
    "evaluate m.h5 --data test --fail-under accuracy=0.5",
    "predict m.h5 test --top 2",
    "summary m.h5",
    "lr-find m.h5 --data train --steps 40 --max 100",
    "tune best.h5 --data train --arch mlp --try lr=0.01..0.1 --try optimizer=adam,sgd:momentum=0.9 --trials 3",
    "pseudo-label m.h5 --unlabelled test --val train --threshold 0.4 -o pool.csv",
    "fit m.h5 --data train --extra pool.csv --epochs 1",
    "finetune m.h5 --data other -o tuned.h5 --epochs 2 --epochs-unfrozen 1",
    "summary tuned.h5 --diff m.h5",
]
LONG = re.compile(r"dltool: |next  |resume  ")
"""Errors and warnings are one line each, and commands are there to be copied."""


@pytest.fixture
def here(tmp_path):
    picture_folder(tmp_path / "train", DARK_AND_BRIGHT, per_class=20)
    picture_folder(tmp_path / "test", DARK_AND_BRIGHT, per_class=4, seed=1)
    picture_folder(tmp_path / "other", {"black": 5, "grey": 140}, per_class=20, seed=2)
    return tmp_path


def environment(repository, **more):
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    return {**kept, "PYTHONPATH": str(repository), "TERM": "xterm", "LC_ALL": "C.UTF-8", **more}


def test_on_a_terminal_of_80_columns_every_line_fits_and_is_ascii_in_the_locale_c(here, repository):
    environ = environment(repository, LC_ALL="C", LANG="C", NO_COLOR="1")
    for step in STEPS:
        code, shown = run_in_terminal([sys.executable, "-m", "dltool", *step.split()], environ, here)
        assert code == 0, shown
        assert "\x1b" not in shown and shown.isascii(), step
        visible = [part for line in shown.replace("\r\n", "\n").split("\n") for part in line.split("\r")]
        assert [part for part in visible if len(part) > 80 and not LONG.match(part)] == [], step


def test_in_pipes_results_and_progress_are_apart_and_plain(here, repository):
    results = {}
    for step in STEPS:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "dltool", *step.split()],
            cwd=here,
            env=environment(repository),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f]", done.stdout + done.stderr), step
        assert "next " not in done.stderr and "hint " not in done.stdout, step
        results[step.split()[0]] = done.stdout
    assert results["build"] == results["fit"] == results["finetune"] == ""
    assert len(results["predict"].splitlines()) == 1 + 12
    assert re.fullmatch(r"[0-9.e+-]+\n", results["lr-find"])
    rows = [json.loads(line) for line in (here / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert (here / "pool.csv").read_text().startswith("path,label,weight\n")
