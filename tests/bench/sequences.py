"""What sequence networks and autoencoders reach on MNIST: strings read by CTC, rows by an LSTM, images from 32 numbers.

python -m tests.bench.sequences --data DIR [--only strings,rows,autoencoder]

DIR has mnist/train and mnist/test, folders of class folders. Strings are 3 to 8 digits glued together, those of the
test from other images than those of the training. The autoencoder starts from the same weights in dltool and in Keras,
and both take the same number of steps. It takes an hour on one core.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from dltool.data.opening import open_data
from dltool.settings import BuildSettings, DataSettings, EvaluateSettings, FitSettings
from dltool.training.callbacks import Events
from dltool.training.run import Run
from dltool.workflows import build, evaluate, fit

DIGITS = (3, 8)
STRINGS = {"train": 20_000, "test": 2_000}
STRING_EPOCHS, ROW_EPOCHS, AUTOENCODER_EPOCHS = 18, 5, 2
READER, STRING_CHANGES = "crnn:width=32,units=64,dropout=0", "crop=2,shear=5"
IMAGES = 20_000
"""That the autoencoder trains on."""
WORST_STRINGS, LEAST_ROWS, WORST_RATIO = 0.03, 0.98, 1.02


def digits(data: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """(n, 28, 28) uint8 and their classes, in a random order."""
    images = open_data([data / "mnist" / part]).train
    rows = np.random.default_rng(0).permutation(len(images))
    return images.fetch(rows).inputs[0][..., 0], images.labels[rows]


def glued(images: np.ndarray, labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, 28, 28 * 8) uint8 strings, black behind the last digit, and their texts."""
    random = np.random.default_rng(seed)
    strings, texts = np.zeros((count, 28, 28 * DIGITS[1]), np.uint8), []
    for row in strings:
        chosen = random.integers(0, len(images), random.integers(DIGITS[0], DIGITS[1] + 1))
        row[:, : 28 * len(chosen)] = np.concatenate(images[chosen], axis=1)
        texts.append("".join(map(str, labels[chosen])))
    return strings, np.array(texts)


def saved(folder: Path, part: str, x: np.ndarray, y: np.ndarray | None = None) -> DataSettings:
    target = folder / part
    target.mkdir(exist_ok=True)
    np.save(target / "x.npy", x)
    if y is not None:
        np.save(target / "y.npy", y)
    return DataSettings((str(target / "x.npy"),))


def trained(model: Path, data: DataSettings, arch: str, **options: object) -> None:
    fit.run(FitSettings(str(model), data, arch=arch, schedule="cosine", jobs=1, val_split=0.05, **options), Shown())


class Shown(Events):
    """Prints every epoch: the whole takes long."""

    def epoch_end(self, run: Run) -> None:
        print(
            f"  epoch {run.epoch}  " + "  ".join(f"{k} {v:.4f}" for k, v in run.logs.items() if k != "epoch"),
            flush=True,
        )


def strings(data: Path, folder: Path) -> None:
    parts = {
        part: saved(folder, part, *glued(*digits(data, part), count, seed))
        for seed, (part, count) in enumerate(STRINGS.items())
    }
    model = folder / "strings.h5"
    options = {"optimizer": "adam", "learning_rate": 0.003, "augment": STRING_CHANGES}
    trained(model, parts["train"], READER, epochs=STRING_EPOCHS, **options)
    for beam in (None, 10):
        found = evaluate.run(EvaluateSettings(str(model), parts["test"], jobs=1, beam=beam)).metrics
        rate = found["string_error_rate"].value
        how = "greedy" if beam is None else f"beam {beam}"
        print(
            f"strings      {how:8s} {rate:.4f} of strings, {found['character_error_rate'].value:.4f} of digits wrong: "
            f"{verdict(rate <= WORST_STRINGS)} {WORST_STRINGS}",
            flush=True,
        )


def rows(data: Path, folder: Path) -> None:
    parts = {part: saved(folder, part, *digits(data, part)) for part in ("train", "test")}
    model = folder / "rows.h5"
    trained(model, parts["train"], "lstm", epochs=ROW_EPOCHS, learning_rate=0.002)
    accuracy = evaluate.run(EvaluateSettings(str(model), parts["test"], jobs=1)).metrics["accuracy"].value
    print(f"rows         accuracy {accuracy:.4f}: {verdict(accuracy >= LEAST_ROWS)} {LEAST_ROWS}", flush=True)


def autoencoder(data: Path, folder: Path) -> None:
    training, test = digits(data, "train")[0][:IMAGES], digits(data, "test")[0]
    parts = {"train": saved(folder, "train", training), "test": saved(folder, "test", test)}
    model = folder / "autoencoder.h5"
    build.run(BuildSettings(str(model), arch="autoencoder", data=parts["train"]))
    theirs = by_keras(model, training, test)
    fit.run(FitSettings(str(model), parts["train"], epochs=AUTOENCODER_EPOCHS, val_split=0.0, jobs=1))
    ours = evaluate.run(EvaluateSettings(str(model), parts["test"], jobs=1)).metrics["mean_squared_error"].value
    print(
        f"autoencoder  squared error {ours:.5f}, Keras {theirs:.5f}: {verdict(ours <= WORST_RATIO * theirs)} "
        f"{WORST_RATIO} times Keras's",
        flush=True,
    )


def by_keras(model: Path, training: np.ndarray, test: np.ndarray) -> float:
    """Mean squared error on the test images after as many steps from the same weights, with the same compile step."""
    import keras  # only for this comparison

    network = keras.models.load_model(model)
    pixels = [images.astype(np.float32)[..., np.newaxis] for images in (training, test)]
    network.fit(pixels[0], pixels[0] / 255, batch_size=64, epochs=AUTOENCODER_EPOCHS, verbose=0)
    return float(np.square(network.predict(pixels[1], batch_size=256, verbose=0) - pixels[1] / 255).mean())


def verdict(good: bool) -> str:
    return "within" if good else "NOT within"


EXPERIMENTS = {"strings": strings, "rows": rows, "autoencoder": autoencoder}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default=",".join(EXPERIMENTS))
    args = parser.parse_args()
    for name in args.only.split(","):
        with tempfile.TemporaryDirectory() as folder:
            EXPERIMENTS[name](args.data, Path(folder))


if __name__ == "__main__":
    main()
