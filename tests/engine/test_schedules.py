"""Schedules by hand and against Keras's own."""

import math

import pytest

from dltool.engine.schedules import SCHEDULES, Schedule, make_schedule, steps_of
from dltool.errors import UnknownNameError, UsageError


def rates(name: str, options: dict, steps: list[int], **run) -> list[float]:
    """Rates at ``steps``, for a rate of 0.8 and 10 epochs of 5 steps."""
    wanted = {"learning_rate": 0.8, "steps_per_epoch": 5, "num_steps": 50, **run}
    schedule = make_schedule(name, options, **wanted)
    return [schedule(step) for step in steps]


def test_constant_gives_its_rate_at_every_step():
    assert rates("constant", {}, [1, 2, 1000]) == [0.8] * 3


def test_times_are_epochs_unless_they_say_steps():
    assert rates("step", {"every": 2}, [1, 10, 11, 20, 21]) == [0.8, 0.8, 0.4, 0.4, 0.2]
    assert rates("step", {"every": "2steps", "drop": 0.1}, [1, 2, 3, 5]) == pytest.approx([0.8, 0.8, 0.08, 0.008])
    assert rates("exp", {"decay": 0.5}, [1, 6, 11]) == [0.8, 0.4, 0.2]
    assert rates("time", {"decay": 1.0}, [1, 6, 16]) == [0.8, 0.4, 0.2]
    assert rates("time", {"decay": 1.0, "every": "1steps"}, [1, 2, 4]) == [0.8, 0.4, 0.2]


def test_cosine_and_polynomial_reach_their_least_rate_after_the_whole_run():
    for name, options in (("cosine", {}), ("cosine", {"min": 0.1}), ("poly", {"min": 0.1, "power": 2.0})):
        first, last, after = rates(name, options, [1, 51, 90])
        assert first == pytest.approx(0.8)
        assert last == after == pytest.approx(options.get("min", 0.0), abs=1e-15)
    assert rates("cosine", {}, [26]) == pytest.approx([0.4])
    assert rates("cosine", {"over": 2}, [6, 11]) == pytest.approx([0.4, 0.0], abs=1e-12)


def test_warm_up_rises_in_equal_steps_and_the_schedule_follows_it():
    assert rates("constant", {}, [1, 2, 3, 4, 5], warmup="4steps") == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])
    # Ten steps of warm-up; the cosine then takes the other forty.
    found = rates("cosine", {}, [10, 11, 31, 51], warmup="2")
    assert found == pytest.approx([0.8, 0.8, 0.4, 0.0], abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_every_schedule_starts_at_its_rate_and_never_exceeds_it(name):
    found = rates(name, {}, list(range(1, 60)))
    assert found[0] == pytest.approx(0.8 if name != "1cycle" else 0.8 / 25)
    assert all(0 <= rate <= 0.8 for rate in found)
    assert issubclass(SCHEDULES.get(name), Schedule) and SCHEDULES.get(name).__doc__


def test_flat_cosine_keeps_its_rate_and_falls_at_the_end():
    assert rates("flat-cosine", {}, [1, 36, 51, 60]) == pytest.approx([0.8, 0.8, 0.0, 0.0], abs=1e-12)
    # Steps 40 to 50 fall: half way is the middle of the rates.
    assert rates("flat-cosine", {"flat": 0.8, "min": 0.2}, [41, 46]) == pytest.approx([0.8, 0.5])


def test_cycles_of_sgdr_grow_and_begin_at_the_full_rate():
    # Cycles of 5, 10, 20 steps begin after 0, 5, 15 steps.
    assert rates("sgdr", {}, [1, 6, 16, 36]) == pytest.approx([0.8] * 4)
    assert rates("sgdr", {}, [11, 26]) == pytest.approx([0.4, 0.4])
    assert rates("sgdr", {"cycle_len": 2, "cycle_mult": 1, "min": 0.1}, [11, 16, 21]) == pytest.approx([0.8, 0.45, 0.8])


def test_one_cycle_has_torchs_rates_and_momenta():
    # torch 2.13: OneCycleLR(SGD(p, 0.1, momentum=0.9), 0.8, total_steps=20), rate and momentum of steps 1, 2, ...
    recorded = {
        1: (0.03200000000000003, 0.95),
        2: (0.10533747416002026, 0.9404508497187474),
        4: (0.5346625258399798, 0.8845491502812526),
        6: (0.8, 0.85),
        7: (0.7899712049880699, 0.8512536043909088),
        12: (0.48900961754903144, 0.8888739533021842),
        19: (0.010031995011930044, 0.9487463956090911),
        20: (3.2e-06, 0.95),
    }
    schedule = make_schedule("1cycle", {}, 0.8, steps_per_epoch=5, num_steps=20)
    for step, (rate, momentum) in recorded.items():
        assert schedule(step) == pytest.approx(rate, rel=1e-6)
        assert schedule.momentum_after(step - 1) == pytest.approx(momentum, rel=1e-6)
    assert schedule(99) == schedule(20)


def test_one_cycle_survives_short_runs_and_warm_up():
    for steps in range(1, 12):
        schedule = make_schedule("1cycle", {}, 0.8, steps_per_epoch=1, num_steps=steps)
        assert all(0 < schedule(step) <= 0.8 for step in range(1, steps + 1))
        assert schedule(steps) == pytest.approx(0.8 / 25 / 1e4)
    warm = make_schedule("1cycle", {}, 0.8, steps_per_epoch=1, num_steps=20, warmup="4")
    assert warm.momentum_after(0) == warm.momentum_after(4) == 0.95


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("1cycle", {"rise": 1}, "--schedule: rise is 1; give a part between 0 and 1"),
        ("1cycle", {"low": 1.5}, "--schedule: low is 1.5; give a number from 0 to below 1"),
        ("sgdr", {"cycle_mult": 0.5}, "--schedule: cycle_mult is 0.5; give a number from 1"),
        ("sgdr", {"cycle_len": 0}, "--schedule: cycle_len: '0' is no time"),
        ("flat-cosine", {"flat": 1}, "--schedule: flat is 1; give a part from 0 to below 1"),
    ],
)
def test_what_the_cycles_cannot_do_is_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        rates(name, options, [1])


