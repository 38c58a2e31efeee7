"""The threshold between two classes, against trying all of them."""

import numpy as np
import pytest

from dltool.training.thresholds import best_threshold


def mean_f1(truth: np.ndarray, said: np.ndarray) -> float:
    scores = []
    for one in (True, False):
        right = ((truth == one) & (said == one)).sum()
        every = (truth == one).sum() + (said == one).sum()
        scores.append(2 * right / every if every else 0.0)
    return sum(scores) / 2


def test_it_is_the_best_of_all_that_can_be_told_apart():
    rng = np.random.default_rng(0)
    for _ in range(50):
        truth = rng.random(40) < 0.2
        probs = np.round(np.clip(truth * 0.2 + rng.random(40) * 0.5, 0, 1), 2)
        found, score, before = best_threshold(truth, probs)
        tried = [mean_f1(truth, probs >= threshold) for threshold in np.linspace(0, 1, 401)]
        assert score == pytest.approx(max(tried)) == pytest.approx(mean_f1(truth, probs >= found))
        assert before == pytest.approx(mean_f1(truth, probs >= 0.5))


def test_one_half_stays_where_it_is_as_good_as_any():
    assert best_threshold(np.array([False, True]), np.array([0.1, 0.9])) == (0.5, 1.0, 1.0)


def test_it_lies_halfway_between_two_probabilities():
    truth, probs = np.array([False, False, True, True]), np.array([0.1, 0.2, 0.3, 0.4])
    assert best_threshold(truth, probs) == (pytest.approx(0.25), 1.0, pytest.approx(1 / 3))


def test_one_class_alone_gives_an_answer_too():
    found, score, _ = best_threshold(np.zeros(3, bool), np.array([0.6, 0.7, 0.8]))
    assert found > 0.8 and score == 0.5
