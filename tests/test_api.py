"""``import dltool``: the same results as the commands, on arrays and models in memory."""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import dltool
from dltool import errors
from dltool.cli.help import FOLDER
from dltool.cli.main import main
from dltool.modelfile.reading import read

WORDS = ("dense:16,relu", "dropout:0.2", "dense:3,softmax")


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """(120, 6) float32 and three classes, in files too: x.npy, y.npy; the test is in their folder."""
    monkeypatch.chdir(tmp_path)
    y = np.arange(120) % 3
    x = (np.random.default_rng(0).normal(size=(120, 6)) + y[:, None]).astype(np.float32)
    np.save("x.npy", x)
    np.save("y.npy", y)
    return x, y


@pytest.fixture
def model():
    return dltool.build(*WORDS, input=(6,), seed=2)


class Noting(dltool.Callback):
    """Writes down what it is told; stops after so many epochs."""

    def __init__(self, stop_after=None):
        self.moments, self.logs, self.stop_after = [], [], stop_after

    def train_begin(self, run):
        self.moments.append(("train_begin", run.epoch, run.step))

    def epoch_begin(self, run):
        self.moments.append(("epoch_begin", run.epoch, run.step))

    def batch_begin(self, run):
        self.moments.append(("batch_begin", run.batch, run.step))

    def batch_end(self, run):
        assert np.isfinite(run.batch_loss)
        self.moments.append(("batch_end", run.batch, run.step))

    def epoch_end(self, run):
        self.moments.append(("epoch_end", run.epoch, run.step))
        self.logs.append(dict(run.logs))
        if run.epoch == self.stop_after:
            run.stop = "enough"

    def train_end(self, run):
        self.moments.append(("train_end", run.epoch, run.step))


def test_the_file_is_that_of_the_commands_byte_for_byte(rows, model):
    options = ["--epochs", "3", "--batch-size", "16", "--lr", "0.01", "--schedule", "cosine", "--seed", "5", "-q"]
    assert main(["build", "command.h5", "--input", "6", *WORDS, "--seed", "2", "-q"]) == 0
    model.save("api.h5")
    assert Path("api.h5").read_bytes() == Path("command.h5").read_bytes()
    assert main(["fit", "command.h5", "--data", "x.npy", *options]) == 0
    model.fit(*rows, epochs=3, batch_size=16, learning_rate=0.01, schedule="cosine", seed=5)
    model.save("api.h5", force=True)
    assert Path("api.h5").read_bytes() == Path("command.h5").read_bytes()


def test_paths_and_arrays_are_the_same_and_more_epochs_go_on(rows, model):
    other = dltool.build(*WORDS, input=(6,), seed=2)
    for _ in range(2):
        model.fit(*rows, epochs=2)
        other.fit("x.npy", "y.npy", epochs=2)
    assert [row["epoch"] for row in model.history] == [1, 2, 3, 4]
    np.testing.assert_array_equal(model.saved.model.weights.vector, other.saved.model.weights.vector)


def test_evaluate_gives_what_the_command_gives(rows, model, capsys):
    model.fit(*rows, epochs=2)
    model.save("m.h5")
    assert main(["evaluate", "m.h5", "--data", "x.npy", "--json"]) == 0
    told, found = json.loads(capsys.readouterr().out), model.evaluate(*rows)
    assert found.loss == told["loss"] and found.metrics["accuracy"].value == told["metrics"]["accuracy"]["value"]
    assert found.confusion.tolist() == told["confusion"]


def test_predict_gives_the_outputs_and_rows_their_labels(rows, model):
    model.fit(*rows, epochs=2)
    outputs = model.predict(rows[0])
    assert outputs.shape == (120, 3) and outputs.dtype == np.float32
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)
    found = list(model.rows(rows[0][:2]))
    assert [row.label for row in found] == [str(k) for k in outputs[:2].argmax(axis=1)]
    assert found[0].path == "data[0]" and found[0].prob == pytest.approx(float(outputs[0].max()))
    assert model.predict(rows[0][:5], layer="dense").shape == (5, 16)
    model.save("m.h5")
    np.testing.assert_array_equal(dltool.load("m.h5").predict("x.npy"), outputs)


def test_labels_may_be_names_one_hot_rows_or_lists(rows, model):
    names = np.array(["cat", "dog", "owl"])[rows[1]]
    for labels in (names, list(names), np.eye(3)[rows[1]], rows[1].tolist()):
        model = dltool.build(*WORDS, data=rows[0], labels=labels)
        model.fit(rows[0].tolist(), labels, epochs=1)
        assert model.history[-1]["epoch"] == 1
        assert model.classes in (("cat", "dog", "owl"), ("0", "1", "2"))


