"""Fixtures for all tests: where the recorded cases and the sample data are."""

import os
import signal
from pathlib import Path

# As the command line does, before numpy comes: BLAS threads would keep the reader from its quick fork.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Ctrl-C reaches what the tests start, also where a shell began the tests in the background, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the recorded Keras cases and real data sets; tests that need it skip without it."""
    folder = os.environ.get("DLTOOL_SHARED")
    if not folder:
        pytest.skip("DLTOOL_SHARED is not set: the recorded cases are not here")
    return Path(folder)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root folder."""
    return REPOSITORY


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The committed sample data; tests must not write there."""
    return REPOSITORY / "sample_data"
