"""TensorFlow's functions between the layers of tf.keras (2.4 to 2.15) as the operations of Keras 3 that do the same.

A TFOpLambda layer holds the function's name; the call holds what it was called with, by TensorFlow's names. A
SlicingOpLambda is a subscript. Pure functions on JSON. Source: tf_keras 2.21, keras/src/layers/core/tf_op_layer.py.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

from dltool.errors import ModelFileError
from dltool.modelfile.dialects.operation_rules import Operation, is_tensor
from dltool.modelfile.dialects.operations import layer_of, refused, with_layer

OPERATION_CLASSES = ("TFOpLambda", "SlicingOpLambda")

POOLING = {"ksize": "pool_size", "strides": "strides", "padding": "padding"}
REDUCTION = {"axis": "axis", "keepdims": "keepdims"}
FUNCTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "cast": ("Cast", {"dtype": "dtype"}),
    "clip_by_value": ("Clip", {"clip_value_min": "x_min", "clip_value_max": "x_max"}),
    "compat.v1.pad": ("Pad", {"paddings": "pad_width", "mode": "mode", "constant_values": "constant_values"}),
    "compat.v1.squeeze": ("Squeeze", {"axis": "axis", "squeeze_dims": "axis"}),
    "compat.v1.transpose": ("Transpose", {"perm": "axes"}),
    "concat": ("Concatenate", {"axis": "axis"}),
    "einsum": ("Einsum", {"equation": "subscripts"}),
    "expand_dims": ("ExpandDims", {"axis": "axis"}),
    "identity": ("Identity", {}),
    "image.resize": ("Resize", {"size": "size", "method": "interpolation"}),
    "linalg.l2_normalize": ("Normalize", {"axis": "axis"}),
    "math.abs": ("Absolute", {}),
    "math.cos": ("Cos", {}),
    "math.exp": ("Exp", {}),
    "math.l2_normalize": ("Normalize", {"axis": "axis"}),
    "math.log": ("Log", {}),
    "math.log1p": ("Log1p", {}),
    "math.negative": ("Negative", {}),
    "math.reciprocal": ("Reciprocal", {}),
    "math.reduce_logsumexp": ("Logsumexp", REDUCTION),
    "math.reduce_max": ("Max", REDUCTION),
    "math.reduce_mean": ("Mean", REDUCTION),
    "math.reduce_min": ("Min", REDUCTION),
    "math.reduce_std": ("Std", REDUCTION),
    "math.reduce_sum": ("Sum", REDUCTION),
    "math.reduce_variance": ("Var", REDUCTION),
    "math.rsqrt": ("Rsqrt", {}),
    "math.sigmoid": ("Sigmoid", {}),
    "math.sin": ("Sin", {}),
    "math.softplus": ("Softplus", {}),
    "math.sqrt": ("Sqrt", {}),
    "math.square": ("Square", {}),
    "math.tanh": ("Tanh", {}),
    "nn.avg_pool": ("AveragePool", POOLING),
    "nn.avg_pool2d": ("AveragePool", POOLING),
    "nn.depth_to_space": ("DepthToSpace", {"block_size": "block_size"}),
    "nn.elu": ("Elu", {}),
    "nn.gelu": ("Gelu", {"approximate": "approximate"}),
    "nn.leaky_relu": ("LeakyRelu", {"alpha": "negative_slope"}),
    "nn.log_softmax": ("LogSoftmax", {"axis": "axis"}),
    "nn.max_pool": ("MaxPool", POOLING),
    "nn.max_pool2d": ("MaxPool", POOLING),
    "nn.relu": ("Relu", {}),
    "nn.relu6": ("Relu6", {}),
    "nn.selu": ("Selu", {}),
    "nn.sigmoid": ("Sigmoid", {}),
    "nn.silu": ("Silu", {}),
    "nn.softmax": ("Softmax", {"axis": "axis"}),
    "nn.softplus": ("Softplus", {}),
    "nn.softsign": ("Softsign", {}),
    "nn.swish": ("Silu", {}),
    "nn.tanh": ("Tanh", {}),
    "nn.space_to_depth": ("SpaceToDepth", {"block_size": "block_size"}),
    "norm": ("Norm", REDUCTION),
    "pad": ("Pad", {"paddings": "pad_width", "mode": "mode", "constant_values": "constant_values"}),
    "reshape": ("Reshape", {"shape": "newshape"}),
    "reverse": ("Flip", {"axis": "axis"}),
    "split": ("Split", {"num_or_size_splits": "indices_or_sections", "axis": "axis"}),
    "squeeze": ("Squeeze", {"axis": "axis"}),
    "stack": ("Stack", {"axis": "axis"}),
    "stop_gradient": ("StopGradient", {}),
    "tile": ("Tile", {"multiples": "repeats"}),
    "transpose": ("Transpose", {"perm": "axes"}),
    "unstack": ("Unstack", {"axis": "axis"}),
}
"""TensorFlow's name -> Keras 3's operation, and its options' names in both."""

