"""Layers of Keras that are made of others, as those: wrappers of cells and of whole models. Pure functions on JSON.

``RNN`` around a cell is the recurrent layer of that cell, around several cells a chain of them. ``TimeDistributed``
around a model is that model with each of its layers distributed over time. The weights lie in the file as before: one
group, cell after cell or as a nested model has them. ``stored_class`` keeps the name that Keras 3's layout of variables
goes by.
Source: keras/src/layers/rnn/rnn.py, stacked_rnn_cells.py and time_distributed.py of Keras 3.15 and tf_keras 2.21.
"""

from __future__ import annotations

from typing import Any

from dltool.errors import ModelFileError
from dltool.modelfile.layer_config import WRAPPED, modern_entry

CELLS = {"LSTMCell": "LSTM", "GRUCell": "GRU", "SimpleRNNCell": "SimpleRNN"}
MODEL_CLASSES = ("Functional", "Model", "Sequential")
ALIKE = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "InputLayer")
"""Layers that do the same with an axis of time in front."""
ACTIVATION_LAYERS = ("ELU", "LeakyReLU", "ReLU", "Softmax", "ThresholdedReLU")
NOT_LAST = ("SimpleRNN", "LSTM", "GRU", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Highway")
"""Layers whose activation is not what they end with."""


def known_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """A layer entry in terms of layers that the engine has. Raises ModelFileError naming the layer."""
    entry = modern_entry(entry)
    class_name, config = entry.get("class_name"), entry.get("config")
    if not isinstance(config, dict):
        return entry
    if class_name == "RNN" and isinstance(config.get("cell"), dict):
        return around_cell(entry)
    inside = config.get("layer")
    if class_name == "TimeDistributed" and isinstance(inside, dict) and inside.get("class_name") in MODEL_CLASSES:
        return distributed_model(entry)
    if class_name == "Identity":
        plain = {key: value for key, value in config.items() if key in ("name", "trainable", "batch_input_shape")}
        return {**entry, "class_name": "Activation", "config": {**plain, "activation": "linear"}}
    return entry


def with_known_inside(entry: dict[str, Any]) -> dict[str, Any]:
    """A wrapper's entry with the layers inside it in the same terms."""
    config = entry["config"]
    if not isinstance(config, dict):
        return entry
    inside = {key: known_entry(config[key]) for key in WRAPPED if is_entry(config.get(key))}
    return {**entry, "config": {**config, **inside}} if inside else entry


def is_entry(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("class_name"), str) and "config" in value


def split(entry: dict[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """A layer that does the work of two without the second, and that one by the end of its name.

    An activation that is a layer (``Dense(8, activation=LeakyReLU(0.2))``); the dropout of Keras 1's Embedding, which
    dropped words of its table for a whole batch: here each place of a sequence is dropped for itself.
    """
    config = entry["config"]
    if not isinstance(config, dict):
        return entry, {}
    if entry["class_name"] == "Embedding" and "dropout" in config:
        plain = {**entry, "config": {key: value for key, value in config.items() if key != "dropout"}}
        options = {"rate": config["dropout"], "noise_shape": [None, None, 1]}
        return plain, {"dropout": {"class_name": "Dropout", "config": options}} if config["dropout"] else {}
    value = config.get("activation")
    if not is_entry(value) or value["class_name"] not in ACTIVATION_LAYERS or entry["class_name"] in NOT_LAST:
        return entry, {}
    return {**entry, "config": {**config, "activation": "linear"}}, {"activation": value}


def around_cell(entry: dict[str, Any]) -> dict[str, Any]:
    config = entry["config"]
    cell, rest = config["cell"], {key: value for key, value in config.items() if key not in ("cell", "num_constants")}
    inner = cell.get("config") if isinstance(cell.get("config"), dict) else {}
    if cell.get("class_name") == "StackedRNNCells" and isinstance(inner.get("cells"), list) and inner["cells"]:
        return chain_of(entry, inner["cells"], rest)
    class_name = class_of(entry, cell)
    own = {key: value for key, value in inner.items() if key not in ("name", "trainable")}
    return {**entry, "class_name": class_name, "config": {**own, **rest}, "stored_class": "RNN"}


def class_of(entry: dict[str, Any], cell: Any) -> str:
    """The recurrent layer of a cell. Raises ModelFileError for a cell that is not Keras's."""
    found = str(cell.get("class_name")) if isinstance(cell, dict) else str(cell)
    if found not in CELLS:
        name = entry.get("name") or entry["config"].get("name")
        raise ModelFileError(f"layer {name!r}: is an RNN around {found[:60]}, which is not supported; use LSTM or GRU")
    return CELLS[found]


def chain_of(entry: dict[str, Any], cells: list[Any], rest: dict[str, Any]) -> dict[str, Any]:
    """One recurrent layer per cell, as a nested model; only the first turns the time round."""
    if rest.get("return_state") or rest.get("stateful"):
        name = entry.get("name") or rest.get("name")
        raise ModelFileError(f"layer {name!r}: keeps or returns the states of several cells, which is not supported")
    layers = []
    for place, cell in enumerate(cells):
        class_name, last = class_of(entry, cell), place == len(cells) - 1
        options = {
            "name": f"cell_{place}",
            "trainable": rest.get("trainable", True),
            "return_sequences": rest.get("return_sequences", False) if last else True,
            "go_backwards": rest.get("go_backwards", False) if place == 0 else False,
        }
        own = cell["config"] if isinstance(cell.get("config"), dict) else {}
        stored = {"stored_class": cell["class_name"]}
        layers.append({"class_name": class_name, "config": {**own, **options}, **stored})
    config = {"name": rest.get("name"), "layers": layers}
    if "batch_input_shape" in rest:
        layers[0]["config"]["batch_input_shape"] = rest["batch_input_shape"]
    return {**entry, "class_name": "Sequential", "config": config, "stored_class": "RNN", "stored_in": "cell/cells/"}


def distributed_model(entry: dict[str, Any]) -> dict[str, Any]:
    """The model inside, each of its layers in a TimeDistributed."""
    config = entry["config"]
    model = config["layer"]
    inner = model.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    if not isinstance(layers, list):
        return entry
    trainable = config.get("trainable", True)
    found = [distributed(layer, trainable) for layer in layers]
    if isinstance(inner, dict):
        inner = {key: value for key, value in inner.items() if key not in ("build_input_shape", "layers")}
    options = inner if isinstance(inner, dict) else {}
    shape = {"build_input_shape": config["batch_input_shape"]} if config.get("batch_input_shape") else {}
    plain = {**entry, "class_name": model["class_name"], "config": {**options, **shape, "layers": found}}
    return {**plain, "stored_class": "TimeDistributed", "stored_in": "layer/layers/"}


def distributed(layer: Any, trainable: Any) -> Any:
    """One layer of the model inside; layers that join tensors need no wrapping."""
    if not isinstance(layer, dict) or not isinstance(layer.get("config"), dict | list):
        return layer
    class_name, config = layer.get("class_name"), layer["config"]
    if class_name in ALIKE:
        return layer
    options = config if isinstance(config, dict) else {}
    if class_name == "Concatenate":
        axis = options.get("axis", -1)
        moved = axis + 1 if type(axis) is int and axis > 0 else axis
        return {**layer, "config": {**options, "axis": moved}}
    name = layer.get("name") or options.get("name")
    flags = {"name": name, "trainable": bool(trainable) and bool(options.get("trainable", True))}
    inside = {key: value for key, value in layer.items() if key not in ("name", "inbound_nodes")}
    shape = {"batch_input_shape": options["batch_input_shape"]} if options.get("batch_input_shape") else {}
    if shape:
        inside["config"] = {key: value for key, value in options.items() if key != "batch_input_shape"}
        shape = {"batch_input_shape": [None, *shape["batch_input_shape"]]}
    stored = {"stored_class": class_name}
    return {**layer, "class_name": "TimeDistributed", "config": {**flags, **shape, "layer": inside}, **stored}
