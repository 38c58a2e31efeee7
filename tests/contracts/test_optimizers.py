"""What every registered optimizer must do. One without a case here fails ``test_every_optimizer_has_a_case``.

The expected weights come from the textbook rules below, written plainly in float64 on whole vectors.
"""

import json
import tracemalloc

import numpy as np
import pytest

from dltool.engine.optimizers import (
    OPTIMIZERS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lion,
    Nadam,
    RMSprop,
    optimizer,
)
from dltool.engine.stepping import step_vector, update_range
from dltool.engine.weights import Span

STEPS = 4


def sgd(o):
    v = 0.0

    def rule(t, w, g):
        nonlocal v
        v = o.momentum * v - o.learning_rate * g
        return w + (o.momentum * v - o.learning_rate * g if o.nesterov else v)

    return rule


def rmsprop(o):
    v = average = increment = 0.0

    def rule(t, w, g):
        nonlocal v, average, increment
        v = o.rho * v + (1 - o.rho) * g**2
        average = o.rho * average + (1 - o.rho) * g
        spread = v - average**2 if o.centered else v
        outside = o.legacy and not o.momentum and not o.centered
        root = np.sqrt(spread) + o.epsilon if outside else np.sqrt(spread + o.epsilon)
        increment = o.momentum * increment + o.learning_rate * g / root
        return w - increment

    return rule


def adagrad(o):
    a = o.initial_accumulator_value

    def rule(t, w, g):
        nonlocal a
        a = a + g**2
        return w - o.learning_rate * g / np.sqrt(a + o.epsilon)

    return rule


def adadelta(o):
    a = d = 0.0

    def rule(t, w, g):
        nonlocal a, d
        a = o.rho * a + (1 - o.rho) * g**2
        u = np.sqrt(d + o.epsilon) / np.sqrt(a + o.epsilon) * g
        d = o.rho * d + (1 - o.rho) * u**2
        return w - o.learning_rate * u

    return rule


def adam(o):
    m = v = largest = 0.0

    def rule(t, w, g):
        nonlocal m, v, largest
        m = o.beta_1 * m + (1 - o.beta_1) * g
        v = o.beta_2 * v + (1 - o.beta_2) * g**2
        largest = np.maximum(largest, v)
        rate = o.learning_rate * np.sqrt(1 - o.beta_2**t) / (1 - o.beta_1**t)
        return w - rate * m / (np.sqrt(largest if o.amsgrad else v) + o.epsilon)

    return rule


def adamax(o):
    m = u = 0.0

    def rule(t, w, g):
        nonlocal m, u
        m = o.beta_1 * m + (1 - o.beta_1) * g
        u = np.maximum(o.beta_2 * u, np.abs(g))
        return w - o.learning_rate / (1 - o.beta_1**t) * m / (u + o.epsilon)

    return rule


def nadam(o):
    m = v = 0.0
    product = 1.0

    def momentum(t):
        return o.beta_1 * (1 - 0.5 * 0.96 ** (0.004 * t if o.legacy else t))

    def rule(t, w, g):
        nonlocal m, v, product
        m = o.beta_1 * m + (1 - o.beta_1) * g
        v = o.beta_2 * v + (1 - o.beta_2) * g**2
        product *= momentum(t)
        m_hat = momentum(t + 1) * m / (1 - product * momentum(t + 1)) + (1 - momentum(t)) * g / (1 - product)
        return w - o.learning_rate * m_hat / (np.sqrt(v / (1 - o.beta_2**t)) + o.epsilon)

    return rule


def ftrl(o):
    a, z = o.initial_accumulator_value, 0.0

    def rule(t, w, g):
        nonlocal a, z
        power, rate = -o.learning_rate_power, o.learning_rate
        n = a + g**2
        z = z + g + 2 * o.l2_shrinkage_regularization_strength * w - (n**power - a**power) / rate * w
        a = n
        l1, l2 = o.l1_regularization_strength, o.l2_regularization_strength + o.beta / (2 * rate)
        return (np.clip(z, -l1, l1) - z) / (n**power / rate + 2 * l2)

    return rule


def lion(o):
    m = 0.0

    def rule(t, w, g):
        nonlocal m
        moved = w - o.learning_rate * np.sign(o.beta_1 * m + (1 - o.beta_1) * g)
        m = o.beta_2 * m + (1 - o.beta_2) * g
        return moved

    return rule