PAIRS = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.divide": "Divide",
    "math.maximum": "Maximum",
    "math.minimum": "Minimum",
    "math.multiply": "Multiply",
    "math.pow": "Power",
    "math.subtract": "Subtract",
    "math.truediv": "Divide",
    "nn.bias_add": "Add",
    "linalg.matmul": "Matmul",
    "matmul": "Matmul",
}
"""Functions of two things, the second of which is named "y", or as in ``SECOND``."""

SECOND = {"nn.bias_add": "bias", "linalg.matmul": "b", "matmul": "b"}
IGNORED = ("name", "num")
HARMLESS = {
    "compat.v1.transpose": {"conjugate": False},
    "nn.avg_pool": {"data_format": "NHWC"},
    "nn.avg_pool2d": {"data_format": "NHWC"},
    "nn.bias_add": {"data_format": "channels_last"},
    "nn.depth_to_space": {"data_format": "NHWC"},
    "nn.max_pool": {"data_format": "NHWC"},
    "nn.max_pool2d": {"data_format": "NHWC"},
    "nn.space_to_depth": {"data_format": "NHWC"},
    "norm": {"ord": "euclidean"},
    "image.resize": {"preserve_aspect_ratio": False, "antialias": False},
}
"""Options with the values that change nothing."""
SHAPES = ("compat.v1.shape", "shape")
MATRICES = {"transpose_a", "transpose_b"}
USUAL = {
    "concat": {"axis": 0},
    "split": {"axis": 0},
    "stack": {"axis": 0},
    "unstack": {"axis": 0},
    "nn.gelu": {"approximate": False},
}
"""TensorFlow's values of options that are not said, where they are not those of Keras 3."""


def as_layer(entry: dict[str, Any]) -> dict[str, Any]:
    """A layer entry; a function of TensorFlow that is called once becomes a layer.

    Raises ModelFileError naming a function of TensorFlow that no layer stands for.
    """
    if entry.get("class_name") not in OPERATION_CLASSES:
        return entry
    operation = operation_of(entry)
    found = None if operation is None else turned_product(operation) or layer_of(operation)
    if found is not None:
        return with_layer(entry, found)
    config = entry.get("config")
    function = config.get("function") if isinstance(config, dict) else None
    if isinstance(function, str):
        raise ModelFileError(
            f"layer {entry.get('name')!r}: calls tf.{function[:60]} in a way that is not supported here; "
            "replace it in Keras by layers and save the model again"
        )
    refused(entry)
    return entry


def without_batch_sizes(layers: list[Any]) -> list[Any]:
    """The layers without those that work out the batch's size, ``tf.shape(x)[0]``; where it is used stands None.

    That is in the shape of a reshape, where it only says that the batch stays as it is.
    """
    shapes = {entry["name"] for entry in layers if is_function(entry, SHAPES)}
    parts = [entry for entry in layers if is_function(entry, ("__operators__.getitem",))]
    taken = {entry["name"] for entry in parts if takes_first(entry, shapes)}
    if not taken:
        return layers

    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: cleaned(entry) for key, entry in value.items()}
        if not isinstance(value, list):
            return value
        is_size = is_tensor(value) and value[0] in taken
        return None if is_size else [cleaned(entry) for entry in value]

    kept = [entry for entry in layers if not isinstance(entry, dict) or entry.get("name") not in shapes | taken]
    return [with_nodes(entry, cleaned) for entry in kept]


