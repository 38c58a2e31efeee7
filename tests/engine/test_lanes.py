"""Lanes run the same calls, wait for each other, and never outlive or hang their parent."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from dltool.engine.executor import Executor
from dltool.engine.lanes import SerialLanes, ThreadLanes
from dltool.engine.losses import loss
from dltool.engine.memory import shared_zeros
from dltool.engine.model import Model
from dltool.engine.optimizers import optimizer
from dltool.engine.process_lanes import LaneDied, ProcessLanes
from dltool.engine.starting import start_lanes
from tests.engine.networks import batch_for, perceptron

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
BACKENDS = [ThreadLanes, pytest.param(ProcessLanes, marks=needs_fork)]


@pytest.mark.parametrize("make", BACKENDS)
@pytest.mark.parametrize("count", [2, 3, 4])
def test_barriers_hold_every_lane(make, count):
    rounds = 50
    log = shared_zeros((rounds + 1, count), np.int64)

    def bind(lane, num_lanes, job, sync):
        def step() -> None:
            for turn in range(rounds):
                neighbour = int(log[turn, (lane + 1) % num_lanes])
                log[turn + 1, lane] = neighbour + job[0]
                sync()

        return [step]

    lanes = make(count, bind)
    try:
        lanes.run(1)
        assert log[rounds].tolist() == [rounds] * count
        lanes.run(3)
        assert log[rounds].tolist() == [3 * rounds] * count
    finally:
        lanes.close()


@pytest.mark.parametrize("backend", ["threads", pytest.param("processes", marks=needs_fork)])
def test_there_are_no_more_lanes_than_parts_of_a_batch(backend):
    lanes = start_lanes(1_000_000, backend, lambda lane, num_lanes, job, sync: [sync])
    try:
        assert lanes.count == 8
    finally:
        lanes.close()


@pytest.mark.parametrize("make", BACKENDS)
def test_a_job_is_bound_once_per_lane(make):
    bound = shared_zeros(2, np.int64)

    def bind(lane, num_lanes, job, sync):
        bound[lane] += 1
        return [sync]

    lanes = make(2, bind)
    for _ in range(3):
        lanes.run(7)
    lanes.close()
    assert bound.tolist() == [1, 1]


@pytest.mark.parametrize("make", [SerialLanes, lambda bind: ThreadLanes(3, bind)])
def test_an_error_in_a_lane_reaches_the_caller(make):
    def bind(lane, num_lanes, job, sync):
        def step() -> None:
            if lane == num_lanes - 1:
                raise ValueError("broken kernel")

        return [step, sync, sync]

    lanes = make(bind)
    with pytest.raises(ValueError, match="broken kernel"):
        lanes.run(1)
    lanes.close()


@needs_fork
def test_an_error_in_a_forked_lane_reaches_the_caller_with_its_text():
    def bind(lane, num_lanes, job, sync):
        def step() -> None:
            if lane:
                raise ValueError("broken kernel")

        return [step, sync]

    lanes = ProcessLanes(2, bind)
    with pytest.raises(LaneDied, match="ValueError: broken kernel") as caught:
        lanes.run(1)
    assert str(caught.value) == "a lane of the engine failed: ValueError: broken kernel"
    assert "Traceback" in caught.value.__notes__[0]


@needs_fork
def test_a_killed_lane_ends_the_run_within_seconds():
    def bind(lane, num_lanes, job, sync):
        def step() -> None:
            if lane:
                os.kill(os.getpid(), signal.SIGKILL)

        return [step, sync]

    lanes = ProcessLanes(3, bind)
    start = time.monotonic()
    with pytest.raises(LaneDied, match="signal 9"):
        lanes.run(1)
    assert time.monotonic() - start < 5


PARENT = """
    import sys, time
    from dltool.engine.process_lanes import ProcessLanes
    def bind(lane, num_lanes, job, sync):
        return [sync]
    lanes = ProcessLanes(3, bind)
    lanes.run(1)
    print(*lanes._pids, flush=True)
    time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    """False for a process that has ended, waited for or not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_lanes_are_gone_soon_after_their_parent_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(PARENT)], stdout=subprocess.PIPE, text=True)
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2 and all(is_alive(pid) for pid in pids)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 2
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(is_alive(pid) for pid in pids)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_idle_lanes_use_no_processor_time():
    lanes = ProcessLanes(2, lambda lane, num_lanes, job, sync: [sync])
    try:
        lanes.run(1)
        time.sleep(0.3)
        before = processor_ticks(lanes._pids[0])
        time.sleep(1.0)
        assert processor_ticks(lanes._pids[0]) - before <= 1
        lanes.run(1)  # and they wake again
    finally:
        lanes.close()


def processor_ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return int(words[11]) + int(words[12])


def test_one_job_needs_no_workers_and_the_default_is_one_per_processor():
    bind = lambda lane, num_lanes, job, sync: []  # noqa: E731
    assert start_lanes(1, "auto", bind).backend == "serial"
    lanes = start_lanes(2, "threads", bind)
    assert (lanes.backend, lanes.count) == ("threads", 2)
    lanes.close()


@pytest.mark.parametrize("backend", ["auto", "processes"])
def test_threads_serve_where_there_is_no_fork(backend, monkeypatch):
    monkeypatch.delattr(os, "fork", raising=False)
    lanes = start_lanes(2, backend, lambda lane, num_lanes, job, sync: [sync])
    lanes.run(1)
    lanes.close()
    assert lanes.backend == "threads"


BESIDE = """
    import sys, time
    import numpy as np
    from dltool.engine.process_lanes import ProcessLanes
    def bind(lane, num_lanes, job, sync):
        x = np.ones(20_000, np.float32)
        def work():
            for _ in range(20):
                np.add(x, x, out=x)
                np.multiply(x, np.float32(0.5), out=x)
        return [work, sync] * 9 + [work]
    lanes = ProcessLanes(2, bind)
    def steps(count):
        start = time.perf_counter()
        for _ in range(count):
            lanes.run(1)
        return time.perf_counter() - start
    steps(50)
    for line in sys.stdin:
        print(steps(int(line)), flush=True)
