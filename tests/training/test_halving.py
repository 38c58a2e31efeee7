"""Who goes on, worked out by hand."""

import math

import pytest

from dltool.training.halving import Result, best, promotions, rungs


def results(*scores, rung=0):
    """Trials 0, 1, ... with these scores at a rung."""
    return [Result(trial, rung, score, 0.0, 1.0, 1) for trial, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (1, (1,)),
        (2, (1, 2)),
        (3, (1, 3)),
        (5, (1, 2, 5)),
        (10, (1, 3, 10)),
        (27, (1, 3, 9, 27)),
        (100, (1, 4, 11, 33, 100)),
    ],
)
def test_each_rung_is_about_three_times_as_long(epochs, expected):
    assert rungs(epochs) == expected


def test_the_best_third_goes_on_as_soon_as_it_is_known():
    assert list(promotions(results(0.5, 0.9), 3, closing=False)) == []
    assert [r.trial for r in promotions(results(0.5, 0.9, 0.7), 3, closing=False)] == [1]
    six = results(0.5, 0.9, 0.7, 0.1, 0.2, 0.8)
    assert [r.trial for r in promotions(six, 3, closing=False)] == [1, 5]
    assert [r.trial for r in promotions([*six, Result(1, 1, 0.9, 0.0, 1.0, 3)], 3, closing=False)] == [5]


def test_the_furthest_goes_first_and_nobody_beyond_the_last_rung():
    there = [*results(0.5, 0.9, 0.7, 0.6, 0.4, 0.8), *results(0.6, 0.9, 0.7, rung=1)]
    assert [(r.trial, r.rung) for r in promotions(there, 3, closing=False)] == [(1, 1), (5, 0)]
    assert [(r.trial, r.rung) for r in promotions(there, 2, closing=False)] == [(5, 0)]


def test_at_the_end_the_best_of_every_rung_goes_on_alone():
    assert [r.trial for r in promotions(results(0.5, 0.9), 2, closing=True)] == [1]
    assert list(promotions([*results(0.5, 0.9), Result(1, 1, 0.9, 0.0, 1.0, 3)], 2, closing=True)) == []


def test_equal_scores_are_told_apart_by_the_tie_then_by_age():
    equal = [Result(0, 0, 1.0, -0.3, 1.0, 1), Result(1, 0, 1.0, -0.1, 1.0, 1), Result(2, 0, 1.0, -0.1, 1.0, 1)]
    assert [r.trial for r in promotions(equal, 2, closing=False)] == [1]
    assert best(equal).trial == 1


def test_what_diverged_never_goes_on_and_is_never_best():
    nan = math.nan
    assert list(promotions(results(nan, nan, nan), 2, closing=True)) == []
    assert [r.trial for r in promotions(results(nan, nan, 0.1), 2, closing=False)] == [2]
    assert best(results(nan, 0.2, nan)).trial == 1
    assert best(results(nan)) is None and best([]) is None