CASES = [
    (SGD(0.1), sgd),
    (SGD(0.1, momentum=0.9), sgd),
    (SGD(0.1, momentum=0.8, nesterov=True), sgd),
    (RMSprop(0.01), rmsprop),
    (RMSprop(0.01, legacy=True, epsilon=0.01), rmsprop),
    (RMSprop(0.01, momentum=0.5, epsilon=0.01, legacy=True), rmsprop),
    (RMSprop(0.01, centered=True, rho=0.8, epsilon=1e-3), rmsprop),
    (RMSprop(0.01, centered=True, momentum=0.5, epsilon=1e-3), rmsprop),
    (Adagrad(0.1), adagrad),
    (Adagrad(0.1, initial_accumulator_value=0.5, epsilon=0.01), adagrad),
    (Adadelta(1.0), adadelta),
    (Adam(0.01), adam),
    (Adam(0.01, amsgrad=True, beta_2=0.5), adam),
    (AdamW(0.01, weight_decay=0.0), adam),
    (Adamax(0.01), adamax),
    (Nadam(0.01), nadam),
    (Nadam(0.01, legacy=True), nadam),
    (Ftrl(0.1), ftrl),
    (
        Ftrl(
            0.1,
            l1_regularization_strength=0.01,
            l2_regularization_strength=0.02,
            l2_shrinkage_regularization_strength=0.1,
            beta=0.2,
            learning_rate_power=-0.6,
        ),
        ftrl,
    ),
    (Lion(0.01), lion),
]
every_case = pytest.mark.parametrize(("rule", "textbook"), CASES, ids=lambda v: str(getattr(v, "name", "")))


def start(rule, size, kind=np.float32):
    rng = np.random.default_rng(11)
    weights = rng.normal(size=size).astype(kind)
    gradients = rng.normal(size=(STEPS, size)).astype(kind)
    return weights, gradients, [np.full(size, rule.slot_start(name), kind) for name in rule.slots]


def test_every_optimizer_has_a_case():
    assert {rule.name for rule, _ in CASES} == set(OPTIMIZERS.names())


@every_case
def test_steps_follow_the_textbook(rule, textbook):
    w, gradients, slots = start(rule, 50, np.float64)
    expected, formula, memory = w.copy(), textbook(rule), {}
    for t, g in enumerate(gradients, 1):
        expected = formula(t, expected, g)
        before = g.copy()
        scratch = np.empty_like(w), np.empty_like(w)
        rule.update(w, g, tuple(slots), scratch, rule.coefficients(t, rule.learning_rate, memory))
        np.testing.assert_array_equal(g, before)
        # The scalars are float32: 6e-8 relative each.
        np.testing.assert_allclose(w, expected, rtol=0, atol=2e-6)


@every_case
def test_float32_follows_the_textbook(rule, textbook):
    w, gradients, slots = start(rule, 50)
    expected, formula, memory = w.astype(np.float64), textbook(rule), {}
    for t, g in enumerate(gradients, 1):
        expected = formula(t, expected, g.astype(np.float64))
        step_vector(rule, w, g, slots, [Span(0, 50)], t, rule.learning_rate, memory)
    assert w.dtype == np.float32 and all(s.dtype == np.float32 for s in slots)
    np.testing.assert_allclose(w, expected, rtol=0, atol=1e-5)


@every_case
def test_any_cut_into_blocks_gives_the_same_bits(rule, textbook):
    size = 1001
    whole, gradients, whole_slots = start(rule, size)
    parts, parts_slots = whole.copy(), [s.copy() for s in whole_slots]
    scratch = np.empty(size, np.float32), np.empty(size, np.float32)
    memory = {}
    for t, g in enumerate(gradients, 1):
        c = rule.coefficients(t, rule.learning_rate, memory)
        rule.update(whole, g, tuple(whole_slots), scratch, c)
        for a, b in ((0, 1), (1, 130), (130, 997), (997, size)):
            spans = [Span(0, 600), Span(600, size)]
            update_range(rule, parts, g, parts_slots, spans, (a, b), {1.0: c}, rule.learning_rate, scratch)
    np.testing.assert_array_equal(parts, whole)
    for a, b in zip(parts_slots, whole_slots, strict=True):
        np.testing.assert_array_equal(a, b)


@every_case
def test_update_allocates_nothing(rule, textbook):
    w, gradients, slots = start(rule, 20000)
    scratch = np.empty_like(w), np.empty_like(w)
    c = rule.coefficients(1, rule.learning_rate, {})
    rule.update(w, gradients[0], tuple(slots), scratch, c)
    tracemalloc.start()
    try:
        rule.update(w, gradients[1], tuple(slots), scratch, c)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4096


@every_case
def test_coefficients_are_float32_so_that_blocks_stay_float32(rule, textbook):
    assert all(type(c) is np.float32 for c in rule.coefficients(3, 0.01, {}))


@every_case
def test_a_rate_of_zero_moves_no_weight(rule, textbook):
    w, gradients, slots = start(rule, 20)
    before = w.copy()
    step_vector(rule, w, gradients[0], slots, [Span(0, 20)], 1, 0.0, {})
    np.testing.assert_array_equal(w, before)


@every_case
def test_config_round_trip_through_json(rule, textbook):
    written = json.loads(json.dumps({"class_name": rule.keras_class, "config": rule.config()}))
    assert optimizer(written) == rule
