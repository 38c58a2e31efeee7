"""Convolutions of one to three small images against the reference, folded normalisation and relu included."""

import numpy as np
import pytest

from dltool.engine.executor import Executor
from dltool.engine.graph import GraphBuilder
from dltool.engine.kernels.small_maps import SmallMapConvolution
from dltool.engine.layers import Add, BatchNormalization, Conv2D, ReLU
from dltool.engine.model import Model
from dltool.engine.reference import ReferenceExecutor

LAYERS = {
    "one pixel": Conv2D(168, 1, use_bias=False),
    "windows": Conv2D(168, 3, padding="same"),
    "strided": Conv2D(168, 3, 2, padding="same", activation="relu"),
    "one pixel, strided": Conv2D(168, 1, 2),
    "few filters": Conv2D(130, 3, padding="same"),
    "deep": Conv2D(128, 13, padding="same"),
}


def network(layer: Conv2D):
    """The layer reads a bordered buffer, because another convolution with windows reads it too."""
    b = GraphBuilder()
    x = b.add(Conv2D(8, 1), b.input((9, 7, 3)))
    y = b.add(ReLU(), b.add(BatchNormalization(), b.add(layer, x)))
    z = b.add(Conv2D(layer.filters, 3, layer.strides, padding="same"), x)
    return b.graph(b.add(Add(), y, z))


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_it_equals_the_reference_and_itself_on_any_lanes(name, rows):
    graph = network(LAYERS[name])
    model = Model.build(graph, seed=4)
    random = np.random.default_rng(1)
    model.weights.vector[...] = random.uniform(0.2, 1.0, model.weights.vector.size)
    inputs = (random.standard_normal((rows, 9, 7, 3), dtype=np.float32),)
    found = []
    for jobs in (1, 3):
        with Executor(model, batch_size=rows, jobs=jobs, backend="threads") as executor:
            found.append(executor.forward(inputs)[0])
            assert sum(isinstance(kernel, SmallMapConvolution) for kernel in executor._inference.kernels()) == 2
    with ReferenceExecutor(model, batch_size=rows) as plain:
        expected = plain.forward(inputs)[0]
    assert np.abs(found[0] - expected).max() <= 1e-5 * np.abs(expected).max()
    assert found[0].tobytes() == found[1].tobytes()
