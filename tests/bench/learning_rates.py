"""Whether training at the rate of ``dltool lr-find`` is as good as at the best rate of a grid, on three networks.

python -m tests.bench.learning_rates --data DIR

DIR has mnist/train, mnist/test, cifar10/train and cifar10/test, each a folder of class folders. For each network and
seed, from a subset of 10,000 images: one sweep, then a training at each suggestion and at each rate of the grid, judged
by accuracy on the test images. It takes about an hour on one core; --networks and --seeds ask for less.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dltool.data.opening import open_data
from dltool.data.split import limit_rows
from dltool.errors import DivergedError
from dltool.settings import BuildSettings, DataSettings, EvaluateSettings, FitSettings, LrFindSettings
from dltool.workflows import build, evaluate, fit, lr_find

GRID = np.geomspace(1e-4, 1e-1, 7).tolist()
NUM_IMAGES = 10_000
WITHIN = 0.01


@dataclass(frozen=True)
class Network:
    """What is trained: narrow networks, because it is the rate that is measured."""

    data: str
    arch: str
    epochs: int


NETWORKS = {
    "mlp": Network("mnist", "mlp", 5),
    "cnn": Network("mnist", "cnn:width=16,units=128", 3),
    "vgg-small": Network("cifar10", "vgg-small:width=16", 3),
}


def as_arrays(folder: Path, target: Path, count: int, seed: int) -> DataSettings:
    """``count`` images of the folder, drawn by the seed, as target/x.npy and y.npy, so that they are decoded once."""
    if not target.exists():
        target.mkdir(parents=True)
        images = open_data([folder]).train
        rows = limit_rows(images.labels, count, seed)
        np.save(target / "x.npy", images.fetch(rows).inputs[0])
        np.save(target / "y.npy", images.labels[rows])
    return DataSettings((str(target / "x.npy"),))


def accuracy(
    model: Path, rate: float, epochs: int, training: DataSettings, test: DataSettings, seed: int, **more: Any
) -> float:
    """On the test images after a training from the model's weights; 0 when it diverged. ``more``: of FitSettings."""
    trained = str(model.with_name("trained.h5"))
    options = {"schedule": "cosine", "seed": seed, "jobs": 1, "output": trained, "force": True, **more}
    try:
        fit.run(FitSettings(str(model), training, epochs=epochs, learning_rate=rate, **options))
    except DivergedError:
        return 0.0
    return evaluate.run(EvaluateSettings(trained, test, jobs=1)).metrics["accuracy"].value


def measure(
    network: Network, optimizer: str, seed: int, data: Path, folder: Path
) -> Iterator[tuple[str, float, float]]:
    """(name, rate, accuracy) of the three suggestions, then of the grid."""
    training = as_arrays(data / network.data / "train", folder / f"{network.data}-{seed}", NUM_IMAGES, seed)
    test = as_arrays(data / network.data / "test", folder / f"{network.data}-test", NUM_IMAGES, 0)
    model = folder / "m.h5"
    build.run(BuildSettings(str(model), arch=network.arch, data=training, optimizer=optimizer, seed=seed, force=True))
    before = hashlib.sha256(model.read_bytes()).digest()
    found = lr_find.run(LrFindSettings(str(model), training, seed=seed, jobs=1)).suggestions
    if hashlib.sha256(model.read_bytes()).digest() != before:
        raise SystemExit("lr-find changed the model file")
    for name, rate in (*asdict(found).items(), *(("grid", rate) for rate in GRID)):
        yield name, rate, accuracy(model, rate, network.epochs, training, test, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--optimizer", default="adam")
    parser.add_argument("--seeds", default="0,1,2")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in args.networks.split(","):
            for seed in map(int, args.seeds.split(",")):
                report(name, seed, measure(NETWORKS[name], args.optimizer, seed, args.data, Path(folder)))


def report(name: str, seed: int, rows: Iterator[tuple[str, float, float]]) -> None:
    """Each training as it ends, and how far the suggestions are from the best of the grid."""
    found: dict[str, float] = {}
    for kind, rate, value in rows:
        found[kind] = max(value, found.get(kind, 0.0))
        print(f"{name:10s} seed {seed}  {kind:8s} {rate:.2e}  {value:.4f}", flush=True)
    best = found.pop("grid")
    gaps = ", ".join(f"{kind} {value - best:+.4f}" for kind, value in found.items())
    verdict = "within" if found["valley"] >= best - WITHIN else "NOT within"
    print(f"{name:10s} seed {seed}  {gaps}: valley {verdict} {WITHIN:g} of {best:.4f}", flush=True)


if __name__ == "__main__":
    main()
