"""The canonical form of graphs, and what is made of Keras's configs of both generations."""

import json

import numpy as np
import pytest

from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import LAYERS, LSTM, BatchNormalization, Dense, InputLayer, LeakyReLU, Operation, Part, ReLU
from dltool.engine.layers.base import Layer
from dltool.engine.model import Model
from dltool.engine.reference import ReferenceExecutor
from dltool.engine.regularizers import Regularizer
from dltool.engine.weights import ParameterStore
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


LAYER_CASES = [c for c in CASES if not isinstance(c.layer, InputLayer | Operation) and not c.layer.is_part]
OPERATION_CASES = [c for c in CASES if isinstance(c.layer, Operation)]


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


@pytest.mark.parametrize("case", OPERATION_CASES, ids=str)
def test_every_operation_survives_the_keras_config_with_its_shapes(case):
    """It may come back as a layer that does the same; ``tests/golden`` compares the numbers."""
    builder = GraphBuilder()
    inputs = [builder.input(shape) for shape in case.shapes]
    graph = builder.graph(builder.add(case.layer, *inputs))
    read = graph_of(json.loads(json.dumps(keras_model_config(graph))), version=3)
    assert read.output_shapes == graph.output_shapes
    x = tuple(np.random.default_rng(0).uniform(0.5, 2.0, (2, *shape)).astype(np.float32) for shape in case.shapes)
    found = []
    for one in (graph, read):
        with ReferenceExecutor(Model(one, ParameterStore(one)), batch_size=2) as executor:
            found.append(executor.forward(x)[0].copy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


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
        (
            {"class_name": "Hashing", "config": {"name": "g"}},
            r"layer 'g': is a Hashing layer, which turns text or keys",
        ),
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


def siamese(first: int, second: int, twice: bool) -> dict:
    """A nested model that is called twice with the same input; the two numbers are those of its calls."""
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


def test_a_nested_model_called_twice_shares_its_layers_whichever_way_calls_are_counted():
    # Keras 3 counts from 0, Keras 2 from 1, files for both list every call twice.
    for model, version in ((siamese(0, 1, False), 3), (siamese(1, 2, False), 2), (siamese(1, 3, True), 2)):
        graph = graph_of(model, version)
        assert {node.name for node in graph.nodes} == {"x", "sub/inner", "add"}
        assert len(graph.nodes[-1].inputs) == 2


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("twice", [True, False])
@pytest.mark.parametrize("wrong", [5, 7, 19_999, 10**9, -1, "0", None])
def test_a_wrong_call_of_a_nested_model_is_an_error_and_no_loop(wrong, twice, version):
    """tf_keras never comes back from such a file."""
    with pytest.raises(ModelFileError, match=r"layer 'add': (reads call|.* is not a tensor of the model)"):
        graph_of(siamese(0, wrong, twice), version)


def test_a_nested_model_that_reads_itself_is_an_error_and_no_loop():
    model = siamese(0, 1, False)
    model["config"]["layers"][1]["inbound_nodes"][0] = [["sub", 1, 0, {}]]
    model["config"]["layers"][1]["inbound_nodes"][1] = [["sub", 0, 0, {}]]
    with pytest.raises(ModelFileError, match=r"layer 'sub': its input depends on its own output"):
        graph_of(model, 3)


def test_the_type_of_a_first_layer_is_that_of_its_input():
    layers = [
        {"class_name": "Dense", "config": {"name": "d", "units": 2, "dtype": "int32", "batch_input_shape": [None, 3]}}
    ]
    assert graph_of({"class_name": "Sequential", "config": layers}).output_shapes == ((2,),)
    layers.append({"class_name": "Dense", "config": {"name": "e", "units": 2, "dtype": "int32"}})
    with pytest.raises(ModelFileError, match=r"layer 'e' \(Dense\): the type 'int32' is not supported"):
        graph_of({"class_name": "Sequential", "config": layers})


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


def called(name: str, *sources: object, **layer: object) -> dict:
    """A layer entry of a functional model; its sources as Keras 2 writes them."""
    config = {"name": name, **layer.pop("config", {})}
    return {"class_name": "Dense", "config": config, "name": name, "inbound_nodes": list(sources), **layer}


def test_inputs_and_outputs_in_dicts_count_by_their_sorted_keys():
    """As tf.nest and optree flatten dicts."""
    layers = [
        called("a", class_name="InputLayer", config={"batch_input_shape": [None, 2]}),
        called("b", class_name="InputLayer", config={"batch_input_shape": [None, 3]}),
        called("c", [["a", 0, 0, {}]], config={"units": 4}),
        called("d", [["b", 0, 0, {}]], config={"units": 5}),
    ]
    config = {
        "layers": layers,
        "input_layers": {"z": ["a", 0, 0], "y": ["b", 0, 0]},
        "output_layers": {"q": ["c", 0, 0], "p": [["d", 0, 0]]},
    }
    graph = graph_of({"class_name": "Functional", "config": config})
    assert (graph.input_shapes, graph.output_shapes) == (((3,), (2,)), ((5,), (4,)))


@pytest.mark.parametrize(
    "inputs", [[["left", 0, 0], ["right", 0, 0]], {"left": ["left", 0, 0], "right": ["right", 0, 0]}]
)
def test_a_nested_model_called_with_a_dict_takes_its_inputs_by_name(inputs):
    def tensor(name: str, size: int) -> dict:
        config = {"shape": [None, size], "keras_history": [name, 0, 0]}
        return {"class_name": "__keras_tensor__", "config": config}

    def source(name: str, size: int) -> dict:
        return called(name, class_name="InputLayer", config={"batch_shape": [None, size]})

    inner = {
        "layers": [
            source("left", 2),
            source("right", 3),
            called("l", {"args": [tensor("left", 2)], "kwargs": {}}, config={"units": 4}),
            called("r", {"args": [tensor("right", 3)], "kwargs": {}}, config={"units": 5}),
        ],
        "input_layers": inputs,
        "output_layers": [["l", 0, 0], ["r", 0, 0]],
    }
    call = {"args": [{"right": tensor("b", 3), "left": tensor("a", 2)}], "kwargs": {}}
    layers = [source("b", 3), source("a", 2), called("m", call, class_name="Functional", config=inner)]
    outer = {"layers": layers, "input_layers": [["b", 0, 0], ["a", 0, 0]], "output_layers": [["m", 0, 0], ["m", 0, 1]]}
    graph = graph_of({"class_name": "Functional", "config": outer}, 3)
    assert graph.input_shapes == ((3,), (2,))
    assert graph.output_shapes == ((4,), (5,))


def test_a_nested_call_that_keras_3_counts_from_0_and_from_1_is_one_call():
    """Where a model's output is a nested model's, which another layer of it also reads."""
    inner = called("m", [["x", 0, 0, {}]], class_name="Sequential", config={"layers": [INPUT, dense()]})
    start = called("x", class_name="InputLayer", config={"batch_input_shape": [None, 4]})
    layers = [start, inner, called("e", [["m", 0, 0, {}]], config={"units": 2})]
    config = {"layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["m", 1, 0], ["e", 0, 0]]}
    assert graph_of({"class_name": "Functional", "config": config}, 3).output_shapes == ((3,), (2,))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            dense(activation={"class_name": "__lambda__", "config": {"value": ["4wEA", None, None]}}),
            r"layer 'd' \(Dense\): its activation is a Python function, which is code",
        ),
        (
            {"class_name": "RNN", "config": {"name": "r", "cell": {"class_name": "Own>Cell", "config": {}}}},
            "layer 'r': is an RNN around Own>Cell, which is not supported; use LSTM or GRU",
        ),
        (
            {
                "class_name": "RNN",
                "config": {
                    "name": "r",
                    "return_state": True,
                    "cell": {"class_name": "StackedRNNCells", "config": {"cells": [{"class_name": "GRUCell"}]}},
                },
            },
            "layer 'r': keeps or returns the states of several cells",
        ),
    ],
)
def test_what_cannot_be_taken_apart_is_refused_for_its_reason(layer, message):
    with pytest.raises(ModelFileError, match=message):
        graph_of(sequential(INPUT, layer))


