"""Lanes: the workers that run a program's calls side by side.

Lane 0 is the caller; the others are threads, or processes forked from it that share its anonymous memory. Processes are
1.15-1.6 times faster, because short numpy calls of two threads fight for the interpreter lock; they need ``fork``, so
threads serve where it is missing. Both run the same calls in the same order on the same pieces: the bits are equal.

A lane gets work as a number: the parent posts (program, rows), each lane binds the program once and keeps it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable

import numpy as np

from dltool.engine.memory import shared_zeros
from dltool.errors import DltoolError

Calls = list[Callable[[], None]]
Bind = Callable[[int, int, tuple[int, ...], Callable[[], None]], Calls]
"""``bind(lane, num_lanes, job, sync) -> calls``: what a lane runs for a job, a small tuple of integers."""

UFUNC_BUFFER = 1024
"""Elements of numpy's buffers for operands that are not one run of memory. With the default of 8192 numpy copies whole
bordered rows through 32 kB buffers; with 1024 it works in place on rows of that length or more: .07 against .22 ns per
element for a bias added to a bordered image, .09 against .17 for a scaled one. 128 halves pooling's speed."""

SPINS = 2_000
"""Looks at a counter before a process lane offers its processor to others: about 80 us."""
YIELDS = 2_000
"""Offers before it sleeps: some ms, longer than the waits inside a step and between two steps."""


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
    """Run a lane's calls in order."""
    previous = np.setbufsize(UFUNC_BUFFER)
    try:
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


class LaneDied(DltoolError):
    """A process lane ended or failed."""


