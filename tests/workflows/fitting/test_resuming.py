"""A run that is killed or interrupted and resumed ends with the bytes of the run that never was."""

import copy
import dataclasses
import hashlib
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest

from dltool.errors import DataError, DltoolError, UsageError
from dltool.modelfile.reading import read
from dltool.settings import DataSettings, FitSettings
from dltool.training.callbacks import Events
from dltool.workflows import fit

CHILD = """
import sys
from dltool.workflows.fitting import saving
saving.SHARE, saving.WITHIN_EPOCHS = 1.0, 0.0  # write as often as possible
from dltool.cli.main import main
sys.exit(main())
"""


@pytest.fixture
def rows(tmp_path):
    """400 rows of three noisy classes."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 400)
    np.save(tmp_path / "x.npy", (random.normal(size=(400, 8)) + 0.7 * labels[:, None]).astype(np.float32))
    np.save(tmp_path / "y.npy", labels)
    return tmp_path


TABLE = [
    *("--data", "x.npy", "--labels", "y.npy", "--arch", "mlp:units=64,dropout=0.3", "--batch-size", "8"),
    *("--metric", "accuracy", "--metric", "mae", "--metric", "auc", "--lr", "0.003", "--seed", "3"),
    *("--epochs", "20", "--schedule", "plateau:patience=2,factor=0.5", "--warmup", "1.5", "--early-stop", "6"),
    *("--log", "log.csv", "-q"),
]
IMAGES = [
    *("--data", "digits", "--arch", "cnn:width=8,units=32,dropout=0.3", "--limit", "300", "--batch-size", "32"),
    *("--augment", "medium,mixup=0.2", "--schedule", "1cycle", "--ema", "0.99", "--lr", "0.003", "--seed", "3"),
    *("--epochs", "8", "--early-stop", "6", "--log", "log.csv", "-q"),
]


class Runs:
    """Runs of one fit in a folder, in processes of their own."""

    def __init__(self, folder, repository, recipe):
        self.folder, self.recipe = folder, recipe
        self.environ = {**os.environ, "PYTHONPATH": str(repository)}
        self.kills, self.left_behind = [], set()

    def start(self, model: str, *more: str) -> subprocess.Popen:
        command = [sys.executable, "-W", "error", "-c", CHILD, "fit", model, *self.recipe, *more]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environ,
            stderr=subprocess.PIPE,
            text=True,
            # Shells start what runs in the background with SIGINT ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def whole(self, model: str) -> float:
        start = time.monotonic()
        process = self.start(model, "--jobs", "1")
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        return time.monotonic() - start

    def broken(self, model: str, whole: str, kills: int, longest: float, seed: int) -> None:
        """Start, end it by a signal at a random moment, resume on one lane or two, until it has ended by itself.

        It then has the bytes of ``whole``; should there have been fewer signals than ``kills`` the next one begins.
        """
        chance = random.Random(seed)
        while True:
            process = self.start(model, "--resume", "--jobs", chance.choice("12"))
            left = len(self.kills) < kills
            with suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.05, longest) if left else 300)
            number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
            if is_killed := process.poll() is None:
                process.send_signal(number)
                self.kills.append(number.name)
            _, err = process.communicate(timeout=300)
            self.left_behind.update(self.folder.glob(".*tmp"))
            assert process.returncode in (-number, 128 + number, 0) if is_killed else process.returncode == 0, err
            if is_killed:
                continue
            assert self.digest(model) == self.digest(whole)
            if not left:
                return
            (self.folder / model).unlink()

    def digest(self, name: str) -> str:
        return hashlib.sha256((self.folder / name).read_bytes()).hexdigest()


def without_seconds(path) -> list[list[str]]:
    return [[cell for i, cell in enumerate(line.split(",")) if i != 3] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("recipe", [TABLE, IMAGES], ids=["table", "images"])
def test_killed_again_and_again_it_ends_with_the_same_bytes(rows, repository, recipe):
    (rows / "digits").symlink_to(repository / "sample_data" / "digits" / "train")
    runs = Runs(rows, repository, recipe)
    seconds = runs.whole("whole.h5")
    os.rename(rows / "log.csv", rows / "whole.csv")
    kills = int(os.environ.get("DLTOOL_KILLS", "3"))
    runs.broken("broken.h5", "whole.h5", kills, seconds, seed=kills)
    print(f"{Counter(runs.kills)}, {len(runs.left_behind)} while a file was written, of a run of {seconds:.1f} s")
    assert without_seconds(rows / "log.csv") == without_seconds(rows / "whole.csv")
    assert not list(rows.glob(".*.lock")) and not list(rows.glob(".*tmp"))


class Stopping(Events):
    """Sends SIGINT after the given number of batches, or in the validation of an epoch."""

    def __init__(self, batches: int):
        self.left, self.lines, self.place = batches, [], None

    def understood(self, lines):
        self.lines += lines

    def batch_end(self, run):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)

    def interrupted(self, run, path):
        self.place = (run.done, run.batch, path)


@pytest.fixture
def settings(rows, monkeypatch):
    """``settings("m.h5", **options)``: 320 rows in 10 batches, 80 to validate."""
    monkeypatch.chdir(rows)

    def make(model: str, **options) -> FitSettings:
        data = options.pop("data", DataSettings(data=("x.npy",), labels="y.npy"))
        wanted = {"arch": "mlp:units=8", "epochs": 3, "batch_size": 32, "jobs": 1, "schedule": "cosine", **options}
        return FitSettings(model, data, **wanted)

    return make


def interrupt(wanted: FitSettings, batches: int) -> Stopping:
    events = Stopping(batches)
    with pytest.raises(KeyboardInterrupt):
        fit.run(wanted, events)
    return events


# 10 is the last batch of an epoch: then the validation is left, and comes first when the run goes on.
@pytest.mark.parametrize(("batches", "place"), [(1, (0, 1)), (10, (0, 10)), (14, (1, 4)), (30, (2, 10))])
def test_interrupted_at_any_batch_it_goes_on_exactly(settings, batches, place):
    fit.run(settings("whole.h5"))
    events = interrupt(settings("m.h5"), batches)
    assert events.place == (*place, "m.h5")
    assert read("m.h5").state.step == batches
    heard = Stopping(1000)
    fit.run(settings("m.h5", resume=True), heard)
    assert f"note    resumes in epoch {place[0] + 1} after {place[1]} batches" in heard.lines
    assert open_bytes("m.h5") == open_bytes("whole.h5")


def open_bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def test_more_epochs_on_a_trained_file_resume_exactly(settings):
    for name in ("whole.h5", "m.h5"):
        fit.run(settings(name, epochs=2))
    more = {"arch": None, "epochs": 2, "early_stop": 3}
    fit.run(settings("whole.h5", **more))
    interrupt(settings("m.h5", **more, jobs=2), 12)  # on any number of lanes
    fit.run(settings("m.h5", **more, resume=True))
    assert open_bytes("m.h5") == open_bytes("whole.h5")
    assert [row["epoch"] for row in read("m.h5").history] == [1, 2, 3, 4]


def test_class_weights_frozen_layers_and_given_validation_rows_resume_exactly(settings, rows):
    x, y = np.load("x.npy"), np.load("y.npy")
    np.save("vx.npy", x[:50])
    np.save("vy.npy", y[:50])
    options = {"val": ("vx.npy",), "val_labels": "vy.npy", "class_weight": "balanced", "freeze": "dense_1"}
    fit.run(settings("whole.h5", **options))
    interrupt(settings("m.h5", **options), 15)
    fit.run(settings("m.h5", **options, resume=True))
    assert open_bytes("m.h5") == open_bytes("whole.h5")
    interrupt(settings("n.h5", **options), 15)
    np.save("vx.npy", x[50:100])
    with pytest.raises(DataError, match=r"x\.npy: the validation data are not those of the interrupted run"):
        fit.run(settings("n.h5", **options, resume=True))


def test_regression_and_runs_without_validation_resume_exactly(settings):
    np.save("numbers.npy", np.load("x.npy")[:, 0] * 3 + 1)
    data = DataSettings(data=("x.npy",), labels="numbers.npy", limit=200)
    options = {"data": data, "val_split": 0.0, "seed": 5, "schedule": "constant"}
    fit.run(settings("whole.h5", **options))
    interrupt(settings("m.h5", **options), 9)
    fit.run(settings("m.h5", **options, resume=True))
    assert open_bytes("m.h5") == open_bytes("whole.h5")


def test_the_run_is_kept_in_the_output_and_dropped_from_it_at_the_end(settings):
    fit.run(settings("start.h5", epochs=1))
    before = open_bytes("start.h5")
    options = {"arch": None, "output": "out.h5", "keep_state": False}
    interrupt(settings("start.h5", **options), 12)
    assert read("out.h5").state.step == 22
    fit.run(settings("start.h5", **options, resume=True))
    assert read("out.h5").state is None
    assert open_bytes("start.h5") == before


def test_what_was_not_said_is_taken_from_the_interrupted_run(settings):
    options = {"epochs": 4, "learning_rate": 0.01, "metrics": ("accuracy", "mae")}
    fit.run(settings("whole.h5", **options))
    interrupt(settings("m.h5", **options), 15)
    data = DataSettings(data=("x.npy",), labels="y.npy")
    fit.run(FitSettings("m.h5", data, jobs=1, resume=True, given=()))
    assert open_bytes("m.h5") == open_bytes("whole.h5")


def test_a_run_that_has_not_begun_starts_and_a_finished_one_is_left_alone(settings):
    fit.run(settings("whole.h5"))
    fit.run(settings("m.h5", resume=True))
    assert open_bytes("m.h5") == open_bytes("whole.h5")
    written = os.stat("m.h5").st_mtime_ns
    assert fit.run(settings("m.h5", resume=True)).seconds == 0
    assert os.stat("m.h5").st_mtime_ns == written


def test_without_resume_an_interrupted_file_is_trained_further_and_says_so(settings):
    interrupt(settings("m.h5"), 14)
    heard = Stopping(1000)
    fit.run(settings("m.h5", arch=None, epochs=2), heard)
    assert any("--resume continues the one that was interrupted" in line for line in heard.lines)
    assert [row["epoch"] for row in read("m.h5").history] == [1, 2, 3]


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"batch_size": 16},
            UsageError,
            "--batch-size: 16, but the run in m.h5 has 32; give the same, or leave",
        ),
        ({"schedule": "constant"}, UsageError, "--schedule: constant, but the run in m.h5 has cosine"),
        ({"shuffle": False}, UsageError, "--no-shuffle: off, but the run in m.h5 has on"),
        ({"class_weight": "balanced"}, UsageError, "--class-weight: balanced, but the run in m.h5 has none"),
        ({"metrics": ("mae",)}, UsageError, "--metric: mae, but the run in m.h5 has none"),
        (
            {"data": DataSettings(("z.npy",), "y.npy")},
            DataError,
            "z.npy: the data are not those of the",
        ),
        ({"data": DataSettings(("x.npy",), "y.npy", limit=300)}, DataError, "x.npy: the data are not those of the"),
        ({"val_split": 0.3}, UsageError, "--val-split: 0.3, but the run in m.h5 has none"),
    ],
)
def test_other_data_or_options_are_refused(settings, options, kind, message):
    interrupt(settings("m.h5"), 14)
    np.save("z.npy", np.load("x.npy") + 1)
    before = open_bytes("m.h5")
    with pytest.raises(kind, match=message):
        fit.run(settings("m.h5", **options, resume=True))
    assert open_bytes("m.h5") == before


def test_a_file_without_a_run_cannot_be_resumed(settings):
    fit.run(settings("m.h5", keep_state=False))
    with pytest.raises(UsageError, match=r"--resume: m\.h5 holds no interrupted run; leave --resume out to train it"):
        fit.run(settings("m.h5", resume=True))


JUNK = (None, True, -1, 7, 2**31, 10**30, 0.5, math.nan, "", "x", [], {}, [None], [-1, 2], "gone")


def places_of(record: dict) -> list[tuple]:
    """(container, key) of everything in a JSON value; of long lists the first entry."""
    found, pending = [], [record]
    while pending:
        holder = pending.pop()
        for key in holder if isinstance(holder, dict) else range(min(len(holder), 1)):
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                pending.append(holder[key])
    return found


def test_a_forged_run_is_refused_before_the_first_batch_or_goes_on(settings, monkeypatch):
    """Every value of the record replaced by values of other kinds, or left out: a refusal in one line, or training."""
    from dltool.workflows.fitting import resuming

    interrupt(settings("m.h5", early_stop=3, schedule="plateau", metrics=("accuracy", "auc", "f1_score")), 14)
    wanted, saved = settings("m.h5", resume=True, arch=None), read("m.h5")
    wanted = dataclasses.replace(wanted, given=())
    monkeypatch.setattr(resuming, "read", lambda path: copy.deepcopy(saved))
    monkeypatch.setattr(fit, "write", lambda *args, **kwargs: None)
    fit.run(wanted)
    original, refused = saved.state.callbacks, 0
    for place in range(len(places_of(original))):
        for junk in JUNK[place % 3 :: 3]:
            forged = copy.deepcopy(original)
            holder, key = places_of(forged)[place]
            if junk == "gone" and isinstance(holder, dict):
                del holder[key]
            else:
                holder[key] = junk
            saved.state.callbacks = forged
            try:
                fit.run(wanted)
            except DltoolError as error:
                refused += 1
                assert error.exit_code in (2, 3, 4), (key, junk, error)
    assert refused > 150
