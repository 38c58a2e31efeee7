"""Models after another one: its network, classes and compile step; weights of their own."""

from pathlib import Path

import numpy as np
import pytest

from dltool.engine.layers import Normalization
from dltool.errors import ModelFileError, UsageError
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.modelfile.writing import write
from dltool.settings import BuildSettings, DataSettings
from dltool.workflows.build import run

CONFIGS = Path(__file__).parent.parent / "modelfile" / "configs"
IMAGES = str(CONFIGS / "keras2_images.json")
COMPILED = str(CONFIGS / "keras3_images_compiled.json")
TWO_INPUTS = str(CONFIGS / "keras3_two_inputs.json")


def kinds(result):
    return [type(node.layer).__name__ for node in result.saved.model.graph.nodes]


def test_a_config_is_taken_as_it_is():
    result = run(BuildSettings(None, from_config=IMAGES))
    assert kinds(result) == ["InputLayer", "Conv2D", "Flatten", "Dense"]  # no Rescaling
    config = result.saved.training_config
    assert (config.loss_names, config.metrics) == (("sparse_categorical_crossentropy",), ("accuracy",))
    assert result.saved.preprocessing == {
        "kind": "image",
        "height": 8,
        "width": 8,
        "color": "gray",
        "resize": "stretch",
    }


def test_its_compile_step_holds_unless_something_else_is_said():
    config = run(BuildSettings(None, from_config=COMPILED)).saved.training_config
    assert (config.optimizer.name, config.optimizer.learning_rate) == ("sgd", pytest.approx(0.01))
    config = run(BuildSettings(None, from_config=COMPILED, learning_rate=0.5)).saved.training_config
    assert (config.optimizer.name, config.optimizer.learning_rate) == ("sgd", 0.5)
    settings = BuildSettings(None, from_config=COMPILED, optimizer="adam", loss="mse", metrics=("mae",))
    config = run(settings).saved.training_config
    assert (config.optimizer.name, config.loss_names) == ("adam", ("mean_squared_error",))
    assert config.metrics == ("mean_absolute_error",)


def test_several_inputs(tmp_path):
    path = str(tmp_path / "m.h5")
    result = run(BuildSettings(path, from_config=TWO_INPUTS))
    assert result.line == "34 parameters, 5 and 5 -> 2, adam, lr 0.001, mean_squared_error"
    assert read(path).model.graph.input_names == ("left", "right")


def test_the_seed_decides_the_weights():
    vectors = [run(BuildSettings(None, from_config=IMAGES, seed=s)).saved.model.weights.vector for s in (1, 1, 2)]
    assert np.array_equal(vectors[0], vectors[1])
    assert not np.array_equal(vectors[0], vectors[2])


@pytest.fixture
def other(tmp_path):
    """A model file with classes, image options and a compile step of its own."""
    path = str(tmp_path / "other.h5")
    data = DataSettings(image_size=(8, 8), color="gray", resize="pad", class_names=("cat", "dog"))
    words = ("conv2d:3,3,relu", "flatten", "dense:2,softmax")
    run(BuildSettings(path, words=words, data=data, optimizer="sgd:momentum=0.5", seed=1))
    return path


def test_like_keeps_everything_but_the_weights(other):
    before, after = read(other), run(BuildSettings(None, like=other, seed=2)).saved
    assert [node.layer for node in after.model.graph.nodes] == [node.layer for node in before.model.graph.nodes]
    assert after.classes == ("cat", "dog")
    assert after.preprocessing == before.preprocessing
    assert after.training_config == before.training_config
    assert not np.array_equal(after.model.weights.vector, before.model.weights.vector)
    again = run(BuildSettings(None, like=other, seed=1)).saved
    assert np.array_equal(again.model.weights.vector, before.model.weights.vector)


def test_like_takes_other_class_names_and_image_options(other):
    data = DataSettings(class_names=("a", "b"), resize="crop")
    saved = run(BuildSettings(None, like=other, data=data)).saved
    assert (saved.classes, saved.preprocessing["resize"]) == (("a", "b"), "crop")


