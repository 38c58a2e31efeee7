"""Layers that do not train."""

import pytest

from dltool.engine.graph import GraphBuilder
from dltool.engine.layers import BatchNormalization, Dense, Flatten
from dltool.errors import UsageError
from dltool.training.freezing import frozen


@pytest.fixture
def graph():
    """flatten, dense, batch_normalization, dense_1, out."""
    builder = GraphBuilder()
    x = builder.add(Dense(3), builder.add(Flatten(), builder.input((2, 2))))
    x = builder.add(Dense(3), builder.add(BatchNormalization(), x))
    return builder.graph(builder.add(Dense(2, name="out"), x))


def still(graph) -> set[str]:
    return {name for name, layer in graph.layers.items() if not layer.trainable}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0", set()),
        ("1", {"dense"}),
        ("2", {"dense", "batch_normalization"}),
        ("dense*", {"dense", "dense_1"}),
        ("dense_1, batch*", {"dense_1", "batch_normalization"}),
        ("out", {"out"}),
    ],
)
def test_the_first_layers_with_weights_or_those_with_a_name_are_frozen(graph, text, names):
    assert still(frozen(graph, text)) == names


def test_what_is_not_named_is_thawed(graph):
    changed = frozen(graph, "dense")
    assert still(frozen(changed, "out")) == {"out"}
    assert still(frozen(changed, "none")) == set()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dens", "no layer with weights is called 'dens'; did you mean 'dense'"),
        ("flatten", "no layer with weights is called 'flatten'; there are dense, batch_normalization, dense_1, out"),
        (",", "names no layer; give a number, names or patterns"),
        ("*", "leaves no layer to train"),
        ("99", "'99' leaves no layer to train"),
    ],
)
def test_what_names_no_layer_or_all_is_refused(graph, text, message):
    with pytest.raises(UsageError, match=f"--freeze: .*{message}"):
        frozen(graph, text)


def test_layers_of_nested_models_are_frozen_by_any_part_of_their_way():
    builder = GraphBuilder()
    x = builder.add(Dense(3, name="base/block/one"), builder.input((2,)))
    x = builder.add(Dense(3, name="base/two"), x)
    graph = builder.graph(builder.add(Dense(2, name="out"), x))
    assert still(frozen(graph, "base")) == {"base/block/one", "base/two"}
    assert still(frozen(graph, "one")) == {"base/block/one"}
