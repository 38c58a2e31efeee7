"""Where the features of a frozen base are kept, and what is written of them."""

import errno
import os

import numpy as np
import pytest

from dltool.data.dataset import ArrayDataset
from dltool.data.opening import open_data
from dltool.errors import OutputError, UsageError
from dltool.settings import DataSettings, FinetuneSettings
from dltool.workflows.finetuning import feature_cache
from dltool.workflows.finetuning.feature_cache import check_features, feature_arrays, planned_cache
from dltool.workflows.finetuning.features import size_text


def settings(folder, **options) -> FinetuneSettings:
    return FinetuneSettings("base.h5", DataSettings(), output=str(folder / "n.h5"), **options)


def rows(classes: tuple[str, ...] | None = ("cat", "dog")) -> ArrayDataset:
    labels = np.array([0, 1, 1]) if classes else np.array([0.5, 1, 2], np.float32)
    return ArrayDataset([np.zeros((3, 2), np.float32)], labels, classes, ["x.npy"])


def kept(folder, path: str | None = None, dataset: ArrayDataset | None = None, **options) -> list[np.ndarray]:
    """Two arrays, filled."""
    wanted = settings(folder, features=path, **options)
    cache = planned_cache(wanted, (3, 2), (4,), 0)
    with feature_arrays(wanted, cache, [(3, 4), (2, 4)], dataset or rows()) as arrays:
        for number, array in enumerate(arrays):
            array[...] = np.arange(array.size).reshape(array.shape) + 100 * number
    return arrays


@pytest.mark.parametrize(
    ("size", "text"),
    [(960, "960 B"), (3840, "3.8 kB"), (999_949, "999.9 kB"), (999_951, "1.0 MB"), (1_230_000_000, "1.2 GB")],
)
def test_sizes_are_told_in_their_unit(size, text):
    assert size_text(size) == text


@pytest.mark.parametrize("limit", [80, 79])
def test_arrays_hold_what_was_put_in_and_leave_no_file(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(feature_cache, "store_limit", lambda: limit)
    first, second = kept(tmp_path)
    assert isinstance(first, np.memmap) == (limit < 80)
    assert first[2].tolist() == [8, 9, 10, 11] and second[1].tolist() == [104, 105, 106, 107]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [80, 0])
def test_a_named_file_has_the_rows_of_the_data(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(feature_cache, "store_limit", lambda: limit)
    first, _ = kept(tmp_path, str(tmp_path / "f.npy"))
    kept(tmp_path, str(tmp_path / "f.npz"))
    assert np.load(tmp_path / "f.npy").tolist() == first.tolist() == np.arange(12).reshape(3, 4).tolist()
    assert np.load(tmp_path / "f.npy").dtype == np.float32
    with np.load(tmp_path / "f.npz") as found:
        assert found["x"].tolist() == first.tolist() and found["y"].tolist() == ["cat", "dog", "dog"]
    assert open_data([tmp_path / "f.npz"]).classes == ("cat", "dog")
    kept(tmp_path, str(tmp_path / "n.npz"), rows(None))
    with np.load(tmp_path / "n.npz") as found:
        assert found["y"].tolist() == [0.5, 1, 2]
    assert sorted(os.listdir(tmp_path)) == ["f.npy", "f.npz", "n.npz"]


def test_an_error_while_features_are_computed_leaves_no_file(tmp_path):
    wanted = settings(tmp_path, features=str(tmp_path / "f.npy"))
    cache = planned_cache(wanted, (3,), (4,), 0)
    with pytest.raises(KeyboardInterrupt), feature_arrays(wanted, cache, [(3, 4)], rows()):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [None, "f.npy"])
def test_a_full_disk_is_told_before_anything_is_mapped(tmp_path, monkeypatch, path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(feature_cache, "store_limit", lambda: 0)
    monkeypatch.setattr(feature_cache, "reserve", full)
    with pytest.raises(OutputError, match="disk full while saving"):
        kept(tmp_path, path and str(tmp_path / path))
    assert list(tmp_path.iterdir()) == []


def test_room_is_looked_for_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "store_limit", lambda: 0)
    assert planned_cache(settings(tmp_path, precompute=False), (3,), (4,), 0) is None
    huge = (10**15,)
    assert planned_cache(settings(tmp_path), huge, (4,), 0) is None
    with pytest.raises(
        UsageError, match=r"--precompute: the features of .* rows need 16,000,000\.0 GB, which fit neit"
    ):
        planned_cache(settings(tmp_path, precompute=True), huge, (4,), 0)
    with pytest.raises(OutputError, match=r"f\.npy: .* MB are needed and .* MB are free; free disk space"):
        planned_cache(settings(tmp_path, features=str(tmp_path / "f.npy")), huge, (4,), 0)
    (tmp_path / "f.npy").touch()
    with pytest.raises(OutputError, match=r"f\.npy: exists; use --force to replace it"):
        planned_cache(settings(tmp_path, features=str(tmp_path / "f.npy")), (3,), (4,), 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": "f.txt"}, r"f\.txt is neither \.npy nor \.npz; name it so"),
        ({"features": "f.npy", "precompute": False}, "cannot be combined with --no-precompute"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path, options, message):
    with pytest.raises(UsageError, match=f"--features: {message}"):
        check_features(settings(tmp_path, **options))
    same = FinetuneSettings("base.h5", DataSettings(), output="./n.npz", features="n.npz")
    with pytest.raises(UsageError, match=r"--features: n\.npz is the model's file too; give another name"):
        check_features(same)
