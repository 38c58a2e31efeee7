"""Options of ``fit`` that change how it trains."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from dltool.architectures.words import from_words
from dltool.engine.executor import Executor
from dltool.engine.optimizers import Adam
from dltool.errors import OutputError, UsageError
from dltool.modelfile.lock import locked
from dltool.modelfile.reading import read
from dltool.settings import BuildSettings, DataSettings, FitSettings
from dltool.training.callbacks import Events
from dltool.workflows import build, fit
from dltool.workflows.fitting.report import check_memory, training_bytes
from tests.workflows.pictures import DARK_AND_BRIGHT, picture_folder


class Heard(Events):
    def __init__(self):
        self.lines, self.notes, self.hints = [], [], []

    def understood(self, lines):
        self.lines += lines

    def note(self, text):
        self.notes.append(text)

    def hint(self, text):
        self.hints.append(text)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """``settings("m.h5", epochs=3, ...)``: 48 rows in 3 batches, 12 to validate."""
    monkeypatch.chdir(tmp_path)
    picture_folder(tmp_path / "data", DARK_AND_BRIGHT, per_class=20)

    def make(model="m.h5", **options):
        wanted = {"epochs": 3, "batch_size": 16, "jobs": 1, "backend": "threads", "arch": "mlp:units=8", **options}
        return FitSettings(model=model, data=DataSettings(data=("data",)), **wanted)

    return make


def test_a_schedule_with_warm_up_shows_the_rate_of_each_epochs_last_step(settings):
    heard = Heard()
    result = fit.run(settings(schedule="step:drop=0.1,every=1", warmup="1", learning_rate=0.01), heard)
    # Nine steps: three of warm-up, three at 0.01, three at 0.001.
    assert [row["learning_rate"] for row in result.history] == pytest.approx([0.01, 0.01, 0.001])
    assert heard.lines[2].endswith("adam, lr 0.01, step:drop=0.1,every=1, warm-up 1")
    assert read("m.h5").recipe["schedule"] == "step:drop=0.1,every=1"


def test_every_run_has_a_schedule_of_its_own(settings):
    fit.run(settings(schedule="cosine"))
    history = fit.run(settings(schedule="cosine", arch=None)).history
    assert [row["learning_rate"] for row in history[3:]] == [row["learning_rate"] for row in history[:3]]


def test_a_schedule_replaces_the_decay_of_an_old_file(settings):
    first = fit.run(settings(optimizer="sgd:decay=1.0", learning_rate=0.1))
    assert [row["learning_rate"] for row in first.history] == pytest.approx([0.1 / 3, 0.1 / 6, 0.1 / 9])
    again = fit.run(settings(arch=None, schedule="step:every=1", epochs=2))
    assert [row["learning_rate"] for row in again.history[3:]] == pytest.approx([0.1, 0.05])


def test_clipping_and_weight_decay_go_into_the_optimizer(settings):
    fit.run(settings(epochs=1, clip_norm=0.5, weight_decay=0.01))
    assert read("m.h5").training_config.optimizer == Adam(0.001, clipnorm=0.5, weight_decay=0.01)
    heard = Heard()
    fit.run(settings(epochs=1, arch=None, clip_value=2.0), heard)
    assert read("m.h5").training_config.optimizer == Adam(0.001, clipvalue=2.0, weight_decay=0.01)
    assert "note    goes on after epoch 1 with the state of adam" in heard.lines


def test_frozen_layers_keep_their_weights_and_stay_frozen_in_the_file(settings):
    fit.run(settings(epochs=1))
    before = read("m.h5").model.weights.views
    heard = Heard()
    fit.run(settings(arch=None, epochs=2, freeze="dense", learning_rate=0.1), heard)
    saved = read("m.h5")
    after = saved.model.weights.views
    assert np.array_equal(before["dense"][0], after["dense"][0])
    assert not np.array_equal(before["dense_2"][0], after["dense_2"][0]) or saved.recipe["best_epoch"] == 1
    assert not saved.model.graph.layers["dense"].trainable and saved.model.graph.layers["dense_2"].trainable
    assert "(520 frozen)" in heard.lines[2]
    fit.run(settings(arch=None, epochs=1, freeze="none"))
    assert all(layer.trainable for layer in read("m.h5").model.graph.layers.values())


def test_the_optimizer_can_be_started_anew(settings):
    fit.run(settings(epochs=2))
    heard = Heard()
    fit.run(settings(arch=None, epochs=1, reset_optimizer=True), heard)
    assert "note    adam starts anew from the best weights" in heard.lines
    assert read("m.h5").state.step == 3


def test_exact_is_remembered(settings):
    fit.run(settings(epochs=1, exact=True))
    assert read("m.h5").recipe["exact"] is True


def test_the_advice_on_a_rate_is_the_one_hint(settings):
    heard = Heard()
    fit.run(settings(epochs=1, optimizer="sgd", learning_rate=0.5), heard)
    assert heard.hints == ["a learning rate of 0.5 is high; 0.1 is much already, 0.001 is usual"]


def test_the_curves_are_read_at_the_end(settings):
    heard = Heard()
    options = {"arch": "mlp:units=8,dropout=0", "optimizer": "sgd", "learning_rate": 1e-4}
    result = fit.run(settings(epochs=8, **options), heard)
    assert result.diagnosis == "slow: try ten times the rate (--lr 1e-03)"
    assert heard.notes == [f"diagnosis  {result.diagnosis}"]


def test_a_dry_run_shows_the_plan_and_writes_nothing(settings, tmp_path):
    lines = fit.dry_run(settings(early_stop=2, schedule="cosine", log="log.csv", checkpoint="e{epoch}.h5"))
    assert lines[0] == "data    data: 60 images, 3 classes (bright 20, dark 20, mid 20)"
    assert lines[1] == "split   48 train / 12 val, stratified, seed 0"
    assert lines[2] == "model   619 parameters, 8x8x1 -> 3, adam, lr 0.001, cosine"
    assert lines[3] == "train   3 epochs of 3 steps with 16 rows, 9 steps in all"
    assert lines[4] == "rate    1.0e-03 ... 3.0e-05"
    assert lines[5] == "cost    0.1 MFLOP a step, 0.2 MFLOP an epoch, 0.6 MFLOP in all"
    assert lines[6] == "monitor val_loss, stops after 2 epochs without an improvement"
    assert lines[7] == "memory  about 60 MB: batch 0 MB, weights and optimizer 0 MB, program 60 MB"
    assert lines[8] == "writes  m.h5, e{epoch}.h5, log.csv (nothing now: --dry-run)"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_training_that_no_memory_holds_is_refused_with_the_batch_that_fits():
    graph = from_words(("dense:1000", "dense:2"), (8,))  # 1,010 numbers a row, 11,002 weights
    rule = Adam()
    batch, weights = training_bytes(graph, rule, 100)
    assert batch == 8 * 100 * (8 + 1000 + 2)
    check_memory(graph, rule, 100, batch + weights)
    with pytest.raises(UsageError) as caught:
        check_memory(graph, rule, 10_000, weights + batch)
    assert str(caught.value) == (
        "--batch-size: with 10,000 rows about 81 MB of memory are needed and 1 MB are free; give 100 or fewer"
    )
    with pytest.raises(UsageError, match=r"model: about 1 MB .* most of it for the weights; make the layers smaller"):
        check_memory(graph, rule, 1, weights // 4)


def test_a_full_disk_is_known_before_the_first_batch(settings, monkeypatch):
    full = SimpleNamespace(f_bavail=1, f_frsize=512)
    fit.run(settings("other.h5", epochs=1))
    monkeypatch.setattr(os, "statvfs", lambda path: full, raising=False)
    heard, message = Heard(), r"m\.h5: 1 MB are needed and 0 MB are free; free disk space"
    with pytest.raises(OutputError, match=message):
        fit.run(settings(), heard)
    assert heard.lines == []
    with pytest.raises(OutputError, match=message):
        build.run(BuildSettings("m.h5", input=(8, 8, 1), classes=3, arch="mlp:units=8"))
    assert not os.path.exists("m.h5")


def test_a_model_in_training_is_not_written_by_another(settings, tmp_path):
    with locked("m.h5"), pytest.raises(OutputError, match=r"m\.h5: process \d+ on .* trains it; wait for that"):
        fit.run(settings())
    assert not (tmp_path / "m.h5").exists()
    fit.run(settings(epochs=1))
    assert not (tmp_path / ".m.h5.lock").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "cosin"}, "unknown schedule 'cosin'; did you mean 'cosine'"),
        ({"schedule": "cosine:mim=1"}, "--schedule: cosine has no option 'mim'; did you mean 'min'"),
        ({"schedule": "cosine:min=1"}, "--schedule: min is 1; give at most the rate of 0.001"),
        ({"warmup": "3"}, "--warmup: 9 steps, but the run has 9; give less, or more --epochs"),
        ({"warmup": "soon"}, "--warmup: 'soon' is no time"),
        ({"clip_norm": 1.0, "clip_value": 1.0}, "--clip-value: cannot be combined with --clip-norm"),
        ({"clip_norm": -1.0}, "clipnorm is -1.0; give a number above 0"),
        ({"freeze": "dens"}, "--freeze: no layer with weights is called 'dens'; did you mean 'dense'"),
        ({"freeze": "*"}, r"--freeze: '\*' leaves no layer to train"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_written(settings, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        fit.run(settings(**options))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_99_to_1_is_learnt_with_balanced_weights(repository, tmp_path, monkeypatch):
    """Each digit against all others in turn, with 13 rows of it and some 1,290 of them: recall in the mean."""
    monkeypatch.chdir(tmp_path)
    recalls = np.mean([recalls_of_rare(digit, repository) for digit in range(10)], axis=0)
    assert recalls[1] >= 0.8
    assert recalls[1] > recalls[0] + 0.3


def recalls_of_rare(rare, repository) -> tuple[float, float]:
    """Test recall of a digit without and with balanced weights."""
    folder = repository / "sample_data" / "digits"
    x, y, test_x, test_y = (np.load(folder / f"{name}.npy") for name in ("train_x", "train_y", "test_x", "test_y"))
    rows = np.concatenate([np.flatnonzero(y == rare)[:13], np.flatnonzero(y != rare)])
    np.save("x.npy", x[rows])
    np.save("y.npy", (y[rows] == rare).astype(np.int64))
    recalls = []
    for weights in (None, "balanced"):
        data = DataSettings(data=("x.npy",), labels="y.npy")
        options = {"arch": "cnn:width=16,units=64", "epochs": 15, "class_weight": weights, "force": True}
        fit.run(FitSettings("m.h5", data, **options))
        with Executor(read("m.h5").model, batch_size=64, jobs=1) as executor:
            (probs,) = executor.forward((test_x,))
        recalls.append(float((probs[test_y == rare].argmax(axis=1) == 1).mean()))
    return tuple(recalls)
