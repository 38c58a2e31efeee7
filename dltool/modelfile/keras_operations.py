"""The engine's operations -> Keras 3's own, which only Keras 3 has: their objects and their calls.

Source: keras/src/ops/*.py and keras/src/ops/operation.py of Keras 3.15.
"""

from __future__ import annotations

from typing import Any

from dltool.engine.graph import Graph
from dltool.engine.layers.base import Layer
from dltool.engine.layers.operations import Gelu, Operation, Power
from dltool.engine.layers.rearranging import GetItem, Split, Stack
from dltool.modelfile.graph_json import value_to_json

MODULES = {
    **dict.fromkeys(("DepthToSpace", "Gelu", "SpaceToDepth"), "keras.src.ops.nn"),
    "Logsumexp": "keras.src.ops.math",
    "Norm": "keras.src.ops.linalg",
    "Rsqrt": "keras.src.ops.math",
    "StopGradient": "keras.src.ops.core",
}
"""Where Keras 3 has an operation, when not in keras.src.ops.numpy."""

NOT_OPTIONS = {"GetItem": ("key",), "Pad": ("constant_values",), "Power": ("exponent",), "Split": ("index",)}
"""What is given in the call, or chosen among its outputs."""


def is_chain(graph: Graph) -> bool:
    """True when Keras can hold the network as a Sequential: operations are no layers there."""
    return graph.is_sequential and not any(isinstance(layer, Operation) for layer in graph.layers.values())


def operation_object(name: str, layer: Operation) -> dict[str, Any]:
    class_name = type(layer).__name__
    left_out = ("name", "trainable", *NOT_OPTIONS.get(class_name, ()))
    config = {key: value_to_json(value) for key, value in layer.config().items() if key not in left_out}
    if isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
        (config["axis"],) = config["axis"]
    if isinstance(layer, Gelu):
        config["approximate"] = True
    module = MODULES.get(class_name, "keras.src.ops.numpy")
    return {
        "module": module,
        "class_name": class_name,
        "config": {"name": name, **config},
        "registered_name": class_name,
    }


def operation_call(layer: Operation, tensors: list[Any]) -> dict[str, Any]:
    """A call of an operation on its tensors, as an inbound node of Keras 3."""
    arguments = [tensors] if isinstance(layer, Stack) else tensors
    if isinstance(layer, GetItem):
        key = layer.whole_key(len(tensors[0]["config"]["shape"]))  # Keras 3 cannot read "..." from .h5
        arguments = [*tensors, [key_part(part) for part in key]]
    if isinstance(layer, Power):
        arguments = [*tensors, layer.exponent]
    filled = {"constant_values": layer.constant_values} if getattr(layer, "mode", "") == "constant" else {}
    return {"args": arguments, "kwargs": filled}


def key_part(part: Any) -> Any:
    """A part of a subscript in Keras 3's words."""
    if isinstance(part, tuple):
        return {"class_name": "__slice__", "config": dict(zip(("start", "stop", "step"), part, strict=True))}
    return part


def output_number(layer: Layer) -> int:
    """Which of its outputs a layer's node is in Keras."""
    return layer.index if isinstance(layer, Split) else 0
