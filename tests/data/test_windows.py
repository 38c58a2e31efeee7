"""Windows of a series: which values stand where, and that no value is on both sides of a split."""

import numpy as np
import pytest

from dltool.data.opening import open_data
from dltool.data.windows import Cut, Windows, open_series, remembered_cut, time_split
from dltool.errors import DataError, UsageError

SERIES = np.column_stack([np.arange(20.0), 100 + np.arange(20.0)])


@pytest.mark.parametrize("limit", [None, 0])
def test_a_row_is_a_window_and_its_targets_the_next_steps(limit):
    windows = Windows(SERIES, Cut(3, 2), "s.npy", limit)
    assert (len(windows), windows.input_shapes) == (16, ((3, 2),))
    batch = windows.fetch(np.array([4, 0]))
    assert batch.inputs[0].dtype == batch.targets[0].dtype == np.float32
    assert batch.inputs[0].tolist() == [[[4, 104], [5, 105], [6, 106]], [[0, 100], [1, 101], [2, 102]]]
    assert batch.targets[0].tolist() == [[[7, 107], [8, 108]], [[3, 103], [4, 104]]]
    assert windows.names([4]) == ["s.npy[4:7]"]
    assert windows.is_ready() == (limit is None)


def test_targets_lose_an_axis_of_one():
    assert Windows(SERIES, Cut(3, 2, (1,)), "s.npy").labels[0].tolist() == [103, 104]
    assert Windows(SERIES, Cut(3, 1), "s.npy").labels[0].tolist() == [3, 103]
    assert Windows(SERIES, Cut(3, 1, (0,)), "s.npy").labels.shape == (17, 1)


def test_labels_are_a_view_of_the_series():
    series = np.zeros((1000, 1), np.float32)
    windows = Windows(series, Cut(50, 40), "s.npy")
    assert windows.labels.shape == (911, 40)
    assert windows.labels.base is not None
    assert windows.labels.strides[0] == windows.labels.strides[1] == 4


def test_a_split_in_time_shares_no_value():
    train, valid = time_split(Windows(SERIES, Cut(3, 2), "s.npy"), 0.3)
    seen = {
        float(v)
        for w in (train,)
        for b in [w.fetch(np.arange(len(w)))]
        for a in (*b.inputs, *b.targets)
        for v in a.flat
    }
    held = {
        float(v)
        for w in (valid,)
        for b in [w.fetch(np.arange(len(w)))]
        for a in (*b.inputs, *b.targets)
        for v in a.flat
    }
    assert seen == {*range(14), *range(100, 114)}
    assert held == {*range(14, 20), *range(114, 120)}
    assert valid.names([0]) == ["s.npy[14:17]"]
    assert len({train.fingerprint, valid.fingerprint}) == 2


def test_a_part_without_room_for_a_window_is_refused():
    with pytest.raises(
        DataError, match=r"s\.npy: the validation part has 2 of 20 steps, a window with its targets needs 5"
    ):
        time_split(Windows(SERIES, Cut(3, 2), "s.npy"), 0.1)


def test_bad_values_are_named_by_their_step():
    series = SERIES.copy()
    series[7, 1] = np.nan
    with pytest.raises(DataError, match=r"s\.npy: NaN at row 7, column 1"):
        Windows(series, Cut(3, 1), "s.npy")
    with pytest.raises(DataError, match=r"s\.npy: NaN at row 5"):
        Windows(series, Cut(3, 1), "s.npy", 0).fetch(np.array([0, 5]))


def test_one_feature_fits_models_without_its_axis(tmp_path):
    np.save(tmp_path / "s.npy", np.arange(10))
    windows = open_series(str(tmp_path / "s.npy"), Cut(4))
    assert windows.adapt_to([(4,)]).fetch(np.array([1])).inputs[0].tolist() == [[1, 2, 3, 4]]
    assert windows.adapt_to([(None, 1)]).input_shapes == ((4, 1),)
    with pytest.raises(DataError, match="windows are 4x1, the model wants 6x1; give the --window that it was made for"):
        windows.adapt_to([(6, 1)])


def test_a_limit_takes_the_last_windows(tmp_path):
    np.save(tmp_path / "s.npy", np.arange(30.0))
    windows = open_series(str(tmp_path / "s.npy"), Cut(4, 2), limit_rows=3)
    assert len(windows) == 3
    assert windows.fetch(np.array([2])).targets[0].tolist() == [[28, 29]]


def test_what_is_no_series_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((4, 3, 2)))
    np.save(tmp_path / "s.npy", np.zeros((6, 2)))
    path = str(tmp_path / "s.npy")
    with pytest.raises(DataError, match=r"x\.npy: an array of shape \(4, 3, 2\) is no series"):
        open_data([tmp_path / "x.npy"], cut=Cut(2))
    with pytest.raises(DataError, match="6 steps, but a window of 6 and a horizon of 1 need 7"):
        open_data([path], cut=Cut(6))
    with pytest.raises(DataError, match=r"--target-column: 2, but .*s\.npy has 2 columns"):
        open_data([path], cut=Cut(2, 1, (2,)))
    with pytest.raises(UsageError, match="--labels: the rows are windows of a series"):
        open_data([path], cut=Cut(2), labels=["y.npy"])
    with pytest.raises(UsageError, match="--window: cuts one series"):
        open_data([path, path], cut=Cut(2))


def test_a_cut_comes_back_from_what_a_model_remembers():
    for cut in (Cut(24, 3, (0, 2)), Cut(5)):
        assert remembered_cut(cut.preprocessing) == cut
    assert remembered_cut({"kind": "image", "height": 3}) is None
    assert remembered_cut(None) is None
