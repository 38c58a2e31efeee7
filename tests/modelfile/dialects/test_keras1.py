"""Keras 1's configs and weights in today's form; expected values by hand."""

import json

import h5py
import numpy as np
import pytest

from dltool.engine.layers import LAYERS
from dltool.engine.reference import ReferenceExecutor
from dltool.errors import ModelFileError
from dltool.modelfile.dialects import keras1
from dltool.modelfile.network import upgrade
from dltool.modelfile.reading import read
from dltool.modelfile.stored_weights import conversion_of

RNG = np.random.default_rng(0)


def dense(name: str, units: int, **config) -> dict:
    base = {
        "name": name,
        "trainable": True,
        "output_dim": units,
        "init": "uniform",
        "activation": "linear",
        "bias": True,
    }
    return {"class_name": "Dense", "config": {**base, "W_regularizer": None, "input_dim": None, **config}}


def file_of(path, config: object, weights: dict[str, dict[str, np.ndarray]], version: str | None = "1.2.2"):
    """A file as Keras 1 writes it; ``weights``: layer -> array name -> array."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        if version is not None:
            file.attrs["keras_version"] = version
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for name, arrays in weights.items():
            layer = group.create_group(name)
            layer.attrs["weight_names"] = [key.encode() for key in arrays] if arrays else np.zeros(0)
            for key, array in arrays.items():
                layer[key] = array
    return path


def predict(path, *x: np.ndarray) -> np.ndarray:
    with ReferenceExecutor(read(path).model, batch_size=len(x[0])) as executor:
        return executor.forward(x)[0]


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (
            {"class_name": "Convolution2D", "config": {"nb_filter": 3, "nb_row": 2, "nb_col": 1, "border_mode": "same",
             "subsample": [1, 2], "dim_ordering": "th", "bias": False, "init": "uniform", "input_dtype": "float32"}},
            {"class_name": "Conv2D", "config": {"filters": 3, "kernel_size": [2, 1], "padding": "same",
             "strides": [1, 2], "data_format": "channels_first", "use_bias": False,
             "kernel_initializer": "random_uniform"}},
        ),
        (
            {"class_name": "AtrousConvolution2D", "config": {"nb_row": 2, "nb_col": 2, "atrous_rate": [2, 2]}},
            {"class_name": "Conv2D", "config": {"kernel_size": [2, 2], "dilation_rate": [2, 2]}},
        ),
        (
            {"class_name": "LSTM", "config": {"output_dim": 4, "inner_init": "orthogonal", "forget_bias_init": "one",
             "inner_activation": "hard_sigmoid", "consume_less": "gpu", "dropout_W": 0.1, "dropout_U": 0.2,
             "input_dim": 3, "input_length": None}},
            {"class_name": "LSTM", "config": {"units": 4, "recurrent_initializer": "orthogonal",
             "unit_forget_bias": True, "recurrent_activation": "hard_sigmoid", "dropout": 0.1,
             "recurrent_dropout": 0.2}},
        ),
        (
            {"class_name": "Embedding", "config": {"input_dim": 9, "output_dim": 2, "init": "one", "input_length": 7,
             "W_constraint": {"name": "MaxNorm", "m": 2, "axis": 0}, "dropout": 0.0}},
            {"class_name": "Embedding", "config": {"input_dim": 9, "output_dim": 2, "embeddings_initializer": "ones",
             "input_length": 7, "dropout": 0.0,
             "embeddings_constraint": {"class_name": "MaxNorm", "config": {"max_value": 2, "axis": 0}}}},
        ),
        (
            {"class_name": "MaxPooling1D", "config": {"pool_length": 2, "stride": 1, "border_mode": "valid"}},
            {"class_name": "MaxPooling1D", "config": {"pool_size": 2, "strides": 1, "padding": "valid"}},
        ),
        (
            {"class_name": "TimeDistributedDense", "config": {"output_dim": 4, "W_regularizer":
             {"name": "WeightRegularizer", "l1": 0.0, "l2": 0.5}}},
            {"class_name": "Dense", "config": {"units": 4, "kernel_regularizer": {"class_name": "L1L2", "config":
             {"l1": 0.0, "l2": 0.5}}}},
        ),
        (
            {"class_name": "Bidirectional", "config": {"merge_mode": "sum", "layer": {"class_name": "GRU", "config":
             {"output_dim": 4}}}},
            {"class_name": "Bidirectional", "config": {"merge_mode": "sum", "layer": {"class_name": "GRU", "config":
             {"units": 4, "reset_after": False}}}},
        ),
        (
            {"class_name": "MaxoutDense", "config": {"output_dim": 3, "nb_feature": 2, "init": "zero", "bias": True,
             "input_dim": 4}},
            {"class_name": "MaxoutDense", "config": {"units": 3, "nb_feature": 2, "kernel_initializer": "zeros",
             "use_bias": True}},
        ),
        (
            {"class_name": "SReLU", "config": {"t_left_init": "zero", "a_right_init": "one", "shared_axes": [1]}},
            {"class_name": "SReLU", "config": {"t_left_initializer": "zeros", "a_right_initializer": "ones",
             "shared_axes": [1]}},
        ),
        (
            {"class_name": "ZeroPadding2D", "config": {"padding": [1, 2, 0, 3], "dim_ordering": "tf"}},
            {"class_name": "ZeroPadding2D", "config": {"padding": [[1, 2], [0, 3]], "data_format": "channels_last"}},
        ),
        (
            {"class_name": "ZeroPadding2D", "config": {"padding": {"top_pad": 1, "right_pad": 3}}},
            {"class_name": "ZeroPadding2D", "config": {"padding": [[1, 0], [0, 3]]}},
        ),
        (
            {"class_name": "ZeroPadding1D", "config": {"padding": {"right_pad": 2}}},
            {"class_name": "ZeroPadding1D", "config": {"padding": [0, 2]}},
        ),
        ({"class_name": "Dropout", "config": {"p": 0.5}}, {"class_name": "Dropout", "config": {"rate": 0.5}}),
        ({"class_name": "GaussianNoise", "config": {"sigma": 0.5}},
         {"class_name": "GaussianNoise", "config": {"stddev": 0.5}}),
        ({"class_name": "Merge", "config": {"name": "m", "mode": "concat", "mode_type": "raw", "concat_axis": 1,
         "dot_axes": -1}}, {"class_name": "Concatenate", "config": {"name": "m", "axis": 1}}),
        ({"class_name": "Merge", "config": {"name": "m", "mode": "cos", "dot_axes": [1, 2]}},
         {"class_name": "Dot", "config": {"name": "m", "axes": [1, 2], "normalize": True}}),
    ],
    ids=lambda value: value["class_name"],
)  # fmt: skip
def test_options_get_their_names_of_today(layer, expected):
    assert keras1.entry(layer) == expected


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            {"class_name": "Merge", "config": {"name": "m", "mode": ["code"], "mode_type": "lambda"}},
            "'m': is a Merge by",
        ),
        ({"class_name": "Merge", "config": {"name": "m", "mode": "f", "mode_type": "function"}}, "'m': is a Merge by"),
        ({"class_name": "BatchNormalization", "config": {"name": "b", "mode": 1}}, "'b' .*mode=1 is not supported"),
        ({"class_name": "LRN2D", "config": {"name": "h"}}, "'h': the class 'LRN2D' is not supported"),
        (dense("d", 3, W_regularizer={"name": "EigenvalueRegularizer", "k": 1}), "'d' "),
        (dense("d", 3, magic=1), "'d' .*magic='1' is not supported"),
    ],
)
def test_what_only_keras_1_had_is_refused_by_name(layer, message):
    first = dense("first", 2, batch_input_shape=[None, 2])
    with pytest.raises(ModelFileError, match=f"layer {message}"):
        upgrade({"class_name": "Sequential", "config": [first, layer]}, "1.2.2").graph()


@pytest.mark.parametrize("version", ["1.2.2", None])
def test_a_sequential_model_predicts_with_and_without_a_version(tmp_path, version):
    kernel, bias = RNG.random((2, 3), np.float32), RNG.random(3, np.float32)
    config = {"class_name": "Sequential", "config": [dense("d", 3, batch_input_shape=[None, 2], input_dtype="float32")]}
    path = file_of(tmp_path / "m.h5", config, {"d": {"d_W:0": kernel, "d_b:0": bias}}, version)
    x = RNG.random((4, 2), np.float32)
    assert np.allclose(predict(path, x), x @ kernel + bias)


def test_models_merged_at_the_start_of_a_sequential_become_branches(tmp_path):
    def branch(name: str, size: int) -> dict:
        return {"class_name": "Sequential", "config": [dense(name, 2, batch_input_shape=[None, size])]}

    merge = {"name": "m", "mode": "sum", "mode_type": "raw", "layers": [branch("a", 2), branch("b", 3)]}
    config = {"class_name": "Sequential", "config": [{"class_name": "Merge", "config": merge}, dense("c", 1)]}
    sizes = {"a": (2, 2), "b": (3, 2), "c": (2, 1)}
    arrays = {
        n: {f"{n}_W:0": RNG.random(s, np.float32), f"{n}_b:0": RNG.random(s[1], np.float32)} for n, s in sizes.items()
    }
    path = file_of(tmp_path / "m.h5", config, {"a": arrays["a"], "b": arrays["b"], "c": arrays["c"]})
    x, z = RNG.random((4, 2), np.float32), RNG.random((4, 3), np.float32)
    a, b, c = ([*arrays[name].values()] for name in "abc")
    expected = (x @ a[0] + a[1] + z @ b[0] + b[1]) @ c[0] + c[1]
    assert read(path).model.graph.input_names == ("a_input", "b_input")
    assert np.allclose(predict(path, x, z), expected, atol=1e-6)


def functional(layers: list[dict], inputs: list[str], output: str) -> dict:
    config = {"name": "inner", "layers": layers, "input_layers": [[name, 0, 0] for name in inputs]}
    return {"class_name": "Model", "config": {**config, "output_layers": [[output, 0, 0]]}}


def entry_of(name: str, size: int) -> dict:
    config = {"name": name, "batch_input_shape": [None, size], "input_dtype": "float32", "sparse": False}
    return {"class_name": "InputLayer", "name": name, "config": config, "inbound_nodes": []}


def called(layer: dict, *sources: str) -> dict:
    calls = [[[source, 0, 0] for source in sources]]
    return {**layer, "name": layer["config"]["name"], "inbound_nodes": calls}


def pair_of_weights(*names: str) -> dict[str, dict[str, np.ndarray]]:
    sizes = {"a": (2, 2), "b": (3, 2), "c": (2, 1)}
    return {
        n: {f"{n}_W:0": RNG.random(sizes[n], np.float32), f"{n}_b:0": RNG.random(sizes[n][1], np.float32)}
        for n in names
    }


SUM = {"class_name": "Merge", "config": {"name": "m", "mode": "sum", "mode_type": "raw"}}


@pytest.mark.parametrize("kind", ["functional model", "layer"])
def test_a_merge_may_start_with_functional_models_and_single_layers(tmp_path, kind):
    first = dense("a", 2, batch_input_shape=[None, 2])
    if kind == "functional model":
        first = functional([entry_of("given", 2), called(dense("a", 2), "given")], ["given"], "a")
    second = {"class_name": "Sequential", "config": [dense("b", 2, batch_input_shape=[None, 3])]}
    merge = {**SUM, "config": {**SUM["config"], "layers": [first, second]}}
    weights = pair_of_weights("a", "b", "c")
    config = {"class_name": "Sequential", "config": [merge, dense("c", 1)]}
    x, z = RNG.random((4, 2), np.float32), RNG.random((4, 3), np.float32)
    a, b, c = ([*weights[name].values()] for name in "abc")
    expected = (x @ a[0] + a[1] + z @ b[0] + b[1]) @ c[0] + c[1]
    np.testing.assert_allclose(predict(file_of(tmp_path / "m.h5", config, weights), x, z), expected, rtol=1e-5)


def test_a_sequential_may_start_with_a_model_of_several_inputs(tmp_path):
    layers = [called(dense("a", 2), "left"), called(dense("b", 2), "right"), called(SUM, "a", "b")]
    inner = functional([entry_of("left", 2), entry_of("right", 3), *layers], ["left", "right"], "m")
    weights = pair_of_weights("a", "b", "c")
    groups = {"inner": {**weights["a"], **weights["b"]}, "c": weights["c"]}
    path = file_of(tmp_path / "m.h5", {"class_name": "Sequential", "config": [inner, dense("c", 1)]}, groups)
    x, z = RNG.random((4, 2), np.float32), RNG.random((4, 3), np.float32)
    a, b, c = ([*weights[name].values()] for name in "abc")
    expected = (x @ a[0] + a[1] + z @ b[0] + b[1]) @ c[0] + c[1]
    np.testing.assert_allclose(predict(path, x, z), expected, rtol=1e-5)


def test_words_that_an_embedding_drops_are_dropped_by_a_layer_behind_it(tmp_path):
    config = {"name": "e", "input_dim": 9, "output_dim": 2, "dropout": 0.2, "batch_input_shape": [None, 3]}
    table = RNG.random((9, 2), np.float32)
    model = {"class_name": "Sequential", "config": [{"class_name": "Embedding", "config": config}]}
    path = file_of(tmp_path / "m.h5", model, {"e": {"e_W:0": table}})
    assert predict(path, np.float32([[1, 8, 0]])).tolist() == [table[[1, 8, 0]].tolist()]
    dropping = read(path).model.graph.layers["e/dropout"]
    assert (dropping.rate, dropping.noise_shape) == (0.2, (None, None, 1))


def convolution(path, names: tuple[str, str], kernel: np.ndarray, ordering: str, shape: list):
    config = {
        "name": "c",
        "nb_filter": 2,
        "nb_row": 2,
        "nb_col": 2,
        "border_mode": "valid",
        "subsample": [1, 1],
        "dim_ordering": ordering,
        "activation": "linear",
        "bias": True,
        "batch_input_shape": [None, *shape],
    }
    model = {"class_name": "Sequential", "config": [{"class_name": "Convolution2D", "config": config}]}
    return file_of(path, model, {"c": {names[0]: kernel, names[1]: np.zeros(2, "f4")}})


def test_theano_kernels_are_turned_round_and_tensorflow_kernels_are_not(tmp_path):
    kernel = RNG.random((2, 2, 1, 2), np.float32)
    x = np.zeros((1, 2, 2, 1), np.float32)
    x[0, 0, 0] = 1  # the upper left number is multiplied with that corner of the kernel
    found = predict(convolution(tmp_path / "tf.h5", ("c_W:0", "c_b:0"), kernel, "tf", [2, 2, 1]), x)
    assert found.ravel().tolist() == kernel[0, 0, 0].tolist()
    found = predict(convolution(tmp_path / "th.h5", ("c_W", "c_b"), kernel, "tf", [2, 2, 1]), x)
    assert found.ravel().tolist() == kernel[1, 1, 0].tolist()


@pytest.mark.skipif("Permute" not in LAYERS.names(), reason="there is no Permute layer")
def test_channels_first_kernels_start_with_the_filters(tmp_path):
    kernel = RNG.random((2, 3, 2, 2), np.float32)
    x = RNG.random((1, 3, 2, 2), np.float32)
    path = convolution(tmp_path / "tf.h5", ("c_W:0", "c_b:0"), kernel, "th", [3, 2, 2])
    assert np.allclose(predict(path, x), np.einsum("ncij,ocij->no", x, kernel)[:, :, None, None], atol=1e-6)


def converted(class_name: str, arrays: list[np.ndarray], version: int = 1, **config) -> list[np.ndarray]:
    return conversion_of({"class_name": class_name, "config": config}, version, False).apply(arrays)


def test_gates_of_an_lstm_are_joined_in_the_order_of_today():
    parts = {f"{kind}_{gate}": np.full(shape, ord(gate), "f4") for gate in "icfo"
             for kind, shape in (("W", (2, 3)), ("U", (3, 3)), ("b", (3,)))}  # fmt: skip
    for array, rows in zip(converted("LSTM", list(parts.values())), ((2,), (3,), ()), strict=True):
        assert array.shape == (*rows, 12)
        assert [chr(int(code)) for code in array.reshape(-1, 12)[0]] == list("iiifffcccooo")


def test_gates_of_a_gru_in_both_directions_keep_their_order():
    arrays = [np.full(shape, way + gate, "f4") for way in (0, 10) for gate in (1, 2, 3)
              for shape in ((2, 1), (1, 1), (1,))]  # fmt: skip
    found = converted("Bidirectional", arrays, layer={"class_name": "GRU", "config": {}})
    assert [array.reshape(-1, 3)[0].tolist() for array in found] == [[1, 2, 3]] * 3 + [[11, 12, 13]] * 3


def test_kernels_over_sequences_lose_their_extra_axis():
    kernel, bias = RNG.random((3, 1, 4, 2), np.float32), np.zeros(2, "f4")
    options = {"kernel_size": [3], "filters": 2}
    assert np.array_equal(converted("Conv1D", [kernel, bias], **options)[0], kernel[:, 0])
    oldest = kernel.transpose(3, 2, 0, 1)  # Keras 1.0 and 1.1: filters, inputs, length, 1
    assert np.array_equal(converted("Conv1D", [oldest, bias], **options)[0], kernel[:, 0])


def test_weights_of_gpu_layers_are_turned_and_their_two_biases_joined():
    kernel = np.hstack([np.arange(6, dtype=np.float32).reshape(2, 3) + 10 * gate for gate in range(4)])
    recurrent, bias = RNG.random((3, 12), np.float32), RNG.random(24, np.float32)
    found = converted("LSTM", [kernel, recurrent, bias], version=2)
    assert found[0][:, 3:6].tolist() == [[10, 12, 14], [11, 13, 15]]
    assert np.array_equal(found[1][:, 3:6], recurrent[:, 3:6].T)
    assert np.allclose(found[2], bias[:12] + bias[12:])


def test_weights_of_a_highway_are_kernels_first_also_where_keras_1_0_had_each_with_its_bias():
    kernel, carry, bias, start = (np.full(shape, n, "f4") for n, shape in enumerate(((2, 2), (2, 2), (2,), (2,))))
    for arrays in ([kernel, carry, bias, start], [kernel, bias, carry, start]):
        assert [array.flat[0] for array in converted("Highway", arrays)] == [0, 1, 2, 3]


def test_local_kernels_with_channels_first_get_the_channels_behind_the_taps():
    kernel = np.arange(2 * 6, dtype=np.float32).reshape(2, 6, 1)  # per place: 2 channels of 3 taps
    found = converted("LocallyConnected2D", [kernel], kernel_size=[3, 1], data_format="channels_first")
    assert found[0][0, :, 0].tolist() == [0, 3, 1, 4, 2, 5]


def test_dense_local_kernels_of_keras_2_become_one_matrix_per_place():
    kernel = np.zeros((4, 1, 3, 1), np.float32)  # 4 steps, 1 channel -> 3 places of 2 taps, 1 filter
    for place in range(3):
        kernel[place : place + 2, 0, place, 0] = 10 * place + np.arange(2)
    found = converted("LocallyConnected1D", [kernel], version=2, kernel_size=[2], strides=[1], implementation=2)
    assert found[0][:, :, 0].tolist() == [[0, 1], [10, 11], [20, 21]]
