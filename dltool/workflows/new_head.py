"""A base network with its head exchanged: where it is cut, what goes on top, what trains at which rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np

from dltool.architectures.literals import split_outside
from dltool.architectures.words import NORMALISES, from_words
from dltool.data.opening import OpenedData
from dltool.engine.graph import Graph, describe
from dltool.engine.layers import Rescaling
from dltool.engine.model import Model
from dltool.engine.surgery import (
    after_popping,
    batch_normalisations,
    cut,
    graft,
    head_start,
    insert_after_input,
    node_named,
    renamed,
    transplant,
    weighted_layers,
    with_trainable,
)
from dltool.errors import UsageError
from dltool.modelfile.saved import SavedModel
from dltool.registry import nearest
from dltool.settings import FinetuneSettings
from dltool.training.labels import heads

PIXEL_SCALE = 1 / 255


@dataclass(frozen=True)
class NewHead:
    """Attributes:
    model: the base with the new head; the base's weights are in place.
    base: the part that stays, its output being the features.
    head: the new part alone, on an input of the features' shape; its layers have the same names in ``model``.
    dropped: what went, in words: "10-class head".
    notes: sentences for the user.
    """

    model: Model
    base: Graph
    head: Graph
    dropped: str
    notes: tuple[str, ...] = ()

    @property
    def head_names(self) -> list[str]:
        """The new layers."""
        (start,) = self.head.inputs
        return [name for name in self.head.layers if name != self.head.nodes[start].name]

    @property
    def frozen_graph(self) -> Graph:
        """The whole with the base frozen."""
        return with_trainable(self.model.graph, dict.fromkeys(weighted_layers(self.base), False))


def exchange_head(settings: FinetuneSettings, saved: SavedModel, opened: OpenedData) -> NewHead:
    """Cut the base and put a head for the data on top.

    Raises:
        UsageError: the cut or the head's words do not fit; the message names the option.
    """
    graph = saved.model.graph
    if len(graph.inputs) != 1:
        raise UsageError(f"{settings.model}: has {len(graph.inputs)} inputs; finetune takes models with one")
    base = cut(graph, place_of_cut(settings, graph))
    notes: list[str] = []
    if wants_rescaling(settings, saved, opened):
        name = "rescaling" if "rescaling" not in base.layers else "rescaling_pixels"
        base = insert_after_input(base, Rescaling(PIXEL_SCALE, name=name))
        notes.append(f"{settings.model} does not scale pixels itself: 0..255 become 0..1 (--no-rescale for none)")
    shape = feature_shape(base, opened.input_shape)
    head = renamed(head_graph(settings, shape, opened), base.layers)
    whole = graft(base, head)
    check_outputs(settings, whole, opened)
    model = Model.build(whole, settings.seed)
    transplant(saved.model, model, [name for name in base.layers if name in graph.layers])
    return NewHead(model, base, head, describe_head(graph), tuple(notes))


def place_of_cut(settings: FinetuneSettings, graph: Graph) -> int:
    if settings.at is not None:
        return node_named(graph, settings.at)
    return head_start(graph) if settings.pop is None else after_popping(graph, settings.pop)


def wants_rescaling(settings: FinetuneSettings, saved: SavedModel, opened: OpenedData) -> bool:
    """Whether pixels 0..255 would meet a network of others that begins without a layer that scales them.

    Models that dltool built for images say how they are read; what they have or lack is meant.
    """
    graph = saved.model.graph
    readers = [graph.nodes[index].layer for index in graph.consumers[graph.inputs[0]]]
    scales = any(type(layer).__name__ in NORMALISES for layer in readers)
    first = opened.train.fetch(np.arange(1)).inputs[0]
    return settings.rescale and not scales and saved.preprocessing is None and first.dtype == np.uint8


def feature_shape(base: Graph, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The features' shape for inputs of exactly this shape."""
    node = base.nodes[base.inputs[0]]
    return base.with_layers({node.name: replace(node.layer, shape=tuple(input_shape))}).output_shapes[0]


def head_graph(settings: FinetuneSettings, shape: tuple[int, ...], opened: OpenedData) -> Graph:
    """The new head on an input of the features' shape."""
    text = " ".join(settings.head) or default_head(settings, shape, opened)
    try:
        head = from_words(split_outside(text, " ", "--head"), shape)
    except UsageError as error:
        raise UsageError(f"--head: {error}" if settings.head else str(error)) from None
    if len(head.inputs) != 1 or len(head.outputs) != 1:
        raise UsageError("--head: must be one chain from the features to one output; leave input words out")
    return head


def default_head(settings: FinetuneSettings, shape: tuple[int, ...], opened: OpenedData) -> str:
    """One Dense, after pooling or flattening where the features are no plain row."""
    before = "" if len(shape) == 1 else "gap " if len(shape) == 3 and shape[:2] != (1, 1) else "flatten "
    if opened.classes is not None:
        return f"{before}dense:{len(opened.classes)},softmax"
    labels = opened.train.labels
    end = ",sigmoid" if settings.data.multi_label else ""
    return f"{before}dense:{1 if labels.ndim == 1 else labels.shape[-1]}{end}"


def check_outputs(settings: FinetuneSettings, graph: Graph, opened: OpenedData) -> None:
    """The head must tell the data's classes apart."""
    if opened.classes is None:
        return
    (head,), count = heads(graph), len(opened.classes)
    if head.num_classes != count:
        raise UsageError(
            f"--head: ends with {head.size} outputs ({head.activation}), but the data have {count} classes; "
            f"end with dense:{count},softmax"
        )


def describe_head(graph: Graph) -> str:
    """``10-class head``, ``head of 1 number``, ``head of 7x7x512``."""
    found = heads(graph)
    if len(found) != 1 or len(found[0].shape) != 1:
        return f"head of {' and '.join(describe(head.shape) for head in found)}"
    head = found[0]
    if head.num_classes is not None:
        return f"{head.num_classes}-class head"
    return f"head of {head.size} number{'' if head.size == 1 else 's'}"


def unfrozen_graph(settings: FinetuneSettings, new: NewHead) -> tuple[Graph, list[str]]:
    """The whole with the chosen layers of the base free, and their names; batch normalisation only as asked."""
    chosen = unfrozen_layers(settings, new.base)
    flags = {name: name in chosen for name in weighted_layers(new.base)}
    return with_trainable(new.model.graph, flags), chosen


def unfrozen_layers(settings: FinetuneSettings, base: Graph) -> list[str]:
    """Names of the base's layers that train in the second stage, in the order of depth.

    Raises:
        UsageError: a pattern that fits no layer, or a number that is none.
    """
    still = set() if settings.bn_update else set(batch_normalisations(base))
    names = [name for name in weighted_layers(base) if name not in still]
    text = settings.unfreeze
    if text == "all":
        return names
    if text.isdigit():
        if int(text) == 0:
            raise UsageError("--unfreeze: 0 layers would not change the base; give --epochs-unfrozen 0 instead")
        return names[-int(text) :]
    patterns = [part.strip() for part in text.split(",") if part.strip()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            close = nearest(pattern, names)
            advice = f"did you mean {close!r}?" if close else f"give all, a number, or names like {names[-1:] or 'x'}"
            raise UsageError(f"--unfreeze: {pattern!r} fits no layer of the base that can train; {advice}")
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
