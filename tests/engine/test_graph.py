"""Graphs check themselves; parameters lie in one vector."""

import numpy as np
import pytest

from dltool.engine.graph import Graph, GraphBuilder, Node, snake_case
from dltool.engine.layers import Add, BatchNormalization, Conv2D, Dense, Flatten, InputLayer
from dltool.engine.model import Model
from dltool.errors import UsageError


def test_layers_get_kerass_automatic_names():
    b = GraphBuilder()
    x = b.input((8, 8, 1))
    for _ in range(3):
        x = b.add(Conv2D(2, 3), x)
    names = [node.name for node in b.graph(x).nodes]
    assert names == ["input_layer", "conv2d", "conv2d_1", "conv2d_2"]
    assert [snake_case(n) for n in ("ReLU", "MaxPooling2D", "LeakyReLU", "GlobalAveragePooling2D")] == [
        "re_lu",
        "max_pooling2d",
        "leaky_re_lu",
        "global_average_pooling2d",
    ]


def test_shapes_that_do_not_fit_name_the_layer_and_its_source():
    b = GraphBuilder()
    x = b.add(Flatten(name="flat"), b.input((4, 4, 1)))
    x = b.add(Conv2D(2, 3, name="late"), x)
    with pytest.raises(UsageError, match=r"layer 'late' \(after 'flat'\).*height x width x channels"):
        b.graph(x)


def test_an_image_that_has_shrunk_away_is_refused():
    b = GraphBuilder()
    x = b.add(Conv2D(2, 5, name="c"), b.input((4, 4, 1)))
    with pytest.raises(UsageError, match=r"layer 'c'.*too small"):
        b.graph(x)


def test_two_layers_cannot_share_a_name():
    b = GraphBuilder()
    x = b.add(Dense(3, name="d"), b.input((4,)))
    with pytest.raises(UsageError, match="two layers have this name"):
        b.graph(b.add(Dense(3, name="d"), x))


def test_a_layer_cannot_read_a_later_one():
    layers = (InputLayer(shape=(2,), name="in"), Dense(2, name="d"))
    with pytest.raises(UsageError, match="cannot form a loop"):
        Graph((Node(layers[0]), Node(layers[1], (1,))), (1,))


def test_a_shared_layer_is_two_nodes_and_counts_once():
    b = GraphBuilder()
    shared = Dense(4, name="shared")
    x = b.add(shared, b.input((4,)))
    graph = b.graph(b.add(shared, x))
    assert graph.num_parameters == 4 * 4 + 4
    assert not graph.is_sequential


def test_chains_are_sequential_and_branches_are_not():
    b = GraphBuilder()
    x = b.add(Dense(4), b.input((4,)))
    assert b.graph(x).is_sequential
    assert not b.graph(b.add(Add(), x, x)).is_sequential


def test_statistics_lie_behind_the_weights_in_one_vector():
    b = GraphBuilder()
    x = b.add(BatchNormalization(name="bn"), b.add(Dense(3, name="a"), b.input((2,))))
    model = Model.build(b.graph(b.add(Dense(1, name="z"), x)))
    store = model.weights
    order = [(slot.layer, slot.spec.name) for slot in store.slots]
    assert order == [
        ("a", "kernel"),
        ("a", "bias"),
        ("bn", "gamma"),
        ("bn", "beta"),
        ("z", "kernel"),
        ("z", "bias"),
        ("bn", "moving_mean"),
        ("bn", "moving_variance"),
    ]
    assert store.num_parameters == 6 + 3 + 6 + 4 + 6
    assert store.num_trainable == store.num_parameters - 6
    store.views["bn"][3][...] = 7
    assert np.array_equal(store.vector[-3:], [7, 7, 7])


def test_spans_leave_frozen_layers_out_and_carry_rates():
    b = GraphBuilder()
    x = b.add(Dense(3, name="a", trainable=False), b.input((2,)))
    model = Model.build(b.graph(b.add(Dense(1, name="z"), x)))
    spans = model.weights.spans(model.graph, {"z": 0.1})
    assert [(s.start, s.stop, s.rate) for s in spans] == [(9, 12, 0.1), (12, 13, 0.1)]


def test_the_same_seed_gives_the_same_weights():
    b = GraphBuilder()
    graph = b.graph(b.add(Dense(30), b.input((20,))))
    first, again, other = (Model.build(graph, seed).weights.vector for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
