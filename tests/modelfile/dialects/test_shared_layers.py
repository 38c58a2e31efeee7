"""A layer in several nested models is one layer, where the file says so; expected values by hand."""

import json

import h5py
import numpy as np
import pytest

from dltool.engine.batch import Batch
from dltool.engine.losses import loss
from dltool.engine.optimizers import SGD
from dltool.engine.reference import ReferenceExecutor
from dltool.modelfile.keras3_variables import stored_weights
from dltool.modelfile.network import upgrade
from dltool.modelfile.reading import read


def entry_of(name: str) -> dict:
    return {"class_name": "InputLayer", "name": name, "config": {"batch_input_shape": [None, 1]}, "inbound_nodes": []}


def dense(name: str, source: str, **more: object) -> dict:
    config = {"name": name, "units": 1, "use_bias": False, "kernel_initializer": {"class_name": "Ones", "config": {}}}
    return {"class_name": "Dense", "name": name, "config": config, "inbound_nodes": [[[source, 0, 0, {}]]], **more}


def functional(name: str, *layers: dict, inputs: list[str], output: str) -> dict:
    config = {"name": name, "layers": list(layers), "input_layers": [[given, 0, 0] for given in inputs]}
    return {"class_name": "Functional", "name": name, "config": {**config, "output_layers": [[output, 0, 0]]}}


def whole(*entries: dict, **marks: object) -> dict:
    """Two models around the layer "common", the second of which has the marks, on one input; their sum."""
    models = [
        functional(
            name,
            entry_of(f"{name}_in"),
            {**dense("common", f"{name}_in"), **more},
            dense(f"{name}_top", "common"),
            inputs=[f"{name}_in"],
            output=f"{name}_top",
        )
        for name, more in (("left", {}), ("right", marks))
    ]
    called = [{**model, "inbound_nodes": [[["x", 0, 0, {}]]]} for model in models]
    add = {"class_name": "Add", "name": "add", "config": {"name": "add"}}
    add["inbound_nodes"] = [[["left", 1, 0, {}], ["right", 1, 0, {}]]]
    return functional("whole", entry_of("x"), *called, add, inputs=["x"], output="add")


