"""Training that tf_keras began, saved and went on with, against dltool going on from the same file.

tf_keras runs once, in a process of its own; its new and its legacy optimizers write the two layouts of files that
tf.keras 2.11 and later versions wrote, and the versions before them.
"""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from dltool.cli.main import main
from dltool.modelfile.reading import read

pytestmark = pytest.mark.interop

OPTIMIZERS = {
    "sgd": "SGD(0.05, momentum=0.9)",
    "rmsprop": "RMSprop(0.002)",
    "adam": "Adam(0.002)",
    "nadam": "Nadam(0.002)",
}
CASES = [(name, package) for name in OPTIMIZERS for package in ("", "legacy.")]
FILES = [f"{package}{name}.h5" for name, package in CASES] + [f"{name}.keras" for name in OPTIMIZERS]
"""tf_keras keeps no state of its legacy optimizers in archives."""

PROGRAM = """
import sys
import numpy as np
import tf_keras as keras

L = keras.layers
x, y = np.load("x.npy"), np.load("y.npy")
for line in sys.argv[1:]:
    name, optimizer = line.split("=", 1)
    keras.utils.set_random_seed(3)
    model = keras.Sequential([
        L.InputLayer((6, 6, 1)), L.Conv2D(3, 3, activation="tanh"), L.BatchNormalization(), L.Flatten(),
        L.Dense(5, activation="tanh"), L.Dense(3, activation="softmax"),
    ])
    model.compile(eval("keras.optimizers." + optimizer), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    model.save(name + ".h5")
    model.save(name + ".keras")
    model.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    np.savez(name + ".npz", *[weight.numpy() for layer in model.layers for weight in layer.weights])
"""


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with data, the files that tf_keras saved after two epochs, and its weights after the third."""
    if not all(map(importlib.util.find_spec, ("tf_keras", "tensorflow"))):
        pytest.skip("tf_keras is not installed; pip install dltool[interop]")
    folder = tmp_path_factory.mktemp("begun")
    rng = np.random.default_rng(0)
    np.save(folder / "x.npy", rng.standard_normal((36, 6, 6, 1)).astype(np.float32))
    np.save(folder / "y.npy", rng.integers(0, 3, 36))
    words = [f"{package}{name}=" + f"{package}{OPTIMIZERS[name]}" for name, package in CASES]
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", PROGRAM, *words]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def one_more_epoch(folder, name: str, target, *options: str) -> np.ndarray:
    """All weights, in one vector, after ``dltool fit`` went on with a file."""
    words = ["--data", str(folder / "x.npy"), "--labels", str(folder / "y.npy"), "--val-split", "0", "--no-shuffle"]
    words += ["--epochs", "1", "--batch-size", "8", "--exact", "--jobs", "1", "-q", *options]
    assert main(["fit", str(folder / name), "-o", str(target), *words]) == 0
    return weights_of(target)


def weights_of(path) -> np.ndarray:
    return np.concatenate([view.ravel() for views in read(path).model.weights.views.values() for view in views])


@pytest.mark.parametrize("name", FILES)
def test_one_more_epoch_is_the_one_that_tf_keras_goes_on_with(begun, tmp_path, name):
    with np.load(begun / f"{name.rpartition('.')[0]}.npz") as arrays:
        expected = np.concatenate([arrays[key].ravel() for key in arrays.files])
    found = one_more_epoch(begun, name, tmp_path / "new.h5")
    assert np.abs(found - expected).max() <= 1e-4
    # It would not do to stand still, nor to forget the optimizer's state.
    assert np.abs(weights_of(begun / name) - expected).max() > 1e-2
    fresh = one_more_epoch(begun, name, tmp_path / "fresh.h5", "--reset-optimizer")
    assert np.abs(fresh - expected).max() > 1e-3
