"""Labels against heads: usual losses, conversions, and messages that name the row."""

import numpy as np
import pytest

from dltool.engine.graph import GraphBuilder
from dltool.engine.layers import Activation, Dense, Flatten, Rescaling
from dltool.engine.losses import loss
from dltool.errors import DataError, UsageError
from dltool.training.labels import CONVERSIONS, Head, default_loss, heads, target_form

SOFTMAX = Head("out", (3,), "softmax")
SIGMOID = Head("out", (1,), "sigmoid")
LINEAR = Head("out", (1,), "linear")
CLASSES = np.array([0, 2, 1, 2])
ONE_HOT = np.eye(3, dtype=np.float32)[CLASSES]


@pytest.mark.parametrize(
    ("head", "labels", "name"),
    [
        (SOFTMAX, CLASSES, "sparse_categorical_crossentropy"),
        (SOFTMAX, CLASSES[:, None], "sparse_categorical_crossentropy"),
        (SOFTMAX, ONE_HOT, "categorical_crossentropy"),
        (SOFTMAX, None, "sparse_categorical_crossentropy"),
        (SIGMOID, np.array([0, 1]), "binary_crossentropy"),
        (Head("out", (5,), "sigmoid"), None, "binary_crossentropy"),
        (LINEAR, np.array([0.5]), "mean_squared_error"),
        (LINEAR, np.array([3]), "mean_squared_error"),
        (Head("out", (1,), "relu"), None, "mean_squared_error"),
    ],
)
def test_the_head_and_the_labels_choose_the_loss(head, labels, name):
    assert default_loss(head, labels) == name


def test_classes_for_several_linear_units_need_a_named_loss():
    with pytest.raises(UsageError, match="--loss: output 'out' has 4 units without softmax"):
        default_loss(Head("out", (4,), "linear"), CLASSES)


def test_the_head_is_found_behind_layers_that_only_reshape():
    builder = GraphBuilder()
    x = builder.add(Activation("sigmoid"), builder.add(Dense(4), builder.input((3,))))
    assert heads(builder.graph(builder.add(Flatten(), x)))[0].activation == "sigmoid"
    assert heads(builder.graph(builder.add(Rescaling(2.0), x)))[0].activation == "linear"


@pytest.mark.parametrize(
    ("rule", "head", "labels", "form", "targets"),
    [
        ("sparse_categorical_crossentropy", SOFTMAX, CLASSES, "same", CLASSES),
        ("sparse_categorical_crossentropy", SOFTMAX, CLASSES.astype(np.float32), "index", CLASSES),
        ("sparse_categorical_crossentropy", SOFTMAX, ONE_HOT, "argmax", CLASSES),
        ("categorical_crossentropy", SOFTMAX, CLASSES, "one_hot", ONE_HOT),
        ("categorical_crossentropy", SOFTMAX, CLASSES[:, None], "one_hot", ONE_HOT),
        ("categorical_crossentropy", SOFTMAX, ONE_HOT, "same", ONE_HOT),
        ("mean_squared_error", SOFTMAX, CLASSES, "one_hot", ONE_HOT),
        ("binary_crossentropy", SIGMOID, np.array([0, 1, 1]), "same", np.array([0, 1, 1])),
    ],
)
def test_labels_become_what_the_loss_wants(rule, head, labels, form, targets):
    found = target_form(loss(rule), head, labels, "y.npy")
    assert found == form
    assert np.array_equal(CONVERSIONS[found](labels, head.size), targets)


@pytest.mark.parametrize(
    ("rule", "head", "labels", "message"),
    [
        (
            "sparse_categorical_crossentropy",
            SOFTMAX,
            np.array([0, 1, 2, 0, 7, 9]),
            r"^y\.npy: label 7 at row 4 \(and 1 more rows\); the model has 3 classes \(0\.\.2\)$",
        ),
        ("sparse_categorical_crossentropy", SOFTMAX, np.array([0, -1]), "label -1 at row 1"),
        ("sparse_categorical_crossentropy", SOFTMAX, np.array([0, 1.5]), "label 1.5 at row 1"),
        ("categorical_crossentropy", SOFTMAX, np.array([3]), "label 3 at row 0"),
        ("categorical_crossentropy", SOFTMAX, np.ones((2, 3)), r"label \[1.0, 1.0, 1.0\] at row 0"),
        ("categorical_crossentropy", SOFTMAX, np.ones((2, 4)), "labels of shape 4 do not fit output 'out' of shape 3"),
        ("binary_crossentropy", SIGMOID, np.array([0, 1, 2]), "label 2 at row 2; output 'out' wants 0 and 1"),
        ("mean_squared_error", LINEAR, np.array([[0.5], [np.nan]]), "label nan at row 1"),
        ("mean_squared_error", Head("out", (2,), "linear"), np.array([1, 2]), "one label per row does not fit"),
    ],
)
def test_labels_that_do_not_fit_are_refused_with_their_row(rule, head, labels, message):
    with pytest.raises(DataError, match=message):
        target_form(loss(rule), head, labels, "y.npy")
