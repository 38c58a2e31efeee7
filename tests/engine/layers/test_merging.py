"""Joining layers by hand."""

import numpy as np
import pytest

from dltool.engine.layers import Add, Call, Concatenate
from dltool.errors import UsageError


def test_add_stretches_sizes_of_one_and_folds_the_gradient():
    image, channel = np.ones((2, 3, 3, 2)), np.array([[10.0, 20.0], [30.0, 40.0]]).reshape(2, 1, 1, 2)
    y, backward = Add().forward((image, channel), (), Call())
    np.testing.assert_array_equal(y[1, 2, 0], [31, 41])
    (dimage, dchannel), _ = backward(np.ones_like(y))
    assert dimage.shape == image.shape
    np.testing.assert_array_equal(dchannel, np.full((2, 1, 1, 2), 9.0))


def test_add_gives_each_input_its_own_gradient_array():
    x = np.ones((1, 2))
    y, backward = Add().forward((x, x), (), Call())
    (first, second), _ = backward(y)
    assert not np.shares_memory(first, second) and not np.shares_memory(first, y)


def test_concatenate_splits_the_gradient():
    a, b = np.zeros((1, 2, 2)), np.ones((1, 2, 1))
    y, backward = Concatenate().forward((a, b), (), Call())
    np.testing.assert_array_equal(y, [[[0, 0, 1], [0, 0, 1]]])
    (da, db), _ = backward(np.arange(6.0).reshape(1, 2, 3))
    np.testing.assert_array_equal(da, [[[0, 1], [3, 4]]])
    np.testing.assert_array_equal(db, [[[2], [5]]])


@pytest.mark.parametrize(
    ("layer", "shapes", "expected"),
    [
        (Add(), ((4, 4, 3), (4, 4, 3)), (4, 4, 3)),
        (Add(), ((None, None, 3), (1, 1, 3)), (None, None, 3)),
        (Add(), ((None, 3), (5, 3)), (5, 3)),
        (Add(), ((3,), (4, 3)), (4, 3)),
        (Concatenate(), ((4, 4, 3), (4, 4, 5)), (4, 4, 8)),
        (Concatenate(axis=1), ((4, 3), (2, 3)), (6, 3)),
        (Concatenate(axis=1), ((None, 3), (2, 3)), (None, 3)),
        (Concatenate(), ((None, 3), (7, 3)), (7, 6)),
    ],
)
def test_output_shapes_also_of_unknown_sizes(layer, shapes, expected):
    assert layer.output_shape(shapes) == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Add().output_shape(((4, 4, 3), (2, 2, 3))), "cannot join 4x4x3 and 2x2x3; make the sizes equal"),
        (lambda: Add().output_shape(((4,),)), "joins several inputs but gets one"),
        (lambda: Concatenate().output_shape(((4, 4, 3), (2, 4, 3))), "cannot join 4x4x3 and 2x4x3 along axis -1"),
        (lambda: Concatenate().output_shape(((4, 3), (3,))), "they need the same number of axes"),
        (lambda: Concatenate(axis=3).output_shape(((4, 3), (4, 3))), "axis 3: its inputs have axes 1 to 2"),
        (lambda: Concatenate(axis=0), "axis 0 is the batch"),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(UsageError, match=message):
        make()
