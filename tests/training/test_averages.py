"""Running averages that can be looked at, saved and taken up again without a changed bit."""

import json

import numpy as np
import pytest

from dltool.engine.batch import Batch
from dltool.engine.layers import Dense
from dltool.training import averages
from dltool.training.averages import Averages
from dltool.training.objective import make_objective
from tests.training.rows import chain


def batches(sizes: list[int]) -> list[tuple[float, Batch, tuple[np.ndarray]]]:
    random = np.random.default_rng(0)
    found = []
    for size in sizes:
        x, y = random.normal(size=(size, 1)).astype(np.float32), random.integers(0, 3, size)
        p = random.random((size, 3)).astype(np.float32)
        found.append((float(random.random()), Batch((x,), (y,)), (p / p.sum(axis=1, keepdims=True),)))
    return found


def new() -> Averages:
    model = chain(1, Dense(3, activation="softmax"))
    metrics = ("accuracy", "mean_absolute_error", "auc", "f1_score", "top_k_categorical_accuracy")
    return Averages(make_objective(model, [np.array([0, 1, 2])], metrics=metrics))


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    """Groups of 10 rows, so that some batches lie in two groups' reach."""
    monkeypatch.setattr(averages, "GROUP_ROWS", 10)


SIZES = [4, 4, 4, 4, 4, 4, 3]


@pytest.mark.parametrize("cut", range(1, len(SIZES)))
def test_saved_and_restored_anywhere_they_end_with_the_same_bits(cut):
    whole, first, second = new(), new(), new()
    for loss, batch, predictions in batches(SIZES):
        whole.add(loss, batch, predictions)
    for loss, batch, predictions in batches(SIZES)[:cut]:
        first.add(loss, batch, predictions)
    second.restore(json.loads(json.dumps(first.state())))
    for loss, batch, predictions in batches(SIZES)[cut:]:
        second.add(loss, batch, predictions)
    assert second.results() == whole.results()
    assert second.state() == whole.state()


def test_looking_changes_nothing():
    watched, alone = new(), new()
    for loss, batch, predictions in batches(SIZES):
        watched.add(loss, batch, predictions)
        watched.results()
        alone.add(loss, batch, predictions)
    assert watched.state() == alone.state()


def test_large_outputs_are_not_kept():
    found = new()
    (loss, batch, predictions), *_ = batches([40])
    found.add(loss, batch, predictions)
    assert found.state()["filled"] == 0
    assert found.results()["accuracy"] == pytest.approx((predictions[0].argmax(1) == batch.targets[0]).mean())


def test_metrics_see_only_the_positions_that_the_mask_lets_count():
    found = new()
    y = np.array([[0, 1], [2, 0]])
    p = np.eye(3, dtype=np.float32)[[[0, 2], [2, 1]]]  # right, wrong, right, wrong
    found.add(0.5, Batch((p,), (y,)), (p,), (np.array([[True, False], [True, True]]),))
    assert found.results()["accuracy"] == pytest.approx(2 / 3)
    assert found.state()["filled"] == 0
