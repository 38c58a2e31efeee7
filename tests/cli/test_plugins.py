"""``--plugin my.py``: the examples of the help page work, everywhere; what is wrong in a plugin is said in one line."""

import hashlib
import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from dltool import names
from dltool.cli.help import FOLDER
from dltool.cli.main import COMMANDS, LazyGroup, main
from dltool.data.augment import AUGMENTATIONS
from dltool.engine.layers import LAYERS, Call
from dltool.engine.losses import LOSSES
from dltool.engine.metrics import METRICS
from dltool.engine.schedules import SCHEDULES
from dltool.modelfile.reading import read
from dltool.training.callbacks import CALLBACKS
from dltool.workflows.plugins import plugged

TEXT = (FOLDER / "plugins.md").read_text(encoding="utf-8")
EXAMPLES = [
    textwrap.dedent(block)
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", TEXT, re.MULTILINE)
    if "from dltool.plugin import" in block
]
WITHOUT = ["predict", "evaluate", "summary", "fit", "lr-find", "pseudo-label", "finetune", "convert"]
COUNTER = """
from dltool.plugin import CALLBACKS, Callback

@CALLBACKS.register("counter")
class Counter(Callback):
    def __init__(self):
        self.seen = []
    def note(self, moment, run):
        with open("moments.txt", "a") as file:
            print(moment, run.epoch, run.batch, run.step, file=file)
    def train_begin(self, run): self.note("train_begin", run)
    def epoch_begin(self, run): self.note("epoch_begin", run)
    def batch_begin(self, run): self.note("batch_begin", run)
    def batch_end(self, run): self.note("batch_end", run)
    def epoch_end(self, run): self.note("epoch_end", run)
    def train_end(self, run): self.note("train_end", run)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """``my.py`` with all examples, 60 rows x.npy of three classes with y.npy, 20 small images im.npy with yi.npy."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    np.save("x.npy", (random.normal(size=(60, 6)) + labels[:, None]).astype(np.float32))
    np.save("y.npy", labels)
    np.save("im.npy", random.integers(0, 256, (20, 8, 8, 1)).astype(np.uint8))
    np.save("yi.npy", np.arange(20) % 2)
    (tmp_path / "my.py").write_text("\n".join(EXAMPLES), encoding="utf-8")
    return tmp_path


def run(*words, code=0):
    assert main([*words]) == code


def built(model="m.h5", *more):
    run("build", model, "--plugin", "my.py", "--input", "6", "scale:2", "dense:3,softmax", *more, "-q")
    return model


def refused(capsys, *words, code=2):
    """The one line of a refusal."""
    capsys.readouterr()
    assert main([*words]) == code, capsys.readouterr().err
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and len(lines) == 1 and lines[0].startswith("dltool: error: "), err
    return lines[0].removeprefix("dltool: error: ")


def test_there_is_an_example_of_every_kind(folder):
    registries = (LAYERS, LOSSES, METRICS, SCHEDULES, AUGMENTATIONS, CALLBACKS)
    before = [set(one) for one in registries]
    with plugged(["my.py"]):
        added = [set(one) - old for one, old in zip(registries, before, strict=True)]
    assert added == [{"Scale"}, {"log_error"}, {"sure"}, {"sawtooth"}, {"fade"}, {"enough"}]
    assert [set(one) for one in registries] == before


@pytest.mark.parametrize("number", range(6))
def test_each_example_is_a_complete_file(number, folder):
    (folder / "one.py").write_text(EXAMPLES[number], encoding="utf-8")
    with plugged(["one.py"]) as (found,):
        assert found.digest == hashlib.sha256((folder / "one.py").read_bytes()).hexdigest()


