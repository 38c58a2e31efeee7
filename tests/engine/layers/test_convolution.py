"""Convolutions by hand."""

import numpy as np
import pytest

from dltool.engine.layers import Call, Conv2D, DepthwiseConv2D, ZeroPadding2D
from dltool.errors import UsageError


def run(layer, x, weights=()):
    return layer.forward(x, weights, Call())[0]


def picture(values):
    return np.array(values, float)[None, :, :, None]


def test_valid_convolution_is_a_correlation():
    x = picture([[1, 2, 3], [4, 5, 6]])
    kernel = np.array([[1.0, 10], [100, 1000]])[:, :, None, None]
    y = run(Conv2D(1, 2), x, (kernel, np.array([0.5])))
    np.testing.assert_array_equal(y[0, :, :, 0], [[5421.5, 6532.5]])


def test_same_padding_puts_the_odd_row_at_the_bottom_right():
    x = picture([[1, 2], [3, 4]])
    y = run(Conv2D(1, 2, padding="same", use_bias=False), x, (np.ones((2, 2, 1, 1)),))
    np.testing.assert_array_equal(y[0, :, :, 0], [[10, 6], [7, 4]])


def test_same_with_stride_two_starts_where_tensorflow_does():
    """4 columns, kernel 3, stride 2: one column of padding, at the right; windows 1 2 3 and 3 4 0."""
    x = picture([[1, 2, 3, 4]])
    y = run(Conv2D(1, (1, 3), strides=(1, 2), padding="same", use_bias=False), x, (np.ones((1, 3, 1, 1)),))
    np.testing.assert_array_equal(y[0, 0, :, 0], [6, 7])


def test_groups_see_their_own_channels():
    x = np.array([1.0, 2, 3, 4]).reshape(1, 1, 1, 4)
    kernel = np.array([[1.0, 10, 100, 1000], [1, 1, 1, 1]]).reshape(1, 1, 2, 4)
    y = run(Conv2D(4, 1, groups=2, use_bias=False), x, (kernel,))
    np.testing.assert_array_equal(y.ravel(), [1 + 2, 10 + 2, 300 + 4, 3000 + 4])


def test_dilation_skips_pixels():
    x = picture([[1, 2, 3, 4, 5]])
    y = run(Conv2D(1, (1, 3), dilation_rate=(1, 2), use_bias=False), x, (np.array([1.0, 10, 100]).reshape(1, 3, 1, 1),))
    np.testing.assert_array_equal(y.ravel(), [531])


def test_depthwise_orders_channels_by_input_then_multiplier():
    x = np.array([1.0, 2.0]).reshape(1, 1, 1, 2)
    kernel = np.array([[10.0, 100], [1000, 10000]]).reshape(1, 1, 2, 2)
    y = run(DepthwiseConv2D(1, depth_multiplier=2), x, (kernel, np.zeros(4)))
    np.testing.assert_array_equal(y.ravel(), [10, 100, 2000, 20000])


def test_zero_padding_sides():
    y = run(ZeroPadding2D(((1, 0), (0, 2))), picture([[1, 2]]))
    np.testing.assert_array_equal(y[0, :, :, 0], [[0, 0, 0, 0], [1, 2, 0, 0]])
    assert ZeroPadding2D(2) == ZeroPadding2D((2, 2)) == ZeroPadding2D(((2, 2), (2, 2)))


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (Conv2D(8, 3), (28, 28, 1), (26, 26, 8)),
        (Conv2D(8, 3, strides=2, padding="same"), (27, 28, 1), (14, 14, 8)),
        (Conv2D(8, 3), (None, None, 1), (None, None, 8)),
        (Conv2D(8, 3, strides=2), (None, 9, 1), (None, 4, 8)),
        (DepthwiseConv2D(3, depth_multiplier=2), (None, 9, 5), (None, 7, 10)),
        (ZeroPadding2D(1), (None, 9, 5), (None, 11, 5)),
    ],
)
def test_output_shapes_also_of_unknown_sizes(layer, shape, expected):
    assert layer.output_shape(shape) == expected


def test_weight_shapes_are_those_of_keras():
    assert [(s.name, s.shape) for s in Conv2D(8, (3, 5), groups=2).weight_specs((9, 9, 4))] == [
        ("kernel", (3, 5, 2, 8)),
        ("bias", (8,)),
    ]
    assert [(s.name, s.shape) for s in DepthwiseConv2D(3, depth_multiplier=2).weight_specs((9, 9, 4))] == [
        ("kernel", (3, 3, 4, 2)),
        ("bias", (8,)),
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2D(8, 3).output_shape((784,)), "needs an image .* gets 784 .*before any flatten"),
        (lambda: Conv2D(8, 3, padding="causal"), "padding 'causal' is not known; use 'valid' or 'same'"),
        (lambda: Conv2D(8, 3, strides=2, dilation_rate=2), "only one of them above 1"),
        (lambda: Conv2D(8, 3, groups=3), "8 filters cannot be shared by 3 groups"),
        (lambda: Conv2D(8, 3, groups=2).output_shape((9, 9, 3)), "3 channels, which 2 groups cannot share"),
        (lambda: Conv2D(0, 3), "filters is 0"),
        (lambda: Conv2D(8, 0), "kernel_size is 0"),
        (lambda: Conv2D(8, 3, strides=(1, 0)), "strides is 0"),
        (lambda: ZeroPadding2D(-1), "sizes must not be negative"),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(UsageError, match=message):
        make()
