"""What every registered metric must do. A metric without a case here fails ``test_every_metric_has_a_case``."""

import numpy as np
import pytest

from dltool.engine.metrics import METRICS, metric

CASES = [
    ("accuracy", {}, "classes"),
    ("accuracy", {}, "binary"),
    ("binary_accuracy", {"threshold": 0.4}, "labels"),
    ("categorical_accuracy", {}, "one_hot"),
    ("sparse_categorical_accuracy", {}, "classes"),
    ("top_k_categorical_accuracy", {"k": 2}, "one_hot"),
    ("sparse_top_k_categorical_accuracy", {"k": 2}, "classes"),
    ("precision", {}, "labels"),
    ("precision", {"top_k": 2, "class_id": 1}, "one_hot"),
    ("recall", {"thresholds": 0.3}, "labels"),
    ("fbeta_score", {"beta": 2.0, "threshold": 0.5, "average": "weighted"}, "labels"),
    ("f1_score", {"average": "macro"}, "one_hot"),
    ("f1_score", {"average": "micro"}, "classes"),
    ("auc", {}, "labels"),
    ("auc", {"curve": "PR"}, "binary"),
    ("mean_absolute_error", {}, "numbers"),
    ("mean_squared_error", {}, "numbers"),
    ("auc", {"multi_label": True}, "labels"),
    ("root_mean_squared_error", {}, "numbers"),
    ("mean_absolute_percentage_error", {}, "numbers"),
    ("mean_squared_logarithmic_error", {}, "amounts"),
    ("log_cosh_error", {}, "numbers"),
    ("poisson", {}, "amounts"),
    ("cosine_similarity", {}, "numbers"),
    ("r2_score", {"class_aggregation": "variance_weighted_average"}, "numbers"),
    ("pearson_correlation", {}, "numbers"),
    ("concordance_correlation", {}, "numbers"),
    ("binary_crossentropy", {}, "labels"),
    ("categorical_crossentropy", {}, "one_hot"),
    ("sparse_categorical_crossentropy", {}, "classes"),
    ("crossentropy", {}, "classes"),
    ("crossentropy", {}, "binary"),
    ("kl_divergence", {}, "one_hot"),
    ("hinge", {}, "labels"),
    ("squared_hinge", {}, "labels"),
    ("categorical_hinge", {}, "one_hot"),
    ("true_positives", {"thresholds": 0.4}, "labels"),
    ("false_positives", {}, "labels"),
    ("true_negatives", {}, "binary"),
    ("false_negatives", {}, "labels"),
    ("precision_at_recall", {"recall": 0.9}, "labels"),
    ("recall_at_precision", {"precision": 0.9, "num_thresholds": 20}, "labels"),
    ("sensitivity_at_specificity", {"specificity": 0.9, "class_id": 2}, "labels"),
    ("specificity_at_sensitivity", {"sensitivity": 0.9}, "binary"),
    ("binary_io_u", {"threshold": 0.4, "target_class_ids": (1,)}, "binary"),
    ("io_u", {"num_classes": 4, "target_class_ids": (1, 2), "sparse_y_pred": False}, "classes"),
    ("mean_io_u", {"num_classes": 4, "sparse_y_pred": False}, "classes"),
    ("one_hot_io_u", {"num_classes": 4, "target_class_ids": (0, 3)}, "one_hot"),
    ("one_hot_mean_io_u", {"num_classes": 4}, "one_hot"),
]
COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")
"""Sums of weights, not means."""

every_case = pytest.mark.parametrize(("name", "config", "kind"), CASES)
ROWS = 12


def make(name, config):
    return metric({"class_name": name, "config": config})


def data(kind):
    """Targets and outputs of twelve rows with four columns (one for binary)."""
    rng = np.random.default_rng(3)
    outputs = rng.random((ROWS, 4)).astype(np.float32)
    classes = np.arange(ROWS) % 4
    if kind == "binary":
        return np.arange(ROWS) % 2, outputs[:, :1]
    targets = {
        "classes": classes,
        "one_hot": np.eye(4, dtype=np.float32)[classes],
        "labels": rng.integers(0, 2, (ROWS, 4)),
        "numbers": rng.normal(size=(ROWS, 4)).astype(np.float32),
        "amounts": rng.integers(1, 9, (ROWS, 4)).astype(np.float32),
    }
    return targets[kind], outputs


def perfect(y_true, y_pred):
    """Outputs that say exactly what the targets say."""
    if y_true.shape == y_pred.shape:
        return y_true.astype(np.float32)
    return (y_true[:, None] if y_pred.shape[1] == 1 else np.eye(4)[y_true]).astype(np.float32)


def test_every_metric_has_a_case():
    assert {name for name, _, _ in CASES} == set(METRICS.names())


@every_case
def test_two_batches_count_as_one(name, config, kind):
    y_true, y_pred = data(kind)
    weights = np.linspace(0.5, 2, ROWS, dtype=np.float32)
    for w in (None, weights):
        whole, parts = make(name, config), make(name, config)
        whole.update(y_true, y_pred, w)
        for rows in (slice(0, 5), slice(5, ROWS)):
            parts.update(y_true[rows], y_pred[rows], None if w is None else w[rows])
        assert parts.result() == pytest.approx(whole.result(), rel=1e-12)


@every_case
def test_rows_with_weight_zero_do_not_count(name, config, kind):
    y_true, y_pred = data(kind)
    ignoring, without = make(name, config), make(name, config)
    ignoring.update(y_true, y_pred, (np.arange(ROWS) < 8).astype(np.float32))
    without.update(y_true[:8], y_pred[:8])
    assert ignoring.result() == pytest.approx(without.result(), rel=1e-12)


@every_case
def test_equal_weights_change_nothing(name, config, kind):
    y_true, y_pred = data(kind)
    plain, weighted = make(name, config), make(name, config)
    plain.update(y_true, y_pred)
    weighted.update(y_true, y_pred, np.full(ROWS, 3.0))
    factor = 3.0 if name in COUNTS else 1.0
    assert weighted.result() == pytest.approx(factor * plain.result(), rel=1e-6)


@every_case
def test_perfect_outputs_are_better(name, config, kind):
    y_true, y_pred = data(kind)
    found, best = make(name, config), make(name, config)
    found.update(y_true, y_pred)
    best.update(y_true, perfect(y_true, y_pred))
    better = best.result() > found.result() if best.higher_is_better else best.result() < found.result()
    assert better, f"{best.result()} against {found.result()}"


@every_case
def test_result_is_a_python_float_and_reset_forgets(name, config, kind):
    y_true, y_pred = data(kind)
    found = make(name, config)
    found.update(y_true, y_pred)
    first = found.result()
    assert type(first) is float
    found.reset()
    found.update(y_true, y_pred)
    assert found.result() == first


@every_case
def test_config_round_trip(name, config, kind):
    found = make(name, config)
    assert make(name, found.config()) == found
    assert found.config().items() >= config.items()


@pytest.mark.parametrize("name", METRICS.names())
def test_names(name):
    cls = METRICS.get(name)
    assert cls.registered == name and cls().name == name
    assert 2 <= len(cls.short) <= 6
    assert cls.keras_class == "" or METRICS.canonical(cls.keras_class) == name
