"""What ``record.py`` recorded: predictions, loss and gradients by both executors, and images through affine maps."""

import importlib.util

import numpy as np
import pytest

from dltool.engine.batch import Batch
from dltool.engine.executor import Executor
from dltool.engine.layers.sampling import FILL_MODES, affine
from dltool.engine.losses import loss
from dltool.engine.model import Model
from dltool.engine.optimizers import SGD
from dltool.engine.reference import ReferenceExecutor
from dltool.engine.weights import ParameterStore
from dltool.modelfile.config_file import read_config
from tests.golden.record import CASES, FOLDER, main

FILES = [f"{name}.{generation}" for name, case in CASES.items() for generation in case.generations]
LEARNING = [name for name in FILES if not CASES[name.partition(".")[0]].is_random]
EXECUTORS = [ReferenceExecutor, Executor]


def opened(name: str) -> tuple[Model, dict[str, np.ndarray]]:
    with np.load(FOLDER / f"{name}.npz") as found:
        arrays = dict(found)
    network, _ = read_config(str(arrays["config"]))
    graph = network.graph()
    model = Model(graph, ParameterStore(graph))
    views = [view for layer in model.weights.views.values() for view in layer]
    for index, view in enumerate(views):
        view[...] = arrays[f"w{index}"]
    assert f"w{len(views)}" not in arrays
    return model, arrays


def assert_close(found, expected):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(1.0, float(np.abs(expected).max())))


@pytest.mark.parametrize("executor_class", EXECUTORS)
@pytest.mark.parametrize("name", FILES)
def test_predictions_are_those_of_keras(name, executor_class):
    model, arrays = opened(name)
    with executor_class(model, batch_size=4) as executor:
        assert_close(executor.forward((arrays["x"],))[0], arrays["pred"])


@pytest.mark.parametrize("executor_class", EXECUTORS)
@pytest.mark.parametrize("name", LEARNING)
def test_loss_and_gradients_are_those_of_keras(name, executor_class):
    model, arrays = opened(name)
    losses, rule = (loss("mean_squared_error"),), SGD(0.0)
    with executor_class(model, batch_size=4, losses=losses, optimizer=rule) as executor:
        total = executor.train_step(Batch((arrays["x"],), (arrays["y"],)), 1, 0.0)
        assert total == pytest.approx(float(arrays["loss"]), rel=1e-5)
        assert_close(executor.predictions[0], arrays["train_pred"])
    gradients = [view for layer in model.weights.gradients.values() for view in layer if view is not None]
    assert gradients
    for index, view in enumerate(gradients):
        assert_close(view, arrays[f"grad{index}"])


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_images_through_affine_maps_are_those_of_keras(fill_mode, interpolation):
    with np.load(FOLDER / "affine.npz") as arrays:
        images, maps, expected = arrays["images"], arrays["maps"], arrays[f"{fill_mode}.{interpolation}"]
    places = maps[:, [4, 3, 5, 1, 0, 2]].reshape(-1, 2, 3)  # Keras: a0 a1 a2 give the column of (column, row, 1)
    found, _ = affine(images.astype(np.float64), places, interpolation, fill_mode, 0.25)
    assert_close(found, expected)


@pytest.mark.interop
def test_recording_again_gives_the_same_predictions(tmp_path, monkeypatch):
    if importlib.util.find_spec("tf_keras") is None:
        pytest.skip("tf_keras is not installed; pip install dltool[interop]")
    monkeypatch.setattr("tests.golden.record.FOLDER", tmp_path)
    main(["pooling_3d"])
    for file in tmp_path.iterdir():
        with np.load(file) as again, np.load(FOLDER / file.name) as kept:
            assert_close(again["pred"], kept["pred"])
