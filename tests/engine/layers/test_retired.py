"""The layers that only Keras 1 had, by hand."""

import numpy as np
import pytest

from dltool.engine.layers import Call, Highway, MaxoutDense, ParametricSoftplus, SReLU


def output(layer, x, *weights):
    return layer.forward(np.array(x, float), tuple(np.array(weight, float) for weight in weights), Call())[0]


def test_maxout_takes_the_largest_of_its_dense_layers():
    kernel = [[[1, 0], [0, 1]], [[-1, 0], [0, 2]]]  # two features of 2 -> 2
    found = output(MaxoutDense(2, 2), [[3, 1], [-2, -1]], kernel, [[0, 0], [1, -4]])
    assert found.tolist() == [[3, 1], [3, -1]]  # max(3, -2), max(1, -2); max(-2, 3), max(-1, -6)


def test_highway_mixes_input_and_transform_by_its_gate():
    eye = np.eye(2)
    gate = [np.log(3), -np.log(3)]  # sigmoid: 3/4, 1/4
    found = output(Highway(activation="relu"), [[2.0, 4.0]], 2 * eye, 0 * eye, [1, -10], gate)
    assert found[0].tolist() == pytest.approx([0.75 * 5 + 0.25 * 2, 0.25 * 0 + 0.75 * 4])


def test_srelu_is_x_between_its_thresholds_and_two_lines_beyond():
    weights = [[-1.0], [0.5], [-2.0], [0.25]]  # from -1 to -1 + |-2| = 1
    found = output(SReLU(), [[-3.0], [-1.0], [0.5], [1.0], [3.0]], *weights)
    assert found[:, 0].tolist() == [-2.0, -1.0, 0.5, 1.0, 1.5]


def test_parametric_softplus_has_a_height_and_a_slope():
    found = output(ParametricSoftplus(), [[0.0], [1.0]], [0.5], [2.0])
    assert found[:, 0].tolist() == pytest.approx([0.5 * np.log(2), 0.5 * np.log(1 + np.exp(2))])
