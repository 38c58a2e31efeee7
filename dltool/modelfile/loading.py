"""The arrays of a file -> the weights of a model: which array belongs to which layer, in what shape.

Keras's older layout goes by position, never by name; its newer one by names made of classes
(``keras3_variables``). Some files store a layer's numbers in another arrangement; a ``Conversion`` puts them right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.engine.graph import Graph
from dltool.engine.model import Model
from dltool.engine.weights import ParameterStore
from dltool.errors import ModelFileError
from dltool.modelfile.dialects.keras2 import Groups
from dltool.modelfile.digest import RunningDigest
from dltool.modelfile.hdf5 import ModelSource

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Conversion:
    """How the arrays that a file stores for a layer become its weights.

    Attributes:
        apply: arrays in, weights out; it raises ValueError or IndexError when the arrays are not as expected.
        count: how many arrays are stored, None for as many as the layer has weights.
        always: False when it is needed only where number or shapes differ from the layer's own.
    """

    apply: Callable[[Arrays], Arrays]
    count: int | None = None
    always: bool = True


Conversions = dict[str, Conversion]
"""By layer name; layers that are not in it are stored as they are."""


def groups_of_slots(graph: Graph, order: Groups) -> list[list[tuple[str, int]]]:
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


def numbers_by_position(
    graph: Graph, order: Groups, stored: list[dict[str, Any]], conversions: Conversions
) -> dict[str, list[int]]:
    """Layer name -> the numbers of its arrays, for the layout with one group per layer of the config.

    Raises:
        ModelFileError: more or fewer groups, or arrays in a group, than the config needs.
    """
    wanted = groups_of_slots(graph, order)
    holding = [numbers for numbers in map(weights_among, stored) if numbers]
    if len(holding) != len(wanted):
        raise ModelFileError(
            f"has weights for {len(holding)} layers, but its config has {len(wanted)} layers with weights"
        )
    found: dict[str, list[int]] = {}
    for arrays, weights in zip(holding, wanted, strict=True):
        names = list(dict.fromkeys(name for name, _ in weights))
        if len(names) == 1:
            found[names[0]] = arrays
            continue
        owners = stored_owners(weights, conversions)
        if len(owners) != len(arrays):
            owners = [name for name, _ in weights]
        if len(owners) != len(arrays):
            raise ModelFileError(f"layer {names[0]!r}: needs {len(owners)} weights but the file holds {len(arrays)}")
        own: dict[str, list[int]] = {}
        for name, number in zip(owners, arrays, strict=True):
            own.setdefault(name, []).append(number)
        found |= own  # a layer that is in several nested models is stored with each
    return found


def weights_among(layer: dict[str, Any]) -> list[int]:
    """A layer's arrays without the states of random generators, which tf.keras 2.5 to 2.9 kept beside its weights."""
    named = zip(layer["weights"], layer["arrays"], strict=True)
    return [number for name, number in named if not name.rpartition("/")[2].startswith("StateVar")]


def stored_owners(weights: list[tuple[str, int]], conversions: Conversions) -> list[str]:
    """The layer of every array of a nested model's group, where a conversion changes their number."""
    owners: list[str] = []
    for name, index in weights:
        count = conversions[name].count if name in conversions else None
        owners += [name] if count is None else [name] * (count if index == 0 else 0)
    return owners


def load_model(
    source: ModelSource,
    graph: Graph,
    numbers: dict[str, list[int]],
    conversions: Conversions,
    digest: RunningDigest | None = None,
) -> Model:
    """A model with the file's weights. Every size is checked before anything is allocated.

    Args:
        numbers: layer name -> its arrays in the file.
        digest: gets every weight as it is read, numbered in the order of ``numbers``.

    Raises:
        ModelFileError: arrays of other number or shape than the layers have.
    """
    needed = {
        name
        for name, specs in graph.specs.items()
        if name in conversions and (conversions[name].always or not fits(source, specs, numbers.get(name, [])))
    }
    for name, specs in graph.specs.items():
        check_layer(source, name, specs, numbers.get(name, []), name in needed)
    model = Model(graph, ParameterStore(graph))
    plain = [name for name in numbers if name in graph.specs and name not in needed]
    weights = [pair for name in plain for pair in zip(model.weights.views[name], numbers[name], strict=True)]
    for place, (view, number) in enumerate(weights):
        if digest is not None:
            digest.begin(str(place), view.shape)
        load_weight(source, number, view, None if digest is None else digest.update)
    for name in needed:
        if graph.specs[name]:
            arrays = [load_array(source, number) for number in numbers[name]]
            converted = convert(name, conversions[name], arrays, graph.specs[name])
            for view, array in zip(model.weights.views[name], converted, strict=True):
                view[...] = array
    return model


def fits(source: ModelSource, specs: tuple[Any, ...], numbers: list[int]) -> bool:
    """Whether the arrays have exactly the layer's shapes."""
    return [source.arrays[number].shape for number in numbers] == [spec.shape for spec in specs]


def check_layer(source: ModelSource, name: str, specs: tuple[Any, ...], numbers: list[int], is_converted: bool) -> None:
    """Raises ModelFileError when the arrays cannot be this layer's weights."""
    if is_converted:
        stored = sum(int(np.prod(source.arrays[number].shape, dtype=np.int64)) for number in numbers)
        needed = sum(spec.size for spec in specs)
        if stored < needed:  # more is judged after the conversion; the weights of GPU layers have two biases
            raise ModelFileError(f"layer {name!r}: needs {needed} numbers but the file holds {stored}")
        return
    if len(numbers) != len(specs):
        raise ModelFileError(f"layer {name!r}: needs {len(specs)} weights but the file holds {len(numbers)}")
    for spec, number in zip(specs, numbers, strict=True):
        shape = source.arrays[number].shape
        if spec.shape != shape:
            raise ModelFileError(f"layer {name!r}: its {spec.name} is {shape} in the file but must be {spec.shape}")


def convert(name: str, conversion: Conversion, arrays: Arrays, specs: tuple[Any, ...]) -> Arrays:
    try:
        found = conversion.apply(arrays)
    except (ValueError, IndexError) as error:
        raise ModelFileError(f"layer {name!r}: its weights are not arranged as in any version of Keras") from error
    if [array.shape for array in found] != [spec.shape for spec in specs]:
        shown = ", ".join(str(array.shape) for array in arrays)
        raise ModelFileError(f"layer {name!r}: weights of the shapes {shown} do not fit it; the file is damaged")
    return found


def load_array(source: ModelSource, number: int) -> np.ndarray:
    array = np.empty(source.arrays[number].shape, np.float32)
    load_weight(source, number, array)
    return array


def load_weight(
    source: ModelSource, number: int, view: np.ndarray, seen: Callable[[np.ndarray], None] | None = None
) -> None:
    """Fill the view; ``seen`` gets its numbers part by part."""
    entry = source.arrays[number]
    if entry.value is None:
        source.load(entry, view, seen)
        return
    view[...] = entry.value
    if seen is not None:
        seen(view)
