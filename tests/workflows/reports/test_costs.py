"""Multiply-adds and memory of small layers, counted by hand."""

import pytest

from dltool.architectures.words import from_words
from dltool.engine.model import Model
from dltool.modelfile.saved import SavedModel
from dltool.workflows.summary import describe_model


def described(words, shape):
    return describe_model(SavedModel(Model.build(from_words(words, shape))))


@pytest.mark.parametrize(
    ("words", "shape", "expected"),
    [
        (["dense:5"], (3,), 15),
        (["dense:5"], (7, 3), 7 * 15),  # the same weights at seven places
        (["conv2d:4,3"], (8, 6, 2), 6 * 4 * 4 * 3 * 3 * 2),
        (["conv2d:4,3,same,strides=2"], (8, 6, 2), 4 * 3 * 4 * 3 * 3 * 2),
        (["conv2d:4,1x5,same,groups=2"], (8, 6, 2), 8 * 6 * 4 * 5 * 1),
        (["depthwise:3,same"], (8, 6, 2), 8 * 6 * 2 * 9),
        (["bn"], (8, 6, 2), 96),
        (["rescaling:2"], (8, 6, 2), 96),
        (["maxpool:2"], (8, 6, 2), 0),
        (["relu"], (8,), 0),
        (["gap", "dense:3,softmax"], (8, 6, 2), 6),
    ],
)
def test_multiply_adds_of_a_sample(words, shape, expected):
    assert described(words, shape).multiply_adds == expected


def test_a_classic_network_by_hand():
    # LeNet-like on 28x28x1: 24*24*6*25, 8*8*16*150, 256*120, 120*84, 84*10
    words = ["conv2d:6,5,relu", "maxpool:2", "conv2d:16,5,relu", "maxpool:2", "flatten"]
    result = described([*words, "dense:120,relu", "dense:84,relu", "dense:10,softmax"], (28, 28, 1))
    assert result.multiply_adds == 86_400 + 153_600 + 30_720 + 10_080 + 840
    outputs = [784, 24 * 24 * 6, 12 * 12 * 6, 8 * 8 * 16, 4 * 4 * 16, 256, 120, 84, 10]
    assert [row.activation_bytes for row in result.rows] == [4 * size for size in outputs]
    assert result.activation_bytes == 4 * sum(outputs)


def test_open_sizes_are_not_guessed():
    result = described(["conv2d:4,3", "gap", "dense:2"], (None, None, 3))
    assert [row.multiply_adds for row in result.rows] == [0, None, 0, 8]
    assert (result.multiply_adds, result.activation_bytes) == (None, None)


def test_a_shared_layer_costs_at_every_place_but_counts_its_weights_once():
    from dltool.engine.graph import GraphBuilder
    from dltool.engine.layers import Add, Dense

    builder = GraphBuilder()
    x, shared = builder.input((3,)), Dense(4, name="shared")
    graph = builder.graph(builder.add(Add(), builder.add(shared, x), builder.add(shared, x)))
    result = describe_model(SavedModel(Model.build(graph)))
    assert (result.multiply_adds, result.parameters) == (24, 16)
