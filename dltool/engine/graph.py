"""The graph of a network: nodes in an order where each points only to earlier ones.

A node is one call of a layer; a layer called twice (shared weights) is two nodes with one layer. Sequential models are
chains. Shapes are checked when a graph is made, so a graph that exists is consistent.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from dltool.engine.layers.base import Layer, Shape, WeightSpec, describe
from dltool.engine.layers.core import InputLayer
from dltool.errors import UsageError

MAX_ROW_VALUES = 2**31
"""Numbers that one layer may give for one row: 8 GB. A file can promise more in a few bytes."""


@dataclass(frozen=True)
class Node:
    """One call of ``layer`` on the outputs of the nodes with the indices ``inputs``.

    ``inference``: it computes as at inference in training too, trainable or not, which is what Keras writes down for
    ``layer(x, training=False)``.
    """

    layer: Layer
    inputs: tuple[int, ...] = ()
    inference: bool = False

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def joins(self) -> bool:
        """True when the layer gets a tuple of inputs here."""
        return self.layer.joins or len(self.inputs) > 1


class Graph:
    """A checked network.

    Args:
        nodes: each node's inputs are indices of earlier nodes; nodes without inputs hold an InputLayer.
        outputs: indices of the nodes that are the model's outputs.
        name: the model's name, as Keras writes it.

    Attributes:
        shapes: output shape of every node, without the batch axis.
        masks: shape of every node's mask (the positions of a sequence that count), or None.
        specs: weight specs of every layer, by layer name, in graph order.

    Raises:
        UsageError: names repeat, or shapes do not fit; the message names both layers.
    """

    def __init__(self, nodes: tuple[Node, ...], outputs: tuple[int, ...], name: str = "model"):
        self.nodes, self.outputs, self.name = tuple(nodes), tuple(outputs), name
        self.inputs = tuple(i for i, node in enumerate(self.nodes) if not node.inputs)
        self.layers: dict[str, Layer] = {}
        self.shapes: list[Shape] = []
        self.masks: list[Shape | None] = []
        self.specs: dict[str, tuple[WeightSpec, ...]] = {}
        for index, node in enumerate(self.nodes):
            self._check_links(index, node)
            self._add(node)
        if not self.outputs or not all(0 <= o < len(self.nodes) for o in self.outputs):
            raise UsageError(f"model {name!r}: has no output; give at least one layer")

    def _check_links(self, index: int, node: Node) -> None:
        if not all(0 <= i < index for i in node.inputs):
            raise UsageError(f"layer {node.name!r}: its input comes later in the graph; layers cannot form a loop")
        if not node.inputs and not isinstance(node.layer, InputLayer):
            raise UsageError(f"layer {node.name!r}: has no input; start the model with an input shape")
        known = self.layers.get(node.name)
        if known is not None and known is not node.layer:
            raise UsageError(f"layer {node.name!r}: two layers have this name; give each its own")

    def _add(self, node: Node) -> None:
        layer, shape = node.layer, self.input_shape_of(node)
        sources = ", ".join(repr(self.nodes[i].name) for i in node.inputs)
        where = f"layer {node.name!r}" + (f" (after {sources})" if sources else "")
        try:
            output, specs = layer.output_shape(shape), layer.weight_specs(shape)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None
        if any(size is not None and size <= 0 for size in output):
            raise UsageError(f"{where}: input {describe(shape)} is too small, its output would be {describe(output)}")
        if math.prod(size for size in output if size is not None) > MAX_ROW_VALUES:
            raise UsageError(f"{where}: its output would be {describe(output)}, more than any memory holds")
        if node.name in self.specs and [s.shape for s in self.specs[node.name]] != [s.shape for s in specs]:
            raise UsageError(f"{where}: shared with another place where its input has a different shape")
        self.layers[node.name] = layer
        self.masks.append(layer.mask_shape(shape, tuple(self.masks[i] for i in node.inputs)))
        self.shapes.append(tuple(output))
        self.specs[node.name] = tuple(specs)

    def input_shape_of(self, node: Node) -> Any:
        """What the node's layer gets: one shape, or a tuple of shapes for a layer that joins; () for an input."""
        shapes = tuple(self.shapes[i] for i in node.inputs)
        if node.joins and (node.layer.joins or node.layer.may_join):
            return shapes
        if len(shapes) > 1:
            raise UsageError(f"layer {node.name!r}: takes one input but got {len(shapes)}")
        return shapes[0] if shapes else ()

    @cached_property
    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """For every node the indices of the nodes that read it, once per reading."""
        lists: list[list[int]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for source in node.inputs:
                lists[source].append(index)
        return tuple(tuple(found) for found in lists)

    @property
    def is_sequential(self) -> bool:
        """True for a plain chain with one input and the last node as output."""
        chain = all(node.inputs == (index - 1,) for index, node in enumerate(self.nodes) if index)
        chain = chain and not any(node.layer.is_part or node.inference for node in self.nodes)
        return chain and self.outputs == (len(self.nodes) - 1,) and len(set(self.layers)) == len(self.nodes)

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return tuple(self.shapes[i] for i in self.inputs)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return tuple(self.shapes[i] for i in self.outputs)

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(self.nodes[i].name for i in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(self.nodes[i].name for i in self.outputs)

    @property
    def num_parameters(self) -> int:
        """Number of weights and statistics, shared layers counted once."""
        return sum(spec.size for specs in self.specs.values() for spec in specs)

    def with_layers(self, changed: dict[str, Layer]) -> Graph:
        """The same graph with some layers exchanged, by name (freezing, renaming, other rates)."""
        nodes = tuple(replace(n, layer=changed.get(n.name, n.layer)) for n in self.nodes)
        return Graph(nodes, self.outputs, self.name)


class GraphBuilder:
    """Grows a graph layer by layer; each method returns the node's index to build on.

    >>> b = GraphBuilder()
    >>> x = b.input((28, 28, 1))
    >>> x = b.add(Flatten(), x)
    >>> graph = b.graph(b.add(Dense(10, activation="softmax"), x))
    """

    def __init__(self, name: str = "model"):
        self.name = name
        self.nodes: list[Node] = []
        self._counts: dict[str, int] = {}

    def input(self, shape: Shape, name: str = "") -> int:
        return self.add(InputLayer(shape=tuple(shape), name=name))

    def add(self, layer: Layer, *inputs: int) -> int:
        """Append a call of ``layer``; a layer without a name gets Keras's automatic one (``conv2d``, ``conv2d_1``)."""
        if not layer.name:
            layer = replace(layer, name=self._automatic_name(type(layer).__name__))
        self.nodes.append(Node(layer, tuple(inputs)))
        return len(self.nodes) - 1

    def _automatic_name(self, class_name: str) -> str:
        base = snake_case(class_name)
        taken = {node.name for node in self.nodes}
        while True:
            count = self._counts.get(base, 0)
            self._counts[base] = count + 1
            name = f"{base}_{count}" if count else base
            if name not in taken:
                return name

    def graph(self, *outputs: int) -> Graph:
        return Graph(tuple(self.nodes), outputs or (len(self.nodes) - 1,), self.name)


def snake_case(class_name: str) -> str:
    """Keras's automatic layer name: Conv2D -> conv2d, MaxPooling2D -> max_pooling2d, ReLU -> re_lu."""
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
