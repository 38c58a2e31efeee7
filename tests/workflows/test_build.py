"""What build makes of words, architectures and data."""

import numpy as np
import pytest

from dltool.errors import DataError, OutputError, UsageError
from dltool.modelfile.reading import read
from dltool.settings import BuildSettings, DataSettings
from dltool.workflows.build import chosen_loss, chosen_metric, chosen_optimizer, run


def save(folder, **arrays):
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return DataSettings(data=(str(folder / "x.npy"),), labels=str(folder / "y.npy"))


def kinds(result):
    return [type(node.layer).__name__ for node in result.saved.model.graph.nodes]


def test_the_file_holds_what_was_built(tmp_path):
    path = str(tmp_path / "m.h5")
    words = ("conv2d:4,3,relu", "flatten", "dense:3,softmax")
    built = run(BuildSettings(path, input=(8, 8, 1), classes=3, words=words, seed=5))
    saved = read(path)
    assert np.array_equal(saved.model.weights.vector, built.saved.model.weights.vector)
    assert kinds(built) == ["InputLayer", "Rescaling", "Conv2D", "Flatten", "Dense"]
    assert saved.training_config.loss_names == ("sparse_categorical_crossentropy",)
    assert saved.training_config.optimizer.learning_rate == pytest.approx(0.001)
    assert saved.preprocessing == {"kind": "image", "height": 8, "width": 8, "color": "gray", "resize": "stretch"}
    assert built.line == (
        "475 parameters, 8x8x1 -> 3, adam, lr 0.001, sparse_categorical_crossentropy"
    )  # 3*3*1*4+4 + 6*6*4*3+3


def test_the_same_seed_gives_the_same_file(tmp_path):
    files = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(BuildSettings(str(tmp_path / name), input=(4,), arch="mlp:units=3", classes=2, seed=seed))
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1] != files[2]


def test_dry_run_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(BuildSettings(None, input=(4,), words=("dense:2,softmax",)))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_only_by_force(tmp_path):
    path = tmp_path / "m.h5"
    path.write_text("precious")
    settings = BuildSettings(str(path), input=(4,), words=("dense:2,softmax",))
    with pytest.raises(OutputError, match=r"m\.h5: exists"):
        run(settings)
    assert path.read_text() == "precious"
    run(BuildSettings(str(path), input=(4,), words=("dense:2,softmax",), force=True))
    assert read(path).model.graph.output_shapes == ((2,),)


def test_image_folders_say_shape_classes_and_reading(sample_data):
    data = DataSettings((str(sample_data / "digits" / "test"),))
    result = run(BuildSettings(None, arch="lenet", data=data))
    assert result.saved.model.graph.input_shapes == ((8, 8, 1),)
    assert result.saved.classes == tuple("0123456789")
    assert result.saved.preprocessing["color"] == "gray"
    assert kinds(result)[1] == "Rescaling"
    assert kinds(run(BuildSettings(None, arch="lenet", data=data, rescale=False)))[1] == "Conv2D"


@pytest.mark.parametrize(
    ("x", "y", "arch", "expected"),
    [
        # classes 0..2 in integers; a table
        (np.ones((6, 4), np.float32), np.array([0, 1, 2] * 2), "mlp", ((4,), (3,), "softmax", "sparse_categorical_")),
        # regression with one and with several numbers
        (np.ones((6, 4), np.float32), np.linspace(0, 5, 6), "mlp", ((4,), (1,), "linear", "mean_squared_error")),
        (np.ones((6, 4), np.float32), np.full((6, 2), 0.5), "mlp", ((4,), (2,), "linear", "mean_squared_error")),
        # grey pixels without a channel axis get one
        (np.ones((6, 9, 9), np.uint8), np.array([0, 1] * 3), "cnn", ((9, 9, 1), (2,), "softmax", "sparse_categ")),
    ],
)
def test_arrays_say_shape_and_head(tmp_path, x, y, arch, expected):
    result = run(BuildSettings(None, arch=arch, data=save(tmp_path, x=x, y=y)))
    graph, config = result.saved.model.graph, result.saved.training_config
    shape, output, activation, loss = expected
    assert graph.input_shapes == (shape,)
    assert graph.output_shapes == (output,)
    assert graph.nodes[-1].layer.activation == activation
    assert config.loss_names[0].startswith(loss)
    assert config.metrics == (("accuracy",) if activation == "softmax" else ("mean_absolute_error",))


def test_floats_within_0_and_1_are_not_scaled_again(tmp_path):
    x = np.linspace(0, 1, 6 * 64, dtype=np.float32).reshape(6, 8, 8, 1)
    labels = np.array([0, 1] * 3)
    result = run(BuildSettings(None, arch="lenet", data=save(tmp_path, x=x, y=labels)))
    assert "Rescaling" not in kinds(result)
    assert result.hints == ("the values lie within 0..1 already, so no Rescaling layer was added",)
    result = run(BuildSettings(None, arch="lenet", data=save(tmp_path, x=255 * x, y=labels)))
    assert "Rescaling" in kinds(result)


@pytest.mark.parametrize(
    ("head", "loss", "metrics"),
    [
        ("dense:3,softmax", "sparse_categorical_crossentropy", ("accuracy",)),
        ("dense:1,sigmoid", "binary_crossentropy", ("accuracy",)),
        ("dense:3,sigmoid", "binary_crossentropy", ("binary_accuracy",)),
        ("dense:2", "mean_squared_error", ("mean_absolute_error",)),
    ],
)
def test_the_head_suggests_loss_and_metrics(head, loss, metrics):
    config = run(BuildSettings(None, input=(4,), words=(head,))).saved.training_config
    assert (config.loss_names, config.metrics) == ((loss,), metrics)


