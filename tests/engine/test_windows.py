"""Padding arithmetic and window views."""

import numpy as np
import pytest

from dltool.engine.windows import add_windows, check_image, crop, output_size, pad, same_padding, windows
from dltool.errors import UsageError


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "expected"),
    [
        (28, 3, 1, 1, (1, 1)),
        (28, 2, 1, 1, (0, 1)),  # what cannot be halved goes to the end
        (224, 7, 2, 1, (2, 3)),  # ResNet's first layer in TensorFlow; PyTorch pads (3, 3)
        (7, 3, 2, 1, (1, 1)),
        (8, 3, 2, 1, (0, 1)),
        (5, 1, 3, 1, (0, 0)),
        (9, 3, 1, 2, (2, 2)),
    ],
)
def test_same_padding_is_tensorflows(size, kernel, stride, dilation, expected):
    assert same_padding(size, kernel, stride, dilation) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((28, 3, 1, 1, "valid"), 26),
        ((28, 3, 2, 1, "valid"), 13),
        ((9, 3, 1, 2, "valid"), 5),
        ((7, 3, 2, 1, "same"), 4),
        ((None, 3, 2, 1, "same"), None),
        ((2, 3, 1, 1, "valid"), 0),
    ],
)
def test_output_size(arguments, expected):
    assert output_size(*arguments) == expected


def test_windows_by_hand():
    x = np.arange(12.0).reshape(1, 3, 4, 1)
    found = windows(x, (2, 2), (2, 2), (1, 2))
    np.testing.assert_array_equal(found[0, 1, 1, :, :, 0], [[6, 7], [10, 11]])
    assert not found.flags.writeable and np.shares_memory(found, x)


def test_dilated_windows_by_hand():
    x = np.arange(9.0).reshape(1, 3, 3, 1)
    np.testing.assert_array_equal(windows(x, (1, 1), (2, 2), (1, 1), (2, 2))[0, 0, 0, :, :, 0], [[0, 2], [6, 8]])


@pytest.mark.parametrize(("strides", "dilation"), [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((1, 2), (2, 1))])
def test_add_windows_is_the_transpose_of_windows(strides, dilation):
    """<windows(x), v> = <x, add_windows(v)> for all x and v."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 7, 8, 3))
    out = tuple(output_size(x.shape[1 + a], 3 - a, strides[a], dilation[a], "valid") for a in (0, 1))
    views = windows(x, out, (3, 2), strides, dilation)
    values, target = rng.normal(size=views.shape), np.zeros_like(x)
    add_windows(target, values, strides, dilation)
    assert (views * values).sum() == pytest.approx((target * x).sum(), rel=1e-12)


def test_crop_undoes_pad():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 2))
    frame = ((0, 2), (3, 1))
    assert pad(x, frame).shape == (2, 5, 8, 2)
    np.testing.assert_array_equal(crop(pad(x, frame), frame), x)


def test_an_input_that_is_no_image_is_explained():
    with pytest.raises(UsageError, match=r"needs an image \(height x width x channels\) but gets 784 \(flattened"):
        check_image((784,))
    with pytest.raises(UsageError, match=r"but gets 28x28; .*reshape its input, e\.g\. 28x28x1"):
        check_image((28, 28))
    with pytest.raises(UsageError, match="number of channels of its input is unknown"):
        check_image((28, 28, None))
