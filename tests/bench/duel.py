"""Interleaved rounds: every contender in its own process, A B C A B C, each sample on a machine that is quiet.

The figure of a contender is the median of its quiet samples. A ratio between two is paired: the median over the
rounds of the ratio within one round, so that a machine that slows down for a while slows both.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import IO, Any

from tests.bench import machine
from tests.bench.contenders import Setting
from tests.bench.workloads import Workload

QUIET_CORES = 0.12
"""A sample is quiet when other processes used less than this much of one core while it ran."""


class ContenderFailed(RuntimeError):
    """A contender's process ended; the message is the end of what it wrote to stderr."""


@dataclass(frozen=True)
class Sample:
    """One contender's steps in one round: milliseconds per step, and whether the machine was quiet."""

    milliseconds: float
    quiet: bool


@dataclass
class Result:
    """All samples of one contender on one workload, one per round."""

    name: str
    about: dict[str, Any]
    samples: list[Sample] = field(default_factory=list)
    peak_mib: float | None = None

    @property
    def num_quiet(self) -> int:
        return sum(sample.quiet for sample in self.samples)

    @property
    def milliseconds(self) -> float:
        """Median of the quiet samples, or of all where none was quiet."""
        quiet = [sample.milliseconds for sample in self.samples if sample.quiet]
        return median(quiet or [sample.milliseconds for sample in self.samples])

    @property
    def fastest(self) -> float:
        return min(sample.milliseconds for sample in self.samples)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles of the samples behind the median, as a part of it."""
        quiet = [sample.milliseconds for sample in self.samples if sample.quiet]
        values = quiet or [sample.milliseconds for sample in self.samples]
        if len(values) < 2:
            return 0.0
        low, middle, high = quantiles(values, n=4, method="inclusive")
        return (high - low) / 2 / middle


def paired_ratio(ours: Result, theirs: Result) -> float:
    """Median over the rounds of our time divided by theirs; rounds where both were quiet, if there are any."""
    pairs = list(zip(ours.samples, theirs.samples, strict=True))
    quiet = [(a, b) for a, b in pairs if a.quiet and b.quiet]
    return median(a.milliseconds / b.milliseconds for a, b in quiet or pairs)


class Contender:
    """A running contender: its process, what it said about itself, its processes' times."""

    def __init__(self, name: str, workload: Workload, setting: Setting, errors: IO[bytes]):
        command = [sys.executable, "-m", "tests.bench.child", name, workload.name, "--jobs", str(setting.jobs)]
        for option, value in (("--prototype", setting.prototype), ("--images", setting.images)):
            command += [option, value] if value else []
        environment = machine.environment()
        self.errors = errors
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment, text=True
        )
        try:
            self.result = Result(name, json.loads(self._answer()))
        except ContenderFailed:
            self.stop()
            raise
        self.tree = machine.process_tree(self.process.pid)

    def _answer(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            said = self.errors.read().decode(errors="replace").strip().splitlines()
            raise ContenderFailed(said[-1] if said else f"exit code {self.process.wait()}")
        return line

    def run(self, steps: int) -> float:
        """Seconds that a number of steps took in the contender's process."""
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return float(self._answer())

    def sample(self, steps: int) -> Sample:
        """A timed sample. Other processes' load is all CPU time minus the contender's own, per second."""
        others, started = self._outside_seconds(), time.monotonic()
        seconds = self.run(steps)
        load = (self._outside_seconds() - others) / (time.monotonic() - started)
        return Sample(seconds / steps * 1e3, load < QUIET_CORES)

    def _outside_seconds(self) -> float:
        return (machine.busy_seconds() or 0.0) - machine.tree_cpu_seconds(self.tree)

    def measure_peak_memory(self, steps: int) -> None:
        """Look at the memory of the process tree again and again while some more steps run, untimed."""
        self.tree = machine.process_tree(self.process.pid)
        seen = [machine.tree_memory_mib(self.tree)]
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.02):
                seen.append(machine.tree_memory_mib(self.tree))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            self.run(steps)
        finally:
            done.set()
            watcher.join()
        self.result.peak_mib = max((size for size in seen if size is not None), default=None)

    def stop(self) -> None:
        """End the process: its input ends, then it gets ten seconds."""
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def duel(
    workload: Workload,
    names: list[str],
    setting: Setting,
    *,
    rounds: int,
    quiet_seconds: float,
    report: Callable[[str], None],
) -> list[Result]:
    """Measure the contenders on a workload, interleaved.

    Args:
        quiet_seconds: how long to wait at most for a quiet machine before a sample.
        report: takes one line for each contender that drops out.

    Returns:
        one result per contender that finished all rounds, in the order of ``names``.
    """
    with ExitStack() as stack:
        running = []
        for name in names:
            errors = stack.enter_context(tempfile.TemporaryFile())
            try:
                contender = Contender(name, workload, setting, errors)
            except ContenderFailed as failure:
                report(f"{workload.name} {name}: left out: {failure}")
                continue
            stack.callback(contender.stop)
            running.append(contender)
        for _ in range(rounds):
            for contender in running:
                machine.wait_until_quiet(quiet_seconds)
                contender.result.samples.append(contender.sample(workload.steps))
        for contender in running:
            contender.measure_peak_memory(workload.steps)
        return [contender.result for contender in running]
