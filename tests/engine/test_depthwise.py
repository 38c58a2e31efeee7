"""The depthwise kernel against the reference layer: strides, borders, bands, and a normalisation folded into it."""

import numpy as np
import pytest

from dltool.engine.batch import Batch
from dltool.engine.executor import Executor
from dltool.engine.graph import GraphBuilder
from dltool.engine.kernels.depthwise import DepthwiseKernel
from dltool.engine.layers import BatchNormalization, Conv2D, DepthwiseConv2D, ReLU
from dltool.engine.losses import loss
from dltool.engine.model import Model
from dltool.engine.optimizers import optimizer
from dltool.engine.reference import ReferenceExecutor

LAYERS = {
    "same": DepthwiseConv2D(3, padding="same", activation="relu"),
    "valid": DepthwiseConv2D((3, 2), use_bias=False),
    "strided": DepthwiseConv2D(3, strides=2, padding="same"),
    "strided down": DepthwiseConv2D(3, strides=(2, 1), padding="same"),
    "strided across": DepthwiseConv2D(5, strides=(1, 2)),
    "dilated": DepthwiseConv2D(3, dilation_rate=2, padding="same"),
}


def network(layer: DepthwiseConv2D):
    b = GraphBuilder()
    x = b.add(Conv2D(12, 1), b.input((11, 9, 3)))
    x = b.add(ReLU(), b.add(BatchNormalization(), b.add(layer, x)))
    return b.graph(b.add(Conv2D(4, 1), x))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("options", [{"jobs": 1}, {"jobs": 3, "backend": "threads"}], ids=str)
def test_training_equals_the_reference(name, options):
    b = GraphBuilder()
    graph = b.graph(b.add(Conv2D(4, 1), b.add(LAYERS[name], b.add(Conv2D(12, 1), b.input((11, 9, 3))))))
    random = np.random.default_rng(0)
    inputs = (random.standard_normal((10, 11, 9, 3), dtype=np.float32),)
    batch = Batch(inputs, (random.standard_normal((10, *graph.output_shapes[0]), dtype=np.float32),))
    found = []
    for make, chosen in ((ReferenceExecutor, {}), (Executor, options)):
        model = Model.build(graph, seed=4)
        with make(
            model, batch_size=10, losses=(loss("mean_squared_error"),), optimizer=optimizer("sgd"), **chosen
        ) as executor:
            value = executor.train_step(batch, 1, 0.0)
            found.append((value, executor.predictions[0].copy(), model.weights.gradient.copy()))
    assert any(isinstance(kernel, DepthwiseKernel) for kernel in executor._training.kernels())
    for ours, plain in zip(found[1], found[0], strict=True):
        assert np.abs(ours - plain).max() <= 1e-5 * np.abs(plain).max()


@pytest.mark.parametrize("rows", [1, 6])
@pytest.mark.parametrize("name", LAYERS)
def test_inference_in_bands_and_shards_folds_the_normalisation(name, rows):
    graph = network(LAYERS[name])
    model = Model.build(graph, seed=4)
    random = np.random.default_rng(1)
    model.weights.vector[...] = random.uniform(0.2, 1.0, model.weights.vector.size)
    inputs = (random.standard_normal((rows, 11, 9, 3), dtype=np.float32),)
    with Executor(model, batch_size=rows, jobs=2, backend="threads") as executor:
        found = executor.forward(inputs)[0]
        kinds = [type(kernel).__name__ for kernel in executor._inference.kernels()]
    assert "FrozenNormalizationKernel" not in kinds or LAYERS[name].activation == "relu"
    with ReferenceExecutor(model, batch_size=rows) as plain:
        expected = plain.forward(inputs)[0]
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
