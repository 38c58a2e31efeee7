"""What ``--try`` takes, and that draws keep to it."""

import math

import numpy as np
import pytest

from dltool.errors import UsageError
from dltool.training.search_space import Parameter, draw, parse, parse_all


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr=1e-4..1e-1:log", Parameter("lr", (), 1e-4, 0.1, log=True)),
        ("dropout=0..0.5", Parameter("dropout", (), 0.0, 0.5)),
        ("arch.width=32..256", Parameter("arch.width", (), 32.0, 256.0, whole=True)),
        ("arch.width=8..256:log", Parameter("arch.width", (), 8.0, 256.0, log=True, whole=True)),
        ("optimizer=adam, sgd", Parameter("optimizer", ("adam", "sgd"))),
        (
            "optimizer=sgd:momentum=0.9,nesterov=true,adam",
            Parameter("optimizer", ("sgd:momentum=0.9,nesterov=true", "adam")),
        ),
        ("batch-size=32", Parameter("batch-size", ("32",))),
        ("x=-1..1", Parameter("x", (), -1.0, 1.0, whole=True)),
    ],
)
def test_ranges_and_lists(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", "names nothing to try"),
        ("=1..2", "names nothing to try"),
        ("lr=", "names nothing to try"),
        ("lr=a..b", "is no range"),
        ("lr=1..2:exp", "is no range"),
        ("lr=1..", "is no range"),
        ("lr=0.1..0.001", "write the smaller number first"),
        ("lr=1..1", "write the smaller number first"),
        ("lr=0..1:log", "begin above 0, or leave out :log"),
        ("lr=0..1e999", "write the smaller number first"),
        ("optimizer=adam,,sgd", "empty or double value"),
        ("optimizer=adam,adam", "empty or double value"),
    ],
)
def test_what_is_neither_is_refused(text, message):
    with pytest.raises(UsageError, match=f"^--try: .*{message}"):
        parse(text)


def test_nothing_and_the_same_twice_are_refused():
    with pytest.raises(UsageError, match="--try: missing"):
        parse_all(())
    with pytest.raises(UsageError, match="lr is given twice"):
        parse_all(("lr=1..2", "lr=0.1,0.2"))


def draws(text, count=2000):
    random = np.random.default_rng(0)
    return [parse(text).draw(random) for _ in range(count)]


def test_a_plain_range_is_even_and_keeps_its_bounds():
    found = draws("dropout=0..0.5")
    assert 0 <= min(found) < 0.01 and 0.49 < max(found) <= 0.5
    assert np.mean(found) == pytest.approx(0.25, abs=0.01)


def test_a_log_range_is_even_in_its_exponents_and_rounded_to_three_digits():
    found = draws("lr=1e-4..1e-1:log")
    counts = np.bincount([int(-math.log10(value) - 1e-12) for value in found], minlength=4)
    assert counts[1:4].tolist() == pytest.approx([2000 / 3] * 3, abs=60)
    assert all(value == float(f"{value:.3g}") for value in found)


def test_whole_ranges_reach_both_ends_as_often_as_the_middle():
    counts = np.bincount(draws("n=1..4", 4000), minlength=6)
    assert counts[1:5].tolist() == pytest.approx([1000] * 4, abs=100)
    assert counts[0] == counts[5] == 0
    assert set(draws("n=1..4:log")) == {1, 2, 3, 4}
    assert all(type(value) is int for value in draws("n=1..4", 5))


def test_lists_give_every_choice_as_often():
    found = draws("optimizer=adam,sgd,nadam", 3000)
    assert [found.count(name) for name in ("adam", "sgd", "nadam")] == pytest.approx([1000] * 3, abs=90)


def test_a_parameter_takes_one_number_so_that_others_do_not_change_with_it():
    first = draw(parse_all(("lr=1e-4..1e-1:log", "dropout=0..0.5")), np.random.default_rng(3))
    other = draw(parse_all(("lr=0.1,0.2", "dropout=0..0.5")), np.random.default_rng(3))
    assert first["dropout"] == other["dropout"]
