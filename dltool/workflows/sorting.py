"""Links to predicted files, one folder per label: ``predict --sort-into`` and ``pseudo-label --into``."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from dltool.errors import OutputError, UsageError

UNSURE = "unsure"
"""The folder of rows below the least probability."""
ARRAYS = (".npy", ".npz")


def folder_names(classes: tuple[str, ...], option: str = "--sort-into") -> dict[str, str]:
    """Label -> folder, "?" included.

    Raises:
        UsageError: a class whose name is no plain folder name; names come from the model file and are not trusted.
    """
    for name in classes:
        if name in ("", ".", "..") or name.startswith(".") or any(c in name for c in "/\\\0") or len(name) > 200:
            raise UsageError(f"{option}: class {name!r} cannot be the name of a folder; use --class-names")
    unsure = UNSURE
    while unsure in classes:
        unsure += "_"
    return {**{name: name for name in classes}, "?": unsure}


def check_inputs(paths: tuple[str, ...], option: str = "--sort-into") -> None:
    """Raises UsageError for what cannot be linked."""
    array = next((path for path in paths if path.lower().endswith(ARRAYS)), None)
    if array is not None:
        raise UsageError(f"{option}: {array} is an array; only files can be linked")


class Sorter:
    """Puts links into ``root/LABEL/``; never replaces anything.

    A link that is there already stays, so the same command can be given again; another file of the same name gets a
    number. Where the system has no symbolic links (or does not allow them) a hard link is made, and a copy where that
    is impossible, too.

    Args:
        folders: label -> folder. option: what messages call ``root``.
    """

    def __init__(self, root: str, folders: dict[str, str], option: str = "--sort-into"):
        self.root, self.folders, self.option = root, folders, option
        if os.path.lexists(root) and not os.path.isdir(root):
            raise OutputError(f"{root}: is not a folder; give another {option}")
        there = os.path.abspath(root)
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        if not os.access(there, os.W_OK | os.X_OK):
            raise OutputError(f"{root}: the folder {there} is read-only; choose another {option}")
        self._made: set[str] = set()

    def check_empty(self, force: bool) -> None:
        """Raise OutputError unless the folder is empty or new; with ``force`` it may hold links, in folders of labels.

        Anything else would be taken for labelled files of today, and nobody's files are removed.
        """
        with self._naming(self.root):
            there = os.listdir(self.root) if os.path.isdir(self.root) else []
            other = next((name for name in there if not self._holds_links(name)), None)
        if there and not force:
            raise OutputError(f"{self.root}: is not empty; give a new {self.option}, or --force to replace links in it")
        if other is not None:
            other = os.path.join(self.root, other)
            raise OutputError(f"{other}: is more than links, which --force replaces; give a new {self.option}")

    def _holds_links(self, name: str) -> bool:
        """Whether an entry of the root is a folder of a label with nothing but links in it."""
        folder = os.path.join(self.root, name)
        if name not in self.folders.values() or os.path.islink(folder) or not os.path.isdir(folder):
            return False
        with os.scandir(folder) as entries:
            return all(entry.is_symlink() for entry in entries)

    def clear(self) -> None:
        """Remove the links that ``check_empty`` allowed."""
        for name in self.folders.values():
            folder = os.path.join(self.root, name)
            with self._naming(folder):
                paths = [os.path.join(folder, name) for name in os.listdir(folder)] if os.path.isdir(folder) else []
                links = [path for path in paths if os.path.islink(path)]
                for path in links:
                    os.unlink(path)
                if links and len(links) == len(paths):
                    os.rmdir(folder)

    def link(self, path: str, label: str) -> None:
        """Raises OutputError when the link cannot be made."""
        folder = os.path.join(self.root, self.folders[label])
        with self._naming(folder):
            if folder not in self._made:
                os.makedirs(folder, exist_ok=True)
                self._made.add(folder)
            name = os.path.basename(path)
            self._place(os.path.abspath(path), folder, f"_{name}" if name.startswith(".") else name)

    @contextmanager
    def _naming(self, folder: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another {self.option}") from None

    def _place(self, path: str, folder: str, name: str) -> None:
        try:
            target = os.path.relpath(path, os.path.realpath(folder))
        except ValueError:  # another drive of Windows
            target = path
        for candidate in _candidates(name):
            place = os.path.join(folder, candidate)
            try:
                try:
                    os.symlink(target, place)
                except FileExistsError:
                    raise
                except OSError:
                    _imitate_link(path, place)
                return
            except FileExistsError:
                if _is_link_to(place, target, path):
                    return


def _imitate_link(path: str, place: str) -> None:
    """A hard link, or else a copy. Raises FileExistsError where something is already."""
    path = os.path.realpath(path)
    try:
        os.link(path, place)
    except FileExistsError:
        raise
    except OSError:
        try:
            with open(path, "rb") as source, open(place, "xb") as copy:
                shutil.copyfileobj(source, copy)
        except FileExistsError:
            raise
        except OSError:
            if os.path.lexists(place):
                os.unlink(place)  # half a copy
            raise


def _is_link_to(place: str, target: str, path: str) -> bool:
    """Whether what is there already came of the same file: a link to it, or (without links) what equals it."""
    if os.path.islink(place):
        return os.readlink(place) == target
    return os.path.isfile(place) and os.path.isfile(path) and filecmp.cmp(path, place, shallow=False)


def _candidates(name: str) -> Iterator[str]:
    """The name, then name-2, name-3 ... before its suffix."""
    yield name
    stem, suffix = os.path.splitext(name)
    number = 2
    while True:
        yield f"{stem}-{number}{suffix}"
        number += 1
