"""How much faster an epoch of finetune's first stage is on features that were computed once.

python -m tests.bench.frozen_base --data cifar10/train

A narrow vgg-small on 2,000 images, in turn with the features computed once and with the whole network in every epoch.
Each figure is the median of the epochs. It takes about a minute.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from dltool.settings import BuildSettings, DataSettings, FinetuneSettings
from dltool.workflows import build, finetune
from dltool.workflows.finetuning.stages import StageEvents

ROUNDS = 3
NUM_IMAGES = 2_000


class Clock(StageEvents):
    """The seconds of every epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._start = 0.0

    def epoch_begin(self, run: object) -> None:
        self._start = time.perf_counter()

    def epoch_end(self, run: object) -> None:
        self.seconds.append(time.perf_counter() - self._start)


def epochs(model: Path, data: DataSettings, precompute: bool) -> list[float]:
    clock = Clock()
    options = {"epochs": 3, "epochs_unfrozen": 0, "jobs": 1, "output": str(model.with_name("n.h5")), "force": True}
    finetune.run(FinetuneSettings(str(model), data, precompute=precompute, **options), clock)
    return clock.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    data = DataSettings((parser.parse_args().data,), limit=NUM_IMAGES)
    found: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "m.h5")
        build.run(BuildSettings(str(model), arch="vgg-small:width=16", data=data))
        for _ in range(ROUNDS):
            for precompute, seconds in found.items():
                seconds += epochs(model, data, precompute)
    once, anew = (statistics.median(seconds) for seconds in found.values())
    print(f"features once {once:.3f} s an epoch, the whole network {anew:.3f} s: {anew / once:.0f} times faster")


if __name__ == "__main__":
    main()
