"""The engine's graph -> a ``model_config`` that Keras 3 (3.0 to 3.15) and tf_keras / tf.keras 2.12 both open.

The rules were found by experiment: Keras 2's outer form (``batch_input_shape`` on explicit InputLayers, nested lists as
nodes), only constructor arguments that both know, no initializers (Keras 3.0 rejects some spellings, and a trained
model does not need them), one-element lists where Keras 3.0 to 3.8 drop a plain axis.
"""

from __future__ import annotations

from typing import Any

from dltool.engine.graph import Graph, Node
from dltool.engine.layers.applications import CustomScaleLayer, LayerScale, StochasticDepth
from dltool.engine.layers.attention import MultiHeadAttention
from dltool.engine.layers.base import Layer
from dltool.engine.layers.convolution_nd import SeparableConv1D
from dltool.engine.layers.core import InputLayer, Normalization
from dltool.engine.layers.operations import Operation
from dltool.engine.layers.random_images import RandomContrast, RandomCrop
from dltool.engine.layers.row_normalization import LayerNormalization
from dltool.engine.optimizers import Lion
from dltool.modelfile.graph_json import AT_INFERENCE, value_to_json
from dltool.modelfile.keras_operations import is_chain, operation_call, operation_object, output_number
from dltool.modelfile.saved import TrainingConfig

KERAS_VERSION = "2.15.0"
"""What the file calls itself: without a version Keras 2 takes it for Keras 1 and rearranges weights."""

RENAMED = {
    "LeakyReLU": {"negative_slope": "alpha"},
    "EinsumDense": {"output_size": "output_shape"},
    "MultiHeadAttention": {"output_size": "output_shape"},
}
"""Keras 3's key -> the one that both generations read."""

LISTED = {
    "BatchNormalization": ("axis",),
    "LayerNormalization": ("axis",),
    "MultiHeadAttention": ("output_size",),
    "Normalization": ("axis",),
    "Softmax": ("axis",),
}
"""Keys that are written as a list: of one for a number, empty for None."""

EMPTY = {"MultiHeadAttention": None}
"""What None is written as in a list's place, where it is not the empty list."""

LEFT_OUT = {
    "Discretization": ("trainable",),
    "SpatialDropout1D": ("trainable",),
    "SpatialDropout2D": ("trainable",),
    "SpatialDropout3D": ("trainable",),
    "AdditiveAttention": ("use_causal_mask",),
    "Attention": ("use_causal_mask",),
    "MultiHeadAttention": ("use_causal_mask",),
    "BatchNormalization": ("unbiased_moving_variance",),
    "SimpleRNN": ("zero_output_for_mask",),
    "LSTM": ("zero_output_for_mask",),
    "GRU": ("zero_output_for_mask",),
}
"""Fields that Keras does not have, or that one generation rejects."""

UNSAID = {"crop_to_aspect_ratio": False, "score_mode": "dot", "value_range": (0.0, 255.0)}
"""Defaults that are not written: Keras 3 turns the first into a function, Keras 2's RandomContrast lacks the second."""

CHANNELS_LAST = (
    "AveragePooling1D",
    "AveragePooling3D",
    "Conv1D",
    "Conv1DTranspose",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "Conv3D",
    "Cropping2D",
    "Cropping3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling3D",
    "MaxPooling1D",
    "MaxPooling3D",
    "SeparableConv1D",
    "SeparableConv2D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding3D",
    "Conv2D",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "LocallyConnected1D",
    "LocallyConnected2D",
    "MaxPooling2D",
    "AveragePooling2D",
    "GlobalMaxPooling2D",
    "GlobalAveragePooling2D",
    "Flatten",
    "ZeroPadding2D",
)
"""Layers whose default layout a user's keras.json could change."""

ACTIVATIONS = {"silu": "swish", "hard_sigmoid_keras2": "hard_sigmoid"}


ABSENT_FROM = {
    "Highway": ("Keras 3", "tf_keras"),
    "LocallyConnected1D": ("Keras 3",),
    "LocallyConnected2D": ("Keras 3",),
    "MaxoutDense": ("Keras 3", "tf_keras"),
    "ParametricSoftplus": ("Keras 3", "tf_keras"),
    "RMSNormalization": ("tf_keras",),
    "RandomHeight": ("Keras 3",),
    "RandomWidth": ("Keras 3",),
    "SReLU": ("Keras 3", "tf_keras"),
    "ThresholdedReLU": ("Keras 3",),
}
"""Layers that a generation does not have."""

ONLY_KERAS3 = (
    "celu",
    "hard_shrink",
    "hard_silu",
    "hard_tanh",
    "log_sigmoid",
    "soft_shrink",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "tanh_shrink",
)
"""Activations that tf_keras does not have."""


