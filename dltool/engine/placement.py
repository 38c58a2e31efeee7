"""Which memory each buffer gets: scratch or shared, and shared with whom.

A buffer that only one group of phases touches lives in a lane's scratch, a micro-batch long. Buffers of the same shape
and border whose lives do not overlap take turns in the same memory: the border stays zero, the rest is written anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dltool.engine.buffers import Buffer, Storage
from dltool.engine.kernels.base import Kernel, Phase
from dltool.engine.program import Group, ShardStage, TileStage, shard_rows

Stages = Iterable[ShardStage | TileStage]


@dataclass
class Life:
    """When a buffer is first and last touched, see ``in_order``, and the one group that does, if it is one."""

    first: int
    last: int
    group: Group | None

    def touch(self, position: int, group: Group | None) -> None:
        self.last = position
        if group is not self.group:
            self.group = None


def place_buffers(stages: Stages, batch_size: int, kept: Iterable[Buffer]) -> None:
    """Give every buffer that phases touch its storage, unless it has one.

    ``kept`` are read after the program: full, and never reused.
    """
    lives = lives_of(stages)
    kept = {buffer.root for buffer in kept}
    longest = shard_rows(batch_size, 0)[1]
    free: dict[tuple, list[tuple[int, Storage]]] = {}
    for buffer, life in sorted(lives.items(), key=lambda entry: entry[1].first):
        if buffer.storage is not None:
            continue
        is_scratch = life.group is not None and buffer not in kept
        rows = life.group.rows(longest) if is_scratch else batch_size
        key = (is_scratch, rows, buffer.padded_shape, buffer.padding)
        idle = next((entry for entry in free.get(key, []) if entry[0] < life.first), None)
        if idle is not None:
            free[key].remove(idle)
            buffer.storage = idle[1]
        elif is_scratch:
            buffer.storage = Storage(rows, buffer.padded_shape)
        else:
            buffer.storage = Storage.full(rows, buffer.padded_shape)
        if buffer not in kept:
            free.setdefault(key, []).append((life.last, buffer.storage))


def lives_of(stages: Stages) -> dict[Buffer, Life]:
    """The life of every buffer (aliases count for their root), in order of first touch."""
    lives: dict[Buffer, Life] = {}
    for position, kernel, phase, group in in_order(stages):
        site = kernel.site
        held = {"x": (*site.x, *site.masks), "y": (site.y, site.output_mask), "dx": site.dx, "dy": (site.dy,)}
        for buffer in (buffer for name in sorted(phase.touches) for buffer in held[name]):
            if buffer is None:
                continue
            life = lives.setdefault(buffer.root, Life(position, position, group))
            life.touch(position, group)
    return lives


def in_order(stages: Stages) -> Iterator[tuple[int, Kernel, Phase, Group | None]]:
    """All phases that touch buffers, in the order of execution, with their position and group (None: tiles and lanes).

    Those of a stage of tiles have one position: a lane may be at the last one while another is at the first.
    """
    position = 0
    for stage in stages:
        if isinstance(stage, TileStage):
            yield from ((position, kernel, phase, None) for kernel, phase in stage.phases)
            position += 1
            continue
        for group, phases in ((None, stage.lane_phases), *((group, group.phases) for group in stage.groups)):
            for kernel, phase in phases:
                yield position, kernel, phase, group
                position += 1
