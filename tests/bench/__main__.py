"""Measure dltool beside its peers.

python -m tests.bench W1 W2 --peers torch,keras-jax --rounds 7
python -m tests.bench W3 R18 --lanes threads,processes --peers torch,torch-channels-last
python -m tests.bench W1 --prototype FOLDER --peers prototype,prototype-processes
python -m tests.bench cold-start
"""

import argparse
import os
import platform

from tests.bench import cold_start, contenders, machine
from tests.bench.duel import Result, duel, paired_ratio
from tests.bench.workloads import WORKLOADS, Workload, named

LANES = ("auto", "threads", "processes")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workloads", nargs="+", help=f"cold-start, or any of {', '.join(WORKLOADS)}; W2 is all W2-*")
    known = ", ".join((*contenders.PEERS, *contenders.PROTOTYPES))
    parser.add_argument("--peers", default="", help=f"separated by commas: {known}, or all")
    parser.add_argument("--lanes", default="auto", help="how dltool's lanes run: auto, threads, processes, or several")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cores for every contender (all)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quiet-seconds", type=float, default=5.0, help="longest wait for a quiet machine (5)")
    parser.add_argument("--prototype", metavar="FOLDER", help="folder of the prototype engine")
    args = parser.parse_args()
    args.peers = list(contenders.PEERS) if args.peers == "all" else [p for p in args.peers.split(",") if p]
    args.lanes = args.lanes.split(",")
    for peer in args.peers:
        if peer not in (*contenders.PEERS, *contenders.PROTOTYPES):
            parser.error(f"--peers: no contender is called {peer!r}; known: {known}")
    for lanes in args.lanes:
        if lanes not in LANES:
            parser.error(f"--lanes: {lanes!r} is not one of {', '.join(LANES)}")
    words = [word for word in args.workloads if word != "cold-start"]
    try:
        args.chosen = named(words)
    except KeyError as error:
        parser.error(f"no workload is called {error}; known: cold-start, {', '.join(WORKLOADS)}")
    return args


def main() -> None:
    args = arguments()
    print_machine(args.jobs)
    if "cold-start" in args.workloads:
        cold_start.run(20, print)
    setting = contenders.Setting(args.jobs, args.prototype)
    present = ["dltool" if lanes == "auto" else f"dltool-{lanes}" for lanes in args.lanes]
    for peer in args.peers:
        reason = contenders.missing(peer, setting)
        if reason:
            print(f"{peer}: left out: {reason}")
        else:
            present.append(peer)
    for workload in args.chosen:
        results = duel(workload, present, setting, rounds=args.rounds, quiet_seconds=args.quiet_seconds, report=print)
        print_results(workload, results)


def print_machine(jobs: int) -> None:
    print(f"machine  {machine.processor()}, {os.cpu_count()} cores, {platform.platform()}")
    print(f"python   {platform.python_version()}, {jobs} jobs for every contender")
    print(f"BLAS     {' and '.join(machine.BLAS_PINS)} are unset for every contender")


def print_results(workload: Workload, results: list[Result]) -> None:
    """One line per contender; the ratio is the first dltool's time divided by this one's, below 1 is faster."""
    print(f"\n{workload.name}: {workload.network}, input {'x'.join(map(str, workload.input_shape))}, ", end="")
    print(f"batch {workload.batch_size}, {workload.steps} steps a sample")
    print(f"{'':28s} {'ms/step':>9s} {'fastest':>9s} {'quiet':>6s} {'dltool/this':>12s} {'peak MiB':>9s}")
    first = next((result for result in results if result.name.startswith("dltool")), None)
    for result in results:
        ratio = f"{paired_ratio(first, result):.2f}" if first else "-"
        memory = "-" if result.peak_mib is None else f"{result.peak_mib:.0f}"
        quiet = f"{result.num_quiet}/{len(result.samples)}"
        figures = f"{result.milliseconds:9.2f} {result.fastest:9.2f} {quiet:>6s} {ratio:>12s} {memory:>9s}"
        print(f"{result.name:28s} {figures}  {', '.join(result.about['versions'])}", flush=True)


if __name__ == "__main__":
    main()
