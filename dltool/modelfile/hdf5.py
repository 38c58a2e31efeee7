"""The parent's side of reading HDF5: looks at the first bytes, starts the parsing child, fetches arrays.

Nothing here imports h5py. On Linux the child is a fork while this process has one thread (1 ms, measured; a fresh
interpreter with numpy and h5py takes 100 ms); with threads, and on other systems, it is a fresh interpreter.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import select
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dltool.errors import ModelFileError
from dltool.modelfile import hdf5_child

SIGNATURE = b"\x89HDF\r\n\x1a\n"
ZIP_SIGNATURE = b"PK\x03\x04"
PART = 2**20
"""Numbers of an array that are read in one go."""
DAMAGED = "cannot be parsed safely; the file is damaged"

FOREIGN = (
    (b"version https://git-lfs", "is a git-lfs pointer, not a model; run 'git lfs pull'"),
    (b"\x1f\x8b", "is gzip-compressed; unpack it first"),
    (b"<", "is a web page or XML, not a model; download the file itself"),
    (b"\x80", "is a Python pickle, which is never read; save the model as Keras HDF5"),
)


@dataclass(frozen=True)
class Entry:
    """One array of the file: its shape; its place when it is plain float32; its value when it is a scalar."""

    number: int
    shape: tuple[int, ...]
    offset: int | None
    value: float | int | None = None


class ModelSource:
    """An open Keras file, HDF5 or a ``.keras`` archive.

    Its child starts at once; the parent waits for it when ``header`` is first asked for. So whoever opens it before
    importing the engine waits for nothing: the child imports h5py meanwhile (35 ms, measured).

    >>> with ModelSource(path) as source:
    ...     source.header["root"]["model_config"]
    ...     source.load(source.arrays[0], into=array)

    Attributes:
        header: what ``hdf5_contents.Contents.header`` returns; of an archive also its texts, as "archive".
        arrays: the entries that the header's numbers point to.

    Raises:
        ModelFileError: missing, not a regular file, not HDF5; from ``header``: refused, or the child died.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        self.file = open_regular(self.path)
        self.child: Child | None = None
        try:
            size = os.fstat(self.file.fileno()).st_size
            check_signature(self.path, self.file, size)
            self.child = start_child(self.path, self.file, size)
        except BaseException:
            self.close()
            raise

    @cached_property
    def arrays(self) -> list[Entry]:
        entries = enumerate(self.header["arrays"])
        return [Entry(number, tuple(e["shape"]), e["offset"], e.get("value")) for number, e in entries]

    @cached_property
    def header(self) -> dict[str, Any]:
        answer = json.loads(self._receive())
        if "error" in answer:
            raise ModelFileError(f"{self.path}: {answer['error']}")
        return answer

    def _receive(self, into: memoryview | None = None) -> bytes:
        try:
            (length,) = struct.unpack("<Q", self.child.read(8))
            if into is not None and length == len(into):
                self.child.read_into(into)
                return b""
            if length > 2**30:
                raise EOFError
            return self.child.read(length)
        except (EOFError, OSError, TimeoutError):
            raise ModelFileError(f"{self.path}: {DAMAGED}") from None

    def load(self, entry: Entry, into: np.ndarray, seen: Callable[[np.ndarray], None] | None = None) -> None:
        """Fill ``into`` (contiguous float32 of the entry's shape).

        Args:
            seen: called with every part of ``into`` as soon as it is there, in row-major order.

        Raises:
            ModelFileError: the file ends early, or its child has died.
        """
        flat = into.reshape(-1)
        seen = seen or (lambda part: None)
        if entry.offset is None and into.size:
            self._fetch(entry, flat)
            seen(flat)
            return
        for start in range(0, flat.size, PART):
            part = flat[start : start + PART]
            self._read_plain(memoryview(part).cast("B"), entry.offset + 4 * start)
            seen(part)

    def _fetch(self, entry: Entry, into: np.ndarray) -> None:
        """An array that the child converts."""
        view = memoryview(into).cast("B")
        try:
            self.child.write(struct.pack("<I", entry.number))
        except OSError:
            raise ModelFileError(f"{self.path}: {DAMAGED}") from None
        if error := self._receive(view):
            message = json.loads(error)["error"]
            raise ModelFileError(f"{self.path}: {message}")
        if sys.byteorder == "big":
            into.byteswap(inplace=True)

    def _read_plain(self, view: memoryview, offset: int) -> None:
        while len(view):
            if hasattr(os, "preadv"):  # the child moves the position of the descriptor that it shares with us
                count = os.preadv(self.file.fileno(), [view], offset)
            else:
                self.file.seek(offset)
                count = self.file.readinto(view)
            if not count:
                raise ModelFileError(f"{self.path}: ends too early; the file was cut off, copy it again")
            view, offset = view[count:], offset + count

    def close(self) -> None:
        """End the child; more than once does no harm."""
        if self.child is not None:
            self.child.close()
            self.child = None
        self.file.close()

    def __enter__(self) -> ModelSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_regular(path: str) -> io.FileIO:
    """Open a regular file (symbolic links to one are followed); nothing that could block is ever opened."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise ModelFileError(f"{path}: is a directory, not a model file")
        if not stat.S_ISREG(mode):
            raise ModelFileError(f"{path}: is a {kind_of(mode)}, not a file")
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file; 'dltool build {path}' makes a model") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be opened: {error.strerror or error}") from None
    except ValueError:
        raise ModelFileError(f"{path!r}: is not a possible file name") from None


def kind_of(mode: int) -> str:
    """What an odd file is, in words."""
    kinds = (
        (stat.S_ISLNK, "symbolic link"),
        (stat.S_ISDIR, "directory"),
        (stat.S_ISFIFO, "FIFO"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISCHR, "device"),
        (stat.S_ISBLK, "device"),
    )
    return next((name for test, name in kinds if test(mode)), "special file")


def check_signature(path: str, file: io.FileIO, size: int) -> None:
    """The HDF5 signature stands at 0, 512, 1024, 2048...; a ``.keras`` archive is a zip file.

    Raises ModelFileError naming what the file looks like.
    """
    offset = 0
    while offset + 12 <= size:
        file.seek(offset)
        superblock = file.read(12)
        if superblock.startswith(SIGNATURE):
            if superblock[8] >= 2 and superblock[11] & 0b101:  # opened for writing, alone or beside readers
                raise ModelFileError(f"{path}: was not closed by the program that wrote it; try 'h5clear -s'")
            return
        offset = max(512, 2 * offset)
    file.seek(0)
    start = file.read(64)
    if start.startswith(ZIP_SIGNATURE):
        return
    start = start.lstrip()
    if not size:
        raise ModelFileError(f"{path}: is empty; copy it again")
    for prefix, message in FOREIGN:
        if start.startswith(prefix):
            raise ModelFileError(f"{path}: {message}")
    raise ModelFileError(f"{path}: is not an HDF5 file; give the model that 'dltool build' or Keras wrote")


def is_model_file(path: str) -> bool:
    """Whether a file starts like HDF5 or an archive; any other is taken for text. Raises ModelFileError."""
    with open_regular(path) as file:
        start = file.read(8)
    return start.startswith((SIGNATURE, ZIP_SIGNATURE))


class Child:
    """A running child and the two pipes to it. Every wait ends at ``deadline`` (monotonic seconds)."""

    def __init__(self, read_fd: int, write_fd: int, deadline: float, process: subprocess.Popen | int):
        self.read_fd, self.write_fd, self.deadline, self.process = read_fd, write_fd, deadline, process
        self.timer: threading.Timer | None = None
        if os.name == "nt":  # select does not know pipes there
            self.timer = threading.Timer(deadline - time.monotonic(), process.kill)
            self.timer.daemon = True
            self.timer.start()

    def read(self, count: int) -> bytes:
        data = bytearray(count)
        self.read_into(memoryview(data))
        return bytes(data)

    def read_into(self, view: memoryview) -> None:
        """Fill the view. Raises EOFError when the child is gone, TimeoutError after the deadline."""
        while len(view):
            self._wait()
            if hasattr(os, "readv"):
                count = os.readv(self.read_fd, [view])
            else:
                chunk = os.read(self.read_fd, min(len(view), 2**20))
                count = len(chunk)
                view[:count] = chunk
            if not count:
                raise EOFError
            view = view[count:]

    def _wait(self) -> None:
        if self.timer is None:
            left = self.deadline - time.monotonic()
            poll = select.poll()  # select.select fails for descriptors above 1023
            poll.register(self.read_fd, select.POLLIN)
            if left <= 0 or not poll.poll(left * 1000):
                raise TimeoutError

    def write(self, data: bytes) -> None:
        os.write(self.write_fd, data)

    def close(self) -> None:
        """End the child and collect it."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer.join()
        for descriptor in (self.read_fd, self.write_fd):
            os.close(descriptor)
        if isinstance(self.process, int):
            with contextlib.suppress(ProcessLookupError, ChildProcessError):  # SIGCHLD may be ignored by the caller
                os.kill(self.process, signal.SIGKILL)
                os.waitpid(self.process, 0)
        else:
            self.process.kill()
            self.process.wait()


