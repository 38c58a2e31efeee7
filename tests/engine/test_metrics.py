"""Metrics: the numbers that Keras recorded, small cases by hand, and messages."""

import json

import numpy as np
import pytest

from dltool.engine.metrics import AUC, METRICS, Accuracy, F1Score, FBetaScore, Precision, Recall, metric
from dltool.errors import DataError, UnknownNameError, UsageError


def after(found, y_true, y_pred, weights=None):
    found.update(np.asarray(y_true), np.asarray(y_pred, np.float32), weights)
    return found.result()


BY_HAND = {
    "crossentropy",
    "squared_hinge",
    "categorical_hinge",
    "poisson",
    "pearson_correlation",
    "concordance_correlation",
    "recall_at_precision",
    "specificity_at_sensitivity",
    "io_u",
    "mean_io_u",
    "one_hot_io_u",
    "one_hot_mean_io_u",
}
"""Metrics that are not among the recorded ones."""


def test_recorded_keras_metrics(shared):
    """Two batches of ten rows, with and without weights, as Keras 3 counted them."""
    folder = shared / "keras" / "golden"
    arrays = np.load(folder / "metrics.npz")
    checked = set()
    for case in json.loads((folder / "metrics.json").read_text()):
        found = metric({"class_name": case["metric"], "config": case["config"]})
        y_true, y_pred = arrays[case["set"] + ":y_true"], arrays[case["set"] + ":y_pred"]
        for rows in (slice(0, 10), slice(10, 20)):
            found.update(y_true[rows], y_pred[rows], arrays["sw"][rows] if case["weighted"] else None)
        # Keras 3 cuts sample weights down to whole numbers here.
        wanted = np.asarray(case["tf_keras" if case["metric"] == "BinaryIoU" else "keras3"])
        got = found.scores() if wanted.ndim else found.result()
        atol = 1e-6 * max(1.0, float(np.abs(wanted).max()))
        np.testing.assert_allclose(got, wanted, atol=atol, err_msg=f"{case['metric']} {case['config']}")
        checked.add(METRICS.canonical(case["metric"]))
    assert checked == set(METRICS.names()) - {"accuracy"} - BY_HAND


@pytest.mark.parametrize(
    ("y_true", "y_pred", "expected"),
    [
        pytest.param([0, 1, 1, 1], [[0.1], [0.9], [0.5], [0.6]], 0.75, id="binary: 0.5 itself says no"),
        pytest.param([[0], [1]], [[0.7], [0.9]], 0.5, id="binary with last axis"),
        pytest.param([2, 0], [[0.1, 0.2, 0.7], [0.2, 0.5, 0.3]], 0.5, id="class indices"),
        pytest.param([[2], [1]], [[0.1, 0.2, 0.7], [0.2, 0.5, 0.3]], 1.0, id="class indices with last axis"),
        pytest.param([[0, 0, 1], [1, 0, 0]], [[0.1, 0.2, 0.7], [0.2, 0.5, 0.3]], 0.5, id="one-hot"),
        pytest.param([[0, 1], [1, 1]], [[[0.9, 0.1]] * 2] * 2, 0.25, id="one label per position"),
    ],
)
def test_accuracy_decides_by_output_and_targets(y_true, y_pred, expected):
    assert after(metric("accuracy"), y_true, y_pred) == expected


def test_weights_divide_by_their_sum():
    # right, wrong, right with weights 1, 2, 5: 6 of 8.
    assert after(Accuracy(), [0, 1, 1], [[0.1], [0.2], [0.8]], np.array([1, 2, 5])) == 0.75


def test_top_k_counts_ties_as_right():
    y_pred = [[0.4, 0.3, 0.3, 0.0]] * 4
    top_2 = metric({"class_name": "SparseTopKCategoricalAccuracy", "config": {"k": 2}})
    assert after(top_2, [0, 1, 2, 3], y_pred) == 0.75
    assert metric("top_k_categorical_accuracy").k == 5


def test_top_k_of_a_nan_is_wrong():
    assert after(metric("sparse_top_k_categorical_accuracy"), [0], [[np.nan, 0.1]]) == 0.0


def test_precision_recall_and_f_by_hand():
    y_true, y_pred = [1, 1, 1, 0, 0], [[0.9], [0.8], [0.1], [0.7], [0.2]]  # 2 hits, 1 false alarm, 1 miss
    assert after(Precision(), y_true, y_pred) == pytest.approx(2 / 3)
    assert after(Recall(), y_true, y_pred) == pytest.approx(2 / 3)
    assert after(Recall(thresholds=[0.85]), y_true, y_pred) == pytest.approx(1 / 3)
    # precision 1, recall 1/3 at threshold 0.85: F2 = 5 * 1/3 / (4 + 1/3) = 5/13
    assert after(FBetaScore(beta=2.0, threshold=0.85), y_true, y_pred) == pytest.approx(5 / 13, abs=1e-6)
    assert after(F1Score(), y_true, y_pred) == pytest.approx(2 / 3, abs=1e-6)


