"""Model files recorded by Keras 3, by tf_keras and by a writer for both: predictions, and training that goes on.

The files lie in the folder that DLTOOL_SHARED names (``keras/golden``; its README describes them).
Tolerance: 1e-5 * max(1, largest value) for predictions, 1e-4 for weights after a continued step.
"""

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dltool.engine.batch import Batch
from dltool.engine.layers import LAYERS, BatchNormalization
from dltool.engine.optimizers import OPTIMIZERS
from dltool.engine.reference import ReferenceExecutor
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.modelfile.writing import write

pytestmark = pytest.mark.shared

MODELS = {"Sequential", "Functional"}


def folder() -> Path | None:
    shared = os.environ.get("DLTOOL_SHARED")
    return Path(shared, "keras", "golden") if shared else None


def files(*suffixes: str) -> list:
    """(case, file) of all recorded files whose layers dltool has."""
    if folder() is None:
        reason = "DLTOOL_SHARED is not set: the recorded cases are not here"
        return [pytest.param("", "", marks=pytest.mark.skip(reason=reason))]
    found = []
    for case in json.loads((folder() / "INDEX.json").read_text()):
        if case.get("layers") and set(case["layers"]) <= set(LAYERS.names()) | MODELS:
            names = [f"{case['name']}.{suffix}.h5" for suffix in suffixes]
            found += [(case["name"], name) for name in names if (folder() / name).exists()]
    return found


@cache
def arrays_of(case: str) -> dict[str, np.ndarray]:
    with np.load(folder() / f"{case}.npz") as arrays:
        return dict(arrays)


def numbered(arrays: dict, prefix: str) -> list[np.ndarray]:
    return [arrays[f"{prefix}{i}"] for i in range(9) if f"{prefix}{i}" in arrays]


def predict(saved: SavedModel, arrays: dict) -> tuple[np.ndarray, ...]:
    inputs = tuple(x.astype(np.float32) for x in numbered(arrays, "x"))
    with ReferenceExecutor(saved.model, batch_size=12) as executor:
        return executor.forward(inputs)


def assert_close(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * max(1.0, np.abs(expected).max())


def chosen(found: list, wanted: Callable[[str, str], bool]) -> list:
    return found if folder() is None else [pair for pair in found if wanted(*pair)]


def untrained() -> list:
    """The files of legacy optimizers hold the weights after three steps; they are judged by training on."""
    return chosen(files("k3", "k2", "dual"), lambda case, _: not case.startswith("legacyopt_"))


def accepted() -> list:
    """The cases of losses and optimizers all hold the same small network; the others are enough here."""
    same = ("loss_", "opt_", "legacyopt_")
    return chosen(files("dual"), lambda case, _: not case.startswith(same))


@pytest.mark.parametrize(("case", "name"), untrained())
def test_recorded_files_give_the_recorded_predictions(case, name):
    arrays, saved = arrays_of(case), read(folder() / name)
    # The files for both generations say Keras 2; only hard_sigmoid differs between the two.
    generation = "pred" if name.endswith(".k3.h5") or "k2pred0" not in arrays else "k2pred"
    for found, expected in zip(predict(saved, arrays), numbered(arrays, generation), strict=True):
        assert_close(found, expected)


@pytest.mark.parametrize(("case", "name"), accepted())
def test_a_rewritten_file_gives_the_recorded_predictions(case, name, tmp_path):
    arrays = arrays_of(case)
    write(read(folder() / name), tmp_path / "m.h5")
    generation = "pred" if "k2pred0" not in arrays else "k2pred"
    for found, expected in zip(predict(read(tmp_path / "m.h5"), arrays), numbered(arrays, generation), strict=True):
        assert_close(found, expected)


def trained() -> list:
    return chosen(
        files("trained.k3", "trained.k2", "k2"), lambda case, name: ".trained." in name or case.startswith("legacyopt_")
    )


@pytest.mark.parametrize(("case", "name"), trained())
def test_training_goes_on_from_the_optimizer_state_in_keras_files(case, name):
    arrays, saved = arrays_of(case), read(folder() / name)
    config = saved.training_config
    if config.optimizer is None:
        assert saved.state is None
        assert config.optimizer_name.removeprefix("Custom>").lower() not in OPTIMIZERS.names()
        return
    prefix = "k2w4:" if ".k2." in name and not case.startswith("legacyopt_") else "w4:"
    expected = [value for key, value in arrays.items() if key.startswith(prefix)]
    assert saved.state.step == 3
    with ReferenceExecutor(
        saved.model, batch_size=4, losses=config.losses, loss_weights=config.loss_weights, optimizer=config.optimizer
    ) as executor:
        for slot, values in saved.state.slots.items():
            executor.slots[slot][...] = values
        executor.memory.update(saved.state.memory)
        batch = Batch((arrays["x0"][:4],), (arrays["y"][:4],))
        executor.train_step(batch, saved.state.step + 1, config.optimizer.learning_rate)
    found = [view for views in saved.model.weights.views.values() for view in views]
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, 1e-4)


def test_hard_sigmoid_is_read_as_the_version_of_keras_means_it(shared):
    for suffix, expected in (("k3", "hard_sigmoid"), ("k2", "hard_sigmoid_keras2")):
        graph = read(folder() / f"activation_hard_sigmoid.{suffix}.h5").model.graph
        assert expected in {getattr(layer, "activation", None) for layer in graph.layers.values()}


def test_images_in_keras_2_files_move_with_the_unbiased_variance(shared):
    def unbiased(name):
        layers = read(folder() / name).model.graph.layers.values()
        return [layer.unbiased_moving_variance for layer in layers if isinstance(layer, BatchNormalization)]

    assert unbiased("batchnorm_conv.k2.h5") == [True]
    assert unbiased("batchnorm_conv.k3.h5") == [False]
    assert unbiased("batchnorm.k2.h5") == [False]
