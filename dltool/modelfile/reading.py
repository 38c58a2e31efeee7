"""Read a Keras whole-model HDF5 file, of dltool, Keras 2 or Keras 3. Nothing in the file is imported or executed."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np

from dltool.engine.graph import Graph
from dltool.engine.layers import BatchNormalization
from dltool.engine.model import Model
from dltool.engine.weights import ParameterStore, Slot
from dltool.errors import DltoolError, ModelFileError
from dltool.modelfile import keras2, keras3
from dltool.modelfile.digest import content_digest
from dltool.modelfile.graph_json import graph_from_json
from dltool.modelfile.hdf5 import ModelSource
from dltool.modelfile.json_text import parse_json
from dltool.modelfile.optimizer_state import read_state
from dltool.modelfile.own_texts import own_texts, state_counters
from dltool.modelfile.saved import SavedModel, TrainingConfig, TrainingState
from dltool.modelfile.training_config import major, read_training_config, training_from_json


def read(path: str | os.PathLike[str], *, with_state: bool = True) -> SavedModel:
    """The model in a file, with everything that the file says about it.

    Args:
        with_state: False leaves the optimizer's slots and last weights in the file (``state`` is None), which saves
            reading three times the model's size.

    Raises:
        ModelFileError: missing, damaged, unsafe or unsupported; the message starts with the path.
    """
    path = os.fspath(path)
    with ModelSource(path) as source:
        try:
            return read_source(source, with_state)
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


def read_source(source: ModelSource, with_state: bool) -> SavedModel:
    root, own = source.header["root"], source.header["dltool"]
    check_whole_model(source)
    version = root.get("keras_version", "")
    config = parse_json(root["model_config"], "model_config")
    canonical, groups = upgrade(config, version)
    ours = own_texts(own) if own is not None else {}
    graph = graph_from_json(ours.get("graph", canonical))
    if "graph" not in ours:
        graph = with_known_statistics(graph)
    order = own_order(ours["graph"], groups) if "graph" in ours else groups
    model = load_model(source, graph, groups_of_slots(graph, order), own)
    saved = SavedModel(model, keras_version=version, foreign=own is None)
    if own is not None:
        fill_own(saved, ours, own["state"] if with_state else None, source)
        return saved
    training = (
        keras3.simplify(parse_json(root["training_config"], "training_config")) if "training_config" in root else None
    )
    if isinstance(training, dict):
        saved.training_config = read_training_config(training, graph.output_names, version)
        if with_state and source.header["optimizer"]:
            saved.state = foreign_state(source, model, order, saved.training_config, version)
    return saved


def check_whole_model(source: ModelSource) -> None:
    """Raises ModelFileError, saying what the file is, unless it holds a config, weights and what dltool added."""
    if "model_config" not in source.header["root"]:
        if source.header["weights_only"]:
            raise ModelFileError("holds weights only; save the whole model in Keras with model.save('m.h5')")
        raise ModelFileError("has no model_config; it is not a model that Keras or dltool wrote")
    if source.header["marked"] and source.header["dltool"] is None:
        raise ModelFileError("of dltool, but has lost its /dltool group; the file was damaged, copy it again")
    if source.header["layers"] is None:
        raise ModelFileError("has a model_config but no weights; save the whole model in Keras with model.save('m.h5')")


def upgrade(config: Any, version: str) -> tuple[dict[str, Any], keras2.Groups]:
    """The canonical form and weight groups of a ``model_config``, by the version of Keras that wrote it."""
    generation = major(version)
    if generation < 2:
        raise ModelFileError("was written by Keras 1, which is not read; open it in tf_keras and save it again")
    plain = keras3.upgrade(config) if isinstance(config, dict) else config
    return keras2.upgrade(plain, generation)


def with_known_statistics(graph: Graph) -> Graph:
    """Keras 2's batch normalisation moves with the unbiased variance on images only (its fused kernel)."""
    changed = {}
    for node in graph.nodes:
        if isinstance(node.layer, BatchNormalization) and node.layer.unbiased_moving_variance:
            shape = graph.input_shape_of(node)
            if len(shape) != 3 or node.layer.channel_axis(4) != 3:
                changed[node.name] = replace(node.layer, unbiased_moving_variance=False)
    return graph.with_layers(changed) if changed else graph


# -- weights


def own_order(canonical: dict[str, Any], groups: keras2.Groups) -> keras2.Groups:
    """The groups under the names of ``/dltool``, where layers may be called as Keras cannot ("outer/inner")."""
    names = [name for name, entry in canonical["layers"].items() if entry["class_name"] != "Part"]
    if len(names) != len(groups):
        raise ModelFileError("its own description and its model_config list different layers; the file is damaged")
    return [([name], False) for name in names]


