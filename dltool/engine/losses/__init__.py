"""Losses: how wrong each position of an output is, and the derivative of that number. Imports numpy only.

One module per family; importing this package fills the ``LOSSES`` registry. ``losses.core`` says what a loss is.
"""

from dltool.engine.losses.core import (
    LOSSES,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
    loss,
)
from dltool.engine.losses.ctc import CTC, beam_decode, greedy_decode
from dltool.engine.losses.focal import BinaryFocalCrossentropy, CategoricalFocalCrossentropy
from dltool.engine.losses.margins import CategoricalHinge, Hinge, SquaredHinge
from dltool.engine.losses.numbers import (
    CosineSimilarity,
    KLDivergence,
    LogCosh,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    Poisson,
)

__all__ = [
    "CTC",
    "LOSSES",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "beam_decode",
    "greedy_decode",
    "loss",
]
