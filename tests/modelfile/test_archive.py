"""``.keras`` archives as both generations of Keras write them, and damaged and hostile ones."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest

from dltool.engine.reference import ReferenceExecutor
from dltool.errors import ModelFileError, OutputError
from dltool.modelfile.reading import read
from dltool.modelfile.writing import check_model_target

DEFLATED = zipfile.ZIP_DEFLATED
RNG = np.random.default_rng(0)
ARRAYS = {
    "layers/dense/vars/0": RNG.random((2, 3), np.float32),
    "layers/dense/vars/1": RNG.random(3, np.float32),
    "layers/dense_1/vars/0": RNG.random((3, 1), np.float32),
    "layers/dense_1/vars/1": RNG.random(1, np.float32),
    "layers/sequential/layers/dense/vars/0": RNG.random((3, 3), np.float32),
    "layers/sequential/layers/dense/vars/1": RNG.random(3, np.float32),
    "layers/sequential/layers/dropout/seed_generator/vars/0": np.array([1, 2], np.uint32),
    "metrics/mean/vars/0": np.float32(1),
}
"""Of the model below; the numbers count the layers of a class, whatever the user called them."""


def layer(class_name: str, name: str, inputs: list | None = None, **config) -> dict:
    nodes = {} if inputs is None else {"inbound_nodes": [[[source, 0, 0, {}] for source in inputs]] if inputs else []}
    return {
        "module": "keras.layers",
        "class_name": class_name,
        "config": {"name": name, **config},
        "name": name,
        **nodes,
    }


def config() -> dict:
    """x -> first (named as Keras would name the second) -> a Sequential -> last."""
    inner = [
        layer("InputLayer", "in", batch_shape=[None, 3]),
        layer("Dense", "d", units=3, activation="relu"),
        layer("Dropout", "drop", rate=0.5, seed=None, noise_shape=None),
    ]
    layers = [
        layer("InputLayer", "x", [], batch_shape=[None, 2]),
        layer("Dense", "dense_1", ["x"], units=3),
        {**layer("Sequential", "block", ["dense_1"]), "config": {"name": "block", "layers": inner}},
        layer("Dense", "dense", ["block"], units=1),
    ]
    found = {"name": "m", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["dense", 0, 0]]}
    compiled = {"optimizer": {"class_name": "SGD", "config": {"learning_rate": 0.5}}, "loss": "mse", "metrics": ["mae"]}
    return {"module": "keras", "class_name": "Functional", "config": found, "compile_config": compiled}


def expected(x: np.ndarray) -> np.ndarray:
    a = ARRAYS
    h = x @ a["layers/dense/vars/0"] + a["layers/dense/vars/1"]
    h = np.maximum(h @ a["layers/sequential/layers/dense/vars/0"] + a["layers/sequential/layers/dense/vars/1"], 0)
    return h @ a["layers/dense_1/vars/0"] + a["layers/dense_1/vars/1"]


def weights(arrays: dict = ARRAYS) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as found:
        for name, array in arrays.items():
            found[name] = array
        found.create_group("layers/input_layer/vars")
        found["optimizer/vars/0"] = np.int64(7)
        found["optimizer/vars/1"] = np.float32(0.5)
    return file.getvalue()


def archive(path, data: bytes | None = None, compression=zipfile.ZIP_STORED, about: object = "3.15.1", **members):
    """A ``.keras`` file; ``members`` are added, or left out when None."""
    parts = {
        "metadata.json": json.dumps({"keras_version": about}),
        "config.json": json.dumps(config()),
        "model.weights.h5": weights() if data is None else data,
        **members,
    }
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in parts.items():
            if content is not None:
                file.writestr(name, content)
    return path


def refusal(path) -> str:
    with pytest.raises(ModelFileError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.keras"


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, DEFLATED])
def test_an_archive_is_read_with_its_weights_by_class_and_its_compile_step(path, compression):
    saved = read(archive(path, compression=compression))
    x = RNG.random((4, 2), np.float32)
    with ReferenceExecutor(saved.model, batch_size=4) as executor:
        assert np.allclose(executor.forward((x,))[0], expected(x), atol=1e-6)
    assert saved.keras_version == "3.15.1"
    assert saved.training_config.optimizer.learning_rate == 0.5
    assert saved.training_config.loss_names == ("mse",)
    assert saved.state.step == 7


def test_the_folders_of_old_versions_and_of_windows_are_understood(path):
    old = {name.replace("layers/", "_layer_checkpoint_dependencies\\"): array for name, array in ARRAYS.items()}
    with h5py.File(io.BytesIO(weights(old))) as file:
        assert "_layer_checkpoint_dependencies\\dense" in file
    saved = read(archive(path, weights(old), about="2.12.0"))
    assert np.array_equal(saved.model.weights.views["dense_1"][0], ARRAYS["layers/dense/vars/0"])


def test_an_archive_of_other_members_is_read_and_they_are_not(path):
    archive(path, **{"assets/words.txt": "a b"})
    assert read(path).model.graph.num_parameters == 3 * 3 + 4 * 3 + 4


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"config.json": None}, "is a zip archive but no .keras model"),
        ({"model.weights.h5": None}, "is a .keras archive without model.weights.h5"),
        ({"config.json": "{"}, "its model_config is not valid JSON"),
        ({"config.json": b"\xff\xfe"}, "its config.json is not text"),
        ({"config.json": "[]"}, "not a Sequential or Functional model"),
        ({"metadata.json": "[1"}, "its metadata.json is not valid JSON"),
        ({"model.weights.h5": b"no"}, "is damaged or cut off"),
        ({"../up": "x"}, "would be unpacked outside of its folder"),
        ({"a\\..\\..\\up": "x"}, "would be unpacked outside of its folder"),
        ({"C:/up": "x"}, "would be unpacked outside of its folder"),
        ({"/up": "x"}, "would be unpacked outside of its folder"),
    ],
)
def test_archives_that_are_no_models_or_unsafe_are_refused(path, members, message):
    assert message in refusal(archive(path, **members))


def test_a_member_that_is_there_twice_is_refused(path):
    archive(path)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("config.json", "{}")
    assert "two members 'config.json'" in refusal(path)


def test_a_member_that_grows_a_hundredfold_is_refused_unread(path):
    archive(path, compression=DEFLATED, **{"assets/pad": bytes(50 << 20)})
    assert "its members declare 5" in refusal(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"layers/lstm/vars/0": np.ones(3, "f4")}, "has weights at 'layers/lstm', for which its config has no layer"),
        ({"layers/dense/vars/1": np.ones(4, "f4")}, "layer 'dense_1': its bias is (4,) in the file but must be (3,)"),
        ({"layers/dense/vars/1": None}, "layer 'dense_1': needs 2 weights but the file holds 1"),
        ({"layers/dense/vars/table": np.ones(3, "f4")}, "'layers/dense/vars' holds 'table'"),
    ],
)
def test_weights_that_do_not_fit_the_config_are_refused(path, arrays, message):
    found = {name: array for name, array in {**ARRAYS, **arrays}.items() if array is not None}
    assert message in refusal(archive(path, weights(found)))


def test_a_flipped_bit_in_any_part_is_found(path):
    archive(path)
    data = bytearray(path.read_bytes())
    for part in (b'"Functional"', ARRAYS["layers/dense/vars/0"].tobytes(), b"3.15.1"):
        mutant = data.copy()
        mutant[data.index(part) + 3] ^= 1
        path.write_bytes(mutant)
        assert "is damaged or cut off (Bad CRC-32" in refusal(path) or part == b"3.15.1"


def test_an_archive_cut_anywhere_is_refused(path):
    data = archive(path).read_bytes()
    for size in range(0, len(data), 997):
        path.write_bytes(data[:size])
        refusal(path)


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
def test_no_hdf5_model_is_written_under_the_name_of_another_format(tmp_path, name):
    with pytest.raises(OutputError, match=r"write to .*m\.h5"):
        check_model_target(tmp_path / name)
