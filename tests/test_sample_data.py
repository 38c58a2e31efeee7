"""The committed sample data are what the script writes."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

from tests import make_sample_data


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.interop
def test_the_script_writes_exactly_the_committed_files(tmp_path, sample_data):
    if importlib.util.find_spec("sklearn") is None:
        pytest.skip("scikit-learn is not installed")
    make_sample_data.write(tmp_path)
    written, committed = files_of(tmp_path), files_of(sample_data / "digits")
    assert sorted(written) == sorted(committed)
    assert [name for name in written if written[name] != committed[name]] == []


def test_folders_and_arrays_hold_the_same_pictures(sample_data):
    for part, rows in (("train", 1437), ("test", 360)):
        files = sorted((sample_data / "digits" / part).glob("*/*.png"), key=lambda path: path.name)
        pixels = np.stack([np.asarray(Image.open(path)) for path in files])
        assert len(files) == rows
        np.testing.assert_array_equal(np.load(sample_data / "digits" / f"{part}_x.npy"), pixels[..., np.newaxis])
        labels = [int(path.parent.name) for path in files]
        np.testing.assert_array_equal(np.load(sample_data / "digits" / f"{part}_y.npy"), labels)


def test_the_split_is_stratified_and_loses_no_row():
    labels = np.repeat(np.arange(3), (50, 30, 21))
    train, test = make_sample_data.split(labels, 20)
    assert sorted([*train, *test]) == list(range(101))
    # 50, 30 and 21 of 101 rows: shares of 20 are 9.9, 5.94, 4.16, so the two left over go to the first two classes.
    np.testing.assert_array_equal(np.bincount(labels[test]), [10, 6, 4])


def test_png_holds_the_pixels(tmp_path):
    pixels = np.array([[0, 1, 2], [253, 254, 255]], np.uint8)
    (tmp_path / "a.png").write_bytes(make_sample_data.png(pixels))
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), pixels)
