"""A training whose lane is killed ends at once, says so in one line, and keeps the best model."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dltool.modelfile.reading import read


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_lane_ends_fit_within_seconds_and_keeps_the_best_model(tmp_path, repository):
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 400)
    np.save(tmp_path / "x.npy", (random.normal(size=(400, 8)) + 0.7 * labels[:, None]).astype(np.float32))
    np.save(tmp_path / "y.npy", labels)
    options = ["--data", "x.npy", "--labels", "y.npy", "--arch", "mlp:units=64", "--epochs", "100000", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dltool", "fit", "m.h5", *options, "--log", "log.csv", "-q"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(repository)},
        stderr=subprocess.PIPE,
        text=True,
    )
    log, deadline = tmp_path / "log.csv", time.monotonic() + 60
    while not (log.exists() and len(log.read_text().splitlines()) > 5) and time.monotonic() < deadline:
        time.sleep(0.05)
    (lane,) = children(process.pid)
    killed = time.monotonic()
    os.kill(lane, signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - killed < 5
    assert process.returncode == 70, err
    (line,) = err.splitlines()
    assert "a lane of the engine ended with signal 9" in line and "m.h5 has the weights of epoch" in line
    saved = read(str(tmp_path / "m.h5"))
    best = min(saved.history, key=lambda row: row["val_loss"])["epoch"]
    assert f"epoch {best}" in line
    assert np.isfinite(saved.model.weights.vector).all()
    assert not list(tmp_path.glob(".*"))
