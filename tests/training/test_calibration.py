"""The expected calibration error and the temperature, by hand."""

import math

import numpy as np
import pytest

from dltool.training.calibration import Calibration, calibration_error, fit_temperature, log_loss, tempered


def test_each_bin_compares_confidence_with_accuracy():
    calibration = Calibration()
    # 0.95 and 0.97 share the last of 15 bins: mean confidence 0.96, accuracy 1/2; 0.9 and 0.52 have bins of their own.
    calibration.add(np.array([0.95, 0.9]), np.array([True, False]))
    calibration.add(np.array([0.52, 0.97]), np.array([True, False]))
    expected = 2 / 4 * abs(0.5 - 0.96) + 1 / 4 * 0.9 + 1 / 4 * 0.48
    assert calibration.error == pytest.approx(expected)


def test_a_bins_upper_edge_belongs_to_it():
    calibration = Calibration()
    calibration.add(np.array([3 / 15, 3 / 15 - 0.01, 1.0, 0.0]), np.array([True, False, True, False]))
    # The first two share bin 2: accuracy 1/2, mean confidence 0.195.
    assert calibration.error == pytest.approx(2 / 4 * abs(0.5 - 0.195))


def test_nothing_has_no_error():
    assert Calibration().error == 0.0


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_a_temperature_divides_the_logits():
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]])
    assert tempered(softmax(logits), 2.0) == pytest.approx(softmax(logits / 2), rel=1e-12)
    probs = softmax(logits).astype(np.float32)
    assert tempered(probs, 1.0) is probs
    # (0.8, 0.2) at 1/2: 0.64 and 0.04, over their sum.
    assert tempered(np.array([[0.8, 0.2]]), 0.5)[0] == pytest.approx([16 / 17, 1 / 17])


def test_probabilities_of_0_stay_finite_and_classes_keep_their_order():
    probs = np.array([[1.0, 0.0], [0.5, 0.5]], np.float32)
    found = tempered(probs, 3.0)
    assert np.isfinite(found).all() and found.sum(axis=1) == pytest.approx(1)
    assert found[0, 0] > 0.99
    wide = softmax(np.random.default_rng(0).normal(size=(50, 7)))
    assert (np.argsort(tempered(wide, 4.2)) == np.argsort(wide)).all()


def test_the_temperature_that_spoilt_the_probabilities_is_found():
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, 5))
    true = softmax(logits)
    labels = (random.random((4000, 1)) > true.cumsum(axis=1)).sum(axis=1)
    for spoilt in (0.4, 1.0, 2.5):
        probs = softmax(logits / spoilt)
        found = fit_temperature(probs, labels)
        assert found == pytest.approx(1 / spoilt, rel=0.05)
        right = probs.argmax(axis=1) == labels
        after = calibration_error(tempered(probs, found).max(axis=1), right)
        assert after < 0.02
        if spoilt != 1:
            assert after < calibration_error(probs.max(axis=1), right) / 2
            assert log_loss(tempered(probs, found), labels) < log_loss(probs, labels)


def test_the_temperature_of_two_classes_by_hand():
    # 3 of 4 rows right, each with odds of r to 1. b = 1/T is where 4 r^b/(1 + r^b) log r - 3 log r + 1 - 1/b = 0.
    probs = np.array([[0.9, 0.1]] * 4)
    labels = np.array([0, 0, 0, 1])
    inverse = 1 / fit_temperature(probs, labels)
    odds = 9**inverse
    slope = 4 * odds / (1 + odds) * math.log(9) - 3 * math.log(9) + 1 - 1 / inverse
    assert slope == pytest.approx(0, abs=1e-3)


def test_few_rows_that_are_all_right_do_not_ask_for_certainty():
    probs = np.array([[0.8, 0.1, 0.1]] * 5)
    assert 0.25 < fit_temperature(probs, np.zeros(5, int)) < 1
    sure = np.array([[1.0, 0.0]] * 100, np.float32)
    assert fit_temperature(sure, np.zeros(100, int)) == pytest.approx(1, abs=1e-3)


def test_rows_that_are_all_wrong_give_the_flattest_temperature_at_most():
    sure = np.array([[1.0, 0.0, 0.0]] * 1000, np.float32)
    assert 5 < fit_temperature(sure, np.ones(1000, int)) <= 20.01


def test_thousands_of_rows_are_the_same_as_some():
    random = np.random.default_rng(1)
    probs = softmax(random.normal(size=(5000, 3)))
    labels = random.integers(0, 3, 5000)
    expected = -np.log(probs[np.arange(5000), labels]).mean()
    assert log_loss(probs, labels) == pytest.approx(expected)