def test_f1_without_average_is_the_mean_over_classes():
    # class 0: hit, missed once -> F 2/3; class 1: hit, one false alarm -> F 2/3; class 2 never occurs -> 0
    f1 = F1Score()
    result = after(f1, [0, 0, 1], np.eye(3)[[0, 1, 1]])
    np.testing.assert_allclose(f1.scores(), [2 / 3, 2 / 3, 0], atol=1e-6)
    assert result == pytest.approx(4 / 9, abs=1e-6)


def test_auc_by_hand():
    # Of the 4 pairs (positive, negative) 3 are in order: the ROC area is 3/4.
    assert after(AUC(), [1, 1, 0, 0], [[0.9], [0.4], [0.6], [0.1]]) == pytest.approx(0.75)
    assert after(AUC(), [1, 1, 0, 0], [[0.9], [0.8], [0.2], [0.1]]) == pytest.approx(1.0)


def test_auc_with_given_thresholds():
    # Thresholds below 0, 0.5, above 1: (fpr, tpr) = (1,1), (1/2,1/2), (0,0): area 1/2.
    given = AUC(thresholds=(0.5,))
    assert given.num_thresholds == 3
    assert after(given, [1, 1, 0, 0], [[0.9], [0.5], [0.6], [0.1]]) == pytest.approx(0.5)


def test_auc_takes_nan_as_no():
    assert after(AUC(), [1, 0], [[np.nan], [0.5]]) == 0.0


@pytest.mark.parametrize(("name", "expected"), [("mae", 1.5), ("mse", 2.5)])
def test_errors_of_numbers(name, expected):
    assert after(metric(name), [1.0, 2.0], [[2.0], [4.0]]) == expected
    assert not metric(name).higher_is_better


@pytest.mark.parametrize("name", METRICS.names())
def test_nothing_counted_is_zero(name):
    assert metric(name).result() == 0.0


def test_metric_is_found_by_name_class_and_config():
    assert metric("acc").name == "accuracy"
    assert metric("f1") == metric("F1Score") == F1Score()
    named = metric({"class_name": "AUC", "config": {"name": "roc", "dtype": "float32", "multi_label": False}})
    assert named.name == "roc"
    assert metric(named) is named


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"class_name": "AUC", "config": {"label_weights": [1, 2]}}, r"metric auc: label_weights=\[1, 2\] is not"),
        ({"class_name": "AUC", "config": {"curve": "XY"}}, "curve 'XY'; use ROC or PR"),
        ({"class_name": "AUC", "config": {"num_thresholds": 1}}, "num_thresholds is 1; give at least 2"),
        ({"class_name": "AUC", "config": {"summation_method": "x"}}, "summation_method 'x'; use interpolation"),
        ({"class_name": "Recall", "config": {"thresholds": [0.2, 0.5]}}, "metric recall: 2 thresholds; give one"),
        ({"class_name": "F1Score", "config": {"beta": 2}}, "metric f1_score: beta=2 is not supported"),
        ({"class_name": "F1Score", "config": {"average": "all"}}, "average 'all'; use macro, weighted or micro"),
        ({"class_name": "Precision", "config": {"depth": 2}}, "metric precision: has no option 'depth'"),
    ],
)
def test_unsupported_configs_are_refused_by_name(value, message):
    with pytest.raises(UsageError, match=message):
        metric(value)


def test_unknown_metric_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match="did you mean 'accuracy'"):
        metric("acuracy")


@pytest.mark.parametrize("name", ["accuracy", "precision", "mae"])
def test_targets_that_do_not_fit_are_refused(name):
    with pytest.raises(DataError, match=r"targets of shape \(2, 2\) do not fit outputs of shape \(2, 3\)"):
        after(metric(name), [[0, 1], [1, 0]], np.zeros((2, 3)))


def configured(name, **config):
    return metric({"class_name": name, "config": config})


def test_crossentropy_decides_by_the_outputs():
    assert after(metric("crossentropy"), [1, 0], [[0.5], [0.2]]) == pytest.approx(-np.log([0.5, 0.8]).mean())
    assert after(metric("ce"), [1, 0], [[0.3, 0.7], [0.9, 0.1]]) == pytest.approx(-np.log([0.7, 0.9]).mean())


