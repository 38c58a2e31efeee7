"""Where the features of a frozen base are kept while the head trains: in memory, in a nameless file, or in a named one.

Decided, with the room for it, before any work begins. A nameless file lies in the folder of the new model and is gone
with the process, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dltool.data.capacity import store_limit
from dltool.data.dataset import Dataset
from dltool.errors import OutputError, UsageError
from dltool.modelfile.atomic import check_space, check_target, full_message, replacing
from dltool.settings import FinetuneSettings
from dltool.workflows.finetuning.features import num_bytes, size_text

NAMED = (".npy", ".npz")
"""Endings that ``--features`` may have: the features alone, or with their labels."""


@dataclass(frozen=True)
class Cache:
    """Where features go.

    Attributes:
        folder: of the nameless file; None keeps them in memory.
        path: of the named file; None without one.
        size: bytes.
    """

    folder: str | None
    path: str | None
    size: int

    @property
    def words(self) -> str:
        """``2.0 MB``, ``1.2 GB on disk``, ``2.0 MB in out.npy``."""
        place = f" in {self.path}" if self.path is not None else "" if self.folder is None else " on disk"
        return size_text(self.size) + place


def check_features(settings: FinetuneSettings) -> None:
    """Refuse options that contradict each other. Raises UsageError."""
    path = settings.features
    if settings.precompute is False and path is not None:
        raise UsageError(
            "--features: cannot be combined with --no-precompute, which computes none; give one of the two"
        )
    if path is not None and not path.lower().endswith(NAMED):
        raise UsageError(f"--features: {path} is neither .npy nor .npz; name it so")
    if path is not None and os.path.abspath(path) == os.path.abspath(settings.output or settings.model):
        raise UsageError(f"--features: {path} is the model's file too; give another name")


def planned_cache(
    settings: FinetuneSettings, num_rows: tuple[int, ...], shape: tuple[int, ...], reserved: int
) -> Cache | None:
    """Where the features will lie; None: nowhere, because that was asked for or there is no room.

    Args:
        num_rows: of each data set; a named file gets those of the first.
        reserved: bytes on the disk that the new model needs.

    Raises:
        UsageError: they were asked for and fit nowhere. OutputError: the named file cannot be written.
    """
    size = num_bytes(sum(num_rows), shape)
    folder = os.path.dirname(settings.output or settings.model) or "."
    if settings.features is not None:
        check_target(settings.features, overwrite=settings.force)
        check_space(settings.features, num_bytes(num_rows[0], shape))
    elif settings.precompute is False:
        return None
    in_memory = size <= store_limit()
    if in_memory or has_room(folder, size + reserved):
        return Cache(None if in_memory else folder, settings.features, size)
    if settings.precompute or settings.features is not None:
        raise UsageError(
            f"--precompute: the features of {sum(num_rows):,} rows need {size_text(size)}, which fit neither into "
            f"memory nor on the disk of {folder}; cut later with --pop or --at, or leave --precompute out"
        )
    return None


def has_room(folder: str, size: int) -> bool:
    """Whether so many bytes are free on the disk of a folder."""
    try:
        check_space(os.path.join(folder, "features"), size)
    except OutputError:
        return False
    return True


@contextlib.contextmanager
def feature_arrays(
    settings: FinetuneSettings, cache: Cache, shapes: Sequence[tuple[int, ...]], dataset: Dataset
) -> Iterator[list[np.ndarray]]:
    """Arrays of these shapes, float32, to be filled inside the context and to be read for ever.

    The named file is there when the context ends without an error; it has the first array, whose rows are those of
    ``dataset``.

    Raises:
        OutputError: the disk is full.
    """
    with contextlib.ExitStack() as stack:
        found = []
        for shape in shapes:
            if not found and cache.path is not None and cache.path.lower().endswith(".npy"):
                found.append(stack.enter_context(mapped_npy(cache.path, shape, settings.force)))
            else:
                found.append(np.empty(shape, np.float32) if cache.folder is None else nameless(cache.folder, shape))
        yield found
        if cache.path is not None and cache.path.lower().endswith(".npz"):
            write_npz(cache.path, found[0], dataset, settings.force)


def nameless(folder: str, shape: tuple[int, ...]) -> np.ndarray:
    """A mapped array in a file without a name, whose room on the disk is free again when the array is."""
    size = num_bytes(1, shape)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            reserve(file.fileno(), size)
            return np.memmap(file, np.float32, "r+", 0, shape)
    except OSError as error:
        raise OutputError(f"{folder}: {full_message(os.path.join(folder, ''), error, size)}") from None


@contextlib.contextmanager
def mapped_npy(path: str, shape: tuple[int, ...], overwrite: bool) -> Iterator[np.ndarray]:
    """A mapped array in a .npy file, which has its name once the context ends."""
    size = num_bytes(1, shape)
    with replacing(path, size, overwrite=overwrite) as descriptor:
        with os.fdopen(os.dup(descriptor), "r+b") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.flush()
            start = file.tell()
            reserve(descriptor, start + size)
            values = np.memmap(file, np.float32, "r+", start, shape)
        yield values
        values.flush()


def write_npz(path: str, values: np.ndarray, dataset: Dataset, overwrite: bool) -> None:
    """Features and labels (class names where there are any) as x and y."""
    with replacing(path, values.nbytes, overwrite=overwrite) as descriptor, os.fdopen(os.dup(descriptor), "wb") as file:
        np.savez(file, x=values, y=named_labels(dataset))


def reserve(descriptor: int, size: int) -> None:
    """Let a file have so many bytes on the disk: writing to a mapped file without them would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)


def named_labels(dataset: Dataset) -> np.ndarray:
    """(n,) class names, or the labels as they are where those are no classes."""
    if dataset.classes is None or dataset.labels.ndim > 1:
        return dataset.labels
    return np.array(dataset.classes)[dataset.labels]
