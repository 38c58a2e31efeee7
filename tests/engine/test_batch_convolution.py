"""The convolution over the whole batch, tap by tap, against the reference layer; how its tiles are dealt out."""

import numpy as np
import pytest

from dltool.engine.batch import Batch
from dltool.engine.executor import Executor
from dltool.engine.graph import GraphBuilder
from dltool.engine.kernels.batch_convolution import BatchConvolution, balanced
from dltool.engine.kernels.taps import reach
from dltool.engine.layers import Conv2D
from dltool.engine.losses import loss
from dltool.engine.model import Model
from dltool.engine.optimizers import optimizer
from dltool.engine.reference import ReferenceExecutor

LAYERS = {
    "3x3 on 2x2": ((2, 2, 40), Conv2D(48, 3, padding="same")),
    "3x3 on one pixel": ((1, 1, 40), Conv2D(48, 3, padding="same", activation="relu")),
    "strided": ((4, 4, 40), Conv2D(48, 3, 2, padding="same", activation="relu")),
    "strided, odd size": ((5, 3, 40), Conv2D(48, 3, 2, padding="same")),
    "valid": ((3, 4, 40), Conv2D(48, (3, 2))),
    "one pixel": ((2, 2, 40), Conv2D(48, 1, use_bias=False)),
    "dilated beyond the image": ((3, 3, 40), Conv2D(48, 3, padding="same", dilation_rate=4)),
    "even and dilated": ((3, 3, 40), Conv2D(48, 2, padding="same", dilation_rate=2)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("options", [{"jobs": 1}, {"jobs": 3, "backend": "threads"}], ids=str)
def test_it_equals_the_reference_layer(name, options):
    shape, layer = LAYERS[name]
    b = GraphBuilder()
    graph = b.graph(b.add(layer, b.add(Conv2D(40, 1), b.input(shape))))
    random = np.random.default_rng(0)
    inputs = (random.standard_normal((2, *shape), dtype=np.float32),)
    batch = Batch(inputs, (random.standard_normal((2, *graph.output_shapes[0]), dtype=np.float32),))
    found = []
    for make, chosen in ((ReferenceExecutor, {}), (Executor, options)):
        model = Model.build(graph, seed=4)
        with make(
            model, batch_size=2, losses=(loss("mean_squared_error"),), optimizer=optimizer("sgd"), **chosen
        ) as executor:
            value = executor.train_step(batch, 1, 0.0)
            found.append((value, executor.predictions[0].copy(), model.weights.gradient.copy()))
    assert any(isinstance(kernel, BatchConvolution) for kernel in executor._training.kernels())
    for ours, plain in zip(found[1], found[0], strict=True):
        assert np.abs(ours - plain).max() <= 1e-5 * max(1.0, np.abs(plain).max())


def test_halves_of_the_tiles_hold_about_equal_work():
    sizes = [16, 32, 16, 32, 64, 32, 16, 32, 16]  # 3x3 on 2x2, 16 images
    units = balanced(sizes, 1)
    assert sorted(tap for tap, _, _ in units) == list(range(9))
    assert [sum(sizes[tap] for tap, _, _ in half) for half in (units[:4], units[4:])] == [144, 112]
    assert balanced([7], 4) == [(0, 0, 4), (0, 3, 4), (0, 1, 4), (0, 2, 4)]


def test_a_tap_reaches_the_inputs_that_are_no_border():
    assert reach(-1, 4, 4, 1) == (slice(1, 4), slice(0, 3, 1))
    assert reach(1, 5, 3, 2) == (slice(0, 2), slice(1, 4, 2))
    assert reach(4, 3, 3, 1) == (slice(0, 0), slice(0, 0, 1))
