"""Connectionist temporal classification: labels shorter than the sequence, without saying where each symbol is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dltool.engine.losses.core import LOSSES, Array, Loss, log_softmax
from dltool.errors import DataError

BLANK = 0


@LOSSES.register("ctc", "CTC")
@dataclass(frozen=True)
class CTC(Loss):
    """``-log`` of the probability of a label, over all ways to spread its symbols along the steps.

    Outputs are logits (n, steps, classes); class 0 is the blank, which also fills up short labels (n, at most steps),
    whole numbers from 1. One value per row. All steps count (as in Keras's class; masks only weigh rows there).
    Source: Graves et al., "Connectionist temporal classification", 2006, sections 4.1 and 4.2.
    """

    keras_class: ClassVar[str] = "CTC"
    per_row: ClassVar[bool] = True

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        labels, lengths = self._labels(y_true, y_pred)
        logs, softmax = log_softmax(y_pred)
        states = np.full((len(labels), 2 * labels.shape[1] + 1), BLANK)
        states[:, 1::2] = labels
        emitted = np.take_along_axis(logs, states[:, None, :], 2)
        # a step may leave out a blank between two different symbols
        jumps = np.zeros(states.shape, bool)
        jumps[:, 2:] = (states[:, 2:] != BLANK) & (states[:, 2:] != states[:, :-2])
        with np.errstate(divide="ignore"):
            ahead = self._ahead(emitted, jumps)
            behind = self._behind(emitted, jumps, lengths)
        rows = np.arange(len(labels))
        last = ahead[:, -1]
        total = np.logaddexp(last[rows, 2 * lengths], np.where(lengths > 0, last[rows, 2 * lengths - 1], -np.inf))
        if not np.isfinite(total).all():
            row = int(np.argmin(np.isfinite(total)))
            raise DataError(
                f"loss ctc: a label of {lengths[row]} symbols does not fit {y_pred.shape[1]} steps; "
                "equal neighbours need a step between them"
            )
        shares = np.exp(ahead + behind - total[:, None, None])
        places = (states[:, :, None] == np.arange(y_pred.shape[-1])).astype(y_pred.dtype)
        return -total.astype(y_pred.dtype), softmax - (shares @ places).astype(y_pred.dtype)

    def _labels(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        labels = np.rint(np.asarray(y_true)).astype(np.int64)
        if labels.ndim != 2 or y_pred.ndim != 3 or len(labels) != len(y_pred):
            raise DataError(f"loss ctc: labels of shape {labels.shape} do not fit outputs of shape {y_pred.shape}")
        if labels.size and not (labels.min() >= 0 and labels.max() < y_pred.shape[-1]):
            raise DataError(
                f"loss ctc: label symbol {labels.max() if labels.min() >= 0 else labels.min()} has no output; symbols "
                f"go from 1 to {y_pred.shape[-1] - 1}, and 0 fills up"
            )
        lengths = (labels != BLANK).sum(1)
        return labels[:, : max(1, int(lengths.max(initial=0)))], lengths

    @staticmethod
    def _ahead(emitted: Array, jumps: Array) -> Array:
        """log of the probability of all beginnings that end in a state at a step, the step's symbol included."""
        found = np.full(emitted.shape, -np.inf)
        found[:, 0, :2] = emitted[:, 0, :2]
        for t in range(1, emitted.shape[1]):
            before = found[:, t - 1]
            way = before.copy()
            way[:, 1:] = np.logaddexp(way[:, 1:], before[:, :-1])
            way[:, 2:] = np.where(jumps[:, 2:], np.logaddexp(way[:, 2:], before[:, :-2]), way[:, 2:])
            found[:, t] = way + emitted[:, t]
        return found

    @staticmethod
    def _behind(emitted: Array, jumps: Array, lengths: Array) -> Array:
        """log of the probability of all ends after a state at a step, the step's symbol not included."""
        found = np.full(emitted.shape, -np.inf)
        rows = np.arange(len(lengths))
        found[rows, -1, 2 * lengths] = 0
        found[rows, -1, np.maximum(2 * lengths - 1, 0)] = 0
        for t in range(emitted.shape[1] - 2, -1, -1):
            after = found[:, t + 1] + emitted[:, t + 1]
            way = after.copy()
            way[:, :-1] = np.logaddexp(way[:, :-1], after[:, 1:])
            way[:, :-2] = np.where(jumps[:, 2:], np.logaddexp(way[:, :-2], after[:, 2:]), way[:, :-2])
            found[:, t] = way
        return found


def greedy_decode(outputs: Array) -> list[list[int]]:
    """The likeliest class of every step, repeats and blanks taken out; ``outputs``: (n, steps, classes)."""
    found = []
    for best in outputs.argmax(-1):
        changed = np.r_[True, best[1:] != best[:-1]]
        found.append(best[changed & (best != BLANK)].tolist())
    return found


def beam_decode(probabilities: Array, width: int = 100) -> list[list[int]]:
    """The likeliest label of each row, as far as a beam of ``width`` beginnings sees; (n, steps, classes) from softmax.

    Source: Hannun, "Sequence modeling with CTC", 2017 (prefix beam search).
    """
    return [_best_label(np.asarray(row, np.float64), width) for row in probabilities]


def _best_label(steps: Array, width: int) -> list[int]:
    """Each beginning has two probabilities: of ways that end in a blank, and of ways that end in its last symbol."""
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (1.0, 0.0)}
    for step in steps:
        found: dict[tuple[int, ...], list[float]] = {}
        for label, (blank, symbol) in beams.items():
            stays = found.setdefault(label, [0.0, 0.0])
            stays[0] += (blank + symbol) * step[BLANK]
            if label:
                stays[1] += symbol * step[label[-1]]
            for c in np.flatnonzero(step > 0):
                if c == BLANK:
                    continue
                source = blank if label and c == label[-1] else blank + symbol
                found.setdefault((*label, int(c)), [0.0, 0.0])[1] += source * step[c]
        best = sorted(found.items(), key=lambda entry: -sum(entry[1]))[:width]
        total = sum(sum(ways) for _, ways in best) or 1.0  # long sequences would fade below float64
        beams = {label: (ways[0] / total, ways[1] / total) for label, ways in best}
    return list(max(beams, key=lambda label: sum(beams[label])))
