"""Thresholds, expected precision and drift, with numbers worked out by hand or in the literature."""

import math

import numpy as np
import pytest

from dltool.errors import UsageError
from dltool.training.pseudo_labels import (
    Precision,
    Scores,
    accepted,
    differ,
    drift,
    drifts,
    find_thresholds,
    given_thresholds,
    jensen_shannon,
    lowest_threshold,
    precisions,
    rows_needed,
    together,
)


def test_the_lowest_threshold_lets_as_much_through_as_the_precision_allows():
    # (k + 1) / (n + 2) downward: 2/3, 3/4, 4/5, 5/6, then a wrong row: 5/7, then 6/8, 7/9, wrong: 7/10.
    confidence = np.array([0.9, 0.8, 0.95, 0.7, 0.6, 0.5, 0.4, 0.3])
    right = np.array([True, True, True, True, False, True, True, False])
    assert lowest_threshold(confidence, right, 0.83) == 0.7
    assert lowest_threshold(confidence, right, 0.77) == 0.4
    assert lowest_threshold(confidence, right, 0.70) == 0.3
    assert lowest_threshold(confidence, right, 0.90) == math.inf


def test_rows_of_equal_confidence_are_accepted_together():
    confidence = np.array([1.0, 1.0, 1.0, 1.0])
    assert lowest_threshold(confidence, np.array([True, True, True, False]), 0.75) == math.inf
    assert lowest_threshold(confidence, np.array([True, True, True, False]), 0.66) == 1.0


def test_rows_needed_is_where_all_right_is_just_enough():
    assert rows_needed(0.5) == rows_needed(0.9) == 30
    assert rows_needed(0.99) == 98 and (98 + 1) / (98 + 2) >= 0.99 > 98 / 99
    assert rows_needed(0.999) == 998


def test_classes_with_few_rows_take_the_threshold_of_all_together():
    # Class 0: 40 rows, sure above 0.6. Class 1: 5 rows, too few for a threshold of their own.
    zero = np.linspace(0.99, 0.51, 40)
    one = np.array([0.95, 0.9, 0.85, 0.8, 0.75])
    scores = Scores(np.repeat([0, 1], [40, 5]), np.concatenate([zero, one]))
    right = np.concatenate([zero > 0.6, np.ones(5, bool)])
    found = find_thresholds(scores, right, 2, 0.9)
    assert found[0] == lowest_threshold(zero, right[:40], 0.9)
    assert found[1] == lowest_threshold(scores.confidence, right, 0.9)
    assert found[0] != found[1]


def test_few_rows_of_a_class_that_speak_against_it_keep_it_from_the_common_threshold():
    predicted = np.repeat([0, 1, 2], [100, 20, 20])
    confidence = np.tile(np.linspace(0.99, 0.9, 20), 7)
    right = np.ones(140, bool)
    right[100:111] = False  # 9 of 20 right: Wilson's interval is 0.26 to 0.66
    right[120:124] = False  # 16 of 20 right: 0.58 to 0.92
    found = find_thresholds(Scores(predicted, confidence), right, 3, 0.7)
    assert found[1] == math.inf
    assert found[2] == found[0] == confidence.min()


def test_thresholds_as_typed():
    assert given_thresholds("0.9", ("cat", "dog")).tolist() == [0.9, 0.9]
    assert given_thresholds("dog=0.8", ("cat", "dog")).tolist() == [math.inf, 0.8]
    for text, message in (
        ("dgo=0.8", "did you mean 'dog'"),
        ("1.5", "'1.5' is not a probability"),
        ("cat=x", "'x' is not a probability"),
        ("nan", "'nan' is not a probability"),
    ):
        with pytest.raises(UsageError, match=message):
            given_thresholds(text, ("cat", "dog"))


def test_rows_are_accepted_by_their_own_class_and_the_surest_first_under_a_cap():
    scores = Scores(np.array([0, 0, 0, 1, 1]), np.array([0.9, 0.7, 0.8, 0.6, 0.99]))
    assert accepted(scores, np.array([0.75, 0.5])).tolist() == [0, 2, 3, 4]
    assert accepted(scores, np.array([0.75, 0.5]), most=1).tolist() == [0, 4]
    assert accepted(scores, np.array([math.inf, 0.95])).tolist() == [4]