def test_the_examples_of_layer_and_loss_have_the_right_derivatives(folder):
    """Central differences in float64."""
    random, step = np.random.default_rng(1), 1e-6
    with plugged(["my.py"]):
        layer, loss = LAYERS.get("Scale")(power=2.0), LOSSES.get("log_error")()
    x, factor, way = random.normal(size=(4, 3)), random.normal(size=3), random.normal(size=(4, 3))
    y, backward = layer.forward(x, (factor,), Call())
    np.testing.assert_allclose(y, x * factor**2)
    dx, (dfactor,) = backward(way)
    np.testing.assert_allclose(dx, way * factor**2)
    up, down = (layer.forward(x, (factor + sign * step * factor,), Call())[0] for sign in (1, -1))
    assert (dfactor * factor).sum() == pytest.approx((way * (up - down)).sum() / (2 * step), rel=1e-6)
    target = random.normal(size=(4, 3))
    values, slope = loss(target, x)
    np.testing.assert_allclose(values, np.log1p((x - target) ** 2).mean(axis=1))
    up, down = (loss(target, x + sign * step * way)[0].sum() for sign in (1, -1))
    assert (slope * way).sum() == pytest.approx((up - down) / (2 * step), rel=1e-6)


def test_all_kinds_work_in_the_commands(folder, capsys):
    words = ["--plugin", "my.py", "-q"]
    run("build", "m.h5", "--input", "8x8x1", "flatten", "scale", "dense:2,softmax", "--loss", "log_error", *words)
    run("summary", "m.h5", *words)
    assert "Scale" in capsys.readouterr().out
    data = ["--data", "im.npy", "--labels", "yi.npy"]
    options = ["--schedule", "sawtooth:low=0.5,every=2steps", "--augment", "fade=0.3", "--metric", "sure:limit=0.4"]
    words_of_fit = ["--epochs", "2", "--batch-size", "5", "--lr", "0.01", "--val-split", "0"]
    run("fit", "m.h5", *data, *options, *words_of_fit, *words)
    last = read_with_plugin("m.h5").history[-1]
    # 8 steps, the rates 0.01 and 0.0075 in turn: the last one of the second epoch is the second of a pair.
    assert last["learning_rate"] == pytest.approx(0.0075)
    assert 0 <= last["sure"] <= 1
    capsys.readouterr()
    run("lr-find", "m.h5", *data, "--steps", "20", "--loss", "log_error", *words, code=0)
    assert float(capsys.readouterr().out) > 0
    for command in (["evaluate", "m.h5", *data], ["predict", "m.h5", "im.npy"], ["convert", "m.h5", "m.keras"]):
        run(*command, *words)
    run("finetune", "m.h5", *data, "-o", "fine.h5", "--epochs", "1", "--epochs-unfrozen", "1", *words)
    assert read_with_plugin("fine.h5").recipe["plugins"][0].startswith("my.py sha256:")


def test_the_callback_of_the_help_page_stops_a_training(folder, capsys):
    text = (folder / "my.py").read_text().replace("< 0.01", "< 100")
    (folder / "my.py").write_text(text)
    run("fit", built(), "--plugin", "my.py", "--data", "x.npy", "--epochs", "5")
    assert "the loss is below 0.01" in capsys.readouterr().err
    assert len(read_with_plugin("m.h5").history) == 1


def read_with_plugin(path):
    with plugged(["my.py"]):
        return read(path)


def test_callbacks_get_all_six_moments(folder):
    (folder / "counter.py").write_text(COUNTER)
    words = ["--data", "x.npy", "--epochs", "2", "--batch-size", "30", "--val-split", "0", "-q"]
    run("fit", built(), "--plugin", "my.py", "--plugin", "counter.py", *words)
    batches = ["batch_begin 1 0 0", "batch_end 1 1 1", "batch_begin 1 1 1", "batch_end 1 2 2"]
    lines = (folder / "moments.txt").read_text().splitlines()
    assert lines[0].split()[0] == "train_begin" and lines[-1].split()[0] == "train_end"
    assert lines[1:6] == ["epoch_begin 1 0 0", *batches]
    assert [line.split()[0] for line in lines].count("epoch_end") == 2


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_lanes_compute_a_plugins_layer_and_loss_alike(backend, folder):
    words = ["--data", "x.npy", "--epochs", "2", "--loss", "log_error", "-q"]
    run("fit", built("one.h5"), "--plugin", "my.py", *words, "--jobs", "1")
    run("fit", built("two.h5"), "--plugin", "my.py", *words, "--jobs", "2", "--backend", backend)
    assert (folder / "one.h5").read_bytes() == (folder / "two.h5").read_bytes()


