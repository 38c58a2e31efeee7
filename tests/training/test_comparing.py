"""Paired tests against binomials by hand and a published example."""

import math

import numpy as np
import pytest

from dltool.training.comparing import McNemar, binomial_half, mcnemar, paired_means


def test_rows_that_only_one_model_gets_right_are_counted():
    first, second = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 1, 1], bool)
    assert mcnemar(first, second) == McNemar(1, 2, 5)


@pytest.mark.parametrize(
    ("first", "second", "exact", "mid"),
    [
        # Fagerland, Lydersen and Laake 2013, airway hyper-responsiveness: 0.070 and 0.039
        (1, 7, 18 / 256, 10 / 256),
        (8, 1, 2 * (1 + 9) / 512, (2 * (1 + 9) - 9) / 512),
        (0, 5, 2 / 32, 1 / 32),
        (3, 3, 1.0, 1.0),
        (0, 0, 1.0, 1.0),
    ],
)
def test_p_values_are_sums_of_binomials(first, second, exact, mid):
    found = McNemar(first, second, 100)
    assert (found.p_exact, found.p_mid) == (pytest.approx(exact), pytest.approx(mid))


def test_many_disagreements_keep_their_precision():
    assert binomial_half(2000, 1000) == pytest.approx(math.comb(2000, 1000) / 2**2000, rel=1e-9)
    # The normal approximation of 5100 against 4900 in 10,000: z = 199.5 / 100 with continuity.
    assert McNemar(5100, 4900, 90_000).p_exact == pytest.approx(math.erfc(1.99 / math.sqrt(2)), rel=0.01)


def test_the_difference_has_a_paired_interval():
    found = McNemar(5, 15, 100).difference
    half = 1.959964 * math.sqrt(20 - 10 * 10 / 100) / 100
    assert (found.value, found.low, found.high) == (0.1, pytest.approx(0.1 - half), pytest.approx(0.1 + half))


def test_paired_means():
    found = paired_means(np.array([1.0, 1, 1, 1]), np.array([0.0, 0, 1, 1]))
    # mean -1/2, standard error 1/2 / 2: z = 2
    assert found.difference.value == -0.5
    assert found.p == pytest.approx(0.0455, abs=5e-5)
    assert paired_means(np.ones(3), np.ones(3)).p == 1.0
