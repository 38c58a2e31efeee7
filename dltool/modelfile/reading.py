"""Read a whole model of Keras, an HDF5 file or a ``.keras`` archive. Nothing in it is imported or executed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from dltool.engine.graph import Graph
from dltool.engine.model import Model
from dltool.engine.weights import Slot
from dltool.errors import DltoolError, ModelFileError
from dltool.modelfile.dialects import keras2, keras3, shared_layers
from dltool.modelfile.digest import RunningDigest
from dltool.modelfile.graph_json import graph_from_json
from dltool.modelfile.hdf5 import ModelSource
from dltool.modelfile.json_text import parse_json
from dltool.modelfile.keras3_variables import stored_weights
from dltool.modelfile.keras_config import KERAS_VERSION
from dltool.modelfile.loading import Conversions, groups_of_slots, load_model, numbers_by_position
from dltool.modelfile.network import Network, upgrade
from dltool.modelfile.optimizer_state import read_state
from dltool.modelfile.own_texts import own_texts, state_counters
from dltool.modelfile.saved import SavedModel, TrainingConfig, TrainingState
from dltool.modelfile.stored_weights import conversions_of
from dltool.modelfile.training_config import major, read_compile_config, read_training_config, training_from_json


def read(path: str | os.PathLike[str] | ModelSource, *, with_state: bool = True) -> SavedModel:
    """The model in a file, with everything that the file says about it.

    Args:
        path: of the file, or the file opened earlier; it is closed at the end.
        with_state: False leaves the optimizer's slots and last weights in the file (``state`` is None), which saves
            reading three times the model's size.

    Raises:
        ModelFileError: missing, damaged, unsafe or unsupported; the message starts with the path.
    """
    with path if isinstance(path, ModelSource) else ModelSource(path) as source, naming(source.path):
        return read_source(source, with_state)


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Every error of what happens inside becomes a ModelFileError that starts with the path."""
    try:
        yield
    except ModelFileError as error:
        message = str(error)
        raise (error if message.startswith(f"{path}: ") else ModelFileError(f"{path}: {message}")) from None
    except DltoolError as error:
        raise ModelFileError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        # Configs are checked where they are used, but a damaged one can hold any JSON value in any place.
        raise ModelFileError(f"{path}: its config is not a Keras config ({error}); the file is damaged") from error
    except RecursionError:
        raise ModelFileError(f"{path}: its config is nested too deeply; the file is damaged") from None


def read_network(path: str | os.PathLike[str]) -> Network:
    """The network of a whole model, without its weights. Raises ModelFileError."""
    path = os.fspath(path)
    with ModelSource(path) as source, naming(path):
        texts = model_texts(source.header)
        check_whole_model(source)
        return upgrade(parse_json(texts["model_config"], "model_config"), texts.get("keras_version", ""))


def read_weights(path: str | os.PathLike[str], network: Network) -> Model:
    """A model with the network given and the weights of a file that may hold nothing else.

    Keras until 2.15 wrote the groups of a whole model into the root ("w.h5"), found by position; since tf.keras 2.12
    and in Keras 3 there is "w.weights.h5", found by the layers' classes. A whole model's weights are taken likewise.

    Raises:
        ModelFileError: the weights do not fit the network.
    """
    path = os.fspath(path)
    with ModelSource(path) as source, naming(path):
        header = source.header
        if header["layers"] is None and header["variables"] is None:
            raise ModelFileError("holds no weights of Keras; give a file that save_weights or save wrote")
        version = weights_version(header, network)
        conversions = conversions_of(network.entries, version, is_theano(header, version))
        graph = network.graph()
        return load_model(source, graph, numbers_of(source, graph, network.groups, network, conversions), conversions)


def weights_version(header: dict[str, Any], network: Network) -> int:
    """The major version of Keras that stored the weights; files of Keras 1 with weights only do not say."""
    if header["layers"] is None:
        return max(network.version, 2)
    return major(header["root"].get("keras_version", "1"))