def is_function(entry: Any, functions: tuple[str, ...]) -> bool:
    config = entry.get("config") if isinstance(entry, dict) else None
    known = isinstance(config, dict) and entry.get("class_name") in OPERATION_CLASSES
    return known and config.get("function") in functions and isinstance(entry.get("name"), str)


def takes_first(entry: dict[str, Any], shapes: set[str]) -> bool:
    """Whether a subscript takes the first number of one of the shapes."""
    operation = operation_of(entry)
    return operation is not None and operation.operands[0][0] in shapes and operation.operands[1] == 0


def with_nodes(entry: Any, change: Callable[[Any], Any]) -> Any:
    if not isinstance(entry, dict) or "inbound_nodes" not in entry:
        return entry
    return {**entry, "inbound_nodes": change(entry["inbound_nodes"])}


def operation_of(entry: dict[str, Any]) -> Operation | None:
    """The operation of a TFOpLambda or SlicingOpLambda, or None when it is not known."""
    nodes, config = entry.get("inbound_nodes"), entry.get("config")
    if not isinstance(nodes, list) or len(nodes) != 1 or not isinstance(config, dict):
        return None
    tensors = [nodes[0]] if is_tensor(nodes[0]) else nodes[0]
    if not isinstance(tensors, list) or not all(isinstance(t, list) and len(t) == 4 for t in tensors) or not tensors:
        return None
    given = tensors[0][3] if isinstance(tensors[0][3], dict) else {}
    given = {key: value for key, value in given.items() if value is not None and key not in IGNORED}
    operands = [tensor[2] if tensor[0] == "_CONSTANT_VALUE" else tensor[:3] for tensor in tensors]
    function = str(config.get("function"))
    harmless = HARMLESS.get(function, {})
    given = {key: value for key, value in given.items() if key not in harmless or harmless[key] != value}
    if "slice_spec" in given or function == "__operators__.getitem":
        return Operation("GetItem", [*operands, given.get("slice_spec")]) if len(operands) == 1 else None
    if function in PAIRS:
        return of_pair(function, operands, given)
    return named(function, operands, {**USUAL.get(function, {}), **given})


def of_pair(function: str, operands: list[Any], given: dict[str, Any]) -> Operation | None:
    second = given.pop(SECOND.get(function, "y"), None)
    return None if second is None else Operation(PAIRS[function], [*operands, second], given)


def named(function: str, operands: list[Any], given: dict[str, Any]) -> Operation | None:
    if function not in FUNCTIONS:
        return None
    name, words = FUNCTIONS[function]
    if not set(given) <= set(words):
        return None
    options = {words[key]: value for key, value in given.items()}
    options |= {key: options[key].lower() for key in ("mode", "padding") if isinstance(options.get(key), str)}
    if isinstance(options.get("indices_or_sections"), list):  # TensorFlow gives sizes, Keras 3 where to cut
        sizes = options["indices_or_sections"]
        options["indices_or_sections"] = list(accumulate(sizes))[:-1] if min(sizes, default=-1) >= 0 else None
    return Operation(name, operands, options)


def turned_product(operation: Operation) -> tuple[str, dict[str, Any], list[Any]] | None:
    """``tf.matmul`` with one or both of the matrices turned."""
    if operation.name != "Matmul" or not set(operation.options) <= MATRICES or not operation.takes_tensors:
        return None
    if not any(operation.options.values()):
        return "Matmul", {}, operation.operands
    first = "...ji" if operation.options.get("transpose_a") else "...ij"
    second = "...kj" if operation.options.get("transpose_b") else "...jk"
    return "Einsum", {"subscripts": f"{first},{second}->...ik"}, operation.operands
