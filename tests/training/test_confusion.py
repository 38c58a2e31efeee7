"""Counts and intervals against numbers from the literature and by hand."""

import numpy as np
import pytest

from dltool.training.confusion import Confusion, wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_equals_newcombes_table(successes, trials, low, high):
    assert wilson_interval(successes, trials) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_wilson_interval_at_the_ends():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(20, 20)[1] == pytest.approx(1.0)


def test_confusion_counts_batches_and_scores_classes():
    # true 0: predicted 0 0 1; true 1: predicted 1; class 2 never occurs but is predicted once for true 0.
    confusion = Confusion(3)
    confusion.add(np.array([0, 0]), np.array([0, 0]))
    confusion.add(np.array([0, 1, 0]), np.array([1, 1, 2]))
    assert confusion.counts.tolist() == [[2, 1, 1], [0, 1, 0], [0, 0, 0]]
    assert (confusion.num_rows, confusion.num_right, confusion.majority) == (5, 3, 0.8)
    a, b, c = confusion.scores(("a", "b", "c"))
    assert (a.precision, a.recall, a.f1, a.n) == (1.0, 0.5, pytest.approx(2 / 3), 4)
    assert (b.precision, b.recall, b.f1, b.n) == (0.5, 1.0, pytest.approx(2 / 3), 1)
    assert (c.precision, c.recall, c.f1, c.n) == (0.0, 0.0, 0.0, 0)
