"""What ``dltool evaluate`` found, as plain records, and its documented JSON form."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dltool.training.comparing import LEVEL, McNemar, PairedMeans
from dltool.training.confusion import ClassScore
from dltool.training.measures import Measure
from dltool.training.waiting import Waiting

SCHEMA = "dltool.evaluate/1"


@dataclass(frozen=True)
class Confused:
    """A mistake that is made often: how many rows of a class were given to another, and the first of them."""

    true: str
    predicted: str
    count: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class LossRow:
    """A row with a large loss; ``true`` and ``predicted`` are class names, or numbers as text."""

    path: str
    loss: float
    true: str
    predicted: str
    prob: float | None = None


@dataclass(frozen=True)
class Gate:
    """A limit of ``--fail-under`` and what was measured; ``value`` None: it could not be measured."""

    name: str
    limit: float
    value: float | None
    higher_is_better: bool

    @property
    def passed(self) -> bool:
        if self.value is None or not math.isfinite(self.value):
            return False
        return self.value >= self.limit if self.higher_is_better else self.value <= self.limit


@dataclass(frozen=True)
class OutputReport:
    """One output of the model.

    Attributes:
        kind: "classes", "labels" (several per row), "values", or "" when only the file's own metrics apply.
        metrics: by name; accuracy first where there are classes.
        classes: names in the order of the units; None for numbers.
        scores: precision, recall, F and count of each class.
        confusion: (classes, classes) counts, rows true, columns predicted; None unless kind is "classes".
        majority: accuracy of always naming the most frequent class.
        confused: the most frequent mistakes.
        beta: of ``ClassScore.f_beta``.
    """

    name: str
    kind: str
    metrics: dict[str, Measure]
    classes: tuple[str, ...] | None = None
    scores: tuple[ClassScore, ...] = ()
    confusion: np.ndarray | None = None
    majority: float | None = None
    confused: tuple[Confused, ...] = ()
    beta: float = 1.0

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"metrics": {name: measure_json(m) for name, m in self.metrics.items()}}
        if self.classes is not None:
            found["classes"] = list(self.classes)
            found["per_class"] = [score_json(score, self.beta) for score in self.scores]
        if self.confusion is not None:
            found["confusion"] = self.confusion.tolist()
            found["majority"] = self.majority
            found["most_confused"] = [{**vars(pair), "first": list(pair.first)} for pair in self.confused]
        return found


@dataclass(frozen=True)
class EvaluateResult:
    """Attributes:
    model: its file.
    n: number of rows. unit: "images" or "rows".
    loss: with regularisation, as Keras's ``evaluate``.
    outputs: one report per output of the model.
    top_losses: the rows with the largest loss, largest first.
    gates: the limits that were asked for.
    notes: sentences for the user. waiting: how long the rows took to come.
    """

    model: str
    n: int
    unit: str
    loss: float
    outputs: tuple[OutputReport, ...]
    top_losses: tuple[LossRow, ...] = ()
    gates: tuple[Gate, ...] = ()
    notes: tuple[str, ...] = ()
    waiting: Waiting = field(default_factory=Waiting, compare=False)

    @property
    def metrics(self) -> dict[str, Measure]:
        """All metrics; after the output's name where there are several."""
        several = len(self.outputs) > 1
        return {
            f"{report.name}_{name}" if several else name: measure
            for report in self.outputs
            for name, measure in report.metrics.items()
        }

    @property
    def classes(self) -> tuple[str, ...] | None:
        return self.outputs[0].classes

    @property
    def scores(self) -> tuple[ClassScore, ...]:
        return self.outputs[0].scores

    @property
    def confusion(self) -> np.ndarray | None:
        return self.outputs[0].confusion

    @property
    def majority(self) -> float | None:
        return self.outputs[0].majority

    def as_json(self) -> dict[str, Any]:
        """The documented form of ``--json``; numbers that are not finite become null."""
        found: dict[str, Any] = {"schema": SCHEMA, "model": self.model, "n": self.n, "loss": finite(self.loss)}
        found["metrics"] = {name: measure_json(measure) for name, measure in self.metrics.items()}
        if len(self.outputs) == 1:
            found |= {key: value for key, value in self.outputs[0].as_json().items() if key != "metrics"}
        else:
            found["outputs"] = {report.name: report.as_json() for report in self.outputs}
        if self.top_losses:
            found["top_losses"] = [_without_none({**vars(r), "loss": finite(r.loss)}) for r in self.top_losses]
        if self.gates:
            found["gates"] = [{**vars(gate), "value": finite(gate.value), "passed": gate.passed} for gate in self.gates]
        return found


@dataclass(frozen=True)
class Comparison:
    """Two models on the same rows; ``verdict`` counts rows for classes, and compares squared errors for numbers."""

    first: EvaluateResult
    second: EvaluateResult
    verdict: McNemar | PairedMeans

    @property
    def p(self) -> float:
        return self.verdict.p_mid if isinstance(self.verdict, McNemar) else self.verdict.p

    @property
    def better(self) -> str | None:
        """The file of the better model; None when chance explains the difference."""
        gain = self.verdict.difference.value
        if isinstance(self.verdict, PairedMeans):
            gain = -gain
        if self.p >= LEVEL or not gain:
            return None
        return self.second.model if gain > 0 else self.first.model

    def as_json(self) -> dict[str, Any]:
        """The first model's form with ``other``, the second's, and ``comparison``."""
        verdict = self.verdict
        found: dict[str, Any] = {"difference": measure_json(verdict.difference), "better": self.better, "p": self.p}
        if isinstance(verdict, McNemar):
            found |= {"test": "mcnemar_mid_p", "p_exact": verdict.p_exact}
            found |= {"only_first_right": verdict.only_first, "only_second_right": verdict.only_second}
        else:
            found["test"] = "paired_z_squared_error"
        other = {key: value for key, value in self.second.as_json().items() if key != "schema"}
        return {**self.first.as_json(), "other": other, "comparison": found}


def measure_json(measure: Measure) -> dict[str, float | None]:
    return {"value": finite(measure.value), **_without_none({"low": measure.low, "high": measure.high})}


def score_json(score: ClassScore, beta: float) -> dict[str, Any]:
    found = {"name": score.name, "precision": score.precision, "recall": score.recall, "f1": score.f1}
    return {**found, **({f"f{beta:g}": score.f_beta} if beta != 1 else {}), "n": score.n}


def finite(value: float | None) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if value is not None and math.isfinite(value) else None


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
