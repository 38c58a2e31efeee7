"""What every registered loss must do. A loss without a case here fails ``test_every_loss_has_a_case``."""

import numpy as np
import pytest

from dltool.engine.activations import activation
from dltool.engine.losses import (
    CTC,
    LOSSES,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    loss,
)


def one_hot(rng):
    return np.eye(4)[rng.integers(0, 4, (5, 3))]


def classes(rng):
    return rng.integers(0, 4, (5, 3))


def labels(rng):
    return rng.integers(0, 2, (5, 3, 4)).astype(float)


def shares(rng):
    return rng.random((5, 3, 4))


def probabilities(rng):
    return rng.uniform(0.05, 0.95, (5, 3, 4))


def symbols(rng):
    return np.array([[1, 2], [3, 3], [2, 0], [0, 0], [1, 3]])


def steps(rng):
    return rng.normal(size=(5, 4, 4))


def numbers(rng):
    return rng.normal(size=(5, 3, 4)) * 2


CASES = [
    (CategoricalCrossentropy(), one_hot, probabilities),
    (CategoricalCrossentropy(label_smoothing=0.2), shares, probabilities),
    (CategoricalCrossentropy(from_logits=True), one_hot, numbers),
    (CategoricalCrossentropy(from_logits=True, label_smoothing=0.2, reduction="sum"), shares, numbers),
    (SparseCategoricalCrossentropy(), classes, probabilities),
    (SparseCategoricalCrossentropy(from_logits=True), classes, numbers),
    (BinaryCrossentropy(), labels, probabilities),
    (BinaryCrossentropy(label_smoothing=0.1), shares, probabilities),
    (BinaryCrossentropy(from_logits=True, label_smoothing=0.1), shares, numbers),
    (CategoricalFocalCrossentropy(), one_hot, probabilities),
    (CategoricalFocalCrossentropy(from_logits=True, gamma=1.5, label_smoothing=0.1), one_hot, numbers),
    (BinaryFocalCrossentropy(), labels, probabilities),
    (BinaryFocalCrossentropy(apply_class_balancing=True, alpha=0.3, label_smoothing=0.1), labels, probabilities),
    (BinaryFocalCrossentropy(from_logits=True, gamma=3.0), labels, numbers),
    (MeanSquaredError(), numbers, numbers),
    (MeanAbsoluteError(reduction="sum"), numbers, numbers),
    (Huber(), numbers, numbers),
    (Huber(delta=0.3), numbers, numbers),
    (MeanAbsolutePercentageError(), numbers, numbers),
    (MeanSquaredLogarithmicError(), shares, probabilities),
    (LogCosh(), numbers, numbers),
    (CosineSimilarity(), numbers, numbers),
    (KLDivergence(), shares, probabilities),
    (Poisson(), shares, probabilities),
    (Hinge(), labels, numbers),
    (SquaredHinge(), labels, numbers),
    (CategoricalHinge(), one_hot, numbers),
    (CTC(), symbols, steps),
]
every_case = pytest.mark.parametrize(("rule", "targets", "outputs"), CASES, ids=lambda v: str(getattr(v, "name", "")))


def data(targets, outputs):
    rng = np.random.default_rng(7)
    return targets(rng), outputs(rng)


def test_every_loss_has_a_case():
    assert {rule.name for rule, _, _ in CASES} == set(LOSSES.names())


@every_case
def test_gradient_is_the_directional_derivative(rule, targets, outputs):
    y_true, y_pred = data(targets, outputs)
    direction = np.random.default_rng(8).normal(size=y_pred.shape)
    _, gradient = rule(y_true, y_pred)
    step = 1e-6
    ahead, behind = rule(y_true, y_pred + step * direction)[0], rule(y_true, y_pred - step * direction)[0]
    np.testing.assert_allclose((gradient * direction).sum(), (ahead.sum() - behind.sum()) / (2 * step), rtol=1e-6)


@every_case
def test_shapes_and_float_type_follow_the_output(rule, targets, outputs):
    y_true, y_pred = data(targets, outputs)
    for kind in (np.float32, np.float64):
        values, gradient = rule(y_true, y_pred.astype(kind))
        assert (
            values.shape == (y_pred.shape[:1] if rule.per_row else y_pred.shape[:-1]) and gradient.shape == y_pred.shape
        )
        assert values.dtype == gradient.dtype == kind


@every_case
def test_a_sample_does_not_depend_on_the_others(rule, targets, outputs):
    y_true, y_pred = data(targets, outputs)
    values, gradient = rule(y_true, y_pred)
    for i in range(len(y_pred)):
        alone_values, alone_gradient = rule(y_true[i : i + 1], y_pred[i : i + 1])
        np.testing.assert_allclose(alone_values[0], values[i], rtol=1e-13)
        np.testing.assert_allclose(alone_gradient[0], gradient[i], rtol=1e-12, atol=1e-15)


@every_case
def test_config_round_trip(rule, targets, outputs):
    assert loss({"class_name": rule.keras_class, "config": rule.config()}) == rule


FUSED = [case for case in CASES if case[0].fused_activation and not case[0].from_logits]


@pytest.mark.parametrize(("rule", "targets", "outputs"), FUSED, ids=lambda v: str(getattr(v, "name", "")))
def test_fused_loss_equals_the_activation_and_the_loss(rule, targets, outputs):
    y_true, _ = data(targets, outputs)
    z = np.random.default_rng(9).normal(size=(5, 3, 4)) * 2
    if rule.fused_activation == "softmax":
        p = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
    else:
        p = 1 / (1 + np.exp(-z))
    values, dp = rule(y_true, p)
    dz = p * (dp - (dp * p).sum(axis=-1, keepdims=True)) if rule.fused_activation == "softmax" else dp * p * (1 - p)
    fused_values, fused_gradient = rule.on_logits()(y_true, z)
    np.testing.assert_allclose(fused_values, values, rtol=1e-9)
    np.testing.assert_allclose(fused_gradient, dz, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in LOSSES if LOSSES.get(name).fused_activation])
def test_head_and_loss_in_one_pass_equal_the_two_apart(name):
    rule = LOSSES.get(name)()
    random = np.random.default_rng(3)
    z = random.standard_normal((6, 4))
    targets = {
        "categorical_crossentropy": np.eye(4)[[0, 1, 2, 3, 0, 1]],
        "sparse_categorical_crossentropy": np.array([0, 1, 2, 3, 0, 1]),
        "binary_crossentropy": random.integers(0, 2, (6, 4)).astype(float),
    }[name.replace("_focal", "")]
    prediction = np.empty_like(z)
    values, gradient = rule.with_head(targets, z, prediction)
    expected_values, expected_gradient = rule.on_logits()(targets, z)
    assert np.allclose(values, expected_values) and np.allclose(gradient, expected_gradient)
    assert np.allclose(prediction, activation(rule.fused_activation)(z)[0])
