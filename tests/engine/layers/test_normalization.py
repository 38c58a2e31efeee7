"""Batch normalisation by hand."""

import numpy as np
import pytest

from dltool.engine.layers import BatchNormalization, Call
from dltool.errors import UsageError

X = np.array([[1.0, 10.0], [3.0, 20.0]])  # means 2 and 15, biased variances 1 and 25
WEIGHTS = (np.array([2.0, 1.0]), np.array([0.5, 0.0]), np.array([0.0, 10.0]), np.array([1.0, 4.0]))


def test_training_uses_the_batch_and_moves_the_statistics():
    call = Call(training=True)
    y, _ = BatchNormalization(momentum=0.9, epsilon=1e-12).forward(X, WEIGHTS, call)
    np.testing.assert_allclose(y, [[-1.5, -1.0], [2.5, 1.0]])
    np.testing.assert_allclose(call.updates[2], [0.2, 10.5])
    np.testing.assert_allclose(call.updates[3], [1.0, 6.1])


def test_keras_2_moves_with_the_unbiased_variance():
    """Two rows: n / (n - 1) = 2, so the batch's variances count as 2 and 50."""
    call = Call(training=True)
    BatchNormalization(momentum=0.9, unbiased_moving_variance=True).forward(X, WEIGHTS, call)
    np.testing.assert_allclose(call.updates[3], [1.1, 8.6])


@pytest.mark.parametrize(("trainable", "training"), [(True, False), (False, True)])
def test_inference_and_frozen_use_the_moving_statistics(trainable, training):
    call = Call(training=training)
    y, backward = BatchNormalization(epsilon=0.0, trainable=trainable).forward(X, WEIGHTS, call)
    np.testing.assert_allclose(y, [[2.5, 0.0], [6.5, 5.0]])
    assert call.updates == {}
    np.testing.assert_allclose(backward(np.ones_like(X))[0], [[2.0, 0.5], [2.0, 0.5]])


def test_gradient_of_a_constant_direction_is_zero_in_training():
    """Adding a constant to a channel changes nothing, so the gradient sums to zero over the batch."""
    _, backward = BatchNormalization().forward(X, WEIGHTS, Call(training=True))
    dx, (dgamma, dbeta, *statistics) = backward(np.array([[1.0, 2.0], [4.0, 3.0]]))
    np.testing.assert_allclose(dx.sum(0), 0, atol=1e-12)
    np.testing.assert_allclose(dbeta, [5, 5])
    np.testing.assert_allclose(dgamma, [3 / np.sqrt(1.001), 5 / np.sqrt(25.001)])
    assert statistics == [None, None]


def test_statistics_of_a_large_float32_batch_are_exact():
    """A mean of 1000 with a deviation of 1: float32 sums would lose the variance."""
    rng = np.random.default_rng(0)
    x = (1000 + rng.normal(size=(20000, 1))).astype(np.float32)
    weights = tuple(np.array([v], np.float32) for v in (1, 0, 0, 1))
    call = Call(training=True)
    BatchNormalization(momentum=0.0).forward(x, weights, call)
    assert call.updates[3][0] == pytest.approx(x.astype(np.float64).var(), rel=1e-6)


def test_weights_follow_scale_and_center():
    def names(**options):
        return [spec.name for spec in BatchNormalization(**options).weight_specs((4, 3))]

    assert names() == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert names(scale=False) == ["beta", "moving_mean", "moving_variance"]
    assert names(center=False) == ["gamma", "moving_mean", "moving_variance"]
    assert [s.trainable for s in BatchNormalization().weight_specs((4, 3))] == [True, True, False, False]


def test_axis():
    assert BatchNormalization(axis=[1]) == BatchNormalization(axis=1)
    assert BatchNormalization(axis=1).weight_specs((4, 3))[0].shape == (4,)
    assert BatchNormalization().output_shape((None, None, 3)) == (None, None, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BatchNormalization(axis=[1, 2]), "takes one axis"),
        (lambda: BatchNormalization(axis=3).output_shape((4, 3)), "axis 3: its input has axes 1 to 2"),
        (lambda: BatchNormalization(axis=0).output_shape((4, 3)), "axis 0: its input"),
        (lambda: BatchNormalization(axis=1).output_shape((None, 3)), "has no fixed size"),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(UsageError, match=message):
        make()
