"""A network for CIFAR-10 trained from its folder of images, beside torch with the same recipe: accuracy and minutes.

python -m tests.bench.cifar --data DIR
python -m tests.bench.cifar --data DIR --contenders dltool,torch --seconds 120
python -m tests.bench.cifar --data DIR --width 16 --epochs 6 --seeds 2

DIR has train and test, each a folder of class folders. Without --seconds each contender trains to the end (most of an
hour each on two cores; a quarter of the width takes a quarter of that and shows as well who learns more in as many
steps); with it, each trains that long and the time of an epoch is reckoned from the steps done.
torch has the pixels decoded in memory and augments whole batches, which is faster than the usual image-by-image
transforms.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dltool.architectures.resnet9 import LOGIT_SCALE
from dltool.data.opening import open_data
from dltool.settings import DataSettings, EvaluateSettings, FitSettings
from dltool.training.callbacks import Events
from dltool.training.run import Run
from dltool.workflows import evaluate, fit

ARCH = "resnet9"
BATCH = 128
RATE = 0.1
DECAY = 0.005
SMOOTHING = 0.1
SIDE = 32
CROP, CUTOUT, LIGHT = 4, 8, 0.1
"""What --augment medium does to 32x32 pixels besides mirroring."""


@dataclass(frozen=True)
class Recipe:
    """Attributes:
    data: has train and test. width: filters of the first convolution. epochs: of the whole schedule.
    seconds: stop after so many. jobs: cores.
    """

    data: Path
    width: int
    epochs: int
    seconds: float | None
    jobs: int | None
    seed: int = 0


class Watch(Events):
    """Counts steps from the first epoch's begin; stops after a time."""

    def __init__(self, seconds: float | None):
        self.seconds, self.steps, self.start = seconds, 0, time.perf_counter()

    def epoch_begin(self, run: Run) -> None:
        if not self.steps:
            self.start = time.perf_counter()

    def batch_end(self, run: Run) -> None:
        self.steps += 1
        if self.seconds is not None and time.perf_counter() - self.start > self.seconds:
            run.stop = "the time is over"


def dltool(recipe: Recipe) -> tuple[float, int, float]:
    """(seconds trained, steps, accuracy on the test images)."""
    watch = Watch(recipe.seconds)
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "m.h5")
        settings = FitSettings(
            model,
            DataSettings((str(recipe.data / "train"),)),
            arch=f"{ARCH}:width={recipe.width}",
            val_split=0,
            epochs=recipe.epochs,
            batch_size=BATCH,
            optimizer="sgd:momentum=0.9,nesterov=true",
            learning_rate=RATE,
            schedule="1cycle",
            weight_decay=DECAY,
            label_smoothing=SMOOTHING,
            augment="medium",
            seed=recipe.seed,
            jobs=recipe.jobs,
        )
        fit.run(settings, watch)
        trained = time.perf_counter() - watch.start
        result = evaluate.run(EvaluateSettings(model, DataSettings((str(recipe.data / "test"),)), jobs=recipe.jobs))
    return trained, watch.steps, result.metrics["accuracy"].value


