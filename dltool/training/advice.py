"""What experienced people warn of: one registry of rules over the network, the settings and the history.

A rule is a plain function from ``Facts`` to what it says, "" where it does not apply; its source stands with it. The
order of the definitions is that of importance. ``dltool summary --advice`` shows all that apply, ``build`` and ``fit``
only the most important one; minor rules, which good networks break for good reasons, are for the former.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dltool.engine.graph import Graph, Node, describe
from dltool.engine.layers import Activation, Conv2D, Dense, Dropout
from dltool.engine.layers.pooling import Pooling2D
from dltool.engine.losses import Loss
from dltool.training.labels import heads

HIGH_RATE = 0.1
IMBALANCE = 4
SATURATING = ("sigmoid", "tanh", "softsign", "hard_sigmoid")
MOST_SATURATING = 3
LARGE_PART = 0.8
LARGE_FILTER = 7
LARGE_POOL = 3
SMALL_HEAD = 64


@dataclass(frozen=True)
class Facts:
    """What the rules look at; everything may be unknown.

    Attributes:
        graph: the network, None to leave it alone.
        optimizer: its name. learning_rate: the rate it starts with.
        class_counts: training rows per class, empty when weights or sampling make up for them.
        history: one dict per epoch trained so far.
        augments, precomputes: whether rows are changed at random; whether features are computed once.
    """

    graph: Graph | None = None
    losses: tuple[Loss | None, ...] = ()
    optimizer: str = ""
    learning_rate: float | None = None
    class_counts: tuple[int, ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    augments: bool = False
    precomputes: bool = False


@dataclass(frozen=True)
class Advice:
    """One remark: the rule's name, its words, where they come from."""

    rule: str
    words: str
    source: str


@dataclass(frozen=True)
class Rule:
    """``check`` gives the words, "" where the rule does not apply."""

    name: str
    check: Callable[[Facts], str]
    source: str
    minor: bool = False


RULES: list[Rule] = []


def rule(source: str, minor: bool = False) -> Callable[[Callable[[Facts], str]], Callable[[Facts], str]]:
    """Decorator: file a function as a rule under its name."""

    def decorate(check: Callable[[Facts], str]) -> Callable[[Facts], str]:
        RULES.append(Rule(check.__name__, check, source, minor))
        return check

    return decorate


def advice(facts: Facts) -> list[Advice]:
    """All remarks that apply, the most important first."""
    found = [(one, one.check(facts)) for one in RULES]
    return [Advice(one.name, words, one.source) for one, words in found if words]


def most_important(facts: Facts) -> Advice | None:
    """The first remark that is not minor."""
    minor = {one.name for one in RULES if one.minor}
    return next((found for found in advice(facts) if found.rule not in minor), None)


@rule("Goodfellow, Bengio and Courville, Deep Learning, 2016, section 6.2.2")
def squared_error_after_softmax(facts: Facts) -> str:
    if facts.graph is None:
        return ""
    for head, loss in zip(heads(facts.graph), facts.losses, strict=False):
        if loss is not None and loss.name == "mean_squared_error" and head.activation in ("softmax", "sigmoid"):
            better = "binary" if head.activation == "sigmoid" else "categorical"
            return f"{head.activation} learns slowly with squared error; consider --loss {better}_crossentropy"
    return ""


@rule("Bengio, Practical recommendations for gradient-based training of deep architectures, 2012, section 3.1")
def high_learning_rate(facts: Facts) -> str:
    if facts.learning_rate is None or facts.learning_rate <= HIGH_RATE or facts.optimizer == "adadelta":
        return ""
    return f"a learning rate of {facts.learning_rate:g} is high; 0.1 is much already, 0.001 is usual"


@rule("Buda, Maki and Mazurowski, A systematic study of the class imbalance problem, 2018")
def imbalanced_classes(facts: Facts) -> str:
    counts = [count for count in facts.class_counts if count]
    if not counts or max(counts) < IMBALANCE * min(counts):
        return ""
    return f"classes are imbalanced {max(counts) / min(counts):.0f}:1; consider --class-weight balanced"


@rule("features that are computed once are those of pictures that do not change")
def precompute_with_augmentation(facts: Facts) -> str:
    return "features computed once see no augmentation; leave one of the two out" * (
        facts.precomputes and facts.augments
    )


@rule("Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010")
def saturating_activations(facts: Facts) -> str:
    if facts.graph is None:
        return ""
    hidden = [node for i, node in enumerate(facts.graph.nodes) if i not in facts.graph.outputs]
    names = [node.layer.activation for node in hidden if isinstance(node.layer, Dense | Conv2D | Activation)]
    saturating = [name for name in names if name in SATURATING]
    if len(saturating) <= MOST_SATURATING:
        return ""
    return f"{len(saturating)} layers with {saturating[0]}: gradients vanish on the way; use relu or its family"


