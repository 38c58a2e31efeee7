"""What every registered layer keeps: shapes, derivatives, float types, freezing, config, no hidden randomness."""

import json
from dataclasses import is_dataclass, replace

import numpy as np
import pytest

from dltool.engine.constraints import Constraint
from dltool.engine.initializers import Initializer
from dltool.engine.layers import LAYERS, Call, Layer
from dltool.engine.regularizers import Regularizer
from dltool.engine.streams import Stream

from .layer_cases import CASES

ROWS = 3
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def inputs_of(case, rng, kind=np.float64):
    if case.integers:
        return rng.integers(case.integers, size=(ROWS, *case.shapes[0])).astype(kind)
    arrays = tuple(rng.normal(size=(ROWS, *shape)).astype(kind) for shape in case.shapes)
    arrays = tuple(np.abs(array) + kind(0.5) for array in arrays) if case.positive else arrays
    return arrays if case.joins else arrays[0]


def weights_of(case, rng, kind=np.float64):
    """Random weights; what is named a variance is positive."""
    specs = case.layer.weight_specs(case.shape)
    arrays = [rng.normal(size=spec.shape) for spec in specs]
    return tuple(
        np.asarray(np.abs(w) + 0.5 if "variance" in spec.name else w, kind)
        for w, spec in zip(arrays, specs, strict=True)
    )


def training_call():
    """A call in training; two of them draw the same random numbers."""
    return Call(training=True, stream=Stream(seed=5, step=7, node=2))


def parts(x):
    return x if isinstance(x, tuple) else (x,)


def shifted(x, direction, step):
    moved = tuple(a + step * d for a, d in zip(parts(x), parts(direction), strict=True))
    return moved if isinstance(x, tuple) else moved[0]


def test_every_layer_has_a_case():
    without = set(LAYERS) - {type(case.layer).__name__ for case in CASES}
    assert not without, f"add a case to layer_cases.py for: {', '.join(sorted(without))}"


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_layers_are_frozen_dataclasses_named_as_in_keras(name):
    layer = LAYERS.get(name)
    assert is_dataclass(layer) and layer.__dataclass_params__.frozen
    assert layer.__name__ == name
    assert layer.__doc__ and not layer.__doc__.startswith(f"{name}("), "write what the layer is for"


@every_case
@pytest.mark.parametrize("training", [True, False])
def test_output_has_the_promised_shape(case, training):
    rng = np.random.default_rng(0)
    x, weights = inputs_of(case, rng), weights_of(case, rng)
    y, _ = case.layer.forward(x, weights, training_call() if training else Call())
    assert y.shape == (ROWS, *case.layer.output_shape(case.shape))


@every_case
def test_initial_weights_have_the_promised_shapes(case):
    for spec in case.layer.weight_specs(case.shape):
        values = spec.initializer(spec.shape, np.random.default_rng(0))
        assert values.shape == spec.shape and values.dtype == np.float32


@every_case
@pytest.mark.parametrize("training", [True, False])
def test_gradients_match_differences(case, training):
    """A directional derivative by the way back equals the central difference, for every input and weight."""
    rng = np.random.default_rng(1)
    x, weights = inputs_of(case, rng), weights_of(case, rng)

    def run(x, weights):
        return case.layer.forward(x, weights, training_call() if training else Call())

    y, backward = run(x, weights)
    dy = rng.normal(size=y.shape)
    dx, dweights = backward(dy)
    assert len(dweights) == len(weights)
    step = 1e-6

    def check(slope, up, down):
        numeric = (dy * (run(*up)[0] - run(*down)[0])).sum() / (2 * step)
        assert slope == pytest.approx(numeric, rel=1e-6, abs=1e-7)

    direction = tuple(rng.normal(size=part.shape) for part in parts(x))
    direction = direction if isinstance(x, tuple) else direction[0]
    assert [d.shape for d in parts(dx)] == [p.shape for p in parts(x)]
    slope = sum((d * u).sum() for d, u in zip(parts(dx), parts(direction), strict=True))
    check(slope, (shifted(x, direction, step), weights), (shifted(x, direction, -step), weights))

    for index, spec in enumerate(case.layer.weight_specs(case.shape)):
        if not spec.trainable:
            assert dweights[index] is None
            continue
        assert dweights[index].shape == spec.shape
        way = rng.normal(size=spec.shape)
        up, down = (
            (x, (*weights[:index], weights[index] + sign * step * way, *weights[index + 1 :])) for sign in (1, -1)
        )
        check((dweights[index] * way).sum(), up, down)


