"""Copies of windows."""

import numpy as np
import pytest

from dltool.engine.kernels.convolution import window_view
from dltool.engine.kernels.tricks import bind_copy


@pytest.mark.parametrize("channels", [1, 3, 64])
@pytest.mark.parametrize("dilation", [(1, 1), (1, 2)])
def test_windows_are_copied_number_by_number(channels, dilation):
    x = np.random.default_rng(0).standard_normal((2, 9, 8, channels), np.float32)[:, 1:, 1:]
    windows = window_view(x, (3, 2), (3, 3), (2, 1), dilation)
    columns = np.full((7, 3 * 2 * 9 * channels), np.nan, np.float32)
    bind_copy(windows, columns[1:3].reshape(windows.shape))()
    for row, image in zip(columns[1:3].reshape(2, 3, 2, 3, 3, channels), x, strict=True):
        for top, left, i, j in np.ndindex(3, 2, 3, 3):
            np.testing.assert_array_equal(row[top, left, i, j], image[2 * top + i, left + dilation[1] * j])
    assert np.isnan(columns[[0, *range(3, 7)]]).all()
