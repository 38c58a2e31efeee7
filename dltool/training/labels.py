"""Do the labels fit the model's head? Asked for all rows before the first batch, answered with the row that does not.

A head is one output of the graph: its size and its last activation. Labels are class indices (integers), one-hot rows
or numbers; ``target_form`` says how they become what a loss wants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dltool.engine.graph import Graph, describe
from dltool.engine.layers import Softmax
from dltool.engine.layers.base import Shape
from dltool.engine.losses import BinaryCrossentropy, CategoricalCrossentropy, Loss, SparseCategoricalCrossentropy
from dltool.errors import DataError, UsageError

PASSES_THROUGH = ("Flatten", "Reshape", "Dropout", "InputLayer")
"""Layers that leave their input's activation what it is."""
SUM_TOLERANCE = 1e-3
"""Probabilities given as labels may miss a sum of 1 by this (files hold rounded decimals)."""


@dataclass(frozen=True)
class Head:
    """One output of a model: ``shape`` of a sample and the activation that made it ("linear" without one)."""

    name: str
    shape: Shape
    activation: str

    @property
    def size(self) -> int:
        """Number of units on the last axis."""
        return self.shape[-1] if self.shape and self.shape[-1] is not None else 1

    @property
    def num_classes(self) -> int | None:
        """Classes that it can tell apart: two for one sigmoid unit; None for numbers (regression)."""
        if self.activation == "softmax" or (self.activation == "sigmoid" and self.size > 1):
            return self.size
        return 2 if self.activation == "sigmoid" else None


def heads(graph: Graph) -> tuple[Head, ...]:
    """The heads of a graph, in the order of its outputs."""
    return tuple(Head(graph.nodes[o].name, graph.shapes[o], _last_activation(graph, o)) for o in graph.outputs)


def _last_activation(graph: Graph, index: int) -> str:
    node = graph.nodes[index]
    while type(node.layer).__name__ in PASSES_THROUGH and node.inputs:
        node = graph.nodes[node.inputs[0]]
    if isinstance(node.layer, Softmax):
        return "softmax"
    found = getattr(node.layer, "activation", None)
    return found if isinstance(found, str) else "linear"


def is_class_indices(labels: np.ndarray) -> bool:
    """True for integers that stand alone: (n,) or (n, 1)."""
    return np.issubdtype(labels.dtype, np.integer) and (labels.ndim == 1 or labels.shape[1:] == (1,))


def default_loss(head: Head, labels: np.ndarray | None = None) -> str:
    """The usual loss for a head, decided further by the labels where they are known.

    softmax: sparse_categorical_crossentropy for class indices, categorical for one-hot rows; sigmoid:
    binary_crossentropy; anything else with numbers: mean_squared_error.

    Raises:
        UsageError: class indices for several units without softmax: many losses are possible.
    """
    if head.activation == "softmax":
        one_per_step = labels is not None and labels.dtype.kind in "iu" and labels.ndim == len(head.shape)
        alone = labels is None or one_per_step or is_class_indices(labels)
        rows = not alone and labels.ndim > 1 and labels.shape[-1] > 1
        return "categorical_crossentropy" if rows else "sparse_categorical_crossentropy"
    if head.activation == "sigmoid":
        return "binary_crossentropy"
    if head.size > 1 and labels is not None and is_class_indices(labels):
        raise UsageError(
            f"--loss: output {head.name!r} has {head.size} units without softmax, and the labels are classes; "
            "end the model with softmax, or say --loss"
        )
    return "mean_squared_error"


def target_form(loss: Loss, head: Head, labels: np.ndarray, source: str) -> str:
    """Check all labels and say how they become targets: ``"same"``, ``"one_hot"``, ``"index"`` or ``"argmax"``.

    Args:
        labels: (n, ...) of all rows.
        source: what to call the labels in messages (``y.npy``).

    Raises:
        DataError: a label does not fit; the message names its row.
    """
    labels = np.asarray(labels)
    if len(labels) > 1 and labels.strides[0] == 0:
        labels = labels[:1]  # one row stands for all, where rows are their own targets
    if loss.per_row:
        _check_strings(labels, head, source)
        return "same"
    alone = labels.shape[1:] == head.shape[:-1] or (labels.shape[1:] == (*head.shape[:-1], 1) and head.size > 1)
    whole = labels.shape[1:] == tuple(head.shape)
    wants_index = isinstance(loss, SparseCategoricalCrossentropy)
    if not alone and not whole:
        raise DataError(
            f"{source}: labels of shape {describe(labels.shape[1:])} do not fit output {head.name!r} of shape "
            f"{describe(head.shape)}; give one label per row"
        )
    _check_finite(labels, source)
    if alone and (wants_index or head.size > 1):
        _check_indices(labels, head, source, is_class=wants_index or head.num_classes is not None)
        if wants_index:
            return "same" if np.issubdtype(labels.dtype, np.integer) else "index"
        return "one_hot"
    _check_values(loss, head, labels, source)
    return "argmax" if wants_index else "same"


