"""The expected calibration error by hand."""

import numpy as np
import pytest

from dltool.training.calibration import Calibration


def test_each_bin_compares_confidence_with_accuracy():
    calibration = Calibration()
    # 0.95 and 0.97 share the last of 15 bins: mean confidence 0.96, accuracy 1/2; 0.9 and 0.52 have bins of their own.
    calibration.add(np.array([0.95, 0.9]), np.array([True, False]))
    calibration.add(np.array([0.52, 0.97]), np.array([True, False]))
    expected = 2 / 4 * abs(0.5 - 0.96) + 1 / 4 * 0.9 + 1 / 4 * 0.48
    assert calibration.error == pytest.approx(expected)


def test_a_bins_upper_edge_belongs_to_it():
    calibration = Calibration()
    calibration.add(np.array([3 / 15, 3 / 15 - 0.01, 1.0, 0.0]), np.array([True, False, True, False]))
    # The first two share bin 2: accuracy 1/2, mean confidence 0.195.
    assert calibration.error == pytest.approx(2 / 4 * abs(0.5 - 0.195))


def test_nothing_has_no_error():
    assert Calibration().error == 0.0
