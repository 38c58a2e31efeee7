"""Regularizers: penalty and gradient by hand."""

import numpy as np
import pytest

from dltool.engine.regularizers import REGULARIZERS, Regularizer, regularizer
from dltool.errors import UsageError

W = np.array([[1.0, -2.0], [0.0, 0.5]], np.float32)


@pytest.mark.parametrize(
    ("rule", "penalty", "gradient"),
    [
        (Regularizer(l1=0.1), 0.35, [[0.1, -0.1], [0.0, 0.1]]),
        (Regularizer(l2=0.1), 0.525, [[0.2, -0.4], [0.0, 0.1]]),
        (Regularizer(l1=0.1, l2=0.1), 0.875, [[0.3, -0.5], [0.0, 0.2]]),
        (Regularizer(), 0.0, [[0.0, 0.0], [0.0, 0.0]]),
    ],
)
def test_penalty_and_gradient(rule, penalty, gradient):
    found, slope = rule(W)
    assert found == pytest.approx(penalty, rel=1e-12)
    assert isinstance(found, np.float64) and slope.dtype == np.float32
    np.testing.assert_allclose(slope, gradient, rtol=1e-6)


def test_float64_stays_float64():
    assert Regularizer(0.1, 0.2)(W.astype(np.float64))[1].dtype == np.float64


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("l2", Regularizer(l2=0.01)),
        ("L1", Regularizer(l1=0.01)),
        ("l1_l2", Regularizer()),
        ({"class_name": "L2", "config": {"l2": 1e-4}}, Regularizer(l2=1e-4)),
        ({"class_name": "L1L2", "config": {"l1": 0.0, "l2": 5e-4}}, Regularizer(l2=5e-4)),
        ({"class_name": "L1", "config": {}}, Regularizer(l1=0.01)),
        (Regularizer(1, 2), Regularizer(1.0, 2.0)),
    ],
)
def test_names_and_keras_dicts(value, expected):
    assert regularizer(value) == expected


def test_registry_has_keras_classes():
    assert REGULARIZERS.names() == ["L1", "L1L2", "L2"]


@pytest.mark.parametrize("value", ["l3", {"class_name": "OrthogonalRegularizer", "config": {}}])
def test_unknown_regularizer(value):
    with pytest.raises(UsageError, match="unknown regularizer"):
        regularizer(value)


def test_unknown_option():
    with pytest.raises(UsageError, match="'L2': unknown option 'factor'; it takes l2"):
        regularizer({"class_name": "L2", "config": {"factor": 1}})


@pytest.mark.parametrize("value", [{"class_name": "L2", "config": {"l1": 0.1}}])
def test_option_of_the_other_kind(value):
    with pytest.raises(UsageError, match="unknown option 'l1'; it takes l2"):
        regularizer(value)
