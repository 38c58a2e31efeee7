"""Which arrays of Keras's own layout of variables belong to which layer."""

from typing import Any

import pytest

from dltool.modelfile.keras3_variables import stored_weights


def entry(class_name: str, name: str, units: int = 2, **more: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": name, "units": units}, **more}


def nested(name: str, *layers: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Functional", "config": {"name": name, "layers": list(layers)}}


def variables(*paths: str) -> list[dict[str, Any]]:
    return [{"path": path, "arrays": [number]} for number, path in enumerate(paths)]


def twins(**more: Any) -> dict[str, Any]:
    """A layer in two models, each with a layer of its own."""
    first = nested("m1", entry("Dense", "shared"), entry("Dense", "own_1"))
    return nested("m", first, nested("m2", entry("Dense", "shared", **more), entry("Dense", "own_2")))


def test_keras3_counts_a_layer_of_two_models_in_both_and_stores_it_in_the_first():
    one, two = "layers/functional/layers", "layers/functional_1/layers"
    found = stored_weights(twins(), 3, variables(f"{one}/dense", f"{one}/dense_1", f"{two}/dense_1"))
    assert found == {"m1/shared": [0], "m1/own_1": [1], "m2/own_2": [2], "m2/shared": [0]}


def test_tf_keras_does_not_count_it_in_the_second():
    one, two = "layers/functional/layers", "layers/functional_1/layers"
    stored = variables(f"{one}/dense", f"{one}/dense_1", f"{two}/dense")
    found = stored_weights(twins(shared_object_id=1), 2, stored)
    assert found == {"m1/shared": [0], "m1/own_1": [1], "m2/own_2": [2], "m2/shared": [0]}


@pytest.mark.parametrize("change", [{"units": 3}, {"name": "other"}])
def test_a_layer_without_arrays_is_not_taken_for_another_one(change):
    model = nested("m", entry("Dense", "a"), nested("m1", entry("Dense", **{"name": "a", **change})))
    assert stored_weights(model, 3, variables("layers/dense")) == {"a": [0]}
