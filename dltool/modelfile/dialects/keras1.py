"""Keras 1's model config (1.0 to 1.2) -> Keras 2's spelling, which ``dialects.keras2`` reads on. Pure functions.

A key that has no counterpart is passed on as it is, so that its value is judged where Keras 2's keys are; what Keras 1
could do and later versions cannot is refused here, by layer.
Source: keras/layers/*.py and keras/models.py of Keras 1.2.2; keras/legacy/interfaces.py of Keras 2.0.
"""

from __future__ import annotations

from typing import Any

from dltool.errors import ModelFileError

CLASSES = {
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "Deconvolution2D": "Conv2DTranspose",
    "SeparableConvolution2D": "SeparableConv2D",
    "TimeDistributedDense": "Dense",  # Dense itself keeps the other axes since Keras 2
}
MERGES = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "concat": "Concatenate"}
RECURRENT = ("SimpleRNN", "LSTM", "GRU")

RENAMED = {
    "output_dim": "units",
    "nb_filter": "filters",
    "border_mode": "padding",
    "dim_ordering": "data_format",
    "bias": "use_bias",
    "init": "kernel_initializer",
    "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation",
    "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "b_regularizer": "bias_regularizer",
    "W_constraint": "kernel_constraint",
    "U_constraint": "recurrent_constraint",
    "b_constraint": "bias_constraint",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
    "subsample": "strides",
    "subsample_length": "strides",
    "atrous_rate": "dilation_rate",
    "filter_length": "kernel_size",
    "pool_length": "pool_size",
    "stride": "strides",
    "p": "rate",
    "sigma": "stddev",
}
RENAMED_IN = {
    "Embedding": {
        "output_dim": "output_dim",
        "init": "embeddings_initializer",
        "W_regularizer": "embeddings_regularizer",
        "W_constraint": "embeddings_constraint",
    },
    "PReLU": {"init": "alpha_initializer"},
    "UpSampling1D": {"length": "size"},
    "ParametricSoftplus": {"alpha_init": "alpha_initializer", "beta_init": "beta_initializer"},
    "SReLU": {f"{name}_init": f"{name}_initializer" for name in ("t_left", "a_left", "t_right", "a_right")},
}
KEPT = {"Embedding": ("input_dim", "input_length")}
DROPPED = ("input_dim", "input_length", "input_dtype", "consume_less")
"""What the input or the backend decides; no numbers depend on it."""

MARKS = (*RENAMED, "nb_row", "nb_col", "kernel_dim1", "consume_less", "input_dtype", "concat_axis")
INITIALIZERS = {"uniform": "random_uniform", "normal": "random_normal", "zero": "zeros", "one": "ones"}
SIDES = ("top_pad", "bottom_pad", "left_pad", "right_pad")
CONSTRAINTS = {"maxnorm": "MaxNorm", "nonneg": "NonNeg", "unitnorm": "UnitNorm"}


def is_keras1(config: Any) -> bool:
    """Whether a config without a version speaks Keras 1's language."""
    if isinstance(config, list):
        return any(is_keras1(entry) for entry in config)
    if not isinstance(config, dict):
        return False
    inner = config.get("config")
    if isinstance(inner, dict) and isinstance(inner.get("layers"), list):
        return is_keras1(inner["layers"])
    if isinstance(inner, list):
        return is_keras1(inner)
    return isinstance(inner, dict) and (config.get("class_name") in CLASSES or any(key in inner for key in MARKS))


def upgrade(model: Any) -> Any:
    """A ``model_config`` of Keras 1 in Keras 2's spelling; models inside it too."""
    if not isinstance(model, dict) or "config" not in model:
        return model
    config = model["config"]
    if model.get("class_name") == "Sequential":
        layers = config.get("layers") if isinstance(config, dict) else config
        if not isinstance(layers, list):
            return model
        if layers and is_branching(layers[0]):
            return {**model, "class_name": "Model", "config": joined(layers)}
        return {**model, "config": [entry(layer) for layer in layers]}
    if isinstance(config, dict) and isinstance(config.get("layers"), list):
        return {**model, "config": {**config, "layers": [entry(layer) for layer in config["layers"]]}}
    return model


