"""What a training run looks like, on a terminal and in a log file."""

import io
import re
from types import SimpleNamespace

import pytest

from dltool.cli.console import Console
from dltool.cli.progress import Counter, Progress, bar, duration, moving_line, rate_and_eta
from dltool.training.callbacks import Events
from dltool.training.waiting import Waiting


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def run_record(epochs=3, **values):
    """A Run's attributes as progress reads them, without a model's weights."""
    shape = values.pop("shape", (8, 8, 1))
    record = {
        "model": SimpleNamespace(graph=SimpleNamespace(input_shapes=(shape,))),
        "epochs": epochs,
        "epoch": 1,
        "batch": 0,
        "samples": 0,
        "num_rows": 1000,
        "seconds": 6.06,
        "learning_rate": 0.001,
        "logs": {},
        "history": [],
        "stop": "",
        "monitor": "val_loss",
        "best_epoch": None,
        "is_best": False,
        "waiting": Waiting(),
    }
    return SimpleNamespace(**{**record, **values})


LOGS = {"loss": 1.214, "accuracy": 0.472, "val_loss": 1.051, "val_accuracy": 0.568}


def test_it_has_every_event():
    events = {name for name in vars(Events) if not name.startswith("_")}
    assert events == {name for name in vars(Progress) if not name.startswith("_")}


def test_a_terminal_shows_the_columns_that_it_has_room_for_and_a_log_all():
    logs = {name: 0.5 for name in ("loss", "accuracy", "auc", "precision", "recall")}
    logs |= {f"val_{name}": value for name, value in logs.items()}
    shown = {}
    for stream in (Terminal(), io.StringIO()):
        progress = Progress(Console(io.StringIO(), stream, {"COLUMNS": "80", "NO_COLOR": "1"}))
        progress.epoch_end(run_record(logs=logs, is_best=True))
        shown[type(stream)] = [line.split("\r")[-1] for line in stream.getvalue().splitlines()]
    header, row = shown[Terminal]
    kept = ["val_loss", "val_acc", "val_auc", "val_prec", "val_rec"]
    assert header.split() == ["epoch", "loss", *kept, "lr", "time"]
    assert len(row) <= 80
    assert len(shown[io.StringIO][0].split()) == 3 + len(logs)


def test_a_log_file_gets_one_plain_line_per_epoch():
    err = io.StringIO()
    progress = Progress(Console(io.StringIO(), err, {}))
    progress.understood(["data    train/: 2,000 images", "model   3 parameters"])
    progress.hint("classes are imbalanced 4:1")
    for epoch in (1, 2):
        progress.epoch_begin(run_record(epoch=epoch))
        for batch in range(50):
            progress.batch_end(run_record(epoch=epoch, batch=batch + 1, samples=20 * batch))
        progress.epoch_end(run_record(epoch=epoch, logs=LOGS, is_best=epoch == 2))
    assert err.getvalue().splitlines() == [
        "data    train/: 2,000 images",
        "model   3 parameters",
        "hint    classes are imbalanced 4:1",
        "epoch    loss     acc  val_loss  val_acc        lr    time",
        "  1/3  1.2140  0.4720    1.0510   0.5680   1.0e-03    6.1s",
        "  2/3  1.2140  0.4720    1.0510   0.5680   1.0e-03    6.1s *",
    ]


@pytest.mark.parametrize(
    ("epochs", "said"),
    [
        ([(2.0, 10.0)], ["waited 20% of the training time for data"]),
        (
            [(6.0, 10.0), (6.5, 20.0), (7.0, 30.0)],
            ["waited 23% of the training time for data: 60% in the first epoch, 5% later"],
        ),
        ([], []),
    ],
)
def test_with_v_the_share_of_waiting_for_data_is_told_for_the_first_epoch_and_the_later_ones(epochs, said):
    err = io.StringIO()
    console = Console(io.StringIO(), err, {})
    console.verbose = True
    progress, waited, seconds = Progress(console), 0.0, 0.0
    for waited, seconds in epochs:
        progress.epoch_end(run_record(waiting=Waiting(seconds, waited), logs=LOGS))
    progress.finished(run_record(waiting=Waiting(seconds, waited)))
    assert [line for line in err.getvalue().splitlines() if line.startswith("waited")] == said


