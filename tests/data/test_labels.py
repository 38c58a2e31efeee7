"""What the values of a label file mean."""

import numpy as np
import pytest

from dltool.data.labels import parse_labels
from dltool.errors import DataError


@pytest.mark.parametrize("array", [np.array([2, 0, 1, 2]), np.array([[2], [0], [1], [2]]), np.uint8([2, 0, 1, 2])])
def test_integers_are_classes(array: np.ndarray) -> None:
    labels = parse_labels(array, "y.npy")
    assert labels.values.tolist() == [2, 0, 1, 2]
    assert labels.values.dtype == np.int64
    assert labels.classes == ("0", "1", "2")


def test_booleans_are_two_classes() -> None:
    labels = parse_labels(np.array([True, False]), "y.npy")
    assert (labels.values.tolist(), labels.classes) == ([1, 0], ("0", "1"))


def test_strings_are_class_names_in_natural_order() -> None:
    labels = parse_labels(np.array(["c10", "c2", "c10"]), "y.npy")
    assert (labels.values.tolist(), labels.classes) == ([1, 0, 1], ("c2", "c10"))
    labels = parse_labels(np.array([b"dog", b"caf\xc3\xa9"]), "y.npy")
    assert (labels.values.tolist(), labels.classes) == ([1, 0], ("café", "dog"))


def test_names_of_a_model_decide_the_order() -> None:
    labels = parse_labels(np.array(["dog", "cat"]), "y.npy", class_names=("owl", "dog", "cat"))
    assert (labels.values.tolist(), labels.classes) == ([1, 2], ("owl", "dog", "cat"))
    with pytest.raises(DataError, match=r"y\.npy: unknown class 'cow' at row 1; the classes are dog, cat"):
        parse_labels(np.array(["dog", "cow"]), "y.npy", class_names=("dog", "cat"))
    assert parse_labels(np.array([0, 1]), "y.npy", class_names=("a", "b", "c")).classes == ("a", "b", "c")


@pytest.mark.parametrize("dtype", ["u1", "?", "f4", "i8"])
def test_rows_with_a_single_one_are_one_hot(dtype: str) -> None:
    labels = parse_labels(np.array([[0, 0, 1], [1, 0, 0]], dtype), "y.npy")
    assert (labels.values.tolist(), labels.classes) == ([2, 0], ("0", "1", "2"))


def test_other_rows_of_zeros_and_ones_need_multi_label() -> None:
    rows = np.array([[0, 0, 1], [1, 0, 1]], "u1")
    with pytest.raises(DataError, match=r"y\.npy: row 1 has 2 ones, .* need --multi-label"):
        parse_labels(rows, "y.npy")
    labels = parse_labels(rows, "y.npy", multi_label=True)
    assert (labels.values.tolist(), labels.classes) == ([[0, 0, 1], [1, 0, 1]], ("0", "1", "2"))


@pytest.mark.parametrize("array", [np.array([0.5, 2]), np.array([[0.5], [2]]), np.array([0.5, 2], ">f8")])
def test_floats_are_targets_in_rows(array: np.ndarray) -> None:
    labels = parse_labels(array, "y.npy")
    assert (labels.values.tolist(), labels.classes) == ([[0.5], [2.0]], None)
    assert labels.values.dtype == np.float32


def test_several_targets_keep_their_shape() -> None:
    assert parse_labels(np.full((2, 3), 0.5), "y.npy").values.shape == (2, 3)
    assert parse_labels(np.full((2, 4, 4, 1), 0.5), "y.npy").values.shape == (2, 4, 4, 1)


def test_the_head_of_the_model_decides_first() -> None:
    labels = parse_labels(np.array([0.0, 2.0]), "y.npy", wants="classes", num_classes=3)
    assert (labels.values.tolist(), labels.classes) == ([0, 2], ("0", "1", "2"))
    labels = parse_labels(np.array([0, 2]), "y.npy", wants="values")
    assert (labels.values.tolist(), labels.classes) == ([[0.0], [2.0]], None)
    labels = parse_labels(np.array([[0, 1], [1, 0]]), "y.npy", wants="values")
    assert labels.values.tolist() == [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.array([0, 1, -1]), {}, "label -1 at row 2 is negative; classes are numbered from 0"),
        (np.array([0, 1, 3]), {"num_classes": 3}, r"label 3 at row 2; there are 3 classes \(0\.\.2\)"),
        (np.array([0, 2]), {"class_names": ("a", "b")}, r"label 2 at row 1; there are 2 classes \(0\.\.1\)"),
        (np.array([0, 1, 1000000]), {}, "label 1000000 at row 2, but there are only 3 rows"),
        (np.array([0, 1.5]), {"wants": "classes"}, "label 1.5 at row 1 is not a class number"),
        (np.array([0, np.nan]), {}, "NaN at row 1"),
        (np.array([[0.5, np.inf]]), {}, "infinity .* at row 0, column 1"),
        (np.array([[0, 1]]), {"num_classes": 3}, "one-hot labels for 2 classes, the model has 3"),
        (np.array([[3, 4], [5, 6]]), {}, r"labels of shape \(2, 2\) are neither"),
        (np.array([["a", "b"]]), {}, r"class names of shape \(1, 2\)"),
        (np.array([b"\xff\xfe"]), {}, "class names that are not valid Unicode"),
    ],
)
def test_labels_that_cannot_be_right_are_refused(array: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(DataError, match=rf"y\.npy: {message}"):
        parse_labels(array, "y.npy", **options)
