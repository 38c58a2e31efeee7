"""Files as others write, damage and forge them: read right, or refused in one line; never a crash or a hang."""

import base64
import os
import runpy
import subprocess
import sys
import threading
import time
import zlib

import h5py
import numpy as np
import pytest

from dltool.errors import ModelFileError
from dltool.modelfile.hdf5 import ModelSource, can_fork
from dltool.modelfile.reading import read
from dltool.modelfile.writing import write
from tests.modelfile.models import KERAS_CONFIG, images, keras_file, trained

KERNEL = np.arange(12, dtype="f4").reshape(4, 3)


def refusal(path) -> str:
    """The message without the path; it is one line, and starts with the path."""
    with pytest.raises(ModelFileError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.h5"


# -- legal variants


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dtype": "<f8"},
        {"dtype": ">f4"},
        {"dtype": "i4"},
        {"dtype": "f2"},
        {"chunks": (2, 3), "compression": "gzip"},
        {"chunks": (4, 3), "shuffle": True, "fletcher32": True},
    ],
    ids=str,
)
def test_arrays_of_any_number_type_and_plain_compression_load(path, options):
    with keras_file(path) as file:
        del file["model_weights/d/d/kernel:0"]
        file["model_weights/d"].create_dataset("d/kernel:0", data=KERNEL, **options)
    kernel, bias = read(path).model.weights.views["d"]
    assert np.array_equal(kernel, KERNEL)
    assert bias.tolist() == [1, 2, 3]


@pytest.mark.parametrize("text", [KERAS_CONFIG, KERAS_CONFIG.encode(), np.bytes_(KERAS_CONFIG.encode())], ids=type)
def test_config_as_variable_or_fixed_text_is_read(path, text):
    keras_file(path, config=text).close()
    assert list(read(path).model.graph.layers) == ["x", "d"]


def test_name_lists_may_be_split_and_weightless_layers_are_stored_as_floats(path):
    with keras_file(path) as file:
        group = file["model_weights"]
        del group.attrs["layer_names"]
        group.attrs["layer_names0"], group.attrs["layer_names1"] = [b"x"], ["d"]
        group.create_group("x").attrs["weight_names"] = np.zeros(0)
    assert read(path).model.weights.views["d"][1].tolist() == [1, 2, 3]


def test_a_user_block_and_the_newest_format_are_read(path):
    keras_file(path).close()
    with h5py.File(path) as old, h5py.File(path.with_name("u.h5"), "w", userblock_size=512, libver="latest") as new:
        for name in old:
            old.copy(name, new)
        new.attrs.update(old.attrs)
    assert np.array_equal(read(path.with_name("u.h5")).model.weights.views["d"][0], KERNEL)


def test_bfloat16_weights_are_read_as_the_numbers_they_are(path):
    """Keras 3 stores their two bytes, the upper half of a float32, without a type."""
    numbers = np.array([[1.0, -2.0, 0.5]] * 4, "<f4")
    keras_file(path, kernel=(numbers.view("<u4") >> 16).astype("<u2").view("V2")).close()
    assert np.array_equal(read(path).model.weights.views["d"][0], numbers)


def test_an_optimizer_state_that_keras_listed_and_did_not_write_leaves_a_model_that_predicts(path):
    with keras_file(path) as file:
        state = file.create_group("optimizer_weights")
        state.attrs["weight_names"] = [b"adafactor/d_kernel_r", b"adafactor/d_kernel_v"]
        state["adafactor/d_kernel_r"] = np.zeros(4, "f4")
    saved = read(path)
    assert saved.state is None
    assert np.array_equal(saved.model.weights.views["d"][0], KERNEL)


def test_a_symbolic_link_to_a_model_is_followed(path, tmp_path):
    keras_file(path).close()
    (tmp_path / "link.h5").symlink_to(path)
    assert read(tmp_path / "link.h5").keras_version == "2.15.0"