def test_a_terminal_gets_a_bar_with_speed_and_eta_in_the_first_half_second():
    err, clock = Terminal(), Clock()
    progress = Progress(Console(io.StringIO(), err, {"NO_COLOR": "1", "COLUMNS": "100"}), clock)
    progress.epoch_begin(run_record())
    assert err.getvalue().strip()
    clock.now += 0.05
    before = len(err.getvalue())
    progress.batch_end(run_record(batch=1, samples=10, logs={"loss": 2.0}))
    assert len(err.getvalue()) == before
    clock.now += 1.95
    progress.batch_end(run_record(batch=2, samples=540, logs={"loss": 0.301, "accuracy": 0.891}))
    line = err.getvalue().split("\r")[-1].rstrip()
    assert re.fullmatch(r"  1/3  █{10}▊ +54%  loss 0\.3010  acc 0\.8910  270 img/s  eta 1\.7s", line)


def test_a_long_validation_moves_too():
    err, clock = Terminal(), Clock()
    progress = Progress(Console(io.StringIO(), err, {"COLUMNS": "100"}), clock)
    for validated in (10, 20, 30):
        clock.now += 0.07
        progress.test_batch_end(run_record(validated=validated, num_validation=40))
    lines = [line.rstrip() for line in err.getvalue().split("\r") if line.strip()]
    assert lines == ["  1/3  ██████████            50%  validating"]


def test_rows_of_tables_are_not_called_images():
    err, clock = Terminal(), Clock()
    progress = Progress(Console(io.StringIO(), err, {"COLUMNS": "100"}), clock)
    progress.epoch_begin(run_record(shape=(20,)))
    clock.now += 1
    progress.batch_end(run_record(shape=(20,), batch=1, samples=500))
    assert "500 rows/s" in err.getvalue()


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {
                "epoch": 14,
                "stop": "val_loss has not improved for 3 epochs",
                "best_epoch": 11,
                "history": [{"epoch": 11, "loss": 0.3, "val_loss": 0.412, "val_accuracy": 0.853}],
            },
            "stopped at epoch 14: val_loss has not improved for 3 epochs; kept epoch 11 "
            "(val_loss 0.4120, val_acc 0.8530)",
        ),
        ({"epoch": 3, "best_epoch": None}, "finished 3 epochs"),
        (
            {"epoch": 1, "best_epoch": 1, "monitor": "loss", "history": [{"epoch": 1, "loss": 0.3}]},
            "finished 1 epoch; kept epoch 1 (loss 0.3000)",
        ),
    ],
)
def test_the_end_says_why_and_what_is_kept(values, line):
    err = io.StringIO()
    Progress(Console(io.StringIO(), err, {})).finished(run_record(**values))
    assert err.getvalue() == line + "\n"


def test_a_counter_moves_on_a_terminal_only():
    for stream in (Terminal(), io.StringIO()):
        clock = Clock()
        counter = Counter(Console(io.StringIO(), stream, {"COLUMNS": "100"}), "predict", clock=clock)
        clock.now += 2
        counter(50, 200)
        assert ("25 rows/s  eta 6.0s" in stream.getvalue()) == isinstance(stream, Terminal)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0s"), (6.06, "6.1s"), (59.96, "1m 00s"), (85, "1m 25s"), (3599.6, "1h 00m"), (7400, "2h 03m")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_bars():
    assert bar(0) == " " * 20 + "   0%"
    assert bar(0.5) == "█" * 10 + " " * 10 + "  50%"
    assert bar(1 / 160) == "▏" + " " * 19 + "   1%"
    assert bar(1) == "█" * 20 + " 100%"


CELLS = ["loss 2.0381", "acc 0.3070", "1,989 img/s", "eta 1m 05s"]


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (99, "  2/4  ██████████            50%  loss 2.0381  acc 0.3070  1,989 img/s  eta 1m 05s"),
        (79, "  2/4  ████████▌          50%  loss 2.0381  acc 0.3070  1,989 img/s  eta 1m 05s"),
        (66, "  2/4  ████████          50%  loss 2.0381  1,989 img/s  eta 1m 05s"),
        (42, "  2/4  ██▌    50%  1,989 img/s  eta 1m 05s"),
    ],
)
def test_the_moving_line_fits_its_width_and_keeps_speed_and_eta(width, line):
    assert moving_line("  2/4", 0.5, CELLS, width) == line
    assert len(line) <= width


def test_no_speed_before_there_is_any():
    assert rate_and_eta(0, 10, 1.0, "img") == []
    assert rate_and_eta(1, 3, 2.0, "img") == ["0.5 img/s", "eta 6.0s"]
