"""Whether the rounding of Winograd's convolutions costs accuracy: trainings with and without ``fit --exact``.

python -m tests.bench.exactness --data DIR

DIR has cifar10/train and cifar10/test, each a folder of class folders. For each seed, from 10,000 images: the same
training of a small VGG twice, judged by accuracy on 10,000 test images. It takes about ten minutes on two cores.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from dltool.settings import BuildSettings
from dltool.workflows import build
from tests.bench.learning_rates import NUM_IMAGES, accuracy, as_arrays

ARCH = "vgg-small:width=32"
EPOCHS = 5
RATE = 1e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", type=int)
    args = parser.parse_args()
    found: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        test = as_arrays(args.data / "cifar10" / "test", folder / "test", NUM_IMAGES, 0)
        for seed in map(int, args.seeds.split(",")):
            training = as_arrays(args.data / "cifar10" / "train", folder / f"train-{seed}", NUM_IMAGES, seed)
            model = folder / "m.h5"
            build.run(BuildSettings(str(model), arch=ARCH, data=training, seed=seed, force=True))
            for exact, values in found.items():
                values.append(accuracy(model, RATE, EPOCHS, training, test, seed, exact=exact, jobs=args.jobs))
                print(f"seed {seed}  {'exact' if exact else 'usual':5s}  {values[-1]:.4f}", flush=True)
    print(verdict(found[False], found[True]))


def verdict(usual: Sequence[float], exact: Sequence[float]) -> str:
    """The difference of the means against the spread between seeds."""
    difference = mean(usual) - mean(exact)
    spread = max(max(values) - min(values) for values in (usual, exact))
    word = "less" if abs(difference) < spread else "NOT less"
    return f"usual - exact {difference:+.4f}, {word} than the spread between seeds {spread:.4f}"


if __name__ == "__main__":
    main()
