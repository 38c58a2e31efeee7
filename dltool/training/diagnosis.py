"""What the curves of a run say, as a teacher would put it: one word and what to try next."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST_EPOCHS = 4
"""Shorter histories say nothing."""


@dataclass(frozen=True)
class Diagnosis:
    """``kind`` is "oscillating", "overfit", "slow", "underfit" or "unfinished"; ``words`` say what to try."""

    kind: str
    words: str


def diagnose(history: Sequence[dict[str, float]]) -> Diagnosis | None:
    """Read the curves of one run; None when they are short, or look as they should.

    Args:
        history: one dict per epoch with ``loss``, ``learning_rate`` and, where measured, ``accuracy`` and the same
            with ``val_``.
    """
    if len(history) < FEWEST_EPOCHS:
        return None
    loss = [row["loss"] for row in history]
    val = [row["val_loss"] for row in history if "val_loss" in row]
    val = val if len(val) == len(loss) else []
    rate = history[0].get("learning_rate", 0.0)
    if oscillates(loss):
        return Diagnosis("oscillating", f"oscillating: try a tenth of the rate (--lr {rate / 10:.0e})")
    best = overfits(history, loss, val)
    if best:
        since = "" if best == len(loss) else f" since epoch {int(history[best - 1].get('epoch', best))}"
        return Diagnosis("overfit", f"overfit{since}: more data, augmentation, L2, then dropout")
    if is_slow(loss):
        return Diagnosis("slow", f"slow: try ten times the rate (--lr {rate * 10:.0e})")
    if underfits(history, loss, val):
        return Diagnosis("underfit", "underfit: a bigger model, more epochs, or a restart with a higher --lr")
    if still_improves(loss) and (not val or val[-1] == min(val)):
        return Diagnosis("unfinished", "still improving: more epochs would help")
    return None


def oscillates(loss: Sequence[float]) -> bool:
    """The loss goes up half as much as it goes down, by steps that matter."""
    moves = [after - before for before, after in itertools.pairwise(loss)]
    up, down = sum(move for move in moves if move > 0), -sum(move for move in moves if move < 0)
    mean_up = up / len(moves)
    return up > 0.5 * down and mean_up > max(0.05 * abs(sum(loss)) / len(loss), 0.02 * abs(loss[0]))


def overfits(history: Sequence[dict[str, float]], loss: Sequence[float], val: Sequence[float]) -> int:
    """The number of epochs after which the validation only got worse while the training went on to improve.

    All of them when the validation stands still far above the training; 0 when it does not overfit.
    """
    if not val:
        return 0
    best = val.index(min(val))
    late = val[-2:]
    rose = len(val) - 1 - best >= 2 and sum(late) / len(late) > 1.05 * val[best]
    if rose and loss[-1] < 0.95 * loss[best]:
        return best + 1
    last = history[-1]
    gap = last.get("accuracy", 0.0) - last.get("val_accuracy", last.get("accuracy", 0.0))
    stands = end_gain(val) < 0.02
    return len(loss) if stands and (gap >= 0.1 or val[-1] > 2 * loss[-1] + 0.05 * abs(loss[0])) else 0


def is_slow(loss: Sequence[float]) -> bool:
    """It falls all the time, little, and the second half as much as the first."""
    falls = sum(after < before for before, after in itertools.pairwise(loss))
    middle = len(loss) // 2
    first, second = loss[0] - loss[middle], loss[middle] - loss[-1]
    gain = (loss[0] - loss[-1]) / abs(loss[0]) if loss[0] else 0.0
    return falls >= 0.8 * (len(loss) - 1) and 0 < gain < 0.3 and second >= 0.6 * first


def underfits(history: Sequence[dict[str, float]], loss: Sequence[float], val: Sequence[float]) -> bool:
    """It stands still, training and validation alike, far from good."""
    if end_gain(loss) >= 0.02 or (val and val[-1] > 1.25 * loss[-1]):
        return False
    accuracy = history[-1].get("accuracy")
    return loss[-1] > 0.5 * loss[0] if accuracy is None else accuracy < 0.85


def still_improves(loss: Sequence[float]) -> bool:
    return end_gain(loss) >= 0.05 and loss[-1] == min(loss)


def end_gain(values: Sequence[float]) -> float:
    """The part of itself that a value lost over the last third of the epochs."""
    before = values[-1 - max(1, len(values) // 3)]
    return (before - values[-1]) / abs(before) if before else 0.0
