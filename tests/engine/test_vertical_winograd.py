"""Winograd along the height alone against the reference layer, for heights that do and do not fill its tiles."""

import numpy as np
import pytest

from dltool.engine.batch import Batch
from dltool.engine.executor import Executor
from dltool.engine.graph import GraphBuilder
from dltool.engine.kernels.vertical_winograd import VerticalWinograd
from dltool.engine.layers import Conv2D
from dltool.engine.losses import loss
from dltool.engine.model import Model
from dltool.engine.optimizers import optimizer
from dltool.engine.reference import ReferenceExecutor

ROWS = 20


def network(padding: str, shape: tuple[int, int], activation: str = "linear", trains_before: bool = True):
    b = GraphBuilder()
    x = b.add(Conv2D(32, 1, trainable=trains_before), b.input((*shape, 3)))
    x = b.add(Conv2D(32, 3, padding=padding, activation=activation), x)
    return b.graph(b.add(Conv2D(40, 3, padding="same", use_bias=False), x))


def count(executor: Executor) -> int:
    plan = executor._training or executor._inference
    return sum(isinstance(kernel, VerticalWinograd) for kernel in plan.kernels())


@pytest.mark.parametrize(
    ("padding", "shape", "activation", "trains_before"),
    [
        ("same", (12, 9), "linear", True),
        ("same", (14, 5), "tanh", True),
        ("valid", (16, 16), "relu", True),
        ("valid", (17, 7), "linear", True),
        ("valid", (16, 7), "linear", False),
    ],
)
def test_it_equals_the_reference_layer_and_itself_on_any_lanes(padding, shape, activation, trains_before):
    graph = network(padding, shape, activation, trains_before)
    random = np.random.default_rng(2)
    inputs = (random.standard_normal((ROWS, *shape, 3), dtype=np.float32),)
    batch = Batch(inputs, (random.standard_normal((ROWS, *graph.output_shapes[0]), dtype=np.float32),))
    frozen = 0 if trains_before else 3 * 32 + 32  # the reference gives these weights a gradient too
    found = []
    for make, options in (
        (ReferenceExecutor, {}),
        (Executor, {"jobs": 1}),
        (Executor, {"jobs": 3, "backend": "threads"}),
    ):
        model = Model.build(graph, seed=4)
        with make(
            model, batch_size=ROWS, losses=(loss("mean_squared_error"),), optimizer=optimizer("sgd"), **options
        ) as executor:
            value = executor.train_step(batch, 1, 0.0)
            found.append((np.float32(value), model.weights.gradient[frozen:].copy(), executor.forward(inputs)[0]))
            assert make is ReferenceExecutor or count(executor) == 2
    plain, fast, lanes = found
    for ours, expected in zip(fast, plain, strict=True):
        assert np.abs(ours - expected).max() < 1e-4 * np.abs(expected).max()
    assert lanes[1].tobytes() == fast[1].tobytes() and lanes[2].tobytes() == fast[2].tobytes()


@pytest.mark.parametrize("height", [12, 22, 26])
def test_bands_of_tiles_cover_an_image_of_any_height(height):
    graph = network("same", (height, 40))
    model = Model.build(graph, seed=4)
    inputs = (np.random.default_rng(2).standard_normal((1, height, 40, 3), dtype=np.float32),)
    with Executor(model, batch_size=1, jobs=2, backend="threads") as executor:
        found = executor.forward(inputs)[0]
        assert count(executor) == 2
    with ReferenceExecutor(model, batch_size=1) as plain:
        assert np.abs(found - plain.forward(inputs)[0]).max() < 1e-4


@pytest.mark.parametrize("channels", [1, 8, 48])
def test_exact_rounds_no_more_than_direct_sums_do(channels):
    """rms of the errors against float64, of F(2, 3) and of the reference's sums over whole windows."""
    b = GraphBuilder()
    graph = b.graph(b.add(Conv2D(32, 3, padding="same"), b.input((16, 16, channels))))
    model = Model.build(graph, seed=4)
    inputs = np.random.default_rng(2).standard_normal((8, 16, 16, channels), dtype=np.float32)
    padded = np.pad(inputs.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    true = np.einsum("nhwcij,ijcf->nhwf", windows, model.weights.views[graph.nodes[1].name][0].astype(np.float64))
    errors = []
    for make, options in ((ReferenceExecutor, {}), (Executor, {"jobs": 1, "exact": True}), (Executor, {"jobs": 1})):
        with make(model, batch_size=8, **options) as executor:
            errors.append(np.sqrt(np.mean((executor.forward((inputs,))[0] - true) ** 2)))
            assert make is ReferenceExecutor or count(executor) == 1
    direct, by_two, by_four = errors
    assert 0 < by_two < 1.5 * direct
    assert by_two < by_four, "otherwise the option had no effect"


def test_exact_training_agrees_with_the_reference_more_closely():
    graph = network("valid", (17, 7))
    random = np.random.default_rng(2)
    inputs = (random.standard_normal((ROWS, 17, 7, 3), dtype=np.float32),)
    batch = Batch(inputs, (random.standard_normal((ROWS, *graph.output_shapes[0]), dtype=np.float32),))
    gradients = []
    for make, options in ((ReferenceExecutor, {}), (Executor, {"jobs": 1, "exact": True})):
        model = Model.build(graph, seed=4)
        with make(
            model, batch_size=ROWS, losses=(loss("mean_squared_error"),), optimizer=optimizer("sgd"), **options
        ) as executor:
            executor.train_step(batch, 1, 0.0)
        gradients.append(model.weights.gradient.copy())
    plain, found = gradients
    assert np.abs(found - plain).max() < 3e-6 * np.abs(plain).max()
