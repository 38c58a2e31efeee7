"""Measure dltool beside its peers.

python -m tests.bench W1 W2 --peers torch,keras-jax --rounds 7
python -m tests.bench training inference --peers all --markdown
python -m tests.bench loading --peers all --images cifar10/train
python -m tests.bench W3 --prototype FOLDER --peers prototype,prototype-processes
python -m tests.bench cold-help cold-predict install-size
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.bench import commands, contenders, install_size, loading, report
from tests.bench.duel import duel
from tests.bench.workloads import WORKLOADS, Workload, named

LANES = ("auto", "threads", "processes", "exact")
"""``exact`` is ``fit --exact`` on whatever lanes fit chooses, for training only."""
SIZE = "install-size"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = f"a kind ({', '.join(contenders.ROOMS)}) stands for all of it, W2 for all W2-*"
    others = (*commands.COMMANDS, SIZE)
    parser.add_argument("workloads", nargs="+", help=f"{', '.join((*others, *WORKLOADS))}; {kinds}")
    known = ", ".join((*contenders.ALL_PEERS, *contenders.PROTOTYPES))
    parser.add_argument("--peers", default="", help=f"separated by commas: {known}; or all (of the workload's kind)")
    parser.add_argument("--lanes", default="auto", help=f"how dltool runs: {', '.join(LANES)}, or several")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cores for every contender (all)")
    parser.add_argument("--rounds", type=int, default=7, help="samples of each contender (7)")
    parser.add_argument("--quiet-seconds", type=float, default=5.0, help="longest wait for a quiet machine (5)")
    parser.add_argument("--images", metavar="FOLDER", help="for loading and folder, a sub-folder per class (generated)")
    parser.add_argument("--prototype", metavar="FOLDER", help="folder of the prototype engine")
    parser.add_argument("--markdown", action="store_true", help="print one table for the README")
    args = parser.parse_args()
    args.peers, args.lanes = [p for p in args.peers.split(",") if p], args.lanes.split(",")
    for peer in args.peers:
        if peer not in (*contenders.ALL_PEERS, *contenders.PROTOTYPES, "all"):
            parser.error(f"--peers: no contender is called {peer!r}; known: {known}")
    for lanes in args.lanes:
        if lanes not in LANES:
            parser.error(f"--lanes: {lanes!r} is not one of {', '.join(LANES)}")
    try:
        args.chosen = named([word for word in args.workloads if word not in others])
    except KeyError as error:
        parser.error(f"no workload is called {error}; known: {', '.join((*others, *WORKLOADS))}")
    return args


def main() -> None:
    args = arguments()
    shown = report.Markdown() if args.markdown else report.Text()
    shown.start(args.jobs, " ".join(["python -m tests.bench", *sys.argv[1:]]))
    for name, measure in commands.COMMANDS.items():
        if name in args.workloads:
            shown.timings(name, measure(args.rounds))
    if SIZE in args.workloads:
        shown.sizes(install_size.measure())
    with tempfile.TemporaryDirectory() as folder:
        for workload in args.chosen:
            images = args.images
            if images is None and workload.kind in ("loading", "folder"):
                images = os.path.join(folder, workload.name)
                loading.make_folder(Path(images), workload.input_shape)
            measure_workload(workload, args, contenders.Setting(args.jobs, args.prototype, images), shown)
    shown.end()


def measure_workload(
    workload: Workload, args: argparse.Namespace, setting: contenders.Setting, shown: report.Text
) -> None:
    """Find out who takes part, run them, show the figures."""
    names = ["dltool" if lanes == "auto" or workload.kind == "loading" else f"dltool-{lanes}" for lanes in args.lanes]
    for peer in args.peers:
        names += contenders.PEERS[workload.kind] if peer == "all" else [peer]
    present = []
    for name in dict.fromkeys(names):
        reason = contenders.missing(name, workload, setting)
        if reason:
            shown.note(f"{workload.name} {name}: left out: {reason}")
        else:
            present.append(name)
    if not any(name.startswith("dltool") for name in present):
        return
    results = duel(workload, present, setting, rounds=args.rounds, quiet_seconds=args.quiet_seconds, report=shown.note)
    shown.results(workload, results)


if __name__ == "__main__":
    main()
