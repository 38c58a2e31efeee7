"""Keras 3's spelling of a model config -> Keras 2's, which ``dialects.keras2`` reads on. Pure functions on JSON.

Source: Keras 3.15, keras/src/saving/serialization_lib.py and keras/src/models/functional.py; files of 3.0 to 3.15.
"""

from __future__ import annotations

import sys
from typing import Any

from dltool.errors import ModelFileError
from dltool.modelfile.dialects import operations, tensorflow_functions, tensorflow_nodes

MAX_STRUCTURE = 16
"""How deep lists and dicts of tensors may lie in each other."""

TENSOR_OPTIONS = ("query", "value", "key", "initial_state")
"""Tensors that a layer may get by name, in the order in which it takes them."""

CALL_OPTIONS = ("use_causal_mask",)
"""Options of a call that are options of the layer in the engine."""


def simplify(value: Any) -> Any:
    """Objects, tuples, numbers and type policies without Keras 3's wrapping, at any depth.

    ``{"module", "class_name", "config", "registered_name"}`` becomes ``{"class_name", "config"}``.
    """
    if isinstance(value, list):
        return [simplify(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    class_name, config = value.get("class_name"), value.get("config")
    if class_name == "__keras_tensor__":
        return value
    if class_name == "__tuple__":
        return simplify(value.get("items", []))
    if class_name in ("__numpy__", "__tensor__") and isinstance(config, dict):
        return simplify(config.get("value"))
    if class_name in ("DTypePolicy", "Policy", "FloatDTypePolicy") and isinstance(config, dict):
        return config.get("name")
    if class_name is None:
        return {key: simplify(entry) for key, entry in value.items()}
    kept = {key: entry for key, entry in value.items() if key not in ("module", "registered_name", "build_config")}
    return {key: simplify(entry) for key, entry in kept.items()} | {"class_name": own_name(value)}


def own_name(value: dict[str, Any]) -> Any:
    """The class name of an object; one of another package gets its package in front, so that no table knows it.

    Raises ModelFileError when the object is code of Python itself.
    """
    module, class_name, registered = value.get("module"), value["class_name"], value.get("registered_name")
    top = module.split(".")[0] if isinstance(module, str) else ""
    if top in sys.stdlib_module_names and top != "builtins":
        raise ModelFileError(f"names {module}.{class_name}, which is code of Python and not of Keras; do not trust it")
    if isinstance(registered, str) and ">" in registered:
        return registered
    return class_name if top in ("", "keras", "tf_keras", "tensorflow", "builtins") else f"{module}>{class_name}"


def upgrade(model: Any) -> Any:
    """A ``model_config`` of Keras 3 in Keras 2's form; one that is in that form already comes back unchanged."""
    return with_plain_nodes(simplify(model)) if isinstance(model, dict) else model


def with_plain_nodes(model: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """Calls ``{"args", "kwargs"}`` as Keras 2's lists of ``[layer, call, tensor, {}]``; in nested models too."""
    config = model.get("config")
    if depth > 32 or not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        return model
    layers = []
    functions = tensorflow_functions.without_batch_sizes(tensorflow_nodes.with_functions(config["layers"]))
    for layer in without_masks(config, functions):
        if not isinstance(layer, dict):
            layers.append(layer)  # refused later, by its place
            continue
        layer = with_plain_nodes(with_plain_inside(layer, depth + 1), depth + 1)
        layer = tensorflow_functions.as_layer(operations.as_layer(layer))
        if isinstance(layer.get("inbound_nodes"), list):
            layer = {**layer, "inbound_nodes": [plain_node(layer, node) for node in layer["inbound_nodes"]]}
        layers.append(layer)
    return {**model, "config": {**config, "layers": layers}}


def without_masks(config: dict[str, Any], layers: list[Any]) -> list[Any]:
    """The layers without the operations that only work out masks, which dltool does itself.

    Keras 3 writes them among the layers (and cannot even read them back): what no output needs but as a mask.
    """
    named = (entry for entry in layers if isinstance(entry, dict) and isinstance(entry.get("name"), str))
    calls = {entry["name"]: entry.get("inbound_nodes") for entry in named}
    needed: set[str] = set()
    waiting = sources_of(config.get("output_layers"))
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += sources_of(calls.get(name))
    return [entry for entry in layers if not is_called(entry) or entry["name"] in needed] if needed else layers


def is_called(entry: Any) -> bool:
    """Whether an entry is called on something, in Keras 3's form."""
    nodes = entry.get("inbound_nodes") if isinstance(entry, dict) and isinstance(entry.get("name"), str) else None
    return isinstance(nodes, list) and bool(nodes) and all(isinstance(node, dict) for node in nodes)


def sources_of(value: Any, depth: int = 0) -> list[str]:
    """The names of the layers whose tensors lie anywhere in a value of either form, but for masks."""
    if depth > MAX_STRUCTURE:
        return []
    if isinstance(value, list):
        first = [value[0]] if value and isinstance(value[0], str) else []
        return first + [name for entry in value for name in sources_of(entry, depth + 1)]
    if not isinstance(value, dict):
        return []
    if value.get("class_name") == "__keras_tensor__" and isinstance(value.get("config"), dict):
        return sources_of(value["config"].get("keras_history"), depth + 1)
    return [name for key, entry in value.items() if key != "mask" for name in sources_of(entry, depth + 1)]


def with_plain_inside(layer: dict[str, Any], depth: int) -> dict[str, Any]:
    """A wrapper with the calls of a model inside it in Keras 2's form."""
    config = layer.get("config")
    inner = config.get("layer") if isinstance(config, dict) else None
    if not isinstance(inner, dict):
        return layer
    return {**layer, "config": {**config, "layer": with_plain_nodes(with_plain_inside(inner, depth + 1), depth + 1)}}


def plain_node(layer: dict[str, Any], node: Any) -> Any:
    """One call of a layer. Raises ModelFileError when it is called with more than tensors."""
    if not isinstance(node, dict):
        return node
    where = f"layer {layer.get('name')!r}"
    arguments, options = node.get("args") or [], node.get("kwargs") or {}
    if not isinstance(arguments, list) or not isinstance(options, dict):
        raise ModelFileError(f"{where}: its inbound_nodes cannot be understood; the file is damaged")
    arguments = [*arguments, *(options[key] for key in TENSOR_OPTIONS if options.get(key))]
    said = {key: options[key] for key in CALL_OPTIONS if options.get(key) is True}
    if options.get("training") is False:
        said["training"] = False
    for key, entry in options.items():
        if key not in ("mask", *TENSOR_OPTIONS, *said) and entry not in (None, False):
            raise ModelFileError(f"{where}: is called with {key}={str(entry)[:60]}, which is not supported")
    found = [[*origin_of(where, entry), {}] for entry in flattened(arguments, input_names(layer))]
    if found and said:
        found[0][3] = said
    return found


def input_names(layer: dict[str, Any]) -> list[str]:
    """The inputs of a model that is called as a layer, where they are a list; a dict of tensors is taken by them."""
    config = layer.get("config")
    inputs = config.get("input_layers") if isinstance(config, dict) else None
    named = [entry[0] for entry in inputs if isinstance(entry, list) and entry] if isinstance(inputs, list) else []
    return [name for name in named if isinstance(name, str)]


def flattened(value: Any, names: list[str], depth: int = 0) -> list[Any]:
    """The tensors of a call's arguments; those of a dict by ``names`` if it has all of them, else by sorted keys."""
    if isinstance(value, dict) and value.get("class_name") != "__keras_tensor__":
        keys = names if names and set(names) <= set(value) else sorted(value)
        value = [value[key] for key in keys]
    if not isinstance(value, list) or depth > MAX_STRUCTURE:
        return [value]
    return [tensor for entry in value for tensor in flattened(entry, names, depth + 1)]


def origin_of(where: str, tensor: Any) -> list[Any]:
    """Layer, call and number of a serialized tensor."""
    config = tensor.get("config") if isinstance(tensor, dict) else None
    if not isinstance(config, dict) or tensor.get("class_name") != "__keras_tensor__":
        raise ModelFileError(f"{where}: is called with {str(tensor)[:60]!r} beside tensors; that is not supported")
    origin = config.get("keras_history")
    if not isinstance(origin, list):
        raise ModelFileError(f"{where}: its input does not say where it comes from; the file is damaged")
    return origin
