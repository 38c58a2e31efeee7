"""Recorded Keras cases of single layers and small graphs: predictions, training outputs, loss and gradients.

The plain executor runs them, so this judges the layers' reference arithmetic. The files lie in the folder that
DLTOOL_SHARED names (``keras/golden``; its README describes the arrays). Tolerance: 1e-5 * max(1, largest value).
"""

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dltool.engine.batch import Batch
from dltool.engine.layers import LAYERS
from dltool.engine.reference import ReferenceExecutor
from dltool.modelfile.reading import read
from tests.golden.weights import MODELS, recorded_weights

pytestmark = pytest.mark.shared

NOT_YET = {}
"""Cases of our layers that use what the engine does not have; reading them is refused."""

KINDS = ("layer", "regularizer", "constraint")
"""Losses and optimizers have their own tests."""


def folder() -> Path | None:
    shared = os.environ.get("DLTOOL_SHARED")
    return Path(shared, "keras", "golden") if shared else None


def recorded(*, trained: bool) -> list:
    """Names of the cases whose layers we have; ``trained``: only those with a recorded loss and gradients."""
    if folder() is None:
        reason = "DLTOOL_SHARED is not set: the recorded cases are not here"
        return [pytest.param("", marks=pytest.mark.skip(reason=reason))]
    names = []
    for case in json.loads((folder() / "INDEX.json").read_text()):
        known = case["kind"] in KINDS and set(case["layers"]) <= set(LAYERS) | MODELS and case["name"] not in NOT_YET
        if known and not (trained and "grad" not in case["npz"]):
            names.append(case["name"])
    return names


@cache
def opened(name: str):
    """The model that Keras 3 saved, its compile step, and the recorded arrays."""
    with np.load(folder() / f"{name}.npz") as arrays:
        return read(folder() / f"{name}.k3.h5"), dict(arrays)


def numbered(arrays: dict, prefix: str) -> list[np.ndarray]:
    """x0, x1, ... in order."""
    return [arrays[f"{prefix}{i}"] for i in range(10) if f"{prefix}{i}" in arrays]


def assert_close(ours, keras) -> None:
    np.testing.assert_allclose(ours, keras, rtol=0, atol=1e-5 * max(1.0, float(np.abs(keras).max(initial=0))))


@pytest.mark.parametrize("name", recorded(trained=False))
def test_predictions_are_those_of_keras(name):
    saved, arrays = opened(name)
    with ReferenceExecutor(saved.model, batch_size=12) as executor:
        outputs = executor.forward(tuple(numbered(arrays, "x")))
    expected = numbered(arrays, "pred")
    assert len(outputs) == len(expected)
    for ours, keras in zip(outputs, expected, strict=True):
        assert ours.shape == keras.shape
        assert_close(ours, keras)


@pytest.mark.parametrize("name", recorded(trained=True))
def test_loss_and_gradients_are_those_of_keras(name):
    saved, arrays = opened(name)
    store = saved.model.weights
    before = store.vector.copy()
    targets = [arrays["y"], *numbered(arrays, "y")]  # y, y1
    batch = Batch(tuple(x[:4] for x in numbered(arrays, "x")), tuple(y[:4] for y in targets))
    losses = saved.training_config.losses
    with ReferenceExecutor(saved.model, batch_size=4, losses=losses) as executor:
        total = executor.gradient_step(batch, step=1)
    store.vector[...] = before  # the step has moved the statistics of the cached model
    assert_close(total, arrays["loss"])
    for ours, keras in zip(executor.predictions, [arrays["train_pred"], *numbered(arrays, "train_pred")], strict=True):
        assert_close(ours, keras)
    found = recorded_weights(saved, arrays, "grad")
    assert found
    for key, view in found:
        assert_close(view, arrays[key])