def is_branching(layer: Any) -> bool:
    """Whether a layer is the Merge of whole models that a Sequential could start with."""
    config = layer.get("config") if isinstance(layer, dict) else None
    return isinstance(config, dict) and layer.get("class_name") == "Merge" and isinstance(config.get("layers"), list)


def joined(layers: list[Any]) -> dict[str, Any]:
    """The functional config of a Sequential that starts by merging other models.

    Keras 1 keeps the weights of their layers one by one, as if they were layers of the whole, and so they become.
    """
    found: list[dict[str, Any]] = []
    inputs: list[list[Any]] = []
    last = chain(layers, found, inputs)
    return {"layers": found, "input_layers": inputs, "output_layers": [last]}


def chain(layers: list[Any], found: list[dict[str, Any]], inputs: list[list[Any]], depth: int = 0) -> list[Any]:
    """Append the layers of a Sequential to ``found``; returns its output as ``[layer, call, tensor]``."""
    if depth > 32:
        raise ModelFileError("nests more than 32 models")
    last: list[Any] = []
    for position, layer in enumerate(layers):
        if position == 0 and is_branching(layer):
            sources = [end_of(branch, found, inputs, depth + 1) for branch in layer["config"]["layers"]]
            rest = {key: value for key, value in layer["config"].items() if key != "layers"}
            plain = entry({**layer, "config": rest})
        else:
            plain, sources = entry(layer), [last]
        config = plain.get("config") if isinstance(plain, dict) else None
        name = config.get("name") if isinstance(config, dict) else None
        if not isinstance(name, str):
            raise ModelFileError(f"layer {position + 1} of its model_config has no name; the file is damaged")
        if sources == [[]]:
            sources = [[f"{name}_input", 0, 0]]
            given = {"name": f"{name}_input", "batch_input_shape": config.get("batch_input_shape")}
            found.append({"class_name": "InputLayer", "name": given["name"], "config": given, "inbound_nodes": []})
            inputs += sources
        found.append({**plain, "name": name, "inbound_nodes": [sources]})
        last = [name, 0, 0]
    return last


def end_of(branch: Any, found: list[dict[str, Any]], inputs: list[list[Any]], depth: int) -> list[Any]:
    """Append the layers of one of the models that a Merge joins, which may be a single layer; returns its output."""
    config = branch.get("config") if isinstance(branch, dict) else None
    if isinstance(config, dict) and "batch_input_shape" in config:
        return chain([branch], found, inputs, depth)
    layers = config.get("layers") if isinstance(config, dict) else config
    if not isinstance(layers, list) or not layers:
        raise ModelFileError("merges something that is no model; the file is damaged")
    if branch.get("class_name") == "Sequential":
        return chain(layers, found, inputs, depth)
    outputs = config.get("output_layers")
    if not isinstance(outputs, list) or len(outputs) != 1 or not isinstance(config.get("input_layers"), list):
        raise ModelFileError("merges a model with several outputs, which Keras 1 could not; the file is damaged")
    found += [entry(layer) for layer in layers]
    inputs += config["input_layers"]
    return outputs[0]


def entry(layer: Any) -> Any:
    """One layer in Keras 2's spelling. Raises ModelFileError naming the layer."""
    if not isinstance(layer, dict) or not isinstance(layer.get("config"), dict | list):
        return layer  # refused later, by its place
    class_name, config = layer.get("class_name"), layer["config"]
    if class_name in ("Sequential", "Model"):
        return upgrade(layer)
    if not isinstance(config, dict) or not isinstance(class_name, str):
        return layer
    name = str(layer.get("name") or config.get("name"))
    if class_name == "Merge":
        return {**layer, **merge(name, config)}
    if class_name in ("TimeDistributed", "Bidirectional"):
        return {**layer, "config": {**without(config, "input_dtype"), "layer": entry(config.get("layer"))}}
    plain = CLASSES.get(class_name, class_name)
    return {**layer, "class_name": plain, "config": plain_config(name, class_name, plain, config)}


