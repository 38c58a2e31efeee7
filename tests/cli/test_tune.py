"""``dltool tune`` as typed."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dltool.cli.help import FOLDER
from dltool.cli.main import main

WORDS = ["tune", "m.h5", "--data", "x.npy", "--arch", "mlp", "--try", "lr=1e-3..1e-1:log", "--jobs", "1"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """x.npy with its labels: two classes that one number tells apart."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).uniform(-1, 1, (200, 2)).astype(np.float32)
    np.save("x.npy", values)
    np.save("y.npy", (values[:, 0] > 0).astype(np.int64))
    return tmp_path


def test_stdout_is_a_table_of_the_best_and_stderr_a_line_per_result(here, capsys):
    assert main([*WORDS, "--trials", "4", "--epochs", "3", "--try", "optimizer=adam,sgd"]) == 0
    out, err = capsys.readouterr()
    head, *rows = out.splitlines()
    assert head.split() == ["trial", "epochs", "val_acc", "lr", "optimizer"]
    scores = [float(row.split()[2]) for row in rows]
    assert len(rows) == 4 and scores == sorted(scores, reverse=True)
    trials = re.findall(
        r"^trial +(\d) +(\d) epochs?  val_acc [0-9.]+ +[0-9.]+s  lr \S+, optimizer (adam|sgd)", err, re.M
    )
    assert [number for number, _, _ in trials][:3] == ["1", "2", "3"]
    assert {epochs for _, epochs, _ in trials} == {"1", "3"}
    assert re.search(r"^ended   4 trials are done; 4 trials in .*\nsaved   m\.h5$", err, re.M)
    assert set(os.listdir(here)) == {"x.npy", "y.npy", "m.h5"}


def test_json_has_every_result_and_its_keys_are_on_the_page(here, capsys):
    assert main([*WORDS, "--trials", "2", "--epochs", "1", "--json", "-q", "--journal", "j.jsonl"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == "" and found["schema"] == "dltool.tune/1"
    assert found["results"] == [json.loads(line) for line in (here / "j.jsonl").read_text().splitlines()[1:]]
    assert found["best"] in found["results"]
    page = re.findall(r"\w+", (FOLDER / "tune.md").read_text(encoding="utf-8"))
    assert {*found, *found["best"]} - set(page) == set()


def search(here, run_dltool, *more):
    words = [*WORDS, "--trials", "9", "--epochs", "9", "--journal", "j.jsonl", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "dltool", *words], cwd=here, env=run_dltool.environ, stderr=subprocess.PIPE, text=True
    )


def results(path):
    """What a journal says, without how long it took."""
    rows = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    return [{name: value for name, value in row.items() if name not in ("seconds", "elapsed")} for row in rows]


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
def test_after_kill_9_the_same_command_goes_on(here, run_dltool):
    with search(here, run_dltool) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not ((here / "j.jsonl").exists() and len(results(here / "j.jsonl")) >= 4):
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL and not (here / "m.h5").exists()
    before = results(here / "j.jsonl")
    with search(here, run_dltool) as process:
        err = process.stderr.read()
    assert process.returncode == 0, err
    assert f"journal j.jsonl: goes on after {len(before)} results" in err
    after = results(here / "j.jsonl")
    killed = (here / "m.h5").read_bytes()
    (here / "m.h5").unlink()
    (here / "j.jsonl").unlink()
    with search(here, run_dltool) as process:
        process.communicate()
    assert after[: len(before)] == before and after == results(here / "j.jsonl")
    assert killed == (here / "m.h5").read_bytes()
    assert set(os.listdir(here)) == {"x.npy", "y.npy", "m.h5", "j.jsonl"}


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_best_and_says_how_to_go_on(here, run_dltool, number, code):
    seen = ""
    with search(here, run_dltool, "--try", "arch.units=4..64") as process:
        for line in process.stderr:
            seen += line
            if line.startswith("trial    2"):
                process.send_signal(number)
    assert process.returncode == code
    assert "Traceback" not in seen
    assert "saved   m.h5 with the best model so far\n" in seen
    resume = seen.splitlines()[-1].removeprefix("resume  ")
    assert resume.startswith("dltool tune m.h5 --data x.npy")
    done = subprocess.run(
        resume.replace("dltool", f"{sys.executable} -m dltool", 1), shell=True, cwd=here, env=run_dltool.environ
    )
    assert done.returncode == 0
    assert not (here / "j.jsonl.trials").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["m.h5", "--data", "x.npy", "--arch", "mlp"], 2, "--try: missing; say what to try, as --try lr="),
        ([*WORDS[1:]], 2, "--time: missing; say how long to search, as --time 10m, or --trials 30"),
        (["m.h5", "--try", "lr=1,2", "--time", "9s"], 2, "--data: missing"),
        (["m.h5", "--data", "x.npy", "--try", "lr=1,2", "--time", "9s"], 4, "m.h5: no such file; build it first"),
        ([*WORDS[1:], "--try", "optimizer=adam,sdg"], 2, "--try: unknown optimizer 'sdg'; did you mean 'sgd'?"),
        ([*WORDS[1:], "--try", "batch-size=0,4"], 2, "--try: 0 is out of range; give a whole number from 1 up"),
        ([*WORDS[1:], "--try", "dropout=0.5"], 2, "--time: missing"),
        ([*WORDS[1:], "--try", "ema=none,2"], 2, "--try: 2 is out of range"),
        ([*WORDS[1:], "--try", "epochs=1,2", "--trials", "1"], 2, "--try: 'epochs' cannot be tried; "),
        ([*WORDS[1:], "--lr", "0.1", "--trials", "1"], 2, "--lr: is tried with --try lr, too; leave one of the two"),
        ([*WORDS[1:], "--try", "arch=mlp,cnnn", "--trials", "1"], 2, "--try: unknown architecture 'cnnn'; did you"),
        ([*WORDS[1:], "--try", "lr=0.1,0.2", "--trials", "1"], 2, "--try: lr is given twice"),
        ([*WORDS[1:], "--val-split", "0", "--trials", "1"], 2, "--val: missing; trials are compared by validation"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(here, capsys, words, code, message):
    assert main(["tune", *words]) == code
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith(f"dltool: error: {message}")
    assert set(os.listdir(here)) == {"x.npy", "y.npy"}
