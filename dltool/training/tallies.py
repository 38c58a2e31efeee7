"""What evaluation remembers of each output while the batches pass, and the metrics in the end.

There is a tally for each meaning of an output: one class per row, several labels per row, numbers. All take
``add(targets, readings)`` with the rows in order, and then give ``metrics()`` and ``rows_right`` or ``row_errors``.
"""

from __future__ import annotations

import numpy as np

from dltool.training.calibration import Calibration
from dltool.training.confusion import ClassScore, Confusion, scores_of
from dltool.training.measures import Measure, mean, proportion, with_influences
from dltool.training.ranking import in_top, roc_auc

MOST_KEPT = 1 << 28
"""Scores are kept for the ROC curve up to 1 GB (float32)."""
EXAMPLES = 3
"""So many rows are remembered of each kind of mistake."""
LOWER_IS_BETTER = (
    "loss",
    "ece",
    "mean_squared_error",
    "mean_absolute_error",
    "string_error_rate",
    "character_error_rate",
)
"""Of the names that are measured here; of all others more is better."""


class ClassTally:
    """One class per row.

    Args:
        num_rows, num_classes: of the data and the model.
        top: k of the top-k accuracy; 0 for none.
        beta: of the F score, besides F1.

    Attributes:
        confusion: counts, rows true, columns predicted.
        predicted, confidence: (n,) the most probable class and its probability. rows_right: (n,) bool.
        examples: (true, predicted) -> the first rows of that mistake.
    """

    kind = "classes"

    def __init__(self, num_rows: int, num_classes: int, top: int = 0, beta: float = 1.0):
        self.confusion, self.calibration = Confusion(num_classes), Calibration()
        self.top, self.beta = top, beta
        self.true, self.predicted = np.zeros(num_rows, np.int32), np.zeros(num_rows, np.int32)
        self.confidence = np.zeros(num_rows, np.float32)
        self.examples: dict[tuple[int, int], list[int]] = {}
        self._top_hits = self._rows = 0
        self._scores = _room(num_rows, num_classes)

    @property
    def names(self) -> tuple[str, ...]:
        """What ``metrics`` gives, as far as the data allow."""
        return ("accuracy", *([f"top_{self.top}"] if self.top else []), *f_names(self.beta), "auc", "ece")

    @property
    def rows_right(self) -> np.ndarray:
        return self.true == self.predicted

    def add(self, true: np.ndarray, probs: np.ndarray, predicted: np.ndarray | None = None) -> None:
        """The next rows: (n,) class indices, (n, classes) probabilities, (n,) what is said; None: the most probable."""
        rows = slice(self._rows, self._rows + len(true))
        predicted = probs.argmax(axis=1) if predicted is None else predicted
        confidence = np.take_along_axis(probs, predicted[:, None], axis=1)[:, 0]
        self.true[rows], self.predicted[rows], self.confidence[rows] = true, predicted, confidence
        self.confusion.add(true, predicted)
        self.calibration.add(confidence, true == predicted)
        for row in np.flatnonzero(true != predicted).tolist():
            found = self.examples.setdefault((int(true[row]), int(predicted[row])), [])
            if len(found) < EXAMPLES:
                found.append(self._rows + row)
        if self.top:
            self._top_hits += int(in_top(true, probs, self.top).sum())
        if self._scores is not None:
            self._scores[rows] = probs
        self._rows = rows.stop

    def metrics(self) -> dict[str, Measure]:
        found = {"accuracy": self.confusion.accuracy}
        if self.top:
            found[f"top_{self.top}"] = proportion(self._top_hits, self._rows)
        for name, beta in f_names(self.beta).items():
            found[name] = self.confusion.macro_f(beta)
        area = self.auc()
        if area is not None:
            found["auc"] = area
        return {**found, "ece": Measure(self.calibration.error)}

    def auc(self) -> Measure | None:
        """One class against the others, averaged over classes; the plain one of the second class when there are two."""
        if self._scores is None:
            return None
        classes = np.arange(self._scores.shape[1])
        columns = classes[1:] if len(classes) == 2 else classes
        return roc_auc(self.true[:, None] == columns, self._scores[:, columns])


