"""Networks that keep channels first compute what the same network with channels last does on turned images."""

import numpy as np
import pytest

from dltool.engine.layers import LAYERS
from dltool.engine.model import Model
from dltool.engine.reference import ReferenceExecutor
from dltool.errors import ModelFileError
from dltool.modelfile.network import upgrade

pytestmark = pytest.mark.skipif("Permute" not in LAYERS.names(), reason="there is no Permute layer")


def layer(class_name: str, name: str, *inputs: str, **config) -> dict:
    nodes = [[[source, 0, 0, {}] for source in inputs]] if inputs else []
    return {"class_name": class_name, "name": name, "config": {"name": name, **config}, "inbound_nodes": nodes}


def branches(layout: str, shape: list[int], flatten: dict) -> dict:
    """Two convolutions of one image, joined along the channels, normalised, pooled, flattened."""
    first = layout == "channels_first"
    image = {"data_format": layout}
    options = {"kernel_size": [3, 3], "padding": "same", "use_bias": True, **image}
    layers = [
        layer("InputLayer", "x", batch_input_shape=[None, *shape]),
        layer("Conv2D", "a", "x", filters=2, **options),
        layer("Conv2D", "b", "x", filters=3, **options),
        layer("Activation", "relu", "a", activation="relu"),
        layer("Concatenate", "joined", "relu", "b", axis=1 if first else 3),
        layer("BatchNormalization", "bn", "joined", axis=1 if first else -1),
        layer("MaxPooling2D", "pool", "bn", pool_size=[2, 2], **image),
        layer("Flatten", "flat", "pool", **flatten),
        layer("Dense", "d", "flat", units=2),
    ]
    config = {"name": "m", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["d", 0, 0]]}
    return {"class_name": "Model", "config": config}


def model_of(config: dict) -> Model:
    model = Model.build(upgrade(config, "2.2.4").graph(), seed=1)
    rng = np.random.default_rng(0)
    for views in model.weights.views.values():
        for view in views:
            view[...] = rng.random(view.shape)
    return model


def predict(model: Model, x: np.ndarray) -> np.ndarray:
    with ReferenceExecutor(model, batch_size=len(x)) as executor:
        return executor.forward((x,))[0].copy()


def kinds(model: Model) -> list[str]:
    return [type(node.layer).__name__ for node in model.graph.nodes]


@pytest.mark.parametrize("keeps_order", [True, False])
def test_layers_between_two_turns_are_turned_once(keeps_order):
    """Flatten lists the numbers channel by channel, unless it is told that channels come first."""
    flatten = {} if keeps_order else {"data_format": "channels_first"}
    turned = model_of(branches("channels_first", [3, 4, 6], flatten))
    plain = model_of(branches("channels_last", [4, 6, 3], {}))
    assert kinds(turned).count("Permute") == (2 if keeps_order else 1)
    if keeps_order:
        kernel = plain.weights.views["d"][0]
        kernel[...] = kernel.reshape(5, 2, 3, 2).transpose(1, 2, 0, 3).reshape(kernel.shape)
    x = np.random.default_rng(1).random((2, 3, 4, 6), np.float32)
    assert np.allclose(predict(turned, x), predict(plain, x.transpose(0, 2, 3, 1)), atol=1e-5)


def test_inputs_and_outputs_stay_as_they_were():
    layers = [layer("Conv2D", "c", filters=2, kernel_size=2, data_format="channels_first")]
    layers[0]["config"]["batch_input_shape"] = [None, 3, 5, 4]
    model = model_of({"class_name": "Sequential", "config": layers})
    assert model.graph.input_shapes == ((3, 5, 4),)
    assert model.graph.output_shapes == ((2, 4, 3),)
    x, kernel = np.random.default_rng(1).random((1, 3, 5, 4), np.float32), model.weights.views["c"][0]
    windows = np.lib.stride_tricks.sliding_window_view(x[0], (2, 2), (1, 2))
    expected = np.einsum("chwij,ijco->ohw", windows, kernel) + model.weights.views["c"][1][:, None, None]
    assert np.allclose(predict(model, x)[0], expected, atol=1e-5)


def test_a_pooling_of_whole_images_needs_no_turning_back():
    layers = [layer("GlobalAveragePooling2D", "g", data_format="channels_first")]
    layers[0]["config"]["batch_input_shape"] = [None, 3, 5, 4]
    model = model_of({"class_name": "Sequential", "config": layers})
    x = np.random.default_rng(1).random((2, 3, 5, 4), np.float32)
    assert np.allclose(predict(model, x), x.mean((2, 3)), atol=1e-6)
    assert kinds(model).count("Permute") == 1


def test_what_is_shared_between_two_layouts_is_turned_back_first():
    """One normalisation of what was turned and of what was not: its axis can only be one of both."""
    image = {"data_format": "channels_first", "filters": 3, "kernel_size": 1}
    shared = layer("BatchNormalization", "bn", "x", axis=1)
    shared["inbound_nodes"].append([["c", 0, 0, {}]])
    total = layer("Add", "sum")
    total["inbound_nodes"] = [[["bn", 0, 0, {}], ["bn", 1, 0, {}]]]
    layers = [
        layer("InputLayer", "x", batch_input_shape=[None, 3, 2, 2]),
        layer("Conv2D", "c", "x", **image),
        shared,
        total,
    ]
    config = {"name": "m", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["sum", 0, 0]]}
    model = model_of({"class_name": "Model", "config": config})
    x = np.random.default_rng(1).random((2, 3, 2, 2), np.float32)
    gamma, beta, mean, variance = (v[:, None, None] for v in model.weights.views["bn"])
    kernel, bias = model.weights.views["c"]
    c = np.einsum("nchw,co->nohw", x, kernel[0, 0]) + bias[:, None, None]
    expected = sum(gamma * (part - mean) / np.sqrt(variance + 1e-3) + beta for part in (x, c))
    assert np.allclose(predict(model, x), expected, atol=1e-5)


def test_images_inside_a_wrapper_are_refused_by_name():
    inner = {"class_name": "Conv2D", "config": {"filters": 2, "kernel_size": 1, "data_format": "channels_first"}}
    layers = [layer("TimeDistributed", "t", layer=inner)]
    layers[0]["config"]["batch_input_shape"] = [None, 2, 3, 5, 4]
    with pytest.raises(ModelFileError, match=r"layer 't'.*channels_first|layer 't': the class"):
        model_of({"class_name": "Sequential", "config": layers})
