"""The fast executor against the plain one, its bits across lanes, and what it allocates."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from dltool.engine.batch import Batch
from dltool.engine.executor import Executor
from dltool.engine.graph import GraphBuilder
from dltool.engine.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalMaxPooling2D,
    InputLayer,
    RandomHeight,
    RandomWidth,
)
from dltool.engine.losses import loss
from dltool.engine.model import Model
from dltool.engine.optimizers import optimizer
from dltool.engine.reference import ReferenceExecutor
from dltool.errors import UsageError
from tests.contracts.layer_cases import CASES, Case
from tests.engine.networks import NETWORKS, batch_for, classic, normalized, perceptron, residual

CROSSENTROPY = (loss("sparse_categorical_crossentropy"),)


def run(executor_class, graph, batches, *, losses=CROSSENTROPY, rule="adam", rate=1e-3, **options):
    """Losses, gradients, predictions, inference outputs and final weights of a few steps."""
    model = Model.build(graph, seed=1)
    rows = max(len(batch) for batch in batches)
    with executor_class(
        model, batch_size=rows, losses=losses, optimizer=optimizer(rule), seed=3, **options
    ) as executor:
        values, gradients, predictions = [], [], []
        for step, batch in enumerate(batches, 1):
            values.append(executor.train_step(batch, step, rate))
            gradients.append(model.weights.gradient.copy())
            predictions.append(tuple(p.copy() for p in executor.predictions))
        outputs = executor.forward(batches[0].inputs)
    return values, gradients, predictions, outputs, model.weights.vector.copy()


def assert_close(found, expected, tolerance=1e-5):
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    assert np.abs(np.asarray(found) - expected).max(initial=0) <= tolerance * scale


def cut(batch: Batch, rows: int) -> Batch:
    return Batch(tuple(x[:rows] for x in batch.inputs), tuple(y[:rows] for y in batch.targets))


@pytest.mark.parametrize("name", NETWORKS)
def test_training_equals_the_reference_also_for_a_smaller_last_batch(name):
    graph = NETWORKS[name]()
    batch = batch_for(graph, 20)
    batches = [batch, cut(batch, 6), batch]
    expected = run(ReferenceExecutor, graph, batches, rule="sgd", rate=0.01)
    found = run(Executor, graph, batches, rule="sgd", rate=0.01, jobs=1)
    assert_close(found[0], expected[0])
    for a, b in zip(found[1], expected[1], strict=True):
        assert np.abs(a - b).max() <= 1e-4 * np.abs(b).max()
    for a, b in zip(found[2], expected[2], strict=True):
        assert_close(a[0], b[0])
    assert_close(found[3][0], expected[3][0])
    assert_close(found[4], expected[4])


def network_around(case: Case):
    """The case's layer behind a dense layer per input (so that its dx matters) and before a small linear head."""
    b = GraphBuilder()
    inputs = [b.input(shape) for shape in case.shapes]
    kind = "exponential" if case.positive else "linear"
    before = inputs if case.integers else [b.add(Dense(b.nodes[x].layer.shape[-1], kind), x) for x in inputs]
    x = b.add(Flatten(), b.add(case.layer, *before))
    return b.graph(b.add(Dense(3), x))


def layer_cases():
    trained = [case for case in CASES if not case.layer.refuses_training]
    return [case for case in trained if not isinstance(case.layer, InputLayer) and all(case.shapes)]


@pytest.mark.parametrize("layer", [RandomHeight(0.2), RandomWidth((0.1, 0.3))], ids=["height", "width"])
def test_layers_that_change_the_size_of_images_in_training_predict_and_are_not_trained(layer):
    b = GraphBuilder()
    x = b.add(layer, b.input((4, 3, 2)))
    graph = b.graph(b.add(Dense(2), b.add(GlobalMaxPooling2D(), x)))
    batch = batch_for(graph, 3, classes=2)
    with Executor(Model.build(graph), batch_size=3) as executor:
        assert executor.forward(batch.inputs)[0].shape == (3, 2)
    with pytest.raises(UsageError, match=r"layer 'random_(height|width)' .*train with --augment zoom=0.2 instead"):
        run(Executor, graph, [batch])
    b.nodes[x] = replace(b.nodes[x], inference=True)
    run(Executor, b.graph(len(b.nodes) - 1), [batch])


