"""Numbers with their nouns."""

from dltool.wording import counted


def test_one_is_singular_and_all_else_plural():
    assert [counted(count, "epoch") for count in (0, 1, 2, 12345)] == [
        "0 epochs",
        "1 epoch",
        "2 epochs",
        "12,345 epochs",
    ]