def read_source(source: ModelSource, with_state: bool) -> SavedModel:
    own = source.header["dltool"]
    texts = model_texts(source.header)
    check_whole_model(source)
    version = texts.get("keras_version", "")
    config = parse_json(texts["model_config"], "model_config")
    network = upgrade(config, version)
    ours = own_texts(own) if own is not None else {}
    graph = graph_from_json(ours["graph"]) if "graph" in ours else network.graph()
    order = own_order(ours["graph"], network.groups) if "graph" in ours else network.groups
    theano = is_theano(source.header, network.version)
    conversions = {} if "graph" in ours else conversions_of(network.entries, network.version, theano)
    numbers = numbers_of(source, graph, order, network, conversions)
    if own is not None:
        # The digest does not cover the version; it is the one that dltool writes.
        saved = SavedModel(checked_model(source, graph, numbers, own), keras_version=KERAS_VERSION)
        fill_own(saved, ours, own["state"] if with_state else None, source)
        return saved
    model = load_model(source, graph, numbers, conversions)
    saved = SavedModel(model, keras_version=version, foreign=True, doubts=shared_layers.remarks(model))
    saved.training_config = foreign_training(texts, config, graph, version)
    is_turned = any(conversion.always for conversion in conversions.values())
    if with_state and source.header["optimizer"] and saved.training_config is not None and not is_turned:
        saved.state = foreign_state(source, model, order, saved.training_config, version)
    return saved


def model_texts(header: dict[str, Any]) -> dict[str, str]:
    """``model_config``, ``keras_version`` and ``training_config``, as far as they are there, of file or archive."""
    if "archive" not in header:
        return header["root"]
    texts = header["archive"]
    about = parse_json(texts["metadata"], "metadata.json") if texts["metadata"] else {}
    version = about.get("keras_version") if isinstance(about, dict) else None
    return {"model_config": texts["config"], "keras_version": version if isinstance(version, str) else "3"}


def foreign_training(texts: dict[str, str], config: Any, graph: Graph, version: str) -> TrainingConfig | None:
    """How Keras compiled the model; an archive keeps that beside the config."""
    if "training_config" in texts:
        training = keras3.simplify(parse_json(texts["training_config"], "training_config"))
        return read_training_config(training, graph.output_names, version) if isinstance(training, dict) else None
    compiled = keras3.simplify(config.get("compile_config")) if isinstance(config, dict) else None
    return read_compile_config(compiled, graph.output_names, version) if isinstance(compiled, dict) else None


def numbers_of(
    source: ModelSource, graph: Graph, order: keras2.Groups, network: Network, conversions: Conversions
) -> dict[str, list[int]]:
    """Layer name -> the numbers of its arrays in the file."""
    if source.header["layers"] is not None:
        return numbers_by_position(graph, order, source.header["layers"], conversions)
    return stored_weights(network.plain, network.version, source.header["variables"])


def check_whole_model(source: ModelSource) -> None:
    """Raises ModelFileError, saying what the file is, unless it holds a config, weights and what dltool added."""
    archive = "archive" in source.header
    if not archive and "model_config" not in source.header["root"]:
        if source.header["weights_only"] or source.header["variables"] is not None:
            raise ModelFileError("holds weights only; give it a network: dltool convert IN OUT.h5 --from model.json")
        raise ModelFileError("has no model_config; it is not a model that Keras or dltool wrote")
    if source.header["marked"] and source.header["dltool"] is None:
        raise ModelFileError("of dltool, but has lost its /dltool group; the file was damaged, copy it again")
    if source.header["layers"] is None and source.header["variables"] is None:
        raise ModelFileError("has a model_config but no weights; save the whole model in Keras with model.save('m.h5')")


# -- weights


def is_theano(header: dict[str, Any], version: int) -> bool:
    """Whether the weights come from Theano. Keras 1 does not say, but only TensorFlow's names end with ":0"."""
    if version != 1:
        return header["root"].get("backend") == "theano"
    return not any(":" in name for layer in header["layers"] or () for name in layer["weights"])


def own_order(canonical: dict[str, Any], groups: keras2.Groups) -> keras2.Groups:
    """The groups under the names of ``/dltool``, where layers may be called as Keras cannot ("outer/inner")."""
    names = [name for name, entry in canonical["layers"].items() if entry["class_name"] != "Part"]
    if len(names) != len(groups):
        raise ModelFileError("its own description and its model_config list different layers; the file is damaged")
    return [([name], False) for name in names]


