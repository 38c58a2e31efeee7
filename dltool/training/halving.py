"""Successive halving: many trials are trained a little, the best third of them three times as long, and so on.

Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning" (2020), algorithm 2, with one worker: a trial
goes on as soon as it is in the best third of what has come as far. So a search can be ended at any moment, and what is
done next depends on nothing but the results. Deviation: when no new trial begins any more, the best one of every rung
goes on even where fewer than three have come so far, so that one trial reaches the last rung. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

FACTOR = 3


@dataclass(frozen=True)
class Result:
    """A trial that has come to the end of a rung.

    Attributes:
        trial: its number, from 0. rung: from 0.
        score: what trials are compared by, the greater the better; NaN where the training diverged.
        tie: decides between equal scores, the greater the better.
        seconds: that this rung of the trial took, for ``epochs`` more epochs.
    """

    trial: int
    rung: int
    score: float
    tie: float
    seconds: float
    epochs: int

    @property
    def rank(self) -> tuple[float, float, int]:
        """Sorts the best first, then the older."""
        score, tie = (-math.inf if math.isnan(value) else value for value in (self.score, self.tie))
        return -score, -tie, self.trial


def rungs(epochs: int) -> tuple[int, ...]:
    """How far trials have come at the end of each rung, in epochs.

    >>> rungs(10), rungs(27), rungs(2), rungs(1)
    ((1, 3, 10), (1, 3, 9, 27), (1, 2), (1,))
    """
    found = [epochs]
    while (fewer := max(round(found[0] / FACTOR), min(1, found[0] - 1))) >= 1:
        found.insert(0, fewer)
    return tuple(found)


def promotions(results: Sequence[Result], num_rungs: int, closing: bool) -> Iterator[Result]:
    """The trials that may go on, the furthest first; each is given by its last result.

    Args:
        closing: no new trials will begin.
    """
    for rung in reversed(range(num_rungs - 1)):
        here = sorted((r for r in results if r.rung == rung), key=lambda r: r.rank)
        ahead = {r.trial for r in results if r.rung == rung + 1}
        count = len(here) // FACTOR
        for result in here[: max(1, count) if closing else count]:
            if result.trial not in ahead and not math.isnan(result.score):
                yield result


def best(results: Sequence[Result]) -> Result | None:
    """The best of all; of a trial's results the best, of equal ones the earliest. None while all have diverged."""
    finite = [result for result in results if not math.isnan(result.score)]
    return min(finite, key=lambda r: (*r.rank, r.rung), default=None)