def test_reading_works_beside_threads_and_forks_only_without_them(path):
    keras_file(path).close()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert not can_fork()
        assert np.array_equal(read(path).model.weights.views["d"][0], KERNEL)
    finally:
        stop.set()
        thread.join()


def test_a_file_that_was_opened_earlier_is_read_and_closed(path):
    keras_file(path).close()
    with ModelSource(path) as source:  # predict imports the engine here, while the child imports h5py
        child = source.child.process
        assert np.array_equal(read(source).model.weights.views["d"][0], KERNEL)
        assert source.file.closed
    if isinstance(child, int):
        with pytest.raises(ChildProcessError):
            os.waitpid(child, 0)


def test_the_reading_process_never_imports_h5py(path, repository):
    keras_file(path).close()
    program = "import sys; from dltool.modelfile.reading import read; read(sys.argv[1]); print('h5py' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, path], cwd=repository, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


# -- what is not a model


def test_files_that_are_no_hdf5_are_named_for_what_they_are(path):
    for data, message in (
        (b"", "is empty"),
        (b"\x89HDF", "is not an HDF5 file"),
        (b"PK\x03\x04rest", "is damaged or cut off (File is not a zip file)"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html>", "is a web page"),
        (b"\x1f\x8b\x08rest", "is gzip-compressed"),
        (b"\x80\x04.", "is a Python pickle"),
    ):
        path.write_bytes(data)
        assert message in refusal(path)


def test_missing_files_folders_pipes_and_circular_links_are_refused(path, tmp_path):
    assert "no such file" in refusal(path)
    assert "is a directory" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "is a FIFO" in refusal(tmp_path / "pipe")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert "cannot be opened" in refusal(tmp_path / "a")


def test_weights_without_a_model_are_refused(path):
    with keras_file(path, config=None) as file:
        assert file
    assert "has no model_config" in refusal(path)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"d"]
        file.create_group("d").attrs["weight_names"] = np.zeros(0)
    assert "holds weights only" in refusal(path)
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = KERAS_CONFIG
    assert "no weights" in refusal(path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "is not valid JSON"),
        ('{"a": 1, "a": 2}', "names a key twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"class_name": "Sequential", "config": ' + "9" * 5000 + "}", "a number of 5000 digits"),
        (7, "is not text"),
        (np.void(b'{"a":"\xff"}'), "is not text"),
        (np.array(["a", "b"], dtype="S1"), "is not one text"),
        ("null", "not a Sequential or Functional model"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_configs_that_are_no_config_are_refused(path, config, message):
    keras_file(path, config=config).close()
    assert message in refusal(path)


# -- forged storage


def replace_kernel(path, make) -> None:
    with keras_file(path) as file:
        layer = file["model_weights/d/d"]
        del layer["kernel:0"]
        make(layer, "kernel:0")


def virtual(group, name):
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "k", (4, 3))
    group.create_virtual_dataset(name, layout)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g, n: g.__setitem__(n, h5py.SoftLink("/model_weights/d/d/bias:0")), "follows no links"),
        (lambda g, n: g.__setitem__(n, h5py.ExternalLink("other.h5", "k")), "follows no links"),
        (lambda g, n: g.create_dataset(n, (4, 3), "f4", external=[("raw", 0, 48)]), "stored in another file"),
        (virtual, "stored in another file"),
        (lambda g, n: g.create_dataset(n, (1 << 30, 16), "f4", chunks=(1024, 16)), "declares 68719476736 bytes"),
        (lambda g, n: g.create_dataset(n, (1 << 30, 16), "f4"), "declares 68719476736 bytes"),
        (lambda g, n: g.create_dataset(n, data=np.zeros((4, 3)), chunks=(4, 3), compression="lzf"), "filter 32000"),
        (lambda g, n: g.create_dataset(n, data=np.zeros((4, 3), "c8")), "not real numbers"),
        (lambda g, n: g.create_dataset(n, data=np.zeros((4, 3), [("a", "f4")])), "not real numbers"),
        (lambda g, n: g.create_dataset(n, (4, 3), h5py.string_dtype()), "not real numbers"),
        (lambda g, n: g.create_dataset(n, data=h5py.Empty("f4")), "has no usable shape"),
        (
            lambda g, n: g.create_dataset(n, data=np.zeros((5, 3), "f4")),
            "kernel is (5, 3) in the file but must be (4, 3)",
        ),
        (lambda g, n: g.create_group(n), "is not a dataset"),
        (lambda g, n: None, "is listed but missing"),
    ],
)
def test_forged_arrays_are_refused_before_anything_is_allocated(path, make, message):
    replace_kernel(path, make)
    assert message in refusal(path)


