"""The range test: every step its rate, everything put back, and rates read off curves whose answer is known."""

import numpy as np
import pytest

from dltool.engine.executor import Executor
from dltool.engine.layers import Dense
from dltool.engine.model import Model
from dltool.engine.optimizers import SGD, Adam
from dltool.errors import ShortError
from dltool.training.callbacks import Callback
from dltool.training.objective import make_objective
from dltool.training.range_test import RangeTest, range_test, suggest, sweep_rates, unchanged, valley
from dltool.training.run import Run
from tests.engine.networks import normalized
from tests.training.rows import chain, executor, line, loader


class Rates(Callback):
    """Notes what the steps were done with."""

    def __init__(self):
        self.seen = []

    def batch_end(self, run):
        self.seen.append((run.epoch, run.learning_rate))


def straight_line(rule=None):
    """y = 2x on three rows in batches of two: two steps an epoch."""
    model = chain(1, Dense(1, kernel_initializer="zeros"))
    x, y = line(2, [1, 2, 3])
    objective = make_objective(model, [y])
    return executor(model, objective, rule or SGD(0.1)), loader(x, y), objective, Run(model, 0, 0.1)


def test_rates_rise_by_the_same_factor_from_the_first_to_the_last():
    assert sweep_rates(1e-3, 10.0, 5).tolist() == pytest.approx([1e-3, 1e-2, 1e-1, 1, 10])


def test_every_step_has_its_rate_and_fewer_batches_than_steps_make_several_epochs():
    runner, rows, objective, run = straight_line()
    seen = Rates()
    found = range_test(runner, rows, objective, run, sweep_rates(1e-6, 1e-2, 5), [seen])
    assert [epoch for epoch, _ in seen.seen] == [1, 1, 2, 2, 3]
    assert [rate for _, rate in seen.seen] == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3, 1e-2])
    assert found.rates.tolist() == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3, 1e-2])
    assert found.losses[0] == 10.0  # (2^2 + 4^2) / 2 before the first step
    assert found.diverged is None


def test_the_smoothed_loss_is_a_moving_average_that_does_not_start_at_zero():
    # Rows 1, 2 lose 10 and row 3 loses 36 while the rate is too small to change anything.
    runner, rows, objective, run = straight_line()
    found = range_test(runner, rows, objective, run, sweep_rates(1e-12, 1e-11, 3))
    # 0.1 * 10 / 0.1; (0.9 * 1 + 0.1 * 36) / 0.19; (0.9 * 4.5 + 0.1 * 10) / 0.271
    assert found.smoothed.tolist() == pytest.approx([10, 4.5 / 0.19, 5.05 / 0.271], rel=1e-5)


def test_a_loss_that_runs_away_ends_the_sweep_and_is_no_error():
    runner, rows, objective, run = straight_line()
    found = range_test(runner, rows, objective, run, sweep_rates(1e-3, 1e6, 40))
    assert len(found.losses) < 40
    assert found.diverged is not None and found.diverged > 0.1
    assert np.isfinite(found.losses).all()


def test_an_infinite_loss_ends_the_sweep_and_is_no_error():
    runner, rows, objective, run = straight_line()
    found = range_test(runner, rows, objective, run, [1e-3, 1e36, 1e37, 1e38])
    assert found.diverged == pytest.approx(1e36) or found.diverged == pytest.approx(1e37)
    assert np.isfinite(found.losses).all()


@pytest.mark.parametrize("high", [1e-2, 1e9])
def test_weights_statistics_and_slots_come_back_bit_for_bit(high):
    model = Model.build(normalized(), seed=3)
    random = np.random.default_rng(0)
    x, y = random.normal(size=(40, 16, 16, 3)).astype(np.float32), random.integers(0, 10, 40)
    objective = make_objective(model, [y])
    with Executor(model, batch_size=8, losses=objective.losses, optimizer=Adam(), jobs=1, backend="threads") as runner:
        for step in (1, 2):  # so that slots and moving statistics are not at their start
            rows = next(loader(x, y, 8).epoch(0))
            runner.train_step(objective.prepare(rows, training=True), step, 1e-3)
        runner.memory["scalar"] = 0.5
        before = model.weights.vector.copy(), {name: slot.copy() for name, slot in runner.slots.items()}
        range_test(runner, loader(x, y, 8), objective, Run(model, 0, 0.1, step=2), sweep_rates(1e-5, high, 30))
        assert np.array_equal(model.weights.vector, before[0])
        assert before[1].keys() == {"momentum", "velocity"}
        assert all(np.array_equal(runner.slots[name], slot) for name, slot in before[1].items())
        assert runner.memory == {"scalar": 0.5}


