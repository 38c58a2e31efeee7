"""Keras 2's model config (and Keras 3's after ``dialects.keras3``) -> the canonical form of ``graph_json``.

Nested models are flattened: their layers get the names "outer/inner". Every model of a config is first brought to one
shape, a ``Part``, in which calls count from 0; then ``run`` walks the calls in an order that their inputs allow.
Source: Keras 2.3 keras/engine/network.py; tf.keras 2.x python/keras/engine/functional.py.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dltool.errors import ModelFileError
from dltool.modelfile.dialects.composites import known_entry, split, with_known_inside
from dltool.modelfile.dialects.keras2_parts import Part, Reference, is_model, layer_names, part_of
from dltool.modelfile.dialects.operations import SPLITTING, number_of_outputs, one_output
from dltool.modelfile.dialects.shared_layers import placed, twins_of
from dltool.modelfile.graph_json import AT_INFERENCE, MAX_LAYERS, MAX_LINKS, MAX_NODES
from dltool.modelfile.layer_config import canonical_config

MAX_DEPTH = 32

STATES = {"SimpleRNN": 1, "GRU": 1, "LSTM": 2}
"""Layers with ``return_state``, and how many states they have."""

Groups = list[tuple[list[str], bool]]
"""Per entry of the file's layer list: the names of its layers, and whether it is a nested model."""


@dataclass
class Wiring:
    """The canonical form while it grows.

    Attributes:
        version: of Keras (major); it decides what some names mean.
        entries: the layers as the file has them, by flattened name.
        twins: see ``shared_layers``.
        channels_first: the names of the layers that keep the channels before height and width; the configs do not say
            so any more.
    """

    version: int
    name: str = "model"
    nodes: list[list[Any]] = field(default_factory=list)
    layers: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: list[int] = field(default_factory=list)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    twins: dict[str, str] = field(default_factory=dict)
    channels_first: set[str] = field(default_factory=set)
    links: int = 0

    def canonical(self) -> dict[str, Any]:
        return {"name": self.name, "nodes": self.nodes, "layers": self.layers, "outputs": self.outputs}

    def spend(self, count: int) -> None:
        """Count links; models nested in models can repeat a short text a billion times."""
        self.links += count
        if self.links > MAX_LINKS:
            raise ModelFileError(f"has more than {MAX_LINKS} links between layers; the file is damaged")

    def add_call(self, name: str, entry: dict[str, Any], inputs: list[int], inference: bool = False) -> int:
        """Append a node, and its layer when this is the first call. Returns the node's index."""
        if name not in self.layers:
            if len(self.layers) >= MAX_LAYERS:
                raise ModelFileError(f"has more than {MAX_LAYERS} layers")
            self.entries[name] = entry
            self.layers[name] = canonical_config(
                name, with_known_inside(self.with_channels_last(name, entry)), self.version
            )
        self.spend(len(inputs))
        if len(self.nodes) >= MAX_NODES:
            raise ModelFileError(f"has more than {MAX_NODES} layer calls")
        self.nodes.append([name, inputs, *([AT_INFERENCE] if inference else [])])
        return len(self.nodes) - 1

    def with_channels_last(self, name: str, entry: dict[str, Any]) -> dict[str, Any]:
        """The entry without the layout of its images, which is noted."""
        config = entry["config"]
        if not isinstance(config, dict) or config.get("data_format") != "channels_first":
            return entry
        self.channels_first.add(name)
        return {**entry, "config": {key: value for key, value in config.items() if key != "data_format"}}


def upgrade(model: Any, version: int) -> tuple[Wiring, Groups]:
    """The canonical form and the weight groups of a ``model_config``.

    Raises:
        ModelFileError: not a model, unknown class or option, a loop, a dangling reference.
    """
    if not is_model(model):
        name = model.get("class_name") if isinstance(model, dict) else model
        raise ModelFileError(f"its model_config holds {str(name)[:60]!r}, not a Sequential or Functional model")
    wiring, part = Wiring(version, twins=twins_of(model)), part_of(model, version)
    inputs = [wiring.add_call(name, part.entries[name], []) for name in part.inputs]
    wiring.outputs = run(wiring, part, inputs, "", 0)
    name = model["config"].get("name") if isinstance(model["config"], dict) else None
    wiring.name = str(name or "model")
    return wiring, [
        (list(dict.fromkeys(placed(inner, wiring.twins) for inner in layer_names(name, entry))), is_model(entry))
        for name, entry in part.entries.items()
    ]


# -- Part -> nodes


