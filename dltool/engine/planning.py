"""From steps to kernels on buffers: the plan of one program, for training or inference.

The plan decides, from shapes alone: which kernel runs each step, what is fused, which gradients exist, which buffers
carry a border, share memory or live in scratch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dltool.engine.buffers import NO_PADDING, Buffer, Padding, SharedTemporaries
from dltool.engine.fusing import fuse
from dltool.engine.kernels import (  # noqa: F401 - register
    bidirectional,
    choosing,
    convolution_1d,
    dense,
    depthwise,
    elementwise,
    embedding,
    gru,
    merging,
    normalization,
    pooling,
    recurrent,
)
from dltool.engine.kernels.base import NUM_BANDS, NUM_SHARDS, PLANNERS, SMALL_BATCH, Kernel, Phase, Site
from dltool.engine.kernels.dense import DenseKernel
from dltool.engine.kernels.elementwise import CopyKernel
from dltool.engine.kernels.fallback import ReferenceKernel
from dltool.engine.kernels.heads import InputKernel, LossKernel, Staging
from dltool.engine.layers.base import Layer
from dltool.engine.layers.core import Activation, InputLayer
from dltool.engine.layers.penalties import ActivityRegularization
from dltool.engine.losses import Loss
from dltool.engine.lowering import Lowered, Step, check_sizes, check_training, lower
from dltool.engine.memory import shared_zeros
from dltool.engine.model import Model
from dltool.engine.placement import place_buffers
from dltool.engine.program import ShardStage, TileStage, arrange


@dataclass(frozen=True)
class PlanSettings:
    """What a plan depends on besides the model."""

    batch_size: int
    seed: int
    training: bool
    exact: bool = False
    losses: tuple[Loss, ...] = ()
    loss_weights: tuple[float, ...] = ()


@dataclass
class Planned:
    """A step with its kernel; ``kernel`` is None once the step is fused away or shares its input's memory."""

    step: Step
    site: Site
    kernel: Kernel | None
    inputs: tuple[int, ...]


