"""A base network with its head exchanged: where it is cut, what goes on top, what trains at which rate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dltool.architectures.literals import split_outside
from dltool.architectures.words import from_words
from dltool.data.opening import OpenedData
from dltool.engine.graph import Graph, describe
from dltool.engine.model import Model
from dltool.engine.surgery import (
    after_popping,
    batch_normalisations,
    cut,
    graft,
    head_start,
    node_named,
    renamed,
    resized,
    transplant,
    weighted_layers,
    with_trainable,
)
from dltool.errors import UsageError
from dltool.modelfile.saved import SavedModel
from dltool.settings import FinetuneSettings
from dltool.training.labels import heads
from dltool.wording import counted
from dltool.workflows.finetuning.pixel_scaling import set_weights, with_scaling


@dataclass(frozen=True)
class NewHead:
    """Attributes:
    model: the base with the new head; the base's weights are in place.
    base: the part that stays, its output being the features.
    head: the new part alone, on an input of the features' shape; its layers have the same names in ``model``.
    dropped: what went, in words: "10-class head dropped".
    fixed: layers of the base that never train: what was put before it for its pixels.
    notes: sentences for the user.
    """

    model: Model
    base: Graph
    head: Graph
    dropped: str
    fixed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def head_names(self) -> list[str]:
        """The new layers."""
        (start,) = self.head.inputs
        return [name for name in self.head.layers if name != self.head.nodes[start].name]

    def thawed(self, names: Iterable[str]) -> Graph:
        """The whole with only these layers of the base free."""
        return with_trainable(self.model.graph, {name: name in names for name in weighted_layers(self.base)})


def kept_part(settings: FinetuneSettings, saved: SavedModel) -> Graph:
    """What stays of the network, for images of the size that was asked for.

    Raises:
        UsageError: the cut does not fit, or layers that stay have weights for another size.
    """
    graph, size = saved.model.graph, settings.data.image_size
    if len(graph.inputs) != 1:
        raise UsageError(f"{settings.model}: has {len(graph.inputs)} inputs; finetune takes models with one")
    base = cut(graph, place_of_cut(settings, graph))
    shape = base.input_shapes[0]
    if size is None or len(shape) != 3 or shape[:2] == size or None in shape[:2]:
        return base
    try:
        return resized(base, (*size, shape[2]))
    except UsageError as error:
        raise UsageError(f"--image-size: {error}") from None


def exchange_head(settings: FinetuneSettings, saved: SavedModel, kept: Graph, opened: OpenedData) -> NewHead:
    """Put a head for the data on the part of the network that stays, and before it what its pixels need.

    Raises:
        UsageError: the head's words or the preprocessing do not fit; the message names the option.
    """
    graph = saved.model.graph
    base, scaling, note = with_scaling(settings, saved, kept, opened)
    shape = feature_shape(base, opened.input_shape)
    head = renamed(head_graph(settings, shape, opened), base.layers)
    whole = graft(base, head)
    check_outputs(settings, whole, opened)
    model = Model.build(whole, settings.seed)
    transplant(saved.model, model, kept.layers)
    set_weights(model, scaling)
    dropped = "nothing" if settings.pop == 0 else describe_head(graph)
    notes = (*saved.doubts, note, probabilities_note(settings, base), inference_note(settings, base))
    fixed = () if scaling is None else (scaling,)
    return NewHead(model, base, head, f"{dropped} dropped", fixed, tuple(filter(None, notes)))


def inference_note(settings: FinetuneSettings, base: Graph) -> str:
    """What to say when statistics shall follow the data that the file keeps as they are."""
    norms = batch_normalisations(base)
    still = {node.name for node in base.nodes if node.inference and node.name in norms}
    if settings.bn == "freeze" or not still:
        return ""
    return f"{settings.model} calls {len(still)} of {len(norms)} batch normalisations with training=False: they stay"


def probabilities_note(settings: FinetuneSettings, base: Graph) -> str:
    """What to say when a head stands on a head."""
    count = heads(base)[0].num_classes if settings.pop == 0 else None
    if count is None:
        return ""
    return f"--pop 0 keeps the old head: the new one sees its {count} probabilities only; leave --pop out for features"


def place_of_cut(settings: FinetuneSettings, graph: Graph) -> int:
    if settings.at is not None:
        return node_named(graph, settings.at)
    return head_start(graph) if settings.pop is None else after_popping(graph, settings.pop)


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
    return f"head of {counted(head.size, 'number')}"