def plain_config(name: str, class_name: str, plain: str, config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    renamed = {**RENAMED, **RENAMED_IN.get(plain, {})}
    dropped = [key for key in DROPPED if key not in KEPT.get(plain, ())]
    if class_name == "Deconvolution2D":
        dropped.append("output_shape")  # follows from the other options
    for key, value in config.items():
        if key not in dropped:
            found[renamed.get(key, key)] = plain_value(key, value)
    if "nb_row" in found:
        found["kernel_size"] = [found.pop("nb_row"), found.pop("nb_col", None)]
    if "kernel_dim1" in found:
        found["kernel_size"] = [found.pop(f"kernel_dim{axis}", None) for axis in (1, 2, 3)]
    if plain == "LSTM":
        found["unit_forget_bias"] = found.pop("forget_bias_init", "one") in ("one", "ones")
    if plain == "GRU":
        found["reset_after"] = False
    if plain.startswith("ZeroPadding") and "padding" in found:
        found["padding"] = zero_padding(plain, found["padding"])
    if plain == "BatchNormalization" and found.pop("mode", 0) != 0:
        raise ModelFileError(
            f"layer {name!r} (BatchNormalization): the option mode={config['mode']!r} is not supported; "
            "only mode 0 exists since Keras 2"
        )
    return found


def zero_padding(plain: str, value: Any) -> Any:
    """Rows and columns on each side: pairs where they are given one by one, in a list or by name."""
    if isinstance(value, dict):
        sides = ("left_pad", "right_pad") if plain == "ZeroPadding1D" else SIDES
        value = [value.get(side, 0) for side in sides]
    return [value[:2], value[2:]] if isinstance(value, list) and len(value) == 4 else value


def plain_value(key: str, value: Any) -> Any:
    if key == "dim_ordering":
        return {"tf": "channels_last", "th": "channels_first"}.get(value, value)
    if (key in ("init", "inner_init") or key.endswith("_init")) and isinstance(value, str):
        return INITIALIZERS.get(value, value)
    if key.endswith("_regularizer") and isinstance(value, dict):
        return regularizer(value)
    if key.endswith("_constraint") and isinstance(value, dict):
        return constraint(value)
    return value


def regularizer(value: dict[str, Any]) -> dict[str, Any]:
    """``{"name": "WeightRegularizer", "l1", "l2"}`` as an object."""
    known = value.get("name") in ("WeightRegularizer", "ActivityRegularizer", "L1L2Regularizer")
    return {"class_name": "L1L2", "config": without(value, "name")} if known else value


def constraint(value: dict[str, Any]) -> dict[str, Any]:
    """``{"name": "MaxNorm", "m": 2, "axis": 0}`` as an object."""
    name = str(value.get("name"))
    config = {"max_value" if key == "m" else key: entry for key, entry in value.items() if key != "name"}
    return {"class_name": CONSTRAINTS.get(name.lower(), name), "config": config}


def merge(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Class and config of the layer that does what a Merge did. Raises ModelFileError for a function as its mode."""
    mode = config.get("mode")
    kept = {key: config[key] for key in ("name", "trainable") if key in config}
    if not isinstance(mode, str) or config.get("mode_type", "raw") != "raw":
        raise ModelFileError(
            f"layer {name!r}: is a Merge by a Python function, which is code; dltool never runs code of a file"
        )
    if mode in ("dot", "cos"):
        axes = config.get("dot_axes", -1)
        return {"class_name": "Dot", "config": {**kept, "axes": axes, "normalize": mode == "cos"}}
    if mode not in MERGES:
        raise ModelFileError(f"layer {name!r} (Merge): the option mode={mode[:40]!r} is not supported")
    axis = {"axis": config.get("concat_axis", -1)} if mode == "concat" else {}
    return {"class_name": MERGES[mode], "config": {**kept, **axis}}


def without(values: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}
