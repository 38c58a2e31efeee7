"""Files that promise more than they hold, and forged descriptions: refused in one line before any allocation."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

from dltool.errors import ModelFileError
from dltool.modelfile.reading import read
from dltool.modelfile.writing import put_names, write
from tests.modelfile.models import images, keras_file, trained
from tests.security.forging import sign


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.h5"


def refusal(path) -> str:
    start = time.process_time()
    # In a thread, whose stack is short: at some depths CPython 3.11 maps and unmaps memory at each call.
    with pytest.raises(ModelFileError) as caught, ThreadPoolExecutor(1) as pool:
        pool.submit(read, path).result()
    assert time.process_time() - start < 3
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def refused_config(path, config) -> str:
    """Of a file with this model_config (a JSON value or text) and no weights."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.15.0"
        file.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
        put_names(file.create_group("model_weights"), "layer_names", [])
    return refusal(path)


def chain(*layers):
    start = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 1, 1, 1], "name": "x"}}
    return {"class_name": "Sequential", "config": {"layers": [start, *layers]}}


def layer(class_name, name, **config):
    return {"class_name": class_name, "config": {"name": name, **config}}


def test_models_nested_in_models_do_not_multiply_without_end(path):
    """Each of 30 models calls the one inside it twice: a billion calls in 12 kB, and the innermost has no layer."""
    start = {"class_name": "InputLayer", "name": "i", "config": {"batch_input_shape": [None, 4]}, "inbound_nodes": []}
    ends = {"input_layers": [["i", 0, 0]], "output_layers": [["i", 0, 0]]}
    model = {"class_name": "Functional", "config": {"name": "m", "layers": [start], **ends}}
    for _ in range(30):
        inner = {**model, "name": "m", "inbound_nodes": [[["i", 0, 0, {}]], [["m", 1, 0, {}]]]}
        ends = {"input_layers": [["i", 0, 0]], "output_layers": [["m", 2, 0]]}
        model = {"class_name": "Functional", "config": {"name": "m", "layers": [start, inner], **ends}}
    assert "links between layers" in refused_config(path, model)


def test_a_layer_with_a_hundred_thousand_inputs_twice_over_is_refused(path):
    start = {"class_name": "InputLayer", "name": "i", "config": {"batch_input_shape": [None, 4]}, "inbound_nodes": []}
    add = {"class_name": "Add", "name": "a", "config": {}, "inbound_nodes": [[["i", 0, 0]] * 200_001]}
    ends = {"input_layers": [["i", 0, 0]], "output_layers": [["a", 0, 0]]}
    model = {"class_name": "Functional", "config": {"layers": [start, add], **ends}}
    assert "200000 links" in refused_config(path, model)


def test_a_text_of_empty_lists_is_refused_before_it_is_parsed(path):
    """14 MB of brackets would become 400 MB of Python lists."""
    text = '{"class_name": "Sequential", "config": {"layers": [' + "[]," * 4_500_000 + "[]]}}"
    assert "more than 1000000 values" in refused_config(path, text)


@pytest.mark.parametrize("digits", [21, 4001, 5000])
def test_numbers_of_more_than_64_bits_are_refused(path, digits):
    text = json.dumps(chain(layer("Dense", "d", units="N"))).replace('"N"', "1" + "0" * (digits - 1))
    assert f"a number of {digits} digits" in refused_config(path, text)


@pytest.mark.parametrize(
    "padding", [[[30_000, 30_000], [30_000, 30_000]], [[2**62, 0], [2**62, 0]], [[0, 10**18], [0, 0]]]
)
def test_outputs_larger_than_any_memory_are_refused(path, padding):
    message = refused_config(path, chain(layer("ZeroPadding2D", "z", padding=padding)))
    assert "layer 'z' (after 'x'): its output would be" in message


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "n" * 60_001, "../x", "a//b", "."])
def test_names_that_cannot_be_stored_are_refused(path, name):
    assert "is not a possible layer name" in refused_config(path, chain(layer("Flatten", name)))


def test_the_longest_name_can_be_written_again(path):
    name = "n" * 60_000
    config = chain(layer("Flatten", "f"), layer("Dense", name, units=3))
    config["config"]["layers"][0]["config"]["batch_input_shape"] = [None, 4]
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["keras_version"], file.attrs["model_config"] = "2.15.0", json.dumps(config)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"d"]
        group.create_group("d").attrs["weight_names"] = [b"k", b"b"]
        group["d/k"], group["d/b"] = np.ones((4, 3), "f4"), np.ones(3, "f4")
    write(read(path), path)
    assert read(path).model.weights.views[name][1].tolist() == [1, 1, 1]


def test_ten_thousand_layers_are_read_in_time_and_one_more_is_refused(path):
    layers = [layer("ReLU", f"r{i}") for i in range(9_999)]
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["model_config"] = "2.15.0", json.dumps(chain(*layers))
        put_names(file.create_group("model_weights"), "layer_names", [])
    start = time.process_time()
    assert len(read(path).model.graph.nodes) == 10_000
    assert time.process_time() - start < 5
    assert "at most 10000 are read" in refused_config(path, chain(*layers, layer("ReLU", "last")))


# -- what dltool writes beside the model, forged with a right digest