def test_the_expected_precision_is_laplaces_rule_pulled_to_the_others():
    scores = Scores(np.array([0, 0, 0, 1]), np.array([0.9, 0.8, 0.2, 0.9]))
    found = precisions(scores, np.array([True, False, True, True]), np.array([0.5, 0.5]))
    assert [(p.right, p.total, p.value) for p in found] == [(1, 2, 0.5), (1, 1, 1.0)]
    prior = together(found).expected(0.5)
    assert prior == pytest.approx((2 + 1) / (3 + 2))
    assert found[1].expected(prior) == pytest.approx((1 + 2 * 0.6) / 3)
    assert Precision(0, 0).value is None and Precision(0, 0).expected(prior) == pytest.approx(prior)
    # Wilson's interval of 8 in 10, as in the tests of evaluate.
    assert Precision(8, 10).interval == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_jensen_shannon_is_0_for_the_same_and_1_bit_for_nothing_in_common():
    assert jensen_shannon(np.array([5, 5]), np.array([50, 50])) == 0
    assert jensen_shannon(np.array([5, 0]), np.array([0, 9])) == 1
    # P = (1/2, 1/2), Q = (1, 0), M = (3/4, 1/4): H(M) - H(P)/2 - H(Q)/2 = 0.8112781 - 0.5
    assert jensen_shannon(np.array([1, 1]), np.array([1, 0])) == pytest.approx(0.3112781, abs=1e-7)
    # The comment of the limit: ten classes of 7 % and 13 % against equal ones.
    assert jensen_shannon(np.repeat([7, 13], 5), np.full(10, 10)) == pytest.approx(0.017, abs=1e-3)


def test_the_chi_square_test_at_one_in_a_thousand():
    # 2 x 2: the statistic is n (ad - bc)^2 / (rows and columns); the 99.9 % quantile of 1 degree is 10.83.
    assert differ(np.array([60, 40]), np.array([36, 64]))  # 11.54
    assert not differ(np.array([60, 40]), np.array([38, 62]))  # 9.68
    # 9 degrees: 27.88. Equal totals: the sum of (a - b)^2 / (a + b), 5 (d^2 / (200 + d) + d^2 / (200 - d)) here.
    assert differ(np.full(10, 100), 100 + np.tile([25, -25], 5))  # 31.7
    assert not differ(np.full(10, 100), 100 + np.tile([20, -20], 5))  # 20.2
    assert not differ(np.array([10, 0]), np.array([99, 0]))


def test_the_chi_square_test_errs_about_once_in_a_thousand():
    random = np.random.default_rng(0)
    draws = [differ(*random.multinomial(500, np.full(10, 0.1), size=2)) for _ in range(4000)]
    assert sum(draws) <= 12  # 4 expected; Poisson: P(more than 12) is 1 in 3,600


def test_drift_needs_a_large_and_a_certain_difference():
    assert not drift("classes", np.array([50, 50]), np.array([5100, 4900])).is_warned
    assert drift("classes", np.array([50, 50]), np.array([9000, 1000])).is_warned
    small = drift("classes", np.array([50_000, 50_000]), np.array([51_000, 49_000]))
    assert small.is_significant and not small.is_warned
    few = drift("classes", np.array([3, 1]), np.array([1, 3]))
    assert few.divergence > 0.02 and not few.is_warned


def test_a_pool_that_looks_alike_is_not_warned_of_and_a_shifted_one_is():
    random = np.random.default_rng(1)

    def scores(count, weights=None, confidence=8):
        return Scores(random.choice(4, count, p=weights), random.beta(confidence, 1, count))

    validation = scores(500)
    assert [d.is_warned for d in drifts(validation, scores(5000), 4)] == [False, False]
    assert [d.is_warned for d in drifts(validation, scores(5000, [0.7, 0.1, 0.1, 0.1]), 4)] == [True, False]
    assert [d.is_warned for d in drifts(validation, scores(5000, confidence=3), 4)] == [False, True]
    assert [d.what for d in drifts(validation, validation, 4)] == ["predicted classes", "confidence"]