@pytest.mark.parametrize("case", layer_cases(), ids=str)
def test_every_layer_runs_like_its_reference(case):
    graph = network_around(case)
    random = np.random.default_rng(5)
    inputs = tuple(random.standard_normal((11, *shape), dtype=np.float32) for shape in case.shapes)
    if case.integers:
        inputs = tuple(np.floor(np.abs(x * case.integers)) % case.integers for x in inputs)
    batch = Batch(inputs, (random.standard_normal((11, 3), dtype=np.float32),))
    mse = (loss("mean_squared_error"),)
    expected = run(ReferenceExecutor, graph, [batch, cut(batch, 5)], losses=mse, rule="sgd", rate=0.0)
    found = run(Executor, graph, [batch, cut(batch, 5)], losses=mse, rule="sgd", rate=0.0, jobs=1)
    assert_close(found[0], expected[0])
    for a, b in zip(found[1], expected[1], strict=True):
        assert_close(a, b)
    assert_close(found[3][0], expected[3][0])


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_bits_come_out_of_any_number_of_lanes(name):
    graph = NETWORKS[name]()
    batch = batch_for(graph, 20)
    batches = [batch, cut(batch, 6), batch]
    alone = run(Executor, graph, batches, jobs=1)
    for jobs, backend in ((2, "threads"), (3, "threads"), (4, "threads"), (2, "processes"), (3, "processes")):
        found = run(Executor, graph, batches, jobs=jobs, backend=backend)
        assert found[0] == alone[0], (jobs, backend)
        assert found[4].tobytes() == alone[4].tobytes(), (jobs, backend)
        assert found[3][0].tobytes() == alone[3][0].tobytes(), (jobs, backend)


def test_the_same_run_twice_gives_the_same_bits():
    graph = classic()
    batches = [batch_for(graph, 20, seed=s) for s in range(3)]
    first, second = (run(Executor, graph, batches, jobs=2, backend="threads") for _ in range(2))
    assert first[4].tobytes() == second[4].tobytes()


@pytest.mark.parametrize("build", [perceptron, classic, normalized, residual])
def test_nothing_above_4_kb_is_allocated_in_the_steady_state(build):
    """numpy reports its blocks to tracemalloc, so a step's peak shows what it allocated.

    A ufunc may hold three buffers of 4 kB at once; any array of a batch here would be larger than the limit.
    """
    graph = build()
    batch = batch_for(graph, 64)
    model = Model.build(graph)
    with Executor(model, batch_size=64, losses=CROSSENTROPY, optimizer=optimizer("adam"), jobs=1) as executor:
        for step in (1, 2):
            executor.train_step(batch, step, 1e-3)
        tracemalloc.start()
        try:
            executor.train_step(batch, 3, 1e-3)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            executor.train_step(batch, 4, 1e-3)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak - before < 4 * 4096


def test_frozen_layers_keep_their_weights_and_frozen_normalisation_its_statistics():
    b = GraphBuilder()
    x = b.add(Conv2D(4, 3, trainable=False, name="conv"), b.input((6, 6, 2)))
    x = b.add(BatchNormalization(trainable=False, name="bn"), x)
    x = b.add(Dense(3, activation="softmax", name="head"), b.add(Flatten(), x))
    graph = b.graph(x)
    model = Model.build(graph)
    before = {name: [w.copy() for w in views] for name, views in model.weights.views.items()}
    with Executor(model, batch_size=8, losses=CROSSENTROPY, optimizer=optimizer("adam"), jobs=1) as executor:
        executor.train_step(batch_for(graph, 8, classes=3), 1, 0.1)
    for name in ("conv", "bn"):
        for now, then in zip(model.weights.views[name], before[name], strict=True):
            assert np.array_equal(now, then)
    assert not np.array_equal(model.weights.views["head"][0], before["head"][0])


def test_uint8_images_train_like_the_same_numbers_as_floats():
    graph = classic()
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (20, 12, 12, 3)).astype(np.uint8)
    labels = random.integers(0, 10, 20)
    as_bytes = run(Executor, graph, [Batch((pixels,), (labels,))], jobs=1)
    as_floats = run(Executor, graph, [Batch((pixels.astype(np.float32),), (labels,))], jobs=1)
    assert as_bytes[4].tobytes() == as_floats[4].tobytes()


def test_forward_takes_any_number_of_rows():
    graph = perceptron()
    model = Model.build(graph)
    inputs = batch_for(graph, 37).inputs
    with Executor(model, batch_size=16, jobs=1) as small, ReferenceExecutor(model, batch_size=64) as plain:
        assert_close(small.forward(inputs)[0], plain.forward(inputs)[0])
        assert small.forward((inputs[0][:0],))[0].shape == (0, 10)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rows", [1, 3])
