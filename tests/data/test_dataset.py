"""Rows from arrays and images, parts and joins of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dltool.data.arrays import map_array
from dltool.data.dataset import ArrayDataset, Concatenated, Subset, summary_counts
from dltool.data.folder import list_classes
from dltool.data.image_folder import ImageFolder, PixelStore
from dltool.data.images import ImageReader
from dltool.errors import DataError

LABELS = np.array([0, 1, 0, 1])
ROWS = np.array([3, 0])


def arrays(values: np.ndarray, path: str = "x.npy", limit: int | None = None) -> ArrayDataset:
    return ArrayDataset([values], LABELS[: len(values)], ("a", "b"), [path], limit)


def image_folder(root: Path, limit: int | None = None) -> ImageFolder:
    """Four 2x2 grey images of value 10 * row, two in each of the classes a and b."""
    for row in range(4):
        path = root / "ab"[row // 2] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2), 10 * row).save(path)
    return ImageFolder(list_classes(str(root)), ImageReader(2, 2, "gray"), limit)


@pytest.mark.parametrize("limit", [None, 0])
@pytest.mark.parametrize("dtype", ["u1", "<f4", ">f4", "f8", "i8", "?", "f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_array_rows_are_the_same_in_memory_and_mapped(
    tmp_path: Path, dtype: str, order: str, limit: int | None
) -> None:
    values = np.array(np.arange(24).reshape(4, 3, 2) % 2, dtype=dtype, order=order)
    np.save(tmp_path / "x.npy", values)
    data = arrays(map_array(str(tmp_path / "x.npy")), limit=limit)
    batch = data.fetch(ROWS)
    assert data.is_ready() == (limit is None)
    assert data.input_shapes == ((3, 2),)
    assert batch.inputs[0].dtype == (np.uint8 if dtype == "u1" else np.float32)
    assert batch.inputs[0].flags.c_contiguous
    np.testing.assert_array_equal(batch.inputs[0], values[ROWS].astype(float))
    assert batch.targets[0].tolist() == [1, 0]
    assert batch.rows.tolist() == [3, 0]


def test_a_batch_does_not_share_memory_with_the_data() -> None:
    data = arrays(np.zeros((4, 2), np.uint8))
    data.fetch(ROWS).inputs[0][...] = 7
    assert data.fetch(ROWS).inputs[0].max() == 0


@pytest.mark.parametrize(("limit", "when"), [(None, "opened"), (0, "fetched")])
def test_nan_is_named_with_its_row(limit: int | None, when: str) -> None:
    values = np.zeros((4, 2))
    values[3, 1] = np.nan
    with pytest.raises(DataError, match=r"x\.npy: NaN at row 3, column 1"):
        data = arrays(values, limit=limit)
        assert when == "fetched"
        data.fetch(np.array([0, 1]))
        data.fetch(ROWS)


def test_values_beyond_float32_are_named() -> None:
    with pytest.raises(DataError, match=r"x\.npy: infinity \(or a value too large for float32\) at row 0"):
        arrays(np.full((4, 2), 1e300))


def test_single_numbers_become_rows_of_one() -> None:
    assert arrays(np.arange(4.0)).fetch(ROWS).inputs[0].tolist() == [[3.0], [0.0]]


@pytest.mark.parametrize(
    ("row", "wanted", "adapted"),
    [((3, 2), (3, 2, 1), (3, 2, 1)), ((3, 2, 1), (3, 2), (3, 2)), ((3, 2), (None, None, 1), (3, 2, 1)),
     ((3, 2), (3, None), (3, 2)), ((5,), (5, 1), (5, 1))],
)  # fmt: skip
def test_a_last_axis_of_one_is_added_or_dropped(row: tuple, wanted: tuple, adapted: tuple) -> None:
    values = np.arange(4 * np.prod(row), dtype=np.uint8).reshape(4, *row)
    for data in (arrays(values), Subset(arrays(values), np.arange(4)), Concatenated([arrays(values)])):
        data = data.adapt_to([wanted])
        assert data.input_shapes == (adapted,)
        np.testing.assert_array_equal(data.fetch(ROWS).inputs[0].ravel(), values[ROWS].ravel())


def test_other_shapes_are_refused_with_both_named() -> None:
    with pytest.raises(DataError, match=r"x\.npy: rows are 28x28, the model wants 32x32x3"):
        arrays(np.zeros((1, 28, 28), np.uint8)).adapt_to([(32, 32, 3)])


def test_images_are_decoded_in_the_order_asked(tmp_path: Path) -> None:
    data = image_folder(tmp_path)
    batch = data.fetch(ROWS)
    assert batch.inputs[0].shape == (2, 2, 2, 1)
    assert batch.inputs[0].dtype == np.uint8
    assert batch.inputs[0][:, 0, 0, 0].tolist() == [30, 0]
    assert batch.targets[0].tolist() == [1, 0]
    assert data.names(ROWS) == [str(tmp_path / "b/3.png"), str(tmp_path / "a/0.png")]
    assert data.input_shapes == ((2, 2, 1),)
    assert [(count.name, count.count) for count in summary_counts(data)] == [("a", 2), ("b", 2)]


def test_decoded_images_are_kept(tmp_path: Path) -> None:
    data = image_folder(tmp_path)
    assert not data.is_ready()
    data.fetch(ROWS)
    assert data.is_ready(ROWS)
    assert not data.is_ready()
    assert data.decode_all(workers=2) == {}
    assert data.is_ready()
    for path in tmp_path.rglob("*.png"):
        path.unlink()
    assert data.fetch(np.array([2, 1])).inputs[0][:, 0, 0, 0].tolist() == [20, 10]


def test_what_does_not_fit_is_decoded_again(tmp_path: Path) -> None:
    data = image_folder(tmp_path, limit=9)  # two images of four bytes
    assert data.store.capacity == 2
    for _ in range(2):
        assert data.fetch(np.arange(4)).inputs[0][:, 0, 0, 0].tolist() == [0, 10, 20, 30]
    assert data.store.has().tolist() == [True, True, False, False]
    assert not data.is_ready()


def test_a_store_without_room_keeps_nothing() -> None:
    store = PixelStore(3, (2, 2, 1), limit=-1)
    store.put(0, np.zeros((2, 2, 1), np.uint8))
    assert not store.has().any()


def test_images_of_another_size_than_the_model_are_refused(tmp_path: Path) -> None:
    data = image_folder(tmp_path)
    assert data.adapt_to([(None, None, 1)]) is data
    with pytest.raises(DataError, match=r"images are read as 2x2x1, the model wants 4x4x3"):
        data.adapt_to([(4, 4, 3)])


def test_undecodable_images_are_reported_by_row(tmp_path: Path) -> None:
    data = image_folder(tmp_path)
    (tmp_path / "a/1.png").write_bytes((tmp_path / "a/1.png").read_bytes()[:45])
    bad = data.decode_all(workers=2)
    assert list(bad) == [1]
    with pytest.raises(DataError, match=r"1\.png: "):
        data.fetch(np.array([0, 1]))


def test_a_subset_counts_its_own_rows(tmp_path: Path) -> None:
    data = Subset(image_folder(tmp_path), np.array([3, 1]))
    batch = data.fetch(np.array([1]))
    assert len(data) == 2
    assert data.labels.tolist() == [1, 0]
    assert batch.inputs[0][0, 0, 0, 0] == 10
    assert batch.rows.tolist() == [1]
    assert data.names([0]) == [str(tmp_path / "b/3.png")]
    assert not data.is_ready()
    assert data.is_ready(np.array([1]))
    data.fetch(np.array([0]))
    assert data.is_ready()


def test_joined_data_sets_are_one() -> None:
    first, second = arrays(np.arange(4, dtype=np.uint8)), arrays(10 + np.arange(3, dtype=np.uint8), "z.npy")
    data = Concatenated([first, second])
    rows = np.array([6, 0, 4, 3])
    assert len(data) == 7
    assert data.fetch(rows).inputs[0].tolist() == [[12], [0], [10], [3]]
    assert data.fetch(rows).targets[0].tolist() == [0, 0, 0, 1]
    assert data.names(rows) == ["z.npy[2]", "x.npy[0]", "z.npy[0]", "x.npy[3]"]
    assert data.labels.tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert data.is_ready()


def test_data_sets_of_different_rows_cannot_be_joined() -> None:
    with pytest.raises(DataError, match=r"z\.npy\[0\]: rows are 3, those of x\.npy\[0\] are 2"):
        Concatenated([arrays(np.zeros((4, 2))), arrays(np.zeros((4, 3)), "z.npy")])


def test_fingerprints_tell_data_sets_apart() -> None:
    values = np.arange(8.0).reshape(4, 2)
    data = arrays(values)
    assert arrays(values, "other.npy", limit=0).fingerprint == data.fingerprint
    others = [
        arrays(values + 1),
        ArrayDataset([values], LABELS[::-1], ("a", "b"), ["x.npy"]),
        Subset(data, np.arange(3)),
        Concatenated([data, data]),
    ]
    assert len({data.fingerprint, *(other.fingerprint for other in others)}) == 5
