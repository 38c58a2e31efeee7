"""One contender's process.

It builds its network, takes a few steps to warm up, writes one line of JSON about itself, and then answers every line
that holds a number of steps with the seconds that they took. It ends when its input ends. What libraries print goes
to stderr, so that nothing but answers is on stdout.
"""

import argparse
import contextlib
import json
import os
import sys
import time

from dltool.engine.blas import blas_name
from tests.bench import contenders
from tests.bench.workloads import WORKLOADS

WARM_UP_STEPS = 4


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("contender")
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--prototype")
    parser.add_argument("--images")
    args = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    setting = contenders.Setting(args.jobs, args.prototype, args.images)
    workload = WORKLOADS[args.workload]
    steps = contenders.build_steps(args.contender, workload, setting)
    for _ in range(2):
        steps(min(WARM_UP_STEPS, workload.steps))
    packages = contenders.packages(args.contender, workload.kind)
    about = {"versions": [contenders.version(name) for name in packages]}
    if packages == ("numpy",):
        about["versions"].append(f"BLAS kernels {blas_name()}")
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(about), file=answers, flush=True)
        for line in sys.stdin:
            started = time.perf_counter()
            seconds = steps(int(line))
            print(seconds or time.perf_counter() - started, file=answers, flush=True)


if __name__ == "__main__":
    main()
