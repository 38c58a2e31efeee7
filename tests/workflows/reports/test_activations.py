"""Dead and saturated units, with weights set by hand."""

import numpy as np
import pytest

from dltool.errors import UsageError
from dltool.modelfile.reading import read
from dltool.modelfile.writing import write
from dltool.settings import BuildSettings, DataSettings, SummarySettings
from dltool.workflows import build
from dltool.workflows.reports.activations import ActivationRow, run


@pytest.fixture
def model(tmp_path, monkeypatch):
    """One number in; relu of 1, -1, 0 times it; sigmoid of the first of these times 0 and 100; two classes."""
    monkeypatch.chdir(tmp_path)
    build.run(BuildSettings("m.h5", input=(1,), words=("dense:3,relu", "dense:2,sigmoid", "dense:2,softmax")))
    saved = read("m.h5")
    first, second = (saved.model.weights.views[name] for name in ("dense", "dense_1"))
    first[0][...], first[1][...] = [[1, -1, 0]], 0
    second[0][...], second[1][...] = [[0, 100], [0, 0], [0, 0]], 0
    write(saved, "m.h5")
    np.save("x.npy", np.array([[1.0], [2.0], [0.0], [3.0]]))
    np.save("y.npy", np.array([0, 1, 0, 1]))
    return SummarySettings("m.h5", activations=True, data=DataSettings(("x.npy",), "y.npy"))


def test_dead_and_saturated_units_are_counted(model):
    rows, num_rows = run(model)
    assert num_rows == 4
    # Inputs are 0 or more: the second unit of the first layer never answers, the third is 0 always.
    assert rows[0] == ActivationRow("dense", "relu", 3, pytest.approx(2 / 3), None)
    # sigmoid(0) = 1/2 for four values; of the other unit's four, those of inputs 1, 2, 3 are 1.
    assert rows[1] == ActivationRow("dense_1", "sigmoid", 2, None, pytest.approx(3 / 8))
    assert len(rows) == 2


def test_without_rows_it_says_what_it_needs(model):
    with pytest.raises(UsageError, match="--activations: needs rows to look at; give --data train/"):
        run(SummarySettings("m.h5", activations=True))
