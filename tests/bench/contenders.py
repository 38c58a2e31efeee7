"""Who takes part in a measurement, and how each builds its steps inside its own process."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.workloads import Workload

PEERS = ("torch", "torch-channels-last", "torch-compile", "keras-tf", "keras-jax", "keras-torch")
KERAS_BACKENDS = {"tf": "tensorflow", "jax": "jax", "torch": "torch"}
PROTOTYPES = ("prototype", "prototype-processes", "prototype-winograd", "prototype-winograd-processes")


@dataclass(frozen=True)
class Setting:
    """What all contenders of one run are told."""

    jobs: int
    prototype: str | None = None


def packages(name: str) -> tuple[str, ...]:
    """The distributions that a contender needs, the ones to name with their versions."""
    if name.startswith("keras-"):
        backend = KERAS_BACKENDS[name.removeprefix("keras-")]
        return ("keras", backend)
    return ("torch",) if name.startswith("torch") else ("numpy",)


def missing(name: str, setting: Setting) -> str | None:
    """Why a contender cannot take part, or None."""
    if name in PROTOTYPES:
        return None if setting.prototype else "give --prototype FOLDER"
    absent = [package for package in packages(name) if importlib.util.find_spec(package) is None]
    return f"{', '.join(absent)} is not installed" if absent else None


def version(package: str) -> str:
    """``numpy 2.4.6``; TensorFlow's CPU build goes by another distribution name."""
    for distribution in (package, f"{package}-cpu"):
        try:
            return f"{package} {importlib.metadata.version(distribution)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{package} ?"


def build_steps(name: str, workload: Workload, setting: Setting) -> Callable[[int], float | None]:
    """The contender's training steps on a workload; called in the contender's own process."""
    if hasattr(os, "sched_setaffinity"):  # peers that take no thread count see only these cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: setting.jobs])
    if name.startswith("dltool"):
        ours = importlib.import_module("tests.bench.ours")
        return ours.dltool(workload, name.partition("-")[2] or "auto", setting.jobs)
    if name in PROTOTYPES:
        ours = importlib.import_module("tests.bench.ours")
        lanes = "processes" if name.endswith("processes") else "threads"
        return ours.prototype(workload, setting.prototype, lanes, "winograd" in name, setting.jobs)
    peers = importlib.import_module("tests.bench.peers")
    if name.startswith("torch"):
        return peers.torch_steps(workload, name.partition("-")[2] or "eager", setting.jobs)
    return peers.keras_steps(workload, KERAS_BACKENDS[name.removeprefix("keras-")], setting.jobs)
