"""Labels of every step, strings, tokens, and rows that are their own targets."""

import numpy as np
import pytest

from dltool.data.dataset import ArrayDataset
from dltool.data.labels import parse_labels
from dltool.data.opening import open_data
from dltool.data.reconstruction import Reconstruction
from dltool.data.strings import parse_strings
from dltool.data.tokens import check_tokens, vocabulary_of
from dltool.errors import DataError
from tests.workflows.pictures import DARK_AND_BRIGHT, picture_folder


def rows(array):
    return ArrayDataset([array], np.zeros(len(array), np.int64), ("a",), ["x.npy"])


def test_whole_numbers_with_a_column_for_every_step_are_classes_of_steps():
    labels = parse_labels(np.array([[0, 2, 1], [1, 1, 0]]), "y.npy", steps=3)
    assert labels.values.tolist() == [[0, 2, 1], [1, 1, 0]]
    assert labels.classes == ("0", "1", "2")
    named = parse_labels(np.array([["x", "n"], ["n", "n"]]), "y.npy", steps=2)
    assert (named.values.tolist(), named.classes) == ([[1, 0], [0, 0]], ("n", "x"))


def test_one_hot_rows_stay_classes_of_rows_even_with_as_many_steps():
    labels = parse_labels(np.array([[0, 1], [1, 0]]), "y.npy", steps=2)
    assert (labels.values.tolist(), labels.classes) == ([1, 0], ("0", "1"))


def test_a_wrong_class_of_a_step_is_named_with_its_place():
    with pytest.raises(DataError, match=r"y\.npy: label 7 at row 1, step 2; there are 5 classes"):
        parse_labels(np.array([[0, 2, 1], [1, 1, 7]]), "y.npy", num_classes=5, wants="steps")
    with pytest.raises(DataError, match=r"y\.npy: unknown class 'q' at row 0, step 1"):
        parse_labels(np.array([["a", "q"]]), "y.npy", class_names=("a", "b"), wants="steps")
    with pytest.raises(DataError, match=r"y\.npy: label 0\.5 at row 0, step 1 is not a class number"):
        parse_labels(np.array([[0, 0.5]]), "y.npy", num_classes=5, wants="steps")


def test_texts_become_symbols_from_one_with_zeros_behind():
    values, alphabet = parse_strings(np.array(["ba", "", "abc"]), "y.npy")
    assert alphabet == ("a", "b", "c")
    assert values.tolist() == [[2, 1, 0], [0, 0, 0], [1, 2, 3]]
    assert parse_strings(np.array(["c"]), "y.npy", ("c", "a"))[0].tolist() == [[1]]


def test_numbers_with_minus_one_behind_become_the_same():
    values, alphabet = parse_strings(np.array([[1, 0, -1, -1], [0, 1, 2, -1]]), "y.npy")
    assert alphabet == ("0", "1", "2")
    assert values.tolist() == [[2, 1, 0], [1, 2, 3]]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[1, -1, 0]]), "symbol -1 at row 0, step 1; symbols go from 0 to 2, and -1 stands behind the last"),
        (np.array([[1, 3, -1]]), "symbol 3 at row 0, step 1; symbols go from 0 to 2"),
        (np.array([[-1, -1]]), "every string is empty"),
        (np.array([1, 2]), r"labels of shape \(2,\) are no strings"),
        (np.array(["az"]), "row 0 has the symbol 'z'; the alphabet is abc"),
    ],
)
def test_what_is_no_string_is_refused(array, message):
    with pytest.raises(DataError, match=rf"y\.npy:? ?.*{message}"):
        parse_strings(array, "y.npy", ("a", "b", "c"))


def test_texts_of_a_list_of_images_are_strings(tmp_path):
    picture_folder(tmp_path, DARK_AND_BRIGHT, per_class=1)
    (tmp_path / "list.csv").write_text("path,text\ndark/0.png,12\nmid/0.png,2\n".replace("text", "label"))
    opened = open_data([tmp_path / "list.csv"], wants="strings")
    assert (opened.classes, opened.train.labels.tolist()) == (("1", "2"), [[1, 2], [2, 0]])
    with pytest.raises(DataError, match="line 3 has the symbol '2'; the alphabet is 1"):
        (tmp_path / "list.csv").write_text("dark/0.png,1\n\nmid/0.png,2\n")
        open_data([tmp_path / "list.csv"], wants="strings", class_names=("1",))
    with pytest.raises(DataError, match="class folders hold no texts; give a list of path,text"):
        open_data([tmp_path], wants="strings")


def test_tokens_are_counted_and_checked_by_row_and_step():
    dataset = rows(np.array([[1, 2, 0], [3, 9, 0]]))
    assert vocabulary_of(dataset) == 10
    check_tokens(dataset, 0, 10)
    with pytest.raises(DataError, match=r"x\.npy\[1\]: holds 9 at step 1, but the model knows the numbers 0 to 8"):
        check_tokens(dataset, 0, 9)
    with pytest.raises(DataError, match=r"x\.npy\[0\]: holds 0\.5 at step 1"):
        check_tokens(rows(np.array([[1, 0.5]])), 0, 9)


def test_arrays_say_whether_they_hold_tokens(tmp_path):
    np.save(tmp_path / "y.npy", np.array([0, 1]))
    for array, expected in ((np.zeros((2, 3), np.int32), True), (np.zeros((2, 3)), False), (np.zeros(2, int), False)):
        np.save(tmp_path / "x.npy", array)
        assert open_data([tmp_path / "x.npy"]).has_tokens == expected


def test_rows_are_their_own_targets_as_the_network_sees_them():
    own = Reconstruction(rows(np.array([[0, 255], [51, 102]], np.uint8)), (2, 1), np.float32(1 / 255), np.float32(-0.5))
    batch = own.fetch(np.array([1]))
    assert batch.inputs[0].tolist() == [[51, 102]]
    assert batch.targets[0] == pytest.approx(np.array([[[-0.3], [-0.1]]]), abs=1e-6)
    assert own.labels.shape == (2, 2, 1)
    assert own.labels.strides[0] == 0  # nothing is kept for them
    assert (own.classes, len(own), own.names([0])) == (None, 2, ["x.npy[0]"])


def test_without_labels_images_need_no_class_folders(tmp_path):
    picture_folder(tmp_path, {"flat": 40}, per_class=3)
    opened = open_data([tmp_path / "flat"], wants="input")
    assert (len(opened.train), opened.classes, opened.input_shape) == (3, None, (8, 8, 1))
    with pytest.raises(DataError, match="no images in this folder"):
        (tmp_path / "none").mkdir()
        open_data([tmp_path / "none"], wants="input")
