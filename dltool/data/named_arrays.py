"""Arrays by name: a file for each input or output of a model, or one archive that holds them all.

Imports numpy and ``dltool.errors``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dltool.data.arrays import NUMBERS, InMemory, map_array
from dltool.data.npz import array_names, is_npz, load_member
from dltool.errors import DataError, UsageError


def rows_of(path: str) -> np.ndarray:
    """The rows in a .npy file, or under ``x`` (or alone) in an .npz archive."""
    if not is_npz(path):
        return map_array(path)
    names = array_names(path)
    if "x" not in names and len(names) > 1:
        raise DataError(f"{path}: no array 'x'; it holds {', '.join(names)}; save x with numpy.savez")
    return load_member(path, "x" if "x" in names else names[0])


def named(text: str, names: Sequence[str]) -> tuple[str | None, str]:
    """``a=x1.npy`` -> ("a", "x1.npy"); NAME= counts only if it is one of ``names``."""
    if isinstance(text, InMemory):
        return text.input or None, text
    name, equals, path = text.partition("=")
    return (name, path) if equals and name in names else (None, text)


def arrays_by_name(
    option: str, given: Sequence[str], names: Sequence[str], kinds: str = NUMBERS
) -> list[tuple[str, np.ndarray]]:
    """(what to call it, the array) for each of ``names``.

    Args:
        option: what the user knows ``given`` by: ``NAME=FILE`` for each name, one FILE when there is one name, or one
            archive with arrays of these names.

    Raises:
        UsageError: a name without a file or with two, or a file without a name. DataError: a file that cannot be used.
    """
    pairs = [named(text, names) for text in given]
    if len(pairs) == 1 and pairs[0][0] is None and is_npz(pairs[0][1]):
        path = pairs[0][1]
        return [(f"{path} ({name})", load_member(path, name, kinds)) for name in names]
    if len(pairs) == len(names) == 1:
        pairs = [(names[0], pairs[0][1])]
    files = {name: [path for key, path in pairs if key == name] for name in [None, *names]}
    usage = " ".join(f"{name}=FILE.npy" for name in names)
    if files[None]:
        raise UsageError(f"{option}: {files[None][0]} is for none of {', '.join(names)}; give {usage}")
    for name in names:
        if len(files[name]) != 1:
            problem = "given twice" if files[name] else "missing"
            raise UsageError(f"{option}: {name!r} is {problem}; give {usage}")
    return [(files[name][0], _load(files[name][0], kinds)) for name in names]


def _load(path: str, kinds: str) -> np.ndarray:
    return rows_of(path) if is_npz(path) else map_array(path, kinds)
