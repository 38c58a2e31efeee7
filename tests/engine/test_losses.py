"""Losses: the values and gradients that Keras 3.15.1 (TensorFlow) gave for these inputs, edges and messages."""

import numpy as np
import pytest

from dltool.engine.losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
    loss,
)
from dltool.errors import DataError, UnknownNameError, UsageError

ONE_HOT = [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
PROBABILITIES = [[0.2, 0.3, 0.1], [0, 0.5, 0.5], [0.25, 0.25, 0.5]]
LOGITS = [[2, -1, 0.5], [-30, 40, 0], [0, 0, 0]]
LABELS = [[0, 1], [1, 0], [1, 1]]
NUMBERS, GUESSES = [[1, 2, 3], [0, 0, 0]], [[1.5, 2, 0], [0.25, -0.5, 4]]

RECORDED = {
    "categorical, sums off 1, a zero": (
        CategoricalCrossentropy(),
        ONE_HOT,
        PROBABILITIES,
        [0.69314718, 16.118095, 0.69314718],
        [[1.6666665, -1.6666665, 1.6666665], [0, 0, 0], [1, 1, -1]],
    ),
    "categorical, smoothed": (
        CategoricalCrossentropy(label_smoothing=0.3),
        ONE_HOT,
        PROBABILITIES,
        [0.843555, 13.033107, 0.8317766],
        [[1.1666667, -0.99999976, 0.6666666], [0.2, 0, 0], [0.6, 0.6, -0.6]],
    ),
    "categorical, logits, smoothed": (
        CategoricalCrossentropy(from_logits=True, label_smoothing=0.3),
        ONE_HOT,
        LOGITS,
        [2.7913113, 60, 1.0986123],
        [[0.685597, -0.76088744, 0.07529039], [-0.8, 0.9, -0.1], [0.23333333, 0.23333333, -0.46666667]],
    ),
    "sparse": (
        SparseCategoricalCrossentropy(),
        [1, 2, 2],
        [PROBABILITIES[0], PROBABILITIES[2], PROBABILITIES[2]],
        [0.69314718, 0.69314718, 0.69314718],
        [[1.6666665, -1.6666665, 1.6666665], [1, 1, -1], [1, 1, -1]],
    ),
    "sparse, logits": (
        SparseCategoricalCrossentropy(from_logits=True),
        [1, 0, 2],
        LOGITS,
        [3.2413113, 70, 1.0986123],
        [[0.785597, -0.96088743, 0.17529039], [-1, 1, 4.2483541e-18], [0.33333334, 0.33333334, -0.6666667]],
    ),
    "binary, a zero and a one": (
        BinaryCrossentropy(),
        LABELS,
        [[0.2, 0.7], [0, 0.4], [1, 0.9]],
        [0.28990924, 8.3144608, 0.05268033],
        [[0.625, -0.7142857], [0, 0.8333333], [0, -0.5555556]],
    ),
    "binary, smoothed": (
        BinaryCrossentropy(label_smoothing=0.2),
        LABELS,
        [[0.2, 0.7], [0.1, 0.4], [0.6, 0.9]],
        [0.40158886, 1.3171173, 0.43822747],
        [[0.3125, -0.4761906], [-4.4444447, 0.625], [-0.625, 0]],
    ),
    "binary, logits": (
        BinaryCrossentropy(from_logits=True),
        LABELS,
        [[2, -1], [-50, 60], [0, 3]],
        [1.7200949, 55, 0.37086725],
        [[0.44039854, -0.3655293], [-0.5, 0.5], [-0.25, -0.02371294]],
    ),
    "categorical focal": (
        CategoricalFocalCrossentropy(),
        [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
        [[0.3, 0.5, 0.2], [0.1, 0.2, 0.7], [0.25, 0.25, 0.5]],
        [0.043321699, 0.46627346, 0.043321699],
        [[0.1491434, -0.1491434, 0.1491434], [-2.7550468, 0.30611631, 0.30611631], [0.1491434, 0.1491434, -0.1491434]],
    ),
    "categorical focal, logits, smoothed": (
        CategoricalFocalCrossentropy(from_logits=True, gamma=1.5, label_smoothing=0.1),
        [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
        [[2, -1, 0.5], [0, 1, -1], [0.1, 0.2, 3]],
        [0.72343874, 0.23365575, 0.04639519],
        [
            [0.2140397, -0.25252166, 0.038481966],
            [-0.1915345, 0.17692479, 0.014609701],
            [-0.0076594101, -0.0075177327, 0.015177144],
        ],
    ),
    "binary focal": (
        BinaryFocalCrossentropy(),
        LABELS,
        [[0.2, 0.7], [0.1, 0.4], [0.6, 0.9]],
        [0.020513244, 0.97341293, 0.041392844],
        [[0.069628701, -0.17128822], [-6.1223264, 0.33766353], [-0.33766353, -0.016091615]],
    ),
    "binary focal, balanced, smoothed": (
        BinaryFocalCrossentropy(apply_class_balancing=True, alpha=0.3, label_smoothing=0.1),
        LABELS,
        [[0.2, 0.7], [0.1, 0.4], [0.6, 0.9]],
        [0.011798026, 0.28983259, 0.014959371],
        [[0.058028296, -0.056280293], [-1.6607116, 0.21661291], [-0.10193549, -0.010419968]],
    ),
    "binary focal, logits": (
        BinaryFocalCrossentropy(from_logits=True, gamma=3.0),
        LABELS,
        [[2, -1], [-3, 0.5], [0, 3]],
        [0.98324555, 1.4350053, 0.043324292],
        [[0.56080699, -0.34981018], [-0.59914207, 0.20810063], [-0.096232548, -9.9350591e-06]],
    ),
    "squared error": (
        MeanSquaredError(),
        NUMBERS,
        GUESSES,
        [3.0833333, 5.4375],
        [[0.33333333, 0, -2], [0.16666667, -0.33333333, 2.6666667]],
    ),
    "absolute error": (
        MeanAbsoluteError(),
        NUMBERS,
        GUESSES,
        [1.1666666, 1.5833334],
        [[0.33333333, 0, -0.33333333], [0.33333333, -0.33333333, 0.33333333]],
    ),
    "huber": (
        Huber(delta=0.5),
        NUMBERS,
        GUESSES,
        [0.5, 0.6770833],
        [[0.16666667, 0, -0.16666667], [0.08333333, -0.16666667, 0.16666667]],
    ),
}


@pytest.mark.parametrize("case", RECORDED)
def test_values_and_gradients_are_keras(case):
    rule, y_true, y_pred, values, gradient = RECORDED[case]
    got_values, got_gradient = rule(np.array(y_true), np.array(y_pred, np.float32))
    assert got_values.dtype == got_gradient.dtype == np.float32
    np.testing.assert_allclose(got_values, values, rtol=1e-6)
    np.testing.assert_allclose(got_gradient, gradient, rtol=2e-6, atol=4e-7)


def test_logits_of_any_size_stay_finite():
    logits = np.array([[1e30, -1e30, 0.0]], np.float32)
    for rule, y_true in ((loss("categorical_crossentropy"), [[0, 1, 0]]), (loss("bce"), [[0, 1, 0]])):
        values, gradient = rule.on_logits()(np.array(y_true), logits)
        assert np.isfinite(values).all() and np.isfinite(gradient).all()


def test_sparse_loss_takes_indices_with_or_without_last_axis():
    y_pred = np.random.default_rng(0).normal(size=(4, 5, 3))
    classes = np.arange(20).reshape(4, 5) % 3
    rule = SparseCategoricalCrossentropy(from_logits=True)
    values, gradient = rule(classes, y_pred)
    assert values.shape == (4, 5) and gradient.shape == y_pred.shape
    for same in (classes[..., None], classes.astype(np.float32), classes.astype(np.uint8)):
        np.testing.assert_array_equal(rule(same, y_pred)[0], values)


def test_sparse_loss_equals_categorical_loss_on_one_hot_targets():
    rng = np.random.default_rng(1)
    classes, y_pred = rng.integers(0, 4, 6), rng.random((6, 4))
    for logits in (False, True):
        sparse = SparseCategoricalCrossentropy(from_logits=logits)(classes, y_pred)
        dense = CategoricalCrossentropy(from_logits=logits)(np.eye(4)[classes], y_pred)
        np.testing.assert_allclose(sparse[0], dense[0], rtol=1e-12)
        np.testing.assert_allclose(sparse[1], dense[1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "bce"])
def test_targets_without_the_last_axis_fit_one_column(name):
    y_true, y_pred = np.array([0, 1, 1]), np.array([[0.2], [0.7], [0.4]])
    np.testing.assert_array_equal(loss(name)(y_true, y_pred)[0], loss(name)(y_true[:, None], y_pred)[0])


def test_targets_are_not_changed():
    y_true, y_pred = np.array([[0.0, 1.0]]), np.array([[0.3, 0.7]])
    CategoricalCrossentropy(label_smoothing=0.1)(y_true, y_pred)
    assert y_true.tolist() == [[0.0, 1.0]] and y_pred.tolist() == [[0.3, 0.7]]


@pytest.mark.parametrize(
    ("name", "y_true", "message"),
    [
        ("categorical_crossentropy", [0, 2], r"\(2,\) do not fit outputs of shape \(2, 3\); .*sparse_categorical"),
        ("sparse_categorical_crossentropy", [0, 3], "class index 3 has no output; the model has 3 outputs"),
        ("sparse_categorical_crossentropy", [0, -1], "class index -1 has no output"),
        ("sparse_categorical_crossentropy", [[0, 0, 1], [1, 0, 0]], "one-hot targets use categorical_crossentropy"),
        ("mse", [[1.0], [2.0]], r"loss mean_squared_error: targets of shape \(2, 1\) do not fit"),
    ],
)
def test_targets_that_do_not_fit_are_named(name, y_true, message):
    with pytest.raises(DataError, match=message):
        loss(name)(np.array(y_true), np.full((2, 3), 1 / 3))


def test_loss_is_found_by_name_class_and_config():
    assert loss("mse") == loss("MSE") == loss("mean_squared_error") == loss("MeanSquaredError") == MeanSquaredError()
    config = {"name": "x", "from_logits": True, "label_smoothing": 0.1, "axis": -1, "reduction": "sum"}
    found = loss({"class_name": "CategoricalCrossentropy", "config": config})
    assert found == CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, reduction="sum")
    assert loss(found) is found
    assert found.name == "categorical_crossentropy"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"class_name": "CategoricalCrossentropy", "config": {"axis": 1}}, "axis=1 is not supported"),
        ({"class_name": "Huber", "config": {"width": 1}}, "loss huber: has no option 'width'; it has delta, reduction"),
        ({"class_name": "Huber", "config": {"delta": 0}}, "delta is 0; give a number above 0"),
        ({"class_name": "MeanSquaredError", "config": {"reduction": "none"}}, "reduction 'none' is not supported"),
        ({"class_name": "BinaryCrossentropy", "config": {"label_smoothing": 2}}, "label_smoothing is 2"),
    ],
)
def test_unsupported_configs_are_refused_by_name(value, message):
    with pytest.raises(UsageError, match=message):
        loss(value)


def test_unknown_loss_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match="did you mean 'mean_squared_error'"):
        loss("mean_square_error")
