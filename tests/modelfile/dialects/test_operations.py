"""Arithmetic between layers, as tf.keras and Keras 3 store it."""

import numpy as np
import pytest

from dltool.engine.model import Model
from dltool.engine.reference import ReferenceExecutor
from dltool.errors import ModelFileError
from dltool.modelfile.network import upgrade
from tests.modelfile.dialects.networks import functional


def tensor(name: str) -> dict:
    config = {"shape": [None, 3], "dtype": "float32", "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": config}


def keras3(class_name: str, *arguments: object) -> tuple[dict, str]:
    node = {"args": list(arguments), "kwargs": {}}
    return {"module": "keras.src.ops.numpy", "class_name": class_name, "config": {}, "inbound_nodes": [node]}, "3.15.0"


def keras2(function: str, *call: object) -> tuple[dict, str]:
    return {"class_name": "TFOpLambda", "config": {"function": function}, "inbound_nodes": [[list(call)]]}, "2.12.0"


def graph_of(operation: dict, version: str):
    inputs = [
        {
            "class_name": "InputLayer",
            "name": name,
            "config": {"name": name, "batch_input_shape": [None, 3]},
            "inbound_nodes": [],
        }
        for name in ("x", "z")
    ]
    layers = [*inputs, {**operation, "name": "op", "config": {"name": "op", **operation["config"]}}]
    config = {"layers": layers, "input_layers": [["x", 0, 0], ["z", 0, 0]], "output_layers": [["op", 0, 0]]}
    return upgrade({"class_name": "Functional", "config": config}, version).graph()


X = tensor("x")


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (keras3("Add", X, 3.0), lambda x, z: x + 3),
        (keras3("Add", 3, X), lambda x, z: x + 3),
        (keras3("Subtract", X, 3.0), lambda x, z: x - 3),
        (keras3("Subtract", 3.0, X), lambda x, z: 3 - x),
        (keras3("Multiply", X, 0.5), lambda x, z: x * 0.5),
        (keras3("TrueDivide", X, 4), lambda x, z: x / 4),
        (keras3("Divide", X, 4), lambda x, z: x / 4),
        (keras3("Add", X, tensor("z")), lambda x, z: x + z),
        (keras2("__operators__.add", "x", 0, 0, {"y": 3.0, "name": None}), lambda x, z: x + 3),
        (keras2("math.subtract", "_CONSTANT_VALUE", -1, 3.0, {"y": ["x", 0, 0], "name": None}), lambda x, z: 3 - x),
        (keras2("math.multiply", "x", 0, 0, {"y": 0.5, "name": None}), lambda x, z: x * 0.5),
        (keras2("math.truediv", "x", 0, 0, {"y": 4, "name": None}), lambda x, z: x / 4),
        (keras2("math.subtract", "x", 0, 0, {"y": ["z", 0, 0], "name": None}), lambda x, z: x - z),
    ],
)
def test_arithmetic_becomes_the_layer_that_does_it(operation, expected):
    x, z = np.random.default_rng(0).random((2, 4, 3), np.float32)
    with ReferenceExecutor(Model.build(graph_of(*operation), seed=0), batch_size=4) as executor:
        assert np.allclose(executor.forward((x, z))[0], expected(x, z), atol=1e-6)


@pytest.mark.parametrize(
    "operation",
    [
        keras3("TrueDivide", 2.0, X),
        keras3("Divide", X, 0),
        keras3("Power", 2.0, X),
        keras3("Where", X, X, X),
        keras3("Add", X, "3"),
        keras3("Add", X, True),
        keras3("Add", 1, 2),
        keras2("math.sin", "x", 0, 0, {"y": 3.0}),
        keras2("math.add", "x", 0, 0, {"y": [1, 2]}),  # of three channels
        keras2("math.add", "x", 0, 0, {}),
    ],
)
def test_other_operations_are_refused_by_name(operation):
    with pytest.raises(ModelFileError, match="layer 'op'"):
        graph_of(*operation)


def image_graph(function: str, options: dict, shape: list, *, count: int = 1):
    """A function of TensorFlow on one or two images."""
    names = ["x", "z"][:count]
    inputs = [
        {"class_name": "InputLayer", "name": n, "config": {"batch_input_shape": [None, *shape]}, "inbound_nodes": []}
        for n in names
    ]
    node = [[n, 0, 0, options] for n in names]
    function_layer = {
        "class_name": "TFOpLambda",
        "name": "op",
        "config": {"function": function},
        "inbound_nodes": [node],
    }
    config = {
        "layers": [*inputs, function_layer],
        "input_layers": [[n, 0, 0] for n in names],
        "output_layers": [["op", 0, 0]],
    }
    return upgrade({"class_name": "Functional", "config": config}, "2.12.0").graph()


