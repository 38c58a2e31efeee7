"""From command-line paths to data sets."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dltool.data.loader import Loader
from dltool.data.opening import open_data
from dltool.errors import DataError


def picture(path: Path, size: tuple[int, int] = (4, 3), mode: str = "L", value: object = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)
    return path


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Grey 4x3 pictures: three cats, two dogs."""
    for name in ("cat/1", "cat/2", "cat/10", "dog/1", "dog/2"):
        picture(tmp_path / "data" / f"{name}.png", value=int(name.split("/")[1]))
    return tmp_path / "data"


def save(path: Path, values: object, dtype: object = None) -> str:
    np.save(path, np.asarray(values, dtype))
    return str(path)


def test_class_folders_give_everything_a_model_needs(classes: Path) -> None:
    opened = open_data([classes])
    assert (opened.kind, opened.input_shape, opened.classes) == ("images", (3, 4, 1), ("cat", "dog"))
    assert opened.preprocessing == {"kind": "image", "height": 3, "width": 4, "color": "gray", "resize": "stretch"}
    assert (opened.valid, opened.test, opened.notes, opened.ignored_files) == (None, None, (), 0)
    batch = next(Loader(opened.train, 5, shuffle=False).epoch(0))
    assert batch.inputs[0][:, 0, 0, 0].tolist() == [1, 2, 10, 1, 2]
    assert batch.targets[0].tolist() == [0, 0, 0, 1, 1]


def test_one_coloured_image_makes_all_coloured(classes: Path) -> None:
    picture(classes / "dog/3.png", mode="RGB", value=(1, 2, 3))
    assert open_data([classes]).input_shape == (3, 4, 3)
    assert open_data([classes], color="gray").input_shape == (3, 4, 1)


def test_different_sizes_are_stretched_to_the_median_and_said(classes: Path) -> None:
    picture(classes / "dog/3.png", size=(100, 90))
    opened = open_data([classes])
    assert opened.input_shape == (32, 32, 1)
    assert opened.notes[0].startswith("image sizes differ (3x4 to 90x100); all become 32x32")
    assert open_data([classes], image_size=(8, 6), resize="pad").preprocessing["resize"] == "pad"


def test_ignored_files_are_counted_and_said(classes: Path) -> None:
    (classes / "notes.txt").write_text("x")
    (classes / "cat/.DS_Store").write_text("x")
    opened = open_data([classes])
    assert opened.ignored_files == 2
    assert opened.notes == ("ignored 2 entries that are not images",)


def test_a_folder_with_parts_gives_all_of_them(tmp_path: Path) -> None:
    for name in ("train/cat/1", "train/dog/1", "val/dog/1", "test/dog/7", "test/cat/7"):
        picture(tmp_path / f"{name}.png")
    opened = open_data([tmp_path])
    assert opened.train.names([0, 1]) == [str(tmp_path / f"train/{name}/1.png") for name in ("cat", "dog")]
    assert opened.valid.names([0]) == [str(tmp_path / "val/dog/1.png")]
    assert opened.valid.labels.tolist() == [1]  # dog is the second training class
    assert opened.valid.classes == ("cat", "dog")
    assert opened.test.labels.tolist() == [0, 1]


def test_a_class_that_training_does_not_have_is_refused(tmp_path: Path) -> None:
    for name in ("train/cat/1", "train/dog/1", "valid/cow/1"):
        picture(tmp_path / f"{name}.png")
    with pytest.raises(DataError, match="unknown class 'cow'; the classes are cat, dog"):
        open_data([tmp_path])


def test_several_folders_are_joined(classes: Path, tmp_path: Path) -> None:
    picture(tmp_path / "more/ant/1.png")
    opened = open_data([classes, tmp_path / "more"])
    assert opened.classes == ("ant", "cat", "dog")
    assert opened.train.labels.tolist() == [1, 1, 1, 2, 2, 0]


