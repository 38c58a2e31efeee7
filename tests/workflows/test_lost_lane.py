"""A training whose lane is killed ends at once, says so in one line, and keeps the best model."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dltool.modelfile.reading import read
from dltool.settings import BuildSettings
from dltool.workflows import build


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def write_rows(folder):
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 400)
    np.save(folder / "x.npy", (random.normal(size=(400, 8)) + 0.7 * labels[:, None]).astype(np.float32))
    np.save(folder / "y.npy", labels)
    return ["--data", "x.npy", "--labels", "y.npy"]


def lane_of(process: subprocess.Popen) -> int:
    """The child that has been there for two seconds: a model file's reader is gone by then."""
    found, since, deadline = [], time.monotonic(), time.monotonic() + 60
    while time.monotonic() < deadline:
        now = children(process.pid)
        if now != found:
            found, since = now, time.monotonic()
        if len(found) == 1 and time.monotonic() - since > 2:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"no lane: children {found}")


def kill_a_lane(command: list[str], folder, repository) -> str:
    """What the command says on stderr after its lane was killed during the training."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dltool", *command, "--jobs", "2", "-q"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(repository)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        lane = lane_of(process)
        killed = time.monotonic()
        os.kill(lane, signal.SIGKILL)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert time.monotonic() - killed < 5
    assert process.returncode == 70, err
    assert "a lane of the engine ended with signal 9" in err
    return err


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_lane_ends_fit_within_seconds_and_keeps_the_best_model(tmp_path, repository):
    data = write_rows(tmp_path)
    command = ["fit", "m.h5", *data, "--arch", "mlp:units=64", "--epochs", "100000"]
    (line,) = kill_a_lane(command, tmp_path, repository).splitlines()
    assert "m.h5 has the weights of epoch" in line
    saved = read(str(tmp_path / "m.h5"))
    best = min(saved.history, key=lambda row: row["val_loss"])["epoch"]
    assert f"epoch {best}" in line
    assert np.isfinite(saved.model.weights.vector).all()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_lane_ends_finetune_too(tmp_path, repository):
    data = write_rows(tmp_path)
    build.run(BuildSettings(str(tmp_path / "base.h5"), words=("dense:64,relu", "dense:5,softmax"), input=(8,)))
    command = ["finetune", "base.h5", *data, "-o", "tuned.h5", "--epochs", "1", "--epochs-unfrozen", "100000"]
    (line,) = kill_a_lane(command, tmp_path, repository).splitlines()
    assert "tuned.h5" in line
    assert not list(tmp_path.glob(".*"))
    if (tmp_path / "tuned.h5").exists():
        assert np.isfinite(read(str(tmp_path / "tuned.h5")).model.weights.vector).all()