def test_afterwards_nothing_of_a_plugin_is_left(folder):
    tables = ("LAYERS", "LAYER_REQUIRED", "LOSSES", "LOSS_ALIASES", "METRICS", "METRIC_SHORT", "METRIC_ALIASES")
    before = {name: dict(getattr(names, name)) for name in (*tables, "SCHEDULES", "AUGMENTATIONS")}
    modules = set(sys.modules)
    built()
    run("fit", "m.h5", "--plugin", "my.py", "--data", "no.npy", code=3)
    run("fit", "m.h5", "--plugin", "my.py", "--epochs", "0", code=2)
    assert {name: getattr(names, name) for name in before} == before
    assert not any(name.startswith("dltool_plugin") for name in set(sys.modules) - modules)
    assert "Scale" not in LAYERS


@pytest.mark.parametrize("command", WITHOUT)
def test_a_model_with_a_layer_of_a_plugin_is_refused_without_it(command, folder, capsys):
    built()
    words = {"predict": ["x.npy"], "summary": [], "convert": ["out.keras"], "evaluate": ["--data", "x.npy"]}
    more = words.get(command, ["--data", "x.npy"])
    more = [*more, "--unlabelled", "x.npy"] if command == "pseudo-label" else more
    more = [*more, "-o", "new.h5"] if command == "finetune" else more
    line = refused(capsys, command, "m.h5", *more, code=4)
    assert line.startswith("m.h5: layer 'scale': the class 'Scale' is not supported")
    assert line.endswith("give the file that defines it with --plugin")


def test_loss_and_metric_of_a_plugin_are_needed_for_training_only(folder, capsys):
    words = ["--loss", "log_error", "--metric", "sure", "-q"]
    run("build", "m.h5", "--plugin", "my.py", "--input", "6", "dense:3", *words)
    run("predict", "m.h5", "x.npy", "-q")
    run("summary", "m.h5", "-q")
    assert "log_error" in capsys.readouterr().out
    np.save("t.npy", np.random.default_rng(0).normal(size=(60, 3)))
    line = refused(capsys, "fit", "m.h5", "--data", "x.npy", "--labels", "t.npy")
    assert line == "--loss: m.h5 was compiled with log_error, which is not known; give --loss NAME, or its --plugin"
    run("fit", "m.h5", "--plugin", "my.py", "--data", "x.npy", "--labels", "t.npy", "--epochs", "1", "-q")


def test_help_runs_no_plugin(folder, capsys):
    (folder / "loud.py").write_text("raise SystemExit('run')")
    for words in (["--help"], ["-h"]):
        run("fit", "m.h5", "--plugin", "loud.py", *words)
    assert "Usage: dltool fit" in capsys.readouterr().out


def test_all_commands_with_a_model_take_plugins():
    taking = {name for name in COMMANDS if "--plugin" in options_of(name)}
    assert taking == set(COMMANDS) - {"completion", "help"}


def options_of(name):
    return {option for param in LazyGroup().get_command(None, name).params for option in param.opts}


def test_the_model_file_remembers_its_plugins_and_a_change_is_said(folder, capsys):
    words = ["--plugin", "my.py", "--data", "x.npy", "--epochs", "1"]
    run("fit", built(), *words, "-q")
    digest = hashlib.sha256((folder / "my.py").read_bytes()).hexdigest()
    assert read_with_plugin("m.h5").recipe["plugins"] == [f"my.py sha256:{digest}"]
    capsys.readouterr()
    run("fit", "m.h5", *words)
    assert "plugin" not in capsys.readouterr().err
    (folder / "my.py").write_text((folder / "my.py").read_text() + "\n# changed\n")
    for command in (["fit", "m.h5", *words], ["evaluate", "m.h5", *words[:4]]):
        run(*command)
        said = capsys.readouterr().err
        assert ("the plugin my.py is not the one" in said) == (command[0] == "fit"), said
    (folder / "my.py").rename(folder / "other.py")
    run("evaluate", "m.h5", "--plugin", "other.py", "--data", "x.npy")
    assert "was trained with the plugin my.py, which is not given" in capsys.readouterr().err


