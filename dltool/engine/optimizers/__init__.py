"""Optimizers: tiny rules on 1-D blocks. Imports numpy only.

One module per family; importing this package fills the ``OPTIMIZERS`` registry.

A rule changes a block of weights and its slots (running averages) in place from a block of gradients, with two scratch
blocks and without allocating. All scalars of a step (bias corrections, schedules) are folded into a few float32
``coefficients`` beforehand: float32 scalars keep numpy from converting blocks. Everything is elementwise with correctly
rounded operations, so the bits do not depend on how the vector is cut among blocks and lanes.

The formulas are Keras 3's; with ``legacy`` those of tf.keras <= 2.10 where they differ. Slots hold exactly Keras's
numbers, so states interchange with its files. (Storing Adam's slots divided by (1 - beta) would save two of twelve
passes, 11 to 14 % of its update as measured with 11 and 0.67 million weights; but every reader and writer of states
would have to convert.)
"""

from dltool.engine.optimizers.adam import Adam, Adamax, AdamW, Nadam
from dltool.engine.optimizers.base import OPTIMIZERS, Array, Blocks, Coefficients, Optimizer, optimizer
from dltool.engine.optimizers.gradients import SGD, Adadelta, Adagrad, RMSprop
from dltool.engine.optimizers.sparse import Ftrl, Lion

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Array",
    "Blocks",
    "Coefficients",
    "Ftrl",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "optimizer",
]
