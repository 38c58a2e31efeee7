"""What is different between two model files: layers, weights, and what the files say beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.engine.graph import Graph, describe
from dltool.modelfile.graph_json import layer_to_json
from dltool.modelfile.saved import SavedModel


@dataclass(frozen=True)
class LayerChange:
    """``kind`` is "added", "removed" or "changed"; ``words`` says what."""

    kind: str
    name: str
    words: str


@dataclass(frozen=True)
class WeightChange:
    """Two weights of the same place and shape that are not equal.

    Attributes:
        largest: the largest absolute difference.
        relative: root mean square of the difference over that of the first.
    """

    name: str
    largest: float
    relative: float


@dataclass(frozen=True)
class Differences:
    """Attributes:
    layers, weights: what changed, in graph order. facts: (word, first, second) of the rest.
    num_equal: weights that are equal bit for bit.
    """

    layers: tuple[LayerChange, ...]
    weights: tuple[WeightChange, ...]
    facts: tuple[tuple[str, str, str], ...]
    num_equal: int

    @property
    def is_empty(self) -> bool:
        return not (self.layers or self.weights or self.facts)

    def as_json(self) -> dict[str, Any]:
        numbers = [
            {"name": w.name, "largest": _finite(w.largest), "relative": _finite(w.relative)} for w in self.weights
        ]
        return {
            "schema": "dltool.summary/1",
            "equal": self.is_empty,
            "layers": [vars(change) for change in self.layers],
            "weights": numbers,
            "facts": [{"name": name, "first": first, "second": second} for name, first, second in self.facts],
            "num_equal_weights": self.num_equal,
        }


def differences(first: SavedModel, second: SavedModel, facts: tuple[dict[str, str], dict[str, str]]) -> Differences:
    """Compare two models.

    Layers belong together by name; where both have the same classes of layers in the same order, by their place
    (Keras numbers its automatic names anew in every session).

    Args:
        facts: what ``summary`` tells of each file beside the layers.
    """
    pairs = paired_names(first.model.graph, second.model.graph)
    layers = layer_changes(first.model.graph, second.model.graph, pairs)
    weights, num_equal = weight_changes(first, second, pairs)
    names = dict.fromkeys([*facts[0], *facts[1]])
    told = tuple((n, facts[0].get(n, ""), facts[1].get(n, "")) for n in names if facts[0].get(n) != facts[1].get(n))
    return Differences(layers, weights, told, num_equal)


def paired_names(first: Graph, second: Graph) -> dict[str, str]:
    """Layers of the first graph -> those of the second that they belong to."""
    a, b = list(first.layers), list(second.layers)
    kinds = [[type(layer).__name__ for layer in graph.layers.values()] for graph in (first, second)]
    if kinds[0] == kinds[1]:
        return dict(zip(a, b, strict=True))
    return {name: name for name in a if name in second.layers}


def layer_changes(first: Graph, second: Graph, pairs: dict[str, str]) -> tuple[LayerChange, ...]:
    found = []
    for name, layer in first.layers.items():
        if name not in pairs:
            found.append(LayerChange("removed", name, _layer_words(first, name)))
            continue
        words = _changed_words(layer_to_json(layer), layer_to_json(second.layers[pairs[name]]))
        if name != pairs[name]:
            words = [f"now called {pairs[name]}", *words] if words else []
        if _sources(first, name) != [_back(pairs, source) for source in _sources(second, pairs[name])]:
            words.append(f"takes {_joined(_sources(second, pairs[name]))}, not {_joined(_sources(first, name))}")
        if words:
            found.append(LayerChange("changed", name, ", ".join(words)))
    taken = set(pairs.values())
    found += [LayerChange("added", name, _layer_words(second, name)) for name in second.layers if name not in taken]
    return tuple(found)


def weight_changes(
    first: SavedModel, second: SavedModel, pairs: dict[str, str]
) -> tuple[tuple[WeightChange, ...], int]:
    """The weights that differ, and how many are equal; those of other shapes are told with their layers."""
    found, num_equal = [], 0
    for name, other in pairs.items():
        specs = first.model.graph.specs[name]
        for spec, a, b in zip(specs, first.model.weights.views[name], second.model.weights.views[other], strict=False):
            if a.shape != b.shape:
                found.append(WeightChange(f"{name}/{spec.name}", math.inf, math.inf))
            elif np.array_equal(a, b, equal_nan=True):
                num_equal += 1
            else:
                found.append(_weight_change(f"{name}/{spec.name}", a.astype(np.float64), b.astype(np.float64)))
    return tuple(found), num_equal


def _weight_change(name: str, a: np.ndarray, b: np.ndarray) -> WeightChange:
    with np.errstate(invalid="ignore"):
        off = np.abs(a - b)
        size = math.sqrt(float(np.square(a).mean()))
        spread = math.sqrt(float(np.square(off).mean()))
    return WeightChange(name, float(off.max()), spread / size if size else math.inf)


def _changed_words(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    if first["class_name"] != second["class_name"]:
        return [f"{first['class_name']} became {second['class_name']}"]
    a, b = first["config"], second["config"]
    keys = [key for key in a if a[key] != b.get(key) and not key.endswith("_initializer")]
    return [f"{key} {_plain(a[key])} became {_plain(b.get(key))}" for key in keys]


def _plain(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def _layer_words(graph: Graph, name: str) -> str:
    index = next(i for i, node in enumerate(graph.nodes) if node.name == name)
    return f"{type(graph.layers[name]).__name__}, output {describe(graph.shapes[index])}"


def _sources(graph: Graph, name: str) -> list[str]:
    return [graph.nodes[i].name for node in graph.nodes if node.name == name for i in node.inputs]


def _back(pairs: dict[str, str], name: str) -> str:
    return next((a for a, b in pairs.items() if b == name), name)


def _joined(names: list[str]) -> str:
    return "+".join(names) or "nothing"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
