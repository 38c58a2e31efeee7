"""Strings that were read: edits and shares by hand."""

import numpy as np
import pytest

from dltool.training.strings import StringTally, edit_distance, text_of


@pytest.mark.parametrize(
    ("a", "b", "edits"), [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("ab", "ba", 2)]
)
def test_edits_of_known_pairs(a, b, edits):
    assert edit_distance(list(map(ord, a)), list(map(ord, b))) == edits


def test_shares_of_wrong_strings_and_characters():
    tally = StringTally(("a", "b", "c"))
    tally.add(np.array([[1, 2, 3], [2, 0, 0]]), [[1, 2, 3], [2]])
    tally.add(np.array([[3, 3, 0]]), [[3]])
    found = tally.metrics()
    assert found["string_error_rate"].value == pytest.approx(1 / 3)
    assert found["character_error_rate"].value == pytest.approx(1 / 6)  # one edit, six characters
    assert tally.rows_right.tolist() == [True, True, False]
    assert tally.row(2) == ("cc", "c")


def test_longer_symbols_are_set_apart():
    assert text_of([1, 2, 2], ("10", "11")) == "10 11 11"
