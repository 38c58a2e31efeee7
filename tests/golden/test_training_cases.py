"""Recorded Keras trainings: losses, gradients, and the weights after one, three and four optimizer steps.

Every case starts from its recorded weights (``w0:``) and takes batches of four rows in order. The files lie in the
folder that DLTOOL_SHARED names (``keras/golden``; its README describes the arrays). Tolerance: 1e-5 * max(1, largest
value); 1e-4 for the fourth step, which goes on from a saved state.
"""

import json
import os
from collections.abc import Collection
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dltool.engine.batch import Batch
from dltool.engine.executor import Executor
from dltool.engine.layers import LAYERS
from dltool.engine.losses import LOSSES, Huber
from dltool.engine.optimizers import OPTIMIZERS, SGD
from dltool.engine.reference import ReferenceExecutor
from dltool.engine.schedules import Schedule, make_schedule
from dltool.modelfile.reading import read
from tests.golden.weights import MODELS, recorded_weights

pytestmark = pytest.mark.shared

EXECUTORS = [
    ReferenceExecutor,
    Executor,
]

CLASS_WEIGHTS = {
    "loss_cce_class_weight": np.array([1.0, 2.5, 0.5]),
    "loss_scce_class_weight": np.array([1.0, 2.5, 0.5]),
    "loss_bce_class_weight": np.array([1.0, 3.0]),
}
"""What ``fit(class_weight=...)`` was given when the cases were recorded; the files do not hold it."""

LOSS_OF = {"loss_huber": Huber(delta=0.5)}
"""Keras leaves delta out of the config that it writes."""

SCHEDULE_OF = {
    "opt_schedule_exponential": ("exp", {"decay": 0.5, "every": "2steps"}),
    "opt_schedule_polynomial": ("poly", {"min": 0.1, "power": 2.0, "over": "3steps"}),
    "opt_schedule_cosine": ("cosine", {"min": 0.05, "over": "3steps"}),
}
"""The options that were recorded, in our words (Keras's alpha is a part of the rate, 0.1 of 0.5)."""

OPTIMIZER_OF = {"opt_schedule_inversetime": SGD(0.5, decay=0.3), **dict.fromkeys(SCHEDULE_OF, SGD(0.5))}
"""InverseTimeDecay with decay_steps 1 is what Keras 2 called decay. The other schedules' rates come from outside."""


def folder() -> Path | None:
    shared = os.environ.get("DLTOOL_SHARED")
    return Path(shared, "keras", "golden") if shared else None


@cache
def index() -> dict[str, dict]:
    cases = json.loads((folder() / "INDEX.json").read_text())
    return {case["name"]: case for case in cases}


def loss_names(case: dict) -> list[str]:
    """Per output; Keras's function or class names."""
    found = case.get("loss") or []
    return [one if isinstance(one, str) else one["class"] for one in (found if isinstance(found, list) else [found])]


def recorded(array: str, without: Collection[str] = ()) -> list:
    """Names of the cases that have ``array`` and whose layers, losses and optimizers are all registered."""
    if folder() is None:
        reason = "DLTOOL_SHARED is not set: the recorded cases are not here"
        return [pytest.param("", marks=pytest.mark.skip(reason=reason))]
    return [
        name
        for name, case in index().items()
        if array in case.get("npz", ())
        and name not in without
        and set(case["layers"]) <= set(LAYERS) | MODELS
        and all(one in LOSSES for one in loss_names(case))
        and case["optimizer"]["class"] in OPTIMIZERS
    ]


@cache
def opened(name: str):
    """The model as it was saved (Keras 2 for its old optimizers), its compile step, and the recorded arrays."""
    path = folder() / f"{name}.k3.h5"
    with np.load(folder() / f"{name}.npz") as arrays:
        return read(path if path.exists() else folder() / f"{name}.k2.h5"), dict(arrays)


def assert_weights(saved, arrays, prefix: str, tolerance: float = 1e-5) -> None:
    found = recorded_weights(saved, arrays, prefix)
    assert found
    for key, view in found:
        assert_close(view, arrays[key], tolerance)


