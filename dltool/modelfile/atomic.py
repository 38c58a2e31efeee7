"""Replace a file whole or not at all: a temporary in the same folder, flush, fsync, rename, fsync of the folder.

A reader sees the old file or the new one, also after kill -9 or power loss. Imports the standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from dltool.errors import OutputError

SUFFIX = ".dltool-tmp"


def check_target(path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Find out before the work whether ``path`` can be written. Raises OutputError."""
    path = os.fspath(path)
    folder = os.path.dirname(path) or "."
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        mode = None
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be written: {reason_of(error)}") from None
    if mode is not None and stat.S_ISLNK(mode):
        raise OutputError(f"{path}: is a symbolic link; give the real path")
    if mode is not None and not stat.S_ISREG(mode):
        raise OutputError(
            f"{path}: is {'a directory' if stat.S_ISDIR(mode) else 'not a regular file'}; choose another name"
        )
    if mode is not None and not overwrite:
        raise OutputError(f"{path}: exists; use --force to replace it")
    if not os.path.isdir(folder):
        raise OutputError(f"{path}: the folder {folder} does not exist; create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: the folder {folder} is read-only; choose another -o")


def check_space(path: str | os.PathLike[str], size: int) -> None:
    """Find out before the work whether ``size`` bytes fit beside an old ``path``, which stays until they are written.

    Raises:
        OutputError: there is less free space. Nothing where the system does not say.
    """
    with contextlib.suppress(OSError, AttributeError):  # no statvfs on Windows
        found = os.statvfs(os.path.dirname(os.fspath(path)) or ".")
        free = found.f_bavail * found.f_frsize
        if size > free:
            raise OutputError(
                f"{path}: {megabytes(size)} are needed and {free // 10**6:,} MB are free; free disk space"
            )


def megabytes(num_bytes: int) -> str:
    return f"{max(1, round(num_bytes / 1e6)):,} MB"


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], size: int, *, overwrite: bool = True) -> Iterator[int]:
    """Give a descriptor to write to; on leaving, its content becomes ``path``. On any failure the old file stays.

    Args:
        size: about how many bytes will be written, for the message when the disk is full.

    Raises:
        OutputError: the file cannot be written.
    """
    path = os.fspath(path)
    check_target(path, overwrite=overwrite)
    sweep_temporaries(path)
    temporary = temporary_name(path)
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(temporary, flags, 0o666)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {reason_of(error)}") from None
    try:
        try:
            yield descriptor
            keep_mode(path, descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise OutputError(f"{path}: {full_message(path, error, size)}") from None
        raise
    sync_folder(path)


def temporary_name(path: str) -> str:
    """``.NAME.HOST.PID.RANDOM.dltool-tmp`` beside ``path``; it names its owner so that others know when it is stale."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name[:100]}.{host_mark()}.{os.getpid()}.{os.urandom(4).hex()}{SUFFIX}")


def host_mark() -> str:
    """A short sign of this machine: on a shared disk a process number says nothing about another machine's process."""
    return hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()


def sweep_temporaries(path: str) -> None:
    """Remove temporaries for ``path`` whose process, on this machine, is no more."""
    folder, name = os.path.split(path)
    prefix = f".{name[:100]}.{host_mark()}."
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder or "."):
            if entry.startswith(prefix) and entry.endswith(SUFFIX):
                owner = entry[len(prefix) :].split(".")[0]
                if owner.isdigit() and not is_alive(int(owner)):
                    Path(folder, entry).unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process exists; always True on Windows, where asking is not harmless (os.kill would end it)."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def keep_mode(path: str, descriptor: int) -> None:
    """A file that is replaced keeps its permissions; a new one has those of the umask."""
    if hasattr(os, "fchmod"):
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, stat.S_IMODE(os.lstat(path).st_mode))


def sync_folder(path: str) -> None:
    """Make the rename itself durable, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def full_message(path: str, error: OSError, size: int) -> str:
    """What went wrong while saving, with the space needed and left when that was the reason."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"cannot be written: {reason_of(error)}; any old file was kept"
    needed = f"need about {megabytes(size)}"
    if error.errno == errno.EFBIG:
        return f"is larger than the limit for files ({needed}); any old file was kept"
    left = ""
    with contextlib.suppress(OSError, AttributeError):
        found = os.statvfs(os.path.dirname(path) or ".")
        left = f", {round(found.f_bavail * found.f_frsize / 1e6)} MB free"
    return f"disk full while saving ({needed}{left}); any old file was kept"


def reason_of(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)
