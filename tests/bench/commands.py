"""Whole commands, cold: ``dltool --help`` beside a bare Python with click, ``dltool predict`` beside Keras."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench import loading, machine
from tests.bench.contenders import KERAS_BACKENDS
from tests.bench.workloads import WORKLOADS

KERAS_PREDICT = """
import sys
import keras
model = keras.models.load_model(sys.argv[1], compile=False)
height, width, channels = model.input_shape[1:]
mode = "grayscale" if channels == 1 else "rgb"
image = keras.utils.load_img(sys.argv[2], color_mode=mode, target_size=(height, width))
print(model.predict(keras.utils.img_to_array(image)[None], verbose=0))
"""
"""What a Keras user runs to see one prediction of a file."""


@dataclass(frozen=True)
class Timing:
    """Wall and CPU milliseconds of one command, one entry per run."""

    name: str
    wall: list[float]
    cpu: list[float]


def dltool_command() -> list[str]:
    """The installed ``dltool`` of this interpreter, or ``python -m dltool`` where there is none."""
    script = shutil.which("dltool", path=str(Path(sys.executable).parent))
    return [script] if script else [sys.executable, "-m", "dltool"]


def help_commands() -> dict[str, list[str]]:
    return {"dltool": [*dltool_command(), "--help"], "python + click": [sys.executable, "-c", "import click"]}


def predict_commands(folder: Path) -> dict[str, list[str]]:
    """The commands, on a model of W2 and an image that are written into ``folder`` first."""
    from dltool.engine.model import Model
    from dltool.modelfile.saved import SavedModel
    from dltool.modelfile.writing import write

    workload, model, images = WORKLOADS["W2-28-64"], folder / "m.h5", folder / "images"
    write(SavedModel(Model.build(workload.graph())), str(model))
    loading.make_folder(images, workload.input_shape, count=1)
    image = str(next(images.rglob("*.jpg")))
    found = {"dltool": [*dltool_command(), "predict", str(model), image]}
    for short, package in KERAS_BACKENDS.items():
        if all(importlib.util.find_spec(name) is not None for name in ("keras", package)):
            found[f"keras-{short}"] = [sys.executable, "-c", KERAS_PREDICT, str(model), image]
    return found


def measure(commands: dict[str, list[str]], runs: int) -> list[Timing]:
    """Each command ``runs`` times in turn, after one run that fills the caches. Raises CalledProcessError."""
    found = [Timing(name, [], []) for name in commands]
    for turn in range(runs + 1):
        for timing in found:
            environment = machine.environment()
            if timing.name.startswith("keras-"):
                environment |= {"KERAS_BACKEND": KERAS_BACKENDS[timing.name[6:]], "TF_CPP_MIN_LOG_LEVEL": "3"}
            before, started = children_seconds(), time.perf_counter()
            subprocess.run(
                commands[timing.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, env=environment
            )
            if turn:
                timing.wall.append((time.perf_counter() - started) * 1e3)
                timing.cpu.append((children_seconds() - before) * 1e3)
    return found


def children_seconds() -> float:
    """CPU seconds of the child processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def cold_help(runs: int) -> list[Timing]:
    return measure(help_commands(), runs)


def cold_predict(runs: int) -> list[Timing]:
    with tempfile.TemporaryDirectory() as folder:
        return measure(predict_commands(Path(folder)), runs)


COMMANDS: dict[str, Callable[[int], list[Timing]]] = {"cold-help": cold_help, "cold-predict": cold_predict}


def ratio(ours: Timing, theirs: Timing) -> float:
    """Median over the runs of our wall time divided by theirs."""
    return median(a / b for a, b in zip(ours.wall, theirs.wall, strict=True))