"""
SPIN = "while True: pass"


@pytest.mark.skipif(sys.platform != "linux", reason="pins processes to processors")
def test_a_busy_neighbour_slows_lanes_by_its_share_of_the_processors_only():
    """Two lanes and one neighbour on two processors: fair shares make 1.5 times as long, at most 2.5 are allowed."""
    processors = sorted(os.sched_getaffinity(0))[:2]
    if len(processors) < 2:
        pytest.skip("needs two processors")
    pin = lambda: os.sched_setaffinity(0, processors)  # noqa: E731
    command = [sys.executable, "-c", textwrap.dedent(BESIDE)]
    lanes = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=pin)

    def seconds() -> float:
        lanes.stdin.write("80\n")
        lanes.stdin.flush()
        return float(lanes.stdout.readline())

    ratios = []
    try:
        for _ in range(3):  # side by side, because other work on this machine comes and goes
            alone = seconds()
            neighbour = subprocess.Popen([sys.executable, "-c", SPIN], preexec_fn=pin)
            time.sleep(0.1)
            ratios.append(seconds() / alone)
            neighbour.kill()
            neighbour.wait()
    finally:
        lanes.stdin.close()
        lanes.wait(10)
        lanes.stdout.close()
    assert sorted(ratios)[1] <= 2.5, ratios


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_executors_give_their_shared_memory_back():
    def shared_blocks() -> int:
        gc.collect()
        with open("/proc/self/maps") as file:
            return sum("/dev/zero (deleted)" in line for line in file)

    def train_once() -> None:
        graph = perceptron()
        model = Model.build(graph)
        with Executor(
            model,
            batch_size=8,
            losses=(loss("sparse_categorical_crossentropy"),),
            optimizer=optimizer("adam"),
            jobs=2,
            backend="processes",
        ) as executor:
            executor.train_step(batch_for(graph, 8), 1, 1e-3)

    before, named = shared_blocks(), set(os.listdir("/dev/shm"))
    train_once()
    assert set(os.listdir("/dev/shm")) <= named
    assert shared_blocks() == before
