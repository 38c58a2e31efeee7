"""Pooling by hand."""

import numpy as np
import pytest

from dltool.engine.layers import (
    AveragePooling2D,
    Call,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
)
from dltool.errors import UsageError


def picture(values):
    return np.array(values, float)[None, :, :, None]


def run(layer, x, dy=None):
    """Output, and the gradient of the input for ``dy`` (ones)."""
    y, backward = layer.forward(x, (), Call())
    dx, dweights = backward(np.ones_like(y) if dy is None else dy)
    assert dweights == ()
    return y, dx


def test_max_pooling_drops_what_does_not_fill_a_window():
    y, dx = run(MaxPooling2D(), picture([[1, 5, 9], [2, 3, 9], [7, 7, 7]]))
    np.testing.assert_array_equal(y[0, :, :, 0], [[5]])
    np.testing.assert_array_equal(dx[0, :, :, 0], [[0, 1, 0], [0, 0, 0], [0, 0, 0]])


def test_gradient_of_equal_values_goes_to_the_first():
    _, dx = run(MaxPooling2D(), picture([[0, 4], [4, 4]]))
    np.testing.assert_array_equal(dx[0, :, :, 0], [[0, 1], [0, 0]])


def test_padding_never_wins_a_maximum():
    y, _ = run(MaxPooling2D(2, padding="same"), picture([[-3, -1, -2]]))
    np.testing.assert_array_equal(y[0, :, :, 0], [[-1, -2]])


def test_overlapping_windows_add_their_gradients():
    _, dx = run(MaxPooling2D((1, 2), strides=1), picture([[1, 5, 2]]))
    np.testing.assert_array_equal(dx[0, :, :, 0], [[0, 2, 0]])


def test_average_pooling_does_not_count_padding():
    """Kernel 3, stride 2 on 3 columns: one column of padding on either side, so windows hold 2 numbers."""
    y, dx = run(AveragePooling2D((1, 3), strides=(1, 2), padding="same"), picture([[1, 3, 8]]))
    np.testing.assert_array_equal(y[0, :, :, 0], [[2, 5.5]])
    np.testing.assert_array_equal(dx[0, :, :, 0], [[0.5, 1, 0.5]])


def test_average_pooling_valid():
    y, dx = run(AveragePooling2D(), picture([[1, 2], [3, 6]]))
    assert y.item() == 3
    np.testing.assert_array_equal(dx[0, :, :, 0], np.full((2, 2), 0.25))


def test_strides_default_to_the_pool_size():
    assert MaxPooling2D((3, 2)).strides == (3, 2)
    assert MaxPooling2D(2) == MaxPooling2D((2, 2), (2, 2))


def test_global_pooling():
    x = np.arange(12.0).reshape(1, 2, 3, 2)
    y, dx = run(GlobalAveragePooling2D(), x)
    np.testing.assert_array_equal(y, [[5, 6]])
    np.testing.assert_allclose(dx, np.full_like(x, 1 / 6))
    y, dx = run(GlobalMaxPooling2D(keepdims=True), x)
    np.testing.assert_array_equal(y, [[[[10, 11]]]])
    np.testing.assert_array_equal(np.flatnonzero(dx), [10, 11])


def test_global_maximum_shares_the_gradient_between_equal_values():
    """Recorded with Keras 3.15.1 on TensorFlow, whose gradient of reduce_max does this."""
    _, dx = run(GlobalMaxPooling2D(), picture([[4, 1], [4, 2]]))
    np.testing.assert_array_equal(dx[0, :, :, 0], [[0.5, 0], [0.5, 0]])


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (MaxPooling2D(), (29, 28, 3), (14, 14, 3)),
        (MaxPooling2D(padding="same"), (29, 28, 3), (15, 14, 3)),
        (AveragePooling2D(3, 2), (None, 9, 3), (None, 4, 3)),
        (GlobalMaxPooling2D(), (None, None, 3), (3,)),
        (GlobalAveragePooling2D(keepdims=True), (None, None, 3), (1, 1, 3)),
    ],
)
def test_output_shapes_also_of_unknown_sizes(layer, shape, expected):
    assert layer.output_shape(shape) == expected


@pytest.mark.parametrize("layer", [MaxPooling2D(), GlobalAveragePooling2D()])
def test_flattened_input_is_refused(layer):
    with pytest.raises(UsageError, match="needs an image"):
        layer.output_shape((100,))


def test_wrong_sizes_are_refused():
    with pytest.raises(UsageError, match="pool_size or strides is 0"):
        MaxPooling2D(0)
    with pytest.raises(UsageError, match="padding 'full'"):
        AveragePooling2D(2, padding="full")