@pytest.mark.parametrize(
    ("text", "steps"),
    [("2", 10), ("2 epochs", 10), ("1epoch", 5), ("0.5", 2.5), (".2", 1), ("500steps", 500), ("1 step", 1)],
)
def test_times(text, steps):
    assert steps_of(text, 5, "--warmup") == pytest.approx(steps)


@pytest.mark.parametrize("text", ["", "0", "-1", "two", "5 minutes", "1e3", "nan", "9" * 400])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UsageError, match=r"--warmup: .* is no time; give epochs as 2, or steps as 500steps"):
        steps_of(text, 5, "--warmup")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cosine", {"mim": 0.1}, "cosine has no option 'mim'; did you mean 'min'"),
        ("constant", {"rate": 0.1}, "constant has no option 'rate'; it has no options"),
        ("cosine", {"min": 0.9}, "min is 0.9; give at most the rate of 0.8"),
        ("cosine", {"min": "low"}, "min is 'low'; give a number"),
        ("step", {"drop": 2}, "drop is 2; give a number above 0, at most 1"),
        ("step", {"every": 0}, "every: '0' is no time"),
        ("exp", {"decay": 0}, "decay is 0; give a number above 0"),
        ("time", {"decay": -1}, "decay is -1; give a number from 0"),
        ("poly", {"power": 0}, "power is 0; give a number above 0"),
        ("plateau", {"factor": 1}, "factor is 1; give a number between 0 and 1"),
        ("plateau", {"patience": 0}, "patience is 0; give a whole number from 1 up"),
        ("plateau", {"patience": 1.5}, "patience is 1.5; give a whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused(name, options, message):
    with pytest.raises(UsageError, match=f"--schedule: {message}"):
        rates(name, options, [1])


def test_an_unknown_schedule_gets_a_suggestion_and_a_warm_up_must_leave_steps():
    with pytest.raises(UnknownNameError, match="did you mean 'cosine'"):
        rates("cosin", {}, [1])
    with pytest.raises(UsageError, match="--warmup: 50 steps, but the run has 50; give less, or more --epochs"):
        rates("constant", {}, [1], warmup="10")


@pytest.mark.interop
def test_the_formulas_are_those_of_keras():
    keras = pytest.importorskip("keras")
    s, steps = keras.optimizers.schedules, range(60)
    pairs = [
        ("exp", {"decay": 0.7, "every": "3steps"}, s.ExponentialDecay(0.8, 3, 0.7)),
        ("step", {"drop": 0.7, "every": "3steps"}, s.ExponentialDecay(0.8, 3, 0.7, staircase=True)),
        ("time", {"decay": 0.3, "every": "2steps"}, s.InverseTimeDecay(0.8, 2, 0.3)),
        ("poly", {"power": 3, "min": 0.1, "over": "40steps"}, s.PolynomialDecay(0.8, 40, 0.1, power=3.0)),
        ("cosine", {"min": 0.2, "over": "40steps"}, s.CosineDecay(0.8, 40, alpha=0.25)),
    ]
    for name, options, theirs in pairs:
        found = rates(name, options, [step + 1 for step in steps])
        expected = [float(theirs(step)) for step in steps]
        assert all(math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-7) for a, b in zip(found, expected, strict=True)), name
