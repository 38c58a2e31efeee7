"""Names and the nearest of them."""

import pytest

from dltool.errors import UnknownNameError
from dltool.registry import Registry, nearest


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("adm", "adam"),
        ("Adm", "adam"),
        ("ADAM", "adam"),
        ("MeanSquaredEror", "mean_squared_error"),
        ("mean-squared-error", "mean_squared_error"),
        ("gloro_uniform", "glorot_uniform"),
        ("Denes", "Dense"),
        ("zzz", None),
        ("", None),
    ],
)
def test_the_nearest_name_is_the_one_in_snake_case(name, expected):
    known = ["Adam", "adam", "mean_squared_error", "MeanSquaredError", "GlorotUniform", "glorot_uniform", "Dense"]
    assert nearest(name, known) == nearest(name, known[::-1]) == expected


def test_an_unknown_name_can_be_told_where_it_stands():
    registry: Registry[int] = Registry("optimizer")
    registry.register("adam", "Adam")(1)
    with pytest.raises(UnknownNameError) as caught:
        registry.get("adm")
    assert str(caught.value) == "unknown optimizer 'adm'; did you mean 'adam'?"
    assert str(caught.value.at("--optimizer")) == "--optimizer: unknown optimizer 'adm'; did you mean 'adam'?"
    with pytest.raises(UnknownNameError, match=r"^unknown optimizer 'zzz'; known: adam$"):
        registry.get("zzz")


def test_exchanged_letters_are_one_mistake():
    assert nearest("adma", ["adagrad", "adamax", "adam", "nadam", "adamw"]) == "adam"
    assert nearest("fti", ["summary", "finetune", "fit"]) == "fit"
