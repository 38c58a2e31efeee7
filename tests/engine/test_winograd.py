"""Winograd's transforms against the direct sums, and the kernel against the reference layer."""

import numpy as np
import pytest

from dltool.engine.batch import Batch
from dltool.engine.executor import Executor
from dltool.engine.graph import GraphBuilder
from dltool.engine.kernels.winograd import WinogradConvolution
from dltool.engine.layers import Conv2D
from dltool.engine.losses import loss
from dltool.engine.model import Model
from dltool.engine.optimizers import optimizer
from dltool.engine.reference import ReferenceExecutor
from dltool.engine.winograd import KERNEL_TRANSFORM, TILE_SUM, Tiles, transform_kernel

INPUT_TRANSFORM = np.array(  # B^T, arXiv:1509.09308 equation 15
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float64,
)
OUTPUT_TRANSFORM = np.array(  # A^T
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float64
)


def fresh(name, shape):
    return np.full(shape, np.nan, np.float32)


def tiles_of(image: np.ndarray, size: int) -> np.ndarray:
    """(36 or 16, rows * down * across, channels): the tiles of an image, ``size`` pixels wide, 4 apart."""
    rows, height, width, channels = image.shape
    found = [
        image[n, y : y + size, x : x + size].reshape(size * size, channels)
        for n in range(rows)
        for y in range(0, height - size + 1, 4)
        for x in range(0, width - size + 1, 4)
    ]
    return np.stack(found, axis=1)


@pytest.fixture
def random():
    return np.random.default_rng(2)


def both_axes(matrix: np.ndarray) -> np.ndarray:
    """The transform of a flattened square tile."""
    return np.kron(matrix, matrix)


def test_the_identity_behind_it_holds(random):
    """One axis: A^T ((G g) * (B^T d)) is the correlation of d with g."""
    d, g = random.standard_normal(6), random.standard_normal(3)
    found = OUTPUT_TRANSFORM @ ((KERNEL_TRANSFORM.astype(np.float64) @ g) * (INPUT_TRANSFORM @ d))
    assert np.allclose(found, np.correlate(d, g, "valid"), atol=1e-6)


def test_input_transform_and_its_adjoint(random):
    image = random.standard_normal((2, 10, 14, 3)).astype(np.float32)
    tiles = Tiles(2, (2, 3), 3, fresh)
    values = fresh("", (36, 12, 3))
    tiles.bind_input(image, values)()
    expected = np.einsum("ij,jtc->itc", both_axes(INPUT_TRANSFORM), tiles_of(image, 6))
    assert np.allclose(values, expected, atol=1e-4)
    direction = random.standard_normal(values.shape).astype(np.float32)
    back = fresh("", image.shape)
    tiles.bind_input_back(direction, back)()
    assert np.vdot(direction, values) == pytest.approx(np.vdot(back, image), rel=1e-5)


def test_output_transform_and_its_adjoint(random):
    products = random.standard_normal((36, 12, 3)).astype(np.float32)
    tiles = Tiles(2, (2, 3), 3, fresh)
    image = fresh("", (2, 8, 12, 3))
    tiles.bind_output(products, image)()
    expected = np.einsum("ij,jtc->itc", both_axes(OUTPUT_TRANSFORM), products)
    assert np.allclose(tiles_of(image, 4), expected, atol=1e-4)
    direction = random.standard_normal(image.shape).astype(np.float32)
    back = fresh("", products.shape)
    tiles.bind_output_back(direction, back)()
    assert np.vdot(direction, image) == pytest.approx(np.vdot(back, products), rel=1e-5)


def test_kernel_transform(random):
    kernel = random.standard_normal((3, 3, 4, 5)).astype(np.float32)
    found = fresh("", (36, 4, 5))
    transform_kernel(kernel, found)
    rows = np.einsum("ai,ijcf->ajcf", KERNEL_TRANSFORM, kernel)
    expected = np.einsum("bj,ajcf->abcf", KERNEL_TRANSFORM, rows)
    assert np.allclose(found, expected.reshape(36, 4, 5), atol=1e-5)


def test_one_entry_of_a_transformed_gradient_is_the_tiles_sum(random):
    image = random.standard_normal((1, 8, 8, 2)).astype(np.float32)
    products = fresh("", (36, 4, 2))
    Tiles(1, (2, 2), 2, fresh).bind_output_back(image, products)()
    assert np.allclose(products[TILE_SUM], tiles_of(image, 4).sum(0), atol=1e-5)


def network(padding: str, size: int, activation: str = "linear"):
    """Two convolutions that Winograd takes; a linear head of the same kind keeps the comparison smooth."""
    b = GraphBuilder()
    x = b.add(Conv2D(64, 1), b.input((size, size, 3)))
    x = b.add(Conv2D(64, 3, padding=padding, activation=activation), x)
    return b.graph(b.add(Conv2D(72, 3, padding="same", use_bias=False), x))


@pytest.mark.parametrize(("padding", "size"), [("same", 8), ("same", 12), ("valid", 10)])
@pytest.mark.parametrize("activation", ["linear", "tanh", "relu"])
def test_the_kernel_agrees_with_the_reference_within_winograds_error(padding, size, activation, random):
    """The error bound of one convolution is 3-7e-5 of rms; two in a row and their gradients stay below 5e-4."""
    graph = network(padding, size, activation)
    inputs = (random.standard_normal((20, size, size, 3), dtype=np.float32),)
    batch = Batch(inputs, (random.standard_normal((20, *graph.output_shapes[0]), dtype=np.float32),))
    results = []
    for make, options in (
        (ReferenceExecutor, {}),
        (Executor, {"jobs": 1}),
        (Executor, {"jobs": 3, "backend": "threads"}),
    ):
        model = Model.build(graph, seed=4)
        with make(
            model, batch_size=20, losses=(loss("mean_squared_error"),), optimizer=optimizer("sgd"), **options
        ) as executor:
            if isinstance(executor, Executor):
                kinds = [type(kernel) for kernel in executor._training.kernels()]
                assert kinds.count(WinogradConvolution) == 2
            value = executor.train_step(batch, 1, 0.0)
            results.append((value, model.weights.gradient.copy(), executor.forward(inputs)[0]))
    plain, fast, lanes = results
    assert fast[0] == pytest.approx(plain[0], rel=1e-5)
    for found, expected in zip(fast[1:], plain[1:], strict=True):
        rms = np.sqrt(np.mean(np.square(expected)))
        assert np.abs(found - expected).max() < 5e-4 * max(rms, np.abs(expected).max() / 30)
    assert lanes[1].tobytes() == fast[1].tobytes()


def test_exact_leaves_winograd_out():
    graph = network("same", 8)
    with Executor(Model.build(graph), batch_size=4, jobs=1, exact=True) as executor:
        assert not any(isinstance(kernel, WinogradConvolution) for kernel in executor._inference.kernels())


@pytest.mark.parametrize("size", [20, 24, 32])
def test_bands_of_tiles_cover_an_image_of_any_height(size, random):
    graph = network("same", size)
    model = Model.build(graph, seed=4)
    inputs = (random.standard_normal((1, size, size, 3), dtype=np.float32),)
    with Executor(model, batch_size=1, jobs=2, backend="threads") as executor:
        found = executor.forward(inputs)[0]
    with ReferenceExecutor(model, batch_size=1) as plain:
        assert np.abs(found - plain.forward(inputs)[0]).max() < 1e-3