@pytest.mark.parametrize(
    ("function", "options", "count", "expected"),
    [
        ("nn.relu", {"name": None}, 1, lambda x: np.maximum(x[0], 0)),
        ("math.tanh", {}, 1, lambda x: np.tanh(x[0])),
        ("concat", {"axis": -1}, 2, lambda x: np.concatenate(x, -1)),
        ("concat", {"axis": 1}, 2, lambda x: np.concatenate(x, 1)),
        ("math.reduce_mean", {"axis": [1, 2]}, 1, lambda x: x[0].mean((1, 2))),
        ("math.reduce_max", {"axis": [1, 2], "keepdims": True}, 1, lambda x: x[0].max((1, 2), keepdims=True)),
        ("reshape", {"shape": [-1, 2, 6]}, 1, lambda x: x[0].reshape(-1, 2, 6)),
    ],
)
def test_functions_of_tensorflow_become_the_layers_that_do_the_same(function, options, count, expected):
    model = Model.build(image_graph(function, options, [2, 3, 2], count=count))
    x = tuple(np.random.default_rng(i).normal(size=(3, 2, 3, 2)).astype(np.float32) for i in range(count))
    with ReferenceExecutor(model, batch_size=3) as executor:
        np.testing.assert_allclose(executor.forward(x)[0], expected(x), atol=1e-6)


@pytest.mark.parametrize(
    ("function", "options"),
    [
        ("math.reduce_mean", {"axis": 0}),
        ("norm", {"axis": 1, "ord": 1}),
        ("unstack", {"axis": 10**12}),
        ("math.argmax", {"axis": -1}),
        ("reshape", {"shape": [6, -1]}),
        ("__operators__.add", {"y": [[0.5, 1.0], [2.0, 3.0]]}),
        ("__operators__.getitem", {"slice_spec": [-1]}),
    ],
)
def test_other_functions_are_refused_by_name(function, options):
    with pytest.raises(ModelFileError, match="layer 'op'"):
        image_graph(function, options, [2, 3, 2])


def test_a_function_without_its_name_is_refused_as_code():
    with pytest.raises(ModelFileError, match="layer 'op': is a TFOpLambda layer, which is code"):
        image_graph(None, {}, [2, 3, 2])


WHOLE = {"start": None, "stop": None, "step": None}


