"""Networks from Keras's JSON: what Keras 2 and 3 wrote, and what is no such thing.

The files in ``configs/`` were written by ``model.to_json()`` of tf_keras 2.21 and Keras 3.15.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dltool.engine.reference import run_forward
from dltool.errors import ModelFileError
from dltool.modelfile.config_file import MAX_BYTES, read_config, read_config_file

CONFIGS = Path(__file__).parent / "configs"


def classes_of(graph):
    return [type(node.layer).__name__ for node in graph.nodes]


def test_keras_2():
    graph, compiled = read_config_file(CONFIGS / "keras2_images.json")
    assert classes_of(graph) == ["InputLayer", "Conv2D", "Flatten", "Dense"]
    assert (graph.input_shapes, graph.output_shapes, graph.num_parameters) == (((8, 8, 1),), ((3,),), 475)
    assert compiled is None


def test_keras_3_with_its_compile_step():
    graph, compiled = read_config_file(CONFIGS / "keras3_images_compiled.json")
    assert classes_of(graph) == ["InputLayer", "Rescaling", "Conv2D", "Flatten", "Dropout", "Dense"]
    assert type(graph.layers["conv2d"].kernel_initializer).__name__ == "HeNormal"
    assert compiled.loss_names == ("sparse_categorical_crossentropy",)
    assert compiled.metrics == ("accuracy",)
    assert (compiled.optimizer.name, compiled.optimizer.learning_rate) == ("sgd", pytest.approx(0.01))


def test_keras_3_with_two_inputs_and_a_shared_layer():
    graph, compiled = read_config_file(CONFIGS / "keras3_two_inputs.json")
    assert graph.input_names == ("left", "right")
    assert classes_of(graph) == ["InputLayer", "InputLayer", "Dense", "Dense", "Add", "Dense"]
    assert graph.num_parameters == (5 * 4 + 4) + (4 * 2 + 2)
    assert compiled is None


def test_text_that_json_dump_quoted_once_more():
    text = (CONFIGS / "keras2_images.json").read_text()
    assert read_config(json.dumps(text))[0].graph().num_parameters == 475


def test_hard_sigmoid_means_what_it_meant_where_the_text_was_written():
    text = (CONFIGS / "keras2_images.json").read_text().replace('"relu"', '"hard_sigmoid"')
    assert read_config(text)[0].graph().layers["conv2d"].activation == "hard_sigmoid_keras2"
    text = (CONFIGS / "keras3_images_compiled.json").read_text().replace('"relu"', '"hard_sigmoid"')
    assert read_config(text)[0].graph().layers["conv2d"].activation == "hard_sigmoid"


def layer(class_name, **config):
    first = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 4], "name": "x"}}
    last = {"class_name": class_name, "config": {"name": "last", **config}}
    return json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": [first, last]}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; write it with model.to_json()"),
        ("[1]", "holds no Keras config; write it with model.to_json()"),
        ("3", "holds no Keras config"),
        ('{"class_name": "Adam", "config": {}}', "its model_config holds 'Adam', not a Sequential or Functional model"),
        ('{"a": 1, "a": 2}', "its config names a key twice"),
        ("{", "its config is not valid JSON"),
        ("[" * 100_000, "is nested too deeply"),
        (layer("Lambda"), "layer 'last': is a Lambda layer, which is code; dltool never runs code of a file"),
        (layer("Dance"), "layer 'last': the class 'Dance' is not supported"),
        (layer("Dense", units="x"), "layer 'last' (Dense): "),
        (layer("Dense", units=3, activation="sin"), "layer 'last' (Dense): "),
        (layer("Dense", units=3, seed_of_evil=1), "layer 'last' (Dense): the option seed_of_evil='1' is not supported"),
        ('{"class_name": "Sequential", "config": {"layers": [3]}}', "layer 1 of its model_config is not a layer"),
        ('{"class_name": "Sequential", "config": 3}', "its Sequential model has no layers"),
        ('{"class_name": "Model", "config": {"layers": {"a": 1}}}', "its model_config has no layers"),
        (b"\x89HDF\r\n\x1a\n123", "is a model file, not JSON; use --like to take its network"),
        (b"PK\x03\x04", "is an archive, not JSON; save the model in Keras with model.save('m.h5') and use --like"),
        (b"\xff\xfe\x00", "is not text; write it with model.to_json()"),
    ],
)
def test_what_is_no_config(tmp_path, text, message):
    path = tmp_path / "m.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ModelFileError) as caught:
        read_config_file(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_places_that_cannot_be_read(tmp_path):
    for path, message in ((tmp_path, "is a directory"), (tmp_path / "no.json", "no such file or directory")):
        with pytest.raises(ModelFileError) as caught:
            read_config_file(path)
        assert str(caught.value) == f"{path}: cannot be read: {message}"


def test_an_endless_file_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "m.json"
    with open(path, "wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ModelFileError, match="is larger than 64 MB"):
        read_config_file(path)


KERAS = """
import sys
import numpy as np
import {module} as keras

x = keras.layers.Input((6, 6, 3))
y = keras.layers.Conv2D(4, 3, padding="same", activation="relu", kernel_initializer="he_normal")(x)
y = keras.layers.BatchNormalization()(y)
y = keras.layers.Add()([y, keras.layers.Conv2D(4, 1)(x)])
y = keras.layers.GlobalAveragePooling2D()(keras.layers.LeakyReLU()(y))
model = keras.Model(x, keras.layers.Dense(3, activation="softmax")(y))
rows = np.random.default_rng(0).normal(size=(5, 6, 6, 3)).astype("float32")
weights = {{f"{{layer.name}}.{{i}}": w for layer in model.layers for i, w in enumerate(layer.get_weights())}}
np.savez(sys.argv[1] + "/arrays.npz", rows=rows, expected=np.asarray(model(rows)), **weights)
open(sys.argv[1] + "/m.json", "w").write(model.to_json())
"""


@pytest.mark.interop
@pytest.mark.parametrize("module", ["keras", "tf_keras"])
def test_the_network_computes_what_keras_computes(module, tmp_path):
    for package in (module, "tensorflow"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; pip install dltool[interop]")
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", KERAS.format(module=module), tmp_path]
    subprocess.run(command, env=environment, capture_output=True, timeout=300, check=True)
    graph, _ = read_config_file(tmp_path / "m.json")
    with np.load(tmp_path / "arrays.npz") as arrays:
        weights = {name: tuple(arrays[f"{name}.{i}"] for i in range(len(specs))) for name, specs in graph.specs.items()}
        found = run_forward(graph, weights, [arrays["rows"]]).values[graph.outputs[0]]
        assert np.abs(found - arrays["expected"]).max() < 1e-5
