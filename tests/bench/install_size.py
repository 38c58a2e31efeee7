"""How much disk the base install takes: a fresh virtual environment, what pip put there, no more than a bar."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tests.bench import machine

REPOSITORY = Path(__file__).resolve().parent.parent.parent
BAR_MB = 130


def measure(repository: Path = REPOSITORY) -> dict[str, float]:
    """Megabytes of each folder in a fresh environment's site-packages after ``pip install`` of the project.

    Raises CalledProcessError when pip fails, for example without a network.
    """
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=False)
        python = Path(folder, "Scripts" if sys.platform == "win32" else "bin", "python")
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq", str(repository)],
            check=True,
            env=machine.environment(),
            stdout=subprocess.DEVNULL,
        )
        return folder_sizes(next(Path(folder).rglob("site-packages")))


def folder_sizes(folder: Path) -> dict[str, float]:
    """Megabytes that the files under each entry of a folder take on disk, the largest first."""
    sizes = {entry.name: sum(map(disk_bytes, [entry, *entry.rglob("*")])) / 1e6 for entry in folder.iterdir()}
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def disk_bytes(path: Path) -> int:
    """As ``du`` counts; where the system does not say, the file's length."""
    found = path.lstat()
    return getattr(found, "st_blocks", -(-found.st_size // 512)) * 512
