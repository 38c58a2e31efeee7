"""Sums that a convolution takes over in inference: which, and that the numbers stay."""

import numpy as np
import pytest

from dltool.engine.executor import Executor
from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.kernels import convolution
from dltool.engine.kernels.convolution import ShardConvolution
from dltool.engine.kernels.depthwise_block import DepthwiseBlock
from dltool.engine.kernels.elementwise import ZeroPaddingKernel
from dltool.engine.kernels.merging import AddKernel
from dltool.engine.kernels.shared_winograd import SharedWinograd
from dltool.engine.kernels.small_maps import SmallMapConvolution
from dltool.engine.kernels.vertical_winograd import VerticalWinograd
from dltool.engine.kernels.winograd import WinogradConvolution
from dltool.engine.layers import Add, BatchNormalization, Conv2D, DepthwiseConv2D, MaxPooling2D, ReLU, ZeroPadding2D
from dltool.engine.model import Model
from dltool.engine.reference import ReferenceExecutor

BLOCKS = {
    "bands": (Conv2D(24, 5, padding="same"), 20, ShardConvolution, 1),
    "shards": (Conv2D(24, 5, padding="same"), 20, ShardConvolution, 6),
    "filters": (Conv2D(128, 1, use_bias=False), 9, SmallMapConvolution, 2),
    "filters with a bias": (Conv2D(128, 3, padding="same"), 9, SmallMapConvolution, 1),
    "one axis": (Conv2D(24, 3, padding="same"), 20, VerticalWinograd, 1),
    "both axes": (Conv2D(64, 3, padding="same"), 20, WinogradConvolution, 1),
    "both axes, shards": (Conv2D(64, 3, padding="same"), 20, WinogradConvolution, 5),
    "frequencies": (Conv2D(192, 3, padding="same"), 14, SharedWinograd, 1),
}


def residual(layer: Conv2D, size: int, ends: tuple) -> Graph:
    """x + layer(x), whose input and output have borders, and what comes after the sum."""
    b = GraphBuilder()
    x = b.add(Conv2D(layer.filters, 3, padding="same"), b.input((size, size, 3)))
    x = b.add(Add(), x, b.add(layer, x))
    for end in ends:
        x = b.add(end, x)
    return b.graph(b.add(Conv2D(2, 3, padding="same"), x))


def outputs(graph: Graph, rows: int, jobs: int = 1) -> tuple[np.ndarray, list, np.ndarray]:
    """Of the executor, its kernels, and of the reference."""
    model = Model.build(graph, seed=3)
    random = np.random.default_rng(5)
    model.weights.vector += random.uniform(0.0, 0.1, model.weights.vector.size).astype(np.float32)  # biases too
    inputs = (random.standard_normal((rows, *graph.input_shapes[0]), np.float32),)
    with Executor(model, batch_size=rows, jobs=jobs, backend="threads") as executor:
        found, kernels = executor.forward(inputs)[0], executor._inference.kernels()
    with ReferenceExecutor(model, batch_size=rows) as plain:
        return found, kernels, plain.forward(inputs)[0]


@pytest.mark.parametrize("ends", [(), (ReLU(),), (ReLU(6.0),)], ids=["sum", "relu", "relu6"])
@pytest.mark.parametrize("name", BLOCKS)
def test_a_convolution_adds_what_its_output_is_added_to(name, ends):
    layer, size, kind, rows = BLOCKS[name]
    graph = residual(layer, size, ends)
    found, kernels, expected = outputs(graph, rows)
    assert sum(isinstance(kernel, kind) and kernel.site.adds for kernel in kernels) == 1
    assert not any(isinstance(kernel, AddKernel) for kernel in kernels)
    assert np.abs(found - expected).max() <= 5e-5 * np.abs(expected).max()
    assert outputs(graph, rows, jobs=3)[0].tobytes() == found.tobytes()


@pytest.mark.parametrize("rows", [1, 9])
def test_large_images_go_some_rows_at_a_time(rows, monkeypatch):
    monkeypatch.setattr(convolution, "FINISHED_BYTES", 4 * 20 * 24 * 2)  # two image rows
    monkeypatch.setattr(convolution, "COLUMN_BYTES", 1)  # one image
    graph = residual(Conv2D(24, 5, padding="same"), 20, (ReLU(),))
    found, kernels, expected = outputs(graph, rows)
    assert any(isinstance(kernel, ShardConvolution) for kernel in kernels)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert outputs(graph, rows, jobs=3)[0].tobytes() == found.tobytes()


