"""The canonical form of graphs, and what is made of Keras's configs of both generations."""

import json

import pytest

from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import LAYERS, LSTM, BatchNormalization, Dense, LeakyReLU, Part, ReLU
from dltool.engine.layers.base import Layer
from dltool.engine.regularizers import Regularizer
from dltool.errors import ModelFileError
from dltool.modelfile.graph_json import build_layer, graph_from_json, graph_to_json, layer_to_json
from dltool.modelfile.keras_config import keras_model_config, keras_names
from dltool.modelfile.network import upgrade
from tests.contracts.layer_cases import CASES

INPUT = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 4], "name": "x"}}


def dense(name: str = "d", **changes) -> dict:
    return {"class_name": "Dense", "config": {"name": name, "units": 3, **changes}}


def sequential(*layers: dict) -> dict:
    return {"class_name": "Sequential", "config": {"name": "m", "layers": list(layers)}}


def graph_of(model: dict, version: int = 2) -> Graph:
    return graph_from_json(upgrade(model, str(version)).canonical)


def only_layer(class_name: str, config: dict, version: int = 2, shape: tuple = (4,)) -> Layer:
    start = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, *shape], "name": "x"}}
    return graph_of(sequential(start, {"class_name": class_name, "config": {"name": "a", **config}}), version).layers[
        "a"
    ]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_survives_json(case):
    entry = json.loads(json.dumps(layer_to_json(case.layer)))
    assert build_layer(case.layer.name, entry) == case.layer


LAYER_CASES = [c for c in CASES if type(c.layer).__name__ != "InputLayer" and not c.layer.is_part]


@pytest.mark.parametrize("case", LAYER_CASES, ids=str)
def test_every_layer_survives_the_keras_config(case):
    builder = GraphBuilder()
    inputs = [builder.input(shape) for shape in case.shapes]
    graph = builder.graph(builder.add(case.layer, *inputs))
    name = graph.nodes[-1].name
    read = graph_of(json.loads(json.dumps(keras_model_config(graph))), version=3).layers[name]
    written = graph.layers[name]
    for key, value in written.config().items():
        if not key.endswith("_initializer") and key != "unbiased_moving_variance":  # Keras has no place for them
            assert getattr(read, key) == value, key


def test_every_registered_layer_is_in_these_cases():
    assert {type(case.layer).__name__ for case in CASES} == set(LAYERS.names())


def test_a_graph_with_a_shared_layer_and_two_outputs_survives_json():
    builder = GraphBuilder("twins")
    a, b = builder.input((4,), "a"), builder.input((4,), "b")
    shared = Dense(3, name="shared", kernel_regularizer=Regularizer(l2=0.1))
    graph = builder.graph(builder.add(shared, a), builder.add(shared, b))
    again = graph_from_json(json.loads(json.dumps(graph_to_json(graph))))
    assert (again.nodes, again.outputs, again.name) == (graph.nodes, graph.outputs, "twins")
    through_keras = graph_of(json.loads(json.dumps(keras_model_config(graph))))
    assert [node.inputs for node in through_keras.nodes] == [(), (), (0,), (1,)]
    assert through_keras.outputs == (2, 3)


def test_keras_1_style_lists_and_missing_input_layers_are_read():
    first = dense(batch_input_shape=[None, 4])
    for config in ([first, dense("e")], {"name": "m", "layers": [first, dense("e")]}):
        graph = graph_of({"class_name": "Sequential", "config": config})
        assert list(graph.layers) == ["d_input", "d", "e"]
        assert graph.shapes == [(4,), (3,), (3,)]


