"""Lanes: the workers that run a program's calls side by side.

Lane 0 is the caller; the others are threads (here), or processes forked from it (``process_lanes``). Processes are
1.15-1.6 times faster, because short numpy calls of two threads fight for the interpreter lock; they need ``fork``, so
threads serve where it is missing. Both run the same calls in the same order on the same pieces: the bits are equal.

A lane gets work as a job, a small tuple of integers: each lane binds a job's program once and keeps it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import numpy as np

Calls = list[Callable[[], None]]
Bind = Callable[[int, int, tuple[int, ...], Callable[[], None]], Calls]
"""``bind(lane, num_lanes, job, sync) -> calls``: what a lane runs for a job, a small tuple of integers."""

UFUNC_BUFFER = 1024
"""Elements of numpy's buffers for operands that are not one run of memory. With the default of 8192 numpy copies whole
bordered rows through 32 kB buffers; with 1024 it works in place on rows of that length or more: .07 against .22 ns per
element for a bias added to a bordered image, .09 against .17 for a scaled one. 128 halves pooling's speed."""


class SerialLanes:
    """One lane: the caller itself."""

    count = 1
    backend = "serial"

    def __init__(self, bind: Bind):
        self._bind, self._programs = bind, {}

    def run(self, *job: int) -> None:
        """Run a job to its end."""
        if job not in self._programs:
            self._programs[job] = self._bind(0, 1, job, _nothing)
        run_calls(self._programs[job])

    def close(self) -> None:
        self._programs.clear()


def _nothing() -> None:
    pass


def run_calls(calls: Calls) -> None:
    """Run a lane's calls in order. Infinities and NaN are no warnings here: whoever runs the job looks for them."""
    previous = np.setbufsize(UFUNC_BUFFER)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            for call in calls:
                call()
    finally:
        np.setbufsize(previous)


class LaneAborted(Exception):
    """Raised inside a lane whose siblings have failed."""


class ThreadLanes:
    """Lanes as threads of this process. Barriers hand over locks: 13 us, where spinning would cost 64."""

    backend = "threads"

    def __init__(self, count: int, bind: Bind):
        self.count, self._bind = count, bind
        self._programs: list[dict] = [{} for _ in range(count)]
        self._job: tuple[int, ...] | None = ()
        self._error: BaseException | None = None
        self._start = [_taken() for _ in range(count)]
        self._done = [_taken() for _ in range(count)]
        # Two sets of locks, used in turn: a fast lane can be one barrier ahead of a slow one, never two.
        self._passed = [[[_taken() for _ in range(count)] for _ in range(count)] for _ in range(2)]
        self._turn = [0] * count
        self._threads = [threading.Thread(target=self._work, args=(i,), daemon=True) for i in range(1, count)]
        for thread in self._threads:
            thread.start()

    def run(self, *job: int) -> None:
        self._job = job
        for lane in range(1, self.count):
            self._start[lane].release()
        self._run_lane(0)
        for lane in range(1, self.count):
            self._done[lane].acquire()
        if self._error is not None:
            error, self._error = self._error, None
            self.close()
            raise error

    def close(self) -> None:
        if self._threads:
            self._job = None
            for lane in range(1, self.count):
                self._start[lane].release()
            for thread in self._threads:
                thread.join()
            self._threads = []

    def _work(self, lane: int) -> None:
        while True:
            self._start[lane].acquire()
            if self._job is None:
                return
            self._run_lane(lane)
            self._done[lane].release()

    def _run_lane(self, lane: int) -> None:
        try:
            job, programs = self._job, self._programs[lane]
            if job not in programs:
                programs[job] = self._bind(lane, self.count, job, lambda: self._sync(lane))
            run_calls(programs[job])
        except LaneAborted:
            pass
        except BaseException as error:  # carried to the caller's thread by run()
            self._error = self._error or error
            self._release_all(lane)

    def _sync(self, lane: int) -> None:
        turn = self._passed[self._turn[lane]]
        self._turn[lane] ^= 1
        others = [i for i in range(self.count) if i != lane]
        for other in others:
            turn[other][lane].release()
        for other in others:
            turn[lane][other].acquire()
        if self._error is not None:
            raise LaneAborted

    def _release_all(self, lane: int) -> None:
        """Wake every lane that waits for this one, now or later."""
        for turn in self._passed:
            for other in range(self.count):
                with contextlib.suppress(RuntimeError):
                    turn[other][lane].release()


def _taken() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock
