"""Nodes of TensorFlow's graph between the layers of tf.keras 2.1 to 2.3 as the functions of tf.keras 2.4 and later.

A TensorFlowOpLayer holds one node of the graph: the operation, its attributes as JSON of protobuf, and the inputs that
are constants by their number. Where a function became several nodes, so it stays. Pure functions on JSON.
Source: tf_keras 2.21, keras/src/engine/base_layer.py.
"""

from __future__ import annotations

from typing import Any

from dltool.errors import ModelFileError
from dltool.modelfile.dialects.operation_rules import is_tensor
from dltool.modelfile.dialects.tensorflow_node_rules import TWO_INPUTS, Attributes, Call, call_of

NODE_CLASS = "TensorFlowOpLayer"


def with_functions(layers: list[Any]) -> list[Any]:
    """The layers with a TFOpLambda in the place of every TensorFlowOpLayer.

    Raises ModelFileError naming the layer of an operation that no function stands for.
    """
    named = (entry for entry in layers if isinstance(entry, dict) and entry.get("class_name") == NODE_CLASS)
    nodes = {entry["name"]: entry for entry in named if isinstance(entry.get("name"), str)}
    if not nodes:
        return layers
    shapes = shapes_of(nodes)
    kept = [entry for entry in layers if not isinstance(entry, dict) or entry.get("name") not in shapes]
    return [found for entry in kept for found in functions_of(entry, nodes, shapes)]


def functions_of(entry: Any, nodes: dict[str, Any], shapes: dict[str, Any]) -> list[Any]:
    """What stands for one layer."""
    name = entry.get("name") if isinstance(entry, dict) else None
    if name not in nodes:
        return [entry]
    operation, inputs = operation_of(entry), inputs_of(entry)
    if operation == "Reshape":
        inputs = [shapes.get(value[0], value) if is_tensor(value) else value for value in inputs]
    if operation == "SquaredDifference" and len(inputs) == 2:
        difference = function_entry(f"{name}/difference", ("math.subtract", inputs, {}))
        return [difference, function_entry(name, ("math.square", [[f"{name}/difference", 0, 0]], {}))]
    if operation == "AddN" and all(map(is_tensor, inputs)):
        nodes = [[[*tensor, {}] for tensor in inputs]]
        return [{"class_name": "Add", "config": {"name": name}, "name": name, "inbound_nodes": nodes}]
    is_size = any(is_tensor(value) and value[0] in shapes for value in inputs)
    found = None if is_size else call_of(operation, inputs, Attributes(node_of(entry).get("attr")))
    if found is None:
        raise ModelFileError(
            f"layer {name!r}: is TensorFlow's operation {operation[:60]}, which is not supported as it is used here; "
            "replace it in Keras by layers and save the model again"
        )
    return [function_entry(name, found)]


def function_entry(name: str, call: Call) -> dict[str, Any]:
    """The entry of a function's layer. The second of two things goes by the name of y."""
    function, operands, options = call
    if function in TWO_INPUTS.values():
        operands, options = operands[:1], {"y": operands[1]}
    tensors = [[*(o if is_tensor(o) else ["_CONSTANT_VALUE", -1, o]), {}] for o in operands]
    tensors[0][3] = options
    config = {"name": name, "function": function}
    return {"class_name": "TFOpLambda", "config": config, "name": name, "inbound_nodes": [tensors]}


# --- what a node says ------------------------------------------------------------------------------------------------


def node_of(entry: dict[str, Any]) -> dict[str, Any]:
    config = entry.get("config")
    found = config.get("node_def") if isinstance(config, dict) else None
    return found if isinstance(found, dict) else {}


def operation_of(entry: dict[str, Any]) -> str:
    return str(node_of(entry).get("op", "without a name"))


def inputs_of(entry: dict[str, Any]) -> list[Any]:
    """What the operation works on, in its order: tensors as ``[layer, call, tensor]`` and constants."""
    calls, config = entry.get("inbound_nodes"), entry.get("config")
    constants = config.get("constants") if isinstance(config, dict) else None
    if not isinstance(calls, list) or len(calls) != 1 or not isinstance(calls[0], list):
        raise ModelFileError(f"layer {entry.get('name')!r}: its inbound_nodes cannot be understood")
    tensors = [calls[0]] if is_tensor(calls[0]) else calls[0]
    found = [tensor[:3] for tensor in tensors if is_tensor(tensor)]
    for place, value in sorted((int(key), value) for key, value in (constants or {}).items()):
        found.insert(place, value)
    return found


# --- shapes that are worked out from tensors -------------------------------------------------------------------------


def shapes_of(nodes: dict[str, Any]) -> dict[str, Any]:
    """By name, what the nodes give that only put a shape together: numbers, the batch's size, their list.

    ``tf.reshape(x, [tf.shape(x)[0], 8])`` packs the size and 8; flattening packs -1 and the product of the others.
    Keras lists every node behind those that it reads.
    """
    found: dict[str, Any] = {}
    for name, entry in nodes.items():
        inputs = [found.get(value[0], value) if is_tensor(value) else value for value in inputs_of(entry)]
        value = shape_value(operation_of(entry), inputs, Attributes(node_of(entry).get("attr")))
        if value is not None:
            found[name] = value
    return found


def shape_value(operation: str, inputs: list[Any], attributes: Attributes) -> Any:
    """What a node gives of a shape: all of it, the "batch", the "others" or their product, "rest"; or a list."""
    first = inputs[0] if inputs else None
    if operation == "Shape":
        return "shape"
    if operation == "StridedSlice" and first == "shape":
        if attributes.number("shrink_axis_mask"):
            return "batch" if inputs[1] == [0] else None
        return "others" if inputs[1] == [1] and attributes.number("end_mask") else None
    if operation == "Prod" and first == "others":
        return "rest"
    if operation == "Pack" and all(type(part) is int or part in ("batch", "rest") for part in inputs):
        sizes = [{"batch": None, "rest": -1}.get(part, part) for part in inputs]
        return [None, -1] if sizes == [-1, -1] else sizes
    return None
