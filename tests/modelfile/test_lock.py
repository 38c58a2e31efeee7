"""One training per file."""

import multiprocessing
import os
import platform
import subprocess
import sys

import pytest

from dltool.errors import OutputError
from dltool.modelfile import lock
from dltool.modelfile.lock import lock_path, locked

HOLD = "import sys; from dltool.modelfile.lock import locked\nwith locked(sys.argv[1]):\n print(1, flush=True); input()"


@pytest.fixture
def holder(tmp_path, repository):
    """A process that holds the lock of m.h5 until its stdin ends."""
    environ = {**os.environ, "PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", HOLD, str(tmp_path / "m.h5")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True) as process:
        assert process.stdout.readline() == "1\n"
        yield process
        process.kill()


def test_the_lock_file_says_who_trains_and_is_gone_afterwards(tmp_path):
    model = tmp_path / "m.h5"
    with locked(model):
        assert lock_path(str(model)) == str(tmp_path / ".m.h5.lock")
        assert (tmp_path / ".m.h5.lock").read_text() == f"{os.getpid()} {platform.node()}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_second_training_is_refused_and_told_who_trains(tmp_path, holder):
    message = rf"m\.h5: process {holder.pid} on {platform.node()} trains it; wait for that, or write elsewhere with -o"
    with pytest.raises(OutputError, match=message), locked(tmp_path / "m.h5"):
        pass
    with locked(tmp_path / "other.h5"):
        pass
    assert (tmp_path / ".m.h5.lock").exists()


def test_the_lock_of_a_killed_training_is_taken_over(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert (tmp_path / ".m.h5.lock").exists()
    with locked(tmp_path / "m.h5"):
        assert (tmp_path / ".m.h5.lock").read_text().startswith(f"{os.getpid()} ")
    assert not (tmp_path / ".m.h5.lock").exists()


def test_without_system_locks_the_process_number_decides(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    with pytest.raises(OutputError, match=f"process {holder.pid} on"), locked(tmp_path / "m.h5"):
        pass
    holder.kill()
    holder.wait()
    with locked(tmp_path / "m.h5"):
        pass


def test_a_folder_that_takes_no_lock_is_named(tmp_path):
    message = r"\.m\.h5\.lock: cannot be made, so .*m\.h5 cannot be locked"
    with pytest.raises(OutputError, match=message), locked(tmp_path / "missing" / "m.h5"):
        pass
    (tmp_path / "elsewhere").write_text("precious")
    os.symlink(tmp_path / "elsewhere", tmp_path / ".m.h5.lock")
    with pytest.raises(OutputError, match="cannot be made"), locked(tmp_path / "m.h5"):
        pass
    assert (tmp_path / "elsewhere").read_text() == "precious"


def test_many_at_once_never_hold_it_together(tmp_path):
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        counts = pool.map(_take_turns, [str(tmp_path / "m.h5")] * 4)
    assert sum(counts) > 0
    assert not (tmp_path / ".m.h5.lock").exists()


def _take_turns(path: str) -> int:
    """Take the lock where possible, and fail when somebody else is inside."""
    taken = 0
    for _ in range(200):
        try:
            with locked(path):
                descriptor = os.open(f"{path}.inside", os.O_CREAT | os.O_EXCL)
                os.close(descriptor)
                os.unlink(f"{path}.inside")
                taken += 1
        except OutputError:
            pass
    return taken
