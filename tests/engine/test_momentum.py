"""A momentum that changes from step to step, as a schedule sets it."""

import numpy as np
import pytest

from dltool.engine.executor import Executor
from dltool.engine.losses import loss
from dltool.engine.model import Model
from dltool.engine.optimizers import SGD, Adadelta, Adam, Optimizer, RMSprop
from dltool.engine.reference import ReferenceExecutor
from dltool.engine.stepping import step_vector, with_momentum
from dltool.engine.weights import Span
from tests.engine.networks import batch_for, classic

MOMENTA = (0.95, 0.85, 0.9)


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        # torch 2.13 on (w ** 2).sum() / 2 from (1, -2), momentum (or the first of betas) set before each step.
        (SGD(0.1, momentum=0.9), [0.495, -0.99]),
        (Adam(0.1), [0.7345865295681463, -1.7320156902902872]),
    ],
)
def test_three_steps_are_those_of_torch(optimizer, expected):
    w, slots = np.array([1.0, -2.0]), [np.zeros(2) for _ in optimizer.slots]
    for step, momentum in enumerate(MOMENTA, 1):
        rule = with_momentum(optimizer, momentum)
        step_vector(rule, w, w.copy(), slots, [Span(0, 2, 1.0, True)], step, 0.1, {})
    assert w.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("optimizer", [SGD(0.1), RMSprop(0.1), Adadelta(0.1)])
def test_an_optimizer_without_momentum_gets_none(optimizer: Optimizer):
    assert with_momentum(optimizer, 0.9) is optimizer
    assert with_momentum(SGD(0.1, momentum=0.5), None) == SGD(0.1, momentum=0.5)


def test_lanes_step_with_the_momentum_as_the_reference_does():
    graph, found = classic(), []
    for kind, options in ((Executor, {"jobs": 2, "backend": "threads"}), (ReferenceExecutor, {})):
        model = Model.build(graph, 0)
        rule = SGD(0.1, momentum=0.5)
        losses = (loss("sparse_categorical_crossentropy"),)
        with kind(model, batch_size=8, losses=losses, optimizer=rule, **options) as executor:
            for step, momentum in enumerate(MOMENTA, 1):
                executor.train_step(batch_for(graph, 8), step, 0.05, momentum)
        found.append(model.weights.vector.copy())
    assert np.abs(found[0] - found[1]).max() < 1e-4