@pytest.mark.parametrize(
    ("function", "options", "count", "expected"),
    [
        ("math.reduce_mean", {"axis": 1}, 1, lambda x: x[0].mean(1)),
        ("math.reduce_sum", {"axis": [1, -1], "keepdims": True}, 1, lambda x: x[0].sum((1, 3), keepdims=True)),
        ("nn.leaky_relu", {"alpha": 0.1}, 1, lambda x: np.maximum(x[0], 0.1 * x[0])),
        ("nn.leaky_relu", {}, 1, lambda x: np.maximum(x[0], 0.2 * x[0])),
        ("__operators__.getitem", {"slice_spec": [WHOLE, 0]}, 1, lambda x: x[0][:, 0]),
        ("__operators__.getitem", {"slice_spec": [{"class_name": "__ellipsis__"}, None]}, 1, lambda x: x[0][..., None]),
        ("math.pow", {"y": 2}, 1, lambda x: x[0] ** 2),
        ("math.maximum", {"y": 0.25}, 1, lambda x: np.maximum(x[0], 0.25)),
        ("__operators__.add", {"y": [[[[0.5, 1.0]]]]}, 1, lambda x: x[0] + [0.5, 1.0]),
        ("linalg.matmul", {"b": ["x", 0, 0], "transpose_b": True}, 1, lambda x: x[0] @ x[0].swapaxes(2, 3)),
        ("compat.v1.transpose", {"perm": [0, 3, 1, 2], "conjugate": False}, 1, lambda x: x[0].transpose(0, 3, 1, 2)),
        ("stack", {"axis": -1}, 2, lambda x: np.stack(x, -1)),
        ("image.resize", {"size": [4, 3], "method": "nearest"}, 1, lambda x: x[0].repeat(2, 1)),
        (
            "nn.max_pool2d",
            {"ksize": [1, 2, 3, 1], "strides": 1, "padding": "VALID"},
            1,
            lambda x: x[0].max((1, 2))[:, None, None],
        ),
        ("nn.avg_pool2d", {"ksize": 1, "strides": [2, 2], "padding": "SAME"}, 1, lambda x: x[0][:, ::2, ::2]),
        ("norm", {"axis": 1, "ord": "euclidean"}, 1, lambda x: np.linalg.norm(x[0], axis=1)),
        ("math.reduce_std", {"axis": [1, 2]}, 1, lambda x: x[0].std((1, 2))),
        ("math.reduce_logsumexp", {"axis": -1}, 1, lambda x: np.log(np.exp(x[0]).sum(-1))),
        ("reverse", {"axis": [1]}, 1, lambda x: x[0][:, ::-1]),
    ],
)
def test_functions_of_tensorflow_become_operations(function, options, count, expected):
    model = Model.build(image_graph(function, options, [2, 3, 2], count=count))
    x = tuple(np.random.default_rng(i).normal(size=(3, 2, 3, 2)).astype(np.float32) for i in range(count))
    with ReferenceExecutor(model, batch_size=3) as executor:
        np.testing.assert_allclose(executor.forward(x)[0], expected(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("class_name", "shape", "options", "expected"),
    [
        ("AveragePool", (6, 2), {"pool_size": 2}, lambda x: x.reshape(3, 3, 2, 2).mean(2)),
        (
            "MaxPool",
            (4, 6, 2),
            {"pool_size": [2, 3], "strides": None},
            lambda x: x.reshape(3, 2, 2, 2, 3, 2).max((2, 4)),
        ),
    ],
)
def test_poolings_of_keras_3_follow_the_rank_of_their_input(class_name, shape, options, expected):
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    tensor = {"shape": [None, *shape], "dtype": "float32", "keras_history": ["x", 0, 0]}
    node = {"args": [{"class_name": "__keras_tensor__", "config": tensor}], "kwargs": {}}
    config = {"name": "op", "padding": "valid", "data_format": "channels_last", **options}
    layer = {"class_name": class_name, "name": "op", "config": config, "inbound_nodes": [node]}
    model = functional(layer, inputs={"x": list(shape)}, output=["op", 0, 0])
    with ReferenceExecutor(Model.build(upgrade(model, "3.5.0").graph()), batch_size=3) as executor:
        np.testing.assert_allclose(executor.forward((x,))[0], expected(x), rtol=1e-6)


def function_layer(name: str, function: str, *call: object) -> dict:
    config = {"name": name, "function": function}
    return {"class_name": "TFOpLambda", "name": name, "config": config, "inbound_nodes": [list(call)]}


def predicted(config: dict, *x: np.ndarray) -> np.ndarray:
    model = Model.build(upgrade(config, "2.12.0").graph())
    with ReferenceExecutor(model, batch_size=len(x[0])) as executor:
        return executor.forward(x)[0]


def test_a_split_gives_each_of_its_outputs():
    split = function_layer("cut", "split", "x", 0, 0, {"num_or_size_splits": 2, "axis": -1})
    less = function_layer("less", "math.subtract", "cut", 0, 1, {"y": ["cut", 0, 0]})
    x = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    found = predicted(functional(split, less, inputs={"x": [6]}, output=["less", 0, 0]), x)
    np.testing.assert_allclose(found, x[:, 3:] - x[:, :3])


def test_sizes_of_a_split_say_where_to_cut():
    split = function_layer("cut", "split", "x", 0, 0, {"num_or_size_splits": [1, 3, 2], "axis": 1})
    x = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    found = predicted(functional(split, inputs={"x": [6]}, output=["cut", 0, 1]), x)
    np.testing.assert_array_equal(found, x[:, 1:4])


def test_a_shape_with_the_size_of_the_batch_leaves_the_batch_as_it_is():
    shape = function_layer("shape", "compat.v1.shape", "x", 0, 0, {"out_type": "int32"})
    size = function_layer("size", "__operators__.getitem", "shape", 0, 0, {"slice_spec": 0})
    size = {**size, "class_name": "SlicingOpLambda"}
    reshape = function_layer("op", "reshape", "x", 0, 0, {"shape": [["size", 0, 0], -1, 3]})
    x = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    config = functional(
        shape, {**size, "class_name": "SlicingOpLambda"}, reshape, inputs={"x": [6]}, output=["op", 0, 0]
    )
    np.testing.assert_array_equal(predicted(config, x), x.reshape(3, 2, 3))
