"""What ``fit`` writes beside the model."""

import csv
import json
import math
import sys

import numpy as np
import pytest

from dltool.errors import OutputError, UsageError
from dltool.modelfile.reading import read
from dltool.settings import DataSettings, FitSettings
from dltool.training.callbacks import Events
from dltool.training.run import Run
from dltool.workflows import fit
from dltool.workflows.fitting import files
from tests.workflows.pictures import DARK_AND_BRIGHT, picture_folder


class Warned(Events):
    def __init__(self):
        self.warnings = []

    def warning(self, text):
        self.warnings.append(text)


@pytest.fixture
def train(tmp_path, monkeypatch):
    """``train(epochs=3, ...)`` of a small model in the current folder: 48 rows in 3 batches, 12 to validate."""
    monkeypatch.chdir(tmp_path)
    picture_folder(tmp_path / "data", DARK_AND_BRIGHT, per_class=20)

    def run(events=None, **options):
        wanted = {"epochs": 3, "batch_size": 16, "jobs": 1, "backend": "threads", "arch": "mlp:units=8", **options}
        return fit.run(FitSettings(model="m.h5", data=DataSettings(data=("data",)), **wanted), events)

    return run


COLUMNS = ["epoch", "batch", "step", "seconds", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy"]


def test_a_csv_log_has_a_row_per_epoch_that_reads_back_exactly(train):
    history = train(log="log.csv").history
    with open("log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    assert [(row["epoch"], row["batch"], row["step"]) for row in rows] == [
        ("1", "", "3"),
        ("2", "", "6"),
        ("3", "", "9"),
    ]
    for row, expected in zip(rows, history, strict=True):
        assert all(float(row[name]) == value for name, value in expected.items())


def test_a_jsonl_log_has_batches_with_their_own_loss_and_epochs(train):
    train(log="log.jsonl", log_every="batch", epochs=2, schedule="exp:decay=0.5")
    with open("log.jsonl") as file:
        rows = [json.loads(line) for line in file]
    assert [(row["epoch"], row.get("batch")) for row in rows] == [(e, b) for e in (1, 2) for b in (1, 2, 3, None)]
    assert rows[0]["learning_rate"] == 0.001 and rows[4]["learning_rate"] == 0.0005
    assert "accuracy" not in rows[0] and rows[3]["val_accuracy"] >= 0
    # 48 rows in equal batches: the epoch's loss is the mean of its batches.
    assert np.mean([row["loss"] for row in rows[:3]]) == pytest.approx(rows[3]["loss"])


@pytest.mark.parametrize(
    ("name", "last"), [("l.jsonl", '"loss": 0.5, "auc": null, "val_loss": null}'), ("l.csv", ",0.5,,")]
)
def test_a_log_has_no_nan(tmp_path, name, last):
    """JSON has no word for it, and spreadsheets take it for text."""
    run = Run(model=None, epochs=1, learning_rate=0.1, epoch=1)
    values = {"epoch": 1, "loss": 0.5, "auc": math.nan, "val_loss": math.inf, "learning_rate": 0.1}
    run.history.append(values)
    log = files.LogFile(str(tmp_path / name), ["loss", "auc", "val_loss"], Warned())
    for moment in (log.train_begin, log.epoch_end, log.train_end):
        moment(run)
    assert (tmp_path / name).read_text().splitlines()[-1].endswith(last)


def test_a_log_that_cannot_be_written_any_more_does_not_end_the_training(train, monkeypatch):
    def full(self, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.LogFile, "_put", full)
    events = Warned()
    with pytest.raises(OutputError, match=r"log\.csv: cannot be written: No space left on device; .* saved in m\.h5"):
        train(events, log="log.csv")
    assert len(events.warnings) == 1
    assert len(read("m.h5").history) == 3


def test_a_template_gives_a_checkpoint_of_every_epoch(train, tmp_path):
    history = train(checkpoint="e{epoch:03}-{val_loss:.3f}.h5", optimizer="sgd", learning_rate=3.0).history
    for number, row in enumerate(history, 1):
        saved = read(f"e{number:03}-{row['val_loss']:.3f}.h5")
        assert saved.history == list(history[:number])
        assert saved.state.step == 3 * number
        assert np.array_equal(saved.state.weights, saved.model.weights.vector)
    best = read("m.h5")
    chosen = read(f"e{best.recipe['best_epoch']:03}-{history[best.recipe['best_epoch'] - 1]['val_loss']:.3f}.h5")
    assert np.array_equal(chosen.model.weights.vector, best.model.weights.vector)


def test_a_fixed_name_keeps_the_last_improvement(train):
    result = train(checkpoint="best.h5", optimizer="sgd", learning_rate=3.0, epochs=6)
    saved = read("best.h5")
    assert len(saved.history) == result.best_epoch
    assert np.array_equal(saved.model.weights.vector, read("m.h5").model.weights.vector)


def test_without_a_monitor_a_fixed_name_has_the_last_epoch(train):
    train(checkpoint="last.h5", val_split=0.0)
    assert len(read("last.h5").history) == 3


def test_checkpoints_without_state_are_small(train):
    train(checkpoint="e{epoch}.h5", keep_state=False)
    assert read("e2.h5").state is None


def test_a_checkpoint_that_fails_is_told_and_the_training_goes_on(train, monkeypatch):
    def full(self, run, path):
        raise OutputError(f"{path}: disk full")

    events = Warned()
    real = files.Checkpoint.__init__

    def broken(self, template, write, events):
        real(self, template, lambda run, path: full(self, run, path), events)

    monkeypatch.setattr(files.Checkpoint, "__init__", broken)
    with pytest.raises(OutputError, match=r"e3\.h5: disk full; the model is saved in m\.h5"):
        train(events, checkpoint="e{epoch}.h5")
    assert [text[:24] for text in events.warnings] == [f"no checkpoint of epoch {n}" for n in (1, 2, 3)]


def test_curves_are_drawn(train):
    pytest.importorskip("matplotlib")
    train(plot="curves.png")
    with open("curves.png", "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


def test_without_matplotlib_the_extra_is_named(train, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"--plot: needs matplotlib; install it with pip install 'dltool\[plot\]'"):
        train(plot="curves.png")
    assert not (tmp_path / "m.h5").exists()


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"log": "log.txt"}, UsageError, "--log: log.txt is neither .csv nor .jsonl; name it so"),
        ({"log": "there.csv"}, OutputError, "there.csv: exists; use --force to replace it"),
        ({"log": "no/log.csv"}, OutputError, "no/log.csv: the folder no does not exist"),
        ({"plot": "plot.gif"}, UsageError, "--plot: plot.gif is none of .png, .svg, .pdf; name it so"),
        ({"checkpoint": "no/e{epoch}.h5"}, OutputError, "no/e1.h5: the folder no does not exist"),
        (
            {"checkpoint": "e{epoc}.h5"},
            UsageError,
            r"--checkpoint: {epoc} in 'e{epoc}.h5' is not known; did you mean {epoch}",
        ),
        ({"checkpoint": "e{val_acc}.h5"}, UsageError, "--checkpoint: {val_acc} .* did you mean {val_accuracy}"),
        ({"checkpoint": "e{}.h5"}, UsageError, "--checkpoint: {} in 'e{}.h5' is not known; an epoch has epoch, "),
        ({"checkpoint": "e{epoch.h5"}, UsageError, "--checkpoint: 'e{epoch.h5' is no file name"),
        ({"checkpoint": "e{epoch:q}.h5"}, UsageError, "--checkpoint: 'e{epoch:q}.h5' cannot be filled in"),
        ({"checkpoint": "e{epoch.real}.h5"}, UsageError, "--checkpoint: {epoch.real} in .* is not known"),
        ({"checkpoint": "m.h5"}, UsageError, "--checkpoint: m.h5 is the model itself; give another name"),
        ({"checkpoint": "e{epoch}.csv"}, OutputError, "e3.csv: exists; use --force to replace it"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_training(train, tmp_path, options, kind, message):
    (tmp_path / "there.csv").write_text("old")
    (tmp_path / "e3.csv").write_text("old")
    with pytest.raises(kind, match=message):
        train(**options)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "there.csv", "e3.csv"}
    assert (tmp_path / "there.csv").read_text() == "old"
