"""Option values: what is taken, and what is said about the rest."""

import click
import pytest

from dltool import names
from dltool.architectures.literals import EXPECTED, fits
from dltool.cli.types import COLOR, FRACTION, IMAGE_SIZE, NAMES, POSITIVE, RATE, SEED, SHAPE, NameType


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (SHAPE, "28x28x1", (28, 28, 1)),
        (SHAPE, "28X28X1", (28, 28, 1)),
        (SHAPE, "784", (784,)),
        (IMAGE_SIZE, "64x48", (64, 48)),
        (POSITIVE, "3", 3),
        (SEED, "0", 0),
        (FRACTION, "0.2", 0.2),
        (FRACTION, "0", 0.0),
        (RATE, "1e-3", 1e-3),
        (COLOR, "gray", "gray"),
        (NAMES, "cat, dog", ("cat", "dog")),
    ],
)
def test_values(kind, text, value):
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (SHAPE, "28xx", "'28xx' is not a size; write it as 28x28x1"),
        (SHAPE, "0x3", "'0x3' is not a size; write it as 28x28x1"),
        (SHAPE, "-3", "'-3' is not a size; write it as 28x28x1"),
        (SHAPE, "", "'' is not a size; write it as 28x28x1"),
        (SHAPE, "9" * 5000, f"'{'9' * 5000}' is not a size; write it as 28x28x1"),
        (SHAPE, "٣", "'٣' is not a size; write it as 28x28x1"),
        (IMAGE_SIZE, "64", "'64' has 1 numbers, 2 are needed; write it as 28x28"),
        (POSITIVE, "0", "0 is out of range; give a whole number from 1 up"),
        (POSITIVE, "1.5", "'1.5' is not a whole number from 1 up"),
        (POSITIVE, "x", "'x' is not a whole number from 1 up"),
        (POSITIVE, "9" * 20, f"{'9' * 20} is out of range; give a whole number from 1 up, 2,147,483,647 at most"),
        (FRACTION, "1", "1 is out of range; give a part from 0 to 0.99, as 0.2"),
        (RATE, "0", "0 is out of range; give a number above 0, as 0.001"),
        (RATE, "nan", "nan is out of range; give a number above 0, as 0.001"),
        (RATE, "inf", "inf is out of range; give a number above 0, as 0.001"),
        (COLOR, "grey", "unknown color 'grey'; did you mean 'gray'?"),
        (COLOR, "blue-ish", "unknown color 'blue-ish'; give one of rgb, gray"),
        (NAMES, "a,b,a", "'a' is named twice; give each class once"),
        (NAMES, ",", "',' holds no names; write them as cat,dog or give a file with one per line"),
    ],
)
def test_refusals(kind, text, message):
    with pytest.raises(click.BadParameter) as caught:
        kind.convert(text, None, None)
    assert caught.value.message == message


def test_names_from_a_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("cat\nhot dog\n\n", encoding="utf-8-sig")
    assert NAMES.convert(str(path), None, None) == ("cat", "hot dog")


NETS = NameType("net", {"small": ("width",), "large": ()}, {"s": "small"}, spec=True)


@pytest.mark.parametrize("text", ["small", "s", "small:width=3", "s:width=3"])
def test_specs(text):
    assert NETS.convert(text, None, None) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smal", "unknown net 'smal'; did you mean 'small'?"),
        ("zzz", "unknown net 'zzz'; known: small, large"),
        ("small:with=3", "small has no option 'with'; did you mean 'width'?"),
        ("large:width=3", "large has no option 'width'; it has no options"),
        ("small:3", "'3' is no key=value; write small:width=VALUE"),
    ],
)
def test_unknown_names_and_keys(text, message):
    with pytest.raises(click.BadParameter) as caught:
        NETS.convert(text, None, None)
    assert caught.value.message == message


RULES = NameType(
    "rule",
    {
        "sgd": {"momentum": "number", "nesterov": "flag"},
        "mlp": {"units": 512, "dropout": 0.2},
        "step": {"every": "time"},
    },
    spec=True,
)


@pytest.mark.parametrize(
    "text",
    [
        "sgd:momentum=0.9,nesterov=true",
        "sgd:momentum=1/2",
        "mlp:units=3,dropout=0",
        "step:every=3",
        "step:every=9steps",
        "step:every=.5epochs",
    ],
)
def test_values_of_options(text):
    assert RULES.convert(text, None, None) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sgd:momentum=x", "sgd:momentum must be a number, not 'x'"),
        ("sgd:momentum=", "sgd:momentum must be a number, not ''"),
        ("sgd:momentum=none", "sgd:momentum must be a number, not 'none'"),
        ("sgd:momentum=true", "sgd:momentum must be a number, not 'true'"),
        ("step:every=x", "step:every must be a time such as 2 (epochs) or 500steps, not 'x'"),
        ("step:every=-3", "step:every must be a time such as 2 (epochs) or 500steps, not '-3'"),
        ("sgd:nesterov=1", "sgd:nesterov must be true or false, not '1'"),
        ("mlp:units=1.5", "mlp:units must be a whole number, not '1.5'"),
        ("mlp:units=(3", "mlp:units=(3: brackets do not match; close every '(' with ')'"),
        ("sgd:momentum=0.9,", "'' is no key=value; write sgd:momentum=VALUE"),
    ],
)
def test_values_that_an_option_does_not_take(text, message):
    with pytest.raises(click.BadParameter) as caught:
        RULES.convert(text, None, None)
    assert caught.value.message == message


@pytest.mark.parametrize("table", ["OPTIMIZERS", "LOSSES", "METRICS", "SCHEDULES", "LAYERS"])
def test_every_kind_of_option_is_one_that_can_be_checked(table):
    """A kind that ``fits`` does not know would be an internal error for whoever writes such an option."""
    for options in getattr(names, table).values():
        for kind in options.values():
            assert kind == "any" or kind in EXPECTED
            assert fits(kind, 3) in (True, False)