def _check_strings(labels: np.ndarray, head: Head, source: str) -> None:
    """Symbols (n, longest) from 1, filled up with 0, must have an output each and steps enough.

    A string needs a step for each symbol, and one between equal neighbours, where the blank stands.
    """
    if len(head.shape) != 2 or labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{source}: labels of shape {describe(labels.shape[1:])} are no strings for output {head.name!r} of shape "
            f"{describe(head.shape)}; CTC takes texts, and an output of (steps, symbols + 1) as of --arch crnn"
        )
    _refuse((labels < 0) | (labels >= head.size), labels, source, f"the model has the symbols 1 to {head.size - 1}")
    needed = (labels > 0).sum(axis=1) + ((labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] > 0)).sum(axis=1)
    steps = head.shape[0]
    if steps is not None and (needed > steps).any():
        row = int((needed > steps).argmax())
        raise DataError(
            f"{source}: the string at row {row} needs {needed[row]} steps, and output {head.name!r} has {steps}; "
            "take wider images, or a network with less pooling"
        )


def _check_finite(labels: np.ndarray, source: str) -> None:
    if np.issubdtype(labels.dtype, np.floating):
        _refuse(~np.isfinite(labels), labels, source, "which is not a number to learn from; remove the row")


def _check_indices(labels: np.ndarray, head: Head, source: str, is_class: bool) -> None:
    """Class indices must be whole and have an output each."""
    if not is_class:
        raise DataError(
            f"{source}: one label per row does not fit output {head.name!r} with {head.size} units; "
            f"give {head.size} numbers per row, or end the model with softmax"
        )
    wrong = (labels < 0) | (labels >= head.size)
    if np.issubdtype(labels.dtype, np.floating):
        wrong |= labels != np.floor(labels)
    _refuse(wrong, labels, source, f"the model has {head.size} classes (0..{head.size - 1})")


def _check_values(loss: Loss, head: Head, labels: np.ndarray, source: str) -> None:
    """Labels in the output's own shape: probabilities where the loss is a cross-entropy, else any number."""
    if isinstance(loss, BinaryCrossentropy):
        two = "0 and 1" if head.size == 1 else "0 or 1 for each unit"
        _refuse((labels < 0) | (labels > 1), labels, source, f"output {head.name!r} wants {two}")
    elif isinstance(loss, CategoricalCrossentropy | SparseCategoricalCrossentropy):
        sums = labels.sum(axis=-1)
        wrong = (np.abs(sums - 1) > SUM_TOLERANCE) | (labels < 0).any(axis=-1)
        if isinstance(loss, SparseCategoricalCrossentropy):
            wrong |= labels.max(axis=-1) != 1
        _refuse(wrong, labels, source, "a row must have one 1 (or probabilities that sum to 1)")


def _refuse(wrong: np.ndarray, labels: np.ndarray, source: str, reason: str) -> None:
    """Raise DataError for the first row where ``wrong`` has a True."""
    rows = wrong.reshape(len(wrong), -1).any(axis=1)
    if not rows.any():
        return
    row = int(rows.argmax())
    first = int(wrong[row].reshape(-1).argmax()) if wrong[row].ndim else 0
    value = labels[row].reshape(-1)[first].item() if wrong.shape == labels.shape else labels[row].tolist()
    count = int(rows.sum())
    more = f" (and {count - 1:,} more rows)" if count > 1 else ""
    raise DataError(f"{source}: label {value} at row {row}{more}; {reason}")


def _one_hot(target: np.ndarray, size: int) -> np.ndarray:
    indices = target.astype(np.int64, copy=False)
    if indices.shape[-1:] == (1,) and indices.ndim > 1:
        indices = indices[..., 0]
    return np.eye(size, dtype=np.float32)[indices]


CONVERSIONS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "same": lambda target, size: target,
    "one_hot": _one_hot,
    "index": lambda target, size: target.astype(np.int64),
    "argmax": lambda target, size: target.argmax(axis=-1),
}
"""From labels to targets, by form; the arguments are the labels of a batch and the head's size."""
