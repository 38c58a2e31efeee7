"""The same work on many files, in threads, with results in order.

Imports the standard library and ``dltool.errors``.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from dltool.errors import DataError


def num_cpus() -> int:
    """CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_workers() -> int:
    """Decoding threads: as many as CPUs, at most 4 (more only fight over the interpreter)."""
    return min(4, num_cpus())


def map_in_order(function: Callable, items: Sequence, workers: int, chunk: int = 16) -> Iterator:
    """``function`` of every item, in order; a DataError takes the place of its result.

    Args:
        workers: threads; 0: the caller's own.
        chunk: items per piece of work; at most 4 pieces per thread wait in memory.
    """
    pieces = (items[start : start + chunk] for start in range(0, len(items), chunk))
    if workers == 0 or len(items) <= 1:
        for piece in pieces:
            yield from _each(function, piece)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="dltool-read")
    try:
        pending: deque[Future] = deque(pool.submit(_each, function, piece) for piece in islice(pieces, 4 * workers))
        while pending:
            results = pending.popleft().result()
            pending.extend(pool.submit(_each, function, piece) for piece in islice(pieces, 1))
            yield from results
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _each(function: Callable, items: Sequence) -> list:
    results = []
    for item in items:
        try:
            results.append(function(item))
        except DataError as error:
            results.append(error)
    return results
