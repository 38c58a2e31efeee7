"""Whether ``dltool tune`` finds, in ten minutes, a setting not worse than the best of a grid of 20 made by hand.

python -m tests.bench.tuning --data DIR

The digits of ``sample_data`` and 10,000 images of DIR/mnist/train, one after the other: the grid (every point trained
for all epochs), then the search over the same options. Both choose by the same validation rows. What they chose is then
trained again from other seeds, and the means on the test images (of ``sample_data`` and DIR/mnist/test), which neither
has seen, decide: noise is two standard errors of their difference. It takes about half an hour on two cores; --sets,
--seconds, --epochs, --points, --images and --seeds ask for less.
"""

import argparse
import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dltool.errors import DivergedError
from dltool.modelfile.reading import read
from dltool.settings import DataSettings, EvaluateSettings, FitSettings, TuneSettings
from dltool.workflows import evaluate, fit, tune
from dltool.workflows.tuning.parameters import applied, as_words
from tests.bench.learning_rates import NUM_IMAGES, as_arrays

SAMPLE = Path(__file__).parents[2] / "sample_data" / "digits"
TRIES = ("lr=1e-4..3e-2:log", "arch.width=8..32:log", "dropout=0..0.5")
GRID = {"lr": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), "arch.width": (8, 16), "dropout": (0.1, 0.4)}
"""What somebody who knows the trade would try: 20 points."""
MONITOR = "val_accuracy"


@dataclass(frozen=True)
class Found:
    """The best of a grid or a search: on the validation rows, their loss, and on the test images."""

    score: float
    loss: float
    test: float
    values: dict[str, Any]
    seconds: float

    @property
    def rank(self) -> tuple[float, float]:
        return self.score, -self.loss


@dataclass(frozen=True)
class Setup:
    """What every training has, in the grid and in the search."""

    data: DataSettings
    test: DataSettings
    epochs: int
    jobs: int | None

    def fit(self, model: Path) -> FitSettings:
        options = {"arch": "cnn", "schedule": "cosine", "monitor": MONITOR, "force": True, "jobs": self.jobs}
        return FitSettings(str(model), self.data, epochs=self.epochs, **options)


def accuracy(model: Path, test: DataSettings) -> float:
    return evaluate.run(EvaluateSettings(str(model), test)).metrics["accuracy"].value


def of_model(setup: Setup, model: Path, values: dict[str, Any], started: float) -> Found:
    """What the kept epoch of a model file measured."""
    seconds, saved = time.monotonic() - started, read(model, with_state=False)
    row = next(row for row in saved.history if row["epoch"] == saved.recipe["best_epoch"])
    return Found(row[MONITOR], row["val_loss"], accuracy(model, setup.test), values, seconds)


def grid(setup: Setup, model: Path, points: int) -> Iterator[Found]:
    """So many points of the grid, spread over it, each trained from its beginning to its end."""
    whole = list(itertools.product(*GRID.values()))
    for numbers in whole[:: -(-len(whole) // points)]:
        values, started = dict(zip(GRID, numbers, strict=True)), time.monotonic()
        settings, _ = applied(setup.fit(model), values)
        try:
            fit.run(settings)
        except DivergedError:
            continue
        yield of_model(setup, model, values, started)


def search(setup: Setup, model: Path, seconds: float) -> Found:
    """The search over the same options."""
    started = time.monotonic()
    result = tune.run(TuneSettings(setup.fit(model), TRIES, time=seconds))
    spent = time.monotonic() - started
    print(
        f"  {len(result.ranking)} trials, {len(result.entries)} rungs, {spent / seconds - 1:+.1%} of the time",
        flush=True,
    )
    return of_model(setup, model, result.best.values, started)


def show(what: str, found: Found) -> None:
    numbers = f"val {found.score:.4f}  loss {found.loss:.4f}  test {found.test:.4f}  {found.seconds:6.1f}s"
    print(f"  {what:6s}  {numbers}  {as_words(found.values)}", flush=True)


def again(setup: Setup, model: Path, found: Found, seeds: int) -> list[float]:
    """The accuracy on the test images of the same setting, trained from so many other seeds."""
    settings, _ = applied(setup.fit(model), found.values)
    scores = []
    for seed in range(1, seeds + 1):
        fit.run(replace(settings, seed=seed))
        scores.append(accuracy(model, setup.test))
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="has mnist/train and mnist/test, folders of class folders")
    parser.add_argument("--sets", default="digits,mnist")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--images", type=int, default=NUM_IMAGES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in args.sets.split(","):
            if name == "mnist" and args.data is None:
                parser.error("--data: mnist needs it")
            root = SAMPLE if name == "digits" else args.data / name
            data = as_arrays(root / "train", Path(folder) / name, args.images, 0)
            test = as_arrays(root / "test", Path(folder) / f"{name}-test", args.images, 0)
            print(f"{name}: {args.epochs} epochs", flush=True)
            compare(name, Setup(data, test, args.epochs, args.jobs), Path(folder), args)


def compare(name: str, setup: Setup, folder: Path, args: argparse.Namespace) -> None:
    """The grid, the search, and which of them is better."""
    points = []
    for found in grid(setup, folder / "grid.h5", args.points):
        show("grid", found)
        points.append(found)
    best, tuned = max(points, key=lambda p: p.rank), search(setup, folder / "tuned.h5", args.seconds)
    show("best", best)
    show("tune", tuned)
    grids, tunes = (again(setup, folder / "again.h5", one, args.seeds) for one in (best, tuned))
    gain = statistics.mean(tunes) - statistics.mean(grids)
    noise = 2 * math.sqrt((statistics.variance(tunes) + statistics.variance(grids)) / args.seeds)
    verdict = "WORSE" if gain < -noise else "not worse"
    print(f"  again, test: best {as_list(grids)}, tune {as_list(tunes)}")
    print(
        f"{name}: tune is {verdict}: test {gain:+.4f}, noise {noise:.4f}, val {tuned.score - best.score:+.4f}",
        flush=True,
    )


def as_list(scores: list[float]) -> str:
    return " ".join(f"{score:.4f}" for score in scores)


if __name__ == "__main__":
    main()
