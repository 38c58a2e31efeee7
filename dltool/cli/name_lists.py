"""Names of inputs from stdin or a file: one per line for ``-``, NUL-separated for ``--files0-from``."""

import os
import sys

from dltool.errors import DataError, UsageError

MOST_BYTES = 1 << 30


def expand_inputs(paths: tuple[str, ...], files0_from: str | None) -> tuple[str, ...]:
    """The inputs with ``-`` replaced by the lines of stdin, or the names of ``--files0-from``.

    Raises:
        UsageError: both ways at once, stdin twice, or nothing at all. DataError: the list cannot be read.
    """
    if files0_from is not None:
        if paths:
            raise UsageError("--files0-from: cannot be combined with PATH; name the inputs in one way")
        names = split_names(read_list(files0_from), b"\0")
        if not names:
            raise DataError(f"{shown(files0_from)}: lists no names; give NUL-separated ones, as find -print0 does")
        return names
    if not paths:
        raise UsageError("PATH: missing; give files, folders or arrays, or - for names on stdin")
    if paths.count("-") > 1:
        raise UsageError("-: given twice, but stdin can be read only once")
    found: list[str] = []
    for path in paths:
        found += split_names(read_list("-"), b"\n") if path == "-" else [path]
    if not found:
        raise DataError("stdin: lists no names; give one per line")
    return tuple(found)


def read_list(path: str) -> bytes:
    """The bytes of a list; ``-`` is stdin."""
    try:
        if path == "-":
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError, AttributeError) as error:  # AttributeError: stdin is closed
        raise DataError(f"{shown(path)}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(data) > MOST_BYTES:
        raise DataError(f"{shown(path)}: more than 1 GB of names; give them in parts")
    return data


def split_names(data: bytes, separator: bytes) -> tuple[str, ...]:
    """The names, empty ones left out; a line may end as on Windows."""
    pieces = data.split(separator)
    if separator == b"\n":
        pieces = [piece.removesuffix(b"\r") for piece in pieces]
    return tuple(os.fsdecode(piece) for piece in pieces if piece)


def shown(path: str) -> str:
    return "stdin" if path == "-" else path
