"""The same command and seed give the same file, whoever runs it."""

import hashlib
import sys

import pytest

from dltool.settings import DataSettings, FitSettings
from dltool.workflows import fit


def digest_of_fit(folder, sample_data, jobs, backend) -> str:
    """SHA-256 of a model file after two epochs of a network with dropout, on shuffled digits."""
    path = folder / f"{backend}{jobs}.h5"
    settings = FitSettings(
        model=str(path),
        data=DataSettings(data=(str(sample_data / "digits" / "test"),)),
        arch="cnn:width=8",
        epochs=2,
        jobs=jobs,
        backend=backend,
    )
    fit.run(settings)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.skipif(sys.platform != "linux", reason="process lanes need a safe fork")
def test_files_are_equal_for_1_to_4_lanes_threads_or_processes_and_twice_in_a_row(tmp_path, sample_data):
    alone = digest_of_fit(tmp_path, sample_data, 1, "threads")
    (tmp_path / "threads1.h5").unlink()
    for jobs in (1, 2, 3, 4):
        for backend in ("threads", "processes"):
            assert digest_of_fit(tmp_path, sample_data, jobs, backend) == alone, (jobs, backend)
