"""Lanes as forked processes that share the parent's anonymous memory. Works where there is ``fork``."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import traceback

from dltool.engine.lanes import Bind, run_calls
from dltool.engine.memory import shared_zeros
from dltool.errors import DltoolError

SPINS = 8_000
"""Looks at a counter before a lane sleeps, at a barrier or between two steps: about 300 us, more than most waits. After
a quarter of that, one image through the 66 short stages of a MobileNet took 1.1 times as long beside other busy
processes: who sleeps must wait for a processor again."""
SHORTEST_SLEEP_SECONDS, LONGEST_SLEEP_SECONDS = 0.005, 0.2
"""A sleeper looks again by itself after so long: the net under a bell that rang just before it listened."""
CACHE_LINE_WORDS = 16


class LaneDied(DltoolError):
    """A process lane ended or failed."""


class Bell:
    """Wakes one sleeping process; made before the fork, so that both sides have it."""

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            # A pipe would do, but Linux takes a write into one as a hint to run the reader on the writer's processor.
            self._read = self._write = os.eventfd(0, os.EFD_NONBLOCK)
        else:
            self._read, self._write = os.pipe()
            os.set_blocking(self._read, False)
            os.set_blocking(self._write, False)
        self._asleep = memoryview(shared_zeros(CACHE_LINE_WORDS, "i8"))

    def ring(self) -> None:
        """Wake the sleeper; nothing when it is awake."""
        if self._asleep[0]:
            with contextlib.suppress(BlockingIOError):
                os.write(self._write, (1).to_bytes(8, sys.byteorder))

    def sleep(self) -> None:
        """From now on ``ring`` matters."""
        self._asleep[0] = 1

    def wake(self) -> None:
        self._asleep[0] = 0

    def listen(self, seconds: float) -> bool:
        """Sleep until the bell rings or the time is over; whether it rang."""
        ready, _, _ = select.select([self._read], [], [], seconds)
        if ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._read, 64)
        return bool(ready)

    def close(self) -> None:
        for descriptor in {self._read, self._write}:
            os.close(descriptor)


class ProcessLanes:
    """See ``lanes``. Make them before any thread starts.

    Barriers are counters in shared memory: a lane looks at its neighbours' for a while, then sleeps until they ring its
    bell. Yielding instead of sleeping would give its place to any other busy process for whole time slices.
    """

    backend = "processes"

    def __init__(self, count: int, bind: Bind):
        self.count, self._bind = count, bind
        self._counters = [self._words() for _ in range(count)]
        self._done = [self._words() for _ in range(count)]
        self._post = self._words()  # number of the post, words of its job, the parent's processor, the job
        self._bells = [Bell() for _ in range(count)]
        self._message = memoryview(shared_zeros(4096, "u1"))
        self._processors = Processors()
        self._programs: dict = {}
        self._posts = 0
        self._parent = os.getpid()
        self._pids: list[int] = []
        for lane in range(1, count):
            self._fork(lane)

    @staticmethod
    def _words() -> memoryview:
        return memoryview(shared_zeros(CACHE_LINE_WORDS, "i8"))

    def run(self, *job: int) -> None:
        """Run a job to its end on all lanes. Raises LaneDied when one of them fails."""
        post = self._post
        post[1], post[2] = len(job), self._processors.current()
        for i, word in enumerate(job):
            post[3 + i] = word
        self._posts += 1
        post[0] = self._posts
        for lane in range(1, self.count):
            self._bells[lane].ring()
        try:
            self._run_lane(0, job)
            for lane in range(1, self.count):
                self._wait(0, self._done[lane], self._posts)
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
        for bell in self._bells:
            bell.close()
        self._pids, self._bells = [], []

    def _fork(self, lane: int) -> None:
        pid = os.fork()
        if pid:
            self._pids.append(pid)
            return
        status = 1
        try:
            die_with_parent()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._work(lane)
        except BaseException:  # a child must never run on into the parent's code
            text = traceback.format_exc().encode()[-4000:]
            self._message[: len(text)] = text
        finally:
            os._exit(status)

    def _work(self, lane: int) -> None:
        seen, post = 0, self._post
        while True:
            if self._wait(lane, post, seen + 1):
                self._processors.move(lane, post[2])
            seen += 1
            self._run_lane(lane, tuple(post[3 : 3 + post[1]]))
            self._done[lane][0] = seen
            self._bells[0].ring()

    def _run_lane(self, lane: int, job: tuple[int, ...]) -> None:
        if job not in self._programs:
            self._programs[job] = self._bind(lane, self.count, job, lambda: self._sync(lane))
        run_calls(self._programs[job])

    def _sync(self, lane: int) -> None:
        mine = self._counters[lane]
        reached = mine[0] + 1
        mine[0] = reached
        others = [other for other in range(self.count) if other != lane]
        for other in others:
            self._bells[other].ring()
        for other in others:
            self._wait(lane, self._counters[other], reached)

    def _wait(self, lane: int, counter: memoryview, value: int) -> bool:
        """Until the counter has reached the value; whether the lane slept."""
        for _ in range(SPINS):
            if counter[0] >= value:
                return False
        bell, seconds = self._bells[lane], SHORTEST_SLEEP_SECONDS
        bell.sleep()
        while counter[0] < value:
            if not bell.listen(seconds):
                seconds = min(2 * seconds, LONGEST_SLEEP_SECONDS)
                self._check_alive()
        bell.wake()
        return True

    def _check_alive(self) -> None:
        if os.getpid() != self._parent:
            if os.getppid() != self._parent:
                os._exit(1)
            return
        for pid in self._pids:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._pids.remove(pid)
                raise self._died(status)

    def _died(self, status: int) -> LaneDied:
        """The error in one line; the lane's own traceback is a note, which --debug shows."""
        text = bytes(self._message).rstrip(b"\0").decode(errors="replace").strip()
        if text:
            error = LaneDied(f"a lane of the engine failed: {text.splitlines()[-1]}")
            error.add_note(text)
            return error
        cause = _cause(status)
        return LaneDied(f"a lane of the engine ended with {cause}; the machine may be out of memory, try fewer --jobs")


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