def assert_close(ours, keras, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(ours, keras, rtol=0, atol=tolerance * max(1.0, float(np.abs(keras).max(initial=0))))


def batch_of(name: str, arrays: dict, rows: slice) -> Batch:
    inputs = tuple(arrays[f"x{i}"][rows] for i in range(10) if f"x{i}" in arrays)
    targets = tuple(arrays[key][rows] for key in ("y", "y1") if key in arrays)
    weights = arrays["sw"][rows] if "sw" in arrays else None
    if name in CLASS_WEIGHTS:
        y = targets[0]
        classes = y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(-1).astype(int)
        weights = CLASS_WEIGHTS[name][classes].astype(np.float32)
    return Batch(inputs, targets, weights)


def compile_step(name: str, saved):
    """Losses, their weights and the optimizer of a case."""
    config = saved.training_config
    losses = (LOSS_OF[name],) if name in LOSS_OF else config.losses
    return losses, config.loss_weights, OPTIMIZER_OF.get(name, config.optimizer)


def schedule_of(name: str, learning_rate: float) -> Schedule:
    kind, options = SCHEDULE_OF.get(name, ("constant", {}))
    return make_schedule(kind, options, learning_rate, steps_per_epoch=1, num_steps=4)


def test_every_loss_and_optimizer_has_a_recorded_training(shared):
    cases = [index()[name] for name in recorded("w3")]
    found = {LOSSES.canonical(one) for case in cases for one in loss_names(case)}
    assert found == set(LOSSES.names()) - {"categorical_focal_crossentropy", "ctc"}  # see tests/engine/test_losses.py
    assert {OPTIMIZERS.canonical(case["optimizer"]["class"]) for case in cases} == set(OPTIMIZERS.names())


@pytest.mark.parametrize("executor_class", EXECUTORS)
@pytest.mark.parametrize("name", recorded("w3"))
def test_training_follows_keras(name, executor_class):
    saved, arrays = opened(name)
    for key, view in recorded_weights(saved, arrays, "w0"):
        view[...] = arrays[key]
    losses, loss_weights, optimizer = compile_step(name, saved)
    with executor_class(
        saved.model, batch_size=4, losses=losses, loss_weights=loss_weights, optimizer=optimizer
    ) as executor:
        rate = schedule_of(name, optimizer.learning_rate)
        for step in (1, 2, 3):
            batch = batch_of(name, arrays, slice(4 * step - 4, 4 * step))
            total = executor.train_step(batch, step, rate(step))
            assert_close(total, arrays["losses"][step - 1])
            if step == 1:
                assert_weights(saved, arrays, "w1")
                assert_first_step(saved, arrays, executor, optimizer)
        assert_weights(saved, arrays, "w3")
        if "w4_loss" in arrays:
            total = executor.train_step(batch_of(name, arrays, slice(0, 4)), 4, rate(4))
            assert_close(total, arrays["w4_loss"], 1e-4)
            assert_weights(saved, arrays, "w4", 1e-4)


def assert_first_step(saved, arrays, executor, optimizer) -> None:
    """Loss, outputs and gradients of the first batch, where Keras recorded them."""
    for index_of_output, key in enumerate(("train_pred", "train_pred1")):
        if key in arrays:
            assert_close(executor.predictions[index_of_output], arrays[key])
    if optimizer.clipnorm or optimizer.clipvalue or optimizer.global_clipnorm:
        return  # the gradient has been clipped in place; Keras recorded it before
    for key, view in recorded_weights(saved, arrays, "grad"):
        assert_close(view, arrays[key])


@pytest.mark.parametrize("executor_class", EXECUTORS)
@pytest.mark.parametrize("name", recorded("w4", without=OPTIMIZER_OF))
def test_training_goes_on_from_the_state_in_the_file(name, executor_class):
    """One more step from weights and optimizer slots that Keras saved after three."""
    path = folder() / f"{name}.trained.k3.h5"
    saved = read(path if path.exists() else folder() / f"{name}.k2.h5")
    arrays = opened(name)[1]
    losses, loss_weights, optimizer = compile_step(name, saved)
    assert_weights(saved, arrays, "w3")
    assert saved.state.step == 3
    with executor_class(
        saved.model, batch_size=4, losses=losses, loss_weights=loss_weights, optimizer=optimizer
    ) as executor:
        for slot, values in saved.state.slots.items():
            executor.slots[slot][...] = values
        executor.memory.update(saved.state.memory)
        total = executor.train_step(batch_of(name, arrays, slice(0, 4)), 4, optimizer.learning_rate)
    assert_close(total, arrays["w4_loss"], 1e-4)
    assert_weights(saved, arrays, "w4", 1e-4)


@pytest.mark.parametrize("name", recorded("w3"))
def test_config_in_the_file_is_the_recorded_one(name):
    case = index()[name]
    losses, _, optimizer = compile_step(name, opened(name)[0])
    assert [one.name for one in losses] == [LOSSES.canonical(one) for one in loss_names(case)]
    assert optimizer.keras_class == case["optimizer"]["class"]
