"""The engine's graph -> Keras 3's own config, as ``.keras`` archives and ``model.to_json()`` hold it.

Unlike the form for both generations (``keras_config``) it says everything: initializers too, plain axes, and calls with
arguments by kind, which some layers cannot be written without.
Source: keras/src/saving/serialization_lib.py and keras/src/models/functional.py of Keras 3.15.
"""

from __future__ import annotations

from typing import Any

from dltool.engine.graph import Graph
from dltool.engine.initializers import INITIALIZERS, Initializer
from dltool.engine.layers.base import Layer
from dltool.engine.layers.core import InputLayer
from dltool.engine.layers.operations import Operation
from dltool.engine.regularizers import Regularizer
from dltool.modelfile.graph_json import value_to_json
from dltool.modelfile.keras_config import ACTIVATIONS, LEFT_OUT, calls_of, home, keras3_call, keras_names, reference
from dltool.modelfile.keras_operations import is_chain, operation_object
from dltool.modelfile.saved import TrainingConfig
from dltool.modelfile.training_config import keras_training_config

KERAS3_VERSION = "3.15.0"
"""What the files call themselves."""

RENAMED = {name: {"output_size": "output_shape"} for name in ("EinsumDense", "MultiHeadAttention")}
"""The engine's field -> Keras 3's key, where they differ."""

MODULES = {
    "CustomScaleLayer": "keras.src.applications.inception_resnet_v2",
    "LayerScale": "keras.src.applications.convnext",
    "StochasticDepth": "keras.src.applications.convnext",
}
"""Where Keras has layers that are not in ``keras.layers``."""

FUNCTIONAL = {"module": "keras.src.models.functional", "class_name": "Functional", "registered_name": "Functional"}
SEQUENTIAL = {"module": "keras", "class_name": "Sequential", "registered_name": None}


def keras3_model_config(graph: Graph, compiled: TrainingConfig | None = None) -> dict[str, Any]:
    """The whole config; with a compile step if there is one that Keras can express."""
    names = keras_names(graph)
    title = graph.name.replace("/", "_") or "model"
    if is_chain(graph):
        layers = [layer_object(names[name], layer) for name, layer in graph.layers.items()]
        found = {**SEQUENTIAL, "config": {"name": title, "trainable": True, "dtype": "float32", "layers": layers}}
    else:
        found = {**FUNCTIONAL, "config": functional_config(graph, names, title)}
    step = compile_config(compiled, graph.output_names)
    return found if step is None else {**found, "compile_config": step}


def functional_config(graph: Graph, names: dict[str, str], title: str) -> dict[str, Any]:
    calls = calls_of(graph)
    layers = []
    for name in names:
        layer = graph.layers[name]
        nodes = [keras3_call(graph, calls, names, node) for node in graph.nodes if node.layer is layer and node.inputs]
        layers.append({**layer_object(names[name], layer), "name": names[name], "inbound_nodes": nodes})
    return {
        "name": title,
        "trainable": True,
        "layers": layers,
        "input_layers": [reference(graph, calls, names, index) for index in graph.inputs],
        "output_layers": [reference(graph, calls, names, index) for index in graph.outputs],
    }


def layer_object(name: str, layer: Layer) -> dict[str, Any]:
    if isinstance(layer, Operation):
        return operation_object(name, layer)
    class_name = type(layer).__name__
    where = home(layer) | ({"module": MODULES[class_name]} if class_name in MODULES else {})
    return {"class_name": class_name, "config": layer_config(name, layer), **where}


def layer_config(name: str, layer: Layer) -> dict[str, Any]:
    """All constructor arguments; what only the engine knows is left out."""
    if isinstance(layer, InputLayer):
        return {"batch_shape": [None, *layer.shape], "dtype": "float32", "sparse": False, "name": name}
    class_name = type(layer).__name__
    left_out = LEFT_OUT.get(class_name, ())
    found: dict[str, Any] = {"name": name, "trainable": layer.trainable, "dtype": "float32"}
    found = {key: value for key, value in found.items() if key not in left_out}
    for key, value in layer.config().items():
        if key in found or key in left_out or (key == "backward_layer" and layer.is_mirrored):
            continue
        if isinstance(value, Layer):
            value = layer_object(value.name or "layer", value)
        elif isinstance(value, Initializer):
            if type(value).__name__ not in INITIALIZERS.names():
                continue
            value = wrapped("keras.initializers", value_to_json(value))
        elif isinstance(value, Regularizer):
            value = wrapped("keras.regularizers", value_to_json(value))
        elif key.endswith("_constraint") and value is not None:
            value = wrapped("keras.constraints", value_to_json(value))
        else:
            value = value_to_json(value)
            value = ACTIVATIONS.get(value, value) if key.endswith("activation") else value
        found[RENAMED.get(class_name, {}).get(key, key)] = value
    return found


def compile_config(compiled: TrainingConfig | None, output_names: tuple[str, ...]) -> dict[str, Any] | None:
    """Keras 3's ``compile_config``, or None when the compile step cannot be said in Keras's words."""
    found = keras_training_config(compiled, output_names)
    if found is None:
        return None
    return {
        "optimizer": wrapped("keras.optimizers", found["optimizer_config"]),
        "loss": objects("keras.losses", found["loss"]),
        "loss_weights": found["loss_weights"],
        "metrics": objects("keras.metrics", found["metrics"]),
        "weighted_metrics": None,
        "run_eagerly": False,
        "steps_per_execution": 1,
        "jit_compile": False,
    }


def objects(module: str, value: Any) -> Any:
    """The objects in lists and alone with their module; names stay names."""
    if isinstance(value, list):
        return [objects(module, entry) for entry in value]
    return wrapped(module, value) if isinstance(value, dict) else value


def wrapped(module: str, value: dict[str, Any]) -> dict[str, Any]:
    """An object as Keras 3 finds it: with its module."""
    return {"module": module, "class_name": value["class_name"], "config": value["config"], "registered_name": None}
