"""Links to predicted files, one folder per label."""

from __future__ import annotations

import os
from collections.abc import Iterator

from dltool.errors import OutputError, UsageError

UNSURE = "unsure"
"""The folder of rows below the least probability."""
ARRAYS = (".npy", ".npz")


def folder_names(classes: tuple[str, ...]) -> dict[str, str]:
    """Label -> folder, "?" included.

    Raises:
        UsageError: a class whose name is no plain folder name; names come from the model file and are not trusted.
    """
    for name in classes:
        if name in ("", ".", "..") or name.startswith(".") or any(c in name for c in "/\\\0") or len(name) > 200:
            raise UsageError(f"--sort-into: class {name!r} cannot be the name of a folder; use --class-names")
    unsure = UNSURE
    while unsure in classes:
        unsure += "_"
    return {**{name: name for name in classes}, "?": unsure}


def check_inputs(paths: tuple[str, ...]) -> None:
    """Raises UsageError for what cannot be linked."""
    array = next((path for path in paths if path.lower().endswith(ARRAYS)), None)
    if array is not None:
        raise UsageError(f"--sort-into: {array} is an array; only files can be linked")


class Sorter:
    """Puts links into ``root/LABEL/``; never replaces anything.

    A link that is there already stays, so the same command can be given again; another file of the same name gets a
    number.
    """

    def __init__(self, root: str, folders: dict[str, str]):
        self.root, self.folders = root, folders
        if os.path.lexists(root) and not os.path.isdir(root):
            raise OutputError(f"{root}: is not a folder; give another --sort-into")
        there = os.path.abspath(root)
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        if not os.access(there, os.W_OK | os.X_OK):
            raise OutputError(f"{root}: the folder {there} is read-only; choose another --sort-into")
        self._made: set[str] = set()

    def link(self, path: str, label: str) -> None:
        """Raises OutputError when the link cannot be made."""
        folder = os.path.join(self.root, self.folders[label])
        try:
            if folder not in self._made:
                os.makedirs(folder, exist_ok=True)
                self._made.add(folder)
            target = os.path.relpath(os.path.abspath(path), os.path.realpath(folder))
            self._place(target, folder, os.path.basename(path))
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another --sort-into") from None

    def _place(self, target: str, folder: str, name: str) -> None:
        for candidate in _candidates(name):
            place = os.path.join(folder, candidate)
            try:
                os.symlink(target, place)
                return
            except FileExistsError:
                if os.path.islink(place) and os.readlink(place) == target:
                    return


def _candidates(name: str) -> Iterator[str]:
    """The name, then name-2, name-3 ... before its suffix."""
    yield name
    stem, suffix = os.path.splitext(name)
    number = 2
    while True:
        yield f"{stem}-{number}{suffix}"
        number += 1
