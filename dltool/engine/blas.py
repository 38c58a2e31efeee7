"""Keeping the BLAS behind numpy on one thread: lanes run in parallel, products inside a lane must not.

The environment variables of ``THREAD_VARIABLES`` do it when they are set before numpy is imported (the command line
does so); ``limit_blas_threads`` does it at run time for OpenBLAS, the library in numpy's own packages.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)


def limit_blas_threads(count: int) -> bool:
    """Set the number of BLAS threads now. False when this BLAS cannot be told (set the variables instead)."""
    for path in _libraries():
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for name in ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads", "openblas_set_num_threads"):
            function = getattr(library, name, None)
            if function is not None:
                function(count)
                return True
    return False


def blas_name() -> str:
    """The kernel that OpenBLAS chose for this processor ("SkylakeX"), or "unknown"."""
    for path in _libraries():
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for name in ("scipy_openblas_get_corename64_", "scipy_openblas_get_corename"):
            function = getattr(library, name, None)
            if function is not None:
                function.restype = ctypes.c_char_p
                return function().decode()
    return "unknown"


def _libraries() -> list[Path]:
    """The BLAS files that numpy's package brings along."""
    package = Path(np.__file__).parent
    folders = (package.parent / "numpy.libs", package / ".dylibs")
    return [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*openblas*"))]
