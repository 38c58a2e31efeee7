"""Counts and scores by hand, and against scikit-learn."""

import numpy as np
import pytest

from dltool.training.confusion import Confusion


def filled(counts) -> Confusion:
    confusion = Confusion(len(counts))
    confusion.counts[...] = counts
    return confusion


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


def test_f_beta_counts_recall_beta_times():
    a, b, _ = filled([[2, 1, 1], [0, 1, 0], [0, 0, 0]]).scores(("a", "b", "c"), beta=2)
    # (1 + 4) p r / (4 p + r)
    assert a.f_beta == pytest.approx(5 * 1.0 * 0.5 / (4 * 1.0 + 0.5))
    assert b.f_beta == pytest.approx(5 * 0.5 * 1.0 / (4 * 0.5 + 1.0))


def test_macro_f_and_its_interval_by_hand():
    found = filled([[2, 1], [0, 1]]).macro_f()
    assert found.value == pytest.approx((4 / 5 + 2 / 3) / 2)
    # What a row of each cell adds: (2 - 2 * 0.8) / 10, -0.8 / 10 - (2/3) / 6, (2 - 2 * 2/3) / 6; there are 2, 1, 1.
    spread = np.sqrt(2 * 0.04**2 + (0.08 + 1 / 9) ** 2 + (1 / 9) ** 2)
    assert found.low == pytest.approx(found.value - 1.959964 * spread)
    assert found.high == 1.0


def test_macro_f_leaves_out_classes_that_never_occur():
    assert filled([[3, 0, 0], [0, 2, 0], [0, 0, 0]]).macro_f().value == 1.0
    assert filled([[0, 0], [0, 0]]).macro_f().value == 0.0


def test_the_interval_of_macro_f_covers_what_resampling_gives():
    random = np.random.default_rng(0)
    counts = np.array([[50, 6, 4], [3, 20, 7], [1, 2, 9]])
    draws = random.multinomial(counts.sum(), counts.reshape(-1) / counts.sum(), 2000).reshape(-1, 3, 3)
    values = [filled(draw).macro_f(2.0).value for draw in draws]
    found = filled(counts).macro_f(2.0)
    assert (found.high - found.low) / (2 * 1.959964) == pytest.approx(np.std(values), rel=0.1)


@pytest.mark.interop
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_scores_equal_scikit_learns(beta):
    sklearn = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(1)
    true = random.integers(0, 4, 200)
    predicted = np.where(random.random(200) < 0.6, true, random.integers(0, 5, 200))
    confusion = Confusion(6)
    confusion.add(true, predicted)
    scores = confusion.scores(tuple("abcdef"), beta)
    p, r, f, n = sklearn.precision_recall_fscore_support(true, predicted, beta=beta, labels=range(6), zero_division=0.0)
    for name, expected in (("precision", p), ("recall", r), ("f_beta", f), ("n", n)):
        np.testing.assert_allclose([getattr(s, name) for s in scores], expected)
    macro = sklearn.fbeta_score(true, predicted, beta=beta, average="macro", zero_division=0.0)
    assert confusion.macro_f(beta).value == pytest.approx(macro)
    assert confusion.counts.tolist() == sklearn.confusion_matrix(true, predicted, labels=range(6)).tolist()
