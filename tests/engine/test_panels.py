"""Products with weights in panels against numpy's own product in float64."""

import numpy as np
import pytest

from dltool.engine.buffers import Piece, Workspace
from dltool.engine.kernels import products
from dltool.engine.kernels.panels import Panels

SHAPES = [(49, 512, 160), (196, 96, 130), (49, 2500, 128), (1, 64, 144), (150, 1300, 176)]


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_tiles_of_columns_make_up_the_product(shape, in_place, scaled, monkeypatch):
    monkeypatch.setattr(products, "multiplies_in_place", lambda: in_place)
    rows, depth, columns = shape
    random = np.random.default_rng(0)
    a = random.standard_normal((rows, depth), np.float32)
    weights = random.standard_normal((depth, columns), np.float32)
    scale = random.standard_normal(columns, np.float32) if scaled else None
    panels = Panels(rows, depth, [0, 32, 80, columns])
    panels.fill(weights, scale)
    out, piece = np.full((rows, columns + 3), np.nan, np.float32), Piece(0, 1, 1, Workspace())
    for index in range(3):
        panels.bind(a, index, out[:, panels.tile(index)], piece)()
    expected = a.astype(np.float64) @ (weights.astype(np.float64) * (1 if scale is None else scale))
    assert np.abs(out[:, :columns] - expected).max() <= 3e-6 * np.abs(expected).max()
    assert np.isnan(out[:, columns:]).all()
