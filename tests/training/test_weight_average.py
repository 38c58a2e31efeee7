"""The running average of the weights, by hand."""

import numpy as np
import pytest

from dltool.engine.layers import Dense
from dltool.engine.optimizers import SGD
from dltool.training.callbacks import BestWeights, Callback, Monitor
from dltool.training.loop import train
from dltool.training.objective import make_objective
from dltool.training.run import Run
from dltool.training.weight_average import WeightAverage
from tests.training.rows import chain, executor, line, loader


class Weights(Callback):
    """The weight after each step, and during the validation."""

    def __init__(self):
        self.seen, self.measured = [], []

    def batch_end(self, run):
        self.seen.append(float(run.model.weights.vector[0]))

    def test_batch_end(self, run):
        self.measured.append(float(run.model.weights.vector[0]))


def trained(decay: float, epochs: int = 2):
    model = chain(1, Dense(1, use_bias=False, kernel_initializer="zeros"))
    x, y = line(2, [1, 2, 3, 4])
    objective = make_objective(model, [y])
    average, weights = WeightAverage(decay, model.weights.vector), Weights()
    best = BestWeights(Monitor("val_loss"))
    run = Run(model, epochs, 0.01)
    callbacks = [best, average, weights]
    train(executor(model, objective, SGD(0.01)), loader(x, y), objective, run, callbacks, loader(x, y))
    return run, average, weights, best


def test_it_follows_its_formula_with_a_warm_up():
    _, average, weights, _ = trained(0.25)
    expected = 0.0
    for step, weight in enumerate(weights.seen, 1):
        decay = min(0.25, (1 + step) / (10 + step))  # 2/11, 3/12, then 0.25
        expected = decay * expected + (1 - decay) * weight
    assert len(weights.seen) == 4
    assert average.average[0] == pytest.approx(expected, rel=1e-6)


def test_the_average_is_measured_and_kept_and_training_goes_on_from_the_weights():
    run, average, weights, best = trained(0.5)
    assert weights.measured[-1] == pytest.approx(average.average[0], rel=1e-6)
    assert weights.measured[-1] != weights.seen[-1]
    assert best.vector[0] == average.average[0] == run.model.weights.vector[0]
    assert best.last[0] == pytest.approx(weights.seen[-1])
    plain, *_ = trained(0.0)
    assert plain.model.weights.vector[0] == pytest.approx(weights.seen[-1])  # decay 0: the weights themselves


def test_its_count_goes_through_a_file():
    _, average, _, _ = trained(0.9)
    other = WeightAverage(0.9, np.zeros(1, np.float32))
    other.restore(average.state())
    assert other.steps == 4