class ProcessLanes:
    """Lanes as forked processes. Make them before any thread starts.

    Barriers spin on counters in shared memory, then yield, then sleep, so that they neither waste a loaded machine nor
    collapse on it. Idle lanes block on a pipe, whose end they see when the parent dies.
    """

    backend = "processes"

    def __init__(self, count: int, bind: Bind):
        self.count, self._bind = count, bind
        words = 16  # one counter per cache line
        self._counters = [memoryview(shared_zeros(words, "i8")) for _ in range(count)]
        self._done = [memoryview(shared_zeros(words, "i8")) for _ in range(count)]
        self._asleep = [memoryview(shared_zeros(words, "i8")) for _ in range(count)]
        self._post = memoryview(
            shared_zeros(words, "i8")
        )  # [number of the post, its words, parent's processor, job...]
        self._processors = Processors()
        self._message = memoryview(shared_zeros(4096, "u1"))
        self._programs: dict = {}
        self._posts = 0
        self._parent = os.getpid()
        self._pipes: list[tuple[int, int]] = []
        self._pids: list[int] = []
        for lane in range(1, count):
            self._fork(lane)

    def run(self, *job: int) -> None:
        post = self._post
        post[1] = len(job)
        post[2] = self._processors.current()
        for i, word in enumerate(job):
            post[3 + i] = word
        self._posts += 1
        post[0] = self._posts
        for lane in range(1, self.count):
            if self._asleep[lane][0]:
                os.write(self._pipes[lane - 1][1], b"!")
        try:
            self._run_lane(0, job)
            for lane in range(1, self.count):
                self._wait(self._done[lane], self._posts)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the lanes at once."""
        if os.getpid() != self._parent:
            return
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self._pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        for read, write in self._pipes:
            os.close(read)
            os.close(write)
        self._pids, self._pipes = [], []

    def _fork(self, lane: int) -> None:
        read, write = os.pipe()
        self._pipes.append((read, write))
        pid = os.fork()
        if pid:
            self._pids.append(pid)
            return
        status = 1
        try:
            die_with_parent()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for _, inherited in self._pipes:
                os.close(inherited)
            self._work(lane, read)
            status = 0
        except BaseException:  # a child must never run on into the parent's code
            text = traceback.format_exc().encode()[-4000:]
            self._message[: len(text)] = text
        finally:
            os._exit(status)

    def _work(self, lane: int, pipe: int) -> None:
        seen = 0
        while self._await_post(lane, pipe, seen):
            seen += 1
            self._run_lane(lane, tuple(self._post[3 : 3 + self._post[1]]))
            self._done[lane][0] = seen

    def _await_post(self, lane: int, pipe: int, seen: int) -> bool:
        """Wait for the next post; False when the parent is gone."""
        post, asleep = self._post, self._asleep[lane]
        for look in range(SPINS + YIELDS):
            if post[0] > seen:
                return True
            if look > SPINS:
                os.sched_yield()
        asleep[0] = 1
        while post[0] <= seen:
            # The timeout covers the one race: a post between our last look and the flag.
            ready, _, _ = select.select([pipe], [], [], 0.2)
            if ready and not os.read(pipe, 64):
                return False
            if os.getppid() != self._parent:
                return False
        asleep[0] = 0
        self._processors.move(lane, post[2])
        return True

    def _run_lane(self, lane: int, job: tuple[int, ...]) -> None:
        if job not in self._programs:
            self._programs[job] = self._bind(lane, self.count, job, lambda: self._sync(lane))
        run_calls(self._programs[job])

    def _sync(self, lane: int) -> None:
        mine = self._counters[lane]
        reached = mine[0] + 1
        mine[0] = reached
        for other in range(self.count):
            if other != lane:
                self._wait(self._counters[other], reached)

    def _wait(self, counter: memoryview, value: int) -> None:
        for _ in range(SPINS):
            if counter[0] >= value:
                return
        for _ in range(YIELDS):
            os.sched_yield()
            if counter[0] >= value:
                return
        pause = 5e-5
        while counter[0] < value:
            time.sleep(pause)
            pause = min(2 * pause, 2e-3)
            self._check_alive()

    def _check_alive(self) -> None:
        if os.getpid() != self._parent:
            if os.getppid() != self._parent:
                os._exit(1)
            return
        for pid in self._pids:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._pids.remove(pid)
                raise LaneDied(self._describe(status))

    def _describe(self, status: int) -> str:
        text = bytes(self._message).rstrip(b"\0").decode(errors="replace").strip()
        if text:
            return f"a lane of the engine failed: {text.splitlines()[-1]}\n{text}"
        return f"a lane of the engine ended with {_cause(status)}; the machine may be out of memory, try fewer --jobs"


def _cause(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"status {os.waitstatus_to_exitcode(status)}"


class Processors:
    """Keeps a waking lane off the processor that its waker runs on.

    Linux likes to wake a process where its waker is, which suits a reply and ruins a lane: two lanes on one processor
    ran a 1.8 ms step in 3.5 ms until the kernel's balancer moved one, if it did.
    """

    def __init__(self) -> None:
        self._allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        library = ctypes.CDLL(None) if self._allowed else None
        self._getcpu = getattr(library, "sched_getcpu", None)

    def current(self) -> int:
        """The processor of the caller, or -1."""
        return self._getcpu() if self._getcpu else -1

    def move(self, lane: int, parent: int) -> None:
        """Go to the processor ``lane`` places after the parent's, then let the kernel move on freely."""
        if parent in self._allowed and len(self._allowed) > 1:
            chosen = self._allowed[(self._allowed.index(parent) + lane) % len(self._allowed)]
            os.sched_setaffinity(0, {chosen})
            os.sched_setaffinity(0, self._allowed)


def die_with_parent() -> None:
    """On Linux, have the kernel end this process when its parent dies, however it dies."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL)


def usable_processors() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start_lanes(jobs: int | None, backend: str, bind: Bind) -> SerialLanes | ThreadLanes | ProcessLanes:
    """Lanes for ``jobs`` workers (None: one per processor, at most 8).

    Args:
        backend: "threads", "processes", or "auto": processes where ``fork`` is safe, which is on Linux while no other
            thread runs.
    """
    count = jobs or min(usable_processors(), 8)
    if count == 1:
        return SerialLanes(bind)
    fork_is_safe = sys.platform == "linux" and threading.active_count() == 1
    if backend == "processes" or (backend == "auto" and fork_is_safe):
        return ProcessLanes(count, bind)
    return ThreadLanes(count, bind)
