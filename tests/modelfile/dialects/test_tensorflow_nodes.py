"""Nodes of TensorFlow's graph between layers, as tf.keras 2.1 to 2.3 stored them."""

import base64
from math import prod

import numpy as np
import pytest

from dltool.engine.model import Model
from dltool.engine.reference import ReferenceExecutor
from dltool.errors import ModelFileError
from dltool.modelfile.network import upgrade
from tests.modelfile.dialects.networks import functional


def text(value: str) -> dict:
    return {"s": base64.b64encode(value.encode()).decode()}


def number(value: int) -> dict:
    return {"i": str(value)}


def numbers(*values: int) -> dict:
    return {"list": {"i": [str(value) for value in values]}}


TRUE, FALSE = {"b": True}, {"b": False}


def masks(**given: int) -> dict:
    words = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    return {f"{word}_mask": number(given.get(word, 0)) for word in words}


def node(name: str, operation: str, *inputs: object, **attributes: dict) -> dict:
    """A layer as tf.keras wrote it; an input that is text is a tensor of that layer, the others are constants."""
    tensors = [value.split(":") for value in inputs if isinstance(value, str)]
    definition = {"name": name, "op": operation, "attr": {"T": {"type": "DT_FLOAT"}, **attributes}}
    constants = {str(place): value for place, value in enumerate(inputs) if not isinstance(value, str)}
    config = {"name": name, "trainable": True, "dtype": "float32", "node_def": definition, "constants": constants}
    return {
        "class_name": "TensorFlowOpLayer",
        "name": f"tf_op_layer_{name}",
        "config": config,
        "inbound_nodes": [[[layer, 0, int(place[0]) if place else 0, {}] for layer, *place in tensors]],
    }


def graph_of(*layers: dict, inputs: dict[str, tuple[int, ...]]):
    config = functional(*layers, inputs=inputs, output=[layers[-1]["name"], 0, 0])
    return upgrade({**config, "class_name": "Model"}, "2.3.0-tf").graph()


def predicted(*layers: dict, **x: np.ndarray) -> np.ndarray:
    graph = graph_of(*layers, inputs={name: value.shape[1:] for name, value in x.items()})
    with ReferenceExecutor(Model.build(graph), batch_size=3) as executor:
        return executor.forward(tuple(x.values()))[0]


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(3, *shape)).astype(np.float32)


PADS = [[0, 0], [1, 1], [2, 1], [0, 0]]
BIAS = [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (node("op", "AddV2", "x", 2.0), lambda x: x + 2),
        (node("op", "BiasAdd", "x", BIAS, data_format=text("NHWC")), lambda x: x + BIAS),
        (node("op", "Sub", 2.0, "x"), lambda x: 2 - x),
        (node("op", "Mul", "x", 0.5), lambda x: x * 0.5),
        (node("op", "RealDiv", "x", 4.0), lambda x: x / 4),
        (node("op", "Pow", "x", 3.0), lambda x: x**3),
        (node("op", "Minimum", 0.25, "x"), lambda x: np.minimum(x, 0.25)),
        (node("op", "Sub", "x", [[[BIAS]]]), lambda x: x - BIAS),
        (node("op", "Relu6", "x"), lambda x: np.clip(x, 0, 6)),
        (node("op", "Neg", "x"), lambda x: -x),
        (node("op", "LeakyRelu", "x", alpha={"f": 0.3}), lambda x: np.maximum(x, 0.3 * x)),
        (node("op", "ClipByValue", "x", -0.5, 0.5), lambda x: np.clip(x, -0.5, 0.5)),
        (node("op", "Cast", "x", DstT={"type": "DT_FLOAT"}, SrcT={"type": "DT_HALF"}), lambda x: x),
        (node("op", "IdentityN", "x", "x", 1.0), lambda x: x),
        (node("op", "AddN", "x", "x", "x"), lambda x: 3 * x),
        (node("op", "SquaredDifference", "x", BIAS), lambda x: (x - BIAS) ** 2),
        (node("op", "Mean", "x", [1, 2], keep_dims=TRUE), lambda x: x.mean((1, 2), keepdims=True)),
        (node("op", "Sum", "x", -1, keep_dims=FALSE), lambda x: x.sum(-1)),
        (node("op", "Max", "x", 1), lambda x: x.max(1)),
        (node("op", "Reshape", "x", [-1, 24, 4]), lambda x: x.reshape(-1, 24, 4)),
        (node("op", "Transpose", "x", [0, 3, 1, 2]), lambda x: x.transpose(0, 3, 1, 2)),
        (node("op", "ExpandDims", "x", 1), lambda x: x[:, None]),
        (node("op", "Tile", "x", [1, 2, 1, 1]), lambda x: np.tile(x, (1, 2, 1, 1))),
        (node("op", "ReverseV2", "x", [1]), lambda x: x[:, ::-1]),
        (node("op", "ConcatV2", "x", "x", 1, N=number(2)), lambda x: np.concatenate([x, x], 1)),
        (node("op", "Pack", "x", "x", axis=number(-1)), lambda x: np.stack([x, x], -1)),
        (node("op", "Unpack", "x", axis=number(1), num=number(4)), lambda x: x[:, 0]),
        (node("op", "Split", 2, "x", num_split=number(3)), lambda x: x[:, :, :2]),
        (node("op", "SplitV", "x", [1, 3, 2], 2, num_split=number(3)), lambda x: x[:, :, :1]),
        (node("op", "PadV2", "x", PADS, 2.0), lambda x: np.pad(x, PADS, constant_values=2)),
        (node("op", "MirrorPad", "x", PADS, mode=text("REFLECT")), lambda x: np.pad(x, PADS, "reflect")),
        (node("op", "Slice", "x", [0, 1, 0, 0], [-1, 2, -1, 3]), lambda x: x[:, 1:3, :, :3]),
        (node("op", "GatherV2", "x", 2, 1), lambda x: x[:, 2]),
        (node("op", "BatchMatMulV2", "x", "x", adj_x=FALSE, adj_y=TRUE), lambda x: x @ x.swapaxes(2, 3)),
        (node("op", "Einsum", "x", "x", equation=text("bijk,bilk->bijl")), lambda x: x @ x.swapaxes(2, 3)),
        (
            node("op", "MaxPool", "x", ksize=numbers(1, 2, 3, 1), strides=numbers(1, 2, 3, 1), padding=text("VALID")),
            lambda x: x.reshape(3, 2, 2, 2, 3, 4).max((2, 4)),
        ),
        (
            node("op", "AvgPool", "x", ksize=numbers(1, 2, 2, 1), strides=numbers(1, 2, 2, 1), padding=text("SAME")),
            lambda x: x.reshape(3, 2, 2, 3, 2, 4).mean((2, 4)),
        ),
        (
            node("op", "ResizeNearestNeighbor", "x", [8, 12], half_pixel_centers=TRUE, align_corners=FALSE),
            lambda x: x.repeat(2, 1).repeat(2, 2),
        ),
        (
            node("op", "DepthToSpace", "x", block_size=number(2), data_format=text("NHWC")),
            lambda x: x.reshape(3, 4, 6, 2, 2).transpose(0, 1, 3, 2, 4).reshape(3, 8, 12, 1),
        ),
    ],
    ids=lambda value: value["config"]["node_def"]["op"] if isinstance(value, dict) else "",
)
def test_a_node_does_what_its_operation_does(operation, expected):
    x = drawn(4, 6, 4)
    np.testing.assert_allclose(predicted(operation, x=x), expected(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("begin", "end", "step", "given", "expected"),
    [
        ([0, 0], [0, 1], [1, 1], {"begin": 1, "end": 1, "shrink_axis": 2}, lambda x: x[:, 0]),
        ([0, 1], [0, 3], [1, 1], {"begin": 1, "end": 1}, lambda x: x[:, 1:3]),
        ([0, 0], [0, 2], [1, 1], {"ellipsis": 1}, lambda x: x[..., :2]),
        ([0, 0, 1, 0], [0] * 4, [1, 2, 1, 1], {"begin": 3, "end": 7, "new_axis": 8}, lambda x: x[:, ::2, 1:, None]),
        ([0, 0], [0, 0], [1, -1], {"begin": 3, "end": 3}, lambda x: x[:, ::-1]),
        ([0, 0], [0, -1], [1, 1], {"begin": 3, "end": 1}, lambda x: x[:, :-1]),
        (
            [0, 1, 2, 0],
            [0, 2, 0, 0],
            [1, 1, 1, 3],
            {"begin": 9, "end": 13, "shrink_axis": 2},
            lambda x: x[:, 1, 2:, ::3],
        ),
    ],
)
def test_the_masks_of_a_subscript_say_what_its_numbers_mean(begin, end, step, given, expected):
    x = drawn(4, 6, 4)
    found = predicted(node("op", "StridedSlice", "x", begin, end, step, **masks(**given)), x=x)
    np.testing.assert_array_equal(found, expected(x))


def test_nodes_make_up_a_function_and_keep_their_names_with_a_slash():
    x = drawn(6)
    nodes = [
        node("norm/Square", "Square", "x"),
        node("norm/Sum", "Sum", "tf_op_layer_norm/Square", -1, keep_dims=TRUE),
        node("norm/Maximum", "Maximum", "tf_op_layer_norm/Sum", 1e-12),
        node("norm/Rsqrt", "Rsqrt", "tf_op_layer_norm/Maximum"),
        node("norm", "Mul", "x", "tf_op_layer_norm/Rsqrt"),
    ]
    np.testing.assert_allclose(predicted(*nodes, x=x), x / np.linalg.norm(x, axis=-1, keepdims=True), rtol=1e-5)


def test_the_second_output_of_a_node_is_read():
    x = drawn(6)
    cut = node("cut", "Split", 1, "x", num_split=number(2))
    nodes = [cut, node("op", "Sub", "tf_op_layer_cut:1", "tf_op_layer_cut:0")]
    np.testing.assert_array_equal(predicted(*nodes, x=x), x[:, 3:] - x[:, :3])


SIZE = [
    node("Shape", "Shape", "x"),
    node("size", "StridedSlice", "tf_op_layer_Shape", [0], [1], [1], **masks(shrink_axis=1)),
]


@pytest.mark.parametrize(("sizes", "expected"), [([24, 4], (24, 4)), ([-1, 8], (12, 8)), ([prod((4, 6, 4))], (96,))])
def test_a_reshape_to_the_size_of_the_batch_leaves_the_batch_as_it_is(sizes, expected):
    x = drawn(4, 6, 4)
    shape = node("shape", "Pack", "tf_op_layer_size", *sizes, axis=number(0))
    nodes = [*SIZE, shape, node("op", "Reshape", "x", "tf_op_layer_shape")]
    np.testing.assert_array_equal(predicted(*nodes, x=x), x.reshape(3, *expected))


def test_a_reshape_to_the_product_of_all_other_sizes_flattens():
    x = drawn(4, 6, 4)
    nodes = [
        SIZE[0],
        node("others", "StridedSlice", "tf_op_layer_Shape", [1], [0], [1], **masks(end=1)),
        node("product", "Prod", "tf_op_layer_others", [0], keep_dims=FALSE),
        node("shape", "Pack", -1, "tf_op_layer_product", axis=number(0)),
        node("op", "Reshape", "x", "tf_op_layer_shape"),
    ]
    np.testing.assert_array_equal(predicted(*nodes, x=x), x.reshape(3, -1))


@pytest.mark.parametrize(
    "operation",
    [
        node("op", "ArgMax", "x", -1),
        node("op", "MatMul", "x", np.ones((4, 2)).tolist()),
        node("op", "GatherV2", "x", [0, 2], 1),
        node("op", "GatherV2", "x", 0, 10**12),
        node("op", "Cast", "x", DstT={"type": "DT_INT32"}),
        node("op", "ResizeBilinear", "x", [8, 12], half_pixel_centers=FALSE, align_corners=TRUE),
        node("op", "Add", "x"),
        node("op", "Slice", "x", "x", [1]),
        {**node("op", "Relu", "x"), "config": {"name": "op", "node_def": b"\n\x02op".decode()}},
    ],
    ids=lambda value: str(value["config"]["node_def"])[:40],
)
def test_other_nodes_are_refused_by_name(operation):
    with pytest.raises(
        ModelFileError, match=r"layer 'tf_op_layer_op': is TensorFlow's operation .*, which is not supp"
    ):
        graph_of(operation, inputs={"x": (4, 6, 4)})


def test_a_size_that_is_used_for_anything_but_a_shape_is_refused_by_name():
    with pytest.raises(ModelFileError, match="layer 'tf_op_layer_op': is TensorFlow's operation Mul"):
        graph_of(*SIZE, node("op", "Mul", "x", "tf_op_layer_size"), inputs={"x": (6,)})
