"""One to three rows at inference: the parent writes the input where it is read, and the ends are cheap."""

import numpy as np
import pytest

from dltool.engine.executor import Executor
from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.kernels.dense import DenseByDepth
from dltool.engine.kernels.elementwise import SoftmaxKernel
from dltool.engine.kernels.heads import InputKernel
from dltool.engine.layers import Activation, Conv2D, Dense, Flatten
from dltool.engine.model import Model
from dltool.engine.reference import ReferenceExecutor


def chain(*layers) -> Graph:
    b = GraphBuilder()
    place = b.input((7, 6, 3))
    for layer in layers:
        place = b.add(layer, place)
    return b.graph(place)


CHAINS = {
    "border": (Conv2D(4, 3, 2, padding="same"), Flatten(), Dense(5, activation="softmax")),
    "softmax of pixels": (Conv2D(4, 3, padding="same", activation="softmax"), Conv2D(2, 3, activation="softmax")),
    "softmax of the input": (Activation("softmax"),),
}


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
@pytest.mark.parametrize("rows", [1, 2, 9])
@pytest.mark.parametrize("name", CHAINS)
def test_inference_equals_the_reference(name, rows, kind):
    model = Model.build(chain(*CHAINS[name]), seed=2)
    inputs = (np.random.default_rng(0).uniform(0, 9, (rows, 7, 6, 3)).astype(kind),)
    with ReferenceExecutor(model, batch_size=rows) as plain:
        expected = plain.forward(inputs)[0]
    for options in ({"batch_size": 1, "jobs": 1}, {"batch_size": 3, "jobs": 2}, {"batch_size": 9, "jobs": 2}):
        with Executor(model, backend="threads", **options) as executor:
            kernels = executor._inference.kernels()
            assert any(isinstance(kernel, SoftmaxKernel) for kernel in kernels)
            (entry,) = (kernel for kernel in kernels if isinstance(kernel, InputKernel))
            assert entry.is_direct == (options["batch_size"] < 4)
            for _ in range(2):  # what one batch leaves in the buffers does not reach the next
                np.testing.assert_allclose(executor.forward(inputs)[0], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("rows", [1, 3])
def test_many_weights_are_read_in_tiles_of_depth(rows):
    model = Model.build(chain(Flatten(), Dense(2100, activation="relu"), Dense(130, use_bias=False)), seed=2)
    inputs = (np.random.default_rng(0).standard_normal((rows, 7, 6, 3), dtype=np.float32),)
    found = []
    for jobs in (1, 2, 3, 4):
        with Executor(model, batch_size=rows, jobs=jobs, backend="threads") as executor:
            found.append(executor.forward(inputs)[0])
            assert sum(isinstance(kernel, DenseByDepth) for kernel in executor._inference.kernels()) == 2
    kernel, bias, last = model.weights.views["dense"] + model.weights.views["dense_1"]
    expected = np.maximum(inputs[0].reshape(rows, -1).astype(np.float64) @ kernel + bias, 0) @ last
    assert np.abs(found[0] - expected).max() <= 1e-6 * np.abs(expected).max()
    assert len({result.tobytes() for result in found}) == 1
