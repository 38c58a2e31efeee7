"""The lock of a model in training: ``.m.h5.lock`` beside ``m.h5``, so that two trainings never write one file.

It holds the process number and the machine's name, for people. The system's own lock on it (``flock``) ends with the
process, however it ends: a lock file that nobody holds is stale, and the next training takes it over. Without
``flock`` (Windows) the process number decides. Imports the standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
from collections.abc import Iterator

from dltool.errors import OutputError
from dltool.modelfile.atomic import is_alive, reason_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LONGEST = 300
TRIES = 10


def lock_path(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.lock")


@contextlib.contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other trainings from ``path``; the lock file is gone afterwards.

    Raises:
        OutputError: another process holds it, or it cannot be made.
    """
    path = os.fspath(path)
    name = lock_path(path)
    descriptor = _take(path, name)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} {platform.node()}\n".encode())
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)  # while it is held: nobody else's can be there
        os.close(descriptor)


def _take(path: str, name: str) -> int:
    """A descriptor of the lock file, which is ours now."""
    for _ in range(TRIES):
        try:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
            descriptor = os.open(name, flags, 0o666)
        except OSError as error:
            raise OutputError(f"{name}: cannot be made, so {path} cannot be locked: {reason_of(error)}") from None
        if not _is_ours(descriptor):
            owner = _owner(descriptor)
            os.close(descriptor)
            raise OutputError(f"{path}: {owner} trains it; wait for that, or write elsewhere with -o")
        if _is_at(descriptor, name):
            return descriptor
        os.close(descriptor)  # its owner removed it while we waited for the lock
    raise OutputError(f"{path}: other processes take its lock again and again; try later")


def _is_ours(descriptor: int) -> bool:
    if fcntl is None:
        owner = os.read(descriptor, LONGEST).split()
        return not owner or not owner[0].isdigit() or not is_alive(int(owner[0]))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # A file system without locks cannot say no: then training goes on without one.
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN)
    return True


def _is_at(descriptor: int, name: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(name))
    except OSError:
        return False


def _owner(descriptor: int) -> str:
    """``process 17 on HOST``, as its file says."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    words = os.read(descriptor, LONGEST).decode("utf-8", "replace").split()
    return f"process {words[0]} on {' '.join(words[1:])}" if len(words) > 1 else "another process"
