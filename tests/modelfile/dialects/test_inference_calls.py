"""``layer(x, training=False)`` in model files: read from every dialect, kept, and written for Keras."""

import json

import pytest

from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import BatchNormalization, Conv2D
from dltool.errors import ModelFileError
from dltool.modelfile.dialects.channels_first import with_channels_last
from dltool.modelfile.graph_json import AT_INFERENCE, graph_from_json, graph_to_json
from dltool.modelfile.keras_config import keras_differences, keras_model_config
from dltool.modelfile.network import upgrade
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.modelfile.writing import write
from tests.modelfile.models import still


def layer(class_name: str, name: str, nodes: list, **config) -> dict:
    return {"class_name": class_name, "name": name, "config": {"name": name, **config}, "inbound_nodes": nodes}


BASE = {
    "name": "base",
    "layers": [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 4], "name": "in"}},
        {"class_name": "BatchNormalization", "config": {"name": "norm"}},
        {"class_name": "Dense", "config": {"name": "dense", "units": 2}},
        {"class_name": "Dropout", "config": {"name": "drop", "rate": 0.5}},
    ],
}


def functional(base_node, own_node) -> dict:
    layers = [
        layer("InputLayer", "x", [], batch_input_shape=[None, 4]),
        {"class_name": "Sequential", "name": "base", "config": BASE, "inbound_nodes": [base_node]},
        layer("BatchNormalization", "own", [own_node]),
    ]
    config = {"name": "m", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["own", 0, 0]]}
    return {"class_name": "Functional", "config": config}


def keras2(*told: dict) -> dict:
    return functional([["x", 0, 0, told[0]]], [["base", 1, 0, told[1]]])


def keras3(*told: dict) -> dict:
    def tensor(name: str) -> dict:
        return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}

    return functional(*({"args": [tensor(name)], "kwargs": t} for name, t in zip(("x", "base"), told, strict=True)))


def quiet(graph: Graph) -> list[str]:
    """The layers that compute as at inference."""
    return [node.name for node in graph.nodes if node.inference]


@pytest.mark.parametrize(("dialect", "version"), [(keras2, "2.15.0"), (keras3, "3.5.0")])
def test_a_call_without_training_holds_for_all_in_a_nested_model(dialect, version):
    graph = upgrade(dialect({"training": False}, {}), version).graph()
    # Dense computes the same in training, so that it needs no word.
    assert quiet(graph) == ["base/norm", "base/drop"]
    assert quiet(upgrade(dialect({}, {"training": False}), version).graph()) == ["own"]
    for other in ({}, {"training": None}, {"mask": None}):
        assert quiet(upgrade(dialect(other, other), version).graph()) == []
    with pytest.raises(ModelFileError, match="is called with training=True, which is not supported"):
        upgrade(dialect({"training": True}, {}), version)


def test_it_survives_our_own_file_and_is_written_for_keras(tmp_path):
    model = still()
    assert quiet(graph_from_json(json.loads(json.dumps(graph_to_json(model.graph))))) == ["norm", "drop"]
    write(SavedModel(model), tmp_path / "m.h5")
    assert quiet(read(tmp_path / "m.h5").model.graph) == ["norm", "drop"]
    config = keras_model_config(model.graph)
    nodes = {entry["name"]: entry["inbound_nodes"] for entry in config["config"]["layers"]}
    assert nodes["norm"] == [[["conv", 0, 0, {"training": False}]]]
    assert nodes["pool"] == [[["drop", 0, 0, {}]]]
    assert quiet(upgrade(config, "2.15.0").graph()) == ["norm", "drop"]
    (told,) = keras_differences(model.graph)
    assert told == "Keras 3 trains 'norm' as usual; dltool and tf_keras keep it as at inference (training=False)"


def test_turning_channels_keeps_it():
    b = GraphBuilder()
    x = b.add(Conv2D(2, 3, name="conv"), b.input((6, 6, 3), "x"))
    canonical = graph_to_json(b.graph(b.add(BatchNormalization(axis=-1, name="norm"), x)))
    canonical["nodes"][2].append(AT_INFERENCE)
    turned = with_channels_last({**canonical, "layers": dict(canonical["layers"])}, {"conv"})
    assert [node[0] for node in turned["nodes"] if node[2:] == [AT_INFERENCE]] == ["norm"]
