"""Keras 3's own layout of weights, in ``.keras`` archives and ``.weights.h5`` files, and tf.keras's since 2.12.

Layers are found by names made of their classes: the second Dense of a model lies in "layers/dense_1", a layer of a
nested model in "layers/functional/layers/dense". What the user called them does not count. The variables of inner
objects lie in folders of their own ("cell", "forward_layer").
Source: _save_container_state in keras/src/saving/saving_lib.py of Keras 3.15 and tf_keras 2.21.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dltool.engine.layers.base import Layer, WeightSpec
from dltool.errors import ModelFileError
from dltool.modelfile.dialects.keras2_parts import is_model, named_entries
from dltool.modelfile.dialects.shared_layers import MARK, content_of

INNER = ("", "forward_layer", "backward_layer", "layer", "cell", "query_dense", "key_dense", "value_dense")
"""Inner objects whose order is not that of the alphabet; others follow."""

RECURRENT = ("SimpleRNN", "LSTM", "GRU", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")

RANDOM = ("seed_generator", "random_generator")
"""Objects that hold the state of random numbers, which dltool draws from its own streams."""


def stored_weights(model: dict[str, Any], version: int, variables: list[dict[str, Any]]) -> dict[str, list[int]]:
    """Flattened layer name -> the numbers of its arrays, in Keras's order.

    Args:
        model: the config, after ``keras3.upgrade``.
        variables: of the file: ``{"path", "arrays"}`` each.

    Raises:
        ModelFileError: variables that belong to no layer of the config.
    """
    # tf.keras 2.12 and tf_keras 2.21 spell some classes differently; both call themselves 2.
    owners = {**(dict(paths_of(model, 3)) if version < 3 else {}), **dict(paths_of(model, version))}
    found: dict[str, list[tuple[Any, list[int]]]] = {}
    for entry in variables:
        owner, inner = owner_of(entry["path"], owners)
        if inner.split("/")[-1] in RANDOM:
            continue
        if owner is None:
            raise ModelFileError(f"has weights at {entry['path'][:80]!r}, for which its config has no layer")
        found.setdefault(owner, []).append((order_of(inner), entry["arrays"]))
    numbers = {name: [n for _, arrays in sorted(parts) for n in arrays] for name, parts in found.items()}
    return {**numbers, **shared_weights(model, numbers)}


def shared_weights(model: dict[str, Any], numbers: dict[str, list[int]]) -> dict[str, list[int]]:
    """The arrays of layers that are in several nested models: Keras stores them with the first of these only.

    A layer without arrays is taken for the one with arrays that has its name and config.
    """
    stored: dict[str, list[tuple[str, str]]] = {}
    missing = []
    for name, entry in layers_of(model):
        own = name.rpartition("/")[2]
        content = content_of(entry)
        if name in numbers:
            stored.setdefault(own, []).append((name, content))
        else:
            missing.append((name, own, content))
    found = {}
    for name, own, content in missing:
        same = [other for other, known in stored.get(own, ()) if known == content]
        if len(same) == 1:
            found[name] = numbers[same[0]]
    return found


def layers_of(model: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Flattened name and entry of all layers."""
    config = model["config"]
    for name, entry in named_entries(config.get("layers") if isinstance(config, dict) else config).items():
        if is_model(entry):
            yield from layers_of(entry, f"{prefix}{name}/")
        else:
            yield prefix + name, entry


def paths_of(
    model: dict[str, Any],
    version: int,
    path: str = "layers/",
    prefix: str = "",
    seen: set[tuple[str, str]] | None = None,
) -> Iterator[tuple[str, str]]:
    """(path, flattened layer name) of all layers of a model, which lie in the folder ``path``.

    tf.keras does not count a layer that it has stored with another model; Keras 3 does.
    """
    config = model["config"]
    layers = config.get("layers") if isinstance(config, dict) else config
    counts: dict[str, int] = {}
    seen = set() if seen is None else seen
    for name, entry in named_entries(layers).items():
        content = (name, content_of(entry))
        if version < 3 and entry.get(MARK) is not None and content in seen:
            continue
        base = snake_case(entry.get("stored_class") or entry["class_name"], version)
        count = counts.get(base, 0)
        counts[base] = count + 1
        place = f"{path}{base}_{count}" if count else f"{path}{base}"
        if is_model(entry):
            inner = f"{place}/{entry.get('stored_in', 'layers/')}"
            yield from paths_of(entry, version, inner, f"{prefix}{name}/", seen)
        else:
            yield place, prefix + name
        seen.add(content)


def owner_of(path: str, owners: dict[str, str]) -> tuple[str | None, str]:
    """The layer whose path starts this one (None when there is none), and the rest of the path."""
    steps = path.split("/")
    for count in range(len(steps), 0, -1):
        owner = owners.get("/".join(steps[:count]))
        if owner is not None:
            return owner, "/".join(steps[count:])
    return None, path


def order_of(inner: str) -> list[tuple[int, str]]:
    steps = [step.lstrip("_") for step in inner.split("/")]  # "_query_dense" in tf_keras
    return [(INNER.index(step) if step in INNER else len(INNER), step) for step in steps]


def snake_case(class_name: str, version: int) -> str:
    """Keras's file name of a class: MaxPooling2D -> max_pooling2d. ConvLSTM2D is conv_lstm2d in Keras 3 only."""
    head = r"(.)([A-Z][a-z]+)" if version >= 3 else r"(.)([A-Z][a-z0-9]+)"
    name = re.sub(head, r"\1_\2", re.sub(r"\W+", "", class_name.split(">")[-1]))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def folders_of(layer: Layer, specs: tuple[WeightSpec, ...]) -> list[str]:
    """The inner folder of each weight of a layer, as Keras 3 writes them."""
    class_name = type(layer).__name__
    if class_name in RECURRENT:
        return ["cell"] * len(specs)
    if class_name == "TimeDistributed":
        return [f"layer/{inner}".rstrip("/") for inner in folders_of(layer.layer, specs)]
    if class_name == "Bidirectional":
        half = len(specs) // 2
        ways = (("forward_layer", layer.layer, specs[:half]), ("backward_layer", layer.backward_layer, specs[half:]))
        return [f"{way}/{inner}" for way, one, part in ways for inner in folders_of(one, part)]
    if class_name == "MultiHeadAttention":
        each = len(specs) // 4
        return [part for part in ("query_dense", "key_dense", "value_dense", "output_dense") for _ in range(each)]
    return [""] * len(specs)
