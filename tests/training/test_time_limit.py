"""A training that ends on time, with a clock that stands still between steps."""

import pytest

from dltool.engine.layers import Dense
from dltool.engine.optimizers import SGD
from dltool.engine.schedules import make_schedule
from dltool.training.callbacks import Callback
from dltool.training.loop import train
from dltool.training.objective import make_objective
from dltool.training.run import Run
from dltool.training.time_limit import TimedScheduling, TimeLimit, duration_text
from tests.training.rows import chain, executor, line, loader


class Clock(Callback):
    """Each step takes ``step`` seconds, each validation ``validation``; it goes first among the callbacks."""

    def __init__(self, step: float, validation: float):
        self.now, self.step, self.validation = 100.0, step, validation
        self.rates = []

    def __call__(self) -> float:
        return self.now

    def batch_end(self, run):
        self.now += self.step
        self.rates.append(run.learning_rate)

    def test_end(self, run):
        self.now += self.validation


def played(seconds: float, step: float = 1.0, validation: float = 2.0, epochs: int | None = None, reserve: float = 0.5):
    """A run of 4 steps an epoch; the data are read in 3 seconds before it."""
    model = chain(1, Dense(1, kernel_initializer="zeros"))
    x, y = line(2, [1, 2, 3, 4, 5, 6, 7, 8])
    objective, clock = make_objective(model, [y]), Clock(step, validation)
    limit = TimeLimit(seconds, 97.0, reserve, bounded=epochs is not None, clock=clock)
    schedule = make_schedule("cosine", {}, 1e-6, 4, 4_000_000)
    setter = TimedScheduling(lambda steps: make_schedule("cosine", {}, 1e-6, 4, steps), schedule, limit)
    run = Run(model, epochs or 1_000_000, 1e-6)
    callbacks = [clock, limit, setter]
    train(executor(model, objective, SGD(1e-6)), loader(x, y), objective, run, callbacks, loader(x, y))
    return run, clock


@pytest.mark.parametrize("seconds", [30, 60, 61, 62.5, 64, 200])
def test_it_ends_on_time_with_a_last_validation(seconds):
    run, clock = played(seconds)
    spent = clock.now - 97 + 0.5
    assert seconds - 3.1 <= spent <= seconds + 0.51
    assert run.stop == f"the time of {duration_text(seconds)} is over"
    assert "val_loss" in run.history[-1] and run.done == run.epoch == len(run.history)
    assert run.history[-1]["epoch"] == run.epoch


@pytest.mark.parametrize("seconds", [60, 120, 333])
def test_the_schedule_comes_to_its_end_with_the_time(seconds):
    _, clock = played(seconds)
    assert clock.rates[0] == pytest.approx(1e-6)
    assert clock.rates[-1] < 0.06e-6
    half = clock.rates[len(clock.rates) // 2]
    assert 0.35e-6 < half < 0.65e-6
    assert all(later <= earlier + 1e-12 for earlier, later in zip(clock.rates[6:], clock.rates[7:], strict=False))


def test_epochs_that_were_asked_for_end_it_too():
    run, _ = played(1000, epochs=3)
    assert run.epoch == 3 and not run.stop


def test_the_planned_number_of_epochs_is_shown():
    run, _ = played(120)
    assert run.epochs == run.epoch == len(run.history)


def test_a_time_that_is_over_before_the_first_epoch_still_gives_a_model():
    run, _ = played(8, step=1.0, validation=1.0)
    assert len(run.history) == 1 and run.batch == 0


def test_the_time_of_a_resumed_run_counts():
    limit = TimeLimit(60, 0.0, clock=lambda: 10.0)
    limit.restore({"seconds": 45.5})
    assert limit.elapsed == 55.5 and limit.state() == {"seconds": 55.5}


def test_times_are_written_short():
    assert [duration_text(seconds) for seconds in (90, 300, 3600, 5400, 1.5)] == ["90s", "5m", "1h", "90m", "1.5s"]
