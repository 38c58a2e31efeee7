"""Calls that compute as at inference in training too: moving statistics, no dropout, and still trainable."""

from dataclasses import replace

import numpy as np
import pytest

from dltool.engine.batch import Batch
from dltool.engine.executor import Executor
from dltool.engine.graph import Graph, GraphBuilder, Node
from dltool.engine.layers import (
    GRU,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePooling2D,
    TimeDistributed,
)
from dltool.engine.losses import loss
from dltool.engine.model import Model
from dltool.engine.optimizers import SGD
from dltool.engine.reference import ReferenceExecutor
from dltool.engine.surgery import insert_after_input

EXECUTORS = (Executor, ReferenceExecutor)


def still(graph: Graph) -> Graph:
    """The same with every call at inference that would compute otherwise in training."""
    nodes = tuple(replace(node, inference=node.layer.trains_differently) for node in graph.nodes)
    return Graph(nodes, graph.outputs, graph.name)


def chain(shape: tuple[int, ...], *layers) -> Graph:
    b = GraphBuilder()
    place = b.input(shape)
    for layer in layers:
        place = b.add(layer, place)
    return b.graph(place)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_gamma_and_beta_train_on_the_moving_statistics(executor):
    model = Model.build(still(chain((1,), BatchNormalization(epsilon=0.0, name="bn"))))
    gamma, beta, mean, variance = model.weights.views["bn"]
    mean[...], variance[...] = 1.0, 4.0
    x, y = np.array([[3.0], [-1.0], [7.0]], np.float32), np.zeros((3, 1), np.float32)
    with executor(model, batch_size=3, losses=(loss("mse"),), optimizer=SGD(), jobs=1) as engine:
        value = engine.train_step(Batch((x,), (y,), None, None), 1, 0.3)
    # (x - 1) / 2 is 1, -1, 3, so the loss is 11 / 3, its gradient 22 / 3 in gamma and 2 in beta.
    assert value == pytest.approx(11 / 3)
    assert gamma[0] == pytest.approx(1 - 0.3 * 22 / 3, abs=1e-6)
    assert beta[0] == pytest.approx(-0.6, abs=1e-6)
    assert (mean[0], variance[0]) == (1.0, 4.0)


def networks() -> dict[str, Graph]:
    images = (Conv2D(3, 3), BatchNormalization(), Dropout(0.5), GlobalAveragePooling2D(), Dense(2))
    rows = (TimeDistributed(layer=BatchNormalization()), GRU(3, dropout=0.5), Dense(2))
    return {"images": chain((5, 5, 2), *images), "rows": chain((4, 3), *rows)}


@pytest.mark.parametrize("name", networks())
def test_both_executors_train_as_if_nothing_were_random_or_coupled(name):
    graph = still(networks()[name])
    random = np.random.default_rng(0)
    x, y = random.standard_normal((6, *graph.input_shapes[0]), np.float32), np.ones((6, 2), np.float32)
    values = []
    for executor in EXECUTORS:
        model = Model.build(graph, seed=1)
        with executor(model, batch_size=6, losses=(loss("mse"),), optimizer=SGD(), jobs=1) as engine:
            before = engine.forward((x,))[0].copy()
            first = engine.train_step(Batch((x,), (y,), None, None), 1, 0.1)
        assert first == pytest.approx(float(np.square(before - 1).mean()), rel=1e-5)
        values.append(model.weights.vector.copy())
    assert values[0] == pytest.approx(values[1], abs=1e-6)
    assert not np.array_equal(values[0], Model.build(graph, seed=1).weights.vector)


def test_a_call_at_inference_makes_a_chain_no_sequential_model_and_survives_surgery():
    graph = chain((3,), Dense(2), Dropout(0.5, name="drop"))
    assert graph.is_sequential and not still(graph).is_sequential
    longer = insert_after_input(still(graph), Dense(3, name="first"))
    assert [node for node in longer.nodes if node.inference] == [Node(graph.layers["drop"], (2,), True)]
