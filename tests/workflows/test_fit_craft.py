"""Options of ``fit`` that do what an experienced person does by hand."""

import time

import numpy as np
import pytest

from dltool.engine.losses import CategoricalCrossentropy
from dltool.errors import UsageError
from dltool.modelfile.reading import read
from dltool.settings import DataSettings, FitSettings
from dltool.workflows import fit
from tests.workflows.fitting.test_resuming import interrupt, open_bytes
from tests.workflows.pictures import DARK_AND_BRIGHT, picture_folder
from tests.workflows.test_fit_options import Heard


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """``settings("m.h5", epochs=3, ...)``: 48 rows in 3 batches, 12 to validate."""
    monkeypatch.chdir(tmp_path)
    picture_folder(tmp_path / "data", DARK_AND_BRIGHT, per_class=20)

    def make(model="m.h5", **options):
        data = options.pop("data", DataSettings(data=("data",)))
        wanted = {"epochs": 3, "batch_size": 16, "jobs": 1, "backend": "threads", "arch": "mlp:units=8", **options}
        return FitSettings(model=model, data=data, **wanted)

    return make


def test_one_cycle_with_averaged_weights_resumes_exactly(settings):
    options = {"schedule": "1cycle", "ema": 0.9, "optimizer": "sgd:momentum=0.9", "augment": "upright,mixup"}
    fit.run(settings("whole.h5", **options))
    for batches in (1, 4, 6, 9):
        interrupt(settings("m.h5", force=True, **options), batches)
        fit.run(settings("m.h5", **options, resume=True))
        assert open_bytes("m.h5") == open_bytes("whole.h5")


def test_the_file_holds_the_average_and_goes_on_from_the_weights(settings):
    fit.run(settings(ema=0.95, epochs=1, learning_rate=0.01))
    saved = read("m.h5")
    assert np.array_equal(saved.model.weights.vector, saved.state.averaged)
    assert not np.array_equal(saved.state.weights, saved.state.averaged)
    heard = Heard()
    fit.run(settings(arch=None, epochs=1, checkpoint="c{epoch}.h5", ema=0.95), heard)
    assert "note    goes on after epoch 1 with the state of adam" in heard.lines
    assert "weights averaged (0.95)" in heard.lines[2]
    assert np.array_equal(read("c2.h5").model.weights.vector, read("c2.h5").state.averaged)


def test_smoothed_labels_are_in_the_file_for_keras_too(settings):
    fit.run(settings(label_smoothing=0.1, epochs=1))
    assert read("m.h5").training_config.losses == (CategoricalCrossentropy(label_smoothing=0.1),)
    again = fit.run(settings(arch=None, epochs=1))
    assert np.isfinite(again.history[-1]["loss"])


def test_a_rate_is_looked_for_first(settings):
    heard = Heard()
    fit.run(settings(learning_rate="auto", batch_size=8, optimizer="sgd"), heard)
    note = heard.notes[0].split()
    assert note[0] == "lr" and heard.notes[0].endswith("the valley of a range test of 100 steps")
    rate = float(note[1].rstrip(","))
    assert 1e-3 < rate < 10
    assert read("m.h5").training_config.optimizer.learning_rate == rate
    fit.run(settings("same.h5", learning_rate=rate, batch_size=8, optimizer="sgd"))
    assert np.array_equal(read("same.h5").model.weights.vector, read("m.h5").model.weights.vector)


def test_the_best_of_several_starts_is_trained(settings):
    first = fit.run(settings("first.h5", epochs=1)).history[0]["val_loss"]
    heard = Heard()
    result = fit.run(settings(restarts=3), heard)
    shown = [float(note.split()[-1]) for note in heard.notes[:3]]
    assert [note.split()[1] for note in heard.notes[:3]] == ["1/3", "2/3", "3/3"]
    assert len(set(shown)) == 3
    assert shown[0] == pytest.approx(first, abs=1e-4)
    best = shown.index(min(shown)) + 1
    assert heard.notes[3] == f"start   {best} is the best; it is trained from its beginning"
    assert result.history[0]["val_loss"] == pytest.approx(min(shown), abs=1e-4)
    assert [row["epoch"] for row in result.history] == [1, 2, 3]


def test_a_trained_model_has_no_starts_to_try(settings):
    fit.run(settings(epochs=1))
    before = open_bytes("m.h5")
    with pytest.raises(UsageError, match=r"--restarts: m\.h5 is not a fresh model, and its weights would be lost"):
        fit.run(settings(arch=None, restarts=2))
    assert open_bytes("m.h5") == before


def test_the_time_ends_a_run_and_its_history_is_whole(settings):
    began = time.monotonic()
    heard = Heard()
    result = fit.run(settings(time=2.0, schedule="cosine", given=("time", "schedule")), heard)
    assert time.monotonic() - began < 4
    assert result.stopped == "the time of 2s is over"
    assert read("m.h5").history[-1]["epoch"] == len(result.history)
    assert result.history[-1]["learning_rate"] < 1e-4


def test_a_dry_run_shows_rates_and_cost(settings):
    lines = fit.dry_run(settings(schedule="1cycle", label_smoothing=0.1, ema=0.99, epochs=10))
    assert lines[2].endswith("adam, lr 0.001, 1cycle, label smoothing 0.1, weights averaged (0.99)")
    assert lines[4] == "rate    4.0e-05 ... 1.0e-03 ... 4.0e-09"
    # 600 multiply-adds in the layers of 64x8, 8x8 and 8x3, 64 to scale the pixels; three passes of 16 rows.
    assert lines[5] == "cost    0.1 MFLOP a step, 0.2 MFLOP an epoch, 1.9 MFLOP in all"
    timed = fit.dry_run(settings(time=300.0, given=("time",)))
    assert timed[3] == "train   until 5m are over, epochs of 3 steps with 16 rows"
    both = fit.dry_run(settings(time=300.0))
    assert both[3] == "train   3 epochs (or until 5m are over) of 3 steps with 16 rows, 9 steps in all"


def test_regression_has_no_labels_to_smooth(settings):
    np.save("x.npy", np.random.default_rng(0).random((60, 3)))
    np.save("y.npy", np.linspace(0, 1, 60))
    with pytest.raises(UsageError, match="--label-smoothing: mean_squared_error has no classes to spread labels over"):
        fit.run(settings(data=DataSettings(("x.npy",), "y.npy"), label_smoothing=0.1))