def test_a_weights_group_that_is_a_link_elsewhere_is_refused(path, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for link in (h5py.ExternalLink(str(tmp_path / "pipe"), "/"), h5py.SoftLink("/nowhere")):
        with keras_file(path) as file:
            del file["model_weights"]
            file["model_weights"] = link
        assert "follows no links" in refusal(path)


@pytest.mark.parametrize("name", [b"../x", b"d//kernel", b"./kernel", b""])
def test_names_that_leave_their_group_are_refused(path, name):
    with keras_file(path) as file:
        file["model_weights/d"].attrs["weight_names"] = [name, b"d/bias:0"]
    assert "is not allowed" in refusal(path)


def test_a_config_that_promises_gigantic_weights_is_refused_by_comparing_shapes(path):
    keras_file(path, config=KERAS_CONFIG.replace('"units": 3', '"units": 2000000000')).close()
    assert "must be (4, 2000000000)" in refusal(path)


def test_missing_and_surplus_weights_are_refused(path):
    with keras_file(path) as file:
        file["model_weights/d"].attrs["weight_names"] = [b"d/kernel:0"]
    assert "needs 2 weights but the file holds 1" in refusal(path)
    with keras_file(path) as file:
        file["model_weights"].attrs["layer_names"] = [b"d", b"d"]
    assert "weights for 2 layers" in refusal(path)


# -- damage


def test_a_truncated_file_is_refused_at_every_length(path):
    write(trained(images()), path)
    data = path.read_bytes()
    for size in range(0, len(data), max(1, len(data) // 40)):
        path.write_bytes(data[:size])
        refusal(path)


def test_every_single_flipped_bit_in_config_and_weights_is_detected(path, repository):
    write(trained(images()), path)
    data = path.read_bytes()
    with h5py.File(path) as file:
        kernel = file["model_weights/dense/dense/kernel:0"].id.get_offset()
    config = data.index(b'"class_name": "Sequential"')
    for position in (kernel, kernel + 63, config + 3, config + 40, data.index(b'"nodes"') + 2, data.index(b"0.25")):
        mutant = bytearray(data)
        mutant[position] ^= 1
        path.write_bytes(mutant)
        refusal(path)


def test_a_changed_training_state_is_detected_unless_it_is_not_asked_for(path):
    write(trained(images()), path)
    with h5py.File(path, "r+") as file:
        file["dltool/state/slot.momentum"][3] += 1
    assert "training state" in refusal(path)
    assert read(path, with_state=False).state is None


def test_a_layout_of_the_future_is_refused(path):
    write(trained(images()), path)
    with h5py.File(path, "r+") as file:
        file["dltool"].attrs["version"] = 2
    assert "later dltool" in refusal(path)


def test_a_file_that_hangs_or_crashes_the_hdf5_library_is_refused(shared, path):
    corpus = runpy.run_path(str(shared / "security" / "make_corpus.py"), run_name="corpus")
    for name in ("HANG", "SEGV"):
        path.write_bytes(zlib.decompress(base64.b64decode(corpus[name])))
        start = time.monotonic()
        assert "cannot be parsed safely" in refusal(path)
        assert time.monotonic() - start < 10
