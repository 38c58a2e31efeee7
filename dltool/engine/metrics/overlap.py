"""Intersection over union of classes, as pictures labelled pixel by pixel are judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from dltool.engine.metrics.base import METRICS, Array, Metric, ratios, unfit
from dltool.errors import DataError, UsageError


@dataclass
class Overlap(Metric):
    """A table of true against guessed classes; positions hit over positions that either names, the mean over classes.

    Deviation from Keras 3.15, which cuts sample weights down to whole numbers: here they count as they are, as in
    Keras 2.
    Source: Everingham et al., The Pascal visual object classes (VOC) challenge, 2010.
    """

    short: ClassVar[str] = "iou"

    @property
    def count(self) -> int:
        """How many classes there are."""
        return self.num_classes

    def chosen(self) -> Array:
        """The classes that are averaged."""
        return np.arange(self.count)

    def classes(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        """True and guessed class of every position, (n, positions)."""
        raise NotImplementedError(type(self).__name__)

    def reset(self) -> None:
        if not isinstance(self.count, int) or self.count < 1:
            raise UsageError(f"metric {self.registered}: num_classes is {self.count}; give the number of classes")
        self._table = np.zeros((self.count, self.count))

    def update(self, y_true: Array, y_pred: Array, weights: Array | None = None) -> None:
        truth, guess = self.classes(np.asarray(y_true), y_pred)
        if truth.shape != guess.shape:
            raise unfit(np.asarray(y_true), y_pred)
        if truth.size and not 0 <= min(truth.min(), guess.min()) <= max(truth.max(), guess.max()) < self.count:
            raise DataError(f"metric {self.registered}: a class beyond 0 to {self.count - 1}; give more num_classes")
        places = (truth * self.count + guess).reshape(-1)
        scale = None if weights is None else np.repeat(np.asarray(weights, np.float64), guess[0].size)
        self._table += np.bincount(places, scale, minlength=self.count**2).reshape(self._table.shape)

    def result(self) -> float:
        hits = np.diag(self._table)
        either = self._table.sum(0) + self._table.sum(1) - hits
        chosen = self.chosen()
        found = ratios(hits, either)[chosen][either[chosen] > 0]
        return float(found.mean()) if found.size else 0.0


def indices(values: Array) -> Array:
    """(n, positions) whole numbers; a last axis of one counts as none."""
    return values.reshape(len(values), -1).astype(np.int64)


def largest(rows: Array) -> Array:
    """(n, positions) index of the largest of each row."""
    return indices(rows.argmax(-1))


@METRICS.register("binary_io_u", "binary_iou", "BinaryIoU")
@dataclass
class BinaryIoU(Overlap):
    """Intersection over union of no (0) and yes (1, outputs from ``threshold`` up), or of one of them."""

    target_class_ids: tuple[int, ...] = (0, 1)
    threshold: float = 0.5

    keras_class: ClassVar[str] = "BinaryIoU"
    registered: ClassVar[str] = "binary_io_u"
    num_classes: ClassVar[int] = 2

    def __post_init__(self) -> None:
        self.target_class_ids = tuple(self.target_class_ids)
        super().__post_init__()

    def chosen(self) -> Array:
        return np.array(self.target_class_ids, int)

    def classes(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        return indices(y_true), indices(y_pred >= self.threshold)


@METRICS.register("mean_io_u", "mean_iou", "MeanIoU")
@dataclass
class MeanIoU(Overlap):
    """Intersection over union, the mean over ``num_classes`` classes.

    Targets are class indices unless ``sparse_y_true`` is false, outputs class indices unless ``sparse_y_pred`` is:
    then the largest of a row counts.
    """

    num_classes: int = 2
    sparse_y_true: bool = True
    sparse_y_pred: bool = True

    keras_class: ClassVar[str] = "MeanIoU"
    registered: ClassVar[str] = "mean_io_u"
    fixed: ClassVar[dict[str, Any]] = {"ignore_class": None, "axis": -1}

    def classes(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        truth = indices(y_true) if self.sparse_y_true else largest(y_true)
        return truth, indices(y_pred) if self.sparse_y_pred else largest(y_pred)


@METRICS.register("io_u", "iou", "IoU")
@dataclass
class IoU(MeanIoU):
    """Intersection over union of the classes ``target_class_ids``, the mean over them."""

    target_class_ids: tuple[int, ...] = field(default=(0,))

    keras_class: ClassVar[str] = "IoU"
    registered: ClassVar[str] = "io_u"

    def __post_init__(self) -> None:
        self.target_class_ids = tuple(self.target_class_ids)
        super().__post_init__()
        if not all(0 <= index < self.num_classes for index in self.target_class_ids):
            raise UsageError(f"metric {self.registered}: target_class_ids {self.target_class_ids} beyond num_classes")

    def chosen(self) -> Array:
        return np.array(self.target_class_ids, int)


@METRICS.register("one_hot_mean_io_u", "one_hot_mean_iou", "OneHotMeanIoU")
@dataclass
class OneHotMeanIoU(Overlap):
    """Intersection over union, the mean over classes; targets are one-hot rows, the largest output of a row counts."""

    num_classes: int = 2
    sparse_y_pred: bool = False

    keras_class: ClassVar[str] = "OneHotMeanIoU"
    registered: ClassVar[str] = "one_hot_mean_io_u"
    fixed: ClassVar[dict[str, Any]] = {"ignore_class": None, "axis": -1}

    def classes(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        return largest(y_true), indices(y_pred) if self.sparse_y_pred else largest(y_pred)


@METRICS.register("one_hot_io_u", "one_hot_iou", "OneHotIoU")
@dataclass
class OneHotIoU(OneHotMeanIoU):
    """``one_hot_mean_io_u`` of the classes ``target_class_ids`` only."""

    target_class_ids: tuple[int, ...] = field(default=(0,))

    keras_class: ClassVar[str] = "OneHotIoU"
    registered: ClassVar[str] = "one_hot_io_u"

    def __post_init__(self) -> None:
        self.target_class_ids = tuple(self.target_class_ids)
        super().__post_init__()

    def chosen(self) -> Array:
        return np.array(self.target_class_ids, int)
