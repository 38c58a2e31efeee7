"""What a fast kernel is, and how one is found for a layer.

A kernel is the planned arithmetic of one step. It offers *phases* for forward and backward; a phase's ``bind`` turns a
piece of work into a function without arguments whose arrays are all prepared, so that a running program is a flat
list of calls and allocates nothing. Phases have a scope:

* ``shard``: rows of the batch, in micro-batches, no two shards touch the same memory;
* ``tile``: the whole batch, cut into fixed tiles of columns or rows of a matrix product;
* ``lane``: once in every lane, for small results that each lane keeps for itself; ``piece.tile`` is the lane.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from dltool.engine.buffers import NO_PADDING, Buffer, Padding, Piece, SharedTemporaries
from dltool.engine.layers.base import Layer

NUM_SHARDS = 8
"""A batch is cut into this many shards, whatever the number of lanes."""

NUM_TILES = 4
"""A matrix product over the whole batch is cut into this many tiles."""

NUM_BANDS = 4
"""An image is cut into this many bands of rows where a batch is too small to give every lane a shard."""

SMALL_BATCH = 4
"""Inference on fewer rows cuts images into bands, or filters into tiles, instead of the batch into shards."""

WHOLE_SHARD = 0
"""Micro-batch of a kernel that takes a shard at once."""

Run = Callable[[], None]


def chain(*runs: Run | None) -> Run:
    """One function that calls the given ones in order."""
    calls = tuple(run for run in runs if run is not None)
    if len(calls) == 1:
        return calls[0]

    def run() -> None:
        for call in calls:
            call()

    return run


def share(count: int, lane: int, num_lanes: int) -> range:
    """Which of ``count`` pieces a lane takes."""
    return range(count * lane // num_lanes, count * (lane + 1) // num_lanes)


def shard_rows(rows: int, shard: int) -> tuple[int, int]:
    """Start and stop of a shard, as numpy.array_split cuts; later shards of a small batch are empty."""
    size, longer = divmod(rows, NUM_SHARDS)
    start = shard * size + min(shard, longer)
    return start, start + size + (shard < longer)


@dataclass
class Phase:
    """A part of a kernel's work between two points where everything before must be complete.

    Args:
        scope: "shard", "tile" or "lane".
        bind: piece -> function without arguments (or None: nothing to do for this piece).
        touches: which of the step's buffers it uses: "x", "y", "dx", "dy"; decides what may live in scratch.
        micro_batch: rows that are best taken at once; None joins whatever came before, WHOLE_SHARD takes a shard.
        needs_all: True when every piece of what came before must be complete (a barrier).
        num_tiles: for scope "tile".
        banded: the tiles are bands of image rows.
        deferred: 0 runs in its place; 1 and 2 run after the whole backward pass, each round in one stage, so that
            weight gradients over the whole batch do not part what should stay together in cache.
    """

    scope: str
    bind: Callable[[Piece], Run | None]
    touches: frozenset[str]
    micro_batch: int | None = None
    needs_all: bool = False
    num_tiles: int = 1
    banded: bool = False
    deferred: int = 0


@dataclass
class Site:
    """A step's place: everything that its kernel may plan with.

    Attributes:
        layer: the layer, without its activation.
        node: index of the graph's node, keys random streams.
        batch_size: the most rows of a batch.
        training: whether this is a training program. inference: the layer computes as at inference even then.
        seed: of the random streams.
        exact: no algorithm whose rounding errors are more than 1.5 times a direct sum's.
        padding: zeros around input 0 besides those that the layer asks for.
        relu: apply max(0, .) to the output; the output's sign then tells the gradient.
        ceiling: the relu's upper limit; below infinity in inference only.
        adds: add input 1 to the output, before the relu; in inference only.
        relu_gradient_done: who wrote ``dy`` has already multiplied by the relu's gradient.
        masks_input: multiply dx by the gradient of the relu that made x.
        weights: views of the store, in Keras's order.
        gradients: views of the flat gradient (None for statistics).
        partials: per weight an array (NUM_SHARDS, ...) of sums per shard, where the kernel does not write gradients.
        trains_weights: False when frozen.
        accumulates: an earlier call of a shared layer has already written this step's weight gradient.
        x, y: inputs' and output's buffers. dx, dy: their gradients; None where no gradient is wanted.
        dx_accumulates: per input, another consumer has already written dx: add to it.
        shared: memory for what passes between a kernel's stages.
        clock: shared int64 array; clock[0] is the step, for random streams.
        is_masked: an input has a mask.
        masks: per input the buffer of its mask, 1.0 where a position counts and 0.0 where it is padding; or None.
        output_mask: the buffer of the output's mask, the input's own where the layer keeps it; or None.
        penalties: per shard what the step adds to the loss, or None.
        states: shared arrays (batch_size, ...) that a stateful layer finds and leaves.
    """

    layer: Layer
    node: int
    batch_size: int
    training: bool
    seed: int
    input_shapes: tuple[tuple[int, ...], ...]
    output_shape: tuple[int, ...]
    exact: bool = False
    padding: Padding = NO_PADDING
    weights: tuple[np.ndarray, ...] = ()
    gradients: tuple[np.ndarray | None, ...] = ()
    relu: bool = False
    ceiling: float = math.inf
    adds: bool = False
    relu_gradient_done: bool = False
    masks_input: bool = False
    trains_weights: bool = False
    accumulates: bool = False
    partials: list[np.ndarray | None] = field(default_factory=list)
    x: tuple[Buffer, ...] = ()
    y: Buffer | None = None
    dx: tuple[Buffer | None, ...] = ()
    dy: Buffer | None = None
    dx_accumulates: tuple[bool, ...] = ()
    shared: SharedTemporaries = field(default_factory=SharedTemporaries)
    clock: np.ndarray | None = None
    is_masked: bool = False
    masks: tuple[Buffer | None, ...] = ()
    output_mask: Buffer | None = None
    states: tuple[np.ndarray, ...] = ()
    penalties: np.ndarray | None = None
    inference: bool = False

    @property
    def in_training(self) -> bool:
        """True when the layer computes as in training: batch statistics, dropout."""
        return self.training and not self.inference

    @property
    def joins(self) -> bool:
        """True when the layer gets a tuple of inputs here."""
        return self.layer.joins or len(self.input_shapes) > 1

    @property
    def makes_mask(self) -> bool:
        """True when the step must compute its output's mask."""
        return self.output_mask is not None and self.output_mask not in self.masks

    @property
    def wants_dx(self) -> bool:
        return any(buffer is not None for buffer in self.dx)

    def weight_target(self, piece: Piece, index: int) -> tuple[np.ndarray, Run | None]:
        """Where to write the piece's gradient of weight ``index``, and what to call afterwards (or None).

        The first micro-batch of a shard writes the shard's sum, later ones add to it.
        """
        total = self.partials[index][piece.shard, ...]  # an array also for a weight that is one number
        if piece.first and not self.accumulates:
            return total, None
        part = piece.temp(f"part{index}", total.shape)
        return part, lambda: np.add(total, part, out=total)

    def dx_target(self, piece: Piece, index: int = 0) -> tuple[np.ndarray, Run | None]:
        """Where to write the gradient of input ``index``, and what to call afterwards (or None)."""
        target = self.dx[index].interior(piece)
        if not self.dx_accumulates[index]:
            return target, None
        part = piece.temp("dx", target.shape)
        return part, lambda: np.add(target, part, out=target)