@rule("a pooling without padding leaves out what does not fill its window")
def pooling_drops_rows(facts: Facts) -> str:
    if facts.graph is None:
        return ""
    for node, shape in _nodes(facts.graph, Pooling2D):
        pool, strides = node.layer.pool_size, node.layer.strides
        sides = [
            side
            for side, size, stride in zip(shape[:2], pool, strides, strict=True)
            if side is not None and side > size and size == stride and side % stride
        ]
        if sides and node.layer.padding == "valid":
            lost = f"{describe(shape[:2])} into {node.name!r} drops {'rows' if pool[0] > 2 else 'a row'}"
            return f"{lost}; {_better_size(facts.graph) or f'use sides that {pool[0]} divides'}"
    return ""


def _better_size(graph: Graph) -> str:
    """``use --image-size 32x32`` where every halving of that size is whole; "" where it cannot be said."""
    factor, shape = 1, graph.input_shapes[0]
    for node in graph.nodes:
        layer = node.layer
        if isinstance(layer, Conv2D) and layer.padding != "same":
            return ""
        if isinstance(layer, Conv2D | Pooling2D):
            factor *= layer.strides[0]
    if not graph.is_sequential or len(shape) != 3 or None in shape:
        return ""
    better = [math.ceil(side / factor) * factor for side in shape[:2]]
    return f"use --image-size {describe(better)}"


@rule("Lin, Chen and Yan, Network in network, 2013, section 3.2")
def one_large_dense(facts: Facts) -> str:
    graph = facts.graph
    if graph is None or not graph.num_parameters or not any(_nodes(graph, Conv2D)):
        return ""
    for node, _ in _nodes(graph, Dense):
        part = sum(spec.size for spec in graph.specs[node.name]) / graph.num_parameters
        if part > LARGE_PART:
            return f"{node.name!r} has {part:.0%} of the weights; a globalaveragepooling2d before it does without"
    return ""


@rule("Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, 2014, section 2.3")
def large_filters(facts: Facts) -> str:
    for node, _ in _nodes(facts.graph, Conv2D):
        size = max(node.layer.kernel_size)
        if size >= LARGE_FILTER and max(node.layer.strides) == 1:
            return f"{node.name!r} has {size}x{size} filters; {size // 2} stacked 3x3 see as far with fewer weights"
    return ""


@rule("Krizhevsky, Sutskever and Hinton, ImageNet classification, 2012, section 3.4 (3x3 windows at stride 2)")
def large_pooling(facts: Facts) -> str:
    for node, shape in _nodes(facts.graph, Pooling2D):
        size = max(node.layer.pool_size)
        if size > LARGE_POOL and tuple(node.layer.pool_size) != tuple(shape[:2]):
            return f"{node.name!r} pools {size}x{size}; above 3x3 too much is lost at once"
    return ""


@rule("Dumoulin and Visin, A guide to convolution arithmetic for deep learning, 2016: windows must overlap", minor=True)
def large_strides(facts: Facts) -> str:
    for node, _ in _nodes(facts.graph, Conv2D):
        size, stride = max(node.layer.kernel_size), max(node.layer.strides)
        if size > 1 and stride > (size - 1) / 2 and stride > 1:
            return f"{node.name!r} takes strides of {stride} with {size}x{size} filters; neighbours hardly overlap"
    return ""


@rule("Goodfellow, Bengio and Courville, Deep Learning, 2016, section 11.3: first make it overfit", minor=True)
def early_dropout(facts: Facts) -> str:
    if facts.history or not any(_nodes(facts.graph, Dropout)):
        return ""
    return "dropout before it is known to overfit; first see what the network learns without"


@rule("Srivastava et al., Dropout, 2014, appendix A.1: few units need more of them, not fewer", minor=True)
def dropout_before_small_head(facts: Facts) -> str:
    graph = facts.graph
    for output in graph.outputs if graph is not None else ():
        node = graph.nodes[output]
        before = graph.nodes[node.inputs[0]] if node.inputs else node
        inputs = math.prod(size or 1 for size in graph.shapes[node.inputs[0]]) if node.inputs else 0
        if isinstance(node.layer, Dense) and isinstance(before.layer, Dropout) and inputs <= SMALL_HEAD:
            return f"{before.name!r} drops some of only {inputs} features before the head; leave it out"
    return ""


def _nodes(graph: Graph | None, kind: type) -> list[tuple[Node, tuple[int | None, ...]]]:
    """Nodes whose layer is of a kind, each with the shape it gets."""
    if graph is None:
        return []
    return [(node, graph.shapes[node.inputs[0]]) for node in graph.nodes if isinstance(node.layer, kind)]