def groups_of_slots(graph: Graph, order: keras2.Groups) -> list[list[tuple[str, int]]]:
    """Per group that holds weights, (layer, index) in the file's order.

    A nested model's group holds all trainable weights of its layers, then all others; frozen layers' weights are among
    the others.
    """
    found = []
    for names, nested in order:
        # The input layers of nested models are no layers of the flattened graph.
        weights = [(name, index) for name in names if name in graph.specs for index in range(len(graph.specs[name]))]
        if nested:
            weights.sort(key=lambda w: not (graph.specs[w[0]][w[1]].trainable and graph.layers[w[0]].trainable))
        if weights:
            found.append(weights)
    return found


def load_model(
    source: ModelSource, graph: Graph, wanted: list[list[tuple[str, int]]], own: dict[str, Any] | None
) -> Model:
    """Check every shape, then allocate, then load; by position, never by name, as Keras does."""
    stored = [layer for layer in source.header["layers"] if layer["arrays"]]
    if len(stored) != len(wanted):
        raise ModelFileError(
            f"has weights for {len(stored)} layers, but its config has {len(wanted)} layers with weights"
        )
    places: list[tuple[str, int, int]] = []
    for layer, weights in zip(stored, wanted, strict=True):
        if len(layer["arrays"]) != len(weights):
            raise ModelFileError(
                f"layer {weights[0][0]!r}: needs {len(weights)} weights but the file holds {len(layer['arrays'])}"
            )
        for (name, index), number in zip(weights, layer["arrays"], strict=True):
            spec, shape = graph.specs[name][index], source.arrays[number].shape
            if spec.shape != shape:
                raise ModelFileError(f"layer {name!r}: its {spec.name} is {shape} in the file but must be {spec.shape}")
            places.append((name, index, number))
    model = Model(graph, ParameterStore(graph))
    for name, index, number in places:
        load_weight(source, number, model.weights.views[name][index])
    if own is not None:
        check_digest(source, model, [(name, index) for name, index, _ in places], own)
    return model


def load_weight(source: ModelSource, number: int, view: np.ndarray) -> None:
    entry = source.arrays[number]
    if entry.value is not None:
        view[...] = entry.value
    else:
        source.load(entry, view)


def check_digest(source: ModelSource, model: Model, places: list[tuple[str, int]], own: dict[str, Any]) -> None:
    """Raises ModelFileError when config or weights are not those that dltool wrote."""
    root = source.header["root"]
    texts = {f"/{name}": root[name] for name in ("model_config", "training_config") if name in root}
    texts |= {f"/dltool/{name}": text for name, text in own["texts"].items() if name != "sha256"}
    arrays = ((str(position), model.weights.views[name][index]) for position, (name, index) in enumerate(places))
    if content_digest(texts, arrays) != own["texts"].get("sha256"):
        raise ModelFileError("its checksum does not match; the file was damaged or changed, copy it again")


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
    for name, number in state["arrays"].items():
        entry = source.arrays[number]
        if entry.shape != ((size,) if name == "weights" else (trainable,)):
            raise ModelFileError("its training state does not fit its weights; the file is damaged")
        arrays[name] = np.empty(entry.shape, np.float32)
        source.load(entry, arrays[name])
    digest = content_digest({"counters": state["texts"].get("counters", "{}")}, sorted(arrays.items()))
    if digest != state["texts"].get("sha256"):
        raise ModelFileError("the checksum of its training state does not match; the file was damaged, copy it again")
    weights = arrays.pop("weights", None)
    return TrainingState(
        weights=model.weights.vector.copy() if weights is None else weights,
        slots={name.removeprefix("slot."): arrays[name] for name in arrays},
        memory=meta.get("memory", {}),
        step=meta.get("step", 0),
        epoch=meta.get("epoch", 0),
        callbacks=meta.get("callbacks", {}),
    )


# -- what Keras wrote


def foreign_state(
    source: ModelSource, model: Model, order: keras2.Groups, config: TrainingConfig, version: str
) -> TrainingState | None:
    """Keras's own optimizer state, or None when it is not known how to read it."""
    if config.optimizer is None:
        return None
    slots = {(slot.layer, slot.index): slot for slot in model.weights.slots}
    weights = [key for group in groups_of_slots(model.graph, order) for key in group]
    trainable: list[Slot] = [
        slots[key] for key in weights if slots[key].spec.trainable and model.graph.layers[key[0]].trainable
    ]
    return read_state(source, model, config.optimizer, trainable, major(version), config.optimizer_name)
