"""Cutting and joining networks: what stays, what it is called, and that its numbers do not change."""

import numpy as np
import pytest

from dltool.engine.executor import Executor
from dltool.engine.graph import GraphBuilder
from dltool.engine.layers import (
    Activation,
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    InputLayer,
    Rescaling,
    Softmax,
)
from dltool.engine.model import Model
from dltool.engine.surgery import (
    after_popping,
    batch_normalisations,
    cut,
    depth_rates,
    graft,
    head_start,
    insert_after_input,
    is_called,
    node_named,
    renamed,
    resized,
    transplant,
    weighted_layers,
    with_trainable,
    without_dropout,
)
from dltool.errors import UsageError
from tests.engine.networks import classic, normalized, perceptron, residual


def chain(*layers, shape=(4,)):
    builder = GraphBuilder()
    node = builder.input(shape)
    for layer in layers:
        node = builder.add(layer, node)
    return builder.graph(node)


def outputs(graph, weights, x):
    with Executor(Model(graph, weights), batch_size=len(x), jobs=1, backend="threads") as executor:
        return executor.forward((x,))[0]


def names(graph):
    return [node.name for node in graph.nodes]


@pytest.mark.parametrize(
    ("graph", "kept"),
    [
        (chain(Dense(8, name="features"), Dense(3, activation="softmax")), "features"),
        (chain(Dense(8, name="features"), Dropout(0.5), Dense(3), Activation("softmax")), "features"),
        (chain(Dense(8), Activation("relu", name="features"), Dense(3)), "features"),
        (classic(), "dense"),
        (normalized(), "global_average_pooling2d"),
        (residual(), "global_average_pooling2d"),
        (
            chain(
                GlobalAveragePooling2D(keepdims=True, name="features"),
                Dropout(0.1),
                Conv2D(5, 1),
                Flatten(),
                Activation("softmax"),
                shape=(6, 6, 3),
            ),
            "features",
        ),
        (
            chain(
                Conv2D(4, 3, name="features"),
                Dropout(0.5),
                Conv2D(5, 1),
                Activation("relu"),
                GlobalAveragePooling2D(),
                Activation("softmax"),
                shape=(6, 6, 3),
            ),
            "features",
        ),
        (
            chain(
                Conv2D(4, 3, name="features"),
                Dropout(0.5),
                Conv2D(5, 1),
                Activation("relu"),
                GlobalAveragePooling2D(),
                Softmax(),
                shape=(6, 6, 3),
            ),
            "features",
        ),
    ],
)
def test_the_usual_head_is_the_last_dense_with_what_belongs_to_it(graph, kept):
    assert graph.nodes[head_start(graph)].name == kept


def test_another_end_is_refused_with_the_options_that_help():
    graph = chain(Conv2D(3, 3), BatchNormalization(), shape=(6, 6, 3))
    with pytest.raises(UsageError, match=r"ends with BatchNormalization 'batch_normalization', .* give --pop N or"):
        head_start(graph)
    features = chain(Conv2D(3, 3), GlobalAveragePooling2D(name="gap"), Activation("relu"), shape=(6, 6, 3))
    with pytest.raises(UsageError, match=r"ends with GlobalAveragePooling2D 'gap', .* --pop 0 keeps all of it"):
        head_start(features)


def test_popping_counts_layers_from_the_end():
    graph = chain(Dense(8, name="a"), Dense(7, name="b"), Dropout(0.5), Dense(3))
    assert [graph.nodes[after_popping(graph, n)].name for n in (1, 2, 3)] == ["dropout", "b", "a"]
    with pytest.raises(UsageError, match="--pop: layer 'input_layer' is the input, and something must stay"):
        after_popping(graph, 5)
    with pytest.raises(UsageError, match=r"--pop: layer 'add.*' joins 2 layers"):
        after_popping(residual(), 4)


def test_a_layer_is_found_by_name_with_the_nearest_on_a_typo():
    graph = classic()
    assert graph.nodes[node_named(graph, "flatten")].name == "flatten"
    with pytest.raises(UsageError, match="--at: the model has no layer 'flaten'; did you mean 'flatten'"):
        node_named(graph, "flaten")


