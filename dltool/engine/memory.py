"""Memory that forked lanes share. Imports numpy only."""

import math
import mmap

import numpy as np


def shared_zeros(shape: tuple[int, ...] | int, dtype: object = np.float32) -> np.ndarray:
    """Zeros in anonymous shared memory: page-aligned, seen by processes forked later, freed with the array.

    Pages that are never touched cost nothing.
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    dtype = np.dtype(dtype)
    count = math.prod(shape)
    if count == 0:
        return np.zeros(shape, dtype)
    block = mmap.mmap(-1, count * dtype.itemsize)
    return np.frombuffer(block, dtype, count).reshape(shape)
