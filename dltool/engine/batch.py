"""What travels from the data to the engine for one step."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mixed:
    """The other half of rows that were mixed from two.

    Attributes:
        targets: labels of each row's partner, like ``Batch.targets``.
        share: (rows,) float32 from 0 to 1, how much a row's own label counts.
    """

    targets: tuple[np.ndarray, ...]
    share: np.ndarray


@dataclass(frozen=True)
class Batch:
    """Some rows of a data set.

    Attributes:
        inputs: one array per model input, (rows, ...), uint8 or float32.
        targets: one array per model output: (rows,) int64 class indices, or (rows, ...) float32.
        weights: (rows,) float32 sample weights, or None for all one.
        rows: (rows,) int64 positions in the data set, to name a sample in messages; None when unknown.
        mixed: the partners of the rows, where rows were mixed.
        judged: what metrics compare the outputs with, where that is not ``targets``.
    """

    inputs: tuple[np.ndarray, ...]
    targets: tuple[np.ndarray, ...] = ()
    weights: np.ndarray | None = None
    rows: np.ndarray | None = None
    mixed: Mixed | None = None
    judged: tuple[np.ndarray, ...] | None = None

    def __len__(self) -> int:
        return len(self.inputs[0])