def test_the_compile_step_can_be_said():
    settings = BuildSettings(
        None,
        input=(4,),
        words=("dense:3,softmax",),
        loss="categorical_crossentropy:label_smoothing=0.1",
        optimizer="sgd:momentum=0.9,nesterov=true",
        learning_rate=0.05,
        metrics=("accuracy", "top_k_categorical_accuracy:k=2"),
    )
    config = run(settings).saved.training_config
    assert config.losses[0].label_smoothing == 0.1
    assert (config.optimizer.momentum, config.optimizer.nesterov, config.optimizer.learning_rate) == (0.9, True, 0.05)
    assert config.metrics == ("accuracy", {"class_name": "TopKCategoricalAccuracy", "config": {"k": 2}})


def test_one_class_is_one_sigmoid_unit():
    graph = run(BuildSettings(None, input=(4,), arch="mlp:units=2", classes=1)).saved.model.graph
    assert (graph.output_shapes, graph.nodes[-1].layer.activation) == (((1,),), "sigmoid")


def test_two_classes_fit_one_sigmoid_unit():
    run(BuildSettings(None, input=(4,), classes=2, words=("dense:1,sigmoid",)))


def test_class_names_are_kept():
    settings = BuildSettings(None, input=(4,), arch="mlp", data=DataSettings(class_names=("cat", "dog")))
    saved = run(settings).saved
    assert saved.classes == ("cat", "dog")
    assert saved.model.graph.output_shapes == ((2,),)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"words": ("dense:2",)}, "--input: missing; give the shape of one sample, as --input 28x28x1, or --data"),
        ({"arch": "mlp", "classes": 2}, "--input: missing; give the shape"),
        ({"arch": "mlp", "input": (4,)}, "--classes: missing; give the number of classes, or --data"),
        ({"input": (4,)}, "build: no layers given; write layer words or --arch cnn"),
        (
            {"input": (4,), "classes": 4, "words": ("dense:3,softmax",)},
            "--classes: 4 classes, but layer 'dense' gives 3 outputs; end with dense:4,softmax",
        ),
        (
            {"input": (4,), "classes": 3, "arch": "mlp", "data": DataSettings(class_names=("a", "b"))},
            "--class-names: 2 names for 3 classes; name each class",
        ),
        (
            {"input": (8, 8, 1), "classes": 3, "arch": "cnn", "data": DataSettings(color="rgb")},
            "--color: rgb does not fit an input of 8x8x1; leave it out",
        ),
        (
            {"input": (8, 8, 1), "classes": 3, "arch": "cnn", "data": DataSettings(image_size=(9, 8))},
            "--image-size: 9x8 does not fit an input of 8x8x1; leave it out",
        ),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(UsageError) as caught:
        run(BuildSettings(None, **settings))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arch": "mlp", "classes": 5}, "--classes: 5, but the data have 3 classes; leave it out"),
        ({"arch": "mlp", "input": (5,)}, "--input: 5 does not fit the data's 4; leave it out"),
        (
            {"words": ("dense:2,softmax",)},
            "--data: 3 classes, but layer 'dense' gives 2 outputs; end with dense:3,softmax",
        ),
    ],
)
def test_data_are_not_contradicted(tmp_path, settings, message):
    data = save(tmp_path, x=np.ones((6, 4), np.float32), y=np.array([0, 1, 2] * 2))
    with pytest.raises(UsageError) as caught:
        run(BuildSettings(None, data=data, **settings))
    assert str(caught.value) == message


def test_missing_data_are_bad_data(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        run(BuildSettings(None, arch="cnn", data=DataSettings((str(tmp_path / "nowhere"),))))


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (chosen_loss, "mse:detla=1"),
        (chosen_metric, "fbeta_score:bet=1"),
        (lambda t: chosen_optimizer(t, None), "sgd:m=1"),
    ],
)
def test_unknown_options_are_refused(function, text):
    with pytest.raises(UsageError, match="has no option"):
        function(text)


@pytest.mark.parametrize(
    ("function", "text", "message"),
    [
        (chosen_loss, "msee", "--loss: unknown loss 'msee'; did you mean 'mse'?"),
        (chosen_loss, "MeanSquaredEror", "--loss: unknown loss 'MeanSquaredEror'; did you mean 'mean_squared_error'?"),
        (chosen_loss, "huber:delta=-1", "--loss: huber: delta is -1; give a number above 0"),
        (chosen_metric, "F1Scor", "--metric: unknown metric 'F1Scor'; did you mean 'f1_score'?"),
        (
            chosen_metric,
            "top_k_categorical_accuracy:k=0",
            "--metric: top_k_categorical_accuracy: k is 0; give a whole number from 1 up",
        ),
        (lambda t: chosen_optimizer(t, None), "Adm", "--optimizer: unknown optimizer 'Adm'; did you mean 'adam'?"),
        (
            lambda t: chosen_optimizer(t, None),
            "sgd:momentum=2",
            "--optimizer: sgd: momentum is 2; give a number from 0 to 1",
        ),
        (
            lambda t: chosen_optimizer(t, None),
            "sgd:momentum=x",
            "--optimizer: a value cannot be used ('<=' not supported between instances of 'int' and 'str'); "
            "give a number",
        ),
    ],
)
def test_refusals_name_the_option(function, text, message):
    with pytest.raises(UsageError) as caught:
        function(text)
    assert str(caught.value) == message