def test_class_names_of_a_model_decide_order_by_name(classes: Path) -> None:
    opened = open_data([classes], class_names=["owl", "dog", "cat"])
    assert opened.train.labels.tolist() == [2, 2, 2, 1, 1]
    assert opened.classes == ("owl", "dog", "cat")
    with pytest.raises(DataError, match="unknown class 'dog'"):
        open_data([classes], class_names=["cat", "owl"])


def test_the_number_of_classes_of_a_model_is_checked(classes: Path) -> None:
    assert open_data([classes], num_classes=2).classes == ("cat", "dog")
    with pytest.raises(DataError, match=r"2 classes \(cat, dog\), the model has 10; .*--class-names"):
        open_data([classes], num_classes=10)


def test_models_of_keras_without_names_take_plain_order(tmp_path: Path) -> None:
    for name in ("2/1", "10/1"):
        picture(tmp_path / f"{name}.png")
    assert open_data([tmp_path]).classes == ("2", "10")
    opened = open_data([tmp_path], plain_order=True)
    assert opened.classes == ("10", "2")
    assert "plain alphabetical" in opened.notes[0]


def test_one_class_is_not_enough_to_learn_from(tmp_path: Path) -> None:
    picture(tmp_path / "images/cat/1.png")
    with pytest.raises(DataError, match="all 1 rows are of one class, 'cat'; training needs at least two"):
        open_data([tmp_path / "images"])
    assert len(open_data([tmp_path / "images"], class_names=["cat", "dog"]).train) == 1
    save(tmp_path / "x.npy", np.zeros((3, 2)))
    save(tmp_path / "y.npy", [1, 1, 1])
    with pytest.raises(DataError, match="all 3 rows are of one class, '1'"):
        open_data([tmp_path / "x.npy"])


def break_two(classes: Path) -> None:
    (classes / "cat/2.png").write_bytes(b"text")
    good = (classes / "dog/1.png").read_bytes()
    (classes / "dog/1.png").write_bytes(good[:-24])  # the header is there, the last pixels are not


