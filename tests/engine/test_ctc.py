"""CTC: Keras's numbers, what cannot be, and decoding against a count of all ways."""

from collections import defaultdict
from itertools import product

import numpy as np
import pytest

from dltool.engine.batch import Batch
from dltool.engine.executor import Executor
from dltool.engine.graph import GraphBuilder
from dltool.engine.layers import Dense
from dltool.engine.losses import CTC, beam_decode, greedy_decode
from dltool.engine.model import Model
from dltool.engine.optimizers import SGD
from dltool.engine.reference import ReferenceExecutor
from dltool.errors import DataError

LOGITS = np.float32(
    [
        [[0.5, 1, -0.5], [0, 2, 0.3], [1, 0, 0.2], [0.1, -0.3, 1.5]],
        [[0, 1, 2], [2, 1, 0], [0, 1, 0], [0.5, 0.5, 0]],
    ]
)


def test_values_and_gradients_are_those_of_keras():
    """Recorded from keras.losses.ctc of Keras 3.15 on TensorFlow; the gradient of the first row's first two steps."""
    values, gradient = CTC()(np.array([[1, 2], [2, 0]]), LOGITS)
    np.testing.assert_allclose(values, [0.57370472, 2.79404736], rtol=1e-6)
    expected = [[-0.01260686, -0.1093449, 0.12195164], [0.03345259, -0.12978208, 0.09632957]]
    np.testing.assert_allclose(gradient[0, :2], expected, atol=1e-6)
    np.testing.assert_allclose(gradient.sum(-1), 0, atol=1e-6)


def test_an_empty_label_wants_blanks_everywhere():
    values, _ = CTC()(np.zeros((2, 3)), LOGITS)
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    np.testing.assert_allclose(values, -np.log(p[..., 0]).sum(-1), rtol=1e-6)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[1, 1, 1], [0, 0, 0]], "a label of 3 symbols does not fit 4 steps; equal neighbours need a step between"),
        ([[1, 3, 0], [0, 0, 0]], "label symbol 3 has no output; symbols go from 1 to 2"),
        ([[1, -1, 0], [0, 0, 0]], "label symbol -1 has no output"),
        ([1, 2], r"labels of shape \(2,\) do not fit outputs of shape \(2, 4, 3\)"),
    ],
)
def test_labels_that_cannot_be_are_refused(labels, message):
    with pytest.raises(DataError, match=message):
        CTC()(np.array(labels), LOGITS)


def label_of(path):
    kept = [c for before, c in zip((0, *path), path, strict=False) if c != before]
    return tuple(c for c in kept if c)


def test_the_beam_finds_the_label_with_the_most_probable_ways():
    p = np.random.default_rng(3).dirichlet([1, 1, 1], size=(4, 5))
    for row, found in zip(p, beam_decode(p), strict=True):
        ways = defaultdict(float)
        for path in product(range(3), repeat=5):
            ways[label_of(path)] += np.prod([row[t, c] for t, c in enumerate(path)])
        assert tuple(found) == max(ways, key=ways.get)


def test_greedy_decoding_takes_out_repeats_and_blanks():
    path = np.array([[1, 1, 0, 1, 2, 2, 0]])
    assert greedy_decode(np.eye(3)[path]) == [[1, 1, 2]]
    assert label_of(path[0]) == (1, 1, 2)


@pytest.mark.parametrize("executor_class", [ReferenceExecutor, Executor])
def test_a_network_learns_labels_that_are_shorter_than_its_output(executor_class):
    b = GraphBuilder()
    model = Model.build(b.graph(b.add(Dense(4), b.input((6, 5)))), seed=1)
    x = np.random.default_rng(0).normal(size=(4, 6, 5)).astype(np.float32)
    batch = Batch((x,), (np.array([[1, 2], [3, 0], [2, 2], [1, 3]]),))
    with executor_class(model, batch_size=4, losses=(CTC(),), optimizer=SGD(0.5), jobs=1) as executor:
        losses = [executor.train_step(batch, step, 0.5) for step in range(1, 40)]
    assert losses[0] == pytest.approx(float(CTC()(batch.targets[0], x @ start(model))[0].mean()), rel=1e-5)
    assert losses[-1] < losses[0] / 4


def start(model):
    """The kernel before training: the same seed builds the same numbers."""
    return Model.build(model.graph, seed=1).weights.views["dense"][0]
