"""NumPy .npy files: a header check of our own, and a memory map.

``numpy.load`` would believe the header before anything is compared with the file; here the dtype must be a plain
number (or string, for labels), and the declared bytes must be there, before anything is allocated. Nothing is ever
unpickled. Imports the standard library, numpy and ``dltool.errors``.
"""

from __future__ import annotations

import ast
import hashlib
import math
import mmap
import os
import re
import stat
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from dltool.errors import DataError

MAGIC = b"\x93NUMPY"
MAX_HEADER = 10_000
NUMBERS = "fiub"
STRINGS = "US"
_DTYPE = re.compile(r"[<>|=]?([a-zA-Z])([0-9]{1,9})")
_ITEM_SIZES = {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "b": (1,)}
_MAX_DIMENSIONS = 32
_SAMPLED_ROWS = 64
_SAMPLED_VALUES = 1 << 14


class InMemory(str):
    """An array that is given itself, in the place of a path; the text is what messages call it.

    Attributes:
        values: the array. input: the model's input or output that it belongs to; "" for the only one.
    """

    values: np.ndarray
    input: str

    def __new__(cls, name: str, values: np.ndarray, input: str = "") -> InMemory:
        found = super().__new__(cls, name)
        found.values, found.input = values, input
        return found


@dataclass(frozen=True)
class Header:
    """What a .npy file declares; ``offset`` is where its values begin, in bytes."""

    dtype: np.dtype
    shape: tuple[int, ...]
    fortran_order: bool
    offset: int

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def order(self) -> str:
        return "F" if self.fortran_order else "C"


def read_header(path: str, kinds: str = NUMBERS) -> Header:
    """The checked header of a .npy file.

    Args:
        kinds: NumPy dtype kinds that are allowed.

    Raises:
        DataError: not a .npy file, a dtype that is not allowed, or fewer bytes than declared.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DataError(f"{path}: is not a regular file; give a .npy file")
        with open(path, "rb") as file:
            header = parse_header(file, path, kinds)
            size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}); check the path and its permissions") from error
    if size - header.offset < header.num_bytes:
        raise DataError(
            f"{path}: {size - header.offset} of {header.num_bytes} data bytes; the file is cut off, copy it again"
        )
    return header


def parse_header(file: BinaryIO, path: str, kinds: str = NUMBERS) -> Header:
    """The header at the start of an open .npy file, not yet compared with the file's size. Raises DataError."""
    start = file.read(8)
    if start[:6] != MAGIC or len(start) < 8:
        raise DataError(f"{path}: {_what_it_is(start)}; save the array with numpy.save")
    version = tuple(start[6:8])
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise DataError(f"{path}: .npy version {version[0]}.{version[1]} is not known; save it with numpy.save")
    layout = "<H" if version == (1, 0) else "<I"
    field = file.read(struct.calcsize(layout))
    length = struct.unpack(layout, field)[0] if len(field) == struct.calcsize(layout) else 0
    text = file.read(min(length, MAX_HEADER))
    if length > MAX_HEADER or not length or len(text) < length:
        raise DataError(f"{path}: damaged .npy header ({length} bytes declared); save it again with numpy.save")
    return _fields(text.decode("latin1"), path, kinds, file.tell())


def _what_it_is(start: bytes) -> str:
    if not start:
        return "empty file"
    if start[:2] == b"PK":
        return "a .npz or zip archive, not a .npy file"
    if start[:1] == b"\x80":
        return "a pickle, which is never opened"
    return "not a .npy file"


def _fields(text: str, path: str, kinds: str, offset: int) -> Header:
    damaged = DataError(f"{path}: damaged .npy header; save it again with numpy.save")
    try:
        fields = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise damaged from error
    if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"}:
        raise damaged
    shape, order = fields["shape"], fields["fortran_order"]
    if not isinstance(shape, tuple) or not isinstance(order, bool) or len(shape) > _MAX_DIMENSIONS:
        raise damaged
    if any(type(side) is not int or side < 0 for side in shape):
        raise damaged
    return Header(_dtype(fields["descr"], path, kinds), shape, order, offset)