def keras_names(graph: Graph) -> dict[str, str]:
    """Layer name -> the name in Keras, where "/" is not allowed and the empty name neither.

    Without parts of a layer's output, which are no layers there.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name, layer in graph.layers.items():
        if layer.is_part:
            continue
        plain = name.replace("/", "_") or "layer"
        while plain in taken or (plain != name and plain in graph.layers):
            plain += "_"
        taken.add(plain)
        found[name] = plain
    return found


def keras_model_config(graph: Graph) -> dict[str, Any]:
    """Sequential for a chain, else Functional."""
    names = keras_names(graph)
    title = graph.name.replace("/", "_") or "model"
    if is_chain(graph):
        layers = [entry(names[name], layer) for name, layer in graph.layers.items()]
        return {"class_name": "Sequential", "config": {"name": title, "layers": layers}}
    calls = calls_of(graph)
    layers = []
    for name in names:
        layer = graph.layers[name]
        nodes = [call_json(graph, calls, names, node) for node in graph.nodes if node.layer is layer and node.inputs]
        layers.append({**entry(names[name], layer), "name": names[name], "inbound_nodes": nodes})
    config = {
        "name": title,
        "trainable": True,
        "layers": layers,
        "input_layers": [reference(graph, calls, names, index) for index in graph.inputs],
        "output_layers": [reference(graph, calls, names, index) for index in graph.outputs],
    }
    return {"class_name": "Functional", "config": config}


def calls_of(graph: Graph) -> list[int]:
    """For every node: which call of its layer it is."""
    counts: dict[str, int] = {}
    found = []
    for node in graph.nodes:
        found.append(counts.get(node.name, 0))
        counts[node.name] = found[-1] + 1
    return found


def call_json(graph: Graph, calls: list[int], names: dict[str, str], node: Node) -> Any:
    """One entry of ``inbound_nodes``: the list that both generations read, or Keras 3's form where there is none."""
    if not needs_keras3(node):
        options = AT_INFERENCE if node.inference else {}
        return [[*reference(graph, calls, names, source), options] for source in node.inputs]
    return keras3_call(graph, calls, names, node)


def keras3_call(graph: Graph, calls: list[int], names: dict[str, str], node: Node) -> dict[str, Any]:
    """One entry of ``inbound_nodes`` in Keras 3's form."""

    def tensor(source: int) -> dict[str, Any]:
        place = reference(graph, calls, names, source)
        config = {"shape": [None, *graph.shapes[source]], "dtype": "float32", "keras_history": place}
        return {"class_name": "__keras_tensor__", "config": config}

    tensors = [tensor(source) for source in node.inputs]
    options = {"use_causal_mask": True} if getattr(node.layer, "use_causal_mask", False) else {}
    options |= AT_INFERENCE if node.inference else {}
    if node.layer.may_join and len(tensors) > 1:
        return {"args": tensors[:1], "kwargs": {"initial_state": tensors[1:]}}
    if isinstance(node.layer, Operation):
        return operation_call(node.layer, tensors)
    is_list = node.layer.joins and not isinstance(node.layer, MultiHeadAttention)
    return {"args": [tensors] if is_list else tensors, "kwargs": options}


def needs_keras3(node: Node) -> bool:
    """True for a call that no list describes to both: Keras 3 takes initial states and options by name only."""
    states = node.layer.may_join and len(node.inputs) > 1
    return (
        states
        or isinstance(node.layer, MultiHeadAttention | Operation)
        or getattr(node.layer, "use_causal_mask", False)
    )


def reference(graph: Graph, calls: list[int], names: dict[str, str], index: int) -> list[Any]:
    node = graph.nodes[index]
    if node.layer.is_part:
        return [*reference(graph, calls, names, node.inputs[0])[:2], node.layer.index]
    return [names[node.name], calls[index], output_number(node.layer)]


def entry(name: str, layer: Layer) -> dict[str, Any]:
    if isinstance(layer, Operation):
        return operation_object(name, layer)
    return {"class_name": type(layer).__name__, "config": layer_config(name, layer)}


def layer_config(name: str, layer: Layer) -> dict[str, Any]:
    """The constructor arguments that both generations know."""
    class_name = type(layer).__name__
    if isinstance(layer, InputLayer):
        return {"name": name, "dtype": "float32", "batch_input_shape": [None, *layer.shape], "sparse": False}
    found: dict[str, Any] = {"name": name, "trainable": layer.trainable, "dtype": "float32"}
    found = {key: value for key, value in found.items() if key not in LEFT_OUT.get(class_name, ())}
    for key, value in layer.config().items():
        left_out = key in found or key in LEFT_OUT.get(class_name, ()) or key.endswith("_initializer")
        left_out = left_out or (key == "backward_layer" and layer.is_mirrored)
        left_out = left_out or (key in UNSAID and UNSAID[key] == value)
        if left_out or (value is None and key.endswith(("_regularizer", "_constraint"))):
            continue
        value = wrapped(value) if isinstance(value, Layer) else value_to_json(value)
        if key in LISTED.get(class_name, ()) and not isinstance(value, list):
            value = EMPTY.get(class_name, []) if value is None else [value]
        if key in ("activation", "recurrent_activation"):
            value = ACTIVATIONS.get(value, value)
        found[RENAMED.get(class_name, {}).get(key, key)] = value
    if class_name in CHANNELS_LAST:
        found["data_format"] = "channels_last"
    return found


