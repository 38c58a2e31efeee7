"""The output of any layer as a model of its own."""

from __future__ import annotations

from dltool.engine.graph import Graph, Node
from dltool.engine.model import Model
from dltool.errors import UsageError
from dltool.registry import nearest


def up_to_layer(model: Model, name: str) -> Model:
    """The part of a model that a layer's output needs, with the same weights.

    Raises:
        UsageError: no such layer, or one that is used in several places.
    """
    graph = model.graph
    found = [index for index, node in enumerate(graph.nodes) if node.name == name]
    if not found:
        close = nearest(name, list(graph.layers))
        advice = f"did you mean {close!r}?" if close else "'dltool summary' lists the layers"
        raise UsageError(f"--layer: the model has no layer {name!r}; {advice}")
    if len(found) > 1:
        raise UsageError(f"--layer: {name!r} is used in {len(found)} places; name the layer after the one you mean")
    return Model(_ancestors(graph, found[0]), model.weights)


def _ancestors(graph: Graph, end: int) -> Graph:
    """The graph of the nodes that lead to ``end``, which becomes its output."""
    needed = {end}
    for index in range(end, -1, -1):
        if index in needed:
            needed.update(graph.nodes[index].inputs)
    order = sorted(needed)
    place = {index: position for position, index in enumerate(order)}
    nodes = (Node(graph.nodes[i].layer, tuple(place[source] for source in graph.nodes[i].inputs)) for i in order)
    return Graph(tuple(nodes), (place[end],), graph.name)