def test_several_outputs_need_the_layers_name():
    builder = GraphBuilder()
    x = builder.input((4,))
    graph = builder.graph(builder.add(Dense(2), x), builder.add(Dense(3), x))
    with pytest.raises(UsageError, match="the model has 2 outputs; name where to cut with --at LAYER"):
        head_start(graph)
    assert names(cut(graph, node_named(graph, "dense_1"))) == ["input_layer", "dense_1"]


def test_a_cut_keeps_what_the_node_needs_and_its_numbers():
    graph = residual(widths=(4, 8))
    weights = Model.build(graph, seed=1).weights
    x = np.random.default_rng(0).normal(size=(3, 24, 24, 3)).astype(np.float32)
    part = cut(graph, head_start(graph))
    assert part.output_shapes == ((8,),)
    assert len(part.nodes) == len(graph.nodes) - 1
    features = outputs(part, weights, x)
    kernel, bias = weights.views["dense"]
    logits = features @ kernel + bias
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert outputs(graph, weights, x) == pytest.approx(probs, abs=1e-5)


def test_branches_that_the_cut_does_not_need_go_too():
    builder = GraphBuilder()
    x = builder.input((4,))
    a, b = builder.add(Dense(4, name="a"), x), builder.add(Dense(4, name="b"), x)
    graph = builder.graph(builder.add(Dense(2, name="c"), builder.add(Add(), a, b)))
    assert names(cut(graph, a)) == ["input_layer", "a"]


def test_a_graft_computes_head_after_base():
    base = perceptron()
    head = renamed(chain(Dense(6, activation="relu"), Dense(2), shape=(10,)), base.layers)
    whole = graft(base, head)
    assert names(whole)[-2:] == ["dense_3", "dense_4"]
    assert sum(isinstance(node.layer, InputLayer) for node in whole.nodes) == 1
    x = np.random.default_rng(0).normal(size=(5, 20)).astype(np.float32)
    model, alone = Model.build(whole), Model.build(head)
    transplant(model, alone, ["dense_3", "dense_4"])
    after = outputs(head, alone.weights, outputs(base, model.weights, x))
    assert outputs(whole, model.weights, x) == pytest.approx(after, abs=1e-6)


def test_renaming_counts_on_past_names_that_are_taken():
    head = chain(Dense(3), Dense(4))
    found = renamed(head, ["dense", "dense_2"])
    assert names(found) == ["input_layer", "dense_3", "dense_1"]
    assert names(renamed(head, [])) == names(head)


def test_a_layer_goes_between_the_input_and_all_its_readers():
    builder = GraphBuilder()
    x = builder.input((4,))
    y = builder.add(Dense(4, name="a"), x)
    graph = builder.graph(builder.add(Add(name="sum"), x, y))
    found = insert_after_input(graph, Rescaling(0.5, name="half"))
    assert [[found.nodes[i].name for i in node.inputs] for node in found.nodes] == [
        [],
        ["input_layer"],
        ["half"],
        ["half", "a"],
    ]
    assert found.output_names == ("sum",)


def test_freezing_and_freeing_by_name():
    graph = with_trainable(classic(), {"conv2d": False, "dense": False})
    assert [name for name, layer in graph.layers.items() if not layer.trainable] == ["conv2d", "dense"]
    assert with_trainable(graph, {"dense": True}).layers["dense"].trainable
    assert weighted_layers(graph) == ["conv2d", "conv2d_1", "dense", "dense_1"]
    assert batch_normalisations(normalized()) == [
        "batch_normalization",
        "batch_normalization_1",
        "batch_normalization_2",
        "batch_normalization_3",
    ]


def test_dropout_is_switched_off_where_named():
    graph = without_dropout(classic(), ["dropout", "conv2d"])
    assert (graph.layers["dropout"].rate, graph.layers["dropout_1"].rate) == (0.0, 0.5)


