"""Cutting networks and joining them anew: what transfer learning does to a graph.

Plain functions from graphs to graphs; weights move by layer name (``transplant``). Imports the engine only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import count

import numpy as np

from dltool.engine.graph import Graph, Node, describe
from dltool.engine.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    ReLU,
    Reshape,
    Softmax,
)
from dltool.engine.layers.base import Layer
from dltool.engine.model import Model
from dltool.errors import UsageError
from dltool.registry import nearest

AFTER_THE_HEAD = (Activation, Softmax, ReLU, Dropout, Flatten, Reshape)
"""What may follow the last layer with weights and belongs to the head."""


def head_start(graph: Graph) -> int:
    """The node that stays when the usual head goes: the last Dense with what follows it, and the dropout before it.

    A 1x1 Conv2D on one pixel counts as Dense, and so does the last Conv2D where its output is pooled to a softmax.

    Raises:
        UsageError: the network ends in another way.
    """
    place = _only_output(graph)
    is_scored = is_pooled = False
    while isinstance(graph.nodes[place].layer, AFTER_THE_HEAD) or (is_scored and _is_pooling(graph, place)):
        is_pooled = is_pooled or _is_pooling(graph, place)
        is_scored = is_scored or _is_softmax(graph, place)
        place = _before(graph, place)
    layer, shape = graph.nodes[place].layer, graph.shapes[place]
    if not isinstance(layer, Dense) and not (isinstance(layer, Conv2D) and (is_pooled or shape[:2] == (1, 1))):
        raise UsageError(
            f"--pop: the network ends with {type(layer).__name__} {layer.name!r}, not with a Dense head; "
            "give --pop N or --at LAYER; --pop 0 keeps all of it"
        )
    place = _before(graph, place)
    while isinstance(graph.nodes[place].layer, Dropout):
        place = _before(graph, place)
    return place


def _is_pooling(graph: Graph, place: int) -> bool:
    return isinstance(graph.nodes[place].layer, GlobalAveragePooling2D)


def _is_softmax(graph: Graph, place: int) -> bool:
    layer = graph.nodes[place].layer
    return isinstance(layer, Softmax) or (isinstance(layer, Activation) and layer.activation == "softmax")


def after_popping(graph: Graph, count: int) -> int:
    """The node that stays when the last ``count`` layers go. Raises UsageError where the network branches or ends."""
    place = _only_output(graph)
    for _ in range(count):
        place = _before(graph, place)
    return place


def node_named(graph: Graph, name: str) -> int:
    """The last node of a layer, or of a nested model; of a nested layer the last part of its name is enough.

    Raises:
        UsageError: there is no such layer (with the nearest name), or there are several.
    """
    found = {node.name: index for index, node in enumerate(graph.nodes) if is_called(node.name, name)}
    if name in found:
        return found[name]
    inside = {other: index for other, index in found.items() if f"/{other}".endswith(f"/{name}")}
    if not inside:  # the name of a nested model: its end is where others read it
        inside = {graph.nodes[i].name: i for i in found.values() if _leaves(graph, i, set(found))}
    if not inside:
        close = nearest(name, [*graph.layers, *(other.rpartition("/")[2] for other in graph.layers)])
        advice = f"did you mean {close!r}?" if close else "dltool summary lists the layers"
        raise UsageError(f"--at: the model has no layer {name!r}; {advice}")
    if len(inside) > 1:
        raise UsageError(f"--at: {name!r} may be {' or '.join(map(repr, list(inside)[:3]))}; give the whole name")
    return next(iter(inside.values()))


def _leaves(graph: Graph, place: int, names: set[str]) -> bool:
    """Whether a node's output is read outside the layers of these names."""
    return place in graph.outputs or any(graph.nodes[i].name not in names for i in graph.consumers[place])


def is_called(name: str, pattern: str) -> bool:
    """Whether a layer's name fits a pattern; for a layer in a nested model any part of its path may.

    >>> [is_called("base/block/conv_1", p) for p in ("conv_*", "base", "block/conv_1", "base/block", "con")]
    [True, True, True, True, False]
    """
    parts = name.split("/")
    runs = ("/".join(parts[i:j]) for i in range(len(parts)) for j in range(i + 1, len(parts) + 1))
    return any(fnmatchcase(run, pattern) for run in runs)


def _only_output(graph: Graph) -> int:
    if len(graph.outputs) != 1:
        raise UsageError(f"the model has {len(graph.outputs)} outputs; name where to cut with --at LAYER")
    return graph.outputs[0]


def _before(graph: Graph, place: int) -> int:
    node = graph.nodes[place]
    if len(node.inputs) != 1:
        reason = f"joins {len(node.inputs)} layers" if node.inputs else "is the input, and something must stay"
        raise UsageError(f"--pop: layer {node.name!r} {reason}; pop fewer layers, or name where to cut with --at LAYER")
    return node.inputs[0]


def cut(graph: Graph, place: int) -> Graph:
    """The part that node ``place`` needs, with that node as the output."""
    kept = {place}
    for index in range(place, -1, -1):
        if index in kept:
            kept.update(graph.nodes[index].inputs)
    order = sorted(kept)
    new = {old: index for index, old in enumerate(order)}
    nodes = tuple(replace(graph.nodes[i], inputs=tuple(new[j] for j in graph.nodes[i].inputs)) for i in order)
    return Graph(nodes, (new[place],), graph.name)


