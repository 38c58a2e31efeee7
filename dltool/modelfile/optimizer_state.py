"""Keras's ``/optimizer_weights`` -> the engine's slots. Names in the file are meaningless; order and shapes count.

After one scalar (the number of steps; Keras 3 adds the learning rate) come the slots of all trainable variables in
model order, either slot by slot ("grouped": m1 m2 .. v1 v2 ..) or variable by variable ("paired": m1 v1 m2 v2 ..).
Source: files written by Keras 3.15 and by tf_keras 2.21's new and legacy optimizers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dltool.engine.model import Model
from dltool.engine.optimizers import Optimizer
from dltool.engine.weights import Slot
from dltool.modelfile.hdf5 import Entry, ModelSource
from dltool.modelfile.saved import TrainingState

PAIRED = {"Adam": 2, "AdamW": 2, "Nadam": 2, "Adamax": 2, "Adadelta": 2, "Ftrl": 2}
"""Optimizers whose first so many slots lie variable by variable in Keras 3 and the new tf.keras optimizers."""


@dataclass(frozen=True)
class Layout:
    """How a generation orders an optimizer's arrays: ``scalars`` in front, ``paired`` slots together, scalars last."""

    scalars: int
    paired: int
    trailing: int = 0


def layouts(optimizer: Optimizer, version: int, is_new: bool) -> list[Layout]:
    """The layouts to try, the likeliest first; ``is_new``: one of the optimizers that came with tf.keras 2.11."""
    name = optimizer.keras_class
    paired = PAIRED.get(name, 0)
    if version >= 3:
        trailing = 1 if name == "Nadam" else 0
        return [Layout(2, paired, trailing), Layout(1, paired, trailing)]  # under a schedule there is no learning rate
    if is_new:
        return [Layout(1, paired)]
    legacy = Layout(2 if name == "Nadam" else 1, 2 if name == "Ftrl" else 0)  # only Ftrl was paired from the start
    return [legacy, Layout(0, 0)]  # Keras until 2.2 wrote no step count for RMSprop, Adagrad and Adadelta


def read_state(
    source: ModelSource, model: Model, optimizer: Optimizer, trainable: list[Slot], version: int, is_new: bool
) -> TrainingState | None:
    """The state in ``/optimizer_weights``, or None when its arrays do not fit the optimizer's slots.

    Args:
        trainable: the trainable variables in the file's order.
    """
    entries = [source.arrays[item["array"]] for item in source.header["optimizer"] or []]
    # Plain SGD of the new tf.keras optimizers always keeps momentums, which are not used.
    slots = optimizer.slots or (("momentum",) if optimizer.keras_class == "SGD" else ())
    for layout in layouts(optimizer, version, is_new):
        places = place_arrays(entries, slots, trainable, layout, optimizer.use_ema)
        if places is None and not optimizer.slots:
            places = place_arrays(entries, (), trainable, layout, optimizer.use_ema)
        if places is not None:
            return load_state(source, model, optimizer, places, entries, layout)
    return None


def place_arrays(
    entries: list[Entry], slots: tuple[str, ...], trainable: list[Slot], layout: Layout, averaged: bool
) -> list[tuple[str, Slot, Entry]] | None:
    """Which array is which slot of which weight; None when number or shapes differ."""
    paired, grouped = slots[: layout.paired], slots[layout.paired :]
    order = [("average", weight) for weight in trainable] if averaged else []
    order += [(slot, weight) for weight in trainable for slot in paired]
    order += [(slot, weight) for slot in grouped for weight in trainable]
    arrays = entries[layout.scalars :]
    dummies = len(trainable) if len(arrays) == len(order) + layout.trailing + len(trainable) else 0
    if dummies and any(entry.shape != (1,) for entry in arrays[len(order) :]):
        return None  # Keras 2.1 to 2.3 wrote vhat arrays of one number when amsgrad was off
    if len(arrays) != len(order) + layout.trailing + dummies or len(entries) < layout.scalars:
        return None
    if any(entry.value is None or entry.shape for entry in entries[: layout.scalars]):
        return None
    if any(entry.shape != weight.spec.shape for entry, (_, weight) in zip(arrays, order, strict=False)):
        return None
    return [(slot, weight, entry) for (slot, weight), entry in zip(order, arrays, strict=False)]


def load_state(
    source: ModelSource,
    model: Model,
    optimizer: Optimizer,
    places: list[tuple[str, Slot, Entry]],
    entries: list[Entry],
    layout: Layout,
) -> TrainingState:
    """Fill the slot vectors; weights that were frozen in the file keep the slot's start."""
    size = model.weights.num_trainable
    slots = {name: np.full(size, optimizer.slot_start(name), np.float32) for name in optimizer.kept}
    for name, weight, entry in places:
        if name in slots:
            source.load(entry, slots[name][weight.start : weight.stop].reshape(entry.shape))
    step = int(entries[0].value) if layout.scalars else 0
    memory = {}
    if optimizer.keras_class == "Nadam" and layout.trailing and entries[-1].value is not None:
        memory["u_product"] = float(entries[-1].value)
    elif optimizer.keras_class == "Nadam" and layout.scalars == 2 and not layout.trailing:
        memory["u_product"] = float(entries[1].value)
    return TrainingState(model.weights.vector.copy(), slots, memory, step)
