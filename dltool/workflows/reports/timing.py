"""How long each layer takes at inference, measured in the kernels that evaluate and predict run."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dltool.engine.blas import limit_blas_threads
from dltool.engine.buffers import Piece, Workspace
from dltool.engine.kernels.base import Kernel, Phase
from dltool.engine.memory import shared_zeros
from dltool.engine.model import Model
from dltool.engine.planning import Plan, PlanSettings
from dltool.engine.program import CallStage, Program, ShardStage, TileStage
from dltool.errors import UsageError

LEAST_RUNS, MOST_RUNS = 3, 50
SECONDS = 1.0
"""Runs are repeated for about so long."""


def layer_milliseconds(model: Model, batch_size: int) -> dict[int, float]:
    """Node index -> median milliseconds for a batch of random rows, on one lane; a lane is a CPU.

    A node that has no time of its own is missing: it was fused into the layer before (an activation, folded batch
    normalisation) or passes its input on (dropout, flatten).

    Raises:
        UsageError: the input's size is open.
    """
    if any(None in shape for shape in model.graph.shapes):
        raise UsageError("--timing: the model's input size is open, so there is nothing to measure")
    limit_blas_threads(1)
    clock = _Clock()
    plan = Plan(model, PlanSettings(batch_size, seed=0, training=False), shared_zeros(1, np.int64))
    for stage in plan.stages:
        for phases in _phase_lists(stage):
            phases[:] = [(kernel, clock.timed(kernel, phase)) for kernel, phase in phases]
    random = np.random.default_rng(0)
    for kernel in plan.inputs:
        view = kernel.staging.view(batch_size, np.float32)
        view[...] = random.random(view.shape, np.float32)
    refresh = CallStage([kernel.refresh for kernel in plan.kernels()])
    calls = Program([refresh, *plan.stages]).bind(0, 1, batch_size, Workspace(), lambda: None)
    return clock.medians(calls)


def _phase_lists(stage: ShardStage | TileStage) -> list[list[tuple[Kernel, Phase]]]:
    if isinstance(stage, ShardStage):
        return [stage.lane_phases, *(group.phases for group in stage.groups)]
    return [stage.phases]


class _Clock:
    """Adds up the time of each node's calls."""

    def __init__(self) -> None:
        self._seconds: defaultdict[int, float] = defaultdict(float)

    def timed(self, kernel: Kernel, phase: Phase) -> Phase:
        """The same phase, whose calls are timed for the kernel's node."""
        node, seconds, now = kernel.site.node, self._seconds, time.perf_counter

        def bind(piece: Piece) -> Callable[[], None] | None:
            run = phase.bind(piece)
            if run is None:
                return None

            def timed_run() -> None:
                start = now()
                run()
                seconds[node] += now() - start

            return timed_run

        return replace(phase, bind=bind)

    def medians(self, calls: list[Callable[[], None]]) -> dict[int, float]:
        """Run everything a few times, the first time not counted."""
        found: defaultdict[int, list[float]] = defaultdict(list)
        start = None
        for run in range(MOST_RUNS + 1):
            self._seconds.clear()
            for call in calls:
                call()
            if start is None:
                start = time.perf_counter()
                continue
            for node, seconds in self._seconds.items():
                found[node].append(1000 * seconds)
            if run >= LEAST_RUNS and time.perf_counter() - start > SECONDS:
                break
        return {node: statistics.median(times) for node, times in sorted(found.items())}
