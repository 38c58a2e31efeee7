"""What evaluation counts for classes, labels and numbers: small cases by hand, larger ones against scikit-learn."""

import numpy as np
import pytest

from dltool.training.tallies import ClassTally, LabelTally, ValueTally, r_squared


def test_classes_in_batches():
    tally = ClassTally(4, 3, top=2, beta=2.0)
    tally.add(np.array([0, 1]), np.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1]], np.float32))
    tally.add(np.array([2, 1]), np.array([[0.6, 0.3, 0.1], [0.1, 0.9, 0.0]], np.float32))
    found = {name: measure.value for name, measure in tally.metrics().items()}
    assert list(found) == ["accuracy", "top_2", "macro_f1", "macro_f2", "auc", "ece"]
    assert tuple(found) == tally.names
    assert (found["accuracy"], found["top_2"]) == (0.5, 0.75)
    # F1: 2*1/(1+3), 2*1/(2+1), 0
    assert found["macro_f1"] == pytest.approx((0.5 + 2 / 3) / 3)
    # class 0: 0.7 above 0.5, 0.6, 0.1: 1; class 1: 0.4 and 0.9 over 0.2 and 0.3: 1; class 2: 0.1 ties twice, beats 0
    assert found["auc"] == pytest.approx((1 + 1 + 2 / 3) / 3)
    # one bin each: 0.7 right, 0.5 wrong, 0.6 wrong, 0.9 right
    assert found["ece"] == pytest.approx((0.3 + 0.5 + 0.6 + 0.1) / 4)
    assert tally.rows_right.tolist() == [True, False, False, True]
    assert tally.examples == {(1, 0): [1], (2, 0): [2]}


def test_two_classes_have_the_plain_area_of_the_second():
    tally = ClassTally(3, 2)
    second = np.array([0.9, 0.2, 0.3], np.float32)
    tally.add(np.array([1, 1, 0]), np.stack([1 - second, second], axis=1))
    assert tally.metrics()["auc"].value == 0.5
    assert "top_2" not in tally.metrics()


def test_labels_are_judged_one_by_one_and_all_together():
    tally = LabelTally(3, 2)
    tally.add(np.array([[1, 0], [1, 1]]), np.array([[0.9, 0.2], [0.4, 0.8]], np.float32))
    tally.add(np.array([[0, 0]]), np.array([[0.6, 0.5]], np.float32))
    found = {name: measure.value for name, measure in tally.metrics().items()}
    assert tuple(found) == tally.names
    assert found["exact_match"] == pytest.approx(1 / 3)
    assert found["label_accuracy"] == pytest.approx(4 / 6)
    # label a: one hit, one false alarm, one miss: F 1/2; label b: one hit: F 1
    assert found["macro_f1"] == pytest.approx(0.75)
    assert found["auc"] == pytest.approx((0.5 + 1) / 2)
    a, b = tally.scores(("a", "b"))
    assert (a.precision, a.recall, a.n) == (0.5, 0.5, 2)
    assert (b.precision, b.recall, b.n) == (1.0, 1.0, 1)


def test_numbers():
    tally = ValueTally(4, 1)
    tally.add(np.array([[1.0], [2.0]]), np.array([[1.0], [2.0]], np.float32))
    tally.add(np.array([[3.0], [4.0]]), np.array([[3.0], [6.0]], np.float32))
    found = tally.metrics()
    assert tuple(found) == tally.names
    assert found["mean_squared_error"].value == 1.0
    assert found["mean_absolute_error"].value == 0.5
    assert found["r2"].value == pytest.approx(1 - 4 / 5)
    # squared errors 0 0 0 4: deviation sqrt(3), error sqrt(3) / 2; what is below 0 is cut
    assert found["mean_squared_error"].low == 0.0
    assert found["mean_squared_error"].high == pytest.approx(1 + 1.959964 * np.sqrt(3) / 2)
    assert tally.row_errors.tolist() == [0, 0, 0, 4]
    assert tally.row(3) == ("4", "6")


def test_r_squared_needs_targets_that_vary():
    assert r_squared(np.ones((3, 1)), np.zeros((3, 1))) is None


def test_the_interval_of_r_squared_covers_what_resampling_gives():
    random = np.random.default_rng(0)
    truth = random.normal(size=(400, 2))
    values = truth + random.normal(size=(400, 2)) * 0.6
    draws = [r_squared(truth[rows], values[rows]).value for rows in random.integers(0, 400, (500, 400))]
    found = r_squared(truth, values)
    assert (found.high - found.low) / (2 * 1.959964) == pytest.approx(np.std(draws), rel=0.15)


@pytest.mark.interop
def test_metrics_equal_scikit_learns():
    sklearn = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(3)
    truth = random.random((150, 3)) < 0.4
    probs = np.clip(truth * 0.3 + random.random((150, 3)) * 0.7, 0, 1).astype(np.float32)
    labels = LabelTally(150, 3, beta=2.0)
    labels.add(truth, probs)
    found = {name: measure.value for name, measure in labels.metrics().items()}
    said = probs > 0.5
    assert found["exact_match"] == pytest.approx(sklearn.accuracy_score(truth, said))
    assert found["label_accuracy"] == pytest.approx(1 - sklearn.hamming_loss(truth, said))
    assert found["macro_f1"] == pytest.approx(sklearn.f1_score(truth, said, average="macro"))
    assert found["macro_f2"] == pytest.approx(sklearn.fbeta_score(truth, said, beta=2, average="macro"))
    assert found["auc"] == pytest.approx(sklearn.roc_auc_score(truth, probs, average="macro"))
    numbers = ValueTally(150, 3)
    targets = random.normal(size=(150, 3)).astype(np.float32)
    numbers.add(targets, probs)
    values = {name: measure.value for name, measure in numbers.metrics().items()}
    assert values["mean_squared_error"] == pytest.approx(sklearn.mean_squared_error(targets, probs), rel=1e-6)
    assert values["mean_absolute_error"] == pytest.approx(sklearn.mean_absolute_error(targets, probs), rel=1e-6)
    assert values["r2"] == pytest.approx(sklearn.r2_score(targets, probs), rel=1e-6)