def wrapped(layer: Layer) -> dict[str, Any]:
    """The layer inside a wrapper, where Keras 3 finds no class without its module and takes an axis as it stands."""
    found = {**entry("layer", layer), **home(layer)}
    for key in LISTED.get(type(layer).__name__, ()):
        if isinstance(value := found["config"].get(key), list) and len(value) == 1:
            (found["config"][key],) = value
    return found


def home(layer: Layer) -> dict[str, Any]:
    """Where Keras 3 looks for the class: among its layers, or for a plugin's in ``custom_objects``."""
    if type(layer).__module__.startswith("dltool."):
        return {"module": "keras.layers", "registered_name": None}
    return {"module": None, "registered_name": type(layer).__name__}


def keras_differences(graph: Graph, training_config: TrainingConfig | None = None) -> list[str]:
    """What Keras does differently from dltool when it opens the written file, one sentence each."""
    found = []
    used = {getattr(layer, "activation", None) for layer in graph.layers.values()}
    if "hard_sigmoid" in used:
        found.append(
            "tf_keras reads hard_sigmoid as clip(0.2x + 0.5, 0, 1); dltool and Keras 3 use clip(x/6 + 0.5, 0, 1)"
        )
    if "hard_sigmoid_keras2" in used:
        found.append(
            "Keras 3 reads hard_sigmoid as clip(x/6 + 0.5, 0, 1); dltool and Keras 2 use clip(0.2x + 0.5, 0, 1)"
        )
    for name in sorted(used & set(ONLY_KERAS3)):
        found.append(f"tf_keras cannot open the model, because it has no activation {name}")
    for node in graph.nodes:
        if isinstance(node.layer, Operation):
            done = f"{node.name!r} is the operation {type(node.layer).__name__} of Keras 3"
            found.append(f"tf_keras cannot open the model, because {done}")
        elif needs_keras3(node):
            found.append(f"tf_keras cannot open the model, because {node.name!r} takes tensors or options by name")
    for node, shape in zip(graph.nodes, graph.shapes, strict=True):
        if getattr(node.layer, "output_mode", "") == "one_hot" and len(shape) > 1:
            found.append(f"tf_keras cannot open the model, because {node.name!r} makes more than one vector of a row")
    still = next((node.name for node in graph.nodes if node.inference), None)
    if still is not None:
        found.append(f"Keras 3 trains {still!r} as usual; dltool and tf_keras keep it as at inference (training=False)")
    for name, layer in graph.layers.items():
        for keras in ABSENT_FROM.get(type(layer).__name__, ()):
            found.append(f"{keras} cannot open the model, because it has no {type(layer).__name__} ({name!r})")
        if isinstance(layer, SeparableConv1D) and layer.padding == "causal":
            found.append(f"Keras 3 cannot open the model, because it has no causal padding for {name!r}")
        if isinstance(layer, CustomScaleLayer | LayerScale | StochasticDepth):
            needed = f"without custom_objects, because {name!r} is a {type(layer).__name__} of keras.applications"
            found += [f"{keras} cannot open the model {needed}" for keras in ("Keras 3", "tf_keras")]
        if isinstance(layer, RandomCrop):
            found.append(f"Keras 3 passes images through {name!r} uncut at inference; dltool and tf_keras cut")
        if isinstance(layer, RandomContrast) and layer.value_range != UNSAID["value_range"]:
            found.append(f"tf_keras cannot open the model, because it has no value_range in {name!r}")
        if isinstance(layer, LayerNormalization) and not isinstance(layer.axis, int):
            found.append(f"Keras 3 cannot open the model, because {name!r} normalises over several axes")
        if isinstance(layer, Normalization) and not isinstance(layer.axis, int):
            # Its .h5 reader drops every axis but a single one; it cannot read such files of its own either.
            found.append(f"Keras 3 cannot open the model, because {name!r} normalises several axes or none apart")
    optimizer = training_config.optimizer if training_config is not None else None
    if optimizer is not None and optimizer.weight_decay is not None:
        found.append("tf_keras opens the model with compile=False only, because its optimizer has a weight decay")
    elif isinstance(optimizer, Lion):
        found.append("tf_keras opens the model with compile=False only, because its optimizer is Lion")
    return found
