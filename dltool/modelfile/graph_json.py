"""The canonical form of a network: what every Keras dialect is upgraded to, and what lies under ``/dltool``.

``{"name", "nodes": [[layer, [node, ...]], ...], "layers": {layer: {"class_name", "config"}}, "outputs": [node, ...]}``.
A call that computes as at inference also in training is ``[layer, [node, ...], {"training": false}]``.
Nodes point to earlier nodes only; layer configs hold the engine's own field names and nothing else, so building the
graph is a lookup in the closed table ``LAYERS``: nothing is ever imported by name.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from dltool.engine.constraints import Constraint
from dltool.engine.graph import Graph, Node
from dltool.engine.initializers import Initializer
from dltool.engine.layers import LAYERS
from dltool.engine.layers.base import Layer
from dltool.engine.regularizers import Regularizer
from dltool.errors import ModelFileError, UsageError
from dltool.modelfile.json_text import is_layer_name

AT_INFERENCE = {"training": False}
"""The options of a call that computes as at inference, in Keras's words."""
LOOKUPS = ("HashedCrossing", "Hashing", "IntegerLookup", "StringLookup", "TextVectorization")
"""Layers that look words and keys up in tables, which lie in the file or are hashes."""
MAX_LAYERS, MAX_NODES, MAX_LINKS = 10_000, 20_000, 200_000
"""Layers, calls of layers, and inputs of all calls together. The largest models of Keras have a tenth of these."""


def graph_to_json(graph: Graph) -> dict[str, Any]:
    """The canonical form of a graph; everything is a JSON value."""
    return {
        "name": graph.name,
        "nodes": [[node.name, list(node.inputs), *([AT_INFERENCE] if node.inference else [])] for node in graph.nodes],
        "layers": {name: layer_to_json(layer) for name, layer in graph.layers.items()},
        "outputs": list(graph.outputs),
    }


def layer_to_json(layer: Layer) -> dict[str, Any]:
    config = {key: value_to_json(value) for key, value in layer.config().items() if key != "name"}
    return {"class_name": type(layer).__name__, "config": config}


def value_to_json(value: Any) -> Any:
    """Tuples as lists, initializers and regularizers and inner layers as Keras objects, the rest as it is."""
    if isinstance(value, Initializer):
        return {"class_name": type(value).__name__, "config": value_to_json(value.config())}
    if isinstance(value, Regularizer):
        return {"class_name": "L1L2", "config": {"l1": value.l1, "l2": value.l2}}
    if isinstance(value, Constraint):
        return {"class_name": type(value).__name__, "config": value_to_json(value.config())}
    if isinstance(value, Layer):
        return layer_to_json(value)
    if isinstance(value, dict):
        return {key: value_to_json(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [value_to_json(entry) for entry in value]
    return value


def graph_from_json(canonical: dict[str, Any]) -> Graph:
    """Build the graph of a canonical form.

    Raises:
        ModelFileError: an unknown class, a config that the layer refuses, shapes that do not fit; without the file's
            name, which the caller adds.
    """
    nodes = canonical["nodes"]
    too_large = len(canonical["layers"]) > MAX_LAYERS or len(nodes) > MAX_NODES
    if too_large or sum(len(inputs) for _, inputs, *_ in nodes) > MAX_LINKS:
        raise ModelFileError("has more layers or links between them than any real model; the file is damaged")
    layers = {name: build_layer(name, entry) for name, entry in canonical["layers"].items()}
    try:
        calls = tuple(node_of(layers[name], inputs, options) for name, inputs, *options in nodes)
        return Graph(calls, tuple(canonical["outputs"]), canonical["name"])
    except UsageError as error:
        raise ModelFileError(str(error)) from None


def node_of(layer: Layer, inputs: list[int], options: list[Any]) -> Node:
    """One call. Being told to compute as at inference means nothing to a layer that always does."""
    return Node(layer, tuple(inputs), options == [AT_INFERENCE] and layer.trains_differently)


def build_layer(name: str, entry: dict[str, Any]) -> Layer:
    """One engine layer of ``{"class_name", "config"}``. Raises ModelFileError naming the layer."""
    if not is_layer_name(name.replace("/", "_") or "layer"):  # as keras_config.keras_names makes it
        raise ModelFileError(f"{name[:60]!r} is not a possible layer name")
    where = f"layer {name!r} ({entry['class_name']})"
    cls = layer_class(entry["class_name"], name)
    config = {key: tuples(value) for key, value in entry["config"].items()}
    unknown = sorted(set(config) - {f.name for f in fields(cls)})
    if unknown:
        raise ModelFileError(f"{where}: unknown option {unknown[0]!r}")
    try:
        return cls(name=name, **config)
    except UsageError as error:
        raise ModelFileError(f"{where}: {error}") from None
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        # The constructors expect Keras's types; a damaged or hand-made config may hold anything.
        raise ModelFileError(f"{where}: its config cannot be used ({error})") from None


def layer_class(class_name: Any, name: str) -> type[Layer]:
    """The engine's class of exactly this Keras name; aliases of the command line do not count here."""
    if not isinstance(class_name, str) or class_name not in LAYERS.names():
        if class_name in ("Lambda", "TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"):
            raise ModelFileError(
                f"layer {name!r}: is a {class_name} layer, which is code; dltool never runs code of a file, "
                "so replace it in Keras by layers and save the model again"
            )
        if class_name in LOOKUPS:
            raise ModelFileError(
                f"layer {name!r}: is a {class_name} layer, which turns text or keys into numbers; dltool "
                "takes numbers, so do that before it, and save in Keras the model from the next layer on"
            )
        shown = str(class_name)[:60]
        raise ModelFileError(
            f"layer {name!r}: the class {shown!r} is not supported (see 'dltool help layer-words'); "
            "if it is a layer of your own, give the file that defines it with --plugin"
        )
    return LAYERS.get(class_name)


def tuples(value: Any) -> Any:
    """JSON lists as tuples, as the engine's frozen layers hold them; also in the layer inside a wrapper."""
    if isinstance(value, dict) and isinstance(value.get("config"), dict):
        return {**value, "config": {key: tuples(entry) for key, entry in value["config"].items()}}
    return tuple(tuples(entry) for entry in value) if isinstance(value, list) else value
