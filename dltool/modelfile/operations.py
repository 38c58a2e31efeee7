"""Operations between layers (``x * 0.5 + 3``, ``tf.nn.relu(x)``) as the layers that do the same.

In arithmetic a number becomes a Rescaling, two tensors an Add, Subtract or Multiply. Of TensorFlow's functions those
with a layer of the same meaning become it; all others are refused as code, by name.
Source: keras/src/ops/numpy.py of Keras 3.15; TFOpLambda in tf_keras 2.21, keras/src/layers/core/tf_op_layer.py.
"""

from __future__ import annotations

from typing import Any

from dltool.modelfile.graph_json import layer_class

FUNCTIONS = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
    "math.truediv": "Divide",
    "math.divide": "Divide",
}
"""tf.keras's name of an operation -> Keras 3's."""

OPERATIONS = {"Add": "Add", "Subtract": "Subtract", "Multiply": "Multiply", "Divide": "Divide", "TrueDivide": "Divide"}
IGNORED = ("name",)


ACTIVATIONS = {
    "nn.relu": "relu",
    "nn.relu6": "relu6",
    "nn.elu": "elu",
    "nn.selu": "selu",
    "nn.silu": "silu",
    "nn.softmax": "softmax",
    "math.softplus": "softplus",
    "math.sigmoid": "sigmoid",
    "math.tanh": "tanh",
    "math.exp": "exponential",
}
"""tf.keras's name of a function -> the activation."""

POOLINGS = {"math.reduce_mean": "GlobalAveragePooling2D", "math.reduce_max": "GlobalMaxPooling2D"}
"""Over height and width only: the layers for sequences heed masks, which the functions do not."""

OPERATION_CLASSES = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")


def as_layer(entry: dict[str, Any]) -> dict[str, Any]:
    """A layer entry; one that stands for an operation that is called once becomes a layer.

    Raises ModelFileError naming a function of TensorFlow that no layer stands for.
    """
    found = of_function(entry) or of_arithmetic(entry)
    if found.get("class_name") in OPERATION_CLASSES:
        layer_class(found["class_name"], str(entry.get("name")))  # raises
    return found


def of_function(entry: dict[str, Any]) -> dict[str, Any] | None:
    """The layer of a function of TensorFlow; None for anything else."""
    nodes, config = entry.get("inbound_nodes"), entry.get("config")
    if entry.get("class_name") != "TFOpLambda" or not isinstance(nodes, list) or len(nodes) != 1:
        return None
    tensors = [nodes[0]] if isinstance(nodes[0], list) and nodes[0][:1] and isinstance(nodes[0][0], str) else nodes[0]
    if not isinstance(tensors, list) or not all(isinstance(t, list) and len(t) == 4 for t in tensors):
        return None
    options = tensors[0][3] if tensors and isinstance(tensors[0][3], dict) else {}
    options = {key: value for key, value in options.items() if value is not None}
    function = str(config.get("function")) if isinstance(config, dict) else ""
    found = layer_of(function, options, len(tensors))
    if found is None:
        return None
    name = {"name": entry.get("name")}
    return {
        "class_name": found[0],
        "config": {**name, **found[1]},
        **name,
        "inbound_nodes": [call(*(t[:3] for t in tensors))],
    }


def layer_of(function: str, options: dict[str, Any], count: int) -> tuple[str, dict[str, Any]] | None:
    """Class and options of the layer that does what the function does with these options."""
    if function in ACTIVATIONS and not options and count == 1:
        return "Activation", {"activation": ACTIVATIONS[function]}
    if function == "concat" and set(options) == {"axis"} and count > 1:
        return "Concatenate", options
    if function in POOLINGS and options.get("axis") == [1, 2] and set(options) <= {"axis", "keepdims"}:
        return POOLINGS[function], {"keepdims": options.get("keepdims", False)}
    if function == "reshape" and set(options) == {"shape"} and isinstance(options["shape"], list):
        batch, *rest = [*options["shape"], None]
        if batch == -1:
            return "Reshape", {"target_shape": rest[:-1]}
    return None


def of_arithmetic(entry: dict[str, Any]) -> dict[str, Any]:
    """A layer entry; a sum, difference, product or quotient that is called once becomes a layer."""
    nodes, config = entry.get("inbound_nodes"), entry.get("config")
    if not isinstance(nodes, list) or len(nodes) != 1 or not isinstance(config, dict):
        return entry
    function = FUNCTIONS.get(str(config.get("function"))) if entry.get("class_name") == "TFOpLambda" else None
    operation = OPERATIONS.get(str(entry.get("class_name"))) if function is None else function
    left, right = operands(nodes[0], function is not None)
    if operation is None or left is None or right is None:
        return entry
    name = {"name": entry.get("name")}
    if is_number(left) or is_number(right):
        found = rescaling(operation, left, right)
        if found is None:
            return entry
        tensor = right if is_number(left) else left
        return {"class_name": "Rescaling", "config": {**name, **found}, **name, "inbound_nodes": [call(tensor)]}
    if function is None or operation == "Divide" or is_array(left) or is_array(right):
        return entry  # Keras 3's operation on two tensors is called as the layer is
    return {"class_name": operation, "config": name, **name, "inbound_nodes": [call(left, right)]}


def operands(node: Any, is_old: bool) -> tuple[Any, Any]:
    """The two things that a call joins, tensors or numbers; (None, None) when it is no such call."""
    if isinstance(node, dict) and not is_old:
        arguments = node.get("args")
        if isinstance(arguments, list) and len(arguments) == 2 and not node.get("kwargs"):
            return arguments[0], arguments[1]
        return None, None
    first = node[0] if isinstance(node, list) and node and isinstance(node[0], list) else node
    if not is_old or not isinstance(first, list) or len(first) != 4 or not isinstance(first[3], dict):
        return None, None
    if first[0] == "_CONSTANT_VALUE":
        return first[2], first[3].get("y")
    return first[:3], first[3].get("y")


def rescaling(operation: str, left: Any, right: Any) -> dict[str, float] | None:
    """``scale`` and ``offset`` of an operation with a number; None for a division by a tensor or by zero."""
    if is_number(left):
        if operation == "Divide" or is_number(right):
            return None
        flipped = {"Add": (1.0, left), "Subtract": (-1.0, left), "Multiply": (left, 0.0)}
        scale, offset = flipped[operation]
    else:
        if operation == "Divide" and right == 0:
            return None
        plain = {"Add": (1.0, right), "Subtract": (1.0, -right), "Multiply": (right, 0.0)}
        scale, offset = plain[operation] if operation != "Divide" else (1.0 / right, 0.0)
    return {"scale": float(scale), "offset": float(offset)}


def call(*tensors: Any) -> Any:
    """An inbound node with these tensors, in the form that they are in."""
    if any(isinstance(tensor, dict) for tensor in tensors):
        return {"args": list(tensors), "kwargs": {}}
    return [[*tensor, {}] if isinstance(tensor, list) else tensor for tensor in tensors]


def is_array(value: Any) -> bool:
    """Numbers in lists, and not the place of a tensor, which starts with a layer's name."""
    return isinstance(value, list) and not (value and isinstance(value[0], str))


def is_number(value: Any) -> bool:
    return type(value) in (int, float)
