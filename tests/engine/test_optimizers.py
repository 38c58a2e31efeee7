"""The walk over the parameter vector: clipping, weight decay, rates per span, decay of the rate, configs."""

import tracemalloc

import numpy as np
import pytest

from dltool.engine.optimizers import SGD, Adam, AdamW, Nadam, RMSprop, optimizer
from dltool.engine.stepping import (
    BLOCK,
    clip_gradients,
    merge_spans,
    squared_norm,
    step_coefficients,
    step_vector,
    update_range,
)
from dltool.engine.weights import Span
from dltool.errors import UnknownNameError, UsageError


def stepped(rule, weights, gradient, spans, step=1, rate=None):
    w, g = np.array(weights, np.float32), np.array(gradient, np.float32)
    slots = [np.full_like(g, rule.slot_start(name)) for name in rule.slots]
    step_vector(rule, w, g, slots, spans, step, rule.learning_rate if rate is None else rate, {})
    return w


TWO = [Span(0, 2), Span(2, 4)]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"clipvalue": 2.0}, [2, 2, 0, -2]),
        ({"clipnorm": 1.0}, [0.6, 0.8, 0, -1]),
        ({"clipnorm": 4.5}, [2.7, 3.6, 0, -4.5]),
        ({"clipnorm": 12.0}, [3, 4, 0, -12]),
        ({"global_clipnorm": 6.5}, [1.5, 2, 0, -6]),
        ({"global_clipnorm": 13.0}, [3, 4, 0, -12]),
        ({"clipvalue": 4.0, "clipnorm": 2.5}, [1.5, 2, 0, -2.5]),
    ],
)
def test_clipping_by_hand(limits, expected):
    gradient = np.array([3, 4, 0, -12], np.float32)  # norms 5 and 12, together 13
    clip_gradients(SGD(**limits), gradient, TWO)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_clipping_leaves_frozen_gradients_out():
    gradient = np.array([3, 4, 1e6, 1e6], np.float32)
    clip_gradients(SGD(global_clipnorm=2.5), gradient, [Span(0, 2)])
    np.testing.assert_allclose(gradient, [1.5, 2, 1e6, 1e6], rtol=1e-6)


def test_norms_do_not_overflow_and_are_summed_in_float64():
    big = np.full(100_000, 1e25, np.float32)
    assert squared_norm(big) == pytest.approx(1e5 * 1e50, rel=1e-6)
    x = np.random.default_rng(0).normal(size=70_001).astype(np.float32)
    assert squared_norm(x) == pytest.approx(float((x.astype(np.float64) ** 2).sum()), rel=1e-7)


def test_a_nan_gradient_stays_visible():
    gradient = np.array([np.nan, 1.0], np.float32)
    clip_gradients(SGD(clipnorm=1.0), gradient, [Span(0, 2)])
    assert np.isnan(gradient).any()


def test_step_touches_the_spans_only():
    w = stepped(SGD(1.0), [1, 1, 1, 1], [1, 1, 1, 1], [Span(1, 2), Span(3, 4)])
    assert w.tolist() == [1, 0, 1, 0]


def test_each_span_has_its_rate():
    w = stepped(SGD(0.5), [1, 1, 1, 1], [1, 1, 1, 1], [Span(0, 2, rate=0.1), Span(2, 4, rate=2.0)])
    np.testing.assert_allclose(w, [0.95, 0.95, 0, 0], rtol=1e-6)


def test_weight_decay_comes_before_the_step_and_spares_spans():
    spans = [Span(0, 1), Span(1, 2, decays=False), Span(2, 3, rate=0.5)]
    w = stepped(SGD(0.1, weight_decay=0.5), [2, 2, 2], [1, 1, 1], spans)
    # 2 - 0.5*0.1*2 - 0.1, 2 - 0.1, 2 - 0.5*0.05*2 - 0.05
    np.testing.assert_allclose(w, [1.8, 1.9, 1.9], rtol=1e-6)
    assert AdamW().weight_decay == 0.004


def test_tiny_weight_decay_is_not_lost_in_float32():
    w = stepped(SGD(1e-3, weight_decay=4e-3), np.full(1000, 1000.0), np.zeros(1000), [Span(0, 1000)])
    np.testing.assert_allclose(1000 - w.astype(np.float64), 4e-3, rtol=0.02)


def test_old_decay_lowers_the_rate_with_the_steps():
    for step, rate in ((1, 0.5), (2, 0.5 / 1.3), (4, 0.5 / 1.9)):
        w = stepped(SGD(0.5, decay=0.3), [1.0], [1.0], [Span(0, 1)], step)
        np.testing.assert_allclose(w, [1 - rate], rtol=1e-6)


def test_step_uses_the_rate_it_is_given():
    assert stepped(SGD(0.5), [1.0], [1.0], [Span(0, 1)], rate=0.25).tolist() == [0.75]