@every_case
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("training", [True, False])
def test_float_type_is_kept(case, kind, training):
    rng = np.random.default_rng(2)
    call = training_call() if training else Call()
    y, backward = case.layer.forward(inputs_of(case, rng, kind), weights_of(case, rng, kind), call)
    dx, dweights = backward(np.ones(y.shape, kind))
    found = [y, *parts(dx), *(d for d in dweights if d is not None), *call.updates.values()]
    assert {part.dtype for part in found} == {np.dtype(kind)}


@every_case
def test_nothing_that_was_passed_in_is_changed(case):
    rng = np.random.default_rng(3)
    x, weights = inputs_of(case, rng), weights_of(case, rng)
    before = [part.copy() for part in (*parts(x), *weights)]
    y, backward = case.layer.forward(x, weights, training_call())
    dy = rng.normal(size=y.shape)
    dy_before = dy.copy()
    backward(dy)
    for now, then in zip((*parts(x), *weights, dy), (*before, dy_before), strict=True):
        np.testing.assert_array_equal(now, then)


@every_case
def test_rows_do_not_depend_on_each_other_at_inference(case):
    rng = np.random.default_rng(4)
    x, weights = inputs_of(case, rng), weights_of(case, rng)
    together, _ = case.layer.forward(x, weights, Call())
    for row in range(ROWS):
        single = tuple(part[row : row + 1] for part in parts(x))
        alone, _ = case.layer.forward(single if case.joins else single[0], weights, Call())
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", [case for case in CASES if not case.layer.couples_batch], ids=str)
def test_rows_do_not_depend_on_each_other_in_training_unless_declared(case):
    rng = np.random.default_rng(5)
    x, weights = inputs_of(case, rng), weights_of(case, rng)
    together, _ = case.layer.forward(x, weights, training_call())
    first = tuple(part[:1] for part in parts(x))
    alone, _ = case.layer.forward(first if case.joins else first[0], weights, training_call())
    np.testing.assert_allclose(alone[0], together[0], rtol=1e-12, atol=1e-12)


@every_case
def test_frozen_layer_moves_no_statistics(case):
    rng = np.random.default_rng(6)
    x, weights = inputs_of(case, rng), weights_of(case, rng)
    call = training_call()
    frozen = replace(case.layer, trainable=False)
    y, _ = frozen.forward(x, weights, call)
    assert call.updates == {}
    if not case.layer.is_random:
        np.testing.assert_array_equal(y, case.layer.forward(x, weights, Call())[0])


@every_case
def test_updates_are_statistics_of_the_same_shape(case):
    rng = np.random.default_rng(7)
    call = training_call()
    case.layer.forward(inputs_of(case, rng), weights_of(case, rng), call)
    specs = case.layer.weight_specs(case.shape)
    for index, value in call.updates.items():
        assert not specs[index].trainable and value.shape == specs[index].shape


@every_case
def test_random_layers_say_so(case):
    """Without ``is_random`` no stream may be needed in training."""
    rng = np.random.default_rng(8)
    if not case.layer.is_random:
        case.layer.forward(inputs_of(case, rng), weights_of(case, rng), Call(training=True))


@every_case
def test_config_round_trip(case):
    layer = replace(case.layer, name="some_name", trainable=False)
    config = layer.config()
    assert list(config)[:2] == ["name", "trainable"]
    assert type(layer)(**config) == layer
    hash(layer)


@every_case
def test_config_survives_json(case):
    """Tuples become lists, initializers and regularizers Keras dicts: the layer comes back equal."""

    def plain(value):
        if isinstance(value, Initializer):
            return {"class_name": type(value).__name__, "config": value.config()}
        if isinstance(value, Layer):
            return {"class_name": type(value).__name__, "config": value.config()}
        if isinstance(value, Constraint):
            return {"class_name": type(value).__name__, "config": value.config()}
        if isinstance(value, Regularizer):
            return {"class_name": "L1L2", "config": {"l1": value.l1, "l2": value.l2}}
        raise TypeError(type(value))

    config = json.loads(json.dumps(case.layer.config(), default=plain))
    assert type(case.layer)(**config) == case.layer
