"""Servers that run dltool, and the shared corpus of hostile and odd files."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.fork_server import ForkServer


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    """Runs dltool as a user would: nothing that a command imports late is there before."""
    found = ForkServer()
    yield found
    found.close()


@pytest.fixture(scope="session")
def quick_server() -> Iterator[ForkServer]:
    """The same with h5py imported, for thousands of small files."""
    found = ForkServer("h5py")
    yield found
    found.close()


@pytest.fixture(scope="session")
def corpus(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    """The folder with the samples, and what its MANIFEST.json says of each."""
    root = tmp_path_factory.mktemp("corpus")
    maker = shared / "security" / "make_corpus.py"
    subprocess.run([sys.executable, maker, root], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return root, json.loads((root / "MANIFEST.json").read_text())
