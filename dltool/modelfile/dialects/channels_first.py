"""Networks that keep channels before height and width -> networks that keep them last, in the canonical form.

The engine computes with channels last only. Every layer of such a network reads its input through a Permute layer; the
output stays turned as long as the layers behind do not care (activations, dropout, sums) or want it so, and is turned
back for all others: two Permute layers that would undo each other are never made. Inputs, outputs and the order in
which Flatten lists the numbers stay as they were, so neither data nor weights change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dltool.errors import ModelFileError

AXES = {"1D": 3, "2D": 4, "3D": 5}
"""What layers' names end with -> axes of their input, batch included."""

INDIFFERENT = (
    "Activation",
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "ELU",
    "GaussianDropout",
    "GaussianNoise",
    "LeakyReLU",
    "ReLU",
    "ThresholdedReLU",
)
"""Layers that treat every number alike."""

JOINING = ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")
ALONG_AXIS = ("BatchNormalization", "Concatenate", "Softmax")
"""Layers with an axis that moves with the channels."""

ELSEWHERE = ("Bidirectional", "TimeDistributed")
"""Layers that have images inside; their channels cannot be moved by a Permute around them."""


@dataclass
class Turning:
    """The canonical form while it is made anew.

    Attributes:
        nodes: the new list.
        natural: old node -> new node with the old layout; turned: likewise with channels last.
        axes: old node -> number of axes of its output, where it is known.
    """

    layers: dict[str, dict[str, Any]]
    nodes: list[list[Any]] = field(default_factory=list)
    natural: dict[int, int] = field(default_factory=dict)
    turned: dict[int, int] = field(default_factory=dict)
    axes: dict[int, int] = field(default_factory=dict)

    def append(self, name: str, inputs: list[int]) -> int:
        self.nodes.append([name, inputs])
        return len(self.nodes) - 1

    def permute(self, source: int, name: str, dims: list[int]) -> int:
        while name in self.layers:
            name += "_"
        self.layers[name] = {"class_name": "Permute", "config": {"dims": dims}}
        return self.append(name, [source])

    def as_it_was(self, node: int) -> int:
        """The new node that gives what ``node`` gave."""
        if node not in self.natural:
            axes, source = self.axes[node], self.turned[node]
            name = f"{self.nodes[source][0]}_channels_first"
            self.natural[node] = self.permute(source, name, [axes - 1, *range(1, axes - 1)])
        return self.natural[node]

    def with_channels_last(self, node: int, axes: int) -> int:
        """The new node that gives ``node``'s output, of ``axes`` axes, with the channels moved to the end."""
        if node not in self.turned:
            source = self.natural[node]
            self.axes[node] = axes
            self.turned[node] = self.permute(source, f"{self.nodes[source][0]}_channels_last", [*range(2, axes), 1])
        return self.turned[node]


def with_channels_last(canonical: dict[str, Any], first: set[str]) -> dict[str, Any]:
    """The same network without channels_first layers.

    Args:
        canonical: see ``graph_json``; its configs do not say the layout.
        first: the names of the layers that keep channels first.

    Raises:
        ModelFileError: a layer for which no way is known.
    """
    if not first:
        return canonical
    calls = [name for name, *_ in canonical["nodes"]]
    work = Turning(dict(canonical["layers"]))
    for old, (name, inputs, *_) in enumerate(canonical["nodes"]):
        if name in first:
            add_turned(work, old, name, inputs)
        elif not stays_turned(work, old, name, inputs, calls):
            work.natural[old] = work.append(name, [work.as_it_was(source) for source in inputs])
    outputs = [work.as_it_was(node) for node in canonical["outputs"]]
    nodes = with_options(work.nodes, canonical["nodes"])
    return {**canonical, "nodes": nodes, "layers": work.layers, "outputs": outputs}


def with_options(nodes: list[list[Any]], old: list[list[Any]]) -> list[list[Any]]:
    """The new nodes with the options of the old calls; the calls of a layer are still in their order."""
    options: dict[str, list[Any]] = {}
    for name, _, *rest in old:
        options.setdefault(name, []).append(rest)
    return [[*node, *(options[node[0]].pop(0) if node[0] in options else ())] for node in nodes]


def add_turned(work: Turning, old: int, name: str, inputs: list[int]) -> None:
    """Append a layer that keeps channels first, with its input and output turned."""
    layer = work.layers[name]
    class_name, config = layer["class_name"], layer["config"]
    (source,) = inputs
    if class_name == "Flatten":
        # Keras itself moves the channels to the end before it flattens; where nothing was turned they are there.
        if source in work.turned:
            work.natural[old] = work.append(name, [work.turned[source]])
            return
        raise ModelFileError(f"layer {name!r} (Flatten): data_format 'channels_first' without images before it")
    if class_name.startswith("ConvLSTM"):  # its channels come after the steps
        rank = int(class_name[-2])
        turned = work.permute(work.as_it_was(source), f"{name}_channels_last", [1, *range(3, rank + 3), 2])
        back = [1, rank + 2, *range(2, rank + 2)] if config.get("return_sequences") else [rank + 1, *range(1, rank + 1)]
        work.natural[old] = work.permute(work.append(name, [turned]), f"{name}_channels_first", back)
        return
    axes = next((count for ending, count in AXES.items() if ending in class_name), None)
    if axes is None or class_name in ELSEWHERE:
        raise ModelFileError(f"layer {name!r} ({class_name}): data_format 'channels_first' is not supported here")
    node = work.append(name, [work.with_channels_last(source, axes)])
    if class_name.startswith("Global") and not config.get("keepdims"):
        work.natural[old] = node
    else:
        work.turned[old], work.axes[old] = node, axes


def stays_turned(work: Turning, old: int, name: str, inputs: list[int], calls: list[str]) -> bool:
    """Append a layer behind turned ones without turning back, if that gives the same; False when it does not."""
    layer = work.layers[name]
    class_name, config = layer["class_name"], layer["config"]
    counts = {work.axes.get(source) for source in inputs}
    if not inputs or len(counts) != 1 or any(source not in work.turned for source in inputs):
        return False
    axes = counts.pop()
    if class_name in ALONG_AXIS:
        axis = config.get("axis", -1)
        axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
        if calls.count(name) > 1 or type(axis) is not int or not -axes <= axis < axes or axis % axes == 0:
            return False
        moved = axes - 1 if axis % axes == 1 else axis % axes - 1
        work.layers[name] = {**layer, "config": {**config, "axis": moved}}
    elif class_name not in INDIFFERENT + JOINING:
        return False
    work.turned[old] = work.append(name, [work.turned[source] for source in inputs])
    work.axes[old] = axes
    return True
