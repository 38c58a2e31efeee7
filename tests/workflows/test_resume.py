"""A run that is killed or interrupted and resumed ends with the bytes of the run that never was."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

CHILD = """
import sys
from dltool.workflows import saving
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


RECIPE = [
    *("--data", "x.npy", "--labels", "y.npy", "--arch", "mlp:units=64,dropout=0.3", "--batch-size", "8"),
    *("--metric", "accuracy", "--metric", "mae", "--metric", "auc", "--lr", "0.003", "--seed", "3", "--jobs", "1"),
    *("--epochs", "40", "--schedule", "plateau:patience=2,factor=0.5", "--warmup", "1.5", "--early-stop", "6"),
    *("--log", "log.csv", "-q"),
]


class Runs:
    """Runs of one fit in a folder, in processes of their own."""

    def __init__(self, folder, repository, recipe):
        self.folder, self.recipe = folder, recipe
        self.environ = {**os.environ, "PYTHONPATH": str(repository)}
        self.kills = []

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
        process = self.start(model)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        return time.monotonic() - start

    def broken(self, model: str, kills: int, longest: float, seed: int) -> None:
        """Start, end it by a signal at a random moment, resume; after ``kills`` signals let it run to its end."""
        chance = random.Random(seed)
        for _ in range(kills):
            process = self.start(model, "--resume")
            time.sleep(chance.uniform(0.05, longest))
            if process.poll() is not None:
                process.communicate()
                break
            number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
            process.send_signal(number)
            _, err = process.communicate(timeout=300)
            assert process.returncode in (-number, 128 + number, 0), err
            self.kills.append(number.name)
        process = self.start(model, "--resume")
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err

    def digest(self, name: str) -> str:
        return hashlib.sha256((self.folder / name).read_bytes()).hexdigest()


def without_seconds(path) -> list[list[str]]:
    return [[cell for i, cell in enumerate(line.split(",")) if i != 3] for line in path.read_text().splitlines()]


def test_killed_again_and_again_it_ends_with_the_same_bytes(rows, repository):
    runs = Runs(rows, repository, RECIPE)
    seconds = runs.whole("whole.h5")
    os.rename(rows / "log.csv", rows / "whole.csv")
    kills = int(os.environ.get("DLTOOL_KILLS", "4"))
    runs.broken("broken.h5", kills, min(seconds, 3.0), seed=kills)
    print(runs.kills, seconds)
    assert runs.digest("broken.h5") == runs.digest("whole.h5")
    assert without_seconds(rows / "log.csv") == without_seconds(rows / "whole.csv")
    assert not list(rows.glob(".*.lock")) and not list(rows.glob(".*tmp"))