FROZEN = "@dataclass(frozen=True)\n"
ALL = "from dataclasses import dataclass\nfrom dltool.plugin import *\n"
BROKEN = {
    "def f(:": "bad.py:1: invalid syntax",
    "x = 1\ny = 1 / 0": "bad.py:2: ZeroDivisionError: division by zero; ",
    "import no_such_package": "bad.py:1: ModuleNotFoundError: No module named 'no_such_package'; ",
    "import sys\nsys.exit(3)": "bad.py:2: SystemExit: 3; ",
    "x = '\0'": "bad.py: source code",
    f"{ALL}LOSSES.register('mse')(int)": "bad.py:3: ValueError: loss 'mse' is registered twice; ",
    f"{ALL}LOSSES.register('mine')(int)": "bad.py: loss 'mine' is none of Loss; ",
    f"{ALL}@LAYERS.register('Other')\nclass Other(Layer): pass": "layer 'Other' is no dataclass; ",
    f"{ALL}@LAYERS.register('Other')\n{FROZEN}class Mine(Layer): pass": "layer 'Other' is the class Mine; ",
    f"{ALL}@LAYERS.register('DENSE')\n{FROZEN}class DENSE(Layer): pass": "layer 'DENSE' is written dense, which is ",
    f"{ALL}@LOSSES.register('mine')\n{FROZEN}class Mine(Loss): pass": "loss 'mine' has the keras_class ''; ",
    f"{ALL}@METRICS.register('mine')\n@dataclass\nclass M(MeanMetric): pass": "metric 'mine' has registered = ''; ",
    f"{ALL}@AUGMENTATIONS.register('medium')\n{FROZEN}class M(Colour): pass": "'medium' is the name of a preset; ",
    f"{ALL}@SCHEDULES.register('mine')\n{FROZEN}class M(Schedule):\n    p: float": "schedule 'mine' needs p; ",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_plugin_is_refused_in_one_line_and_nothing_is_left(text, folder, capsys):
    (folder / "bad.py").write_text(text)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    line = refused(capsys, "build", "new.h5", "--plugin", "my.py", "--plugin", "bad.py", "--input", "6", "dense:3")
    assert line.startswith("--plugin: bad.py") and BROKEN[text] in line and "; " in line
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert "Scale" not in LAYERS and "mine" not in LOSSES and "scale" not in names.LAYERS


def test_what_is_no_plugin_is_refused(folder, capsys):
    assert "no.py: no such file" in refused(capsys, "summary", "m.h5", "--plugin", "no.py")
    assert ".: is no file" in refused(capsys, "summary", "m.h5", "--plugin", ".")
    assert "./my.py is given twice" in refused(capsys, "summary", "m.h5", "--plugin", "my.py", "--plugin", "./my.py")
    assert "bad.py" in refused(capsys, "summary", "m.h5", "--plugin", "my.py", "--plugin", "bad.py")


TYPO = """import dltool.plugin as d
@d.CALLBACKS.register("bad")
class Bad(d.Callback):
    def epoch_end(self, run):
        run.lgos
"""
OWN_WORDS = """import dltool.plugin as d
from dltool.errors import UsageError
@d.CALLBACKS.register("bad")
class Bad(d.Callback):
    def train_begin(self, run):
        raise UsageError("bad: not today; wait")
"""
AT_WORK = {TYPO: "bad.py:5: AttributeError: 'Run' object has no attribute 'lgos'", OWN_WORDS: "bad: not today; wait"}


@pytest.mark.parametrize("text", AT_WORK)
def test_an_error_of_a_callback_is_one_line_with_the_plugins_line(text, folder, capsys):
    (folder / "bad.py").write_text(text)
    words = ["--plugin", "my.py", "--plugin", "bad.py", "--data", "x.npy", "-q"]
    assert refused(capsys, "fit", built(), *words).startswith(AT_WORK[text])


def test_an_error_of_a_plugin_has_its_traceback_with_debug(folder, capsys):
    (folder / "bad.py").write_text(TYPO)
    run("fit", built(), "--plugin", "my.py", "--plugin", "bad.py", "--data", "x.npy", "-q", "--debug", code=2)
    err = capsys.readouterr().err
    assert 'File "bad.py", line 5, in epoch_end' in err and "Traceback" in err


@pytest.mark.parametrize("backend", [["--jobs", "1"], ["--jobs", "2", "--backend", "processes"]])
def test_an_error_of_a_layer_in_a_lane_is_one_line_with_the_plugins_line(backend, folder, capsys):
    text = (folder / "my.py").read_text()
    text = text.replace("            return dy * scale", "            return undefined * scale")
    (folder / "my.py").write_text(text)
    line = text[: text.index("undefined")].count("\n") + 1
    found = refused(capsys, "fit", built(), "--plugin", "my.py", "--data", "x.npy", "-q", *backend)
    assert found.startswith(f"my.py:{line}: NameError: name 'undefined' is not defined; mend the plugin")


COUNTING = """
from dltool.plugin import CALLBACKS, Callback

@CALLBACKS.register("epochs")
class Epochs(Callback):
    def __init__(self): self.count = 0
    def epoch_end(self, run):
        self.count += 1
        with open("epochs.txt", "a") as file:
            print(self.count, file=file)
        if self.count == LAST:
            run.stop = "enough"
    def state(self): return {"count": self.count}
    def restore(self, state): self.count = state["count"]
"""
TUNE = ["--arch", "mlp:layers=1,units=4", "--try", "lr=0.01,0.02,0.03", "--trials", "3", "--jobs", "1"]


@pytest.mark.parametrize("last", [2, 99])
def test_a_callback_takes_part_in_every_trial_and_keeps_its_memory_while_the_trial_pauses(last, folder):
    """6 epochs: a trial pauses after 1 and 2. The callback may end it for good, as it would in fit."""
    (folder / "my.py").write_text((folder / "my.py").read_text() + COUNTING.replace("LAST", str(last)))
    run("tune", "m.h5", "--plugin", "my.py", "--data", "x.npy", *TUNE, "--epochs", "6", "--journal", "j", "-q")
    model = read_with_plugin("m.h5")
    digest = hashlib.sha256((folder / "my.py").read_bytes()).hexdigest()
    assert model.recipe["plugins"] == [f"my.py sha256:{digest}"]
    counts = list(map(int, (folder / "epochs.txt").read_text().split()))
    assert counts.count(1) == 3 and max(counts) == len(model.history) == min(last, 6)
    rate = model.history[0]["learning_rate"]
    words = ["--lr", str(rate), "--epochs", "6", "--jobs", "1", "--monitor", "val_accuracy"]
    run("fit", "alone.h5", "--plugin", "my.py", "--data", "x.npy", *TUNE[:2], *words, "-q")
    assert (folder / "alone.h5").read_bytes() == (folder / "m.h5").read_bytes()


def test_a_search_with_a_plugin_that_was_changed_is_another_search(folder, capsys):
    words = ["tune", "m.h5", "--plugin", "my.py", "--data", "x.npy", *TUNE, "--epochs", "1", "--journal", "j"]
    run(*words, "-q")
    (folder / "my.py").write_text((folder / "my.py").read_text() + "# changed")
    assert refused(capsys, *words).startswith("--journal: j is of another search (plugins differs); ")


def test_a_callback_that_ends_trials_before_their_first_epoch_is_told(folder, capsys):
    text = "import dltool.plugin as d\n@d.CALLBACKS.register('never')\nclass Never(d.Callback):\n"
    (folder / "never.py").write_text(f"{text}    def train_begin(self, run): run.stop = 'not today'\n")
    line = refused(capsys, "tune", "m.h5", "--plugin", "never.py", "--data", "x.npy", *TUNE, "--epochs", "2", "-q")
    assert line == "--try: trial 1 ended before its first epoch did: not today"
    assert not (folder / "m.h5").exists()


def test_a_callback_takes_part_in_every_round_and_the_model_remembers_its_plugin(folder, capsys):
    (folder / "my.py").write_text((folder / "my.py").read_text() + COUNTING.replace("LAST", "99"))
    random = np.random.default_rng(2)
    labels = np.arange(600) % 2
    rows = (random.normal(size=(600, 6)) + 3 * labels[:, None]).astype(np.float32)
    for name, part in (("a", slice(0, 200)), ("v", slice(200, 400)), ("u", slice(400, 600))):
        np.save(f"{name}.npy", rows[part])
        np.save(f"{name}-y.npy", labels[part])
    data = ["--data", "a.npy", "--labels", "a-y.npy", "--val", "v.npy", "--val-labels", "v-y.npy", "--jobs", "1", "-q"]
    run("fit", "m.h5", "--arch", "mlp", "--epochs", "8", *data)
    (folder / "u-y.npy").unlink()
    pool = ["--unlabelled", "u.npy", "--threshold", "0.6", "--train-to", "new.h5", "--rounds", "2", "--epochs", "3"]
    run("pseudo-label", "m.h5", "--plugin", "my.py", *pool, *data)
    assert (folder / "epochs.txt").read_text().split()[:3] == ["1", "2", "3"]
    assert read_with_plugin("new.h5").recipe["plugins"][0].startswith("my.py sha256:")
    capsys.readouterr()
    run("pseudo-label", "new.h5", *pool[:4], *[word for word in data if word != "-q"], "-o", "list.csv")
    assert "trained with the plugin my.py, which is not given" in capsys.readouterr().err


REMEMBERING = """
import os, signal
from dltool.plugin import CALLBACKS, Callback

@CALLBACKS.register("third")
class Third(Callback):
    def __init__(self): self.count = 0
    def epoch_end(self, run):
        self.count += 1
        if self.count == 2 and LEAVE:
            os.kill(os.getpid(), signal.SIGINT)
        if self.count == 3:
            run.stop = "three epochs"
    def state(self): return {"count": self.count}
    def restore(self, state): self.count = state["count"]
"""


def test_a_resumed_run_gives_callbacks_their_memory_back(folder):
    """Interrupted by a signal in the second epoch; with its memory the callback stops the run after the third."""
    words = ["--plugin", "my.py", "--plugin", "third.py", "--data", "x.npy", "--epochs", "9", "-q"]
    (folder / "third.py").write_text(REMEMBERING.replace("LEAVE", "False"))
    run("fit", built("whole.h5"), *words)
    (folder / "third.py").write_text(REMEMBERING.replace("LEAVE", "True"))
    run("fit", built("parts.h5"), *words, code=130)
    (folder / "third.py").write_text(REMEMBERING.replace("LEAVE", "False"))
    run("fit", "parts.h5", *words, "--resume")
    whole, parts = read_with_plugin("whole.h5"), read_with_plugin("parts.h5")
    assert len(parts.history) == len(whole.history) == 3
    assert (folder / "parts.h5").read_bytes() == (folder / "whole.h5").read_bytes()


KERAS = """
import sys
import numpy as np
import keras

class Scale(keras.layers.Layer):
    def __init__(self, power=1.0, **more):
        super().__init__(**more)
        self.power = power
    def build(self, shape):
        self.factor = self.add_weight(name="factor", shape=(shape[-1],), initializer="ones")
    def call(self, x):
        return x * self.factor ** self.power

for name in ("m.h5", "m.keras"):
    model = keras.models.load_model(name, custom_objects={"Scale": Scale}, compile=False)
    np.save(name + ".npy", model.predict(np.load("x.npy"), verbose=0))
"""


@pytest.mark.interop
def test_keras_opens_a_model_with_a_layer_of_its_own(folder):
    pytest.importorskip("keras")
    run("fit", built(), "--plugin", "my.py", "--data", "x.npy", "--epochs", "2", "-q")
    run("predict", "m.h5", "x.npy", "--plugin", "my.py", "--exact", "-q", "-o", "own.npy")
    run("convert", "m.h5", "m.keras", "--plugin", "my.py", "-q")
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    subprocess.run([sys.executable, "-c", KERAS], check=True, capture_output=True, timeout=120, env=environment)
    for name in ("m.h5", "m.keras"):
        np.testing.assert_allclose(np.load("own.npy"), np.load(f"{name}.npy"), atol=1e-5)
    run("predict", "m.keras", "x.npy", "--plugin", "my.py", "--exact", "-q", "-o", "again.npy")
    np.testing.assert_array_equal(np.load("own.npy"), np.load("again.npy"))
