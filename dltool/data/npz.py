"""NumPy .npz archives: arrays by name, checked before anything is unpacked.

An archive is a zip file of .npy files. Its list of contents is read by ``zipfile``; the headers inside get the checks
of ``arrays``. Arrays that ``numpy.savez`` stored plainly are memory-mapped where they lie in the archive; compressed
ones are unpacked into memory, within limits that a zip bomb does not pass. Imports the standard library, numpy and
``dltool.errors``.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from dltool.data.arrays import NUMBERS, Header, check_values, parse_header
from dltool.data.capacity import available_bytes
from dltool.errors import DataError

MAX_MEMBERS = 1000
FREE_BYTES = 64 << 20
"""Up to this size an array may unpack from however few bytes."""
MAX_RATIO = 200
"""Larger arrays may be at most this many times their compressed size; deflate itself ends at 1030."""
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 1
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, EOFError, ValueError)


def is_npz(path: str) -> bool:
    return path.lower().endswith(".npz")


def array_names(path: str) -> tuple[str, ...]:
    """The names of the arrays in an archive, in its order. Raises DataError: not an archive, or no arrays in it."""
    return _guarded(path, lambda archive: tuple(_members(archive, path)))


def load_member(path: str, name: str, kinds: str = NUMBERS) -> np.ndarray:
    """One array of an archive, read-only where it is mapped.

    Raises:
        DataError: as ``arrays.map_array``; also an unknown name, encryption, or too much to unpack.
    """

    def load(archive: zipfile.ZipFile) -> np.ndarray:
        members = _members(archive, path)
        if name not in members:
            raise DataError(f"{path}: no array {name!r}; it holds {', '.join(members)}")
        info, label = members[name], f"{path} ({name})"
        _check_member(info, label)
        with archive.open(info) as stream:
            header = parse_header(stream, label, kinds)
            check_values(header, label)
            if info.file_size - header.offset < header.num_bytes:
                raise DataError(f"{label}: fewer bytes than its header declares; save it again with numpy.savez")
            if info.compress_type == zipfile.ZIP_STORED:
                return _mapped(path, info, header)
            return _unpacked(stream, header, label)

    return _guarded(path, load)


def _guarded(path: str, work: Callable[[zipfile.ZipFile], Any]) -> Any:
    """``work`` on the opened archive, with every error of a damaged one as a DataError."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DataError(f"{path}: is not a regular file; give a .npz file")
        with zipfile.ZipFile(path) as archive:
            return work(archive)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error
    except _DAMAGE as error:
        raise DataError(f"{path}: damaged or not a .npz archive ({error}); save it again with numpy.savez") from error


def _members(archive: zipfile.ZipFile, path: str) -> dict[str, zipfile.ZipInfo]:
    entries = archive.infolist()
    if len(entries) > MAX_MEMBERS:
        raise DataError(f"{path}: {len(entries):,} entries, more than {MAX_MEMBERS:,}; give an archive of a few arrays")
    found: dict[str, zipfile.ZipInfo] = {}
    for info in entries:
        name, suffix = os.path.splitext(info.filename)
        if suffix != ".npy":
            continue
        if name in found:
            raise DataError(f"{path}: holds two arrays called {name!r}; save it again with numpy.savez")
        found[name] = info
    if not found:
        raise DataError(f"{path}: holds no arrays; save x and y with numpy.savez")
    return found


def _check_member(info: zipfile.ZipInfo, label: str) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise DataError(f"{label}: is encrypted; save it with numpy.savez")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{label}: is compressed in a way that NumPy does not use; save it with numpy.savez")
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        raise DataError(f"{label}: its sizes contradict each other; save it again with numpy.savez")
    if info.file_size > max(FREE_BYTES, MAX_RATIO * info.compress_size):
        raise DataError(
            f"{label}: {info.file_size:,} bytes from {info.compress_size:,} compressed ones, which looks like a bomb; "
            "save it uncompressed with numpy.savez"
        )


def _mapped(path: str, info: zipfile.ZipInfo, header: Header) -> np.ndarray:
    """A stored array where it lies in the file."""
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        _, name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        size = os.fstat(file.fileno()).st_size
    start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length + header.offset
    if start + header.num_bytes > size:
        raise DataError(f"{path}: the archive is cut off; copy it again")
    return np.memmap(path, header.dtype, "r", start, header.shape, header.order)


def _unpacked(stream: Any, header: Header, label: str) -> np.ndarray:
    if header.num_bytes > available_bytes() // 2:
        raise DataError(
            f"{label}: unpacks to {header.num_bytes >> 20:,} MB, more than half of the free memory; "
            "save it uncompressed with numpy.savez, which is mapped instead"
        )
    values = np.empty(header.num_bytes, np.uint8)
    view, done = memoryview(values), 0
    while done < header.num_bytes:
        count = stream.readinto(view[done : done + (1 << 22)])
        if not count:
            raise DataError(f"{label}: ends before its values do; copy the archive again")
        done += count
    while stream.read(1 << 20):  # to the end, where the checksum is compared
        pass
    return values.view(header.dtype).reshape(header.shape, order=header.order)
