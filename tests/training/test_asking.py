"""Which rows are worth asking, by hand."""

import numpy as np
import pytest

from dltool.training.asking import margins, most_doubtful, spread, unit_length


def test_the_margin_is_the_lead_of_the_best_class():
    probs = np.array([[0.5, 0.3, 0.2], [0.1, 0.45, 0.45], [0.0, 1.0, 0.0]])
    assert margins(probs) == pytest.approx([0.2, 0.0, 1.0])
    assert margins(np.array([[0.3, 0.7]])) == pytest.approx([0.4])


def test_the_smallest_margins_come_first_and_equals_in_their_order():
    assert most_doubtful(np.array([0.3, 0.1, 0.9, 0.1]), 3).tolist() == [1, 3, 0]
    assert most_doubtful(np.array([0.3, 0.1]), 9).tolist() == [1, 0]


def test_each_further_row_is_the_farthest_from_all_before():
    points = np.array([[0.0], [1.0], [10.0], [5.0], [4.0]])
    # 10 is farthest from 0; then 5 (5 away from both) before 4 (4 away from 0); then 4 and 1, both 1 away from another.
    assert spread(points, 5).tolist() == [0, 2, 3, 1, 4]
    assert spread(points, 2).tolist() == [0, 2]
    assert spread(points, 9).tolist() == [0, 2, 3, 1, 4]


def test_rows_that_are_the_same_are_asked_once_before_any_is_asked_twice():
    points = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert spread(points, 2).tolist() == [0, 2]
    assert sorted(spread(points, 4).tolist()) == [0, 1, 2, 3]


def test_the_farthest_first_choice_is_within_twice_the_best_radius():
    random = np.random.default_rng(0)
    points = random.normal(size=(12, 2))

    def radius(chosen):
        return np.linalg.norm(points[:, None] - points[chosen][None], axis=2).min(axis=1).max()

    best = min(radius([a, b, c]) for a in range(12) for b in range(a) for c in range(b))
    assert radius(spread(points, 3)) <= 2 * best + 1e-6


def test_lengths_become_1_and_zeros_stay():
    assert unit_length(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [
        [pytest.approx(0.6), pytest.approx(0.8)],
        [0, 0],
    ]