def renamed(head: Graph, taken: Iterable[str]) -> Graph:
    """The same graph with layers whose names are taken renamed as Keras would: dense -> dense_1."""
    taken = set(taken)
    names = taken | head.layers.keys()
    changed: dict[str, Layer] = {}
    for name in [name for name in head.layers if name in taken]:
        stem = re.sub(r"_\d+$", "", name)
        new = next(found for n in count(1) if (found := f"{stem}_{n}") not in names)
        names.add(new)
        changed[name] = replace(head.layers[name], name=new)
    return head.with_layers(changed)


def graft(base: Graph, head: Graph) -> Graph:
    """``head`` on top of ``base``: its one input becomes the base's one output. Names must not repeat."""
    (root,), (stem,) = head.inputs, base.outputs
    places = {root: stem}
    nodes = list(base.nodes)
    for index, node in enumerate(head.nodes):
        if index != root:
            places[index] = len(nodes)
            nodes.append(replace(node, inputs=tuple(places[i] for i in node.inputs)))
    return Graph(tuple(nodes), tuple(places[o] for o in head.outputs), base.name)


def insert_after_input(graph: Graph, layer: Layer) -> Graph:
    """The graph with a layer between its one input and everything that reads it."""
    (start,) = graph.inputs
    added = start + 1

    def moved(index: int) -> int:
        return index + 1 if index >= added else index

    nodes = [*graph.nodes[:added], Node(layer, (start,))]
    for node in graph.nodes[added:]:
        nodes.append(replace(node, inputs=tuple(added if i == start else moved(i) for i in node.inputs)))
    return Graph(tuple(nodes), tuple(moved(o) for o in graph.outputs), graph.name)


def resized(graph: Graph, shape: tuple[int, ...]) -> Graph:
    """The same network for inputs of another shape, its weights being those it has.

    Raises:
        UsageError: some layer would need other weights, or cannot take the size; the message names it.
    """
    (start,) = graph.inputs
    before, name = graph.input_shapes[0], graph.nodes[start].name
    try:
        new = graph.with_layers({name: replace(graph.layers[name], shape=tuple(shape))})
    except UsageError as error:
        raise UsageError(f"{describe(shape)} instead of {describe(before)}: {error}") from None
    for node in graph.nodes:
        old, now = ([spec.shape for spec in g.specs[node.name]] for g in (graph, new))
        if old != now:
            one, two = (describe(g.input_shape_of(n)) for g, n in ((graph, node), (new, _node_of(new, node.name))))
            raise UsageError(
                f"{describe(shape)} instead of {describe(before)}: layer {node.name!r} has weights for {one} and would "
                f"get {two}; keep the size, or cut before that layer with --at"
            )
    return new


def _node_of(graph: Graph, name: str) -> Node:
    return next(node for node in graph.nodes if node.name == name)


def with_trainable(graph: Graph, flags: Mapping[str, bool]) -> Graph:
    """The graph with layers frozen (False) or free (True), by name."""
    changed = {name: replace(graph.layers[name], trainable=flag) for name, flag in flags.items()}
    return graph.with_layers(changed)


def without_dropout(graph: Graph, names: Iterable[str]) -> Graph:
    """The graph with the dropout layers among ``names`` switched off: a frozen part then computes as in inference."""
    drops = {name for name in names if isinstance(graph.layers[name], Dropout)}
    return graph.with_layers({name: replace(graph.layers[name], rate=0.0) for name in drops})


def batch_normalisations(graph: Graph) -> list[str]:
    """Names of the layers whose statistics are learnt from batches."""
    return [name for name, layer in graph.layers.items() if isinstance(layer, BatchNormalization)]


def weighted_layers(graph: Graph) -> list[str]:
    """Names of the layers with trainable weights, in the order of the graph, which is that of depth."""
    return [name for name, specs in graph.specs.items() if any(spec.trainable for spec in specs)]


def transplant(source: Model, target: Model, names: Iterable[str]) -> None:
    """Copy the weights of some layers, which both models have.

    Raises:
        UsageError: a weight has another shape there.
    """
    for name in names:
        pairs = zip(source.weights.views[name], target.weights.views[name], strict=True)
        for old, new in pairs:
            if old.shape != new.shape:
                raise UsageError(
                    f"layer {name!r}: has weights of {describe(old.shape)}, here {describe(new.shape)} are needed"
                )
            np.copyto(new, old)


def depth_rates(graph: Graph, head: Iterable[str], rates: Sequence[float]) -> dict[str, float]:
    """Layer -> multiplier of the last rate, by depth.

    The layers with weights are cut into as many equal parts as there are rates, the first part (nearest the input)
    getting the first rate; ``head`` always has the last one.
    """
    names, last = weighted_layers(graph), rates[-1]
    parts = np.array_split(np.arange(len(names)), len(rates))
    found = {names[i]: rate / last for part, rate in zip(parts, rates, strict=True) for i in part}
    return found | dict.fromkeys((name for name in head if name in found), 1.0)
