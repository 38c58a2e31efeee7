"""The file that dltool writes: everything comes back, the same bytes every time, whole or not at all."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time

import h5py
import numpy as np
import pytest

from dltool.engine.model import Model
from dltool.errors import OutputError
from dltool.modelfile.atomic import check_space
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.modelfile.writing import put_names, write
from tests.modelfile.models import images, residual, trained


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.h5"


@pytest.mark.parametrize("make", [images, residual])
def test_everything_comes_back(path, make):
    saved = trained(make())
    write(saved, path)
    again = read(path)
    assert again.model.graph.nodes == saved.model.graph.nodes
    assert again.model.graph.outputs == saved.model.graph.outputs
    assert np.array_equal(again.model.weights.vector, saved.model.weights.vector)
    for name in ("classes", "preprocessing", "training_config", "recipe", "split", "fingerprint"):
        assert getattr(again, name) == getattr(saved, name), name
    assert str(again.history) == "[{'epoch': 3, 'loss': 0.5, 'val_loss': nan}]"
    assert np.array_equal(again.state.weights, saved.state.weights)
    assert all(np.array_equal(again.state.slots[name], slot) for name, slot in saved.state.slots.items())
    for name in ("memory", "step", "epoch", "callbacks"):
        assert getattr(again.state, name) == getattr(saved.state, name), name


def test_a_bare_model_comes_back(path):
    write(SavedModel(images()), path)
    again = read(path)
    assert (again.classes, again.training_config, again.state, again.history) == (None, None, None, [])
    assert again.keras_version == "2.15.0"


def test_the_state_can_be_left_out_of_file_or_reading(path):
    write(trained(images()), path)
    saved_bytes = 4 * images().weights.num_trainable
    assert read(path, with_state=False).state is None
    large = path.stat().st_size
    write(trained(images()), path, keep_state=False)
    assert read(path).state is None
    assert path.stat().st_size < large - 2 * saved_bytes


def test_last_weights_equal_to_the_best_are_stored_once(path):
    saved = trained(images())
    saved.state.weights = saved.model.weights.vector.copy()
    write(saved, path)
    with h5py.File(path) as file:
        assert set(file["dltool/state"]) == {"slot.momentum", "slot.velocity"}
    assert np.array_equal(read(path).state.weights, saved.model.weights.vector)


def test_the_same_model_gives_the_same_bytes_at_any_time_and_place(path, tmp_path):
    write(trained(images()), path)
    first = path.read_bytes()
    time.sleep(1.1)  # HDF5 stamps have whole seconds
    (tmp_path / "elsewhere").mkdir()
    write(trained(images()), tmp_path / "elsewhere" / "other.h5")
    assert (tmp_path / "elsewhere" / "other.h5").read_bytes() == first
    write(read(path), path)
    assert path.read_bytes() == first


def test_keras_finds_no_optimizer_weights_and_a_version(path):
    write(trained(images()), path)
    with h5py.File(path) as file:
        assert set(file) == {"model_weights", "dltool"}
        assert file.attrs["keras_version"] == "2.15.0"
        assert file.attrs["backend"] == "tensorflow"
        assert list(file["model_weights"].attrs["layer_names"])[:2] == [b"picture", b"conv2d"]
        assert list(file["model_weights/conv2d"].attrs["weight_names"]) == [b"conv2d/kernel:0", b"conv2d/bias:0"]


def test_long_name_lists_are_split_as_keras_splits_them(path):
    names = [f"layer_with_a_long_name_{i:04d}" for i in range(3000)]
    with h5py.File(path, "w") as file:
        put_names(file, "layer_names", names)
        assert "layer_names" not in file.attrs
        parts = [file.attrs[f"layer_names{i}"] for i in range(len(file.attrs))]
    assert [name.decode() for part in parts for name in part] == names


def test_writing_works_beside_threads(path):
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        write(trained(images()), path)
        assert read(path).state.step == 12
    finally:
        stop.set()
        thread.join()


# -- targets


def refusal(path, **options) -> str:
    before = sorted(os.listdir(path.parent)) if path.parent.is_dir() else None
    with pytest.raises(OutputError) as caught:
        write(SavedModel(images()), path, **options)
    assert before is None or sorted(os.listdir(path.parent)) == before
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_links_pipes_folders_and_existing_files_are_not_written_through(path, tmp_path):
    (tmp_path / "precious").write_text("keep")
    path.symlink_to(tmp_path / "precious")
    assert "is a symbolic link" in refusal(path)
    assert (tmp_path / "precious").read_text() == "keep"
    assert "exists; use --force" in refusal(tmp_path / "precious", overwrite=False)
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    assert "is a directory" in refusal(tmp_path / "folder")
    assert "does not exist" in refusal(tmp_path / "nowhere" / "m.h5")


def test_permissions_follow_the_umask_and_then_the_old_file(path):
    old = os.umask(0o027)
    try:
        write(SavedModel(images()), path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        write(SavedModel(images()), path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(old)


def test_a_hard_linked_copy_keeps_the_old_content(path, tmp_path):
    path.write_text("old")
    os.link(path, tmp_path / "copy")
    write(SavedModel(images()), path)
    assert (tmp_path / "copy").read_text() == "old"


# -- failures

SETUP = """
import sys
from dltool.modelfile.writing import write
from tests.modelfile.models import images, trained
saved = trained(images())
"""


def start(repository, program, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", SETUP + program, *arguments],
        cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("limit", [0, 100, 5_000, 20_000])
def test_a_full_disk_keeps_the_old_file_and_leaves_nothing_behind(path, repository, limit):
    write(trained(images()), path)
    before = path.read_bytes()
    assert len(before) > 20_000
    program = """
