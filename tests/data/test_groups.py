"""Rows that belong together, and splits that keep them so."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dltool.data.groups import read_groups
from dltool.data.opening import open_data
from dltool.data.split import grouped_split
from dltool.errors import DataError

NAMES = ["data/cat/1.png", "data/cat/2.png", "data/dog/1.png"]
RELATIVE = ["cat/1.png", "cat/2.png", "dog/1.png"]


@pytest.mark.parametrize(
    "text",
    [
        "ann\nbob\nann\n",
        "group\nann\n\nbob\nann",
        "cat/1.png,ann\ncat/2.png,bob\ndog/1.png,ann\n",
        "path,group\ndata/dog/1.png,ann\ndata/cat/2.png,bob\ndata/cat/1.png,ann\nother.png,eve\n",
    ],
)
def test_groups_by_line_or_by_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "g.csv").write_text(text)
    assert read_groups(str(tmp_path / "g.csv"), NAMES, RELATIVE).tolist() == [0, 1, 0]


def test_paths_count_from_the_group_file_too(tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("cat/1.png,ann\ncat/2.png,bob\ndog/1.png,ann\n")
    names = [str(tmp_path / name) for name in RELATIVE]
    assert read_groups(str(tmp_path / "g.csv"), names).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no groups"),
        ("group\n", "holds no groups"),
        ("ann\nbob\n", "2 groups for 3 rows; write one per row, or path,group"),
        ("cat/1.png,ann\ndog/1.png,bob\n", r"no group for data/cat/2\.png; write a line cat/2\.png,GROUP"),
        ("cat/1.png,ann\nbob\n", "lines of different lengths"),
        ("a,b,c\n", "lines of different lengths"),
    ],
)
def test_bad_group_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(DataError, match=rf"g\.csv: {message}"):
        read_groups(str(tmp_path / "g.csv"), NAMES, RELATIVE)
    with pytest.raises(DataError, match=r"gone: is no file"):
        read_groups(str(tmp_path / "gone"), NAMES)


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_in_both_parts_and_classes_keep_their_share(seed: int) -> None:
    random = np.random.default_rng(seed)
    groups = random.integers(0, 60, 600)
    labels = (random.random(600) < 0.3).astype(np.int64)
    rows, held_out = grouped_split(labels, groups, 0.2, seed)
    assert not set(groups[rows]) & set(groups[held_out])
    assert sorted([*rows, *held_out]) == list(range(600))
    for label in (0, 1):
        share = (labels[held_out] == label).sum() / (labels == label).sum()
        assert abs(share - 0.2) < 0.05  # a group is 1.7 % of the rows
    again = grouped_split(labels, groups, 0.2, seed)
    assert again[1].tolist() == held_out.tolist()
    assert grouped_split(labels, groups, 0.2, seed + 1)[1].tolist() != held_out.tolist()


def test_numbers_are_split_by_group_too() -> None:
    groups = np.repeat(np.arange(10), 10)
    rows, held_out = grouped_split(np.linspace(0, 1, 100, dtype=np.float32)[:, None], groups, 0.2, 0)
    assert (len(rows), len(held_out)) == (80, 20)


def test_each_part_gets_a_group_even_where_the_share_is_missed() -> None:
    labels = np.zeros(10, np.int64)
    for fraction in (0.01, 0.2, 0.99):
        rows, held_out = grouped_split(labels, np.repeat([5, 9], 5), fraction, 0)
        assert (len(rows), len(held_out)) == (5, 5)
    rows, held_out = grouped_split(labels, np.array([0] * 9 + [1]), 0.3, 0)
    assert held_out.tolist() == [9]


def test_groups_follow_their_rows_through_limits_and_bad_files(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "d" / label).mkdir(parents=True)
        for number in range(10):
            Image.new("L", (2, 2), number).save(tmp_path / "d" / label / f"{number}.png")
    (tmp_path / "d/a/3.png").write_bytes(b"text")
    (tmp_path / "g.txt").write_text("".join(f"g{i}\n" for i in list(range(10)) * 2))
    opened = open_data([tmp_path / "d"], groups=str(tmp_path / "g.txt"), limit=14, skip_bad=True, seed=3)
    numbers = opened.train.fetch(np.arange(len(opened.train))).inputs[0][:, 0, 0, 0]
    assert opened.train.groups.tolist() == numbers.tolist()


def test_groups_of_arrays_by_line_and_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(6.0)[:, None])
    np.save(tmp_path / "y.npy", [0, 1, 0, 1, 0, 1])
    (tmp_path / "g.csv").write_text("".join(f"x.npy[{i}],{'pq'[i % 2]}\n" for i in range(6)))
    (tmp_path / "h.txt").write_text("p\nq\n" * 3)
    for name in ("g.csv", "h.txt"):
        opened = open_data([tmp_path / "x.npy"], groups=str(tmp_path / name))
        assert opened.train.groups.tolist() == [0, 1, 0, 1, 0, 1]
