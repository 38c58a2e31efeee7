"""The SHA-256 over everything that decides what a model does; it finds every flipped bit in config and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np


def content_digest(texts: Mapping[str, str], arrays: Iterable[tuple[str, np.ndarray]]) -> str:
    """Hexadecimal digest of named texts and float32 arrays.

    Each item is preceded by its kind, name and size, so that nothing can move between items unnoticed. Arrays count as
    little-endian float32 in row-major order.
    """
    found = hashlib.sha256()
    for name in sorted(texts):
        data = texts[name].encode()
        found.update(f"text {name!r} {len(data)}\n".encode())
        found.update(data)
    for name, array in arrays:
        found.update(f"array {name!r} {array.shape}\n".encode())
        if array.size:
            found.update(memoryview(np.ascontiguousarray(array, "<f4").reshape(-1)).cast("B"))
    return found.hexdigest()