def test_margins_and_counts_by_hand():
    # labels 0 and 1 count as -1 and 1: margins 1 - 0.5, 1 + 0.2 -> squares 0.25 and 1.44
    assert after(metric("squared_hinge"), [[1.0], [0.0]], [[0.5], [0.2]]) == pytest.approx((0.25 + 1.44) / 2)
    # the right output has 0.2, the largest wrong one 0.7
    assert after(metric("categorical_hinge"), [[0, 1, 0]], [[0.7, 0.2, 0.1]]) == pytest.approx(1.5)
    # 2 - 1 * ln(2), 1 - 0
    assert after(metric("poisson"), [[1.0], [0.0]], [[2.0], [1.0]]) == pytest.approx((2 - np.log(2) + 1) / 2)


def test_correlations_by_hand():
    y_true, y_pred = [[1.0, 2.0, 3.0]], [[3.0, 4.0, 8.0]]  # spreads 2/3 and 14/3, together 5/3, means 2 and 5
    assert after(metric("pearson_correlation"), y_true, y_pred) == pytest.approx(5 / np.sqrt(28))
    assert after(metric("concordance_correlation"), y_true, y_pred) == pytest.approx((10 / 3) / (2 / 3 + 14 / 3 + 9))
    assert after(metric("pearson_correlation"), [[1.0, 1.0]], [[0.0, 2.0]]) == 0.0  # nothing varies


def test_operating_points_by_hand():
    y_true, y_pred = [1, 0, 1, 0, 1], [[0.95], [0.85], [0.55], [0.35], [0.15]]
    # above 0.95 nothing, above 0.9 one hit, above 0.5 two hits and one false alarm, above 0.1 all
    assert after(configured("RecallAtPrecision", precision=0.9), y_true, y_pred) == pytest.approx(1 / 3)
    assert after(configured("RecallAtPrecision", precision=0.65), y_true, y_pred) == pytest.approx(2 / 3)
    assert after(configured("PrecisionAtRecall", recall=1.0), y_true, y_pred) == pytest.approx(3 / 5)
    assert after(configured("SpecificityAtSensitivity", sensitivity=0.6), y_true, y_pred) == pytest.approx(1 / 2)
    assert after(configured("SensitivityAtSpecificity", specificity=1.0), y_true, y_pred) == pytest.approx(1 / 3)
    assert after(configured("RecallAtPrecision", precision=0.9), [0, 1], [[0.9], [0.1]]) == 0.0  # never that good


def test_overlaps_by_hand():
    # truth 0 0 1 2, guesses 0 1 1 1: class 0 has 1 of 2, class 1 has 1 of 3, class 2 has 0 of 1
    y_true, guesses = [0, 0, 1, 2], [0, 1, 1, 1]
    rows = np.eye(3)[guesses]
    assert after(configured("MeanIoU", num_classes=3, sparse_y_pred=False), y_true, rows) == pytest.approx(5 / 18)
    assert after(configured("MeanIoU", num_classes=3), y_true, np.array(guesses)[:, None]) == pytest.approx(5 / 18)
    picked = configured("IoU", num_classes=3, target_class_ids=[1], sparse_y_pred=False)
    assert after(picked, y_true, rows) == pytest.approx(1 / 3)
    assert after(configured("OneHotMeanIoU", num_classes=4), np.eye(4)[y_true], np.eye(4)[guesses]) == pytest.approx(
        5 / 18  # class 3 occurs nowhere and does not count
    )
    picked = configured("OneHotIoU", num_classes=3, target_class_ids=[0, 2])
    assert after(picked, np.eye(3)[y_true], rows) == pytest.approx(1 / 4)
    with pytest.raises(DataError, match="a class beyond 0 to 1; give more num_classes"):
        after(configured("MeanIoU", num_classes=2, sparse_y_pred=False), [3], [[1.0, 0.0]])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"class_name": "R2Score", "config": {"class_aggregation": "all"}}, "class_aggregation 'all'; use uniform"),
        ({"class_name": "MeanIoU", "config": {"num_classes": 0}}, "num_classes is 0; give the number of classes"),
        ({"class_name": "IoU", "config": {"target_class_ids": [5]}}, r"target_class_ids \(5,\) beyond num_classes"),
        ({"class_name": "PrecisionAtRecall", "config": {"recall": 2}}, "recall is 2; give 0 to 1"),
        ({"class_name": "TruePositives", "config": {"thresholds": [0.1, 0.2]}}, "2 thresholds; give one number"),
    ],
)
def test_options_out_of_range_are_refused(value, message):
    with pytest.raises(UsageError, match=message):
        metric(value)