def test_layers_of_a_functional_model_may_be_listed_in_any_order():
    def entry(name, source):
        return {**dense(name), "name": name, "inbound_nodes": [[[source, 0, 0, {}]]]}

    layers = [entry("last", "first"), entry("first", "x"), {**INPUT, "name": "x", "inbound_nodes": []}]
    config = {"layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["last", 0, 0]]}
    graph = graph_of({"class_name": "Model", "config": config})
    assert [node.name for node in graph.nodes] == ["x", "first", "last"]


def test_keras_3_noise_is_stripped():
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
    init = {"module": "keras.initializers", "class_name": "HeNormal", "config": {"seed": 1}, "registered_name": None}
    noisy = {
        "module": "keras.layers",
        "registered_name": None,
        "build_config": {"input_shape": [None, 4]},
        **dense(dtype=policy, kernel_initializer=init, lora_rank=None, quantization_config=None),
    }
    layer = graph_of(sequential(INPUT, noisy), version=3).layers["d"]
    assert layer == Dense(3, name="d", kernel_initializer="he_normal")


@pytest.mark.parametrize(
    ("class_name", "config", "expected"),
    [
        ("LeakyReLU", {"alpha": 0.2}, LeakyReLU(0.2, name="a")),
        ("LeakyReLU", {"alpha": {"type": "ndarray", "value": 0.2}}, LeakyReLU(0.2, name="a")),
        ("ReLU", {"max_value": 6.0, "negative_slope": None}, ReLU(6.0, name="a")),
        ("BatchNormalization", {"axis": [1], "fused": True}, BatchNormalization(1, name="a")),
    ],
)
def test_old_spellings_of_options_are_understood(class_name, config, expected):
    assert only_layer(class_name, config, version=3) == expected


def test_hard_sigmoid_depends_on_the_version_of_keras():
    config = {"activation": "hard_sigmoid"}
    assert only_layer("Activation", config, version=2).activation == "hard_sigmoid_keras2"
    assert only_layer("Activation", config, version=3).activation == "hard_sigmoid"


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (dense(kernel_constraint={"class_name": "Nope", "config": {}}), r"layer 'd' \(Dense\).*Nope"),
        (dense(surprise=1), r"layer 'd' \(Dense\): the option surprise='1' is not supported"),
        (dense(dtype="int8"), r"layer 'd'.*int8"),
        (dense(units=0), r"layer 'd' \(Dense\): units is 0"),
        (dense(units="many"), r"layer 'd'.*cannot be used"),
        (dense(activation={"class_name": "PReLU", "config": {}}), r"layer 'd'.*PReLU"),
        (dense(activation="no_such"), r"layer 'd'.*no_such"),
        (dense(kernel_initializer={"class_name": "Nope", "config": {}}), r"layer 'd'.*Nope"),
        ({"class_name": "Lambda", "config": {"name": "l"}}, r"layer 'l': is a Lambda layer, which is code"),
        ({"class_name": "Hashing", "config": {"name": "g"}}, r"layer 'g': the class 'Hashing' is not supported"),
        ({"class_name": "fc", "config": {"name": "g", "units": 2}}, r"the class 'fc' is not supported"),
        ({"module": "os", **dense()}, r"os.Dense, which is code of Python"),
        ({"module": "mine", **dense()}, r"the class 'mine>Dense' is not supported"),
        ({"registered_name": "mine>Dense", **dense()}, r"the class 'mine>Dense' is not supported"),
        ({**dense("../x")}, r"'../x' is not a possible layer name"),
        (dense("x"), r"layer 'x': two layers have this name"),
        ("not a layer", r"layer 2 of its model_config is not a layer"),
    ],
)
def test_unsupported_layers_are_refused_by_name(layer, message):
    with pytest.raises(ModelFileError, match=message):
        graph_of(sequential(INPUT, layer))


def functional(*layers: tuple[str, str, int], output: str = "a") -> dict:
    entries = [{**dense(n), "name": n, "inbound_nodes": [[[source, call, 0, {}]]]} for n, source, call in layers]
    config = {
        "layers": [{**INPUT, "name": "x", "inbound_nodes": []}, *entries],
        "input_layers": [["x", 0, 0]],
        "output_layers": [[output, 0, 0]],
    }
    return {"class_name": "Functional", "config": config}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (functional(("a", "b", 0), ("b", "a", 0)), "layers cannot form a loop"),
        (functional(("a", "nope", 0)), "layer 'a': reads call 0 of layer 'nope', which does not exist"),
        (functional(("a", "x", 3)), "reads call 3 of layer 'x', which is called 1 times"),
        (functional(("a", "x", 0), output="zz"), "the model's output: reads call 0 of layer 'zz'"),
        ({"class_name": "Functional", "config": {}}, "has no layers"),
        ({"class_name": "Dense", "config": {}}, "'Dense', not a Sequential or Functional model"),
        ([], "not a Sequential or Functional model"),
        (sequential(), "has no layers"),
        (sequential(dense()), "does not say its shape"),
    ],
)
def test_impossible_graphs_are_refused(model, message):
    with pytest.raises(ModelFileError, match=message):
        graph = upgrade(model, "2").canonical
        graph_from_json(graph)


