"""Which image files a folder holds, in which order, and under which class.

Class folders are the folders directly below the one that was given; pictures may lie deeper. Nothing but regular files
is ever opened: entries are judged by name and ``stat``. Imports the standard library, numpy and ``dltool.errors``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from dltool.data.listing import Listing, natural_key
from dltool.errors import DataError

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff")
)
PARTS = {"train": ("train",), "valid": ("valid", "val", "validation"), "test": ("test",)}

Identity = tuple[int, int]


@dataclass
class Walk:
    """One pass over folders: what has been visited and how many entries were left out.

    Attributes:
        visited: (device, inode) of every folder that must not be entered again; cycles of links end here.
        ignored: dot-entries, ``__MACOSX``, non-images, dangling links, special files and folders already visited.
    """

    visited: set[Identity] = field(default_factory=set)
    ignored: int = 0

    def images(self, folder: str) -> Iterator[tuple[str, int]]:
        """(path, bytes) of every image below ``folder``, in natural order, folders in their place among the files."""
        pending = [self._entries(folder)]
        while pending:
            entry = next(pending[-1], None)
            if entry is None:
                pending.pop()
            elif (status := self._status(entry)) is None:
                self.ignored += 1
            elif stat.S_ISDIR(status.st_mode):
                if self.enter(entry.path):
                    pending.append(self._entries(entry.path))
            elif stat.S_ISREG(status.st_mode) and is_image_name(entry):
                yield entry.path, status.st_size
            else:
                self.ignored += 1

    def subfolders(self, folder: str) -> list[os.DirEntry]:
        """The folders directly below ``folder``, links followed; everything else there counts as ignored."""
        found = []
        for entry in self._entries(folder):
            if entry.is_dir():
                found.append(entry)
            else:
                self.ignored += 1
        return found

    def enter(self, folder: str) -> bool:
        """Mark a folder as visited; False (and counted) when it has been before."""
        identity = folder_identity(folder)
        if identity in self.visited:
            self.ignored += 1
            return False
        self.visited.add(identity)
        return True

    def _entries(self, folder: str) -> Iterator[os.DirEntry]:
        wanted = []
        for entry in scan(folder):
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                self.ignored += 1
            else:
                wanted.append(entry)
        return iter(sorted(wanted, key=lambda entry: natural_key(entry.name)))

    @staticmethod
    def _status(entry: os.DirEntry) -> os.stat_result | None:
        try:
            return entry.stat()
        except OSError:  # a dangling link, a ring of links, or a file that has just gone
            return None


def scan(folder: str) -> list[os.DirEntry]:
    """The entries of one folder. Raises DataError when it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); check the path and its permissions") from error


def folder_identity(folder: str) -> Identity:
    """(device, inode), links followed. ``DirEntry.stat`` would give zeros on Windows."""
    try:
        status = os.stat(folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); check the path and its permissions") from error
    return status.st_dev, status.st_ino


def is_image_name(entry: os.DirEntry) -> bool:
    """Whether name and, for a link, target look like an image.

    A target without a suffix is trusted: content-addressed stores keep pictures under their hash.
    """
    if os.path.splitext(entry.name)[1].lower() not in IMAGE_SUFFIXES:
        return False
    if not entry.is_symlink():
        return True
    return os.path.splitext(os.path.realpath(entry.path))[1].lower() in IMAGE_SUFFIXES | {""}


def list_classes(root: str, allow_empty: bool = False) -> Listing:
    """The images of a folder of class folders.

    Raises:
        DataError: no class folders, pictures instead of class folders, an empty class, or a class twice by links.
    """
    walk = Walk()
    walk.enter(root)
    folders = walk.subfolders(root)
    if not folders:
        raise DataError(f"{root}: no class folders; put the images into one folder per class ({root}/cat/1.jpg)")
    for folder in folders:  # all of them first, so that a link inside one class never leads into another
        if not walk.enter(folder.path):
            raise DataError(f"{folder.path}: leads to a folder that is already a class or the data; remove the link")
    files, labels, empty = [], [], []
    for label, folder in enumerate(folders):
        found = list(walk.images(folder.path))
        files += found
        labels += [label] * len(found)
        if not found:
            empty.append(folder.path)
    if len(empty) == len(folders) or (empty and not allow_empty):
        raise DataError(_empty_message(root, empty, len(folders)))
    sizes = np.array([size for _, size in files], np.int64)
    paths = [path for path, _ in files]
    names = tuple(folder.name for folder in folders)
    return Listing(paths, _relative(paths, root), sizes, np.array(labels, np.int64), names, walk.ignored)


def _empty_message(root: str, empty: list[str], num_folders: int) -> str:
    if len(empty) == num_folders:
        return f"{root}: no images in its {num_folders} class folders; the suffixes read are {_suffixes()}"
    more = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
    return f"{empty[0]}: class folder has no images{more}; remove it or use --allow-empty"


def _suffixes() -> str:
    return " ".join(sorted(IMAGE_SUFFIXES))


def _relative(paths: Iterable[str], root: str) -> list[str]:
    start = len(os.path.join(root, ""))
    return [path[start:].replace(os.sep, "/") for path in paths]


def list_images(root: str) -> tuple[list[str], int]:
    """All images below a folder in natural order, classes or not, and the number of ignored entries."""
    walk = Walk()
    walk.enter(root)
    return [path for path, _ in walk.images(root)], walk.ignored


def list_all(root: str) -> Listing:
    """All images below a folder, without classes; each has the number 0 for a label. Raises DataError for none."""
    walk = Walk()
    walk.enter(root)
    files = list(walk.images(root))
    if not files:
        raise DataError(f"{root}: no images in this folder; the suffixes read are {_suffixes()}")
    paths, sizes = zip(*files, strict=True)
    labels = np.zeros((len(paths), 1), np.float32)
    return Listing(list(paths), _relative(paths, root), np.array(sizes, np.int64), labels, None, walk.ignored)


def find_parts(root: str) -> dict[str, str] | None:
    """``{"train": ..., "valid": ..., "test": ...}`` (those present) when a folder holds parts; None for class folders.

    Parts are there when ``train/`` has a sibling ``valid/``, ``val/`` or ``test/`` and holds folders itself; classes
    that happen to be called "train" and "test" hold pictures.

    Raises:
        DataError: both ``valid/`` and ``val/``.
    """
    names = {entry.name for entry in scan(root) if entry.is_dir()}
    found: dict[str, str] = {}
    for part, spellings in PARTS.items():
        there = [name for name in spellings if name in names]
        if len(there) > 1:
            raise DataError(f"{root}: holds both {there[0]}/ and {there[1]}/; keep one, or name the paths one by one")
        if there:
            found[part] = os.path.join(root, there[0])
    if "train" not in found or len(found) < 2:
        return None
    return found if any(entry.is_dir() for entry in scan(found["train"])) else None


def ignored_notes(count: int) -> list[str]:
    """What to say of entries that were left out; nothing when there are none."""
    if not count:
        return []
    return [f"ignored {count:,} {'entry that is not an image' if count == 1 else 'entries that are not images'}"]