def torch(recipe: Recipe) -> tuple[float, int, float]:
    import torch as t

    if recipe.jobs is not None:
        t.set_num_threads(recipe.jobs)
    t.manual_seed(recipe.seed)
    images, labels = decoded(recipe.data / "train")
    network = torch_network(t.nn, recipe.width).to(memory_format=t.channels_last)
    # torch's decay passes through the momentum, which multiplies it by 1 / (1 - 0.9)
    optimizer = t.optim.SGD(network.parameters(), RATE, 0.9, weight_decay=DECAY / 10, nesterov=True)
    per_epoch = -(-len(images) // BATCH)
    schedule = t.optim.lr_scheduler.OneCycleLR(optimizer, RATE, recipe.epochs * per_epoch)
    random, steps, start = np.random.default_rng(recipe.seed), 0, time.perf_counter()
    for _ in range(recipe.epochs):
        order = random.permutation(len(images))
        for first in range(0, len(order), BATCH):
            if recipe.seconds is not None and time.perf_counter() - start > recipe.seconds:
                break
            rows = order[first : first + BATCH]
            x = t.from_numpy(augmented(images[rows], random)).permute(0, 3, 1, 2)
            loss = t.nn.functional.cross_entropy(network(x), t.from_numpy(labels[rows]), label_smoothing=SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            steps += 1
    trained = time.perf_counter() - start
    test, truth = decoded(recipe.data / "test")
    network.eval()
    with t.no_grad():
        parts = [network(t.from_numpy(test[i : i + 500]).permute(0, 3, 1, 2)) for i in range(0, len(test), 500)]
    return trained, steps, float((t.cat(parts).argmax(1).numpy() == truth).mean())


def torch_network(nn: Any, w: int) -> Any:
    def conv(inputs: int, outputs: int, *more: Any) -> Any:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(), *more
        )

    class Residual(nn.Module):
        def __init__(self, filters: int):
            super().__init__()
            self.branch = nn.Sequential(conv(filters, filters), conv(filters, filters))

        def forward(self, x: Any) -> Any:
            return x + self.branch(x)

    class Scaled(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * LOGIT_SCALE

    return nn.Sequential(
        conv(3, w),
        conv(w, 2 * w, nn.MaxPool2d(2)),
        Residual(2 * w),
        conv(2 * w, 4 * w, nn.MaxPool2d(2)),
        conv(4 * w, 8 * w, nn.MaxPool2d(2)),
        Residual(8 * w),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        Scaled(),
        nn.Linear(8 * w, 10),
    )


def decoded(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """All images, 0..1 as float32, and their labels."""
    data = open_data([folder]).train
    images = data.fetch(np.arange(len(data.labels))).inputs[0]
    return images.astype(np.float32) / 255, data.labels.astype(np.int64)


def augmented(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Mirrored, cut from a mirrored border, lighter or darker, with another contrast, a square hidden."""
    count = len(images)
    flips, rows = random.random(count) < 0.5, random.integers(0, 2 * CROP + 1, (count, 2))
    light = random.uniform(-LIGHT, LIGHT, count).astype(np.float32)[:, None, None, None]
    contrast = random.uniform(1 - LIGHT, 1 + LIGHT, count).astype(np.float32)[:, None, None, None]
    centres = random.integers(0, SIDE, (count, 2))
    padded = np.pad(images, ((0, 0), (CROP, CROP), (CROP, CROP), (0, 0)), mode="reflect")
    out = np.empty_like(images)
    for i, (y, x) in enumerate(rows.tolist()):
        image = padded[i, y : y + SIDE, x : x + SIDE]
        out[i] = image[:, ::-1] if flips[i] else image
    means = out.mean((1, 2, 3), keepdims=True)
    out = np.clip((out - means) * contrast + means + light, 0, 1)
    for i, (y, x) in enumerate(centres.tolist()):
        out[i, max(0, y - CUTOUT // 2) : y + CUTOUT // 2, max(0, x - CUTOUT // 2) : x + CUTOUT // 2] = means[i]
    return out


CONTENDERS: dict[str, Callable[[Recipe], tuple[float, int, float]]] = {
    "dltool": dltool,
    "torch": torch,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--jobs", type=int)
    args = parser.parse_args()
    for seed, name in itertools.product(range(args.seeds), args.contenders.split(",")):
        recipe = Recipe(args.data, args.width, args.epochs, args.seconds, args.jobs, seed)
        seconds, steps, accuracy = CONTENDERS[name](recipe)
        epoch = seconds / steps * -(-50_000 // BATCH)
        print(
            f"{name:7s} {steps} steps in {seconds / 60:.1f} min, {epoch:.0f} s an epoch, "
            f"{args.epochs * epoch / 60:.1f} min in all, test accuracy {accuracy:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
