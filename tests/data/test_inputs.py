"""Rows to predict: order, names and failures."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dltool.data.inputs import open_inputs, preprocessing_for
from dltool.data.opening import open_data

GREY = {"kind": "image", "height": 2, "width": 2, "color": "gray", "resize": "stretch"}


def picture(path: Path, value: int = 0) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (2, 2), value).save(path)
    return str(path)


def test_files_and_folders_come_in_the_order_given(tmp_path: Path) -> None:
    for name in ("f/10.png", "f/2.png", "f/deep/1.png"):
        picture(tmp_path / name, value=int(Path(name).stem))
    last = picture(tmp_path / "last.png", value=99)
    (tmp_path / "f/notes.txt").write_text("x")
    inputs = open_inputs([last, tmp_path / "f", last], GREY)
    names = [os.path.relpath(row.name, tmp_path).replace(os.sep, "/") for row in inputs]
    assert names == ["last.png", "f/2.png", "f/10.png", "f/deep/1.png", "last.png"]
    assert [int(row.value[0, 0, 0]) for row in inputs] == [99, 2, 10, 1, 99]
    assert (len(inputs), inputs.ignored_files) == (5, 1)
    assert [[row.value[0, 0, 0] for row in batch] for batch in inputs.batches(2)] == [[99, 2], [10, 1], [99]]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_order_does_not_depend_on_threads(tmp_path: Path, workers: int) -> None:
    paths = [picture(tmp_path / f"{row}.png", row) for row in range(150)]
    inputs = open_inputs(paths, GREY, workers=workers)
    assert [int(row.value[0, 0, 0]) for row in inputs] == list(range(150))


def test_whatever_fails_is_a_row_with_its_error(tmp_path: Path) -> None:
    good, text = picture(tmp_path / "good.png", 5), tmp_path / "text.jpg"
    text.write_text("hello")
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken.npy"
    broken.write_bytes(b"hello")
    rows = list(open_inputs([text, good, tmp_path / "gone.png", tmp_path / "empty", broken], GREY))
    assert [row.value is None for row in rows] == [True, False, True, True, True]
    assert [row.name for row in rows][2:4] == [str(tmp_path / "gone.png"), str(tmp_path / "empty")]
    messages = [str(row.error) for row in rows]
    assert "text.jpg: not a JPEG" in messages[0]
    assert rows[1].error is None
    assert "gone.png: no such file" in messages[2]
    assert "empty: no images in this folder" in messages[3]
    assert "broken.npy: not a .npy file" in messages[4]


@pytest.mark.skipif(os.name != "posix", reason="needs a FIFO")
def test_a_fifo_is_a_failed_row(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe.npy")
    rows = list(open_inputs([tmp_path / "pipe.png", tmp_path / "pipe.npy"], GREY))
    assert ["is not a regular file" in str(row.error) for row in rows] == [True, True]


def test_array_rows_are_named_by_number_and_brought_into_shape(tmp_path: Path) -> None:
    path = str(tmp_path / "x.npy")
    np.save(path, np.arange(4 * 600, dtype=np.uint8).reshape(600, 2, 2))
    rows = list(open_inputs([path], GREY, (2, 2, 1)))
    assert [row.name for row in rows[:2]] == [f"{path}[0]", f"{path}[1]"]
    assert len(rows) == 600
    assert rows[599].value.shape == (2, 2, 1)
    assert rows[1].value.ravel().tolist() == [4, 5, 6, 7]
    assert rows[1].value.dtype == np.uint8
    wrong = list(open_inputs([path], None, (5,)))
    assert len(wrong) == 1
    assert "rows are 2x2, the model wants 5" in str(wrong[0].error)


def test_a_row_with_nan_fails_alone(tmp_path: Path) -> None:
    values = np.zeros((300, 2))
    values[270, 1] = np.nan
    np.save(tmp_path / "x.npy", values)
    rows = list(open_inputs([tmp_path / "x.npy"], None, (2,)))
    assert [number for number, row in enumerate(rows) if row.error] == [270]
    assert "NaN at row 270, column 1" in str(rows[270].error)


def test_images_for_a_model_of_arrays_fail(tmp_path: Path) -> None:
    rows = list(open_inputs([picture(tmp_path / "1.png")], None, (784,)))
    assert "1.png: the model takes arrays, not images" in str(rows[0].error)


def test_a_model_that_remembers_nothing_is_read_by_its_shape(tmp_path: Path) -> None:
    rgb = {"kind": "image", "height": 8, "width": 6, "color": "rgb", "resize": "stretch"}
    assert preprocessing_for((8, 6, 3)) == rgb
    assert preprocessing_for((8, 6, 1))["color"] == "gray"
    assert [preprocessing_for(shape) for shape in ((8, 6, 4), (None, None, 3), (784,))] == [None] * 3
    row = next(iter(open_inputs([picture(tmp_path / "1.png", 9)], None, (8, 6, 3))))
    assert row.value.shape == (8, 6, 3)


def test_predict_sees_the_pixels_that_fit_saw(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 37, 23, 4), np.uint8)
    for name, pixels in zip(("a", "b"), noise, strict=True):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "1.png")
    opened = open_data([tmp_path], image_size=(16, 24), resize="crop")
    fitted = opened.train.fetch(np.arange(2)).inputs[0]
    predicted = [row.value for row in open_inputs([tmp_path], opened.preprocessing)]
    np.testing.assert_array_equal(fitted, predicted)
