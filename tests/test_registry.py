"""Names and the nearest of them."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from dltool.errors import UnknownNameError
from dltool.registry import Registry, nearest, options_of, required_of, schedule_options


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


def test_the_only_name_with_a_typed_beginning_is_meant():
    known = ["undersample", "oversample", "oversampled_by_class"]
    assert nearest("und", known) == "undersample"
    assert nearest("ove", known) is None, "two names begin so"
    assert nearest("un", known) is None, "two letters say too little"


def test_what_is_forgotten_is_free_again():
    registry = Registry("loss")
    registry.register("mine", "own", "mein")("a")
    registry.register("other")("b")
    registry.forget("mine")
    assert registry.names() == ["other"] and registry.aliases() == {}
    registry.register("own")("c")
    assert registry.get("own") == "c"


def test_an_error_takes_back_what_was_registered_before_it():
    registry = Registry("loss")
    registry.register("kept", "k")("a")
    with pytest.raises(KeyError), registry.restored_on_failure():
        registry.register("lost", "l")("b")
        raise KeyError
    with registry.restored_on_failure():
        registry.register("stays")("c")
    assert registry.names() == ["kept", "stays"] and registry.aliases() == {"k": "kept"}


def test_options_are_read_from_fields_and_their_types():
    @dataclass
    class Mine:
        units: int
        rate: float = 0.5
        size: tuple[int, int] = (1, 1)
        scales: tuple[float, ...] = ()
        fast: bool = False
        kernel_initializer: str = "zeros"
        trainable: bool = True
        name: str = ""
        every: float = 1.0

        durations: ClassVar[dict[str, str]] = {"every": "1"}

    kinds = {"units": "int", "rate": "number", "size": "size", "scales": "numbers", "fast": "flag"}
    more = {"kernel_initializer": "text", "every": "number", "trainable": "flag"}
    assert list(options_of(Mine).items()) == [*kinds.items(), *more.items()]
    assert required_of(Mine) == ("units",)
    assert schedule_options(Mine)["every"] == "time"
