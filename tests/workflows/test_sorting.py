"""Trees of links: odd names, names that collide, folders that are not empty, systems without links."""

import errno
import os

import pytest

from dltool.errors import OutputError, UsageError
from dltool.workflows.sorting import Sorter, check_inputs, folder_names

NAMES = folder_names(("cat", "dog"), "--into")


def sorter(root):
    return Sorter(str(root), NAMES, "--into")


def files(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(f"{folder.name} {name}".encode("utf-8", "surrogateescape"))
    return [str(folder / name) for name in names]


def content(root):
    """Path below the root -> what is read there."""
    return {path.relative_to(root).as_posix(): path.read_bytes().decode() for path in root.rglob("*") if path.is_file()}


ODD = ("a b.png", "quote'\".png", "new\nline.png", "-rf.png", "ä→.png", "no_suffix")


def test_odd_and_colliding_names_keep_apart(tmp_path):
    made = sorter(tmp_path / "out")
    for path in (*files(tmp_path / "one", "a.png", *ODD), *files(tmp_path / "two", "a.png", "a-2.png")):
        made.link(path, "cat")
    found = content(tmp_path / "out" / "cat")
    assert found == {
        "a.png": "one a.png",
        "a-2.png": "two a.png",
        "a-2-2.png": "two a-2.png",
        **{name: f"one {name}" for name in ODD},
    }
    assert all(path.is_symlink() for path in (tmp_path / "out" / "cat").iterdir())


def test_a_hidden_file_gets_a_link_that_is_not_hidden(tmp_path):
    (path,) = files(tmp_path / "one", ".a.png")
    sorter(tmp_path / "out").link(path, "dog")
    assert content(tmp_path / "out") == {"dog/_.a.png": "one .a.png"}


def test_the_tree_can_be_moved_with_what_it_points_to(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    files(tmp_path / "here" / "one", "a.png")
    sorter("out").link(os.path.join("one", "a.png"), "cat")
    (tmp_path / "here").rename(tmp_path / "there")
    assert content(tmp_path / "there" / "out") == {"cat/a.png": "one a.png"}


@pytest.mark.parametrize("has_hard_links", [True, False])
def test_without_symbolic_links_files_are_linked_hard_or_copied(tmp_path, monkeypatch, has_hard_links):
    def refused(*args, **kwargs):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refused)
    if not has_hard_links:
        monkeypatch.setattr(os, "link", refused)
    paths = [*files(tmp_path / "one", "a.png"), *files(tmp_path / "two", "a.png")]
    for _ in range(2):  # the second time finds its own work
        made = sorter(tmp_path / "out")
        for path in paths:
            made.link(path, "cat")
        assert content(tmp_path / "out") == {"cat/a.png": "one a.png", "cat/a-2.png": "two a.png"}
    assert os.path.samefile(tmp_path / "out" / "cat" / "a.png", paths[0]) == has_hard_links


def test_a_copy_that_fails_leaves_nothing_half(tmp_path, monkeypatch):
    def refused(*args, **kwargs):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refused)
    with pytest.raises(OutputError, match=r"cat: cannot be written .*; choose another --into"):
        sorter(tmp_path / "out").link(str(tmp_path / "none.png"), "cat")
    assert content(tmp_path / "out") == {}


def test_only_a_folder_of_links_is_replaced_and_only_when_forced(tmp_path):
    first, second = files(tmp_path / "one", "a.png", "b.png")
    made = sorter(tmp_path / "out")
    made.check_empty(force=False)
    made.link(first, "cat")
    again = sorter(tmp_path / "out")
    with pytest.raises(OutputError, match="out: is not empty; give a new --into, or --force to replace links in it"):
        again.check_empty(force=False)
    again.check_empty(force=True)
    again.clear()
    assert not any((tmp_path / "out").iterdir())
    again.link(second, "dog")
    assert content(tmp_path / "out") == {"dog/b.png": "one b.png"}


@pytest.mark.parametrize("kept", ["cat/mine.png", "notes.txt", "bird/a.png", "cat/sub/a.png"])
def test_nobodys_files_are_removed(tmp_path, kept):
    (path,) = files(tmp_path / "one", "a.png")
    sorter(tmp_path / "out").link(path, "cat")
    (tmp_path / "out" / kept).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "out" / kept).write_text("mine")
    with pytest.raises(OutputError, match="is more than links, which --force replaces; give a new --into"):
        sorter(tmp_path / "out").check_empty(force=True)
    assert content(tmp_path / "out")[kept] == "mine" and len(content(tmp_path / "out")) == 2


def test_what_cannot_be_a_folder_or_a_link_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"--into: class '../up' cannot be the name of a folder"):
        folder_names(("../up", "b"), "--into")
    with pytest.raises(UsageError, match=r"--into: x.npy is an array; only files can be linked"):
        check_inputs(("a.png", "x.npy"), "--into")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="file: is not a folder; give another --into"):
        sorter(tmp_path / "file")
