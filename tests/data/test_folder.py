"""Listing of class folders and image files."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dltool.data.folder import find_parts, list_classes, list_images
from dltool.data.listing import merge, natural_key
from dltool.errors import DataError

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX links, FIFOs or byte names")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that takes any bytes as a name")


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (2, 2)).save(path)
    return path


def test_numbers_in_names_sort_as_numbers() -> None:
    names = ["10", "2", "b", "a10b", "a9b", "1", "01", "a", "B"]
    assert sorted(names, key=natural_key) == ["01", "1", "2", "10", "B", "a", "a9b", "a10b", "b"]
    assert sorted(["9" * 5000, "1" + "0" * 5000], key=natural_key)[0] == "9" * 5000


def test_classes_and_files_come_in_natural_order_at_any_depth(tmp_path: Path) -> None:
    for name in ("10/1.png", "2/img10.PNG", "2/img2.jpg", "2/deep/er/x.bmp"):
        picture(tmp_path / name)
    listing = list_classes(str(tmp_path))
    assert listing.classes == ("2", "10")
    assert listing.relative == ["2/deep/er/x.bmp", "2/img2.jpg", "2/img10.PNG", "10/1.png"]
    assert listing.labels.tolist() == [0, 0, 0, 1]
    assert listing.paths[3] == str(tmp_path / "10" / "1.png")
    assert listing.sizes[3] == (tmp_path / "10/1.png").stat().st_size
    assert listing.ignored == 0


def test_junk_is_ignored_and_counted(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png", ".git/x.png", "__MACOSX/._1.png", "a/.hidden/2.png"):
        picture(tmp_path / name)
    for name in ("a/.DS_Store", "a/Thumbs.db", "readme.txt", "b/notes"):
        (tmp_path / name).write_bytes(b"x")
    listing = list_classes(str(tmp_path))
    assert listing.classes == ("a", "b")
    assert listing.relative == ["a/1.png", "b/1.png"]
    assert listing.ignored == 7  # two folders and a file at the top, a folder and two files in a, a file in b


def test_an_empty_class_is_an_error_unless_allowed(tmp_path: Path) -> None:
    picture(tmp_path / "cat/1.png")
    (tmp_path / "birds").mkdir()
    (tmp_path / "cows").mkdir()
    with pytest.raises(DataError, match=r"birds: class folder has no images \(and 1 more\); .*--allow-empty"):
        list_classes(str(tmp_path))
    listing = list_classes(str(tmp_path), allow_empty=True)
    assert listing.classes == ("birds", "cat", "cows")
    assert listing.labels.tolist() == [1]


def test_folders_without_classes_or_images_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no class folders; put the images into one folder per class"):
        list_classes(str(tmp_path))
    picture(tmp_path / "1.png")
    with pytest.raises(DataError, match="no class folders"):
        list_classes(str(tmp_path))
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="no images in its 1 class folders"):
        list_classes(str(tmp_path), allow_empty=True)
    with pytest.raises(DataError, match="cannot be"):
        list_classes(str(tmp_path / "missing"))


@posix_only
def test_links_are_followed_but_never_in_circles_or_into_another_class(tmp_path: Path) -> None:
    data, outside = tmp_path / "data", tmp_path / "outside"
    for name in ("cat/1.png", "dog/1.png"):
        picture(data / name)
    picture(outside / "more/2.png")
    (data / "cat/loop").symlink_to("..")
    (data / "cat/self").symlink_to(".")
    (data / "cat/sister").symlink_to("../dog")
    (data / "cat/more").symlink_to(outside / "more")
    (data / "cat/more2").symlink_to(outside / "more")
    (data / "cat/one.png").symlink_to(outside / "more/2.png")
    (data / "cat/gone.png").symlink_to("/nonexistent/x.png")
    (data / "cat/ring.png").symlink_to("ring.png")
    listing = list_classes(str(data))
    assert listing.relative == ["cat/1.png", "cat/more/2.png", "cat/one.png", "dog/1.png"]
    assert listing.ignored == 6


@posix_only
def test_a_link_to_something_that_is_no_image_is_ignored(tmp_path: Path) -> None:
    secret, blob = tmp_path / "secret.txt", tmp_path / "blobs" / "3f786850e387550fdab836ed7e6dc881de23001b"
    secret.write_text("secret")
    picture(tmp_path / "x.png").replace(secret.parent / "y.png")
    blob.parent.mkdir()
    (tmp_path / "y.png").replace(blob)
    for name in ("a", "b"):
        picture(tmp_path / f"data/{name}/1.png")
    (tmp_path / "data/a/out.png").symlink_to(secret)
    (tmp_path / "data/a/stored.png").symlink_to(blob)
    listing = list_classes(str(tmp_path / "data"))
    assert listing.relative == ["a/1.png", "a/stored.png", "b/1.png"]
    assert listing.ignored == 1


@posix_only
def test_one_folder_as_two_classes_is_an_error(tmp_path: Path) -> None:
    picture(tmp_path / "cat/1.png")
    (tmp_path / "dog").symlink_to("cat")
    with pytest.raises(DataError, match="dog: leads to a folder that is already a class"):
        list_classes(str(tmp_path))


@posix_only
def test_special_files_are_never_opened(tmp_path: Path) -> None:
    picture(tmp_path / "a/1.png")
    os.mkfifo(tmp_path / "a/pipe.png")
    assert list_images(str(tmp_path)) == ([str(tmp_path / "a/1.png")], 1)  # opening the FIFO would hang


@linux_only
def test_names_of_any_bytes_work(tmp_path: Path) -> None:
    names = [b"latin1-\xe9.png", b"line\nbreak.png", b"\x1b[31mred.png", b" -rf.png", b"x" * 251 + b".png"]
    for folder in (b"caf\xe9", b"plain"):
        os.mkdir(os.fsencode(tmp_path) + b"/" + folder)
        for name in names:
            with open(os.fsencode(tmp_path) + b"/" + folder + b"/" + name, "wb") as file:
                Image.new("L", (2, 2)).save(file, "PNG")
    listing = list_classes(str(tmp_path))
    assert [os.fsencode(name) for name in listing.classes] == [b"caf\xe9", b"plain"]
    assert sorted(os.fsencode(name).split(b"/")[1] for name in listing.relative[:5]) == sorted(names)
    assert all(os.path.exists(path) for path in listing.paths)
    assert len(listing.fingerprint()) == 64


def test_parts_are_recognised(tmp_path: Path) -> None:
    assert find_parts(str(tmp_path)) is None
    for name in ("train/cat/1.png", "val/cat/1.png", "test/cat/1.png"):
        picture(tmp_path / name)
    assert find_parts(str(tmp_path)) == {
        part: str(tmp_path / name) for part, name in (("train", "train"), ("valid", "val"), ("test", "test"))
    }
    picture(tmp_path / "valid/cat/1.png")
    with pytest.raises(DataError, match="holds both valid/ and val/"):
        find_parts(str(tmp_path))


def test_classes_called_train_and_test_are_classes(tmp_path: Path) -> None:
    picture(tmp_path / "train/1.png")
    picture(tmp_path / "test/1.png")
    assert find_parts(str(tmp_path)) is None


def test_several_roots_are_merged_by_class_name(tmp_path: Path) -> None:
    for name in ("one/cat/1.png", "one/dog/1.png", "two/ant/1.png", "two/cat/2.png"):
        picture(tmp_path / name)
    merged = merge([list_classes(str(tmp_path / "one")), list_classes(str(tmp_path / "two"))])
    assert merged.classes == ("ant", "cat", "dog")
    assert merged.relative == ["cat/1.png", "dog/1.png", "ant/1.png", "cat/2.png"]
    assert merged.labels.tolist() == [1, 2, 0, 1]


def test_given_class_names_decide_the_order_and_refuse_strangers(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/1.png"):
        picture(tmp_path / name)
    listing = list_classes(str(tmp_path))
    merged = merge([listing], ("owl", "dog", "cat"))
    assert merged.classes == ("owl", "dog", "cat")
    assert merged.labels.tolist() == [2, 1]
    with pytest.raises(DataError, match=r"1\.png: unknown class 'dog'; the classes are cat, owl"):
        merge([listing], ("cat", "owl"))


def test_an_allowed_empty_class_need_not_be_known(tmp_path: Path) -> None:
    picture(tmp_path / "cat/1.png")
    (tmp_path / "ant").mkdir()
    merged = merge([list_classes(str(tmp_path), allow_empty=True)], ("owl", "cat"))
    assert merged.labels.tolist() == [1]


def test_the_fingerprint_follows_content_not_place_or_time(tmp_path: Path) -> None:
    for root in ("here", "there"):
        for name in ("a/1.png", "b/1.png"):
            os.utime(picture(tmp_path / root / name), (len(root), len(root)))
    here, there = (list_classes(str(tmp_path / root)) for root in ("here", "there"))
    assert here.fingerprint() == there.fingerprint()
    assert here.keep(np.array([0])).fingerprint() != here.fingerprint()
    (tmp_path / "there/a/1.png").rename(tmp_path / "there/b/2.png")
    picture(tmp_path / "there/a/2.png")
    assert list_classes(str(tmp_path / "there")).fingerprint() != here.fingerprint()