def test_models_nested_too_deeply_are_refused():
    model = sequential(INPUT, dense())
    for level in range(40):
        inner = {**model, "config": {**model["config"], "name": f"n{level}"}}
        model = sequential(INPUT, inner)
    with pytest.raises(ModelFileError, match="nests more than 32 models"):
        graph_of(model)


def test_a_nested_model_called_twice_shares_its_layers_whichever_way_calls_are_counted():
    def siamese(first, second, twice):
        nodes = [[["x", 0, 0, {}]], [["x", 0, 0, {}]]] if not twice else [[["x", 0, 0, {}]]] * 4
        sub = {**sequential({**INPUT, "config": {**INPUT["config"], "name": "si"}}, dense("inner")), "name": "sub"}
        add = {"class_name": "Add", "name": "add", "config": {"name": "add"}}
        layers = [
            {**INPUT, "name": "x", "inbound_nodes": []},
            {**sub, "inbound_nodes": nodes},
            {**add, "inbound_nodes": [[["sub", first, 0, {}], ["sub", second, 0, {}]]]},
        ]
        config = {"layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["add", 0, 0]]}
        return {"class_name": "Functional", "config": config}

    # Keras 3 counts from 0, Keras 2 from 1, files for both list every call twice.
    for model, version in ((siamese(0, 1, False), 3), (siamese(1, 2, False), 2), (siamese(1, 3, True), 2)):
        graph = graph_of(model, version)
        assert {node.name for node in graph.nodes} == {"x", "sub/inner", "add"}
        assert len(graph.nodes[-1].inputs) == 2


def test_names_that_keras_does_not_allow_are_changed_and_stay_unique():
    builder = GraphBuilder()
    x = builder.input((4,), "x")
    for name in ("a/b", "a_b"):
        x = builder.add(Dense(2, name=name), x)
    names = keras_names(builder.graph(x))
    assert "/" not in "".join(names.values())
    assert len(set(names.values())) == 3
    assert names["a_b"] == "a_b"


def test_states_that_a_layer_returns_and_takes_survive_the_keras_config():
    b = GraphBuilder()
    encoder = b.add(LSTM(4, return_sequences=True, return_state=True, name="enc"), b.input((5, 3)))
    states = [b.add(Part(index, count=2, sequences=True, name=f"enc/output_{index}"), encoder) for index in (1, 2)]
    decoder = b.add(LSTM(4, name="dec"), b.input((4, 2)), *states)
    graph = b.graph(decoder, states[1])
    config = json.loads(json.dumps(keras_model_config(graph)))
    assert [layer["name"] for layer in config["config"]["layers"]] == ["input_layer", "enc", "input_layer_1", "dec"]
    assert config["config"]["output_layers"] == [["dec", 0, 0], ["enc", 0, 2]]
    read = graph_of(config, version=3)
    assert graph_to_json(read)["layers"].keys() == graph_to_json(graph)["layers"].keys()
    assert read.output_shapes == ((4,), (4,))
    assert [read.nodes[i].name for i in read.nodes[-1].inputs] == ["input_layer_1", "enc/output_1", "enc/output_2"]


def test_states_as_keras_2_writes_them():
    lstm = {"units": 4, "activation": "tanh", "recurrent_activation": "sigmoid", "return_state": True}
    layers = [
        {"class_name": "InputLayer", "name": "a", "config": {"batch_input_shape": [None, 5, 3]}, "inbound_nodes": []},
        {"class_name": "LSTM", "name": "r", "config": lstm, "inbound_nodes": [[["a", 0, 0, {}]]]},
        {
            "class_name": "LSTM",
            "name": "s",
            "config": {**lstm, "return_state": False},
            "inbound_nodes": [[["a", 0, 0, {}], ["r", 0, 1, {}], ["r", 0, 2, {}]]],
        },
    ]
    config = {"name": "m", "layers": layers, "input_layers": [["a", 0, 0]], "output_layers": [["s", 0, 0]]}
    graph = graph_of({"class_name": "Functional", "config": config})
    assert [graph.nodes[i].layer for i in graph.nodes[-1].inputs[1:]] == [
        Part(1, count=2, name="r/output_1"),
        Part(2, count=2, name="r/output_2"),
    ]


def test_an_old_gru_without_the_option_resets_before_the_product():
    assert only_layer("GRU", {"units": 2}, shape=(3, 4)).reset_after is False
    assert only_layer("GRU", {"units": 2, "reset_after": True}, shape=(3, 4)).reset_after is True