def test_like_with_data_of_its_number_of_classes(tmp_path, other):
    np.save(tmp_path / "x.npy", np.zeros((6, 8, 8), np.uint8))
    np.save(tmp_path / "y.npy", np.array(["no", "yes"] * 3))
    saved = run(BuildSettings(None, like=other, data=DataSettings((str(tmp_path / "x.npy"),)))).saved
    assert saved.classes == ("no", "yes")


def test_statistics_of_the_data_are_not_thrown_away(tmp_path):
    result = run(BuildSettings(None, input=(3,), words=("normalization", "dense:2,softmax")))
    weights = result.saved.model.weights
    for view, value in zip(weights.views["normalization"], ([1, 2, 3], [4, 5, 6], 7), strict=True):
        view[...] = value
    path = tmp_path / "m.h5"
    write(SavedModel(result.saved.model), path)
    model = run(BuildSettings(None, like=str(path), seed=9)).saved.model
    assert isinstance(model.graph.layers["normalization"], Normalization)
    assert [view.tolist() for view in model.weights.views["normalization"]] == [[1, 2, 3], [4, 5, 6], 7]
    assert not np.array_equal(model.weights.views["dense"][0], weights.views["dense"][0])


def test_a_network_for_images_of_any_size_remembers_the_size_that_is_said(tmp_path):
    text = Path(COMPILED).read_text().replace('"Flatten"', '"GlobalAveragePooling2D"')
    (tmp_path / "m.json").write_text(text.replace("[null, 8, 8, 1]", "[null, null, null, 3]"))
    data = DataSettings(image_size=(32, 48))
    saved = run(BuildSettings(None, from_config=str(tmp_path / "m.json"), data=data)).saved
    assert saved.preprocessing == {"kind": "image", "height": 32, "width": 48, "color": "rgb", "resize": "stretch"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"from_config": IMAGES, "classes": 5},
            "--classes: 5 classes, but layer 'dense' gives 3 outputs; its network is taken as it is, 'dltool finetune' "
            "gives a trained one another head",
        ),
        (
            {"from_config": IMAGES, "data": DataSettings(image_size=(9, 9))},
            "--image-size: 9x9 does not fit an input of 8x8x1; leave it out",
        ),
        (
            {"from_config": IMAGES, "data": DataSettings(color="rgb")},
            "--color: rgb does not fit an input of 8x8x1; leave it out",
        ),
        (
            {"from_config": TWO_INPUTS, "data": DataSettings(("x.npy",))},
            f"--data: {TWO_INPUTS} has 2 inputs and 1 outputs; only one of each can be fed",
        ),
    ],
)
def test_what_contradicts_the_network_is_refused(settings, message):
    with pytest.raises(UsageError) as caught:
        run(BuildSettings(None, **settings))
    assert str(caught.value) == message


def test_an_unknown_loss_of_the_config_is_asked_for(tmp_path):
    path = tmp_path / "m.json"
    path.write_text(Path(COMPILED).read_text().replace('"sparse_categorical_crossentropy"', '"my_own_loss"'))
    with pytest.raises(UsageError, match=r"^--loss: the model was compiled with my_own_loss, which is not known; give"):
        run(BuildSettings(None, from_config=str(path)))
    config = run(BuildSettings(None, from_config=str(path), loss="mse")).saved.training_config
    assert config.loss_names == ("mean_squared_error",)


def test_a_bad_file_leaves_nothing_behind(tmp_path):
    (tmp_path / "bad.json").write_text("{")
    for settings in ({"from_config": str(tmp_path / "bad.json")}, {"like": str(tmp_path / "bad.json")}):
        with pytest.raises(ModelFileError, match=r"bad\.json: "):
            run(BuildSettings(str(tmp_path / "m.h5"), **settings))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.json"]


def test_a_network_that_memory_cannot_hold_is_refused_at_once():
    with pytest.raises(UsageError, match=r"^build: 1,000,006,000,000 parameters need 8,000 GB of memory and \d+ are"):
        run(BuildSettings(None, input=(4,), words=("dense:1000000", "dense:1000000")))
