"""Layers and models that Keras had in several nested models: one layer with one set of weights.

tf.keras 2.5 and later and the archives of Keras 3 mark them with ``shared_object_id``, but not where they come first:
the first is found by name and content. Other files repeat the weights and do not say that they are the same.
Source: record_object_after_serialization in keras/src/saving/serialization_lib.py of Keras 3.15; SharedObjectConfig in
keras/src/saving/legacy/serialization.py of tf_keras 2.21.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from dltool.engine.model import Model
from dltool.modelfile.dialects.keras2_parts import is_model, named_entries

MARK = "shared_object_id"


def twins_of(model: dict[str, Any]) -> dict[str, str]:
    """Flattened name of a layer or model -> that of the same one where the config has it first."""
    entries = list(entries_of(model))
    names = {name for _, name, entry in entries if is_marked(entry)}
    first: dict[tuple[str, str], str] = {}
    found: dict[str, str] = {}
    for place, name, entry in entries:
        if name not in names or place != placed(place, found):
            continue
        key = (name, content_of(entry))
        if is_marked(entry) and key in first:
            found[place] = first[key]
        else:
            first.setdefault(key, place)
    return found


def entries_of(model: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Flattened name, own name and entry of all layers and nested models, in the order of the config."""
    config = model["config"]
    layers = config.get("layers") if isinstance(config, dict) else config
    for name, entry in named_entries(layers if isinstance(layers, list) else []).items():
        yield prefix + name, name, entry
        if is_model(entry):
            yield from entries_of(entry, f"{prefix}{name}/")


def is_marked(entry: dict[str, Any]) -> bool:
    """Whether an entry stands for something that came before; tf_keras may mark only the layer's initializers."""
    config = entry["config"] if isinstance(entry["config"], dict) else {}
    inner = [value for key, value in config.items() if key.endswith("_initializer")]
    return any(isinstance(value, dict) and value.get(MARK) is not None for value in [entry, *inner])


def content_of(entry: dict[str, Any]) -> str:
    """Class and options of an entry as text; its initializers may be marked in one place and not in another."""
    return json.dumps(without_marks([entry["class_name"], entry["config"]]), sort_keys=True)


def without_marks(value: Any) -> Any:
    if isinstance(value, list):
        return [without_marks(entry) for entry in value]
    if isinstance(value, dict):
        return {key: without_marks(entry) for key, entry in value.items() if key != MARK}
    return value


def placed(name: str, twins: dict[str, str]) -> str:
    """The flattened name under which a layer stands, that of the first of its twins."""
    steps = name.split("/")
    for count in range(1, len(steps) + 1):
        head = "/".join(steps[:count])
        if head in twins:
            return placed("/".join([twins[head], *steps[count:]]), twins)
    return name


def remarks(model: Model) -> tuple[str, ...]:
    """A sentence when layers of nested models may have been one: of one name, with the same options and weights."""
    namesakes: dict[str, list[str]] = {}
    for name, arrays in model.weights.views.items():
        if arrays:
            namesakes.setdefault(name.rpartition("/")[2], []).append(name)
    for first, *others in namesakes.values():
        same = [name for name in others if is_same(model, first, name)]
        if same and any(array.size and np.ptp(array) for array in model.weights.views[first]):  # not just untrained
            shown = f"layers {first!r} and {same[0]!r}"
            return (f"{shown} hold the same weights; if they were one layer in Keras, training makes them two",)
    return ()


def is_same(model: Model, first: str, second: str) -> bool:
    layers, views = model.graph.layers, model.weights.views
    alike = replace(layers[first], name=second) == layers[second] and len(views[first]) == len(views[second])
    return alike and all(np.array_equal(a, b) for a, b in zip(views[first], views[second], strict=True))