def test_ranges_of_lanes_give_the_bits_of_one_walk():
    """More than one block, spans that do not meet, ranges that cut spans and blocks anywhere."""
    size = 2 * BLOCK + 1000
    spans = [Span(0, 70), Span(70, BLOCK + 11, rate=0.5), Span(BLOCK + 100, size - 7, decays=False)]
    rng = np.random.default_rng(2)
    rule = AdamW(0.01, weight_decay=0.1)
    weights, gradient = rng.normal(size=(2, size)).astype(np.float32)
    whole, whole_slots = weights.copy(), [np.zeros(size, np.float32) for _ in rule.slots]
    step_vector(rule, whole, gradient, whole_slots, spans, 1, 0.01, {})
    lanes, lane_slots = weights.copy(), [np.zeros(size, np.float32) for _ in rule.slots]
    coefficients = step_coefficients(rule, spans, 1, 0.01, {})
    scratch = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for a, b in ((0, 33), (33, BLOCK), (BLOCK, BLOCK + 50), (BLOCK + 50, size)):
        update_range(rule, lanes, gradient, lane_slots, spans, (a, b), coefficients, 0.01, scratch)
    np.testing.assert_array_equal(lanes, whole)
    for a, b in zip(lane_slots, whole_slots, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(whole[BLOCK + 11 : BLOCK + 100], weights[BLOCK + 11 : BLOCK + 100])


def test_walk_and_norms_allocate_no_blocks():
    size = 2 * BLOCK
    rule = AdamW(0.01, clipnorm=1.0, global_clipnorm=0.5, clipvalue=0.5)
    weights, gradient, m, v = np.ones((4, size), np.float32)
    spans, scratch = [Span(0, 40), Span(40, size)], (np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32))

    def walk():
        clip_gradients(rule, gradient, spans)
        coefficients = step_coefficients(rule, spans, 1, 0.01, {})
        update_range(rule, weights, gradient, [m, v], spans, (0, size), coefficients, 0.01, scratch)

    walk()
    tracemalloc.start()
    try:
        walk()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4096


def test_merging_joins_neighbours_that_are_treated_alike():
    spans = [Span(0, 5), Span(5, 9), Span(9, 12, rate=0.5), Span(12, 13, rate=0.5, decays=False), Span(20, 30)]
    assert merge_spans(spans) == [
        Span(0, 9),
        Span(9, 12, rate=0.5),
        Span(12, 13, rate=0.5, decays=False),
        Span(20, 30),
    ]
    assert merge_spans([]) == []


def test_memory_advances_once_however_many_rates_there_are():
    one, several = {}, {}
    for step in (1, 2, 3):
        step_coefficients(Nadam(), [Span(0, 1)], step, 0.01, one)
        step_coefficients(Nadam(), [Span(0, 1), Span(1, 2, rate=0.1), Span(2, 3, rate=3.0)], step, 0.01, several)
    assert one == several
    # u_t = 0.9 * (1 - 0.5 * 0.96^t)
    assert one["u_product"] == pytest.approx(0.9**3 * (1 - 0.48) * (1 - 0.4608) * (1 - 0.442368))


def test_nadam_without_memory_finds_its_product_again():
    memory = {}
    for step in (1, 2, 3):
        following = Nadam().coefficients(step, 0.01, memory)
    assert Nadam().coefficients(3, 0.01, {}) == following


def test_slots_are_named_as_in_keras():
    assert SGD().slots == ()
    assert SGD(momentum=0.9).slots == ("momentum",)
    assert Adam().slots == ("momentum", "velocity")
    assert Adam(amsgrad=True).slots == ("momentum", "velocity", "velocity_hat")
    assert RMSprop(momentum=0.9, centered=True).slots == ("velocity", "momentum", "average_gradient")


def test_slots_hold_keras_numbers_after_one_step():
    rule, g = Adam(), np.array([0.5, -2.0], np.float32)
    m, v = np.zeros((2, 2), np.float32)
    step_vector(rule, np.zeros(2, np.float32), g, [m, v], [Span(0, 2)], 1, 0.001, {})
    np.testing.assert_allclose(m, [0.05, -0.2], rtol=1e-6)
    np.testing.assert_allclose(v, [0.00025, 0.004], rtol=1e-6)


def test_optimizer_is_found_by_name_and_by_a_whole_keras_config():
    written_by_keras_3 = {
        "name": "adam",
        "learning_rate": 0.01,
        "weight_decay": None,
        "clipnorm": None,
        "global_clipnorm": None,
        "clipvalue": 0.5,
        "use_ema": False,
        "ema_momentum": 0.99,
        "ema_overwrite_frequency": None,
        "loss_scale_factor": None,
        "gradient_accumulation_steps": None,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-07,
        "amsgrad": False,
    }
    found = optimizer({"class_name": "Adam", "config": written_by_keras_3})
    assert found == Adam(0.01, clipvalue=0.5)
    assert optimizer(found) is found
    assert optimizer("adam") == optimizer("Adam") == Adam()
    assert optimizer("sgd").learning_rate == 0.01


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"class_name": "Adam", "config": {"gradient_accumulation_steps": 4}}, "gradient_accumulation_steps=4 is not"),
        ({"class_name": "Adam", "config": {"rho": 0.9}}, "optimizer Adam: has no option 'rho'; it has amsgrad"),
        ({"class_name": "SGD", "config": {"learning_rate": {"class_name": "MySchedule"}}}, "'MySchedule'"),
        ({"class_name": "SGD", "config": {"learning_rate": -1}}, "optimizer sgd: learning_rate is -1; give a number"),
        ({"class_name": "SGD", "config": {"learning_rate": float("inf")}}, "learning_rate is inf"),
        ({"class_name": "Adam", "config": {"beta_2": 1.0}}, "beta_2 is 1.0; give a number from 0 to below 1"),
        ({"class_name": "Adam", "config": {"clipnorm": 0}}, "clipnorm is 0; give a number above 0"),
    ],
)
def test_unsupported_configs_are_refused_by_name(value, message):
    with pytest.raises(UsageError, match=message):
        optimizer(value)


def test_unknown_optimizer_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match=r"(?i)did you mean 'rmsprop'"):
        optimizer("rmsprob")
