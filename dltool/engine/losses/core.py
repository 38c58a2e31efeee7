"""Losses: how wrong each position of an output is, and the derivative of that number, from one call.

A loss is a frozen dataclass whose fields are its Keras config. It works position by position: for an output of shape
(n, ..., c) it gives (n, ...) values. How positions become one number is left to the training objective: sample weights
multiply the values, then ``reduction`` applies:

* ``"sum_over_batch_size"``: sum / number of positions (also with weights: sum(w * value) / count, not / sum(w));
* ``"sum"``: the sum.

The formulas are Keras 3's, with probabilities clipped to [1e-7, 1 - 1e-7] as there. Imports numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np

from dltool.engine.activations import activation
from dltool.errors import DataError, UsageError
from dltool.registry import Registry, made_from

Array = np.ndarray

EPSILON = 1e-7
"""Keras's fuzz factor: probabilities are kept this far from 0 and 1."""

REDUCTIONS = ("sum_over_batch_size", "sum")

LOSSES: Registry[type[Loss]] = Registry("loss")


@dataclass(frozen=True)
class Loss:
    """Base of all losses.

    Attributes:
        keras_class: Keras's class name.
        fused_activation: the output activation whose input this loss can take directly (see ``on_logits``), or None.
        per_row: one value per row instead of one per position; targets are then numbers (n, at most positions).
        fixed: Keras config entries that dltool supports with this value only, so they are not fields.
    """

    reduction: str = field(default="sum_over_batch_size", kw_only=True)

    keras_class: ClassVar[str] = ""
    fused_activation: ClassVar[str | None] = None
    per_row: ClassVar[bool] = False
    fixed: ClassVar[dict[str, Any]] = {}

    def __post_init__(self) -> None:
        if self.reduction not in REDUCTIONS:
            raise UsageError(
                f"loss {self.name}: reduction {self.reduction!r} is not supported; use {' or '.join(REDUCTIONS)}"
            )
        smoothing = getattr(self, "label_smoothing", 0.0)
        if not 0.0 <= smoothing <= 1.0:
            raise UsageError(f"loss {self.name}: label_smoothing is {smoothing}; give a number from 0 to 1")

    @property
    def name(self) -> str:
        """Keras's full function name, the name in the registry."""
        return LOSSES.canonical(self.keras_class)

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        """The loss of each position and its derivative.

        Args:
            y_true: targets; (n, ..., c) like ``y_pred``, or without the last axis when c is 1
                (class indices (n, ...) or (n, ..., 1) for the sparse loss).
            y_pred: (n, ..., c) outputs of the model, any float type.

        Returns:
            values (n, ...), and the gradient like ``y_pred``: ``d values[i] / d y_pred[i]``.

        Raises:
            DataError: the targets do not fit the output.
        """
        raise NotImplementedError(type(self).__name__)

    def on_logits(self) -> Loss:
        """The same loss for the input of the ``fused_activation`` instead of its output: exact where probabilities
        are so near to 0 or 1 that float32 cannot tell, and cheaper."""
        return replace(self, from_logits=True)

    def with_head(self, y_true: Array, z: Array, prediction: Array) -> tuple[Array, Array]:
        """Values and gradient for the input z of the ``fused_activation``, whose output goes into ``prediction``.

        One pass instead of the activation and ``on_logits`` apart; this loss must not have ``from_logits``.
        """
        np.copyto(prediction, activation(self.fused_activation)(z)[0])
        return self.on_logits()(y_true, z)

    def config(self) -> dict[str, Any]:
        """The fields by Keras's names."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def _targets(self, y_true: Array, y_pred: Array) -> Array:
        """Targets in the shape and float type of the output."""
        target = np.asarray(y_true)
        if target.ndim == y_pred.ndim - 1 and y_pred.shape[-1] == 1:
            target = target[..., None]
        if target.shape != y_pred.shape:
            hint = ""
            if self.keras_class == "CategoricalCrossentropy" and y_pred.shape[-1] > 1:
                hint = "; for class indices use sparse_categorical_crossentropy"
            raise DataError(
                f"loss {self.name}: targets of shape {target.shape} do not fit outputs of shape {y_pred.shape}{hint}"
            )
        return target.astype(y_pred.dtype, copy=False)


@LOSSES.register("categorical_crossentropy", "CategoricalCrossentropy")
@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """``-sum(t * log(p))`` for one-hot (or soft) targets t.

    Probabilities are divided by their sum, then clipped. ``label_smoothing`` s makes the targets ``t*(1-s) + s/c``.
    On logits the derivative is ``softmax(z) * sum(t) - t``, right for targets that do not sum to 1 too.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0

    keras_class: ClassVar[str] = "CategoricalCrossentropy"
    fused_activation: ClassVar[str | None] = "softmax"
    fixed: ClassVar[dict[str, Any]] = {"axis": -1}

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        target = self._targets(y_true, y_pred)
        if self.label_smoothing:
            kind = target.dtype.type
            target = target * kind(1.0 - self.label_smoothing) + kind(self.label_smoothing / target.shape[-1])
        if not self.from_logits:
            return _probability_crossentropy(target, y_pred)
        logs, gradient = log_softmax(y_pred)
        values = -(target * logs).sum(axis=-1)
        gradient *= target.sum(axis=-1, keepdims=True)
        gradient -= target
        return values, gradient


