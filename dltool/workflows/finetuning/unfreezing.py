"""Which layers of a base train when: all at once, some, or block after block from the head down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dltool.engine.graph import Graph
from dltool.engine.surgery import batch_normalisations, is_called, weighted_layers
from dltool.errors import UsageError
from dltool.registry import nearest
from dltool.settings import FinetuneSettings

MOST_BLOCKS = 8
FEWEST_IN_BLOCKS = 4
"""So many layers of one size are no single block, where they are all there is."""
PARTS = 3
EPOCHS, EPOCHS_UNFROZEN = 10, 5
STEPS, STEPS_UNFROZEN = 200, 100
"""Steps that each part of the training makes at least, where the user has not said how many epochs: with few rows the
usual epochs would hardly change the head."""


@dataclass(frozen=True)
class Thaw:
    """A stage after the head's: ``added`` starts to train beside what did before; ``free`` are all of these layers."""

    added: tuple[str, ...]
    free: tuple[str, ...]
    epochs: int

    @property
    def words(self) -> str:
        return spanned(self.added)


def stages_after_head(
    settings: FinetuneSettings, base: Graph, shaped: Graph, fixed: Iterable[str] = ()
) -> tuple[Thaw, ...]:
    """How the base is unfrozen: in one stage or, with ``gradual``, in several that share the passes.

    Later stages, in which more trains, get what is left over of the passes; with fewer passes than blocks, neighbouring
    blocks go together.

    Args:
        shaped: the base with all sizes known. fixed: layers that never train.
    """
    names, epochs = unfrozen_layers(settings, base, fixed), settings.epochs_unfrozen
    if not epochs:
        return ()
    if not settings.gradual:
        return (Thaw(tuple(names), tuple(names), epochs),)
    blocks = blocks_of(shaped, names)[::-1]
    groups = joined(blocks, min(len(blocks), epochs))
    found: list[Thaw] = []
    for number, group in enumerate(groups):
        free = tuple(name for name in names if any(name in other for other in groups[: number + 1]))
        extra = number >= len(groups) - epochs % len(groups)
        found.append(Thaw(tuple(n for n in names if n in group), free, epochs // len(groups) + extra))
    return tuple(found)


def with_epochs(settings: FinetuneSettings, rows: int) -> FinetuneSettings:
    """The settings with the number of epochs of both parts, chosen by the training rows where it was not said."""
    steps = -(-rows // settings.batch_size)
    head, unfrozen = settings.epochs, settings.epochs_unfrozen
    return replace(
        settings,
        epochs=max(EPOCHS, -(-STEPS // steps)) if head is None else head,
        epochs_unfrozen=max(EPOCHS_UNFROZEN, -(-STEPS_UNFROZEN // steps)) if unfrozen is None else unfrozen,
    )


def blocks_of(graph: Graph, names: Sequence[str]) -> list[list[str]]:
    """The layers in blocks, from the input up: images of one size belong together, other layers stand alone.

    At most ``MOST_BLOCKS``. Where all is one block of several layers, it is cut into thirds.
    """
    blocks: list[list[str]] = []
    last: object = None
    shapes = {node.name: shape for node, shape in zip(graph.nodes, graph.shapes, strict=True)}
    for name in names:
        shape = shapes[name]
        size = shape[:-1] if len(shape) > 2 else name
        if size != last:
            blocks.append([])
        blocks[-1].append(name)
        last = size
    if len(blocks) == 1 and len(names) >= FEWEST_IN_BLOCKS:
        return joined([[name] for name in names], PARTS)
    return joined(blocks, min(len(blocks), MOST_BLOCKS))


def joined(blocks: list[list[str]], count: int) -> list[list[str]]:
    """Neighbours put together so that ``count`` are left."""
    parts = np.array_split(np.arange(len(blocks)), count)
    return [[name for index in part for name in blocks[index]] for part in parts]


def unfrozen_layers(settings: FinetuneSettings, base: Graph, fixed: Iterable[str] = ()) -> list[str]:
    """Names of the base's layers that train after the head, in the order of depth.

    Raises:
        UsageError: a pattern that fits no layer, or a number that is none.
    """
    still = {*fixed, *(() if settings.bn == "update" else batch_normalisations(base))}
    names = [name for name in weighted_layers(base) if name not in still]
    text = settings.unfreeze
    if text == "all":
        return names
    if text.isascii() and text.isdigit():
        if int(text) == 0:
            raise UsageError("--unfreeze: 0 layers would not change the base; give --epochs-unfrozen 0 instead")
        return names[-int(text) :]
    patterns = [part.strip() for part in text.split(",")]
    for pattern in patterns:
        if not any(is_called(name, pattern) for name in names):
            close = nearest(pattern, names)
            example = f"as {names[-1]}" if names else "of which this base has none"
            advice = f"did you mean {close!r}?" if close else f"give all, a number, or names, {example}"
            raise UsageError(f"--unfreeze: {pattern!r} fits no layer of the base that can train; {advice}")
    return [name for name in names if any(is_called(name, pattern) for pattern in patterns)]


def spanned(names: Sequence[str]) -> str:
    """``a``, ``a, b``, or ``a .. e (5 layers)``; layers of nested models without the models' names."""
    names = [name.rpartition("/")[2] for name in names]
    return ", ".join(names) if len(names) < 3 else f"{names[0]} .. {names[-1]} ({len(names)} layers)"
