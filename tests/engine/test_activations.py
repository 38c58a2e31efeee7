"""Activations: Keras's values and gradients, recorded; derivatives; float types; large inputs."""

import math

import numpy as np
import pytest

from dltool.engine.activations import ACTIVATIONS, activation, activation_name, erf
from dltool.errors import UnknownNameError

X = [-7.5, -2.75, -1.0, -0.3, 0.2, 0.75, 2.0, 6.5]

# Recorded with Keras 3.15.1 on TensorFlow, floatx float64: keras.activations.get(name) on one row X, and the gradient
# in X of sum(y * [1 .. 8]). Some of its constants are float32 even then (leaky_relu, gelu), hence the tolerances.
KERAS = {
    "celu": (
        [-0.99944691563, -0.936072138793, -0.632120558829, -0.259181779318, 0.2, 0.75, 2.0, 6.5],
        [0.000553084370148, 0.127855722413, 1.10363832351, 2.96327288273, 5.0, 6.0, 7.0, 8.0],
    ),
    "elu": (
        [-0.99944691563, -0.936072138793, -0.632120558829, -0.259181779318, 0.2, 0.75, 2.0, 6.5],
        [0.000553084370148, 0.127855722413, 1.10363832351, 2.96327288273, 5.0, 6.0, 7.0, 8.0],
    ),
    "exponential": (
        [
            0.000553084370148,
            0.0639278612067,
            0.367879441171,
            0.740818220682,
            1.22140275816,
            2.11700001661,
            7.38905609893,
            665.141633044,
        ],
        [
            0.000553084370148,
            0.127855722413,
            1.10363832351,
            2.96327288273,
            6.1070137908,
            12.7020000997,
            51.7233926925,
            5321.13306435,
        ],
    ),
    "gelu": (
        [
            -2.39317109815e-13,
            -0.00819435007335,
            -0.158655258073,
            -0.114626573931,
            0.11585194162,
            0.580029482818,
            1.95449973241,
            6.49999999974,
        ],
        [
            -1.79383317815e-12,
            -0.0440550720499,
            -0.24994639934,
            1.07068894765,
            3.28734122805,
            5.9953542971,
            7.59662263342,
            8.00000001356,
        ],
    ),
    "hard_shrink": ([-7.5, -2.75, -1.0, 0.0, 0.0, 0.75, 2.0, 6.5], [1.0, 2.0, 3.0, 0.0, 0.0, 6.0, 7.0, 8.0]),
    "hard_sigmoid": (
        [0.0, 0.0416666666667, 0.333333333333, 0.45, 0.533333333333, 0.625, 0.833333333333, 1.0],
        [0.0, 0.333333333333, 0.5, 0.666666666667, 0.833333333333, 1.0, 1.16666666667, 0.0],
    ),
    "hard_silu": (
        [-0.0, -0.114583333333, -0.333333333333, -0.135, 0.106666666667, 0.46875, 1.66666666667, 6.5],
        [0.0, -0.833333333333, 0.5, 1.6, 2.83333333333, 4.5, 8.16666666667, 8.0],
    ),
    "hard_tanh": ([-1.0, -1.0, -1.0, -0.3, 0.2, 0.75, 1.0, 1.0], [0.0, 0.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0]),
    "leaky_relu": (
        [-1.50000002235, -0.550000008196, -0.20000000298, -0.0600000008941, 0.2, 0.75, 2.0, 6.5],
        [0.20000000298, 0.40000000596, 0.600000008941, 0.800000011921, 5.0, 6.0, 7.0, 8.0],
    ),
    "linear": ([-7.5, -2.75, -1.0, -0.3, 0.2, 0.75, 2.0, 6.5], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
    "log_sigmoid": (
        [
            -7.50055293148,
            -2.811967589,
            -1.31326168752,
            -0.854355244469,
            -0.598138869382,
            -0.386871006115,
            -0.126928011043,
            -0.00150231015975,
        ],
        [
            0.999447221363,
            1.87982669965,
            2.19317573589,
            2.29777006725,
            2.25083001344,
            1.92492780495,
            0.834420454155,
            0.0120094580539,
        ],
    ),
    "log_softmax": (
        [
            -14.017733709,
            -9.26773370896,
            -7.51773370896,
            -6.81773370896,
            -6.31773370896,
            -5.76773370896,
            -4.51773370896,
            -0.0177337089624,
        ],
        [
            0.999970591146,
            1.99660079864,
            2.98043894679,
            3.96060887613,
            4.9350550162,
            5.88743391083,
            6.60710574341,
            -27.3672138831,
        ],
    ),
    "mish": (
        [
            -0.00414698564258,
            -0.170193079381,
            -0.303401461374,
            -0.151133177138,
            0.132599001862,
            0.610018335218,
            1.94395895953,
            6.49997070394,
        ],
        [
            -0.0035929070904,
            -0.205434008452,
            0.177650267632,
            1.63404350774,
            3.6231227021,
            5.9145501343,
            7.48522553996,
            8.00043197556,
        ],
    ),
    "relu": ([0.0, 0.0, 0.0, 0.0, 0.2, 0.75, 2.0, 6.5], [0.0, 0.0, 0.0, 0.0, 5.0, 6.0, 7.0, 8.0]),
    "relu6": ([0.0, 0.0, 0.0, 0.0, 0.2, 0.75, 2.0, 6.0], [0.0, 0.0, 0.0, 0.0, 5.0, 6.0, 7.0, 0.0]),
    "selu": (
        [
            -1.75712696358,
            -1.6457078102,
            -1.11133073781,
            -0.455667315379,
            0.210140197471,
            0.788025740517,
            2.10140197471,
            6.82955641781,
        ],
        [
            0.00097237726659,
            0.224783061299,
            1.9403058091,
            5.20972810187,
            5.25350493678,
            6.30420592413,
            7.35490691149,
            8.40560789884,
        ],
    ),
    "sigmoid": (
        [
            0.000552778636924,
            0.060086650174,
            0.26894142137,
            0.425557483188,
            0.549833997312,
            0.679178699175,
            0.880797077978,
            0.998498817743,
        ],
        [
            0.000552473072702,
            0.11295248929,
            0.589835799724,
            0.977833246763,
            1.23758286356,
            1.30736996257,
            0.734955097825,
            0.0119914296686,
        ],
    ),
    "silu": (
        [
            -0.00414583977693,
            -0.165238287979,
            -0.26894142137,
            -0.127667244957,
            0.109966799462,
            0.509384024382,
            1.76159415596,
            6.49024231533,
        ],
        [
            -0.00359076940834,
            -0.190446045199,
            0.216988464386,
            1.40887995872,
            2.99668655927,
            5.05559966698,
            7.63548974149,
            8.06593483479,
        ],
    ),
    "soft_shrink": ([-7.0, -2.25, -0.5, 0.0, 0.0, 0.25, 1.5, 6.0], [1.0, 2.0, 3.0, 0.0, 0.0, 6.0, 7.0, 8.0]),
    "softmax": (
        [
            8.16912612736e-07,
            9.44222598643e-05,
            0.00054336258929,
            0.00109419788532,
            0.00180402732788,
            0.00312683581037,
            0.0109137293499,
            0.982422607865,
        ],
        [
            -5.69368048993e-06,
            -0.000563677725891,
            -0.00270037876052,
            -0.00434369715488,
            -0.00535751856485,
            -0.00615909941044,
            -0.0105836399017,
            0.0297137051987,
        ],
    ),
    "softplus": (
        [
            0.000552931475361,
            0.0619675890032,
            0.313261687518,
            0.554355244469,
            0.798138869382,
            1.13687100611,
            2.12692801104,
            6.50150231016,
        ],
        [
            0.000552778636924,
            0.120173300348,
            0.80682426411,
            1.70222993275,
            2.74916998656,
            4.07507219505,
            6.16557954585,
            7.98799054195,
        ],
    ),
    "softsign": (
        [
            -0.882352941176,
            -0.733333333333,
            -0.5,
            -0.230769230769,
            0.166666666667,
            0.428571428571,
            0.666666666667,
            0.866666666667,
        ],
        [
            0.0138408304498,
            0.142222222222,
            0.75,
            2.36686390533,
            3.47222222222,
            1.95918367347,
            0.777777777778,
            0.142222222222,
        ],
    ),
    "sparse_plus": ([0.0, 0.0, 0.0, 0.1225, 0.36, 0.765625, 2.0, 6.5], [0.0, 0.0, 0.0, 1.4, 3.0, 5.25, 7.0, 8.0]),
    "sparse_sigmoid": ([0.0, 0.0, 0.0, 0.35, 0.6, 0.875, 1.0, 1.0], [0.0, 0.0, 0.0, 2.0, 2.5, 3.0, 0.0, 0.0]),
    "sparsemax": ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    "squareplus": (
        [
            0.131043674065,
            0.325183813592,
            0.61803398875,
            0.861187420808,
            1.10498756211,
            1.44300046816,
            2.41421356237,
            6.65036762718,
        ],
        [
            0.0168825301994,
            0.191263915697,
            0.82917960675,
            1.70331909414,
            2.74875929755,
            4.05337032477,
            5.97487373415,
            7.82311603489,
        ],
    ),
    "tanh": (
        [
            -0.999999388196,
            -0.991859724568,
            -0.761594155956,
            -0.291312612452,
            0.197375320225,
            0.635148952387,
            0.964027580076,
            0.999995479351,
        ],
        [
            1.22360853372e-06,
            0.032428573559,
            1.25992302484,
            3.66054784731,
            4.80521491483,
            3.57951484969,
            0.494555773972,
            7.23302140413e-05,
        ],
    ),
    "tanh_shrink": (
        [
            -6.5000006118,
            -1.75814027543,
            -0.238405844044,
            -0.00868738754841,
            0.0026246797751,
            0.114851047613,
            1.03597241992,
            5.50000452065,
        ],
        [
            0.999998776391,
            1.96757142644,
            1.74007697516,
            0.339452152693,
            0.194785085169,
            2.42048515031,
            6.50544422603,
            7.99992766979,
        ],
    ),
    "hard_sigmoid_keras2": (
        [0.0, 0.0, 0.3, 0.44, 0.54, 0.65, 0.9, 1.0],  # tf_keras 2: clip(0.2 x + 0.5), by hand
        [0.0, 0.0, 0.6, 0.8, 1.0, 1.2, 1.4, 0.0],
    ),
}


def test_every_activation_is_compared_with_keras():
    assert set(ACTIVATIONS) == set(KERAS)


@pytest.mark.parametrize("name", sorted(KERAS))
def test_activation_has_keras_values_and_gradients(name):
    values, gradients = KERAS[name]
    y, backward = activation(name)(np.array([X]))
    np.testing.assert_allclose(y[0], values, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(backward(np.arange(1.0, 9.0)[None])[0], gradients, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_derivative_matches_differences(name):
    rng = np.random.default_rng(3)
    x, direction, weight = (rng.normal(size=(4, 6)) for _ in range(3))
    _, backward = activation(name)(x)
    step = 1e-6
    up, down = (activation(name)(x + sign * step * direction)[0] for sign in (1, -1))
    numeric = (weight * (up - down)).sum() / (2 * step)
    assert (backward(weight) * direction).sum() == pytest.approx(numeric, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_float_type_is_kept_and_input_untouched(name, kind):
    x = np.linspace(-4, 4, 12, dtype=kind).reshape(3, 4)
    dy = np.ones_like(x)
    y, backward = activation(name)(x)
    dx = backward(dy)
    assert y.dtype == dx.dtype == kind
    assert y.shape == dx.shape == x.shape
    assert not np.shares_memory(y, x) and not np.shares_memory(dx, dy)
    np.testing.assert_array_equal(x, np.linspace(-4, 4, 12, dtype=kind).reshape(3, 4))
    np.testing.assert_array_equal(dy, 1)


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"exponential"}))
def test_large_inputs_give_finite_numbers_and_no_warning(name):
    x = np.array([[-1000.0, -90.0, 90.0, 1000.0]], np.float32)
    y, backward = activation(name)(x)
    assert np.isfinite(y).all()
    assert np.isfinite(backward(np.ones_like(x))).all()


@pytest.mark.parametrize(("kind", "tolerance"), [(np.float64, 1e-15), (np.float32, 3e-7)])
def test_erf_is_accurate(kind, tolerance):
    x = np.concatenate([np.linspace(-7, 7, 2001), [1e-9, -1e-9, 40.0, -1e30]]).astype(kind)
    expected = [math.erf(value) for value in x]
    np.testing.assert_allclose(erf(x), expected, rtol=0, atol=tolerance)
    assert erf(x).dtype == kind


def test_sigmoid_keeps_its_digits_far_below_zero():
    assert activation("sigmoid")(np.array([-80.0]))[0][0] == pytest.approx(math.exp(-80), rel=1e-12)


def test_softmax_rows_sum_to_one_also_for_large_logits():
    y, _ = activation("softmax")(np.array([[1e4, 1e4], [-1e4, 0.0]], np.float32))
    np.testing.assert_array_equal(y, [[0.5, 0.5], [0.0, 1.0]])


def test_softmax_is_not_elementwise_but_relu_is():
    assert [name for name in ACTIVATIONS if not activation(name).elementwise] == ["log_softmax", "softmax", "sparsemax"]


def test_sparsemax_by_hand():
    """Scores 1.1, 1, -1: support of two, tau = (2.1 - 1) / 2."""
    y, _ = activation("sparsemax")(np.array([[1.1, 1.0, -1.0]]))
    np.testing.assert_allclose(y, [[0.55, 0.45, 0.0]], atol=1e-15)


def test_names_are_canonical():
    assert activation_name("swish") == "silu"
    assert activation_name("hard_swish") == "hard_silu"
    assert activation_name(None) == "linear"


def test_unknown_activation_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'softmax'"):
        activation("sofmax")