class LabelTally:
    """Several labels per row, each there or not; above 0.5 counts as there.

    Attributes:
        rows_right: (n,) bool, all labels of the row right.
    """

    kind = "labels"

    def __init__(self, num_rows: int, num_labels: int, beta: float = 1.0):
        self.beta = beta
        self.truth = np.zeros((num_rows, num_labels), bool)
        self.predicted = np.zeros((num_rows, num_labels), bool)
        self._scores = _room(num_rows, num_labels)
        self._rows = 0

    @property
    def names(self) -> tuple[str, ...]:
        """What ``metrics`` gives, as far as the data allow."""
        return ("exact_match", "label_accuracy", *f_names(self.beta), "auc")

    @property
    def rows_right(self) -> np.ndarray:
        return (self.truth == self.predicted).all(axis=1)

    def add(self, truth: np.ndarray, probs: np.ndarray) -> None:
        """The next rows: (n, labels) 0 or 1, and (n, labels) probabilities."""
        rows = slice(self._rows, self._rows + len(truth))
        self.truth[rows], self.predicted[rows] = truth > 0.5, probs > 0.5
        if self._scores is not None:
            self._scores[rows] = probs
        self._rows = rows.stop

    def scores(self, names: tuple[str, ...]) -> tuple[ClassScore, ...]:
        true, predicted = self.truth.sum(axis=0), self.predicted.sum(axis=0)
        return scores_of(names, true, predicted, (self.truth & self.predicted).sum(axis=0), self.beta)

    def metrics(self) -> dict[str, Measure]:
        wrong = (self.truth != self.predicted).mean(axis=1)
        found = {"exact_match": proportion(int(self.rows_right.sum()), self._rows)}
        found["label_accuracy"] = mean(1 - wrong, 0.0, 1.0)
        scores = self.scores(("",) * self.truth.shape[1])
        for name, beta in f_names(self.beta).items():
            values = [score.f1 if beta == 1 else score.f_beta for score in scores]
            found[name] = Measure(sum(values) / len(values))
        area = None if self._scores is None else roc_auc(self.truth, self._scores)
        return found if area is None else {**found, "auc": area}


class ValueTally:
    """Numbers (regression).

    Attributes:
        row_errors: (n,) float64, mean squared error of each row.
    """

    kind = "values"
    names = ("mean_squared_error", "mean_absolute_error", "r2")

    def __init__(self, num_rows: int, size: int):
        self.row_errors, self._absolute = np.zeros(num_rows), np.zeros(num_rows)
        self._truth, self._values = _room(num_rows, size), _room(num_rows, size)
        self._rows = 0

    def add(self, truth: np.ndarray, values: np.ndarray) -> None:
        """The next rows: both (n, size)."""
        rows = slice(self._rows, self._rows + len(truth))
        off = values.astype(np.float64) - truth
        self.row_errors[rows], self._absolute[rows] = np.square(off).mean(axis=1), np.abs(off).mean(axis=1)
        if self._truth is not None:
            self._truth[rows], self._values[rows] = truth, values
        self._rows = rows.stop

    def metrics(self) -> dict[str, Measure]:
        found = {"mean_squared_error": mean(self.row_errors, 0.0), "mean_absolute_error": mean(self._absolute, 0.0)}
        r2 = None if self._truth is None else r_squared(self._truth, self._values)
        return found if r2 is None else {**found, "r2": r2}

    def row(self, row: int) -> tuple[str, str]:
        """A row's true and predicted number as text; "" where there are several or they were not kept."""
        if self._truth is None or self._truth.shape[1] != 1:
            return "", ""
        return f"{self._truth[row, 0]:.5g}", f"{self._values[row, 0]:.5g}"


def r_squared(truth: np.ndarray, values: np.ndarray) -> Measure | None:
    """``1 - squared error / squared error of the mean``, averaged over columns; None where a column never varies.

    Args:
        truth, values: (n, columns).

    The interval is the delta method's: errors of both sums are carried to their ratio.
    """
    truth = truth.astype(np.float64)
    errors, spread = np.square(values - truth), np.square(truth - truth.mean(axis=0))
    error, variance = errors.mean(axis=0), spread.mean(axis=0)
    if not (variance > 0).all():
        return None
    pull = -(errors - error) / variance + error * (spread - variance) / np.square(variance)
    return with_influences(float((1 - error / variance).mean()), pull.mean(axis=1) / len(truth), high=1.0)


def f_names(beta: float) -> dict[str, float]:
    """Name of each macro F score that is measured -> its beta."""
    return {"macro_f1": 1.0} if beta == 1 else {"macro_f1": 1.0, f"macro_f{beta:g}": beta}


def _room(num_rows: int, size: int) -> np.ndarray | None:
    return np.zeros((num_rows, size), np.float32) if num_rows * size <= MOST_KEPT else None