@LOSSES.register("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy")
@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Loss):
    """``-log(p[t])`` for class indices t, of shape (n, ...) or (n, ..., 1), integers or whole floats.

    Same numbers as the categorical loss on one-hot targets (as in Keras's JAX and torch backends; TensorFlow clips
    before it divides by the sum, which differs only where a probability is below 1e-7).
    """

    from_logits: bool = False

    keras_class: ClassVar[str] = "SparseCategoricalCrossentropy"
    fused_activation: ClassVar[str | None] = "softmax"
    fixed: ClassVar[dict[str, Any]] = {"ignore_class": None, "axis": -1}

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        classes = self._classes(y_true, y_pred)
        if not self.from_logits:
            one_hot = np.zeros_like(y_pred)
            np.put_along_axis(one_hot, classes[..., None], 1.0, axis=-1)
            return _probability_crossentropy(one_hot, y_pred)
        return self._from_logits(classes, *log_softmax(y_pred))

    def with_head(self, y_true: Array, z: Array, prediction: Array) -> tuple[Array, Array]:
        logs, softmax = log_softmax(z)
        np.copyto(prediction, softmax)
        return self._from_logits(self._classes(y_true, z), logs, softmax)

    @staticmethod
    def _from_logits(classes: Array, logs: Array, softmax: Array) -> tuple[Array, Array]:
        """Values and gradient; ``softmax`` becomes the gradient."""
        count = softmax.shape[-1]
        places = np.arange(0, softmax.size, count) + classes.reshape(-1)
        values = -logs.reshape(-1)[places].reshape(classes.shape)
        softmax.reshape(-1)[places] -= 1.0
        return values, softmax

    def _classes(self, y_true: Array, y_pred: Array) -> Array:
        classes = np.asarray(y_true)
        if classes.ndim == y_pred.ndim and classes.shape[-1] == 1:
            classes = classes[..., 0]
        if classes.shape != y_pred.shape[:-1]:
            hint = "; for one-hot targets use categorical_crossentropy" if classes.shape == y_pred.shape else ""
            raise DataError(
                f"loss {self.name}: class indices of shape {classes.shape} do not fit outputs of shape "
                f"{y_pred.shape}{hint}"
            )
        classes = classes.astype(np.int64, copy=False)
        if classes.size and not (classes.min() >= 0 and classes.max() < y_pred.shape[-1]):
            wrong = classes.min() if classes.min() < 0 else classes.max()
            raise DataError(
                f"loss {self.name}: class index {wrong} has no output; the model has {y_pred.shape[-1]} outputs, "
                f"so indices go from 0 to {y_pred.shape[-1] - 1}"
            )
        return classes