class Plan:
    """Kernels, buffers and stages of one program.

    Attributes:
        inputs: the kernels of the model's inputs, with the memory that batches are copied into.
        weights: staged sample weights (training).
        losses: the loss kernels (training), in output order.
        outputs: full buffers of the model's outputs (inference).
        output_masks: full buffers of their masks, or None.
        states: what stateful layers keep from batch to batch.
        penalties: what activities add to the loss, by shard.
        partials: sums per shard: (position in the flat gradient, array (NUM_SHARDS, size), whether they are added to
            what a kernel has written there).
        stages: forward, losses, backward.
    """

    def __init__(self, model: Model, settings: PlanSettings, clock: np.ndarray):
        self.model, self.settings, self.clock = model, settings, clock
        check_sizes(model.graph)
        if settings.training:
            check_training(model.graph)
        lowered = lower(model.graph, settings.losses if settings.training else ())
        self.outputs_at, self.heads = lowered.outputs, lowered.heads
        self.inputs: list[InputKernel] = []
        self.partials: list[tuple[int, np.ndarray, bool]] = []
        self.states: list[np.ndarray] = []
        self.shared = SharedTemporaries()
        self.penalties: list[np.ndarray] = []
        self.steps = [self._plan_step(lowered, step) for step in lowered.steps]
        self.shared.allocate()
        fuse(self)
        self.wants_gradient = self._wanted_gradients()
        self._make_buffers()
        self.losses: list[LossKernel] = []
        self.weights = Staging(settings.batch_size, (), 4)
        if settings.training:
            self._fold_relu_gradients()
            self._make_losses()
            self._make_gradients()
        self.outputs = [self.steps[i].site.y for i in self.outputs_at]
        self.output_masks = [self.steps[i].site.output_mask for i in self.outputs_at]
        self.stages = self._arrange()

    def _plan_step(self, lowered: Lowered, step: Step) -> Planned:
        model, layer = self.model, step.layer
        name = layer.name
        is_activation = isinstance(layer, Activation | ActivityRegularization)  # steps without weights of their own
        site = Site(
            layer,
            step.node,
            self.settings.batch_size,
            self.settings.training,
            self.settings.seed,
            tuple(lowered.steps[i].shape for i in step.inputs),
            step.shape,
            self.settings.exact,
            Padding(*step.padding[0], *step.padding[1]),
            weights=() if is_activation else model.weights.views[name],
            gradients=() if is_activation else model.weights.gradients[name],
            shared=self.shared,
            clock=self.clock,
            inference=model.graph.nodes[step.node].inference,
        )
        site.is_masked = any(model.graph.masks[i] is not None for i in model.graph.nodes[step.node].inputs)
        site.trains_weights = layer.trainable and any(g is not None for g in site.gradients)
        if isinstance(layer, InputLayer):
            kernel = InputKernel(site)
            self.inputs.append(kernel)
            return Planned(step, site, kernel, ())
        if step.is_dropped:
            return Planned(step, site, None, ())
        if isinstance(layer, ActivityRegularization):
            site.penalties = shared_zeros(NUM_SHARDS, np.float64)
            self.penalties.append(site.penalties)
        if layer.state_sizes:
            rows = self.settings.batch_size
            site.states = tuple(shared_zeros((rows, *shape)) for shape in layer.state_sizes)
            self.states += site.states
        plan = PLANNERS.get(type(layer))
        kernel = plan(site) if plan else None
        if kernel is not None and self._makes_mask(layer, step.node) and not kernel.makes_mask:
            kernel = None
        return Planned(step, site, kernel or ReferenceKernel(site), step.inputs)

    def _makes_mask(self, layer: Layer, node: int) -> bool:
        """True when the step must compute its output's mask, which most fast kernels do not."""
        return self.model.graph.masks[node] is not None and not layer.keeps_mask

    def readers(self, index: int) -> list[int]:
        """Steps that read a step's output, once per reading."""
        return [i for i, p in enumerate(self.steps) if p.kernel is not None for s in p.inputs if s == index]

    def _wanted_gradients(self) -> list[bool]:
        """For every step whether anything that trains lies in it or before it."""
        wanted: list[bool] = []
        for planned in self.steps:
            before = any(wanted[i] for i in planned.inputs)
            wanted.append(self.settings.training and (before or planned.site.trains_weights))
        return wanted

    @property
    def runs_tiles(self) -> bool:
        """Whether the batch is too small for shards."""
        return not self.settings.training and self.settings.batch_size < SMALL_BATCH

    def _make_buffers(self) -> None:
        for index, planned in enumerate(self.steps):
            if planned.kernel is None:
                continue
            site = planned.site
            site.x = tuple(self.steps[i].site.y for i in planned.inputs)
            self._set_masks(planned)
            if self._can_alias(index):
                planned.kernel = None
                source = self.steps[planned.inputs[0]].site
                site.y = Buffer.alias(source.y, site.output_shape)
                site.dy = Buffer.alias(source.dy, site.output_shape) if source.dy else None
                continue
            site.y = Buffer(site.output_shape, self._border(index))
            if isinstance(planned.kernel, InputKernel) and (self.runs_tiles or self._feeds_tiles(index)):
                planned.kernel.share_buffer()
            if self.wants_gradient[index]:
                wanted = planned.kernel.gradient_padding() if self._wants_dx(planned) else Padding()
                site.dy = Buffer(site.output_shape, wanted)

    def _border(self, index: int) -> Padding:
        """The largest border that any reader of a step's output needs."""
        border = NO_PADDING
        for reader in self.readers(index):
            kernel = self.steps[reader].kernel
            for position, source in enumerate(self.steps[reader].inputs):
                if source == index:
                    border = border | kernel.input_padding(position)
        return border

    def _set_masks(self, planned: Planned) -> None:
        """The masks of a step's inputs, and where its output's lies; a part of a layer has the whole layer's."""
        site, graph = planned.site, self.model.graph
        site.masks = tuple(self.steps[i].site.output_mask for i in planned.inputs)
        shape = graph.masks[planned.step.node]
        if shape is not None:
            site.output_mask = site.masks[0] if site.layer.keeps_mask else Buffer(shape)

    def _feeds_tiles(self, index: int) -> bool:
        """Whether only kernels over the whole batch read a step's output, at once or through a Flatten or Reshape."""
        kernels = [(reader, self.steps[reader].kernel) for reader in self.readers(index)]
        feeds = [
            isinstance(kernel, DenseKernel) or (isinstance(kernel, CopyKernel) and self._feeds_tiles(reader))
            for reader, kernel in kernels
        ]
        return bool(feeds) and all(feeds) and index not in self.outputs_at

    def _wants_dx(self, planned: Planned) -> bool:
        return any(self.wants_gradient[i] for i in planned.inputs)

    def _can_alias(self, index: int) -> bool:
        """Flatten and Reshape share their input's memory where it has no border, needs none, and no other reader."""
        planned = self.steps[index]
        if not isinstance(planned.kernel, CopyKernel):
            return False
        (source,) = planned.inputs
        site = self.steps[source].site
        alone = self.readers(source) == [index] and source not in self.outputs_at
        has_border = site.y.padding or (site.dy and site.dy.padding) or self._border(index)
        return alone and not has_border

    def _fold_relu_gradients(self) -> None:
        """A relu's only reader applies its gradient when it writes dx, where that is cheaper."""
        for index, planned in enumerate(self.steps):
            readers = self.readers(index)
            if not planned.site.relu or len(readers) != 1 or index in self.outputs_at or not self.wants_gradient[index]:
                continue
            reader = self.steps[readers[0]]
            if reader.kernel.can_mask_input:
                reader.site.masks_input = planned.site.relu_gradient_done = True

    def _make_losses(self) -> None:
        settings = self.settings
        weights = settings.loss_weights or (1.0,) * len(settings.losses)
        for index, head, loss, scale in zip(self.outputs_at, self.heads, settings.losses, weights, strict=True):
            site = self.steps[index].site
            end = Site(
                site.layer,
                site.node,
                settings.batch_size,
                True,
                settings.seed,
                (site.output_shape,),
                site.output_shape,
                x=(site.y,),
            )
            if site.dy is None:
                site.dy = Buffer(site.output_shape)
            end.masks = (site.output_mask,)
            end.dx = (site.dy,)
            end.dx_accumulates = (self.outputs_at.index(index) < len(self.losses),)
            self.losses.append(LossKernel(end, loss, scale, head, self.weights))

    def _make_gradients(self) -> None:
        """Who writes each gradient first, in backward order, and where shards keep their sums."""
        written = {loss.site.dx[0].root for loss in self.losses}
        direct: set[str] = set()
        sums: dict[str, list[np.ndarray | None]] = {}
        for planned in reversed(self.steps):
            site = planned.site
            if planned.kernel is None or site.dy is None:
                continue
            site.dx = tuple(self.steps[i].site.dy if self.wants_gradient[i] else None for i in planned.inputs)
            roots = [buffer.root if buffer else None for buffer in site.dx]
            flags = []
            for root in roots:
                flags.append(root is not None and root in written)
                written.add(root)
            site.dx_accumulates = tuple(flags)
            name = site.layer.name
            if not site.trains_weights:
                continue
            if planned.kernel.sums_shards:
                site.accumulates = name in sums
                site.partials = sums[name] = sums.get(name) or self._make_partials(name)
            else:
                site.accumulates = name in direct
                direct.add(name)
        self._collect_partials(sums, direct)

    def _make_partials(self, name: str) -> list[np.ndarray | None]:
        """Sums per shard for the trainable weights of a layer; None for statistics."""
        specs = self.model.graph.specs[name]
        return [shared_zeros((NUM_SHARDS, *spec.shape)) if spec.trainable else None for spec in specs]

    def _collect_partials(self, sums: dict[str, list[np.ndarray | None]], direct: set[str]) -> None:
        for slot in self.model.weights.slots:
            arrays = sums.get(slot.layer)
            if arrays is not None and arrays[slot.index] is not None:
                flat = arrays[slot.index].reshape(NUM_SHARDS, -1)
                self.partials.append((slot.start, flat, slot.layer in direct))

    def _arrange(self) -> list[ShardStage | TileStage]:
        kernels = [planned.kernel for planned in self.steps if planned.kernel is not None]
        forward = [(k, phase) for k in kernels for phase in k.forward_phases()]
        heads = [(k, phase) for k in self.losses for phase in k.forward_phases()]
        backward: list[tuple[Kernel, Phase]] = []
        for planned in reversed(self.steps) if self.settings.training else ():
            kernel, site = planned.kernel, planned.site
            if kernel is not None and site.dy is not None and (site.trains_weights or site.wants_dx):
                backward += [(kernel, phase) for phase in kernel.backward_phases()]
        if self.runs_tiles:
            forward = [(kernel, in_tiles(kernel, phase)) for kernel, phase in forward]
        stages = arrange(forward + heads + in_rounds(backward))
        kept = [mask for mask in self.output_masks if mask is not None]
        if not self.settings.training:
            kept += self.outputs
        place_buffers(stages, self.settings.batch_size, kept)
        return stages

    def kernels(self) -> list[Kernel]:
        return [planned.kernel for planned in self.steps if planned.kernel is not None]


def in_tiles(kernel: Kernel, phase: Phase) -> Phase:
    """A forward phase for a batch too small for shards: bands of image rows, or one tile, each behind a barrier."""
    if phase.scope != "shard":
        return phase
    banded = kernel.runs_in_bands and len(kernel.site.output_shape) == 3
    return Phase("tile", phase.bind, phase.touches, None, True, NUM_BANDS if banded else 1, banded)


def in_rounds(phases: list[tuple[Kernel, Phase]]) -> list[tuple[Kernel, Phase]]:
    """Phases in place first, then those deferred to the first and second round, each round behind a barrier."""
    ordered = [(kernel, phase) for kernel, phase in phases if not phase.deferred]
    for round_number in (1, 2):
        found = [(kernel, phase) for kernel, phase in phases if phase.deferred == round_number]
        for position, (_, phase) in enumerate(found):
            phase.needs_all = position == 0
        ordered += found
    return ordered
