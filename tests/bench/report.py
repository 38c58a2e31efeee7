"""The figures as text for people, or as a Markdown table for the README."""

from __future__ import annotations

import datetime
import os
import platform
from statistics import median

from tests.bench import install_size, machine
from tests.bench.commands import Timing, ratio
from tests.bench.duel import Result, paired_ratio
from tests.bench.workloads import Workload


def machine_lines(jobs: int) -> list[str]:
    return [
        f"machine  {machine.processor()}, {os.cpu_count()} cores, {platform.platform()}",
        f"python   {platform.python_version()}, {jobs} jobs for every contender",
        f"BLAS     {' and '.join(machine.BLAS_PINS)} are unset for every contender",
    ]


class Text:
    """One line per contender."""

    def start(self, jobs: int, command: str) -> None:
        print("\n".join(machine_lines(jobs)))

    def note(self, line: str) -> None:
        print(line, flush=True)

    def results(self, workload: Workload, results: list[Result]) -> None:
        """The ratio is the first dltool's time divided by this one's, below 1 is faster."""
        print(f"\n{workload.name}: {describe(workload)}, {workload.steps} {workload.unit} a sample")
        head = ("ms/" + workload.unit, "fastest", "spread", "quiet", "dltool/this", "peak MiB")
        print(f"{'':28s} {head[0]:>9s} {head[1]:>9s} {head[2]:>7s} {head[3]:>6s} {head[4]:>12s} {head[5]:>9s}")
        first = first_dltool(results)
        for result in results:
            shown = f"{paired_ratio(first, result):.2f}" if first else "-"
            memory = "-" if result.peak_mib is None else f"{result.peak_mib:.0f}"
            quiet, spread = f"{result.num_quiet}/{len(result.samples)}", f"{result.spread:.0%}"
            figures = f"{result.milliseconds:9.2f} {result.fastest:9.2f} {spread:>7s} {quiet:>6s} {shown:>12s}"
            print(f"{result.name:28s} {figures} {memory:>9s}  {', '.join(result.about['versions'])}", flush=True)

    def timings(self, name: str, timings: list[Timing]) -> None:
        print(f"\n{name}: {len(timings[0].wall)} runs, ms")
        print(f"{'':28s} {'wall':>9s} {'fastest':>9s} {'CPU':>9s} {'dltool/this':>12s}")
        for timing in timings:
            figures = f"{median(timing.wall):9.1f} {min(timing.wall):9.1f} {median(timing.cpu):9.1f}"
            print(f"{timing.name:28s} {figures} {ratio(timings[0], timing):12.3f}", flush=True)

    def sizes(self, sizes: dict[str, float]) -> None:
        print(f"\ninstall-size: {sum(sizes.values()):.0f} MB, the bar is {install_size.BAR_MB} MB")
        for name, size in sizes.items():
            if size >= 1:
                print(f"{name:28s} {size:9.1f} MB")

    def end(self) -> None:
        pass


class Markdown(Text):
    """A row per workload: dltool beside the fastest peer. Notes go before the table, because it must be whole."""

    def start(self, jobs: int, command: str) -> None:
        self.rows: list[tuple[str, ...]] = []
        self.versions: dict[str, None] = {}
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        print(f"Measured {today} with `{command}`\non {machine.processor()}, {jobs} cores, Python", end=" ")
        print(f"{platform.python_version()}.")

    def note(self, line: str) -> None:
        print(f"- {line}", flush=True)

    def results(self, workload: Workload, results: list[Result]) -> None:
        first = first_dltool(results)
        if first is None:
            return
        for result in results:
            self.versions |= dict.fromkeys(result.about["versions"])
        peers = [result for result in results if not result.name.startswith(("dltool", "prototype"))]
        ours, memory = f"{first.milliseconds:.1f} ms ± {first.spread:.0%}", mebibytes(first)
        if not peers:
            self.rows.append((workload.name, describe(workload), ours, "", "", memory))
            return
        best = min(peers, key=lambda peer: peer.milliseconds)
        theirs = f"{best.name} {best.milliseconds:.1f} ms ± {best.spread:.0%}"
        memory = f"{memory} / {mebibytes(best)}"
        self.rows.append((workload.name, describe(workload), ours, theirs, f"{paired_ratio(first, best):.2f}", memory))

    def timings(self, name: str, timings: list[Timing]) -> None:
        ours, *peers = timings
        best = min(peers, key=lambda peer: median(peer.wall), default=None)
        theirs = f"{best.name} {median(best.wall):.0f} ms" if best else ""
        shown = f"{ratio(ours, best):.2f}" if best else ""
        self.rows.append((name, f"median of {len(ours.wall)} runs", f"{median(ours.wall):.0f} ms", theirs, shown, ""))

    def sizes(self, sizes: dict[str, float]) -> None:
        self.rows.append(("install-size", "fresh environment, on disk", f"{sum(sizes.values()):.0f} MB", "", "", ""))

    def end(self) -> None:
        head = ("workload", "what", "dltool", "fastest peer", "ratio", "peak MiB, dltool / peer")
        for row in ("", head, ("---",) * len(head), *self.rows):
            print(f"| {' | '.join(row)} |" if row else "")
        print(f"\n{', '.join(self.versions)}.")


def describe(workload: Workload) -> str:
    shape = "x".join(map(str, workload.input_shape))
    return ", ".join(filter(None, (workload.network, shape, f"batch {workload.batch_size}")))


def first_dltool(results: list[Result]) -> Result | None:
    return next((result for result in results if result.name.startswith("dltool")), None)


def mebibytes(result: Result) -> str:
    return "-" if result.peak_mib is None else f"{result.peak_mib:.0f}"