def _dtype(descr: object, path: str, kinds: str) -> np.dtype:
    if not isinstance(descr, str):
        raise DataError(f"{path}: structured dtype; save a plain array of numbers")
    match = _DTYPE.fullmatch(descr)
    kind, size = (match[1], int(match[2])) if match else (descr[1:2], 0)
    if kind not in kinds or size not in _ITEM_SIZES.get(kind, (size,)) or not 0 < size < 1 << 20:
        wanted = "numbers or strings" if "U" in kinds else "numbers (float, int, uint8 or bool)"
        raise DataError(f"{path}: dtype {descr!r} cannot be used; save an array of {wanted}")
    return np.dtype(descr)


def map_array(path: str, kinds: str = NUMBERS) -> np.ndarray:
    """The array of a .npy file as a read-only memory map, any byte order, C or Fortran order.

    An array that is given itself comes back as it is, after the same checks.

    Raises:
        DataError: as ``read_header``; also for no axis or no values.
    """
    if isinstance(path, InMemory):
        values = path.values
        _dtype(values.dtype.str, path, kinds)
        check_values(Header(values.dtype, values.shape, False, 0), path)
        return values
    header = read_header(path, kinds)
    check_values(header, path)
    try:
        return np.memmap(path, header.dtype, "r", header.offset, header.shape, header.order)
    except (OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: cannot be mapped into memory ({error}); copy it to a local disk") from error


def check_values(header: Header, path: str) -> None:
    """Raise DataError unless there is a row with a value."""
    if not header.shape:
        raise DataError(f"{path}: a single number, not an array of rows; save an array of shape (rows, ...)")
    if 0 in header.shape:
        raise DataError(f"{path}: shape {header.shape} holds no values; save at least one row")


def expect_few_rows(arrays: Iterable[np.ndarray]) -> None:
    """Tell the system that only some rows of mapped files will be read, so that it does not read around them.

    1000 rows of 16 kB, scattered over a sparse file of 64 GB, take 0.03 s instead of 20 s.
    """
    for array in arrays:
        mapped = getattr(array, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_RANDOM"):
            mapped.madvise(mmap.MADV_RANDOM)


def engine_dtype(dtype: np.dtype) -> np.dtype:
    """What the engine gets: uint8 stays, everything else becomes float32."""
    return np.dtype(np.uint8 if dtype == np.uint8 else np.float32)


def find_labels(path: str) -> str | None:
    """The label file beside a data file: its name with "x" replaced by "y" (x.npy, train_x.npy, X_test.npy)."""
    if isinstance(path, InMemory):
        return None
    folder, name = os.path.split(path)
    stem, suffix = os.path.splitext(name)
    for letter in ("y", "Y"):
        other = re.sub(r"(?<![A-Za-z0-9])[xX](?![A-Za-z0-9])", letter, stem)
        candidate = os.path.join(folder, other + suffix)
        if other != stem and os.path.isfile(candidate):
            return candidate
    return None


def check_finite(values: np.ndarray, path: str, rows: np.ndarray | None = None) -> None:
    """Raise DataError naming the first NaN or infinity.

    Args:
        values: (n, ...) float. rows: (n,) their row numbers in the file; None: 0, 1, 2, ...
    """
    # One sum finds nearly all good arrays at a tenth of the cost of isfinite; an overflowing sum is looked at again.
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(values.sum(dtype=values.dtype)):
            return
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    place = [int(i) for i in np.argwhere(bad)[0]]
    row = place[0] if rows is None else int(rows[place[0]])
    what = "NaN" if np.isnan(values[tuple(place)]) else "infinity (or a value too large for float32)"
    column = f", column {','.join(map(str, place[1:]))}" if len(place) > 1 else ""
    raise DataError(f"{path}: {what} at row {row}{column} ({bad.sum()} bad values of {bad.size}); clean the data")


def sample_digest(array: np.ndarray) -> str:
    """SHA-256 over shape, dtype and the values of up to 64 evenly spaced rows; byte and storage order do not count."""
    digest = hashlib.sha256(f"{array.dtype.kind}{array.dtype.itemsize}{array.shape}".encode())
    little = array.dtype.newbyteorder("<")
    for row in np.unique(np.linspace(0, len(array) - 1, _SAMPLED_ROWS).astype(np.int64)):
        values = np.asarray(array[row])
        head = values[: max(1, _SAMPLED_VALUES // max(1, values[:1].size))] if values.ndim else values
        digest.update(np.ascontiguousarray(head.astype(little, copy=False)).tobytes())
    return digest.hexdigest()
