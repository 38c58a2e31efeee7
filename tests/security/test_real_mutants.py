"""Seeded damage to files that other people wrote with Keras 1 to 3: each mutant is read or refused, nothing else."""

import contextlib
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from dltool.errors import ModelFileError
from dltool.modelfile.reading import read
from tests.security.forging import flipped, forge_texts
from tests.security.fork_server import ForkServer
from tests.security.test_mutants import FACTOR, SUMMARY, check

pytestmark = pytest.mark.shared


@pytest.fixture
def ten(shared: Path) -> list[Path]:
    """The ten smallest files that are read whole; every mutant of another one would be refused for that reason."""
    found: list[Path] = []
    for path in sorted((shared / "keras" / "real").glob("*.h5"), key=lambda path: path.stat().st_size):
        with contextlib.suppress(ModelFileError):
            read(path)
            found.append(path)
        if len(found) == 10:
            return found
    raise AssertionError(f"only {len(found)} files are read")


def structure(data: bytes) -> list[int]:
    """The places of a file that are not the zeros and weights that most of it consists of: names, texts, headers."""
    printable = np.frombuffer(data, np.uint8)
    dense = np.convolve((printable > 31) & (printable < 127), np.ones(16), "same") > 10
    return np.flatnonzero(dense).tolist()


def test_real_files_with_damage_are_read_or_refused(quick_server: ForkServer, ten: list[Path], tmp_path: Path):
    """A third with bits flipped anywhere, a third in texts and names, a third with forged descriptions."""
    numbers, words, commands = np.random.default_rng(11), random.Random(12), []
    for number in range(500 * FACTOR):
        source = ten[number % 10]
        path = tmp_path / f"mutant{number}.h5"
        data = bytearray(source.read_bytes())
        if number % 3 == 0:
            path.write_bytes(flipped(bytes(data), numbers))
        elif number % 3 == 1:
            for place in words.choices(structure(data), k=words.randint(1, 4)):
                data[place] ^= 1 << words.randrange(8)
            path.write_bytes(data)
        else:
            shutil.copyfile(source, path)
            forge_texts(path, words)
        commands.append(("summary", path))
    counts = check(quick_server.run_all(commands, seconds=300 * FACTOR), SUMMARY)
    assert counts[0] > 50 * FACTOR
    assert counts[4] > 50 * FACTOR
