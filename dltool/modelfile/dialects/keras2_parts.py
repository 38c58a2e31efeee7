"""One model of a Keras 2 config, alone: its layers by name and what each call of them reads, counted from 0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dltool.errors import ModelFileError
from dltool.modelfile.dialects.composites import MODEL_CLASSES, known_entry
from dltool.modelfile.dialects.keras3 import CALL_OPTIONS, MAX_STRUCTURE, TENSOR_OPTIONS
from dltool.modelfile.graph_json import MAX_LAYERS, MAX_NODES
from dltool.modelfile.json_text import is_layer_name

Reference = tuple[str, int, int]
"""Layer name, call, tensor."""


@dataclass
class Part:
    """One model of a config: its layer entries, what each call of a layer reads, inputs by name, outputs.

    ``inference`` are the calls with ``training=False``, as (name, number).
    """

    entries: dict[str, dict[str, Any]]
    calls: dict[str, list[list[Reference]]]
    inputs: list[str]
    outputs: list[Reference]
    inference: frozenset[tuple[str, int]] = frozenset()


def is_model(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("class_name") in MODEL_CLASSES and "config" in entry


def part_of(model: dict[str, Any], version: int) -> Part:
    config = model["config"]
    if model["class_name"] == "Sequential":
        return sequential_part(config)
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        raise ModelFileError("its model_config has no layers; the file is damaged")
    entries = {name: with_call_options(entry) for name, entry in named_entries(config["layers"]).items()}
    calls = {name: [call_inputs(name, node) for node in nodes_of(name, entry)] for name, entry in entries.items()}
    inputs = [name for name, _, _ in references(config.get("input_layers"), "input_layers")]
    outputs = references(config.get("output_layers"), "output_layers")
    part = Part(entries, calls, inputs, outputs, inference_calls(entries))
    count_from_zero(part, version)
    check_references(part)
    return part


def sequential_part(config: Any) -> Part:
    """A chain; ``config`` is a dict with layers or, until Keras 2.2.2, the bare list."""
    layers = config.get("layers") if isinstance(config, dict) else config
    if not isinstance(layers, list) or not layers:
        raise ModelFileError("its Sequential model has no layers; the file is damaged")
    entries = named_entries(layers)
    first = next(iter(entries))
    if entries[first]["class_name"] == "InputLayer":
        given = {first: entries.pop(first)}
    else:
        given = {}
        for shape in input_shapes(entries[first], config):
            name = f"{first}_input" if not given else f"{first}_input_{len(given) + 1}"
            while name in entries:
                name += "_"
            given[name] = {"class_name": "InputLayer", "config": {"batch_input_shape": shape}}
    calls: dict[str, list[list[Reference]]] = {name: [] for name in given}
    last = [(name, 0, 0) for name in given]
    for name in entries:
        calls[name], last = [last], [(name, 0, 0)]
    return Part({**given, **entries}, calls, list(given), last)


def input_shapes(first: dict[str, Any], config: Any) -> list[Any]:
    """The input shapes (with the batch axis) of a Sequential model that starts without an InputLayer, or None.

    There are several where it starts with a model of several inputs.
    """
    own = first["config"]
    if isinstance(own, dict):
        for key in ("batch_input_shape", "batch_shape"):
            if own.get(key):
                return [own[key]]
    inner = own.get("layers") if isinstance(own, dict) else own
    if is_model(first) and isinstance(inner, list) and inner:
        if isinstance(own, dict) and isinstance(own.get("input_layers"), list):
            inputs, named = references(own["input_layers"], "input_layers"), named_entries(inner)
            found = [named[name] for name, _, _ in inputs if name in named and not is_model(named[name])]
            return [shape for entry in found for shape in input_shapes(entry, None)]
        if isinstance(inner[0], dict) and isinstance(inner[0].get("config"), dict | list):
            return input_shapes(inner[0], own)
    return [config.get("build_input_shape") if isinstance(config, dict) else None]


def named_entries(layers: list[Any]) -> dict[str, dict[str, Any]]:
    """Layer entries by name. Raises ModelFileError when names repeat or are impossible."""
    if len(layers) > MAX_LAYERS:
        raise ModelFileError(f"has {len(layers)} layers; at most {MAX_LAYERS} are read")
    found: dict[str, dict[str, Any]] = {}
    for position, entry in enumerate(layers):
        if not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str) or "config" not in entry:
            raise ModelFileError(f"layer {position + 1} of its model_config is not a layer; the file is damaged")
        config = entry["config"] if isinstance(entry["config"], dict) else {}
        name = entry.get("name") or config.get("name") or f"{entry['class_name'].lower()}_{position}"
        if not is_layer_name(name):
            raise ModelFileError(f"layer {position + 1}: {str(name)[:60]!r} is not a possible layer name")
        if name in found:
            raise ModelFileError(f"layer {name!r}: two layers have this name")
        found[name] = known_entry(entry)
    return found


def nodes_of(name: str, entry: dict[str, Any]) -> list[Any]:
    nodes = entry.get("inbound_nodes", [])
    if not isinstance(nodes, list):
        raise ModelFileError(f"layer {name!r}: its inbound_nodes are not a list; the file is damaged")
    return nodes


def with_call_options(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with the options of its (first) call among those of its config."""
    try:
        options = entry["inbound_nodes"][0][0][3]
        said = {key: True for key in CALL_OPTIONS if options.get(key) is True}
    except (KeyError, IndexError, TypeError, AttributeError):
        return entry
    return {**entry, "config": {**entry["config"], **said}} if said and isinstance(entry["config"], dict) else entry


