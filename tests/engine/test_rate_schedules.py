"""Schedules inside optimizers: values by hand from Keras's formulas, and what cannot be."""

import math

import pytest

from dltool.engine.optimizers import SGD, optimizer
from dltool.engine.rate_schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)
from dltool.errors import UsageError


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (PiecewiseConstantDecay([1, 3], [0.5, 0.2, 0.1]), [0.5, 0.5, 0.2, 0.2, 0.1]),
        (ExponentialDecay(0.8, 2, 0.25), [0.8, 0.4, 0.2]),
        (ExponentialDecay(0.8, 2, 0.25, staircase=True), [0.8, 0.8, 0.2]),
        (InverseTimeDecay(0.6, 2, 4.0), [0.6, 0.2, 0.12]),
        (InverseTimeDecay(0.6, 2, 4.0, staircase=True), [0.6, 0.6, 0.12]),
        (PolynomialDecay(1.1, 2, 0.1, power=2.0), [1.1, 0.35, 0.1, 0.1]),
        (PolynomialDecay(1.1, 2, 0.1, cycle=True), [1.1, 0.6, 0.1, 0.35, 0.1]),
        (CosineDecay(1.0, 2, alpha=0.2), [1.0, 0.6, 0.2, 0.2]),
        (CosineDecay(0.0, 2, warmup_target=1.0, warmup_steps=2), [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]),
        (CosineDecayRestarts(1.0, 2, t_mul=2.0, m_mul=0.5), [1.0, 0.5, 0.5, 0.25 + math.sqrt(2) / 8, 0.25]),
        (CosineDecayRestarts(1.0, 2, t_mul=1.5), [1.0, 0.5, 1.0, 0.75, 0.25, 1.0]),
        (CosineDecayRestarts(1.0, 2, t_mul=1.0, m_mul=0.5), [1.0, 0.5, 0.5, 0.25, 0.25]),
    ],
)
def test_rates_by_hand(schedule, expected):
    assert [schedule.after(step) for step in range(len(expected))] == pytest.approx(expected)


def test_an_optimizer_follows_its_schedule_and_scales_it_with_the_rate_it_is_given():
    rule = optimizer(
        {
            "class_name": "SGD",
            "config": {
                "learning_rate": {
                    "class_name": "PiecewiseConstantDecay",
                    "config": {"boundaries": [1], "values": [0.4, 0.1], "name": "steps"},
                }
            },
        }
    )
    assert rule.learning_rate == 0.4
    assert [rule.rate_at(step, rule.learning_rate) for step in (1, 2, 3)] == pytest.approx([0.4, 0.4, 0.1])
    assert rule.rate_at(3, 0.2) == pytest.approx(0.05)
    assert rule.schedule.scaled(0.5).values == (0.2, 0.05)
    assert optimizer({"class_name": "SGD", "config": rule.config()}) == rule


def test_the_moving_average_options_are_left_out_where_there_is_none():
    assert "use_ema" not in SGD(0.1).config()
    assert SGD(0.1, use_ema=True).config()["ema_momentum"] == 0.99


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PiecewiseConstantDecay([1], [0.5]), "one value more than boundaries"),
        (lambda: CosineDecay(0.1, 0), "CosineDecay: decay_steps is 0; give a number above 0"),
        (lambda: CosineDecay(0.0, 5), "its rate is 0.0; give a number above 0"),
        (lambda: CosineDecayRestarts(0.1, 5, t_mul=0.5), "t_mul is 0.5; give a number from 1"),
        (lambda: SGD(0.1, ema_momentum=2), "ema_momentum is 2; give a number from 0 to 1"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()
