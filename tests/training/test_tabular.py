"""Scaling of tables, by hand."""

import numpy as np
import pytest

from dltool.engine.graph import GraphBuilder
from dltool.engine.layers import Add, Dense
from dltool.engine.model import Model
from dltool.engine.reference import ReferenceExecutor
from dltool.training.tabular import adapt, moments, with_normalization, with_scaled_output
from tests.training.rows import chain

ROWS = np.array([[1, 10, 5], [3, 30, 5], [5, 20, 5], [3, 20, 5]], np.float32)


def chunks():
    return iter([ROWS[:3], ROWS[3:]])


def test_moments_are_those_of_all_chunks_and_constant_columns_keep_their_scale():
    mean, deviation = moments(chunks)
    assert mean.tolist() == [3, 20, 5]
    assert deviation.tolist() == pytest.approx([2**0.5, 50**0.5, 1])


def test_moments_of_large_numbers_keep_their_digits():
    rows = np.array([[1e6], [1e6 + 1], [1e6 + 2]], np.float32)
    mean, deviation = moments(lambda: iter([rows]))
    assert (mean[0], deviation[0]) == (1e6 + 1, pytest.approx((2 / 3) ** 0.5, rel=1e-12))


def test_the_network_sees_columns_of_mean_0_and_deviation_1():
    plain = chain(3, Dense(3, use_bias=False, kernel_initializer="identity")).graph
    model = Model.build(with_normalization(plain))
    adapt(model, chunks, len(ROWS))
    (y,) = ReferenceExecutor(model, batch_size=4).forward((ROWS,))
    assert y.mean(axis=0).tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert y.std(axis=0).tolist() == pytest.approx([1, 1, 0], abs=1e-6)
    assert float(model.weights.views["normalization"][2]) == 4


def test_normalization_goes_between_the_input_and_all_that_read_it():
    builder = GraphBuilder()
    x = builder.input((3,))
    graph = builder.graph(builder.add(Add(), builder.add(Dense(3), x), x))
    changed = with_normalization(graph)
    assert [(n.name, n.inputs) for n in changed.nodes[1:]] == [
        ("normalization", (0,)),
        ("dense", (1,)),
        ("add", (2, 1)),
    ]
    assert changed.outputs == (3,)


def test_outputs_are_scaled_to_the_targets():
    graph = with_scaled_output(chain(1, Dense(2, kernel_initializer="zeros")).graph, ROWS[:, :2])
    model = Model.build(graph)
    model.weights.views["dense"][1][...] = 1
    (y,) = ReferenceExecutor(model, batch_size=1).forward((np.zeros((1, 1), np.float32),))
    assert y[0].tolist() == pytest.approx([3 + 2**0.5, 20 + 50**0.5])
