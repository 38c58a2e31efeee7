"""Rows that are their own targets, for autoencoders. Imports numpy, ``dltool.engine.batch``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dltool.data.dataset import Dataset
from dltool.data.shapes import Shape, WantedShape
from dltool.engine.batch import Batch


class Reconstruction:
    """The rows of a data set with targets ``row * scale + offset``: what the network sees after it scaled its input.

    Args:
        dataset: whose labels do not matter.
        shape: of a row's target, with as many numbers as the row.
        scale, offset: float32, of any shape that a row can be multiplied with.
    """

    classes = None

    def __init__(
        self, dataset: Dataset, shape: Shape, scale: np.ndarray | float = 1.0, offset: np.ndarray | float = 0.0
    ):
        self.dataset, self.shape = dataset, tuple(shape)
        self.scale, self.offset = np.float32(scale), np.float32(offset)
        # One row of zeros stands for all: only shape and type are looked at before rows are fetched.
        self.labels = np.broadcast_to(np.zeros(self.shape, np.float32), (len(dataset), *self.shape))
        self.targets = (self.labels,)

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return self.dataset.input_shapes

    @property
    def weights(self) -> np.ndarray | None:
        return self.dataset.weights

    @property
    def groups(self) -> np.ndarray | None:
        return self.dataset.groups

    @property
    def fingerprint(self) -> str:
        return self.dataset.fingerprint

    def fetch(self, rows: np.ndarray) -> Batch:
        batch = self.dataset.fetch(rows)
        seen = batch.inputs[0].astype(np.float32) * self.scale + self.offset
        return replace(batch, targets=(seen.reshape(len(rows), *self.shape),))

    def names(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        return self.dataset.names(rows)

    def is_ready(self, rows: np.ndarray | None = None) -> bool:
        return self.dataset.is_ready(rows)

    def adapt_to(self, shapes: Sequence[WantedShape]) -> Reconstruction:
        return Reconstruction(self.dataset.adapt_to(shapes), self.shape, self.scale, self.offset)
