"""Bad input for every option of every command: one line, the right code, nothing written.

The options are those of the real commands, so a new one without a row here fails.
"""

import re

import click
import pytest

from dltool.cli.main import COMMANDS, LazyGroup, main
from tests.workflows.pictures import DARK_AND_BRIGHT, picture_folder

GOOD = {
    "build": "new.h5 --data train dense:3,softmax",
    "fit": "m.h5 --data train --epochs 1",
    "evaluate": "m.h5 --data test",
    "predict": "m.h5 test",
    "summary": "m.h5",
    "lr-find": "m.h5 --data train",
    "tune": "m.h5 --data train --try lr=0.01,0.1 --trials 1 --epochs 1",
    "pseudo-label": "m.h5 --unlabelled test --data train",
    "finetune": "m.h5 --data train -o new.h5",
    "convert": "m.h5 new.keras",
    "completion": "bash",
    "help": "data",
}
"""What each command would do without the option."""

BAD = {
    "--arch": ("cnnn", 2),
    "--ask": ("0", 2),
    "--at": ("nolayer", 2),
    "--augment": ("hflop", 2),
    "--augment-preview": ("sheet.txt", 2),
    "--balance": ("undersample", 2),
    "--backend": ("thread", 2),
    "--batch-size": ("0", 2),
    "--beam": ("0", 2),
    "--beta": ("0", 2),
    "--bn": ("thaw", 2),
    "--checkpoint": ("{epohc}.h5", 2),
    "--class-names": (",", 2),
    "--class-weight": ("purple=2", 2),
    "--classes": ("0", 2),
    "--clip-norm": ("0", 2),
    "--clip-value": ("-1", 2),
    "--color": ("grey", 2),
    "--data": ("no", 3),
    "--decision-threshold": ("2", 2),
    "--diff": ("no.h5", 4),
    "--early-stop": ("0", 2),
    "--ema": ("2", 2),
    "--epochs": ("0", 2),
    "--epochs-unfrozen": ("-1", 2),
    "--extra": ("no.csv", 3),
    "--features": ("features.txt", 2),
    "--fail-under": ("acuracy=1", 2),
    "--files0-from": ("no.txt", 2),  # beside a PATH
    "--format": ("xml", 2),
    "--freeze": ("nolayer", 2),
    "--from": ("no.json", 2),  # beside layer words
    "--group": ("no.txt", 3),
    "--head": ("dnese:3", 2),
    "--horizon": ("2", 2),  # without --window
    "--image-size": ("8", 2),
    "--init-from": ("no.h5", 4),
    "--input": ("0", 2),
    "--into": ("m.h5", 5),
    "--jobs": ("0", 2),
    "--journal": ("no/j.jsonl", 5),
    "--label-smoothing": ("2", 2),
    "--labels": ("no.npy", 2),
    "--labels-from": ("no.h5", 4),
    "--layer": ("nolayer", 2),
    "--like": ("no.h5", 2),
    "--limit": ("0", 2),
    "--log": ("log.txt", 2),
    "--log-every": ("step", 2),
    "--loss": ("msee", 2),
    "--loss-weight": ("0.5", 2),
    "--lr": ("0", 2),
    "--max": ("0", 2),
    "--max-per-class": ("0", 2),
    "--metric": ("acuracy", 2),
    "--min": ("nan", 2),
    "--min-delta": ("-1", 2),
    "--min-precision": ("2", 2),
    "--min-prob": ("2", 2),
    "--monitor": ("val_acuracy", 2),
    "--optimizer": ("adma", 2),
    "--output": ("no/out", 5),
    "--pick": ("vally", 2),
    "--plot": ("plot.gif", 2),
    "--plugin": ("no.py", 2),
    "--pop": ("99", 2),
    "--preprocess": ("cafe", 2),
    "--resize": ("squash", 2),
    "--schedule": ("cosin", 2),
    "--seed": ("-1", 2),
    "--restarts": ("0", 2),
    "--rounds": ("0", 2),
    "--sort-into": ("m.h5", 5),
    "--steps": ("1", 2),
    "--target": ("inputs", 2),
    "--target-column": ("x", 2),
    "--threshold": ("2", 2),
    "--time": ("soon", 2),
    "--top": ("0", 2),
    "--top-losses": ("-1", 2),
    "--trials": ("0", 2),
    "--try": ("lt=0.1,0.2", 2),
    "--train-to": ("no/n.h5", 5),
    "--unfreeze": ("nolayer", 2),
    "--unlabelled": ("no", 3),
    "--val": ("no", 3),
    "--val-labels": ("y.npy", 2),
    "--val-split": ("1", 2),
    "--warmup": ("soon", 2),
    "--weight-decay": ("-1", 2),
    "--window": ("0", 2),
    "--weights": ("nolayer", 2),
}
"""Option -> a value that cannot be used, and the exit code."""