def test_validation_rows_may_be_given(rows, model):
    x, y = rows
    model.fit(x[:90], y[:90], val=x[90:], val_labels=y[90:], epochs=1)
    assert model.saved.split == {"kind": "given", "train": 90, "validation": 30}
    assert "val_accuracy" in model.history[0]


def test_models_with_several_inputs_take_a_dict(rows):
    x, y = rows
    model = dltool.build("a=input:2", "b=input:4", "both=concatenate@a+b", "dense:3,softmax@both")
    model.fit({"a": x[:, :2], "b": x[:, 2:]}, y, epochs=1)
    assert model.predict({"a": x[:, :2], "b": x[:, 2:]}).shape == (120, 3)


def test_callbacks_get_the_record_at_all_six_moments(rows, model):
    noting = Noting()
    result = model.fit(*rows, epochs=2, batch_size=60, val_split=0, callbacks=[noting])
    epoch = [("batch_begin", 0, 0), ("batch_end", 1, 1), ("batch_begin", 1, 1), ("batch_end", 2, 2)]
    assert noting.moments[:7] == [("train_begin", 0, 0), ("epoch_begin", 1, 0), *epoch, ("epoch_end", 1, 2)]
    assert noting.moments[-1] == ("train_end", 2, 4)
    assert [log["loss"] for log in noting.logs] == [row["loss"] for row in result.history]


def test_a_callback_stops_a_training(rows, model):
    result = model.fit(*rows, epochs=50, callbacks=[Noting(stop_after=3)])
    assert (len(result.history), result.stopped) == (3, "enough")


def test_the_best_epoch_is_what_the_model_has(rows, model):
    result = model.fit(*rows, epochs=5, learning_rate=0.5)
    losses = [row["val_loss"] for row in result.history]
    assert losses.index(min(losses)) + 1 == result.best_epoch


def test_files_beside_the_model_are_written_where_they_are_named(rows, model):
    model.fit(*rows, epochs=2, log="log.csv", checkpoint="e{epoch}.h5")
    assert len(Path("log.csv").read_text().splitlines()) == 3
    assert dltool.load("e1.h5").history == model.history[:1]
    assert {path.name for path in Path().iterdir()} == {"x.npy", "y.npy", "log.csv", "e1.h5", "e2.h5"}


def test_folders_of_images_are_data(sample_data):
    model = dltool.build(data=sample_data / "digits" / "test", arch="mlp:units=8")
    model.fit(sample_data / "digits" / "test", epochs=1, limit=100)
    rows = list(model.rows(sample_data / "digits" / "test" / "7"))
    assert model.classes == tuple("0123456789") and len(rows) == 36
    assert rows[0].path.endswith("0007.png") and rows[0].label in model.classes


def test_weights_are_views_by_name(rows, model):
    assert {name: array.shape for name, array in model.weights.items()} == {
        "dense/kernel": (6, 16),
        "dense/bias": (16,),
        "dense_1/kernel": (16, 3),
        "dense_1/bias": (3,),
    }
    for array in model.weights.values():
        array[:] = 0
    np.testing.assert_allclose(model.predict(rows[0]), 1 / 3, rtol=1e-6)


def test_summary_counts_parameters(model):
    assert model.summary().parameters == 6 * 16 + 16 + 16 * 3 + 3
    assert repr(model) == "<dltool.Model the model: 4 layers, 163 parameters>"


def test_a_saved_model_trains_on_as_the_one_in_memory(rows, model):
    model.fit(*rows, epochs=2)
    model.save("m.h5")
    again = dltool.load("m.h5")
    for one in (model, again):
        one.fit(*rows, epochs=2)
    np.testing.assert_array_equal(model.saved.model.weights.vector, again.saved.model.weights.vector)
    assert read("m.h5").history == model.history[:2]


