"""Products in blocks against numpy's own product of the whole."""

import numpy as np
import pytest

from dltool.engine.buffers import Piece, Workspace
from dltool.engine.kernels import products
from dltool.engine.kernels.products import MOST_RESULTS, MOST_WORK, bind_product, block_of

SHAPES = [
    (784, 288, 32),
    (128, 784, 128),
    (130, 5408, 130),
    (1568, 27, 64),
    (3, 40_000, 10),
    (5000, 9, 33),
    (100, 512, 100),
    (64, 3136, 64),
]
LAYOUTS = ["as they lie", "a transposed", "b transposed"]


@pytest.fixture(params=[True, False], ids=["blocks", "whole"])
def in_place(request, monkeypatch):
    """Both on a processor whose BLAS multiplies small matrices in place and on one whose does not."""
    monkeypatch.setattr(products, "multiplies_in_place", lambda: request.param)
    return request.param


def operands(shape, layout, lead=()):
    rows, depth, columns = shape
    rng = np.random.default_rng(0)
    a = rng.standard_normal((*lead, rows, depth), dtype=np.float32)
    b = rng.standard_normal((*lead, depth, columns), dtype=np.float32)
    if layout == "a transposed":
        a = np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2)
    if layout == "b transposed":
        b = np.ascontiguousarray(b.swapaxes(-1, -2)).swapaxes(-1, -2)
    return a, b


def piece():
    return Piece(0, 1, 1, Workspace())


def assert_product(a, b, out):
    bind_product(a, b, out, piece())()
    expected = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(out, expected, rtol=0, atol=2e-6 * a.shape[-1] ** 0.5 * np.abs(expected).max())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_a_product_in_blocks_is_the_product(shape, layout, in_place):
    a, b = operands(shape, layout)
    assert_product(a, b, np.full((shape[0], shape[2]), np.nan, np.float32))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_matrix_of_a_stack_is_multiplied(layout, in_place):
    shape = (130, 600, 70)
    a, b = operands(shape, layout, (3,))
    assert_product(a, b, np.full((3, 130, 70), np.nan, np.float32))


def test_tiles_of_larger_matrices_are_read_and_written_in_their_places(in_place):
    a, b = operands((200, 300, 400), "as they lie")
    out = np.zeros((200, 800), np.float32)
    bind_product(a[:, 10:290], b[10:290, 100:300], out[:, 50:250], piece())()
    expected = a[:, 10:290].astype(np.float64) @ b[10:290, 100:300].astype(np.float64)
    np.testing.assert_allclose(out[:, 50:250], expected, rtol=0, atol=1e-3)
    assert not out[:, :50].any()
    assert not out[:, 250:].any()


def test_a_vector_times_a_matrix(in_place):
    _, b = operands((1, 2000, 600), "as they lie")
    out = np.empty(600, np.float32)
    bind_product(np.ones(2000, np.float32), b, out, piece())()
    np.testing.assert_allclose(out, b.sum(0, dtype=np.float64), atol=1e-3)


@pytest.mark.parametrize("a_transposed, b_transposed", [(False, False), (True, False), (False, True)])
def test_blocks_keep_within_what_is_multiplied_in_place(a_transposed, b_transposed):
    rng = np.random.default_rng(0)
    for rows, depth, columns in rng.integers(1, 4000, (300, 3)).tolist():
        block = block_of(rows, depth, columns, a_transposed, b_transposed)
        if block is not None:
            high, wide, deep = block
            assert high * wide * deep <= MOST_WORK
            assert 1 <= high <= rows and 1 <= wide <= columns and 1 <= deep <= depth
            assert not b_transposed or high * wide <= MOST_RESULTS


def test_the_bits_of_a_tile_do_not_depend_on_the_other_tiles():
    """Lanes take tiles of one product; whoever takes which, the result is the same."""
    a, b = operands((128, 784, 512), "as they lie")
    whole = np.empty((128, 512), np.float32)
    for start in range(0, 512, 128):
        bind_product(a, b[:, start : start + 128], whole[:, start : start + 128], piece())()
    again = np.empty_like(whole)
    for start in reversed(range(0, 512, 128)):
        bind_product(a, b[:, start : start + 128], again[:, start : start + 128], piece())()
    assert np.array_equal(whole, again)