def ways_not_to_fuse() -> dict[str, Graph]:
    graphs = {}
    b = GraphBuilder()
    x = b.add(Conv2D(4, 1), b.input((6, 6, 3)))
    y = b.add(Conv2D(4, 3, padding="same"), x)
    graphs["read twice"] = b.graph(b.add(Conv2D(2, 1), b.add(Add(), b.add(Add(), x, y), y)))
    b = GraphBuilder()
    x = b.input((6, 6, 3))
    y = b.add(Conv2D(4, 3, padding="same"), x)
    graphs["first of the two"] = b.graph(
        b.add(Add(), y, b.add(DepthwiseConv2D(3, padding="same"), b.add(Conv2D(4, 1), x)))
    )
    b = GraphBuilder()
    x = b.input((6, 6, 4))
    y = b.add(BatchNormalization(), b.add(MaxPooling2D(3, 1, "same"), b.add(Conv2D(4, 1), x)))
    graphs["no convolution"] = b.graph(b.add(Add(), x, y))
    b = GraphBuilder()
    x = b.add(Conv2D(4, 1), b.input((6, 6, 3)))
    graphs["twice the same"] = b.graph(b.add(Conv2D(2, 1), b.add(Add(), x, x)))
    b = GraphBuilder()
    x = b.input((6, 6, 4))
    y, z = (b.add(Conv2D(4, 1), x) for _ in range(2))
    graphs["three"] = b.graph(b.add(Add(), x, y, z))
    b = GraphBuilder()
    x = b.input((6, 6, 4))
    graphs["after a relu"] = b.graph(b.add(Add(), x, b.add(ReLU(), b.add(Conv2D(4, 1), x))))
    return graphs


@pytest.mark.parametrize("name", ways_not_to_fuse())
def test_other_sums_stay(name):
    found, kernels, expected = outputs(ways_not_to_fuse()[name], 2)
    assert any(isinstance(kernel, AddKernel) for kernel in kernels)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


PADDED = {
    "columns": (Conv2D(8, 7, 2), 21, ShardConvolution),
    "filters": (Conv2D(128, 3), 8, SmallMapConvolution),
    "one axis": (Conv2D(24, 3), 20, VerticalWinograd),
    "both axes": (Conv2D(64, 3), 20, WinogradConvolution),
    "frequencies": (Conv2D(192, 3), 14, SharedWinograd),
    "depthwise": (DepthwiseConv2D(3, 2), 32, DepthwiseBlock),
}


def padded(padding: object, readers: list, size: int) -> Graph:
    """Convolution, zeros around it, and what reads that."""
    b = GraphBuilder()
    x = b.add(ReLU(), b.add(Conv2D(getattr(readers[0], "filters", 16), 1), b.input((size, size, 3))))
    x = b.add(ZeroPadding2D(padding), x)
    return b.graph(*(b.add(Conv2D(3, 1), b.add(reader, x)) for reader in readers))


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("padding", [((2, 0), (0, 2)), ((1, 1), (2, 0))], ids=str)
@pytest.mark.parametrize("name", PADDED)
def test_a_convolution_has_the_zeros_around_its_input_for_nothing(name, padding, rows):
    layer, size, kind = PADDED[name]
    found, kernels, expected = outputs(padded(padding, [layer], size), rows)
    assert rows > 1 or sum(isinstance(kernel, kind) for kernel in kernels) >= 1
    assert not any(isinstance(kernel, ZeroPaddingKernel) for kernel in kernels)
    assert np.abs(found - expected).max() <= 5e-5 * np.abs(expected).max()


OTHER_READERS = {
    "pooling": [MaxPooling2D(3, 2)],
    "one of two": [Conv2D(4, 3), MaxPooling2D(2)],
    "padded again": [Conv2D(4, 3, padding="same")],
    "groups": [Conv2D(4, 3, groups=2)],
    "several filters a channel": [DepthwiseConv2D(3, depth_multiplier=2)],
    "nothing": [],
}


@pytest.mark.parametrize("name", OTHER_READERS)
def test_other_zeros_stay(name):
    readers = OTHER_READERS[name]
    b = GraphBuilder()
    graph = padded(1, readers, 9) if readers else b.graph(b.add(ZeroPadding2D(1), b.input((9, 9, 2))))
    found, kernels, expected = outputs(graph, 2)
    assert sum(isinstance(kernel, ZeroPaddingKernel) for kernel in kernels) == 1
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
