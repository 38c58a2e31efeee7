"""The output of any layer as a model of its own."""

from __future__ import annotations

from dltool.engine.model import Model
from dltool.engine.surgery import cut
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
    return Model(cut(graph, found[0]), model.weights)
