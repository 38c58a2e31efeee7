"""How much 20,000 unlabelled images help 500 labelled ones, and whether the estimated precision holds.

python -m tests.bench.pseudo_labels --data DIR

DIR has mnist/train and mnist/test, folders of class folders. For each seed: a network trained on 500 images, its list
of the pool, and a network trained from the start with that list, which sees every image a little moved and turned. What
that alone gives 500 images is told beside it. 1,000 further images choose epochs and thresholds. The pool in negative
must be warned of. It takes three minutes a seed on one core.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dltool.data.folder import list_classes
from dltool.settings import DataSettings, EvaluateSettings, FitSettings, PseudoLabelSettings
from dltool.workflows import evaluate, fit, pseudo_label
from dltool.workflows.pseudo_labels.path_lists import write_list

LABELLED, VALIDATION, POOL = 500, 1_000, 20_000
NEGATIVES = 1_000
ARCH = "cnn:width=16,units=128"
FIRST = {"epochs": 60, "batch_size": 32}
AUGMENT = "crop=2,rotate=10"
SECOND = {"epochs": 5, "learning_rate": 0.003, "augment": AUGMENT}


def divide(train: Path, folder: Path, seed: int) -> dict[str, str]:
    """Lists of labelled, validation and unlabelled images, drawn by the seed."""
    found = list_classes(str(train))
    rows = np.random.default_rng(seed).permutation(len(found.paths))
    ends = np.cumsum([LABELLED, VALIDATION, POOL])
    lists = {}
    for name, part in zip(("labelled", "validation", "pool"), np.split(rows[: ends[-1]], ends[:-1]), strict=True):
        lists[name] = str(folder / f"{name}.csv")
        named = [(found.paths[row], found.classes[found.labels[row]], 1.0) for row in part.tolist()]
        if name == "pool":
            Path(lists[name]).write_text("\n".join(["path", *(path for path, _, _ in named)]) + "\n")
        else:
            write_list(named, lists[name], overwrite=True)
    return lists


def negatives(pool: str, folder: Path) -> str:
    """Some of the pool's images with dark and bright exchanged."""
    folder.mkdir(exist_ok=True)
    for number, path in enumerate(Path(pool).read_text().split()[1 : NEGATIVES + 1]):
        with Image.open(path) as image:
            ImageOps.invert(image.convert("L")).save(folder / f"{number}.png")
    return str(folder)


def train(model: Path, lists: dict[str, str], test: Path, seed: int, extra: Sequence[str] = (), **options) -> float:
    """A new network; its accuracy on the test images."""
    shared = {"arch": ARCH, "schedule": "cosine", "val": (lists["validation"],), "jobs": 1, "force": True}
    data = DataSettings((lists["labelled"],))
    fit.run(FitSettings(str(model), data, seed=seed, extra=tuple(extra), **shared, **options))
    return evaluate.run(EvaluateSettings(str(model), DataSettings((str(test),)), jobs=1)).metrics["accuracy"].value


def measure(data: Path, folder: Path, seed: int) -> None:
    lists, model, found = divide(data / "train", folder, seed), folder / "m.h5", str(folder / "found.csv")
    before = train(model, lists, data / "test", seed, **FIRST)
    shared = {"data": DataSettings((lists["labelled"],)), "val": (lists["validation"],), "jobs": 1}
    labels = pseudo_label.run(PseudoLabelSettings(str(model), (lists["pool"],), output=found, force=True, **shared))
    right = np.mean([Path(path).parent.name == label for path, label, _ in labels.rows])
    print(f"seed {seed}: {len(labels.rows):,} labels, precision {right:.4f}, estimated {labels.precision:.4f}")
    pool = negatives(lists["pool"], folder / "negative")
    shifted = PseudoLabelSettings(str(model), (pool,), threshold="0", **shared)
    warned = [drift.what for drift in pseudo_label.run(shifted).drifts if drift.is_warned]
    print(f"seed {seed}: the negatives are warned of by {' and '.join(warned) or 'NOTHING'}", flush=True)
    after = train(folder / "n.h5", lists, data / "test", seed, [found], **SECOND)
    print(f"seed {seed}: accuracy {before:.4f} -> {after:.4f}, error {change(before, after)}", flush=True)
    alone = train(folder / "o.h5", lists, data / "test", seed, augment=AUGMENT, **FIRST)
    print(
        f"seed {seed}: the 500 alone, augmented too, {alone:.4f}; with the list, error {change(alone, after)}",
        flush=True,
    )


def change(before: float, after: float) -> str:
    return f"{(after - before) / (before - 1):+.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    args = parser.parse_args()
    for seed in map(int, args.seeds.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            measure(args.data / "mnist", Path(folder), seed)


if __name__ == "__main__":
    main()