def file_of(path, config: dict):
    """A file of tf.keras with the weights 2 (common), 3 (top of the left) and 5 (top of the right)."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), "2.12.0"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"x", b"left", b"right", b"add"]
        for name, top in (("left", 3.0), ("right", 5.0)):
            layer = group.create_group(name)
            layer.attrs["weight_names"] = [b"common/kernel:0", f"{name}_top/kernel:0".encode()]
            layer["common/kernel:0"] = np.float32([[2]])
            layer[f"{name}_top/kernel:0"] = np.float32([[top]])
        for name in ("x", "add"):
            group.create_group(name).attrs["weight_names"] = np.zeros(0)
    return path


MARKED = {"shared_object_id": 4}


def test_a_layer_in_two_models_is_trained_as_one(tmp_path):
    model = read(file_of(tmp_path / "m.h5", whole(**MARKED))).model
    assert [name for name, arrays in model.weights.views.items() if arrays] == [
        "left/common",
        "left/left_top",
        "right/right_top",
    ]
    rule = {"losses": (loss("mean_squared_error"),), "optimizer": SGD(1.0)}
    x = np.float32([[1]])
    with ReferenceExecutor(model, batch_size=1, **rule) as executor:
        assert executor.forward((x,))[0].item() == 16  # 2 * 3 + 2 * 5
        executor.train_step(Batch((x,), (np.float32([[15.5]]),)), 1, 1.0)
    # the loss is (16 - 15.5)^2, its gradient in the output 1: in the common weight 3 + 5, in both others 2
    assert [view.item() for views in model.weights.views.values() for view in views] == [2 - 8, 3 - 2, 5 - 2]


def test_layers_without_the_mark_stay_two_and_a_sentence_says_so(tmp_path):
    config = whole()
    for model in config["config"]["layers"][1:3]:
        model["config"]["layers"][1]["config"]["units"] = 2
    path = file_of(tmp_path / "m.h5", config)
    with h5py.File(path, "r+") as file:
        for name in ("left", "right"):
            group = file[f"model_weights/{name}"]
            for key, array in (("common/kernel:0", [[2, 3]]), (f"{name}_top/kernel:0", [[1], [4]])):
                del group[key]
                group[key] = np.float32(array)
    saved = read(path)
    assert "right/common" in saved.model.weights.views
    (sentence,) = saved.doubts
    assert sentence.startswith("layers 'left/common' and 'right/common' hold the same weights")
    with h5py.File(path, "r+") as file:
        file["model_weights/right/common/kernel:0"][0, 0] = 2.5
    assert read(path).doubts == ()


def test_the_mark_may_lie_on_the_initializer_alone():
    config = whole()
    shared = config["config"]["layers"][2]["config"]["layers"][1]["config"]
    shared["kernel_initializer"] = {**shared["kernel_initializer"], **MARKED}
    assert "right/common" not in upgrade(config, "2.15.0").graph().layers


@pytest.mark.parametrize("change", [{"units": 2}, {"name": "other"}, {"use_bias": True}])
def test_a_marked_layer_of_another_name_or_with_other_options_is_not_taken_for_the_same(change):
    config = whole(**MARKED)
    model = config["config"]["layers"][2]
    model["config"]["layers"][1]["config"].update(change)
    if "name" in change:
        model["config"]["layers"][1]["name"] = "other"
        model["config"]["layers"][2]["inbound_nodes"] = [[["other", 0, 0, {}]]]
    name = change.get("name", "common")
    assert {"left/common", f"right/{name}"} <= set(upgrade(config, "2.12.0").graph().layers)


def test_an_archive_keeps_the_weights_with_the_first_of_the_models():
    config = whole(**MARKED)
    shared = config["config"]["layers"][2]["config"]["layers"][1]["config"]
    shared["kernel_initializer"] = {**shared["kernel_initializer"], "shared_object_id": 77}
    stored = ("functional/layers/dense", "functional/layers/dense_1", "functional_1/layers/dense_1")
    variables = [{"path": f"layers/{path}", "arrays": [number]} for number, path in enumerate(stored)]
    found = stored_weights(config, 3, variables)
    assert {name: found[name] for name in ("left/common", "left/left_top", "right/right_top")} == {
        "left/common": [0],
        "left/left_top": [1],
        "right/right_top": [2],
    }


def test_a_model_in_two_models_is_one_too():
    def around(name: str, **more: object) -> dict:
        core = functional("core", entry_of("core_in"), dense("d", "core_in"), inputs=["core_in"], output="d")
        core |= {"inbound_nodes": [[[f"{name}_in", 0, 0, {}]]], **more}
        top = dense(f"{name}_top", "core")
        top["inbound_nodes"] = [[["core", 1, 0, {}]]]
        return functional(name, entry_of(f"{name}_in"), core, top, inputs=[f"{name}_in"], output=f"{name}_top")

    called = [
        {**around(name, **more), "inbound_nodes": [[["x", 0, 0, {}]]]}
        for name, more in (("left", {}), ("right", MARKED))
    ]
    add = {"class_name": "Add", "name": "add", "config": {"name": "add"}}
    add["inbound_nodes"] = [[["left", 1, 0, {}], ["right", 1, 0, {}]]]
    config = functional("whole", entry_of("x"), *called, add, inputs=["x"], output="add")
    network = upgrade(config, "2.12.0")
    assert list(network.graph().layers) == ["x", "left/core/d", "left/left_top", "right/right_top", "add"]
    assert network.groups[2] == (["right/right_in", "left/core/core_in", "left/core/d", "right/right_top"], True)
