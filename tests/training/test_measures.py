"""Intervals against numbers from the literature and by hand."""

import math

import numpy as np
import pytest

from dltool.training.measures import mean, proportion, wilson_interval, with_influences


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
    assert proportion(0, 0).value == 0.0


def test_a_mean_has_the_interval_of_its_standard_error():
    found = mean(np.array([1.0, 2.0, 3.0, 6.0]))
    # deviations -2 -1 0 3: variance 14/4, error of the mean sqrt(14/4/4)
    half = 1.959964 * math.sqrt(14) / 4
    assert (found.value, found.low, found.high) == (3.0, pytest.approx(3 - half), pytest.approx(3 + half))
    assert mean(np.array([0.0, 0.0, 1.0]), 0.0, 1.0).low == 0.0


def test_there_is_no_interval_where_nothing_varies():
    assert (mean(np.ones(5)).low, with_influences(1.0, np.zeros(3)).high) == (None, None)
