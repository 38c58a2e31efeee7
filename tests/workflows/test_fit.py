"""``fit`` from files to file: on small generated images and tables."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dltool.engine.graph import GraphBuilder
from dltool.engine.layers import Dense, Flatten, Rescaling
from dltool.engine.losses import loss
from dltool.engine.model import Model
from dltool.engine.optimizers import SGD
from dltool.errors import DataError, DivergedError, ModelFileError, OutputError, UsageError
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel, TrainingConfig
from dltool.modelfile.writing import write
from dltool.settings import DataSettings, FitSettings
from dltool.training.callbacks import Events
from dltool.workflows import fit
from tests.workflows.pictures import DARK_AND_BRIGHT, picture_folder, table


class Heard(Events):
    """Keeps what the user would see."""

    def __init__(self):
        self.lines, self.hints, self.epochs, self.end = [], [], [], None

    def understood(self, lines):
        self.lines += lines

    def hint(self, text):
        self.hints.append(text)

    def epoch_end(self, run):
        self.epochs.append((run.epoch, run.epochs, run.is_best))

    def finished(self, run):
        self.end = (run.epoch, run.stop, run.best_epoch)


def settings(model: Path, data: Path, **options) -> FitSettings:
    """Serial and quick."""
    wanted = {"epochs": 3, "batch_size": 16, "jobs": 1, "backend": "threads", **options}
    return FitSettings(model=str(model), data=DataSettings(data=(str(data),)), **wanted)


@pytest.fixture
def pictures(tmp_path):
    return picture_folder(tmp_path / "train", DARK_AND_BRIGHT, per_class=20)


@pytest.fixture
def line(tmp_path):
    """60 rows of y = 3 x0 - 2 x1 + 1 with columns of very different size."""
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 2)) * [1000, 0.01] + [5000, 0]
    y = 3 * x[:, 0] - 2 * x[:, 1] + 1
    return table(tmp_path / "data", "line", x, y.astype(np.float32))


def softmax_model(path: Path, classes: tuple[str, ...] | None, activation: str = "softmax", units: int = 3) -> Path:
    """A compiled model on 8x8 grey pictures."""
    builder = GraphBuilder()
    x = builder.add(Flatten(), builder.add(Rescaling(1 / 255), builder.input((8, 8, 1))))
    model = Model.build(builder.graph(builder.add(Dense(units, activation=activation), x)))
    write(SavedModel(model, classes), path)
    return path


def test_images_are_learnt_and_the_file_remembers_everything(tmp_path, pictures):
    heard = Heard()
    result = fit.run(
        settings(tmp_path / "m.h5", pictures, arch="mlp:units=64,dropout=0.0", epochs=20, learning_rate=0.005), heard
    )
    saved = read(tmp_path / "m.h5")
    assert saved.classes == ("bright", "dark", "mid")
    assert saved.preprocessing == {"kind": "image", "height": 8, "width": 8, "color": "gray", "resize": "stretch"}
    assert [row["epoch"] for row in saved.history] == list(range(1, 21))
    assert saved.history[saved.recipe["best_epoch"] - 1]["val_accuracy"] > 0.9
    assert saved.split == {
        "kind": "stratified",
        "fraction": 0.2,
        "seed": 0,
        "train": 48,
        "validation": 12,
    }
    assert saved.state.epoch == 20 and saved.state.step == 20 * 3
    assert saved.training_config.optimizer.name == "adam"
    assert (result.best_epoch, result.stopped) == (saved.recipe["best_epoch"], "")
    assert heard.lines[0].startswith(f"data    {pictures}: 60 images, 3 classes (bright 20, dark 20, mid 20)")
    assert heard.lines[1] == "split   48 train / 12 val, stratified, seed 0"
    assert heard.lines[2].startswith("model   ")
    assert [epoch for epoch, _, _ in heard.epochs] == list(range(1, 21))


def test_the_file_has_the_best_epochs_weights_and_the_state_the_last_ones(tmp_path, pictures):
    # A rate that grows useless: after the best epoch the weights go on changing.
    fit.run(settings(tmp_path / "m.h5", pictures, arch="mlp:units=8", optimizer="sgd", learning_rate=3.0, epochs=6))
    saved = read(tmp_path / "m.h5")
    losses = [row["val_loss"] for row in saved.history]
    best = saved.recipe["best_epoch"]
    assert best == int(np.argmin(losses)) + 1
    assert np.array_equal(saved.state.weights, saved.model.weights.vector) == (best == 6)
    # Trained to the best epoch only, the same weights come out.
    fit.run(settings(tmp_path / "b.h5", pictures, arch="mlp:units=8", optimizer="sgd", learning_rate=3.0, epochs=best))
    assert np.array_equal(read(tmp_path / "b.h5").model.weights.vector, saved.model.weights.vector)


def test_more_epochs_continue_exactly(tmp_path, pictures):
    fit.run(settings(tmp_path / "a.h5", pictures, arch="mlp:units=8", epochs=5))
    fit.run(settings(tmp_path / "b.h5", pictures, arch="mlp:units=8", epochs=2))
    heard = Heard()
    fit.run(settings(tmp_path / "b.h5", pictures, epochs=3), heard)
    whole, parts = read(tmp_path / "a.h5"), read(tmp_path / "b.h5")
    assert "note    goes on after epoch 2 with the state of adam" in heard.lines
    assert [epoch[:2] for epoch in heard.epochs] == [(3, 5), (4, 5), (5, 5)]
    assert whole.history == parts.history
    assert np.array_equal(whole.state.weights, parts.state.weights)
    assert all(np.array_equal(whole.state.slots[name], parts.state.slots[name]) for name in whole.state.slots)
    assert np.array_equal(whole.model.weights.vector, parts.model.weights.vector)


def test_worse_epochs_never_make_the_file_worse(tmp_path, pictures):
    fit.run(settings(tmp_path / "m.h5", pictures, arch="mlp:units=8,dropout=0.0", epochs=4))
    before = read(tmp_path / "m.h5").model.weights.vector.copy()
    heard = Heard()
    result = fit.run(settings(tmp_path / "m.h5", pictures, epochs=1, optimizer="sgd", learning_rate=30.0), heard)
    assert result.best_epoch == 4
    assert np.array_equal(read(tmp_path / "m.h5").model.weights.vector, before)
    assert any("optimizer state is of adam; sgd starts anew" in text for text in heard.lines)


def test_the_same_command_gives_the_same_bytes_for_any_jobs(tmp_path, pictures):
    for name, jobs in (("a", 1), ("b", 1), ("c", 2)):
        fit.run(settings(tmp_path / f"{name}.h5", pictures, arch="mlp:units=8", jobs=jobs))
    first = (tmp_path / "a.h5").read_bytes()
    assert (tmp_path / "b.h5").read_bytes() == first
    assert (tmp_path / "c.h5").read_bytes() == first


def test_early_stopping_says_why_and_keeps_the_best(tmp_path, pictures):
    heard = Heard()
    options = {"epochs": 50, "early_stop": 2, "optimizer": "sgd", "learning_rate": 5.0}
    result = fit.run(settings(tmp_path / "m.h5", pictures, arch="mlp:units=8", **options), heard)
    assert result.stopped == "val_loss has not improved for 2 epochs"
    assert heard.end == (result.best_epoch + 2, result.stopped, result.best_epoch)


def test_tables_are_normalised_and_targets_scaled_back(tmp_path, line):
    fit.run(settings(tmp_path / "m.h5", line, arch="mlp:units=32,dropout=0.0", epochs=60, learning_rate=0.01))
    saved = read(tmp_path / "m.h5")
    layers = [type(layer).__name__ for layer in saved.model.graph.layers.values()]
    assert layers[:2] == ["InputLayer", "Normalization"] and layers[-1] == "Rescaling"
    # Of the 48 training rows; the targets' own deviation is about 3000.
    mean, variance, count = saved.model.weights.views["normalization"]
    assert count == 48
    assert mean[0] == pytest.approx(5000, abs=500) and variance[1] == pytest.approx(1e-4, rel=0.5)
    assert saved.history[-1]["val_mean_absolute_error"] < 300
    assert saved.classes is None


def test_no_normalize_leaves_tables_as_they_are(tmp_path, line):
    fit.run(settings(tmp_path / "m.h5", line, arch="mlp:units=4", epochs=1, learning_rate=1e-6, normalize=False))
    names = [type(layer).__name__ for layer in read(tmp_path / "m.h5").model.graph.layers.values()]
    assert "Normalization" not in names and "Rescaling" not in names


def test_few_rows_are_not_split_unless_asked(tmp_path):
    data = picture_folder(tmp_path / "few", DARK_AND_BRIGHT, per_class=6)
    heard = Heard()
    result = fit.run(settings(tmp_path / "m.h5", data, arch="mlp:units=4", epochs=1), heard)
    assert heard.lines[1] == "split   no validation rows"
    assert result.best_epoch is None and "val_loss" not in result.history[0]
    result = fit.run(settings(tmp_path / "n.h5", data, arch="mlp:units=4", epochs=1, val_split=0.5))
    assert "val_loss" in result.history[0]


def test_a_valid_folder_and_val_paths_are_used_as_given(tmp_path):
    picture_folder(tmp_path / "all" / "train", DARK_AND_BRIGHT, per_class=4)
    picture_folder(tmp_path / "all" / "valid", {"mid": 128, "dark": 40}, per_class=3, seed=1)
    heard = Heard()
    fit.run(settings(tmp_path / "m.h5", tmp_path / "all", arch="mlp:units=4", epochs=1), heard)
    assert heard.lines[1] == "split   12 train / 6 val, as given"
    other = (str(tmp_path / "all" / "valid"),)
    heard = Heard()
    fit.run(settings(tmp_path / "n.h5", tmp_path / "all" / "train", arch="mlp:units=4", epochs=1, val=other), heard)
    assert heard.lines[1] == "split   12 train / 6 val, as given"


def test_a_two_class_folder_trains_one_sigmoid_unit(tmp_path):
    data = picture_folder(tmp_path / "two", {"dark": 40, "bright": 215}, per_class=10)
    path = softmax_model(tmp_path / "m.h5", None, "sigmoid", 1)
    fit.run(settings(path, data, epochs=20, learning_rate=0.05, val_split=0.0))
    saved = read(path)
    assert saved.classes == ("bright", "dark")
    assert saved.training_config.losses[0].name == "binary_crossentropy"
    assert saved.history[-1]["accuracy"] == 1.0


def test_a_keras_like_compile_step_is_used_and_classes_become_one_hot(tmp_path, pictures):
    path = softmax_model(tmp_path / "m.h5", ("bright", "dark", "mid"))
    saved = read(path)
    rule = loss("categorical_crossentropy")
    saved.training_config = TrainingConfig((rule,), (rule.name,), (1.0,), ("accuracy",), optimizer=SGD(0.05))
    write(saved, path)
    fit.run(settings(path, pictures, epochs=2))
    found = read(path)
    assert found.training_config.losses == (rule,)
    assert found.training_config.optimizer == SGD(0.05)
    assert found.history[0]["learning_rate"] == 0.05


def test_imbalance_is_hinted_at_and_class_weights_end_the_hint(tmp_path):
    root = picture_folder(tmp_path / "odd", {"dark": 40}, per_class=40)
    picture_folder(root / "x", {"bright": 215}, per_class=8)
    os.rename(root / "x" / "bright", root / "bright")
    os.rmdir(root / "x")
    heard = Heard()
    fit.run(settings(tmp_path / "m.h5", root, arch="mlp:units=4", epochs=1), heard)
    assert heard.hints == ["classes are imbalanced 5:1; consider --class-weight balanced"]
    heard = Heard()
    fit.run(settings(tmp_path / "n.h5", root, arch="mlp:units=4", epochs=1, class_weight="balanced"), heard)
    assert heard.hints == []


def test_divergence_keeps_the_best_epoch_and_says_so(tmp_path, line):
    class Wild(Events):
        """A hundred times a hundred times the rate, after the first epoch."""

        def epoch_end(self, run):
            run.learning_rate = 1e30

    with pytest.raises(DivergedError) as caught:
        fit.run(settings(tmp_path / "m.h5", line, arch="mlp:units=4", optimizer="sgd", learning_rate=1e-9), Wild())
    assert "in epoch 2" in str(caught.value)
    assert f"{tmp_path / 'm.h5'} has the weights of epoch 1" in str(caught.value)
    saved = read(tmp_path / "m.h5")
    assert len(saved.history) == 1 and saved.state is None
    assert np.isfinite(saved.model.weights.vector).all()


def test_divergence_in_the_first_epoch_writes_nothing(tmp_path, line):
    with pytest.raises(DivergedError, match="no epoch was finished, so nothing was written"):
        fit.run(settings(tmp_path / "m.h5", line, arch="mlp:units=4", optimizer="sgd", learning_rate=1e30))
    assert not (tmp_path / "m.h5").exists()


def test_an_interrupt_saves_the_state_and_leaves_with_the_signal(tmp_path, pictures):
    class Impatient(Heard):
        def batch_end(self, run):
            if run.epoch == 3:
                os.kill(os.getpid(), signal.SIGINT)

    heard = Impatient()
    with pytest.raises(KeyboardInterrupt):
        fit.run(settings(tmp_path / "m.h5", pictures, arch="mlp:units=4", epochs=50), heard)
    saved = read(tmp_path / "m.h5")
    assert len(saved.history) == 2 and saved.state.epoch == 2
    assert saved.state.step == 2 * 3 + 1
    assert heard.end[1] == "interrupted by SIGINT"


def test_output_leaves_the_model_alone(tmp_path, pictures):
    path = softmax_model(tmp_path / "m.h5", None)
    before = path.read_bytes()
    result = fit.run(settings(path, pictures, epochs=1, output=str(tmp_path / "n.h5")))
    assert path.read_bytes() == before
    assert result.path == str(tmp_path / "n.h5")
    with pytest.raises(OutputError, match="exists"):
        fit.run(settings(path, pictures, epochs=1, output=str(tmp_path / "n.h5")))


def test_classes_that_the_model_does_not_have_are_refused_by_name(tmp_path, pictures):
    path = softmax_model(tmp_path / "m.h5", ("bright", "dark", "grey"))
    with pytest.raises(DataError, match="mid"):
        fit.run(settings(path, pictures, epochs=1))


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, pictures, line):
    path = softmax_model(tmp_path / "m.h5", None)
    new = tmp_path / "new.h5"
    cases = [
        (settings(path, pictures, arch="cnn"), UsageError, "--arch: .*m.h5 exists; leave --arch out"),
        (settings(new, pictures), ModelFileError, "new.h5: does not exist; build it first, or give --arch"),
        (settings(path, pictures, monitor="val_ac"), UsageError, "--monitor: 'val_ac' is not measured"),
        (settings(path, pictures, class_weight="dork=2"), UsageError, "did you mean 'dark'"),
        (settings(path, pictures, val_split=1.5), UsageError, "--val-split: 1.5"),
        (settings(path, pictures, val=("x",), val_split=0.5), UsageError, "--val-split: cannot be combined"),
        (settings(path, pictures, optimizer="adm"), UsageError, "did you mean '[Aa]dam'"),
        (settings(path, pictures, loss="mean_squared_eror"), UsageError, "did you mean 'mean_squared_error'"),
        (settings(path, pictures, metrics=("acuracy",)), UsageError, "did you mean 'accuracy'"),
        (settings(path, line), DataError, "x_line.npy|y_line.npy"),
        (
            settings(new, line, arch="mlp", class_weight="balanced"),
            UsageError,
            "--class-weight: the labels are numbers",
        ),
        (settings(tmp_path / "no" / "m.h5", pictures, arch="mlp"), OutputError, "does not exist"),
    ]
    before = path.read_bytes()
    for wanted, kind, message in cases:
        with pytest.raises(kind, match=message):
            fit.run(wanted)
    assert path.read_bytes() == before
    assert not new.exists()


def test_class_folders_for_a_regression_model_are_refused(tmp_path, pictures):
    path = softmax_model(tmp_path / "m.h5", None, "linear", 1)
    with pytest.raises(DataError, match="has 3 classes, but the model's output 'dense' is a number"):
        fit.run(settings(path, pictures))


def test_force_builds_anew(tmp_path, pictures):
    fit.run(settings(tmp_path / "m.h5", pictures, arch="mlp:units=4", epochs=2))
    fit.run(settings(tmp_path / "m.h5", pictures, arch="mlp:units=5", epochs=1, force=True))
    saved = read(tmp_path / "m.h5")
    assert len(saved.history) == 1 and saved.model.graph.layers["dense"].units == 5


def test_without_state_the_file_has_none(tmp_path, pictures):
    fit.run(settings(tmp_path / "m.h5", pictures, arch="mlp:units=4", epochs=1, keep_state=False))
    assert read(tmp_path / "m.h5").state is None
    result = fit.run(replace(settings(tmp_path / "m.h5", pictures, epochs=1), batch_size=7))
    assert [row["epoch"] for row in result.history] == [1, 2]


def test_a_named_monitor_keeps_the_best_epoch_without_validation_rows(tmp_path, pictures):
    options = {"epochs": 4, "optimizer": "sgd", "learning_rate": 5.0, "val_split": 0.0}
    result = fit.run(settings(tmp_path / "m.h5", pictures, arch="mlp:units=8", monitor="loss", **options))
    assert result.best_epoch == int(np.argmin([row["loss"] for row in result.history])) + 1