BAD = {
    "fit: has no option 'epohcs'; did you mean 'epochs'?": lambda m, x, y: m.fit(x, y, epohcs=3),
    "fit: has no option 'lr'; did you mean 'learning_rate'?": lambda m, x, y: m.fit(x, y, lr=3),
    "fit: has no option 'resume'; ": lambda m, x, y: m.fit(x, y, resume=True),
    "--epochs, --batch-size: must be at least 1": lambda m, x, y: m.fit(x, y, epochs=0),
    "labels: 5 labels for the 120 rows of data": lambda m, x, y: m.fit(x, y[:5]),
    "data: no labels; give an array": lambda m, x, y: m.fit(x),
    "data: rows are 3, the model wants 6": lambda m, x, y: m.predict(x[:, :3]),
    "data: NaN at row 7": lambda m, x, y: m.fit(np.where(np.arange(120)[:, None] == 7, np.nan, x), y),
    "data: shape (0, 6) holds no values": lambda m, x, y: m.predict(x[:0]),
    "data: dtype '|O' cannot be used": lambda m, x, y: m.predict(np.array([[None] * 6])),
    "data: is no array": lambda m, x, y: m.predict([[1.0], [1.0, 2.0]]),
    "data: a single number": lambda m, x, y: m.predict(3.0),
    "val_labels: needs val": lambda m, x, y: m.fit(x, y, val_labels=y),
    "val_labels: 2 labels for the 120 rows of val": lambda m, x, y: m.fit(x, y, val=x, val_labels=y[:2]),
    "no.h5: no such file": lambda m, x, y: dltool.load("no.h5"),
    "no.npy: cannot be opened": lambda m, x, y: m.evaluate("no.npy"),
    "dnese:3: unknown layer": lambda m, x, y: dltool.build("dnese:3", input=(6,)),
    "build: has no option 'inputs'; did you mean 'input'?": lambda m, x, y: dltool.build("dense:3", inputs=(6,)),
    "--schedule: ": lambda m, x, y: m.fit(x, y, schedule="cosine:max=1"),
    "x.npy: exists": lambda m, x, y: m.save("x.npy"),
}


@pytest.mark.parametrize("words", BAD)
def test_errors_are_dltools_in_one_line_and_leave_the_model_as_it_was(words, rows, model):
    before = dict(vars(model.saved)), model.saved.model.weights.vector.copy()
    with pytest.raises(errors.DltoolError) as caught:
        BAD[words](model, *rows)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert vars(model.saved) == before[0]
    np.testing.assert_array_equal(model.saved.model.weights.vector, before[1])


class Blasting(dltool.Callback):
    """Makes the training diverge in an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def batch_begin(self, run):
        if run.epoch == self.epoch:
            run.learning_rate = 1e30


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_training_that_diverges_keeps_the_best_weights(epoch, rows, model):
    before = model.saved.model.weights.vector.copy()
    with pytest.raises(errors.DivergedError, match="no epoch was finished" if epoch == 1 else "weights of epoch 1"):
        model.fit(*rows, epochs=3, batch_size=8, optimizer="sgd", callbacks=[Blasting(epoch)])
    vector = model.saved.model.weights.vector
    assert np.isfinite(vector).all() and np.array_equal(vector, before) == (epoch == 1)
    assert len(model.history) == epoch - 1


PAGE = (FOLDER / "python.md").read_text(encoding="utf-8")
PROGRAMS = [
    textwrap.dedent(block)
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE, re.MULTILINE)
    if "import dltool\n" in block
]


@pytest.mark.parametrize("number", range(2))
def test_the_programs_of_the_help_page_run(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = {"__name__": "program"}
    exec(PROGRAMS[number], found)
    assert len(PROGRAMS) == 2
    if number == 0:
        assert found["again"].history == found["model"].history and Path("m.h5").is_file()
        assert "accuracy" in capsys.readouterr().out
    else:
        assert len(found["model"].history) < 500


def test_definitions_of_ones_own_need_no_plugin():
    """In a process of its own: what is registered stays."""
    program = """
from dataclasses import dataclass
import numpy as np
import dltool
from dltool.plugin import LOSSES, Loss

@LOSSES.register("fourth", "Fourth")
@dataclass(frozen=True)
class Fourth(Loss):
    keras_class = "Fourth"

    def __call__(self, y_true, y_pred):
        error = y_pred - y_true.reshape(y_pred.shape)
        return (error**4).mean(axis=-1), 4 * error**3 / y_pred.shape[-1]

x = np.random.default_rng(0).normal(size=(40, 3))
model = dltool.build("dense:1", input=(3,), loss="fourth")
print(model.fit(x, x[:, 0], epochs=1, val_split=0).history[0]["loss"] > 0)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True\n", done.stderr


def test_the_module_gives_its_names_at_first_use():
    program = "import sys, dltool; a = 'numpy' in sys.modules; dltool.load; print(a, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False True\n"
    assert set(dltool.API) <= set(dir(dltool))
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        _ = dltool.laod