def inference_calls(entries: dict[str, dict[str, Any]]) -> frozenset[tuple[str, int]]:
    """The calls that were told ``training=False``, as (name, number)."""
    return frozenset(
        (name, number)
        for name, entry in entries.items()
        for number, node in enumerate(nodes_of(name, entry))
        if any(options.get("training") is False for options in call_options(node))
    )


def call_options(node: Any) -> list[dict[str, Any]]:
    """The options that a call's tensors carry, ``[[layer, call, tensor, {options}], ...]``."""
    return [
        tensor[3]
        for tensor in tensors_in(node)
        if isinstance(tensor, list) and len(tensor) > 3 and isinstance(tensor[3], dict)
    ]


def call_inputs(name: str, node: Any) -> list[Reference]:
    """The tensors that one call reads: ``[[layer, call, tensor, {options}], ...]``."""
    node = tensors_in(node)
    named: dict[str, list[Reference]] = {}
    for tensor in node:
        options = tensor[3] if isinstance(tensor, list) and len(tensor) > 3 else None
        for key, value in (options or {}).items() if isinstance(options, dict) else ():
            if key in TENSOR_OPTIONS and isinstance(value, list):
                named[key] = references(value, f"layer {name!r}")
            elif value not in (None, False) and key not in ("mask", *CALL_OPTIONS):
                raise ModelFileError(f"layer {name!r}: is called with {key}={str(value)[:60]}, which is not supported")
    found = references(node, f"layer {name!r}")
    return found + [reference for key in TENSOR_OPTIONS for reference in named.get(key, ())]


def tensors_in(value: Any, depth: int = 0) -> list[Any]:
    """The tensors of a structure in Keras's order: lists as they are, dicts by their sorted keys."""
    is_tensor = isinstance(value, list) and value and isinstance(value[0], str)
    if is_tensor or not isinstance(value, list | dict) or depth > MAX_STRUCTURE:
        return [value]
    entries = value if isinstance(value, list) else [value[key] for key in sorted(value)]
    return [tensor for entry in entries for tensor in tensors_in(entry, depth + 1)]


def references(value: Any, where: str) -> list[Reference]:
    """``[["x", 0, 0], ...]``, or a bare ``["x", 0, 0]`` as Keras 3 writes for one, as tuples; a dict by sorted keys."""
    value = tensors_in(value)
    if value in ([], [None]):
        raise ModelFileError(f"{where}: names no tensors; the file is damaged")
    found = []
    for entry in value:
        good = isinstance(entry, list) and len(entry) >= 3 and isinstance(entry[0], str)
        if not good or not all(type(number) is int and 0 <= number < MAX_NODES for number in entry[1:3]):
            raise ModelFileError(f"{where}: {str(entry)[:60]} is not a tensor of the model; the file is damaged")
        found.append((entry[0], entry[1], entry[2]))
    return found


def count_from_zero(part: Part, version: int) -> None:
    """Keras 2 numbers the calls of a nested model from 1 (the model itself is call 0), Keras 3 from 0.

    But Keras 3, too, starts with 1 where a nested functional model gives an output (seen in 3.15), so both are judged
    apart. A file that suits both lists each call twice and refers to odd numbers; both countings then name the same.
    """
    called = [reference for calls in part.calls.values() for found in calls for reference in found]
    from_one = {name for name in from_one_on(part, called) if is_counted(part, name, called, version < 3)}
    given = {
        name
        for name in from_one_on(part, part.outputs)
        if is_counted(part, name, part.outputs, version < 3 or part.entries[name]["class_name"] == "Functional")
    }

    def shift(found: list[Reference], shifted: set[str]) -> list[Reference]:
        return [(name, call - (name in shifted), tensor) for name, call, tensor in found]

    part.calls = {name: [shift(call, from_one) for call in calls] for name, calls in part.calls.items()}
    part.outputs = shift(part.outputs, given)


def from_one_on(part: Part, found: list[Reference]) -> set[str]:
    """The nested models of which only calls from 1 on are named; one made of a wrapper is counted as a layer."""
    models = {name for name, entry in part.entries.items() if is_model(entry) and "stored_class" not in entry}
    return models & {name for name, _, _ in found} - {name for name, call, _ in found if call == 0}


def is_counted(part: Part, name: str, found: list[Reference], usually: bool) -> bool:
    """Whether call 1 is the first: usually, and where a call is named that does not exist otherwise."""
    return usually or max(call for n, call, _ in found if n == name) >= len(part.calls[name])


def check_references(part: Part) -> None:
    """Raises ModelFileError when a call, input or output names something that does not exist."""
    for name in part.inputs:
        if name not in part.entries or part.entries[name]["class_name"] != "InputLayer":
            raise ModelFileError(f"input {name!r} is not an InputLayer of the model; the file is damaged")
        part.calls[name] = []
    for name, calls in part.calls.items():
        if not calls and name not in part.inputs:
            raise ModelFileError(f"layer {name!r}: is never called; the file is damaged")
        for found in calls:
            for reference in found:
                check_reference(part, reference, f"layer {name!r}")
    for reference in part.outputs:
        check_reference(part, reference, "the model's output")


def check_reference(part: Part, reference: Reference, where: str) -> None:
    name, call, _ = reference
    count = 1 if name in part.inputs else len(part.calls.get(name, ()))
    if not 0 <= call < count:
        known = "does not exist" if name not in part.entries else f"is called {count} times"
        raise ModelFileError(f"{where}: reads call {call} of layer {name!r}, which {known}; the file is damaged")


def layer_names(name: str, entry: dict[str, Any]) -> Iterator[str]:
    """The flattened names of an entry's layers, in the order of the config."""
    if not is_model(entry):
        yield name
        return
    config = entry["config"]
    for inner, sub in named_entries(config["layers"] if isinstance(config, dict) else config).items():
        yield from layer_names(f"{name}/{inner}", sub)
