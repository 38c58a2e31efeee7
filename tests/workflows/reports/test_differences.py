"""What is told of two models that differ in a known way."""

from dataclasses import replace

import numpy as np
import pytest

from dltool.architectures.words import from_words
from dltool.engine.model import Model
from dltool.modelfile.saved import SavedModel
from dltool.workflows.reports.differences import differences


def saved(*words, seed=0, shape=(4,)) -> SavedModel:
    return SavedModel(Model.build(from_words(list(words), shape), seed=seed))


def compared(first, second, facts=({}, {})):
    return differences(first, second, facts)


def test_a_copy_has_no_differences():
    found = compared(saved("dense:3", "dense:2"), saved("dense:3", "dense:2"))
    assert found.is_empty and found.num_equal == 4
    empty = {"layers": [], "weights": [], "facts": []}
    assert found.as_json() == {"schema": "dltool.summary/1", "equal": True, "num_equal_weights": 4, **empty}


def test_weights_that_moved_are_measured():
    first, second = saved("dense:2"), saved("dense:2")
    first.model.weights.vector[:8] = 2
    second.model.weights.vector[:8] = 2
    second.model.weights.views["dense"][0][0, 0] = 5
    (change,) = compared(first, second).weights
    # one of eight values 2 moved by 3: sqrt(9 / 8) over 2
    assert (change.name, change.largest) == ("dense/kernel", 3.0)
    assert change.relative == pytest.approx(np.sqrt(9 / 8) / 2)


def test_changed_options_are_named():
    first, second = saved("dense:3,relu", "dense:2"), saved("dense:3,tanh", "dense:2")
    (change,) = compared(first, second).layers
    assert (change.kind, change.name, change.words) == ("changed", "dense", "activation relu became tanh")


def test_a_frozen_layer_is_a_change():
    first = saved("dense:3", "dense:2")
    graph = first.model.graph
    frozen = graph.with_layers({"dense": replace(graph.layers["dense"], trainable=False)})
    (change,) = compared(first, SavedModel(first.model.with_graph(frozen))).layers
    assert change.words == "trainable True became False"


def test_layers_of_the_same_classes_belong_together_whatever_they_are_called():
    found = compared(saved("dense:3", "dense:2"), saved("a=dense:3", "b=dense:2"))
    assert found.is_empty


def test_new_and_missing_layers_are_told():
    found = compared(saved("dense:3", "dropout:0.5", "out=dense:2"), saved("dense:3", "relu", "out=dense:2"))
    assert [(change.kind, change.name) for change in found.layers] == [
        ("removed", "dropout"),
        ("changed", "out"),
        ("added", "re_lu"),
    ]
    assert found.layers[1].words == "takes re_lu, not dropout"
    assert found.layers[2].words == "ReLU, output 3"


def test_weights_of_other_shapes_are_not_subtracted():
    found = compared(saved("dense:3", "out=dense:2"), saved("dense:5", "out=dense:2"))
    assert [w.name for w in found.weights if w.largest == np.inf] == ["dense/kernel", "dense/bias", "out/kernel"]
    assert found.as_json()["weights"][0]["largest"] is None


def test_facts_that_differ_are_told():
    found = compared(saved("dense:2"), saved("dense:2"), ({"loss": "a", "x": "1"}, {"loss": "b", "x": "1", "y": "2"}))
    assert found.facts == (("loss", "a", "b"), ("y", "", "2"))
