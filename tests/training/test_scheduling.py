"""Who sets the rate while a network trains."""

import json

import numpy as np
import pytest

from dltool.engine.layers import Dense
from dltool.engine.optimizers import SGD
from dltool.engine.schedules import Plateau, WarmedUp, make_schedule
from dltool.training.callbacks import Callback, Monitor
from dltool.training.loop import train
from dltool.training.objective import make_objective
from dltool.training.run import Run
from dltool.training.scheduling import PlateauScheduling, Scheduling, scheduling
from tests.training.rows import chain, executor, line, loader

LOSSES = [5.0, 4.0, 4.0, 4.2, 3.9, 3.9, 3.9, 3.9, 3.9, 1.0]


def played(callback: Scheduling, values: list[float]) -> list[float]:
    """The rate of each epoch of one step."""
    run, rates = Run(chain(1, Dense(1)), 100, 0.8), []
    for epoch, value in enumerate(values, 1):
        callback.batch_begin(run)
        rates.append(run.learning_rate)
        run.epoch, run.step, run.measure = epoch, run.step + 1, {"val_loss": value}.copy
        callback.epoch_end(run)
    return rates


class Rates(Callback):
    def __init__(self):
        self.seen = []

    def batch_end(self, run):
        self.seen.append(run.learning_rate)


def test_every_step_gets_its_rate_and_the_history_that_of_the_last_step():
    model = chain(1, Dense(1, kernel_initializer="zeros"))
    x, y = line(2, [1, 2, 3])
    objective, rates = make_objective(model, [y]), Rates()
    schedule = make_schedule("step", {"every": "1steps"}, 0.8, steps_per_epoch=2, num_steps=4)
    # Three steps were done before this run, which counts its own.
    run = Run(model, 2, 0.8, step=3)
    train(executor(model, objective, SGD(0.8)), loader(x, y), objective, run, [Scheduling(schedule, 3), rates])
    assert rates.seen == [0.8, 0.4, 0.2, 0.1]
    assert [row["learning_rate"] for row in run.history] == [0.4, 0.1]


def test_the_rate_that_is_shown_includes_the_optimizers_own_decay():
    model = chain(1, Dense(1, kernel_initializer="zeros"))
    x, y = line(2, [1, 2, 3])
    objective, rule = make_objective(model, [y]), SGD(0.8, decay=1.0)
    run = Run(model, 2, 0.8, rate_at=rule.rate_at)
    train(executor(model, objective, rule), loader(x, y), objective, run)
    assert [row["learning_rate"] for row in run.history] == [0.4, 0.2]


def test_plateau_lowers_the_rate_after_patience_epochs_without_improvement():
    callback = PlateauScheduling(Plateau(0.8, factor=0.5, patience=2, min=0.3), Monitor("val_loss"))
    assert played(callback, LOSSES) == [0.8] * 4 + [0.4] * 3 + [0.3] * 3


def test_a_cooldown_passes_before_epochs_count_again():
    callback = PlateauScheduling(Plateau(0.8, factor=0.5, patience=1, cooldown=2), Monitor("val_loss"))
    assert played(callback, [1.0] * 8) == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.1, 0.1]


def test_a_plateau_warms_up_first():
    callback = PlateauScheduling(Plateau(0.8, factor=0.5, patience=2), Monitor("val_loss"), warmup=4)
    assert played(callback, [1.0] * 6) == pytest.approx([0.2, 0.4, 0.6, 0.4, 0.4, 0.2])


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_plateau_restored_from_its_state_goes_on_with_the_same_rates(cut):
    options = Plateau(0.8, factor=0.5, patience=2, cooldown=1)
    whole = played(PlateauScheduling(options, Monitor("val_loss")), LOSSES)
    first, second = (PlateauScheduling(options, Monitor("val_loss")) for _ in range(2))
    found = played(first, LOSSES[:cut])
    second.restore(json.loads(json.dumps(first.state())))
    assert found + played(second, LOSSES[cut:]) == whole


@pytest.mark.interop
@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")
@pytest.mark.parametrize("cooldown", [0, 2])
def test_a_plateau_counts_as_keras_does(cooldown):
    keras = pytest.importorskip("keras")
    callback = keras.callbacks.ReduceLROnPlateau("val_loss", 0.5, 2, cooldown=cooldown, min_lr=0.15, min_delta=0.15)
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.8), "mse")
    callback.set_model(model)
    callback.on_train_begin()
    expected = []
    for epoch, value in enumerate(LOSSES):
        expected.append(float(np.asarray(model.optimizer.learning_rate)))
        callback.on_epoch_end(epoch, {"val_loss": value})
    options = Plateau(0.8, factor=0.5, patience=2, min=0.15, min_delta=0.15, cooldown=cooldown)
    assert played(PlateauScheduling(options, Monitor("val_loss")), LOSSES) == pytest.approx(expected, rel=1e-6)


def test_a_constant_rate_needs_nobody_to_set_it():
    monitor = Monitor("val_loss")
    rate = {"learning_rate": 0.1, "steps_per_epoch": 2, "num_steps": 8}
    assert scheduling(make_schedule("constant", {}, **rate), monitor, 0) is None
    warm = scheduling(make_schedule("constant", {}, **rate, warmup="1"), monitor, 0)
    assert type(warm) is Scheduling and isinstance(warm.schedule, WarmedUp)
    both = scheduling(make_schedule("plateau", {}, **rate, warmup="1"), monitor, 0)
    assert type(both) is PlateauScheduling and both.warmup == 2