class Kernel:
    """Base of all kernels: a site, phases, and arrays derived from the weights once a step."""

    fuses_relu = False
    """True when ``site.relu`` is honoured."""
    fuses_sum = False
    """True when ``site.adds`` is honoured."""
    sums_shards = True
    """True when weight gradients are sums per shard in ``site.partials``; False: written into ``site.gradients``."""
    can_mask_input = False
    """True when ``site.masks_input`` is honoured."""
    makes_mask = False
    """True when it computes the output's mask where ``site.makes_mask``."""
    runs_in_bands = False
    """True when the forward phase can work on a band of image rows (``piece.banded``)."""
    writes_band = False
    """True when it then writes those rows of the output and no others."""
    reads_band = False
    """True when it reads of every input those rows and no others."""

    def __init__(self, site: Site):
        self.site = site

    def input_padding(self, index: int) -> Padding:
        """The border wanted around input ``index``."""
        return NO_PADDING

    def gradient_padding(self) -> Padding:
        """The border wanted around dy."""
        return NO_PADDING

    def refresh(self) -> None:
        """Recompute what is derived from the weights (flipped kernels, tiled biases); once before every step."""

    def forward_phases(self) -> list[Phase]:
        raise NotImplementedError

    def backward_phases(self) -> list[Phase]:
        raise NotImplementedError


PLANNERS: dict[type[Layer], Callable[[Site], Kernel | None]] = {}


def planner(layer_class: type[Layer]) -> Callable:
    """Decorator for what makes the fast kernel of a layer class: a Kernel class, or a function that may give None."""

    def decorate(make: Callable[[Site], Kernel | None]) -> Callable[[Site], Kernel | None]:
        PLANNERS[layer_class] = make
        return make

    return decorate
