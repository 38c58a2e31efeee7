"""Signals during training."""

import os
import signal

import pytest

from dltool.engine.layers import Dense
from dltool.training.callbacks import Events
from dltool.training.interrupt import StopOnSignal
from dltool.training.run import Run
from tests.training.rows import chain


class Said(Events):
    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_to_stop_and_handlers_are_put_back(number):
    before, said = signal.getsignal(number), Said()
    stopper, run = StopOnSignal(said), Run(chain(1, Dense(1)), 1, 0.1)
    stopper.train_begin(run)
    os.kill(os.getpid(), number)
    stopper.train_end(run)
    assert (run.stop, stopper.caught, run.interrupted) == (f"interrupted by {number.name}", number, True)
    assert said.texts == ["stopping after this batch (again: at once)"]
    assert signal.getsignal(number) is before


def test_the_second_signal_ends_at_once():
    stopper, run = StopOnSignal(Said()), Run(chain(1, Dense(1)), 1, 0.1)
    stopper.train_begin(run)
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
