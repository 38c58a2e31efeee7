"""What is measured, by name. The networks are in ``networks`` and ``imagenet``, what a contender does with them in the
module of the workload's kind (see ``contenders.ROOMS``)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dltool.engine.graph import Graph

NUM_CLASSES = 10
NUM_BATCHES = 4
VGG_WIDTHS = (64, 128, 256)
RESIDUAL_BLOCKS = ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))
"""(filters, stride) of each basic block of ResNet-18. Source: He et al. 2015, arXiv:1512.03385, table 1."""
LSTM_UNITS = 128
TABULAR_WIDTHS = (256, 128)
TABULAR_BATCHES = 50
"""Batches in the epoch of the tabular workload."""


@dataclass(frozen=True)
class Workload:
    """One thing that contenders do, and how much of it.

    Attributes:
        kind: the room that measures it: "training", "inference", "tabular", "update", "loading" or "folder".
        network: a name in ``networks`` or ``imagenet``; "" where only images are read.
        input_shape: of one row.
        steps: steps in one timed sample, about half a second's worth.
        unit: what a step is.
        prototype: the name of this network in the prototype, or None where it has none.
        needs: a layer class without which dltool cannot take part yet.
        keeps: whether decoded images stay in memory, so that only the first pass decodes ("folder" only).
    """

    name: str
    kind: str
    network: str
    input_shape: tuple[int, ...]
    batch_size: int
    steps: int
    unit: str = "step"
    prototype: str | None = None
    needs: str = ""
    keeps: bool = False

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Random rows (rows, ...) float32 and classes (rows,) int64: a few batches, or a table's epoch."""
        generator = np.random.default_rng(0)
        count = (TABULAR_BATCHES if self.kind == "tabular" else NUM_BATCHES) * self.batch_size
        x = generator.standard_normal((count, *self.input_shape), dtype=np.float32)
        return x, generator.integers(0, NUM_CLASSES, count)

    def graph(self) -> Graph:
        """The network as dltool's graph."""
        from tests.bench import imagenet, networks

        room = imagenet if self.kind == "inference" else networks
        return getattr(room, self.network)(self.input_shape)

    def tiny(self) -> Workload:
        """The same work so small that a test can do a step of it."""
        sides = self.input_shape[:-1] if self.kind != "inference" else (32, 32)
        if self.network == "resnet18":
            sides = (16, 16)
        return replace(self, input_shape=(*sides, self.input_shape[-1]), batch_size=2, steps=1)


def training(name: str, network: str, shape: tuple[int, ...], batch_size: int, steps: int, **rest: str) -> Workload:
    return Workload(name, "training", network, shape, batch_size, steps, **rest)


def inference(name: str, batch_size: int, steps: int) -> Workload:
    return Workload(f"{name}-{batch_size}", "inference", name.lower(), (224, 224, 3), batch_size, steps, "batch")


WORKLOADS = {
    workload.name: workload
    for workload in (
        training("W1", "mlp", (28, 28, 1), 128, 200, prototype="W1"),
        training("W2-28-64", "cnn", (28, 28, 1), 64, 16, prototype="W2a64"),
        training("W2-28-128", "cnn", (28, 28, 1), 128, 10, prototype="W2a128"),
        training("W2-32-64", "cnn", (32, 32, 3), 64, 12, prototype="W2b64"),
        training("W2-32-128", "cnn", (32, 32, 3), 128, 8, prototype="W2b128"),
        training("W3", "vgg", (32, 32, 3), 64, 4, prototype="W3"),
        training("R18", "resnet18", (64, 64, 3), 16, 6),
        training("LSTM", "lstm", (100, 64), 32, 8, needs="LSTM"),
        inference("VGG16", 1, 6),
        inference("VGG16", 16, 1),
        inference("ResNet50", 1, 12),
        inference("ResNet50", 16, 1),
        inference("MobileNetV1", 1, 40),
        inference("MobileNetV1", 16, 4),
        inference("MobileNetV2", 1, 40),
        inference("MobileNetV2", 16, 4),
        Workload("tabular", "tabular", "tabular", (50,), 200, 3, "epoch"),
        Workload("optimizer", "update", "resnet18", (64, 64, 3), 1, 60),
        Workload("loading", "loading", "", (32, 32, 3), 64, 40, "batch"),
        Workload("folder-first", "folder", "cnn", (28, 28, 1), 64, 20),
        Workload("folder-later", "folder", "cnn", (28, 28, 1), 64, 20, keeps=True),
    )
}


def named(words: list[str]) -> list[Workload]:
    """The workloads that the words name: ``W2`` all that begin so, ``inference`` all of a kind. Raises KeyError."""
    found = []
    for word in words:
        matches = [w for name, w in WORKLOADS.items() if word in (name, w.kind) or name.startswith(word + "-")]
        if not matches:
            raise KeyError(word)
        found.extend(matches)
    return found