@LOSSES.register("binary_crossentropy", "bce", "BCE", "BinaryCrossentropy")
@dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    """``-(t*log(p) + (1-t)*log(1-p))``, the mean over the last axis (independent yes/no labels).

    ``label_smoothing`` s makes the targets ``t*(1-s) + s/2``. On logits: ``max(z,0) - z*t + log(1+exp(-|z|))``.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0

    keras_class: ClassVar[str] = "BinaryCrossentropy"
    fused_activation: ClassVar[str | None] = "sigmoid"
    fixed: ClassVar[dict[str, Any]] = {"axis": -1}

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        kind = y_pred.dtype.type
        target = self._targets(y_true, y_pred)
        if self.label_smoothing:
            target = target * kind(1.0 - self.label_smoothing) + kind(self.label_smoothing / 2)
        if self.from_logits:
            small = np.exp(-np.abs(y_pred))
            values = np.maximum(y_pred, 0) - y_pred * target + np.log1p(small)
            # sigmoid(z) from exp(-|z|), which cannot overflow: 1/(1+e) for z >= 0, e/(1+e) below.
            gradient = np.where(y_pred >= 0, kind(1.0), small) / (1 + small) - target
        else:
            p, inside = clipped(y_pred)
            values = -(target * np.log(p) + (1 - target) * np.log1p(-p))
            gradient = (p - target) / (p * (1 - p)) * inside
        return mean_last(values, gradient)


@LOSSES.register("mean_squared_error", "mse", "MSE", "MeanSquaredError")
@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """``(p - t)^2``, the mean over the last axis."""

    keras_class: ClassVar[str] = "MeanSquaredError"

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        error = y_pred - self._targets(y_true, y_pred)
        return mean_last(error * error, error + error)


@LOSSES.register("mean_absolute_error", "mae", "MAE", "MeanAbsoluteError")
@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """``|p - t|``, the mean over the last axis; the derivative at 0 is 0."""

    keras_class: ClassVar[str] = "MeanAbsoluteError"

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        error = y_pred - self._targets(y_true, y_pred)
        return mean_last(np.abs(error), np.sign(error))


@LOSSES.register("huber", "Huber")
@dataclass(frozen=True)
class Huber(Loss):
    """``e^2/2`` for errors up to ``delta``, ``delta*(|e| - delta/2)`` beyond; the mean over the last axis.

    Source: P. J. Huber, Robust estimation of a location parameter, 1964.
    """

    delta: float = 1.0

    keras_class: ClassVar[str] = "Huber"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.delta > 0:
            raise UsageError(f"loss huber: delta is {self.delta}; give a number above 0")

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        error = y_pred - self._targets(y_true, y_pred)
        near = np.clip(error, -self.delta, self.delta)  # also the derivative
        # near*(e - near/2) is e^2/2 inside and delta*(|e| - delta/2) outside, without a choice.
        return mean_last(near * (error - near / 2), near)


def loss(value: str | dict | Loss) -> Loss:
    """A loss from its name, its Keras config or itself.

    Args:
        value: ``"mse"``, ``"categorical_crossentropy"``, ``"MeanSquaredError"``,
            ``{"class_name": "CategoricalCrossentropy", "config": {"from_logits": True}}``, or a Loss.

    Raises:
        UnknownNameError: no such loss.
        UsageError: the config has an entry that is not supported; the message names it.
    """
    return value if isinstance(value, Loss) else made_from(LOSSES, value)


def mean_last(values: Array, gradient: Array) -> tuple[Array, Array]:
    """Mean of the values over the last axis, with the gradient divided alike."""
    scale = values.dtype.type(1.0 / values.shape[-1])
    return values.sum(axis=-1) * scale, gradient * scale


def log_softmax(z: Array) -> tuple[Array, Array]:
    """log(softmax(z)) and softmax(z) over the last axis, shifted so that nothing overflows."""
    shifted = z - z.max(axis=-1, keepdims=True)
    softmax = np.exp(shifted)
    total = softmax.sum(axis=-1, keepdims=True)
    softmax /= total
    shifted -= np.log(total)
    return shifted, softmax


def clipped(p: Array) -> tuple[Array, Array]:
    """Probabilities kept off 0 and 1, and where they were inside: clipping passes no gradient elsewhere."""
    low, high = p.dtype.type(EPSILON), p.dtype.type(1.0 - EPSILON)
    return np.clip(p, low, high), (p >= low) & (p <= high)


def _probability_crossentropy(target: Array, y_pred: Array) -> tuple[Array, Array]:
    """-sum(t * log(clip(q))) with q = y_pred / sum(y_pred), and its derivative by y_pred."""
    total = y_pred.sum(axis=-1, keepdims=True)
    q = y_pred / total
    kept, inside = clipped(q)
    values = -(target * np.log(kept)).sum(axis=-1)
    dq = -target / kept * inside
    # q_i depends on every y_j through the sum: dy = (dq - sum(dq * q)) / sum(y).
    return values, (dq - (dq * q).sum(axis=-1, keepdims=True)) / total
