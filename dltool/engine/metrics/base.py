"""What all metrics are, and how targets are brought to the form of the outputs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from dltool.errors import DataError
from dltool.registry import Registry, made_from

Array = np.ndarray

METRICS: Registry[type[Metric]] = Registry("metric")


@dataclass
class Metric:
    """Base of all metrics.

    Attributes:
        name: what histories and messages call it; the registered name unless the config says otherwise.
        keras_class: Keras's class name ("" for ``accuracy``, which Keras writes as a plain string).
        short: a name of a few letters for progress lines.
        higher_is_better: which direction is the good one.
        fixed: Keras config entries that are supported with this value only, so they are not fields.
    """

    name: str = ""

    keras_class: ClassVar[str] = ""
    registered: ClassVar[str] = ""
    short: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    fixed: ClassVar[dict[str, Any]] = {}

    def __post_init__(self) -> None:
        self.name = self.name or self.registered
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        raise NotImplementedError(type(self).__name__)

    def update(self, y_true: Array, y_pred: Array, weights: Array | None = None) -> None:
        """Take in a batch.

        Args:
            y_true: (n, ..., c) like ``y_pred``; or (n, ...) or (n, ..., 1), class indices when c > 1.
            y_pred: (n, ..., c) outputs of the model.
            weights: (n,) sample weights; a row with weight 0 does not count.

        Raises:
            DataError: the targets do not fit the outputs.
        """
        raise NotImplementedError(type(self).__name__)

    def result(self) -> float:
        """The metric over everything since ``reset``."""
        raise NotImplementedError(type(self).__name__)

    def state(self) -> dict[str, Any]:
        """The sums since ``reset`` as values that JSON can hold, exactly."""
        return {name: np.asarray(sums).tolist() for name, sums in vars(self).items() if name.startswith("_")}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave. Raises ValueError, TypeError for what another metric gave."""
        own = self.state()
        if state.keys() != own.keys():
            raise ValueError(f"{self.name} has other sums than {', '.join(map(str, state))}")
        for name, sums in state.items():
            setattr(self, name, np.asarray(sums, np.float64) if isinstance(sums, list) else float(sums))

    def config(self) -> dict[str, Any]:
        """The fields by Keras's names."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass
class MeanMetric(Metric):
    """The weighted mean of a value per position; subclasses say which.

    ``by_name``: both generations of Keras know the metric by its registered name.
    """

    by_name: ClassVar[bool] = True

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """(n, ...) numbers, one per position."""
        raise NotImplementedError(type(self).__name__)

    def reset(self) -> None:
        self._total = self._count = 0.0

    def update(self, y_true: Array, y_pred: Array, weights: Array | None = None) -> None:
        values = self.values(np.asarray(y_true), y_pred)
        if weights is None:
            self._total += float(values.sum(dtype=np.float64))
            self._count += values.size
            return
        per_row = values.reshape(len(values), -1)
        scale = np.asarray(weights, np.float64)
        self._total += float(scale @ per_row.sum(axis=1, dtype=np.float64))
        self._count += float(scale.sum()) * per_row.shape[1]

    def result(self) -> float:
        return ratio(self._total, self._count)


def metric(value: str | dict | Metric) -> Metric:
    """A fresh metric from its name or its Keras config; a Metric is returned as it is.

    Args:
        value: ``"accuracy"`` (decides by the shapes it meets), ``"auc"``,
            ``{"class_name": "TopKCategoricalAccuracy", "config": {"k": 3}}``, or a Metric.

    Raises:
        UnknownNameError: no such metric.
        UsageError: the config has an entry that is not supported; the message names it.
    """
    return value if isinstance(value, Metric) else made_from(METRICS, value)


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def ratios(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)


def unfit(y_true: Array, y_pred: Array) -> DataError:
    return DataError(f"metrics: targets of shape {y_true.shape} do not fit outputs of shape {y_pred.shape}")


def classes_of(y_true: Array, y_pred: Array) -> Array:
    """(n, ...) class of each position, from class indices or from rows as wide as the output."""
    if y_true.shape == y_pred.shape:
        return y_true.argmax(axis=-1)
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = y_true[..., 0]
    if y_true.shape != y_pred.shape[:-1]:
        raise unfit(y_true, y_pred)
    return y_true.astype(np.int64, copy=False)


def rows_of(y_true: Array, y_pred: Array) -> Array:
    """Targets in the shape of the output: as they are, with the missing last axis, or one-hot from class indices."""
    if y_true.shape == y_pred.shape:
        return y_true
    if y_pred.shape[-1] == 1 and y_true.shape == y_pred.shape[:-1]:
        return y_true[..., None]
    if y_pred.shape[-1] > 1:
        return classes_of(y_true, y_pred)[..., None] == np.arange(y_pred.shape[-1])
    raise unfit(y_true, y_pred)


def column_sums(mask: Array, weights: Array | None) -> Array:
    """(c,) float64: per output column the number, or the weight, of the positions where ``mask`` is true."""
    per_row = mask.reshape(len(mask), -1, mask.shape[-1]).sum(axis=1, dtype=np.float64)
    return per_row.sum(axis=0) if weights is None else np.asarray(weights, np.float64) @ per_row
