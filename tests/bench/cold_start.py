"""How long ``dltool --help`` takes beside a bare Python that imports click and ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.bench import machine


def commands() -> dict[str, list[str]]:
    """What is compared; the installed ``dltool`` of this interpreter, or ``python -m dltool`` where there is none."""
    script = shutil.which("dltool", path=str(Path(sys.executable).parent))
    dltool = [script] if script else [sys.executable, "-m", "dltool"]
    return {"python + click": [sys.executable, "-c", "import click"], "dltool --help": [*dltool, "--help"]}


def measure(runs: int) -> dict[str, list[float]]:
    """Milliseconds of each command, ``runs`` times in turn, after one run that fills the caches."""
    environment = {key: value for key, value in os.environ.items() if key not in machine.BLAS_PINS}
    times: dict[str, list[float]] = {name: [] for name in commands()}
    for turn in range(runs + 1):
        for name, command in commands().items():
            started = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=environment)
            if turn:
                times[name].append((time.perf_counter() - started) * 1e3)
    return times


def run(runs: int, report: Callable[[str], None]) -> None:
    """Measure and report the medians and their difference."""
    times = measure(runs)
    for name, values in times.items():
        report(f"{name:16s} median {median(values):7.1f} ms   fastest {min(values):7.1f} ms   {runs} runs")
    bare, ours = (median(values) for values in times.values())
    report(f"{'difference':16s} median {ours - bare:7.1f} ms   of {' '.join(commands()['dltool --help'])}")