import resource
from dltool.errors import OutputError
write(saved, sys.argv[1] + ".warm")
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    write(saved, sys.argv[1])
except OutputError as error:
    print(error)
"""
    out, err = start(repository, program, str(path), str(limit)).communicate(timeout=60)
    assert out.startswith(f"{path}: is larger than the limit for files")
    assert err == ""
    assert path.read_bytes() == before
    assert sorted(os.listdir(path.parent)) == ["m.h5", "m.h5.warm"]


@pytest.mark.skipif(not hasattr(os, "statvfs"), reason="asks as Unix does")
def test_too_little_space_is_known_before_the_work(path):
    check_space(path, 1000)
    with pytest.raises(OutputError, match=r"m\.h5: 1,152,921,504,607 MB are needed and [\d,]+ MB are free; free disk"):
        check_space(path, 1 << 60)


def test_a_kill_at_any_moment_leaves_a_whole_file_and_the_next_write_sweeps(path, repository):
    write(SavedModel(Model.build(images().graph, seed=9)), path)
    program = """
print("ready", flush=True)
while True:
    for k in (1, 2):
        saved.history = [{"epoch": k}]
        write(saved, sys.argv[1])
"""
    for delay in (0.0, 0.01, 0.023, 0.031, 0.05):
        process = start(repository, program, str(path))
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert read(path).history in ([], [{"epoch": 1}], [{"epoch": 2}])
    (path.parent / ".m.h5.00000000.999999999.ab.dltool-tmp").write_text("of another machine")
    write(SavedModel(images()), path)
    assert sorted(os.listdir(path.parent)) == [".m.h5.00000000.999999999.ab.dltool-tmp", "m.h5"]


def test_a_temporary_of_a_running_process_is_left_alone(path):
    from dltool.modelfile.atomic import temporary_name

    other = temporary_name(str(path)).replace(f".{os.getpid()}.", f".{os.getppid()}.")
    with open(other, "w") as file:
        file.write("mine")
    write(SavedModel(images()), path)
    assert os.path.exists(other)


def test_readers_never_see_a_broken_file_while_it_is_rewritten(path, repository):
    write(SavedModel(images()), path)
    process = start(repository, "for _ in range(75):\n    write(saved, sys.argv[1])\n", str(path))
    count = 0
    while process.poll() is None:
        read(path)
        count += 1
    assert process.communicate()[1] == ""
    assert count > 3