def test_what_is_changed_comes_back_after_an_exception_too():
    runner, *_ = straight_line(Adam())
    with pytest.raises(KeyboardInterrupt), unchanged(runner):
        runner.model.weights.vector[...] = 7
        runner.memory["new"] = 1.0
        raise KeyboardInterrupt
    assert not runner.model.weights.vector.any()
    assert runner.memory == {}


def curve(*corners):
    """Straight lines between (step, loss) corners; rates a tenth of a decade apart from 1e-7."""
    steps, losses = zip(*corners, strict=True)
    values = np.interp(np.arange(steps[-1] + 1), steps, losses)
    rates = 1e-7 * 10 ** (np.arange(len(values)) / 10)
    return RangeTest(rates, values, values)


def test_three_suggestions_on_a_plain_curve():
    # Flat to 1e-4, falling to 1e-2 and steepest from 1e-3 on, then up again.
    found = suggest(curve((0, 2.3), (30, 2.3), (40, 1.8), (50, 0.6), (60, 5.0)))
    assert 1e-3 < found.steepest < 1e-2
    assert found.min10 == pytest.approx(1e-3)
    # 0.5 of the fall are around 10^-3.5 and 1.2 around 10^-2.5: its middle is at 10^-2.794.
    assert found.valley == pytest.approx(10 ** ((-2.794 - 3) / 2), rel=1e-3)


def test_the_valley_is_halfway_between_the_middle_of_the_fall_and_a_tenth_of_the_minimum():
    logs = np.log([1e-3, 1e-2, 1e-1])
    # The fall is 1 at 10^-2.5 and 3 at 10^-1.5: its middle is 10^-1.75, and the minimum's tenth 10^-2.
    assert valley(np.array([5.0, 4.0, 1.0]), logs, 1e-2) == pytest.approx(10**-1.875)
    # What only makes up for a rise is no fall: 2 at 10^-2.5, then 1 at 10^-0.5.
    logs = np.log([1e-3, 1e-2, 1e-1, 1])
    assert valley(np.array([5.0, 3.0, 4.0, 2.0]), logs, 1e-1) == pytest.approx(10 ** ((-5.5 / 3 - 1) / 2))


def test_a_loss_that_is_lowest_at_the_first_rate_leaves_nothing_to_average():
    assert valley(np.array([1.0]), np.log([1e-3]), 1e-4) == pytest.approx(10**-3.5)


def test_a_creeping_start_does_not_pull_the_valley_down():
    flat = suggest(curve((0, 2.3), (30, 2.3), (50, 0.6), (60, 5.0)))
    creeping = suggest(curve((0, 2.301), (30, 2.3), (50, 0.6), (60, 5.0)))
    assert creeping.valley == pytest.approx(flat.valley, rel=0.01)


def test_a_lucky_first_batch_is_no_minimum():
    losses = np.array([0.2, *[1.0] * 59])
    weights = 0.9 ** np.arange(60)
    smoothed = np.array([np.average(losses[step::-1], weights=weights[: step + 1]) for step in range(60)])
    assert smoothed.argmin() == 0
    with pytest.raises(ShortError, match=r"no usable range: the loss falls from 0\.9333 to "):
        suggest(RangeTest(sweep_rates(1e-7, 10.0, 60), losses, smoothed))


def test_a_restless_beginning_is_left_out():
    test = curve((0, 2.3), (30, 2.3), (50, 0.6))
    test.smoothed[:3] = [4.0, 2.5, 2.3]
    assert suggest(test).steepest > 1e-4


def test_a_loss_that_never_falls_has_no_usable_range():
    flat = np.random.default_rng(0).normal(2.3, 0.1, 80)
    smooth = np.convolve(np.pad(flat, (9, 0), "edge"), np.ones(10) / 10, "valid")
    test = RangeTest(np.geomspace(1e-7, 10, 80), flat, smooth)
    with pytest.raises(ShortError, match="no usable range: the loss falls from"):
        suggest(test)
    constant = RangeTest(np.geomspace(1e-7, 10, 30), np.ones(30), np.ones(30))
    with pytest.raises(ShortError, match="no usable range"):
        suggest(constant)


def test_a_loss_that_runs_away_at_once_has_no_usable_range():
    test = RangeTest(np.array([1.0, 2.0]), np.array([1.0, 9.0]), np.array([1.0, 5.0]), diverged=2.0)
    with pytest.raises(ShortError, match=r"ran away after 2 steps, at rate 2.0e\+00; give a smaller --min"):
        suggest(test)
