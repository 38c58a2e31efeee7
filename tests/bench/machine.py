"""What the machine is doing and what a process tree uses. Reads /proc; elsewhere it knows nothing and says so."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

BLAS_PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Variables that pin OpenBLAS to other kernels than it would choose; no contender runs with them."""


def environment() -> dict[str, str]:
    """The environment of every measured process: a user's, where BLAS chooses its kernels and bytecode is kept."""
    left_out = (*BLAS_PINS, "PYTHONDONTWRITEBYTECODE")
    return {key: value for key, value in os.environ.items() if key not in left_out}


def busy_seconds() -> float | None:
    """CPU seconds that all processes together have used since boot, or None where that is not known."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _idle, _wait, irq, soft, steal = (int(value) for value in first[:8])
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def wait_until_quiet(longest_seconds: float) -> bool:
    """Wait until all processes together use less than a quarter of one core; False when the time ran out."""
    end = time.monotonic() + longest_seconds
    before, since = busy_seconds(), time.monotonic()
    while before is not None and time.monotonic() < end:
        time.sleep(0.15)
        after, now = busy_seconds(), time.monotonic()
        if (after - before) / (now - since) < 0.25:
            return True
        before, since = after, now
    return before is None


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the process's name, the state first."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def process_tree(pid: int) -> list[int]:
    """A process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
            except OSError:  # it ended while we looked
                continue
    tree = [pid]
    for member in tree:
        tree.extend(children.get(member, []))
    return tree


def tree_cpu_seconds(tree: list[int]) -> float:
    """CPU seconds that the processes have used so far."""
    ticks = 0
    for pid in tree:
        try:
            fields = _stat(pid)
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def tree_memory_mib(tree: list[int]) -> float | None:
    """Proportional set size of the processes together in MiB: a page that n of them share counts 1/n in each."""
    total = 0
    for pid in tree:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def processor() -> str:
    """The processor's name, as the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return sys.platform
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
