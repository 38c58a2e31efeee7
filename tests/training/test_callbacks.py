"""Early stopping and best weights on made-up curves."""

import json

import numpy as np
import pytest

from dltool.engine.layers import Dense
from dltool.training.callbacks import BestWeights, Callback, EarlyStopping, Events, Monitor, Reporting
from dltool.training.run import Run
from tests.training.rows import chain


def play(callbacks: list[Callback], values: list[float], name: str = "val_loss", first_epoch: int = 1) -> Run:
    """A run whose monitored values are given; the weights of epoch n are all n."""
    run = Run(chain(1, Dense(1)), 100, 0.1)
    for callback in callbacks:
        callback.train_begin(run)
    for epoch, value in enumerate(values, first_epoch):
        run.epoch, run.measure = epoch, {name: value}.copy
        run.model.weights.vector[...] = epoch
        for callback in callbacks:
            callback.epoch_end(run)
        if run.stop:
            break
    for callback in callbacks:
        callback.train_end(run)
    return run


def test_early_stopping_waits_for_patience_epochs_without_improvement():
    run = play([EarlyStopping(Monitor("val_loss"), 2)], [5, 4, 4.5, 3, 3, 3.5, 1])
    assert run.epoch == 6
    assert run.stop == "val_loss has not improved for 2 epochs"


def test_early_stopping_ignores_improvements_below_min_delta_as_keras_does():
    # keras.callbacks.EarlyStopping(patience=2, min_delta=0.5) on these values stops in its third epoch (index 2).
    run = play([EarlyStopping(Monitor("val_loss", min_delta=0.5), 2)], [5, 4.6, 4.5, 3])
    assert run.epoch == 3


def test_early_stopping_follows_metrics_where_more_is_better():
    monitor = Monitor("val_accuracy", higher_is_better=True)
    run = play([EarlyStopping(monitor, 1)], [0.5, 0.6, 0.6, 0.9], "val_accuracy")
    assert (run.epoch, run.stop) == (3, "val_accuracy has not improved for 1 epoch")


def test_early_stopping_with_nan_values_counts_them_as_no_improvement():
    run = play([EarlyStopping(Monitor("val_loss"), 2)], [1.0, float("nan"), float("nan"), 0.5])
    assert run.epoch == 3


@pytest.mark.parametrize("cut", range(1, 6))
def test_early_stopping_restored_from_its_state_stops_in_the_same_epoch(cut):
    values = [5.0, 4.0, 4.5, 3.0, 3.0, 3.5, 3.2, 1.0]
    first = EarlyStopping(Monitor("val_loss"), 3)
    play([first], values[:cut])
    second = EarlyStopping(Monitor("val_loss"), 3)
    second.restore(json.loads(json.dumps(first.state())))
    assert play([second], values[cut:], first_epoch=cut + 1).epoch == 7


def test_best_weights_are_those_of_the_best_epoch_and_the_last_ones_are_kept_beside():
    best = BestWeights(Monitor("val_loss"))
    run = play([best], [3, 2, 2, 2.5])
    assert run.best_epoch == 2
    assert (run.model.weights.vector == 2).all()
    assert (best.last == 4).all()
    assert run.monitor == "val_loss"


def test_without_a_monitor_the_last_finished_epoch_is_kept():
    best = BestWeights()
    run = Run(chain(1, Dense(1)), 100, 0.1)
    run.epoch = 1
    run.model.weights.vector[...] = 1
    best.epoch_end(run)
    run.model.weights.vector[...] = np.nan  # the next epoch diverges
    best.train_end(run)
    assert (run.model.weights.vector == 1).all()
    assert run.best_epoch is None and not run.is_best


def test_before_the_first_epoch_nothing_is_put_back():
    best = BestWeights(Monitor("val_loss"))
    run = Run(chain(1, Dense(1)), 100, 0.1)
    run.model.weights.vector[...] = 7
    best.train_end(run)
    assert (run.model.weights.vector == 7).all()


def test_best_weights_of_an_earlier_run_stay_when_the_new_epochs_are_worse():
    best = BestWeights(Monitor("val_loss"))
    best.keep(np.full(2, 9, np.float32), 4, 1.5)
    run = play([best], [1.6, 1.7], first_epoch=5)
    assert run.best_epoch == 4
    assert (run.model.weights.vector == 9).all()


def test_reporting_passes_epochs_and_batches_to_the_events():
    class Heard(Events):
        def __init__(self):
            self.calls = []

        def epoch_begin(self, run):
            self.calls.append("begin")

        def batch_end(self, run):
            self.calls.append("batch")

        def epoch_end(self, run):
            self.calls.append("end")

    heard = Heard()
    reporting, run = Reporting(heard), Run(chain(1, Dense(1)), 1, 0.1)
    reporting.epoch_begin(run)
    reporting.batch_end(run)
    reporting.epoch_end(run)
    assert heard.calls == ["begin", "batch", "end"]