def run(wiring: Wiring, part: Part, inputs: list[int], prefix: str, depth: int, inference: bool = False) -> list[int]:
    """Append the nodes of all calls of a model, each after those that it reads; returns the outputs' nodes.

    Args:
        inference: the model is called with ``training=False``, which holds for everything in it.
    """
    if depth > MAX_DEPTH:
        raise ModelFileError(f"nests more than {MAX_DEPTH} models")
    wiring.spend(len(part.entries) + len(inputs))
    values: dict[tuple[str, int], list[int]] = {(n, 0): [i] for n, i in zip(part.inputs, inputs, strict=True)}
    subparts = {name: part_of(entry, wiring.version) for name, entry in part.entries.items() if is_model(entry)}
    for name, call in call_order(part):
        found = [tensor_of(values, reference) for reference in part.calls[name][call]]
        still = inference or (name, call) in part.inference
        place = placed(prefix + name, wiring.twins)
        if name in subparts:
            sub = subparts[name]
            if len(found) != len(sub.inputs):
                raise ModelFileError(f"model {name!r}: has {len(sub.inputs)} inputs but is called with {len(found)}")
            values[name, call] = run(wiring, sub, found, f"{place}/", depth + 1, still)
        elif part.entries[name]["class_name"] in SPLITTING:
            values[name, call] = parts_of(wiring, part, (name, call), prefix, found)
        else:
            entry, rest = split(part.entries[name])
            node = wiring.add_call(place, entry, found, still)
            for end, last in rest.items():
                node = wiring.add_call(f"{place}/{end}", last, [node], still)
            values[name, call] = outputs_of(wiring, part, (name, call), prefix, node)
    return [tensor_of(values, reference) for reference in part.outputs]


def outputs_of(wiring: Wiring, part: Part, call: tuple[str, int], prefix: str, node: int) -> list[int]:
    """The nodes of a call's outputs: itself, or for a layer that has several one node for each that is read."""
    name = call[0]
    options = several_outputs(name, part.entries[name])
    if options is None:
        return [node]
    used = used_outputs(part, call)
    size = options.pop("size")
    found = [node] * (options["count"] + options["pair"] + 1)
    for index in sorted(used & set(range(len(found)))):
        width = size if index > options["pair"] else None
        entry = {"class_name": "Part", "config": {"index": index, "size": width, **options}}
        found[index] = wiring.add_call(f"{prefix}{name}/output_{index}", entry, [node])
    return found


def used_outputs(part: Part, call: tuple[str, int]) -> set[int]:
    """Which outputs of a call are read."""
    everything = [*(found for calls in part.calls.values() for found in calls), part.outputs]
    return {tensor for found in everything for source, number, tensor in found if (source, number) == call}


def parts_of(wiring: Wiring, part: Part, call: tuple[str, int], prefix: str, inputs: list[int]) -> list[int]:
    """The nodes of the outputs of an operation that cuts a tensor, one node for each that is read."""
    name, entry = call[0], part.entries[call[0]]
    used = used_outputs(part, call)
    count = number_of_outputs(entry) or max(used, default=0) + 1
    if count > MAX_NODES:
        raise ModelFileError(f"layer {name!r}: has {count} outputs, more than any real model; the file is damaged")
    found = inputs * count
    for index in sorted(used & set(range(count))):
        found[index] = wiring.add_call(f"{prefix}{name}/output_{index}", one_output(entry, index), inputs)
    return found


def several_outputs(name: str, entry: dict[str, Any]) -> dict[str, Any] | None:
    """How to take the outputs of a layer apart (see the engine's ``Part``), or None when it has only one.

    ``size`` is the width of the states, None for that of the layer.
    """
    class_name, config = entry["class_name"], entry["config"]
    if not isinstance(config, dict):
        return None
    inner, pair, ways = config, False, 1
    if class_name == "Bidirectional" and isinstance(config.get("layer"), dict):
        wrapped = known_entry({"config": {}, "class_name": "", **config["layer"]})
        class_name, inner = wrapped["class_name"], wrapped["config"]
        pair, ways = config.get("merge_mode", "concat") is None, 2
    if not isinstance(inner, dict) or not (inner.get("return_state") or pair):
        return None
    count = STATES.get(class_name) if inner.get("return_state") else 0
    if count is None:
        raise ModelFileError(f"layer {name!r}: return_state is not supported here; only its plain output is")
    sequences, size = bool(inner.get("return_sequences")), inner.get("units") if ways > 1 else None
    return {"count": ways * count, "sequences": sequences, "pair": pair, "size": size}


def tensor_of(values: dict[tuple[str, int], list[int]], reference: Reference) -> int:
    name, call, tensor = reference
    outputs = values[name, call]
    if tensor >= len(outputs):
        raise ModelFileError(f"layer {name!r}: has no output {tensor}; the file is damaged")
    return outputs[tensor]


def call_order(part: Part) -> Iterator[tuple[str, int]]:
    """All calls, each after those that it reads; among the possible ones in the order of the layer list."""
    place = {name: position for position, name in enumerate(part.entries)}
    missing: dict[tuple[str, int], int] = {}
    readers: dict[tuple[str, int], list[tuple[str, int]]] = {}
    ready: list[tuple[int, int, str]] = []
    for name, calls in part.calls.items():
        for number, found in enumerate(calls):
            sources = {(source, call) for source, call, _ in found if source not in part.inputs}
            missing[name, number] = len(sources)
            for source in sources:
                readers.setdefault(source, []).append((name, number))
            if not sources:
                ready.append((place[name], number, name))
    heapq.heapify(ready)
    count = 0
    while ready:
        _, number, name = heapq.heappop(ready)
        count += 1
        yield name, number
        for reader in readers.get((name, number), ()):
            missing[reader] -= 1
            if not missing[reader]:
                heapq.heappush(ready, (place[reader[0]], reader[1], reader[0]))
    if count < len(missing):
        loop = next(name for (name, _), left in missing.items() if left)
        raise ModelFileError(f"layer {loop!r}: its input depends on its own output; layers cannot form a loop")
