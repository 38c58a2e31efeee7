"""The fast executor: a model's programs, planned once, run on lanes.

It plans two programs on one set of weights, training and inference, before the lanes start, because forked lanes only
see memory that was shared before. See ``program`` for how work is cut and ``lanes`` for who does it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from dltool.engine.batch import Batch
from dltool.engine.blas import limit_blas_threads
from dltool.engine.buffers import Buffer, Piece, Workspace
from dltool.engine.kernels.base import NUM_SHARDS, Kernel
from dltool.engine.lanes import Calls
from dltool.engine.losses import Loss
from dltool.engine.memory import shared_zeros
from dltool.engine.model import Model
from dltool.engine.optimizers import Optimizer
from dltool.engine.planning import Plan, PlanSettings
from dltool.engine.program import CallStage, Program
from dltool.engine.starting import start_lanes
from dltool.engine.update import ParameterUpdate, ShardSums
from dltool.engine.weights import Span

TRAIN, INFER, INFER_AGAIN = 0, 1, 2
INPUT_TYPES = (np.float32, np.uint8)


class Executor:
    """Runs a model on batches.

    Args:
        model: its weights are stepped in place.
        batch_size: the most rows of a training batch; inference takes as many rows at once.
        losses, loss_weights: one per model output; without losses only ``forward`` works.
        optimizer: steps the weights in ``train_step``.
        spans: what trains, by default all that is not frozen.
        seed: of dropout and other random layers.
        jobs: lanes, by default one per processor; at most 8, see ``starting``.
        backend: "auto", "threads" or "processes", see ``starting.start_lanes``.
        exact: leave out algorithms that round several times as much as direct sums: Winograd's F(4, 3).

    Attributes:
        slots: optimizer slot name -> float32 vector aligned with ``weights.gradient``.
        memory: the optimizer's scalars.
        predictions: the outputs of the last training step, views that the next step overwrites.
        masks: per output of the last step or ``forward``: bool (rows, ...), False at padding; or None.

    Raises:
        UsageError: a layer's size is not fixed.
    """

    def __init__(
        self,
        model: Model,
        *,
        batch_size: int,
        losses: tuple[Loss, ...] = (),
        loss_weights: tuple[float, ...] = (),
        optimizer: Optimizer | None = None,
        spans: list[Span] | None = None,
        seed: int = 0,
        jobs: int | None = None,
        backend: str = "auto",
        exact: bool = False,
    ):
        limit_blas_threads(1)
        self.model, self.batch_size = model, batch_size
        self.memory: dict[str, float] = {}
        self.slots: dict[str, np.ndarray] = {}
        self.predictions: tuple[np.ndarray, ...] = ()
        self.masks: tuple[np.ndarray | None, ...] = ()
        self._clock = shared_zeros(1, np.int64)
        self._inference = Plan(model, PlanSettings(batch_size, seed, training=False, exact=exact), self._clock)
        self._programs = {INFER: Program(_refreshed(self._inference)), INFER_AGAIN: Program(self._inference.stages)}
        self._training: Plan | None = None
        self._update: ParameterUpdate | None = None
        if losses:
            settings = PlanSettings(batch_size, seed, True, exact, tuple(losses), tuple(loss_weights))
            self._training = Plan(model, settings, self._clock)
            self._programs[TRAIN] = Program(_refreshed(self._training) + self._plan_update(optimizer, spans))
        self._workspaces: dict[int, Workspace] = {}
        self._lanes = start_lanes(jobs, backend, self._bind)

    def _plan_update(self, optimizer: Optimizer | None, spans: list[Span] | None) -> list:
        if optimizer is None:
            return []
        store = self.model.weights
        for name in optimizer.kept:
            self.slots[name] = shared_zeros(store.num_trainable)
            self.slots[name][...] = optimizer.slot_start(name)
        spans = store.spans(self.model.graph) if spans is None else spans
        sums = [ShardSums(start, array, adds) for start, array, adds in self._training.partials]
        self._update = ParameterUpdate(store, optimizer, spans, self.slots, sums, self._has_finite_loss)
        return self._update.stages()

    def _has_finite_loss(self, rows: int) -> bool:
        return math.isfinite(sum(loss.total(rows) for loss in self._training.losses))

    @property
    def num_lanes(self) -> int:
        return self._lanes.count

    @property
    def backend(self) -> str:
        """How lanes run: "serial", "threads" or "processes"."""
        return self._lanes.backend

    def train_step(self, batch: Batch, step: int, learning_rate: float, momentum: float | None = None) -> float:
        """One optimizer step.

        Args:
            batch: at most ``batch_size`` rows.
            step: counted from 1; keys dropout and bias corrections.
            learning_rate: the schedule's rate for this step. momentum: its momentum; None: the optimizer's own.

        Returns:
            The batch's loss with regularisation, at the weights before the step. Where the loss itself is not finite
            the weights stay as they were.
        """
        plan, rows = self._training, len(batch)
        types = _stage_inputs(plan, batch.inputs, slice(0, rows))
        for loss, targets in zip(plan.losses, batch.targets, strict=True):
            loss.stage(targets)
        plan.weights.view(rows, np.float32)[...] = 1.0 if batch.weights is None else batch.weights
        self._clock[0] = step
        penalty = 0.0
        if self._update is not None:
            penalty = self._update.penalty()
            self._update.prepare(step, learning_rate, self.memory, momentum)
        self._lanes.run(TRAIN, rows, *types)
        self.predictions = tuple(loss.predictions.storage.array[:rows] for loss in plan.losses)
        self.masks = tuple(None if mask is None else _rows(mask, rows) > 0 for mask in plan.output_masks)
        penalty += sum(float(np.add.reduce(found[: min(rows, NUM_SHARDS)])) for found in plan.penalties)
        return sum(loss.total(rows) for loss in plan.losses) + penalty

    def forward(self, inputs: tuple[np.ndarray, ...], same_weights: bool = False) -> tuple[np.ndarray, ...]:
        """The model's outputs (float32, new arrays) for any number of rows, without training behaviour.

        Args:
            same_weights: the weights are those of the previous call, so that what is derived from them (folded
                normalisations, transformed kernels) still holds.
        """
        total = len(inputs[0])
        plan = self._inference
        results = [np.empty((total, *buffer.shape), np.float32) for buffer in plan.outputs]
        masks = [None if buffer is None else np.empty((total, *buffer.shape), bool) for buffer in plan.output_masks]
        kind = INFER_AGAIN if same_weights else INFER
        for start in range(0, total, self.batch_size):
            rows = slice(start, min(start + self.batch_size, total))
            types = _stage_inputs(plan, inputs, rows)
            count = rows.stop - rows.start
            self._lanes.run(kind, count, *types)
            kind = INFER_AGAIN
            for result, buffer in zip(results, plan.outputs, strict=True):
                np.copyto(result[rows], _rows(buffer, count))
            for mask, buffer in zip(masks, plan.output_masks, strict=True):
                if buffer is not None:
                    np.greater(_rows(buffer, count), 0, out=mask[rows])
        self.masks = tuple(masks)
        return tuple(results)

    def reset_states(self) -> None:
        """Let stateful layers begin anew: their next batch starts from zeros."""
        for plan in (self._inference, self._training):
            for state in plan.states if plan is not None else ():
                state[...] = 0

    def close(self) -> None:
        """End the lanes. The weights stay."""
        self._lanes.close()

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _bind(self, lane: int, num_lanes: int, job: tuple[int, ...], sync: Callable[[], None]) -> Calls:
        """One lane's calls for a job: (program, rows, type of each input)."""
        kind, rows, *types = job
        plan = self._training if kind == TRAIN else self._inference
        for kernel, code in zip(plan.inputs, types, strict=True):
            kernel.dtype = INPUT_TYPES[code]
        workspace = self._workspaces.setdefault(lane, Workspace())
        return self._programs[kind].bind(lane, num_lanes, rows, workspace, sync)


def _rows(buffer: Buffer, count: int) -> np.ndarray:
    """The first rows of a full buffer, without a border."""
    return buffer.image(Piece(0, count, count, Workspace()))


def _refreshed(plan: Plan) -> list:
    """The plan's stages, after one that derives what kernels need from the current weights where any does."""
    calls = [kernel.refresh for kernel in plan.kernels() if type(kernel).refresh is not Kernel.refresh]
    return [CallStage(calls), *plan.stages] if calls else plan.stages


def _stage_inputs(plan: Plan, inputs: tuple[np.ndarray, ...], rows: slice) -> list[int]:
    """Copy rows of a batch into shared memory; returns the type code of each input."""
    pairs = zip(plan.inputs, inputs, strict=True)
    return [INPUT_TYPES.index(kernel.stage(array[rows])) for kernel, array in pairs]
