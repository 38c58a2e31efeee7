"""What summary tells of a model file."""

from dataclasses import replace

import pytest

from dltool.architectures.words import from_words
from dltool.engine.model import Model
from dltool.errors import ModelFileError
from dltool.modelfile.saved import SavedModel
from dltool.settings import BuildSettings, DataSettings, SummarySettings
from dltool.workflows import build
from dltool.workflows.summary import describe_model, run


def frozen(graph, *names):
    return graph.with_layers({name: replace(graph.layers[name], trainable=False) for name in names})


def test_rows_shapes_and_counts(tmp_path):
    path = str(tmp_path / "m.h5")
    words = ("conv2d:4,3,use_bias=false", "bn", "relu", "gap", "dense:3,softmax")
    data = DataSettings(class_names=("a", "b", "c"))
    build.run(BuildSettings(path, input=(8, 8, 2), words=words, data=data))
    result = run(SummarySettings(path))
    assert [(r.name, r.kind, r.shape, r.parameters) for r in result.rows] == [
        ("input_layer", "InputLayer", "8x8x2", 0),
        ("conv2d", "Conv2D", "6x6x4", 72),
        ("batch_normalization", "BatchNormalization", "6x6x4", 16),
        ("re_lu", "ReLU", "6x6x4", 0),
        ("global_average_pooling2d", "GlobalAveragePooling2D", "4", 0),
        ("dense", "Dense", "3", 15),
    ]
    assert (result.trainable, result.frozen, result.statistics, result.parameters) == (72 + 8 + 15, 0, 8, 103)
    facts = dict(result.facts)
    assert facts["input"] == "8x8x2"
    assert facts["classes"] == "3: a, b, c"
    assert facts["loss"] == "sparse_categorical_crossentropy"
    assert facts["optimizer"] == "adam, lr 0.001"
    assert facts["metrics"] == "accuracy"


def test_frozen_layers_are_counted_apart():
    graph = frozen(from_words(["dense:5", "dense:2"], (3,)), "dense")
    result = describe_model(SavedModel(Model.build(graph)))
    assert (result.trainable, result.frozen) == (12, 20)
    assert [row.frozen for row in result.rows] == [False, True, False]


def test_joins_name_their_inputs():
    words = ["x1=input:10", "y1=dense:5@x1", "x2=input:20", "both=concatenate@y1+x2", "dense:2"]
    result = describe_model(SavedModel(Model.build(from_words(words))))
    assert [row.inputs for row in result.rows] == [(), (), (), ("y1", "x2"), ()]
    assert dict(result.facts) == {"input": "x1 10, x2 20", "output": "2"}


def test_history_and_recipe_are_told():
    saved = SavedModel(
        Model.build(from_words(["dense:2"], (3,))),
        recipe={"epochs": 2, "seed": 0, "data": ["train/"], "arch": None},
        history=[{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25, "val_loss": 0.33333}],
        keras_version="2.15.0",
    )
    facts = dict(describe_model(saved).facts)
    assert facts["history"] == "2 epochs; the last: loss 0.25, val_loss 0.3333"
    assert facts["recipe"] == "epochs 2, seed 0, data train/"
    assert facts["format"] == "Keras 2.15.0"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelFileError, match=r"no\.h5"):
        run(SummarySettings(str(tmp_path / "no.h5")))