def start_child(path: str, file: io.FileIO, size: int) -> Child:
    """Start the parsing child, limited by the file's size: 512 MB + 4 times, and 2 s of processor for a small file.

    10,000 layers (30 MB) take 5 s, hence 1 s more per 4 MB up to 10 s; compressed arrays 1 s per 100 MB.
    """
    limits = (512 + size // 2**18, 2 + min(size // 4_000_000, 10) + size // 100_000_000)
    deadline = time.monotonic() + 20 * limits[1]
    if can_fork():
        return fork_child(file.fileno(), limits, deadline)
    return spawn_child(path, file, limits, deadline)


def can_fork() -> bool:
    """True on Linux while this process has a single thread: then a fork is safe and a hundred times cheaper."""
    try:
        return sys.platform == "linux" and len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


def fork_child(descriptor: int, limits: tuple[int, int], deadline: float) -> Child:
    request_read, request_write = os.pipe()
    answer_read, answer_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        run_forked(descriptor, request_read, answer_write, (request_write, answer_read), limits)
    os.close(request_read)
    os.close(answer_write)
    return Child(answer_read, request_write, deadline, pid)


def run_forked(source: int, read_fd: int, write_fd: int, unused: tuple[int, ...], limits: tuple[int, int]) -> None:
    """The forked child's whole life; it never returns and never runs the parent's exit handlers."""
    try:
        for descriptor in unused:
            os.close(descriptor)
        faulthandler.disable()  # a crash of libhdf5 is expected here and must not look like one of ours
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            if descriptor not in (read_fd, write_fd):
                os.dup2(silence, descriptor)
        hdf5_child.main(source, read_fd, write_fd, *limits)
    finally:
        os._exit(0)


def spawn_child(path: str, file: io.FileIO, limits: tuple[int, int], deadline: float) -> Child:
    """A fresh interpreter, with the parent's descriptor where descriptors can be inherited (not on Windows)."""
    inherit = () if os.name == "nt" else (file.fileno(),)
    source = str(file.fileno()) if inherit else os.path.abspath(path)
    search = json.dumps([os.path.abspath(entry) for entry in sys.path])
    command = [sys.executable, "-I", "-S", str(Path(hdf5_child.__file__)), search, source, *map(str, limits)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=inherit
    )
    read_fd, write_fd = os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno())
    process.stdout.close()
    process.stdin.close()
    return Child(read_fd, write_fd, deadline, process)