NODES = [["picture", []], ["conv2d", [0]]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", {"cat": 1}),
        ("classes", ["cat", 2, "dog"]),
        ("classes", ["cat", "cat", "dog"]),
        ("preprocessing", ["kind"]),
        ("preprocessing", {"kind": "image", "height": 2.5}),
        ("preprocessing", {"kind": "image", "color": ["rgb"]}),
        ("training", {}),
        ("training", []),
        ("recipe", [1]),
        ("recipe", {"best_epoch": "x"}),
        ("history", {"loss": 1}),
        ("history", [{"loss": 0.5}]),
        ("history", [{"epoch": -1}]),
        ("history", [{"epoch": 1, "loss": [1]}]),
        ("split", "half"),
        ("fingerprint", 7),
        ("graph", []),
        ("graph", {"name": 3, "layers": {}}),
        ("graph", {"name": "m", "layers": {}, "nodes": NODES * 10_001, "outputs": [0]}),
        ("graph", {"name": "m", "layers": {}, "nodes": [["a", [0] * 200_001]], "outputs": [0]}),
        ("graph", {"name": "m", "layers": {"\0": {"class_name": "Dense", "config": {}}}, "nodes": [], "outputs": []}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_forged_description_is_refused(path, name, value):
    write(trained(images()), path)
    with h5py.File(path, "r+") as file:
        file["dltool"].attrs[name] = json.dumps(value)
        sign(file)
    refusal(path)


@pytest.mark.parametrize(
    "counters",
    [[], {"step": -1}, {"step": 1e300}, {"epoch": "1"}, {"memory": {"x": "y"}}, {"memory": [1]}, {"callbacks": [1]}],
    ids=str,
)
def test_a_forged_training_state_is_refused(path, counters):
    write(trained(images()), path)
    with h5py.File(path, "r+") as file:
        file["dltool/state"].attrs["counters"] = json.dumps(counters)
        sign(file)
    assert "training state cannot be used" in refusal(path)
    assert read(path, with_state=False).state is None


@pytest.mark.parametrize(
    "change",
    [
        {"losses": []},
        {"loss_names": [1]},
        {"loss_weights": [float("nan")]},
        {"metrics": [{"class_name": 1}]},
        {"optimizer": {"class_name": "Adam", "config": {"learning_rate": "x"}}},
        {"optimizer": {"class_name": "Adam", "config": {"beta_1": None}}},
        {"optimizer": {"class_name": "SGD", "config": {"momentum": None}}},
        {"optimizer_name": None},
    ],
    ids=str,
)
def test_a_forged_training_section_is_refused(path, change):
    write(trained(images()), path)
    with h5py.File(path, "r+") as file:
        training = json.loads(file["dltool"].attrs["training"])
        file["dltool"].attrs["training"] = json.dumps({**training, **change})
        sign(file)
    assert "training" in refusal(path)


@pytest.mark.parametrize(
    "change", [{"losses": [{"class_name": "Own", "config": {}}]}, {"metrics": ["own"]}], ids=["loss", "metric"]
)
def test_a_loss_or_metric_of_somebodys_own_does_not_keep_a_model_from_being_read(path, change):
    """A plugin may bring it; without one the model predicts, and fit asks for --loss."""
    write(trained(images()), path)
    with h5py.File(path, "r+") as file:
        training = json.loads(file["dltool"].attrs["training"])
        file["dltool"].attrs["training"] = json.dumps({**training, **change})
        sign(file)
    config = read(path).training_config
    assert config.losses == (None,) if "losses" in change else config.unknown_metrics == ("own",)


def test_a_file_that_lost_its_description_is_not_taken_for_one_of_keras(path):
    """A flipped bit in the group's name hides it, and the digest with it."""
    write(trained(images()), path)
    with h5py.File(path, "r+") as file:
        file.move("dltool", "dltoom")
    assert "has lost its /dltool group" in refusal(path)


def test_signing_as_the_tests_do_gives_a_readable_file(path):
    """Otherwise the tests above would only meet the digest."""
    write(trained(images()), path)
    with h5py.File(path, "r+") as file:
        file["dltool"].attrs["recipe"] = json.dumps({"epochs": 4})
        file["dltool/state"].attrs["counters"] = json.dumps({"step": 5})
        sign(file)
    saved = read(path)
    assert (saved.recipe, saved.state.step) == ({"epochs": 4}, 5)


# -- a writer that died


def consistency_flags(path, flags: int) -> None:
    """Set the flags of a version 3 superblock and leave its checksum wrong: they are looked at first."""
    data = bytearray(path.read_bytes())
    assert data[8] == 3
    data[11] = flags
    path.write_bytes(data)


@pytest.mark.parametrize("flags", [1, 4, 5])
def test_a_file_whose_writer_died_is_named_as_such(path, flags):
    keras_file(path).close()
    with h5py.File(path) as old, h5py.File(path.with_name("new.h5"), "w", libver="latest") as new:
        for name in old:
            old.copy(name, new)
        new.attrs.update(old.attrs)
    path = path.with_name("new.h5")
    assert read(path).keras_version == "2.15.0"
    consistency_flags(path, flags)
    assert "was not closed by the program that wrote it; try 'h5clear -s'" in refusal(path)


def test_a_file_that_is_being_written_is_named_as_such(path):
    file = h5py.File(path, "w", libver="latest")
    try:
        file.attrs["model_config"] = "{}"
        file.flush()
        assert "was not closed by the program that wrote it" in refusal(path)
    finally:
        file.close()