ELSEWHERE = {
    ("convert", "--from"): ("no.json", 4),
    ("summary", "--data"): ("no", 2),
    ("summary", "--labels"): ("no.npy", 2),
}
"""The same where another code is right: convert has no layer words, summary reads rows for --activations only."""


def options_of(command):
    return [p for p in LazyGroup().get_command(None, command).params if isinstance(p, click.Option)]


VALUED = [(command, p.opts[0]) for command in COMMANDS for p in options_of(command) if not p.is_flag]
FLAGS = [
    (command, name)
    for command in COMMANDS
    for p in options_of(command)
    if p.is_flag
    for name in (*p.opts, *p.secondary_opts)
    if name.startswith("--")
]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """train/ and test/ of three grey levels, and a model of them, m.h5."""
    folder = tmp_path_factory.mktemp("bad")
    picture_folder(folder / "train", DARK_AND_BRIGHT, per_class=20)
    picture_folder(folder / "test", DARK_AND_BRIGHT, per_class=2, seed=1)
    assert main(["build", str(folder / "m.h5"), "--data", str(folder / "train"), "--arch", "mlp:units=4", "-q"]) == 0
    return folder


@pytest.fixture
def refused(project, monkeypatch, capsys):
    """Runs words that must be refused in one line; returns it."""
    monkeypatch.chdir(project)
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}

    def call(words, code):
        capsys.readouterr()
        assert main(words) == code, capsys.readouterr().err
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert re.fullmatch(r"dltool: error: [^:]+.*: .+", err.rstrip())
        assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
        return err

    return call


def test_every_option_has_a_row_and_every_row_an_option():
    assert {option for _, option in VALUED} == set(BAD)
    assert set(GOOD) == set(COMMANDS)


@pytest.mark.parametrize(("command", "option"), VALUED)
def test_a_bad_value_is_refused(command, option, refused):
    value, code = ELSEWHERE.get((command, option), BAD[option])
    line = refused([command, *GOOD[command].split(), f"{option}={value}"], code)
    assert option in line or value in line
    assert line.split("; ")[1:], "it does not say what to do"


@pytest.mark.parametrize(("command", "option"), [pair for pair in VALUED if pair != ("summary", "--weights")])
def test_a_missing_value_is_refused(command, option, refused):
    assert f"{option}: needs a value; " in refused([command, *GOOD[command].split(), option], 2)


@pytest.mark.parametrize(("command", "option"), FLAGS)
def test_a_flag_takes_no_value(command, option, refused):
    assert f"{option}: takes no value; " in refused([command, *GOOD[command].split(), f"{option}=1"], 2)


def test_what_is_checked_beside_a_bad_value_alone(refused):
    """Options that GOOD makes a wrong combination of, with a bad value of their own."""
    assert "no.txt: " in refused(["predict", "m.h5", "--files0-from", "no.txt"], 3)
    assert "no.json: " in refused(["build", "new.h5", "--from", "no.json"], 4)
    assert "no.h5: " in refused(["build", "new.h5", "--like", "no.h5"], 4)
    validation = ["--data", "train", "--val", "test", "--val-labels", "y.npy"]
    for words in (["fit", "m.h5"], ["pseudo-label", "m.h5", "--unlabelled", "test"]):
        assert "--val-labels: class folders" in refused([*words, *validation], 2)