def test_the_mask_of_a_sequence_goes_on_beside_returned_states():
    options = {"units": 3, "return_sequences": True, "return_state": True}
    layers = [
        called("x", class_name="InputLayer", config={"batch_input_shape": [None, 4]}),
        called(
            "e", [["x", 0, 0, {}]], class_name="Embedding", config={"input_dim": 5, "output_dim": 2, "mask_zero": True}
        ),
        called("l", [["e", 0, 0, {}]], class_name="LSTM", config=options),
        called(
            "b",
            [["l", 0, 0, {}]],
            class_name="Bidirectional",
            config={"layer": {"class_name": "GRU", "config": options}},
        ),
    ]
    outputs = [["l", 0, 0], ["l", 0, 1], ["b", 0, 0], ["b", 0, 2]]
    graph = graph_of(
        {
            "class_name": "Functional",
            "config": {"layers": layers, "input_layers": [["x", 0, 0]], "output_layers": outputs},
        }
    )
    assert [graph.masks[index] for index in graph.outputs] == [(4,), None, (4,), None]
    assert graph.output_shapes == ((4, 3), (3,), (4, 6), (3,))


def keras3_call(name: str) -> dict:
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 4], "keras_history": [name, 0, 0]}}
    return {"args": [tensor], "kwargs": {}}


