"""From phases to a program: what runs together, what waits for what, and a flat list of calls for each lane.

A program is a list of stages with a barrier after each. In a stage of shards, every lane takes its shards one after
another; a shard walks its groups of phases in micro-batches, so that a chain of layers passes over a few rows while
they are in cache. How the batch is cut depends on shapes only, never on the number of lanes: the same bits come out of
any number of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dltool.engine.buffers import Piece, Workspace
from dltool.engine.kernels.base import NUM_SHARDS, WHOLE_SHARD, Kernel, Phase, Run, shard_rows, share

CACHE_ROWS_BYTES = 1 << 20
"""Rows of a group without a preferred micro-batch are taken so many bytes at a time."""


@dataclass
class Group:
    """Phases that a shard runs together on each micro-batch."""

    phases: list[tuple[Kernel, Phase]] = field(default_factory=list)
    micro_batch: int | None = None

    def accepts(self, phase: Phase) -> bool:
        return None in (self.micro_batch, phase.micro_batch) or self.micro_batch == phase.micro_batch

    def add(self, kernel: Kernel, phase: Phase) -> None:
        self.phases.append((kernel, phase))
        if self.micro_batch is None:
            self.micro_batch = phase.micro_batch

    def rows(self, shard_rows: int) -> int:
        """The micro-batch for a shard of so many rows."""
        rows = self.micro_batch
        if rows is None:
            largest = max(4 * _row_size(kernel) for kernel, _ in self.phases)
            rows = max(1, CACHE_ROWS_BYTES // largest)
        return shard_rows if rows == WHOLE_SHARD else min(rows, shard_rows)


def _row_size(kernel: Kernel) -> int:
    size = 1
    for side in kernel.site.output_shape:
        size *= side
    return size


class Stage(Protocol):
    """Work between two barriers."""

    def bind(self, lane: int, num_lanes: int, rows: int, workspace: Workspace) -> Iterable[Run]:
        """The calls of one lane, in order, for a batch of ``rows``."""


@dataclass
class ShardStage:
    """Lane phases first, then every shard through all groups."""

    lane_phases: list[tuple[Kernel, Phase]] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)

    def bind(self, lane: int, num_lanes: int, rows: int, workspace: Workspace) -> Iterator[Run]:
        for _, phase in self.lane_phases:
            yield from _bound(phase, Piece(0, rows, rows, workspace, tile=lane, num_tiles=num_lanes))
        for shard in share(NUM_SHARDS, lane, num_lanes):
            start, stop = shard_rows(rows, shard)
            for group in self.groups if stop > start else ():
                step = group.rows(stop - start)
                for first in range(start, stop, step):
                    last = min(first + step, stop)
                    piece = Piece(first, last, rows, workspace, shard, first == start)
                    for _, phase in group.phases:
                        yield from _bound(phase, piece)


@dataclass
class TileStage:
    """Phases over the whole batch, in tiles that do not touch each other's results."""

    phases: list[tuple[Kernel, Phase]] = field(default_factory=list)

    def bind(self, lane: int, num_lanes: int, rows: int, workspace: Workspace) -> Iterator[Run]:
        for kernel, phase in self.phases:
            for tile in share(phase.num_tiles, lane, num_lanes):
                piece = Piece(0, rows, rows, workspace, tile=tile, num_tiles=phase.num_tiles, banded=phase.banded)
                band = piece.band(kernel.site.output_shape[0]) if phase.banded else None
                if band is None or band.start < band.stop:
                    yield from _bound(phase, piece)


@dataclass
class CallStage:
    """Independent calls dealt out to the lanes in turn."""

    calls: Sequence[Run]

    def bind(self, lane: int, num_lanes: int, rows: int, workspace: Workspace) -> Sequence[Run]:
        return self.calls[lane::num_lanes]


def _bound(phase: Phase, piece: Piece) -> list[Run]:
    run = phase.bind(piece)
    return [] if run is None else [run]


def arrange(phases: Iterable[tuple[Kernel, Phase]]) -> list[ShardStage | TileStage]:
    """Stages from phases in their order of execution."""
    stages: list[ShardStage | TileStage] = []
    for kernel, phase in phases:
        wanted = TileStage if phase.scope == "tile" else ShardStage
        if not stages or not isinstance(stages[-1], wanted) or not can_join(stages[-1], kernel, phase):
            stages.append(wanted())
        stage = stages[-1]
        if isinstance(stage, TileStage):
            stage.phases.append((kernel, phase))
        elif phase.scope == "lane":
            assert not stage.groups, "a lane phase starts its stage"
            stage.lane_phases.append((kernel, phase))
        else:
            if not stage.groups or not stage.groups[-1].accepts(phase):
                stage.groups.append(Group())
            stage.groups[-1].add(kernel, phase)
    return stages


def can_join(stage: ShardStage | TileStage, kernel: Kernel, phase: Phase) -> bool:
    """Whether a phase needs no barrier before it.

    Bands of equally high images go to the same lanes, so that a kernel which reads just its own band finds it made.
    """
    if not phase.needs_all:
        return True
    height = kernel.site.output_shape[0]
    return (
        phase.banded
        and kernel.reads_band
        and all(p.banded and k.writes_band and k.site.output_shape[0] == height for k, p in stage.phases)
    )


@dataclass
class Program:
    """Stages in order, bound per lane and batch length when first run."""

    stages: list[Stage]

    def bind(self, lane: int, num_lanes: int, rows: int, workspace: Workspace, sync: Run) -> list[Run]:
        """One lane's calls with ``sync`` after every stage but the last.

        Bound twice: the first time finds out how large the lane's temporaries must be.
        """
        calls: list[Run] = []
        for _ in range(2):
            calls = []
            for position, stage in enumerate(self.stages):
                calls += stage.bind(lane, num_lanes, rows, workspace)
                if position < len(self.stages) - 1:
                    calls.append(sync)
        return calls


Bind = Callable[[int, int, int, Workspace, Run], list[Run]]
