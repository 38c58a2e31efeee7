"""Winograd whose frequencies are shared by the lanes, against the reference layer."""

import numpy as np
import pytest

from dltool.engine.executor import Executor
from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.kernels import products, shared_winograd
from dltool.engine.kernels.shared_winograd import SharedWinograd
from dltool.engine.layers import Add, BatchNormalization, Conv2D, ReLU
from dltool.engine.model import Model
from dltool.engine.reference import ReferenceExecutor


def network(height: int, width: int, padding: str) -> Graph:
    """One with a folded normalisation and a relu, whose output has a border, and one with a bias alone."""
    b = GraphBuilder()
    x = b.add(Conv2D(192, 1), b.input((height, width, 3)))
    y = b.add(ReLU(), b.add(BatchNormalization(), b.add(Conv2D(192, 3, padding=padding), x)))
    z = b.add(Conv2D(192, 3, padding=padding, bias_initializer="ones"), x)
    return b.graph(b.add(Conv2D(5, 3, padding="same"), b.add(Add(), y, z)))


def kinds(executor: Executor) -> list[type]:
    return [type(kernel) for kernel in executor._inference.kernels()]


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(("height", "width", "padding"), [(12, 16, "same"), (13, 11, "same"), (17, 12, "valid")])
def test_it_equals_the_reference_and_itself_on_any_lanes(height, width, padding, rows, in_place, monkeypatch):
    monkeypatch.setattr(products, "multiplies_in_place", lambda: in_place)
    model = Model.build(network(height, width, padding), seed=4)
    random = np.random.default_rng(1)
    inputs = (random.standard_normal((rows, height, width, 3), np.float32),)
    found = []
    for jobs in (1, 3):
        with Executor(model, batch_size=3, jobs=jobs, backend="threads") as executor:
            assert kinds(executor).count(SharedWinograd) == 2
            found.append(executor.forward(inputs)[0])
    with ReferenceExecutor(model, batch_size=3) as plain:
        expected = plain.forward(inputs)[0]
    assert np.abs(found[0] - expected).max() <= 5e-5 * np.abs(expected).max()
    assert found[0].tobytes() == found[1].tobytes()


@pytest.mark.parametrize("rows", [5, 7])
def test_larger_batches_go_some_images_at_a_time(rows, monkeypatch):
    monkeypatch.setattr(shared_winograd, "VALUES_BYTES", 3 * 4 * 36 * 12 * 192)  # of three images
    model = Model.build(network(12, 16, "same"), seed=4)
    inputs = (np.random.default_rng(1).standard_normal((rows, 12, 16, 3), np.float32),)
    with Executor(model, batch_size=7, jobs=2, backend="threads") as executor:
        assert [kernel.at_once for kernel in executor._inference.kernels() if type(kernel) is SharedWinograd] == [3, 3]
        found = executor.forward(inputs)[0]
    with ReferenceExecutor(model, batch_size=7) as plain:
        expected = plain.forward(inputs)[0]
    assert np.abs(found - expected).max() <= 5e-5 * np.abs(expected).max()


def test_exact_leaves_it_out():
    with Executor(Model.build(network(12, 16, "same")), batch_size=1, jobs=1, exact=True) as executor:
        assert SharedWinograd not in kinds(executor)
