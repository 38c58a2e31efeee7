"""A depthwise convolution joined with the convolutions around it: against the reference, and when they stay apart."""

import numpy as np
import pytest

from dltool.engine.executor import Executor
from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.kernels import depthwise_block
from dltool.engine.kernels.depthwise import DepthwiseKernel
from dltool.engine.kernels.depthwise_block import DepthwiseBlock
from dltool.engine.layers import Add, BatchNormalization, Conv2D, DepthwiseConv2D, ReLU
from dltool.engine.model import Model
from dltool.engine.reference import ReferenceExecutor

MIDDLES = {
    "same": DepthwiseConv2D(3, padding="same"),
    "valid": DepthwiseConv2D((3, 2)),
    "strided": DepthwiseConv2D(3, strides=2, padding="same"),
    "strided and valid": DepthwiseConv2D(3, strides=2, use_bias=False),
    "a window of five": DepthwiseConv2D(5, strides=2, padding="same"),
    "a stride of three": DepthwiseConv2D((2, 3), strides=3, padding="same"),
    "strided down": DepthwiseConv2D(3, strides=(2, 1), padding="same"),
    "strided across": DepthwiseConv2D((1, 3), strides=(1, 2)),
}


def block(middle: DepthwiseConv2D, before: Conv2D | None = None, size: tuple[int, int] = (32, 27)) -> Graph:
    """Normalised throughout, as in MobileNets; the input has the border of a 3x3 convolution beside the block."""
    b = GraphBuilder()
    x = b.add(Conv2D(5, 3, padding="same"), b.input((*size, 3)))
    side = b.add(Conv2D(6, 3, strides=middle.strides, padding=middle.padding), x)
    y = b.add(ReLU(6.0), b.add(BatchNormalization(), b.add(before or Conv2D(12, 1, use_bias=False), x)))
    y = b.add(ReLU(6.0), b.add(BatchNormalization(), b.add(middle, y)))
    y = b.add(BatchNormalization(), b.add(Conv2D(6, 1, use_bias=False), y))
    return b.graph(b.add(Add(), side, y) if middle.kernel_size == (3, 3) else y, side)


def outputs(graph: Graph, rows: int, jobs: int = 1) -> tuple[list[np.ndarray], list, list[np.ndarray]]:
    """Of the executor, its kernels, and of the reference."""
    model = Model.build(graph, seed=3)
    random = np.random.default_rng(5)
    model.weights.vector += random.uniform(0.0, 0.3, model.weights.vector.size).astype(np.float32)  # all statistics too
    inputs = (random.standard_normal((rows, *graph.input_shapes[0]), np.float32),)
    with Executor(model, batch_size=rows, jobs=jobs, backend="threads") as executor:
        executor.forward(inputs)
        found, kernels = executor.forward(inputs, same_weights=True), executor._inference.kernels()
    with ReferenceExecutor(model, batch_size=rows) as plain:
        return list(found), kernels, list(plain.forward(inputs))


def assert_close(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for ours, plain in zip(found, expected, strict=True):
        assert np.abs(ours - plain).max() <= 2e-6 * np.abs(plain).max()


@pytest.mark.parametrize(("rows", "height"), [(1, None), (2, 1), (6, None), (6, 3)])
@pytest.mark.parametrize("name", MIDDLES)
def test_a_block_equals_its_layers_one_after_another(name, rows, height, monkeypatch):
    middle = MIDDLES[name]
    if height is not None:
        monkeypatch.setattr(depthwise_block, "BLOCK_BYTES", height * 4 * rows * middle.strides[0] * 27 * 12)
    graph = block(middle)
    found, kernels, expected = outputs(graph, rows)
    (joined,) = (kernel for kernel in kernels if isinstance(kernel, DepthwiseBlock))
    assert joined.before is not None and joined.after is not None
    assert_close(found, expected)
    for jobs in (2, 3, 4) if rows == 1 else ():
        for ours, other in zip(found, outputs(graph, rows, jobs)[0], strict=True):
            assert ours.tobytes() == other.tobytes()


@pytest.mark.parametrize("before", [Conv2D(12, 3, strides=2, padding="same"), Conv2D(12, 2)], ids=["strided", "valid"])
def test_a_block_begins_with_any_convolution_of_few_inputs(before):
    middle = DepthwiseConv2D(3, padding="same")
    b = GraphBuilder()
    y = b.add(ReLU(), b.add(before, b.input((50, 41, 3))))
    graph = b.graph(b.add(Conv2D(4, 1), b.add(ReLU(6.0), b.add(middle, y))))
    found, kernels, expected = outputs(graph, 1)
    assert [kernel.before is not None for kernel in kernels if isinstance(kernel, DepthwiseBlock)] == [True]
    assert_close(found, expected)


def test_rows_made_twice_must_cost_little():
    b = GraphBuilder()
    x = b.add(Conv2D(48, 1), b.input((8, 8, 40)))
    graph = b.graph(b.add(Conv2D(4, 1), b.add(DepthwiseConv2D(3, padding="same"), x)))
    found, kernels, expected = outputs(graph, 2)
    (joined,) = (kernel for kernel in kernels if isinstance(kernel, DepthwiseBlock))
    assert joined.before is None and joined.after is not None
    assert_close(found, expected)


def test_the_stride_across_gets_the_convolution_between_two():
    b = GraphBuilder()
    x = b.add(DepthwiseConv2D(3, padding="same"), b.add(Conv2D(6, 1), b.input((40, 40, 3))))
    x = b.add(ReLU(), b.add(Conv2D(8, 1), x))
    graph = b.graph(b.add(Conv2D(4, 1), b.add(DepthwiseConv2D(3, strides=2, padding="same"), x)))
    found, kernels, expected = outputs(graph, 1)
    blocks = [kernel for kernel in kernels if isinstance(kernel, DepthwiseBlock)]
    assert [(k.before is not None, k.after is not None) for k in blocks] == [(True, False), (True, True)]
    assert_close(found, expected)


def ways_not_to_join() -> dict[str, Graph]:
    graphs = {}
    for name in ("what lies before is an output", "what lies after is an output"):
        b = GraphBuilder()
        x = b.add(Conv2D(6, 1), b.input((40, 40, 3)))
        y = b.add(DepthwiseConv2D(3, padding="same"), x)
        graphs[name] = b.graph(y, x) if "before" in name else b.graph(b.add(Conv2D(4, 1), y), x, y)
    b = GraphBuilder()
    x = b.input((40, 40, 3))
    y = b.add(DepthwiseConv2D(3, padding="same"), b.add(DepthwiseConv2D(3, padding="same"), x))
    graphs["no other convolution"] = b.graph(b.add(ReLU(), y))
    b = GraphBuilder()
    x = b.input((40, 40, 3))
    y = b.add(DepthwiseConv2D(3, padding="same"), x)
    graphs["the one after adds it"] = b.graph(b.add(Add(), y, b.add(Conv2D(3, 1), x)))
    b = GraphBuilder()
    x = b.add(Conv2D(6, 1), b.input((40, 40, 3)))
    y = b.add(DepthwiseConv2D(3, padding="same"), b.add(Add(), x, b.add(Conv2D(6, 1), x)))
    graphs["the one before adds"] = b.graph(b.add(ReLU(), y))
    b = GraphBuilder()
    x = b.add(Conv2D(6, 1), b.input((40, 40, 3)))
    graphs["dilated"] = b.graph(b.add(Conv2D(4, 3), b.add(DepthwiseConv2D(3, dilation_rate=2), x)))
    return graphs


@pytest.mark.parametrize("name", ways_not_to_join())
def test_others_stay_apart(name):
    found, kernels, expected = outputs(ways_not_to_join()[name], 2)
    assert any(isinstance(kernel, DepthwiseKernel) for kernel in kernels)
    assert not any(isinstance(kernel, DepthwiseBlock) for kernel in kernels)
    assert_close(found, expected)
