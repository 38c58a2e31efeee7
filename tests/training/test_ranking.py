"""Areas under the ROC curve and top-k hits, by hand and against scikit-learn."""

import numpy as np
import pytest

from dltool.training.ranking import in_top, midranks, roc_auc


def area(truth, scores):
    return roc_auc(np.array(truth, bool)[:, None], np.array(scores, np.float32)[:, None])


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    found = area([1, 1, 0, 0], [0.9, 0.4, 0.5, 0.1])
    assert found.value == 0.75
    # DeLong: both groups have components 1 and 1/2, variance 1/8 each, over 2 rows each.
    assert found.low == pytest.approx(0.75 - 1.959964 * np.sqrt(1 / 16 + 1 / 16))
    assert found.high == 1.0


def test_ties_count_half():
    assert area([1, 0, 0, 1], [0.5, 0.5, 0.5, 0.5]).value == 0.5
    assert area([1, 0, 1], [0.5, 0.5, 0.9]).value == 0.75
    assert midranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1, 3.5, 2]


def test_columns_without_both_kinds_of_rows_do_not_count():
    truth = np.array([[1, 0], [0, 0], [1, 0]], bool)
    assert roc_auc(truth, np.array([[0.9, 0.1], [0.1, 0.5], [0.8, 0.2]])).value == 1.0
    assert roc_auc(truth[:, 1:], np.zeros((3, 1))) is None


def test_in_top_counts_equal_probabilities_in_the_order_of_the_classes():
    probs = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [0.4, 0.2, 0.4]])
    true = np.array([2, 0, 2])
    assert in_top(true, probs, 1).tolist() == [False, True, False]
    assert in_top(true, probs, 2).tolist() == [True, True, True]
    assert in_top(np.array([0]), np.array([[0.1, 0.1, 0.8]]), 2).tolist() == [True]


@pytest.mark.interop
def test_areas_and_top_k_equal_scikit_learns():
    sklearn = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(2)
    true = random.integers(0, 4, 300)
    probs = random.dirichlet(np.ones(4), 300).round(2)
    probs[np.arange(300), true] += 0.2
    probs /= probs.sum(axis=1, keepdims=True)
    ours = roc_auc(true[:, None] == np.arange(4), probs).value
    assert ours == pytest.approx(sklearn.roc_auc_score(true, probs, multi_class="ovr"), abs=1e-12)
    binary = roc_auc((true == 1)[:, None], probs[:, 1:2]).value
    assert binary == pytest.approx(sklearn.roc_auc_score(true == 1, probs[:, 1]), abs=1e-12)
    plain = random.random((300, 4))
    assert in_top(true, plain, 2).mean() == sklearn.top_k_accuracy_score(true, plain, k=2)
