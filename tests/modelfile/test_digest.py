"""The digest of a model's content: the same however its arrays arrive, and what it finds in large files."""

import hashlib
import threading

import h5py
import numpy as np
import pytest

from dltool.engine.graph import GraphBuilder
from dltool.engine.layers import Dense
from dltool.engine.model import Model
from dltool.errors import ModelFileError
from dltool.modelfile.digest import WORTH_A_THREAD, RunningDigest, content_digest
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.modelfile.writing import write


def test_the_digest_covers_names_sizes_and_numbers_in_order():
    expected = hashlib.sha256(b"text 'b' 2\nhiarray 'a' (2,)\n" + np.array([1, -2], "<f4").tobytes())
    assert content_digest({"b": "hi"}, [("a", np.array([1.0, -2.0]))]) == expected.hexdigest()


def test_large_parts_are_hashed_beside_the_work_and_leave_no_thread():
    size = WORTH_A_THREAD // 4
    array = np.random.default_rng(0).standard_normal(2 * size + 5).astype(np.float32)
    threads = threading.active_count()
    with RunningDigest({"t": "x"}) as found:
        found.begin("large", array.shape)
        for part in (array[:3], array[3 : 3 + size], array[3 + size :]):
            found.update(part)
        assert threading.active_count() == threads + 1
        found.begin("scalar", ())
        found.update(np.float32(7).reshape(()))
    assert threading.active_count() == threads
    expected = hashlib.sha256(f"text 't' 1\nxarray 'large' {array.shape}\n".encode() + array.tobytes())
    expected.update(b"array 'scalar' ()\n" + np.float32(7).tobytes())
    assert found.hexdigest() == expected.hexdigest()


@pytest.mark.parametrize("place", [0, 600, 1_200_000])
def test_a_flipped_bit_anywhere_in_a_large_array_is_found(tmp_path, place):
    path = tmp_path / "m.h5"
    b = GraphBuilder()
    write(SavedModel(Model.build(b.graph(b.add(Dense(1100, name="d"), b.input((1100,)))))), path)
    assert read(path).model.weights.views["d"][0].shape == (1100, 1100)
    with h5py.File(path) as file:
        offset = file["model_weights/d/d/kernel:0"].id.get_offset()
    data = bytearray(path.read_bytes())
    data[offset + 4 * place] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match="checksum does not match"):
        read(path)