def test_the_calls_of_a_model_over_time_are_understood_as_keras_3_writes_them():
    start = called("i", class_name="InputLayer", config={"batch_shape": [None, 4]})
    inner = {
        "layers": [start, called("d", keras3_call("i"), config={"units": 3})],
        "input_layers": [["i", 0, 0]],
        "output_layers": [["d", 0, 0]],
    }
    model = {"class_name": "Functional", "config": {"name": "inner", **inner}}
    first = {"class_name": "InputLayer", "config": {"batch_shape": [None, 5, 4], "name": "x"}}
    graph = graph_of(sequential(first, {"class_name": "TimeDistributed", "config": {"name": "t", "layer": model}}), 3)
    assert graph.output_shapes == ((5, 3),)
    assert list(graph.layers) == ["x", "t/d"]


def test_what_keras_3_computes_for_masks_is_left_out():
    operations = [called("o", keras3_call("x"), class_name=name) | {"name": name} for name in ("NotEqual", "LogicalOr")]
    call = keras3_call("x") | {"kwargs": {"mask": keras3_call("LogicalOr")["args"][0]}}
    layers = [
        called("x", class_name="InputLayer", config={"batch_shape": [None, 4]}),
        *operations,
        called("d", call, config={"units": 3}),
    ]
    config = {"layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["d", 0, 0]]}
    assert list(graph_of({"class_name": "Functional", "config": config}, 3).layers) == ["x", "d"]


@pytest.mark.parametrize(("outputs", "expected"), [([1, 2], [1, 3]), ([2, 1], [3, 1]), ([2], [3])])
def test_keras_3_counts_the_outputs_of_nested_functional_models_from_1_and_their_readers_from_0(outputs, expected):
    """Node 1 is the model's first call, on x; its second call, node 3, reads what e makes of the first."""

    def read_from(name: str) -> dict:
        tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 4], "keras_history": [name, 0, 0]}}
        return {"args": [tensor], "kwargs": {}}

    start = called("i", class_name="InputLayer", config={"batch_shape": [None, 4]})
    inner = {
        "layers": [start, called("d", read_from("i"), config={"units": 4})],
        "input_layers": [["i", 0, 0]],
        "output_layers": [["d", 0, 0]],
    }
    layers = [
        called("x", class_name="InputLayer", config={"batch_shape": [None, 4]}),
        called("m", read_from("x"), read_from("e"), class_name="Functional", config=inner),
        called("e", read_from("m"), config={"units": 4}),
    ]
    config = {"layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["m", n, 0] for n in outputs]}
    assert list(graph_of({"class_name": "Functional", "config": config}, 3).outputs) == expected
