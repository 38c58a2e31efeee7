"""How often the model is written during training, by a clock that the test moves."""

from dltool.engine.graph import GraphBuilder
from dltool.engine.layers import Dense
from dltool.engine.model import Model
from dltool.training.run import Run
from dltool.workflows.fitting.saving import Saving


def new_run(epochs: int) -> Run:
    builder = GraphBuilder()
    return Run(Model.build(builder.graph(builder.add(Dense(1), builder.input((1,))))), epochs, 0.1)


def written_epochs(epoch_seconds: float, write_seconds: float, num_bytes: int, epochs: int) -> list[int]:
    """The epochs at whose end the file was written."""
    now, found = 0.0, []

    def write(run: Run) -> None:
        nonlocal now
        now += write_seconds
        found.append(run.epoch)

    run = new_run(epochs)
    saving = Saving(write, num_bytes, lambda: now)
    saving.train_begin(run)
    for run.epoch in range(1, epochs + 1):
        now += epoch_seconds
        saving.epoch_end(run)
    return found


def test_cheap_writes_happen_at_every_epoch_but_the_last():
    assert written_epochs(10, 0.01, 1000, 5) == [1, 2, 3, 4]


def test_writing_takes_at_most_two_percent_of_the_time():
    # A write of 1 s is allowed at 50 s; two of them at 100 s, counting their own time.
    assert written_epochs(10, 1.0, 10**8, 16) == [5, 10, 15]


def test_a_large_file_is_not_written_early():
    assert written_epochs(1, 0.1, 10**9, 100) == []


def test_long_epochs_are_also_written_in_their_middle_but_not_after_every_batch():
    now, found = 0.0, []
    run = new_run(2)
    saving = Saving(lambda run: found.append(run.batch), 1000, lambda: now)
    saving.train_begin(run)
    for run.batch in range(1, 61):
        now += 0.5
        saving.batch_end(run)
    assert found == [20, 40, 60]


def test_nothing_is_written_in_between_once_the_run_stops():
    run, found = new_run(5), []
    run.stop = "interrupted by SIGINT"
    saving = Saving(found.append, 1000, iter(range(100)).__next__)
    saving.batch_end(run)
    saving.epoch_end(run)
    assert found == []
