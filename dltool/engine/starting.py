"""Which lanes a run gets: how many, threads or processes."""

from __future__ import annotations

import os
import sys
import threading

from dltool.engine.kernels.base import NUM_SHARDS
from dltool.engine.lanes import Bind, SerialLanes, ThreadLanes
from dltool.engine.process_lanes import ProcessLanes


def usable_processors() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start_lanes(jobs: int | None, backend: str, bind: Bind) -> SerialLanes | ThreadLanes | ProcessLanes:
    """Lanes for ``jobs`` workers (None: one per processor), at most as many as a batch has shards: more would wait.

    Args:
        backend: "threads", "processes", or "auto": processes where ``fork`` is safe, which is on Linux while no other
            thread runs. Where there is no ``fork`` it is threads in any case.
    """
    count = min(jobs or usable_processors(), NUM_SHARDS)
    if count == 1:
        return SerialLanes(bind)
    fork_is_safe = sys.platform == "linux" and threading.active_count() == 1
    if hasattr(os, "fork") and (backend == "processes" or (backend == "auto" and fork_is_safe)):
        return ProcessLanes(count, bind)
    return ThreadLanes(count, bind)
