"""From a graph to steps: activations apart from their layers, what does nothing left out.

Lowering makes every combination of layer and activation the same few cases, so that kernels need to know only relu.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dltool.engine.graph import Graph
from dltool.engine.layers.advanced_activations import Softmax
from dltool.engine.layers.base import Layer
from dltool.engine.layers.convolution import Conv2D, DepthwiseConv2D, ZeroPadding2D
from dltool.engine.layers.core import Activation, ReLU
from dltool.engine.layers.noise import Dropout
from dltool.engine.layers.penalties import activity_of
from dltool.engine.losses import Loss
from dltool.errors import UsageError


@dataclass
class Step:
    """One layer without its activation. ``inputs`` are indices of earlier steps, ``node`` is the graph's node.

    ``is_dropped``: a loss or its readers do its work.
    ``padding``: zeros around the input, ((top, bottom), (left, right)), which the graph has as a layer.
    """

    layer: Layer
    node: int
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    is_dropped: bool = False
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))


@dataclass
class Lowered:
    """Steps in order, the step of every model output, and the activation that each output's loss takes over."""

    steps: list[Step]
    outputs: list[int]
    heads: list[str]


def lower(graph: Graph, losses: tuple[Loss, ...] = ()) -> Lowered:
    """Steps for training with ``losses``, or for inference without."""
    steps: list[Step] = []
    place: list[int] = []

    def add(layer: Layer, node: int, inputs: tuple[int, ...]) -> int:
        steps.append(Step(layer, node, inputs, tuple(graph.shapes[node])))
        return len(steps) - 1

    for index, node in enumerate(graph.nodes):
        layer, inputs = node.layer, tuple(place[i] for i in node.inputs)
        if is_identity(layer, training=bool(losses) and not node.inference):
            place.append(inputs[0])
            continue
        activation = activation_of(layer)
        if isinstance(layer, Softmax) and graph.masks[index] is not None:
            activation = None  # masked positions get no share, which only the layer's own arithmetic knows
        if isinstance(layer, Activation | ReLU | Softmax) and activation is not None:
            place.append(add(Activation(activation, name=layer.name), index, inputs))
        elif activation is not None:
            core = add(replace(layer, activation="linear"), index, inputs)
            place.append(add(Activation(activation, name=layer.name), index, (core,)))
        else:
            place.append(add(layer, index, inputs))
        activity = activity_of(layer) if losses else None
        if activity is not None:
            place[-1] = add(activity, index, (place[-1],))
    lowered = Lowered(steps, [place[i] for i in graph.outputs], ["linear"] * len(graph.outputs))
    for position, loss in enumerate(losses):
        _give_head_to_loss(lowered, position, loss)
    if not losses:
        _give_paddings_to_convolutions(lowered)
    return lowered


def is_identity(layer: Layer, training: bool) -> bool:
    """True when the layer passes its input on unchanged."""
    if layer.idle_at_inference and not training:
        return True
    if isinstance(layer, Dropout):
        return layer.threshold == 0
    return isinstance(layer, Activation) and layer.activation == "linear"


def activation_of(layer: Layer) -> str | None:
    """The activation to split off, or None."""
    if isinstance(layer, ReLU):
        plain = layer.negative_slope == 0 and layer.threshold == 0
        return {None: "relu", 6: "relu6"}.get(layer.max_value) if plain else None
    if isinstance(layer, Softmax):
        return "softmax" if layer.axis == -1 else None
    name = getattr(layer, "activation", "linear")
    return None if name == "linear" or not layer.activation_is_last else name


def _give_head_to_loss(lowered: Lowered, position: int, loss: Loss) -> None:
    """Leave a softmax or sigmoid head to the loss that can take logits: exact where probabilities are near 0 or 1."""
    last = lowered.outputs[position]
    step = lowered.steps[last]
    readers = [s for s in lowered.steps if last in s.inputs]
    shared = lowered.outputs.count(last) > 1
    if readers or shared or not isinstance(step.layer, Activation) or getattr(loss, "from_logits", True):
        return
    if step.layer.activation == loss.fused_activation:
        lowered.outputs[position] = step.inputs[0]
        lowered.heads[position] = step.layer.activation
        step.inputs = ()
        step.is_dropped = True


def _give_paddings_to_convolutions(lowered: Lowered) -> None:
    """Leave zeros around an image to convolutions, whose kernels have them for nothing, where only these read them.

    Keras's own MobileNets, ResNets and EfficientNets pad before every convolution with a stride.
    """
    for index, step in enumerate(lowered.steps):
        if type(step.layer) is not ZeroPadding2D or index in lowered.outputs:
            continue
        readers = [reader for reader in lowered.steps if index in reader.inputs]
        if readers and all(can_pad(reader.layer) for reader in readers):
            for reader in readers:
                reader.inputs, reader.padding = step.inputs, step.layer.padding
            step.inputs = ()
            step.is_dropped = True


def can_pad(layer: Layer) -> bool:
    """Whether a layer without padding of its own has a kernel that reads beyond the edge of its input."""
    if type(layer) is Conv2D:
        return layer.padding == "valid" and layer.groups == 1
    return type(layer) is DepthwiseConv2D and layer.padding == "valid" and layer.depth_multiplier == 1


def check_sizes(graph: Graph) -> None:
    """Planning needs every size. Raises UsageError naming the layer."""
    for node, shape in zip(graph.nodes, graph.shapes, strict=True):
        if None in shape:
            raise UsageError(f"layer {node.name!r}: its size is not fixed; give one, e.g. --image-size 224x224")


def check_training(graph: Graph) -> None:
    """Raises UsageError naming a layer that no network is trained with, unless its call is at inference."""
    for node in graph.nodes:
        if node.layer.refuses_training and not node.inference:
            raise UsageError(f"layer {node.name!r} ({type(node.layer).__name__}): {node.layer.refuses_training}")