def test_bad_headers_stop_at_once_with_their_number(classes: Path) -> None:
    break_two(classes)
    (classes / "dog/2.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"cat/2\.png: not a JPEG.* \(and 1 more files\), or use --skip-bad"):
        open_data([classes])
    with pytest.raises(DataError, match=r"cat/2\.png"):
        open_data([classes], image_size=(3, 4), color="gray")
    assert len(open_data([classes], image_size=(3, 4), color="gray", check=False).train) == 5


def test_skip_bad_leaves_out_what_cannot_be_decoded(classes: Path) -> None:
    break_two(classes)
    opened = open_data([classes], skip_bad=True)
    assert opened.skipped_files == 2
    assert opened.notes[-1].startswith("left out 2 unreadable images, the first: ")
    assert [Path(name).name for name in opened.train.names(range(3))] == ["1.png", "10.png", "2.png"]
    assert opened.train.is_ready()
    assert opened.train.labels.tolist() == [0, 0, 1]


def test_skip_bad_with_nothing_left_is_an_error(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"text")
    with pytest.raises(DataError, match=r"a/1\.png: not a JPEG.*\(and 1 more files\)"):
        open_data([tmp_path], skip_bad=True)


def test_a_limit_takes_all_classes(classes: Path) -> None:
    opened = open_data([classes], limit=3)
    assert np.bincount(opened.train.labels).tolist() == [2, 1]  # shares 1.8 and 1.2


def test_arrays_with_labels_beside_them(tmp_path: Path) -> None:
    x = np.arange(24).reshape(4, 3, 2)
    save(tmp_path / "train_x.npy", x, np.uint8)
    save(tmp_path / "train_y.npy", [0, 1, 2, 1])
    opened = open_data([str(tmp_path / "train_x.npy")])
    assert (opened.kind, opened.input_shape, opened.classes) == ("arrays", (3, 2), ("0", "1", "2"))
    assert opened.preprocessing is None
    batch = opened.train.fetch(np.array([2]))
    assert batch.inputs[0].tolist() == x[[2]].tolist()
    assert batch.inputs[0].dtype == np.uint8
    assert opened.train.names([2]) == [f"{tmp_path / 'train_x.npy'}[2]"]
    assert opened.adapt_to((3, 2, 1)).input_shape == (3, 2, 1)
    with pytest.raises(DataError, match=r"train_x\.npy: rows are 3x2, the model wants 28x28x1"):
        opened.adapt_to((28, 28, 1))


def test_arrays_with_named_labels(tmp_path: Path) -> None:
    path, labels = save(tmp_path / "a.npy", np.zeros((2, 3))), save(tmp_path / "b.npy", ["dog", "cat"])
    assert open_data([path], labels=labels).train.labels.tolist() == [1, 0]
    with pytest.raises(DataError, match=r"a\.npy: no labels; give --labels"):
        open_data([path])
    with pytest.raises(DataError, match=r"c\.npy: 3 labels for the 2 rows of .*a\.npy"):
        open_data([path], labels=save(tmp_path / "c.npy", [0, 1, 1]))


def test_float_labels_are_regression(tmp_path: Path) -> None:
    path, labels = save(tmp_path / "x.npy", np.zeros((2, 3))), save(tmp_path / "t.npy", [0.5, 1.5])
    opened = open_data([path], labels=labels)
    assert opened.classes is None
    assert opened.train.fetch(np.array([1])).targets[0].tolist() == [[1.5]]
    with pytest.raises(DataError, match=r"t\.npy: label 0\.5 at row 0 is not a class number"):
        open_data([path], labels=labels, wants="classes", num_classes=2)


def test_several_arrays_are_joined_with_one_list_of_classes(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{name}-x.npy", np.full((2, 3), i)) for i, name in enumerate("ab")]
    save(tmp_path / "a-y.npy", ["dog", "owl"])
    save(tmp_path / "b-y.npy", ["cat", "dog"])
    opened = open_data(paths)
    assert opened.classes == ("cat", "dog", "owl")
    assert opened.train.labels.tolist() == [1, 2, 0, 1]
    assert opened.train.fetch(np.array([3, 0])).inputs[0][:, 0].tolist() == [1, 0]
    with pytest.raises(DataError, match="one --labels for 2 arrays"):
        open_data(paths, labels=str(tmp_path / "a-y.npy"))


def test_a_limit_on_arrays(tmp_path: Path) -> None:
    path = save(tmp_path / "x.npy", np.arange(40.0).reshape(20, 2))
    save(tmp_path / "y.npy", [0] * 10 + [1] * 10)
    opened = open_data([path], limit=6)
    assert np.bincount(opened.train.labels).tolist() == [3, 3]
    assert opened.train.fetch(np.arange(6)).inputs[0].shape == (6, 2)


def test_what_is_neither_folder_nor_array_is_named(classes: Path, tmp_path: Path) -> None:
    (tmp_path / "x.doc").write_text("a,b")
    with pytest.raises(DataError, match=r"x\.doc: is neither a folder of class folders nor a \.npy, \.npz, \.csv"):
        open_data([tmp_path / "x.doc"])
    with pytest.raises(DataError, match=r"gone: cannot be opened \(No such file"):
        open_data([tmp_path / "gone"])
    path = save(tmp_path / "x.npy", np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"x\.npy: arrays and image folders cannot be joined"):
        open_data([classes, path])
    with pytest.raises(DataError, match="--data: no path given"):
        open_data([])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"image_size": (0, 4)}, "image size 0x4 cannot be used"), ({"color": "blue"}, "color 'blue' is not known"),
     ({"resize": "squash"}, "resize 'squash' is not known"), ({"image_size": (10_000, 10_000)}, "image size 10000x")],
)  # fmt: skip
def test_impossible_image_options_are_refused(classes: Path, options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_data([classes], **options)
