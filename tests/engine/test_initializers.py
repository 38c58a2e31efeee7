"""Initializers: Keras's distributions, by formula."""

import math

import numpy as np
import pytest

from dltool.engine.initializers import (
    INITIALIZERS,
    Constant,
    HeNormal,
    Orthogonal,
    VarianceScaling,
    fans,
    initializer,
)
from dltool.errors import UnknownNameError, UsageError

SHAPE = (3, 3, 40, 80)  # fan_in 360, fan_out 720


def draw(value, shape=SHAPE, seed=1):
    return initializer(value)(shape, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_normal", 2 / (360 + 720)),
        ("glorot_uniform", 2 / (360 + 720)),
        ("he_normal", 2 / 360),
        ("he_uniform", 2 / 360),
        ("lecun_normal", 1 / 360),
        ("lecun_uniform", 1 / 360),
        ("random_normal", 0.05**2),
        ("random_uniform", 0.1**2 / 12),
    ],
)
def test_variance_is_as_in_the_papers(name, variance):
    values = draw(name)
    assert values.std() == pytest.approx(math.sqrt(variance), rel=0.01)
    assert values.mean() == pytest.approx(0, abs=3 * math.sqrt(variance / values.size))


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("glorot_uniform", math.sqrt(6 / (360 + 720))),  # Glorot and Bengio 2010, equation 16
        ("he_uniform", math.sqrt(6 / 360)),
        ("lecun_uniform", math.sqrt(3 / 360)),
        ("random_uniform", 0.05),
        ("truncated_normal", 0.1),
        ("he_normal", 2 * math.sqrt(2 / 360) / 0.87962566103423978),
    ],
)
def test_numbers_reach_the_limit_and_never_pass_it(name, limit):
    largest = np.abs(draw(name)).max()
    assert largest <= limit * 1.000001
    assert largest > limit * 0.995


@pytest.mark.parametrize(
    ("shape", "expected"), [((), (1, 1)), ((7,), (7, 7)), ((5, 6), (5, 6)), ((3, 2, 4, 8), (24, 48))]
)
def test_fans(shape, expected):
    assert fans(shape) == expected


@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_every_initializer_gives_float32_of_the_shape_and_repeats(name):
    values = draw(name, (6, 4))
    assert values.dtype == np.float32 and values.shape == (6, 4)
    np.testing.assert_array_equal(values, draw(name, (6, 4)))


@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_config_round_trip(name):
    first = initializer(name)
    assert initializer({"class_name": name, "config": {**first.config(), "seed": 4}}) == first


@pytest.mark.parametrize("shape", [(3, 3, 2, 5), (4, 9), (9, 4)])
def test_orthogonal_rows_or_columns(shape):
    matrix = draw(Orthogonal(gain=2.0), shape).reshape(-1, shape[-1])
    product = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-5)


def test_constants():
    np.testing.assert_array_equal(draw("zeros", (2,)), [0, 0])
    np.testing.assert_array_equal(draw("one", (2,)), [1, 1])
    np.testing.assert_array_equal(draw(Constant(3), (2,)), [3, 3])
    np.testing.assert_array_equal(draw("identity", (2, 3)), [[1, 0, 0], [0, 1, 0]])


def test_keras_dict_with_nulls_of_newer_versions():
    """Keras 3.15 writes input_axes and output_axes."""
    found = initializer(
        {
            "module": "keras.initializers",
            "class_name": "HeNormal",
            "config": {"seed": None, "input_axes": None, "output_axes": None},
            "registered_name": None,
        }
    )
    assert found == HeNormal()


def test_variance_scaling_normal_means_truncated():
    """As in Keras; a Keras 2 file writes it so."""
    config = {"scale": 2, "mode": "FAN_IN", "distribution": "normal", "seed": None, "dtype": "float32"}
    assert initializer({"class_name": "VarianceScaling", "config": config}) == VarianceScaling(
        2.0, "fan_in", "truncated_normal"
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("he_norml", "did you mean 'he_normal'"),
        ({"class_name": "HeNormal", "config": {"gain": 2}}, "'HeNormal': unknown option 'gain'; it takes none"),
        ({"class_name": "VarianceScaling", "config": {"mode": "fan"}}, "mode 'fan'; use fan_in"),
        ({"class_name": "VarianceScaling", "config": {"distribution": "flat"}}, "distribution 'flat'; use truncated"),
    ],
)
def test_wrong_initializers_say_what_is_known(value, message):
    with pytest.raises(UsageError, match=message):
        initializer(value)


@pytest.mark.parametrize("name", ["identity", "orthogonal"])
def test_matrix_initializers_refuse_a_vector(name):
    with pytest.raises(UsageError, match="use another"):
        draw(name, (4,))


def test_unknown_name_is_an_unknown_name_error():
    with pytest.raises(UnknownNameError):
        initializer("xyz")
