"""Layers for any shape: values by hand, errors, dropout's bytes."""

import numpy as np
import pytest

from dltool.engine.layers import (
    Call,
    Dense,
    Dropout,
    Flatten,
    InputLayer,
    LeakyReLU,
    Normalization,
    ReLU,
    Rescaling,
    Reshape,
)
from dltool.engine.streams import Stream
from dltool.errors import UnknownNameError, UsageError


def run(layer, x, weights=(), **call):
    return layer.forward(np.asarray(x, float), tuple(np.asarray(w, float) for w in weights), Call(**call))[0]


def test_dense_by_hand():
    y = run(Dense(2, activation="relu"), [[1, 2]], ([[1, -1], [3, 0]], [0.5, 0.25]))
    np.testing.assert_array_equal(y, [[7.5, 0.0]])


def test_dense_works_on_the_last_axis_of_an_image():
    assert Dense(8).output_shape((28, 28, 3)) == (28, 28, 8)
    assert Dense(8).output_shape((None, None, 3)) == (None, None, 8)
    assert [spec.shape for spec in Dense(8).weight_specs((28, 28, 3))] == [(3, 8), (8,)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(0), "units is 0; it must be a whole number above zero"),
        (lambda: Dense(2.5), "units is 2.5"),
        (lambda: Dense(2).output_shape((None,)), "features of its input is unknown; .*GlobalAveragePooling2D"),
        (lambda: Dense(2).output_shape(()), "gets one number per sample"),
        (lambda: Dense(2, kernel_regularizer="l5"), "unknown regularizer 'l5'"),
        (lambda: Reshape((3, 3)).output_shape((10,)), "cannot make 3x3 of 10, which has 10 numbers"),
        (lambda: Reshape((3, -1)).output_shape((10,)), "cannot make 3x-1 of 10"),
        (lambda: Reshape((-1, -1)), "at most one is -1"),
        (lambda: Dropout(1.5), "dropout rate 1.5: must lie between 0 and 1"),
        (lambda: Rescaling([1, 2]).output_shape((4, 3)), "scale has 2 numbers, but its input has 3 channels"),
        (lambda: Normalization(mean=1.0), "mean and variance belong together"),
        (lambda: Normalization(axis=3).output_shape((4, 3)), "axis 3: its input has axes 1 to 2"),
        (lambda: Normalization(axis=0).output_shape((4, 3)), "axis 0: its input has axes 1 to 2"),
        (lambda: Normalization(axis=1).output_shape((None, 3)), "axis 1 of its input has no fixed size"),
        (lambda: Normalization(mean=[1, 2], variance=[1, 1]).output_shape((3,)), "mean has 2 numbers.*needs 3"),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_unknown_activation_is_found_when_the_layer_is_made():
    with pytest.raises(UnknownNameError, match="did you mean 'relu'"):
        Dense(2, activation="rellu")


def test_fields_are_canonical_so_that_equal_layers_compare_equal():
    assert Dense(3, None, kernel_initializer="GlorotUniform") == Dense(
        3, "linear", kernel_initializer={"class_name": "GlorotUniform", "config": {"seed": 1}}
    )
    assert Dense(3, "swish").activation == "silu"
    assert InputLayer(shape=[None, 3]).shape == (None, 3)


def test_flatten_keeps_row_major_order():
    np.testing.assert_array_equal(run(Flatten(), np.arange(6).reshape(1, 2, 3)), [np.arange(6)])
    assert Flatten().output_shape((None, 4, 3)) == (None,)
    assert Flatten().output_shape(()) == (1,)


def test_reshape_works_out_one_size():
    assert Reshape((2, -1)).output_shape((3, 4)) == (2, 6)
    assert Reshape((2, -1)).output_shape((None, 4)) == (2, None)


def test_relu_options():
    """Keras: max_value above it, x between, slope * (x - threshold) below."""
    x = [[-2.0, 0.5, 1.5, 4.0]]
    np.testing.assert_allclose(run(ReLU(), x), [[0, 0.5, 1.5, 4.0]])
    np.testing.assert_allclose(run(ReLU(3.0, 0.1, 1.0), x), [[-0.3, -0.05, 1.5, 3.0]])
    np.testing.assert_allclose(run(LeakyReLU(0.5), x), [[-1, 0.5, 1.5, 4]])
    assert ReLU(negative_slope=None) == ReLU()


def test_rescaling_by_channel():
    np.testing.assert_allclose(run(Rescaling([1, 2], [0, -1]), [[[3, 4]]]), [[[3, 7]]])


def test_dropout_drops_the_rounded_share_and_keeps_the_mean():
    layer = Dropout(0.3)
    y = run(layer, np.ones((64, 1000)), training=True, stream=Stream(1, 2, 3))
    assert layer.threshold == 77  # 0.3 * 256 = 76.8
    assert set(np.unique(y)) == {0.0, 256 / 179}
    assert (y == 0).mean() == pytest.approx(77 / 256, abs=0.006)  # 3.3 standard deviations


def test_dropout_uses_one_byte_per_element_of_its_stream():
    x = np.ones((2, 5))
    y = run(Dropout(0.5), x, training=True, stream=Stream(1, 2, 3))
    np.testing.assert_array_equal(y != 0, Stream(1, 2, 3).random_bytes(x.shape) >= 128)


@pytest.mark.parametrize(("rate", "threshold"), [(0, 0), (0.001, 0), (0.25, 64), (0.999, 255), (1, 255)])
def test_dropout_thresholds(rate, threshold):
    assert Dropout(rate).threshold == threshold


def test_dropout_passes_on_at_inference():
    np.testing.assert_array_equal(run(Dropout(0.9), [[1, 2, 3]]), [[1, 2, 3]])


def test_normalization_with_weights_and_with_numbers():
    x = [[1.0, 10.0], [3.0, 10.0]]
    weights = ([2.0, 10.0], [4.0, 0.0], 2.0)
    expected = [[-0.5, 0.0], [0.5, 0.0]]  # a variance of 0 divides by 1e-7
    np.testing.assert_allclose(run(Normalization(), x, weights), expected)
    fixed = Normalization(mean=[2.0, 10.0], variance=[4.0, 0.0])
    np.testing.assert_allclose(run(fixed, x), expected)
    assert fixed.weight_specs((2,)) == ()
    back = Normalization(mean=[2.0, 10.0], variance=[4.0, 0.0], invert=True)
    np.testing.assert_allclose(run(back, expected), x)


def test_normalization_weights_are_statistics():
    specs = Normalization().weight_specs((28, 28, 3))
    assert [(s.name, s.shape, s.trainable) for s in specs] == [
        ("mean", (3,), False),
        ("variance", (3,), False),
        ("count", (), False),
    ]
    assert Normalization(axis=None).weight_specs((28, 28, 3))[0].shape == ()
    assert Normalization(axis=(1, 3)).weight_specs((28, 20, 3))[0].shape == (28, 3)