def checked_model(source: ModelSource, graph: Graph, numbers: dict[str, list[int]], own: dict[str, Any]) -> Model:
    """The model that dltool wrote. Raises ModelFileError when config or weights are not what it wrote.

    The weights are hashed beside the reading: of 554 MB, .35 s one after the other.
    """
    root = source.header["root"]
    texts = {f"/{name}": root[name] for name in ("model_config", "training_config") if name in root}
    texts |= {f"/dltool/{name}": text for name, text in own["texts"].items() if name != "sha256"}
    with RunningDigest(texts) as digest:
        model = load_model(source, graph, numbers, {}, digest)
    if digest.hexdigest() != own["texts"].get("sha256"):
        raise ModelFileError("its checksum does not match; the file was damaged or changed, copy it again")
    return model


# -- what dltool wrote itself


def fill_own(saved: SavedModel, ours: dict[str, Any], state: dict[str, Any] | None, source: ModelSource) -> None:
    """Everything beside the model itself; the digest has already vouched for the texts."""
    saved.classes = tuple(ours["classes"]) if ours.get("classes") is not None else None
    saved.preprocessing = ours.get("preprocessing")
    saved.training_config = (
        own_training(ours["training"], len(saved.model.graph.outputs)) if ours.get("training") else None
    )
    saved.recipe = ours.get("recipe") or {}
    saved.history = ours.get("history") or []
    saved.split = ours.get("split")
    saved.fingerprint = ours.get("fingerprint") or ""
    if state is not None:
        saved.state = own_state(source, saved.model, state)


def own_training(raw: dict[str, Any], num_outputs: int) -> TrainingConfig:
    """The training section. Raises ModelFileError when it says something that this dltool or this model has not."""
    try:
        found = training_from_json(raw)
    except (DltoolError, TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
        raise ModelFileError(f"its training section cannot be used ({error}); update dltool") from None
    if {len(found.losses), len(found.loss_names), len(found.loss_weights)} != {num_outputs}:
        raise ModelFileError("its training section is for another model; the file is damaged")
    return found


def own_state(source: ModelSource, model: Model, state: dict[str, Any]) -> TrainingState:
    """``/dltool/state``: last weights (absent when they are the model's), slots and counters, with a digest."""
    meta = state_counters(state)
    size, trainable = model.weights.num_parameters, model.weights.num_trainable
    arrays: dict[str, np.ndarray] = {}
    with RunningDigest({"counters": state["texts"].get("counters", "{}")}) as digest:
        for name, number in sorted(state["arrays"].items()):
            entry = source.arrays[number]
            if entry.shape != ((size,) if name in ("weights", "averaged") else (trainable,)):
                raise ModelFileError("its training state does not fit its weights; the file is damaged")
            arrays[name] = np.empty(entry.shape, np.float32)
            digest.begin(name, entry.shape)
            source.load(entry, arrays[name], digest.update)
    if digest.hexdigest() != state["texts"].get("sha256"):
        raise ModelFileError("the checksum of its training state does not match; the file was damaged, copy it again")
    weights, averaged = arrays.pop("weights", None), arrays.pop("averaged", None)
    return TrainingState(
        weights=model.weights.vector.copy() if weights is None else weights,
        slots={name.removeprefix("slot."): arrays[name] for name in arrays},
        memory=meta.get("memory", {}),
        step=meta.get("step", 0),
        epoch=meta.get("epoch", 0),
        callbacks=meta.get("callbacks", {}),
        averaged=averaged,
    )


# -- what Keras wrote


def foreign_state(
    source: ModelSource, model: Model, order: keras2.Groups, config: TrainingConfig, version: str
) -> TrainingState | None:
    """Keras's own optimizer state, or None when it is not known how to read it."""
    if config.optimizer is None:
        return None
    slots = {(slot.layer, slot.index): slot for slot in model.weights.slots}
    weights = dict.fromkeys(key for group in groups_of_slots(model.graph, order) for key in group)
    trainable: list[Slot] = [
        slots[key] for key in weights if slots[key].spec.trainable and model.graph.layers[key[0]].trainable
    ]
    is_new = config.optimizer_name.startswith("Custom>") or "archive" in source.header
    return read_state(source, model, config.optimizer, trainable, major(version), is_new)