def test_transplanted_weights_are_copies_of_those_named():
    source, target = Model.build(classic(), seed=1), Model.build(classic(), seed=2)
    before = target.weights.views["dense_1"][0].copy()
    transplant(source, target, ["conv2d", "dense"])
    for name in ("conv2d", "dense"):
        pairs = zip(source.weights.views[name], target.weights.views[name], strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    assert np.array_equal(target.weights.views["dense_1"][0], before)
    source.weights.vector[...] = 0
    assert target.weights.views["dense"][0].any()
    other = Model.build(chain(Dense(5, name="dense")))
    with pytest.raises(UsageError, match="layer 'dense': has weights of 200x64, here 4x5 are needed"):
        transplant(source, other, ["dense"])


def test_rates_go_by_depth_and_the_head_has_the_last():
    graph = chain(*(Dense(4, name=f"d{i}") for i in range(7)))
    found = depth_rates(graph, ["d5", "d6"], (1e-4, 1e-3, 1e-2))
    assert [found[f"d{i}"] for i in range(7)] == pytest.approx([0.01, 0.01, 0.01, 0.1, 0.1, 1, 1])
    # The head has the last rate even where it is most of the network.
    assert depth_rates(graph, ["d1", "d2", "d3", "d4", "d5", "d6"], (1e-4, 1e-2))["d1"] == 1
    assert set(depth_rates(graph, [], (0.5,)).values()) == {1.0}


def nested():
    """Two models inside a model: ``left`` and ``right`` each have a ``conv``; ``left`` ends with ``left/pool``."""
    builder = GraphBuilder()
    x = builder.add(Conv2D(3, 3, name="left/conv"), builder.input((8, 8, 1)))
    x = builder.add(Conv2D(3, 3, name="left/inner/last"), x)
    middle = builder.add(GlobalAveragePooling2D(name="left/pool"), x)
    y = builder.add(GlobalAveragePooling2D(name="right/gap"), builder.add(Conv2D(2, 3, name="right/conv"), x))
    return builder.graph(builder.add(Dense(2, name="head"), builder.add(Add(name="sum"), middle, middle)), y)


@pytest.mark.parametrize(
    ("pattern", "called"),
    [
        ("left/conv", {"left/conv"}),
        ("conv", {"left/conv", "right/conv"}),
        ("left", {"left/conv", "left/inner/last", "left/pool"}),
        ("inner/*", {"left/inner/last"}),
        ("*a*", {"left/inner/last", "right/gap", "head"}),
        ("con", set()),
    ],
)
def test_any_part_of_the_way_to_a_nested_layer_names_it(pattern, called):
    assert {name for name in nested().layers if is_called(name, pattern)} - {"input_layer"} == called


def test_a_nested_layer_is_found_by_its_end_and_a_nested_model_by_where_it_is_left():
    graph = nested()
    assert graph.nodes[node_named(graph, "last")].name == "left/inner/last"
    assert graph.nodes[node_named(graph, "inner/last")].name == "left/inner/last"
    assert graph.nodes[node_named(graph, "right")].name == "right/gap"
    with pytest.raises(UsageError, match="--at: 'conv' may be 'left/conv' or 'right/conv'; give the whole name"):
        node_named(graph, "conv")
    with pytest.raises(UsageError, match="--at: 'left' may be 'left/inner/last' or 'left/pool'"):
        node_named(graph, "left")
    with pytest.raises(UsageError, match="--at: the model has no layer 'lst'; did you mean 'last'"):
        node_named(graph, "lst")


def test_a_convolutional_network_takes_another_size_and_keeps_its_weights():
    graph = chain(Conv2D(2, 3), BatchNormalization(), GlobalAveragePooling2D(), Dense(3), shape=(8, 8, 1))
    larger = resized(graph, (12, 9, 1))
    assert larger.input_shapes == ((12, 9, 1),) and larger.shapes[1] == (10, 7, 2)
    assert larger.specs == graph.specs


def test_what_stands_against_another_size_is_named():
    flat = chain(Conv2D(2, 3), Flatten(), Dense(3, name="fc"), shape=(4, 4, 1))
    with pytest.raises(UsageError, match="6x6x1 instead of 4x4x1: layer 'fc' has weights for 8 and would get 32; keep"):
        resized(flat, (6, 6, 1))
    with pytest.raises(UsageError, match=r"2x2x1 instead of 4x4x1: layer 'conv2d'.* is too small"):
        resized(flat, (2, 2, 1))
