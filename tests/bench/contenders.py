"""Who takes part in a measurement, and how each builds its steps inside its own process."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.workloads import Workload

KERAS_BACKENDS = {"tf": "tensorflow", "jax": "jax", "torch": "torch"}
_TORCH = {"torch": ("torch",), "torch-channels-last": ("torch",), "torch-compile": ("torch",)}
_KERAS = {f"keras-{short}": ("keras", backend) for short, backend in KERAS_BACKENDS.items()}
PEERS: dict[str, dict[str, tuple[str, ...]]] = {
    "training": {**_TORCH, **_KERAS},
    "inference": {**_TORCH, "onnxruntime": ("onnxruntime", "onnx", "torch")},
    "tabular": {"sklearn": ("sklearn",), "torch": ("torch",)},
    "update": {"torch": ("torch",)},
    "loading": {"torch": ("torch",), "keras-tf": ("keras", "tensorflow")},
    "folder": {name: tuple(dict.fromkeys((*needed, "tensorflow"))) for name, needed in _KERAS.items()},
}
"""Kind of workload -> its peers -> the packages that each needs; the first is the one that does the work."""
ROOMS = {
    "training": "training",
    "inference": "inference",
    "tabular": "tabular",
    "update": "update",
    "loading": "loading",
    "folder": "folder_training",
}
"""Kind of workload -> the module that measures it."""
PROTOTYPES = ("prototype", "prototype-processes", "prototype-winograd", "prototype-winograd-processes")
ALL_PEERS = tuple(dict.fromkeys(name for peers in PEERS.values() for name in peers))

Steps = Callable[[int], float | None]
"""Runs a number of steps; may return the seconds that they took, without its own preparations."""


@dataclass(frozen=True)
class Setting:
    """What all contenders of one run are told.

    Attributes:
        jobs: cores. prototype: folder of the prototype engine. images: a folder of images, a sub-folder per class.
    """

    jobs: int
    prototype: str | None = None
    images: str | None = None


def packages(name: str, kind: str) -> tuple[str, ...]:
    """The packages that a contender needs, the ones to name with their versions."""
    return PEERS[kind].get(name, ("numpy",))


def missing(name: str, workload: Workload, setting: Setting) -> str | None:
    """Why a contender cannot take part, or None."""
    if name in PROTOTYPES:
        return None if setting.prototype else "give --prototype FOLDER"
    if name.startswith("dltool"):
        inexact = name.endswith("-exact") and workload.kind != "training"
        return f"does {workload.kind} in one way only" if inexact else missing_layer(workload)
    if name not in PEERS[workload.kind]:
        return f"does not do {workload.kind}"
    absent = [package for package in packages(name, workload.kind) if importlib.util.find_spec(package) is None]
    return f"{', '.join(absent)} is not installed" if absent else None


def missing_layer(workload: Workload) -> str | None:
    """Why dltool cannot do a workload yet, or None."""
    from dltool.engine.layers import LAYERS

    return f"dltool has no layer {workload.needs} yet" if workload.needs and workload.needs not in LAYERS else None


def version(package: str) -> str:
    """``numpy 2.4.6``; some distributions go by another name than their package."""
    for distribution in (package, f"{package}-cpu", "scikit-learn" if package == "sklearn" else package):
        try:
            return f"{package} {importlib.metadata.version(distribution)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{package} ?"


def build_steps(name: str, workload: Workload, setting: Setting) -> Steps:
    """The contender's steps on a workload; called in the contender's own process."""
    if hasattr(os, "sched_setaffinity"):  # peers that take no thread count see only these cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: setting.jobs])
    room = importlib.import_module(f"tests.bench.{ROOMS[workload.kind]}")
    folder = (setting.images,) if workload.kind in ("loading", "folder") else ()
    if name.startswith("dltool"):
        lanes = () if workload.kind == "loading" else (name.partition("-")[2] or "auto",)
        return room.dltool(workload, *lanes, setting.jobs, *folder)
    if name in PROTOTYPES:
        lanes = "processes" if name.endswith("processes") else "threads"
        return room.prototype(workload, setting.prototype, lanes, "winograd" in name, setting.jobs)
    return room.peer(name, workload, setting.jobs, *folder)
