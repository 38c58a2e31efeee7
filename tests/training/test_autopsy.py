"""Runs that diverge for a known reason, and whether the autopsy names it."""

import numpy as np
import pytest

from dltool.engine.executor import Executor
from dltool.engine.layers import Dense
from dltool.engine.optimizers import SGD
from dltool.errors import DivergedError
from dltool.training.autopsy import explained
from dltool.training.callbacks import Events
from dltool.training.loop import train
from dltool.training.objective import make_objective
from dltool.training.run import Run
from tests.training.rows import chain, executor, line, loader


class Notes(Events):
    def __init__(self):
        self.lines = []

    def diverged(self, lines):
        self.lines += lines


def autopsy(model, rows, labels, rate=0.1, fast=False, loss=None):
    """The message of a training that diverges, and the lines about it."""
    objective = make_objective(model, [labels], losses=[loss])
    run, notes = Run(model, 3, rate), Notes()
    engine = executor(model, objective, SGD(rate))
    if fast:
        engine = Executor(model, batch_size=2, losses=objective.losses, optimizer=SGD(rate), jobs=1)
    with engine, pytest.raises(DivergedError) as caught:
        train(engine, rows, objective, run)
    found = explained(caught.value, run, objective, rows.dataset, notes, 0, None)
    return str(found), notes.lines


@pytest.mark.parametrize("fast", [False, True])
def test_a_wild_row_is_named_with_the_layer_that_it_makes_overflow(fast):
    model = chain(1, Dense(3, kernel_initializer="ones", name="first"), Dense(1, kernel_initializer="ones"))
    x = np.array([[1], [2], [3], [4], [2e38], [1]], np.float32)
    message, lines = autopsy(model, loader(x, x), x, rate=1e-9, fast=fast)
    # 3 units of 2e38 each are finite; their sum in the second layer is not (the largest float32 is 3.4e38).
    assert "epoch 1, step 3 of 3 on x.npy[4], x.npy[5]: 1 of 2 outputs of layer 'dense' are not finite" in message
    assert "in 1 of 2 rows: x.npy[4]" in message
    assert lines[0] == "autopsy  epoch 1, step 3 of 3, lr 1e-09"
    # The other row, 1, gives 3 against 1: the loss's derivative is 4, times 1 and 3 units of 1 (and a bias each).
    assert lines[-1] == f"gradient norm of the other 1 rows  first {np.sqrt(6 * 16):.1e}, dense {np.sqrt(4 * 16):.1e}"


@pytest.mark.parametrize("fast", [False, True])
def test_a_rate_that_explodes_leaves_the_weights_before_the_step_that_failed(fast):
    model = chain(1, Dense(1, kernel_initializer="ones", name="first"), Dense(1, kernel_initializer="ones"))
    x, y = line(2, [1, 1, 1, 1])
    message, lines = autopsy(model, loader(x, y), y, rate=1e25, fast=fast)
    # Row 1 gives 1 against 2: both gradients are -2, so every weight is 2e25 after the first step, and 4e50 too much.
    assert "1e+25" in lines[0] and "outputs of layer 'dense' are not finite" in message
    assert message.endswith("whose weights are up to 2.0e+25; use a smaller --lr, as 0.01")
    assert np.abs(model.weights.vector).max() == pytest.approx(2e25)
    assert "weights  up to  first 2.0e+25, dense 2.0e+25" in lines
    assert "in 2 of 2 rows, whose weights" in message


@pytest.mark.parametrize("fast", [False, True])
def test_a_loss_that_needs_probabilities_names_the_end_and_the_rows(fast):
    kernel = [[1.0, 0.0], [0.0, 1.0]]
    model = chain(2, Dense(2, activation="relu", name="end"))
    model.weights.views["end"][0][...] = kernel
    x = np.array([[1, 1], [2, 1], [-1, -1], [1, 1]], np.float32)
    labels = np.array([0, 1, 0, 1])
    message, _ = autopsy(model, loader(x, labels), labels, 1e-6, fast, "sparse_categorical_crossentropy")
    # The third row's outputs are both 0, and no probabilities: 0 / 0.
    assert "step 2 of 2" in message
    assert "sparse_categorical_crossentropy of output 'end' is not finite in 1 of 2 rows: x.npy[2]" in message
    assert "needs probabilities and the layer gives those of relu; end the network with softmax" in message


def test_weights_that_one_step_spoilt_are_named_with_its_rows():
    model = chain(1, Dense(1, kernel_initializer="zeros", name="only"))
    x = np.array([[1], [1], [1e30], [1], [1], [1]], np.float32)
    y = np.array([[0], [0], [1e10], [0], [0], [0]], np.float32)
    message, lines = autopsy(model, loader(x, y), y)
    # The first step changes nothing. In the second the error of 1e10 has a finite square, its gradient
    # 1e10 * 1e30 has no float32.
    assert "step 3 of 3 on x.npy[4], x.npy[5]: the step before on x.npy[2], x.npy[3] left only/kernel not" in message
    assert message.endswith("or give --clip-norm 1")
    assert len(lines) == 2


def test_the_weights_of_the_model_come_back():
    model = chain(1, Dense(1))
    model.weights.vector[...] = 10
    x = np.array([[1], [1e38]], np.float32)
    objective = make_objective(model, [x])
    run = Run(model, 1, 1e-3)
    with pytest.raises(DivergedError) as caught:
        train(executor(model, objective, SGD(1e-3)), loader(x, x), objective, run)
    best = model.weights.vector.copy()
    explained(caught.value, run, objective, loader(x, x).dataset, Events(), 0, best + 1)
    assert np.array_equal(model.weights.vector, best)