def test_small_batches_are_cut_into_bands_of_image_rows(name, rows):
    graph = NETWORKS[name]()
    model = Model.build(graph, seed=2)
    inputs = batch_for(graph, rows).inputs
    with ReferenceExecutor(model, batch_size=rows) as plain:
        expected = plain.forward(inputs)[0]
    found = []
    for jobs in (1, 2, 3):
        with Executor(model, batch_size=rows, jobs=jobs, backend="threads") as executor:
            found.append(executor.forward(inputs)[0])
    assert_close(found[0], expected)
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


@pytest.mark.parametrize("case", layer_cases(), ids=str)
def test_every_layer_runs_in_bands_like_its_reference(case):
    graph = network_around(case)
    model = Model.build(graph, seed=1)
    random = np.random.default_rng(5)
    inputs = tuple(random.standard_normal((2, *shape), dtype=np.float32) for shape in case.shapes)
    with Executor(model, batch_size=2, jobs=1) as executor, ReferenceExecutor(model, batch_size=2) as plain:
        assert_close(executor.forward(inputs)[0], plain.forward(inputs)[0])


def test_sample_weights_scale_rows_as_in_the_reference():
    graph = perceptron()
    batch = batch_for(graph, 12)
    weights = np.linspace(0, 2, 12).astype(np.float32)
    weighted = Batch(batch.inputs, batch.targets, weights)
    expected = run(ReferenceExecutor, graph, [weighted], rule="sgd")
    found = run(Executor, graph, [weighted], rule="sgd", jobs=1)
    assert_close(found[0], expected[0])
    assert_close(found[1][0], expected[1][0])


@pytest.mark.parametrize("rule", ["sgd", "adam", "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "adamw"])
def test_every_optimizer_steps_as_in_the_reference(rule):
    graph = perceptron()
    batches = [batch_for(graph, 12, seed=s) for s in range(3)]
    expected = run(ReferenceExecutor, graph, batches, rule=rule, rate=0.01)
    found = run(Executor, graph, batches, rule=rule, rate=0.01, jobs=2, backend="threads")
    assert np.abs(found[4] - expected[4]).max() < 1e-3  # Adam's first steps divide noise by noise
    assert np.median(np.abs(found[4] - expected[4])) < 1e-7


def test_clipping_works_on_the_whole_gradient():
    graph = perceptron()
    batch = batch_for(graph, 12)
    for rule in (
        {"class_name": "SGD", "config": {"learning_rate": 0.1, "global_clipnorm": 0.05}},
        {"class_name": "SGD", "config": {"learning_rate": 0.1, "clipnorm": 0.01}},
        {"class_name": "SGD", "config": {"learning_rate": 0.1, "clipvalue": 0.001}},
    ):
        expected = run(ReferenceExecutor, graph, [batch, batch], rule=rule, rate=0.1)
        found = run(Executor, graph, [batch, batch], rule=rule, rate=0.1, jobs=3, backend="threads")
        assert_close(found[4], expected[4], 1e-6)


def test_dropout_differs_between_steps_and_repeats_for_a_step():
    b = GraphBuilder()
    graph = b.graph(b.add(Dropout(0.5), b.add(Dense(16), b.input((8,)))))
    batch = Batch((np.ones((4, 8), np.float32),), (np.zeros((4, 16), np.float32),))
    model = Model.build(graph)
    with Executor(model, batch_size=4, losses=(loss("mse"),), optimizer=optimizer("sgd"), jobs=1) as executor:
        seen = []
        for step in (1, 2, 1):
            executor.train_step(batch, step, 0.0)
            seen.append(executor.predictions[0].copy())
    assert not np.array_equal(seen[0], seen[1])
    assert np.array_equal(seen[0], seen[2])


def test_an_unknown_size_is_refused_by_the_layers_name():
    b = GraphBuilder()
    graph = b.graph(b.add(Conv2D(2, 3, name="stem"), b.input((None, None, 3), name="photo")))
    with pytest.raises(UsageError, match="layer 'photo': its size is not fixed"):
        Executor(Model.build(graph), batch_size=4, jobs=1)


@pytest.mark.parametrize("jobs", [1, 2])
def test_forward_sees_new_weights_unless_told_that_they_are_the_same(jobs):
    graph = normalized()
    batch = batch_for(graph, 12)
    model = Model.build(graph, seed=1)
    with Executor(model, batch_size=5, jobs=jobs) as executor, ReferenceExecutor(model, batch_size=12) as plain:
        before = executor.forward(batch.inputs)[0]
        assert np.array_equal(executor.forward(batch.inputs, same_weights=True)[0], before)
        model.weights.vector[...] *= np.float32(0.5)
        assert_close(executor.forward(batch.inputs)[0], plain.forward(batch.inputs)[0])
