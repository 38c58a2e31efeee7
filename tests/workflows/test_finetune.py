"""``finetune`` on small pictures: what is kept, what is new, what trains when, what is refused."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dltool.engine.layers import Rescaling
from dltool.errors import DivergedError, ModelFileError, OutputError, UsageError
from dltool.modelfile.lock import locked
from dltool.modelfile.reading import read
from dltool.modelfile.writing import write
from dltool.settings import BuildSettings, DataSettings, EvaluateSettings, FinetuneSettings, FitSettings
from dltool.workflows import build, evaluate, finetune, fit
from dltool.workflows.finetuning.stages import StageEvents
from tests.workflows.pictures import table

WORDS = (
    "conv2d:6,3,use_bias=false bn relu maxpool:2 dropout:0.2 conv2d:8,3,relu flatten "
    "features=dense:16,relu dropout:0.2 dense:3,softmax"
)
SHAPES = {"bar": (slice(2, 4), slice(0, 12)), "pole": (slice(0, 12), slice(2, 4)), "box": (slice(3, 9), slice(3, 9))}
OTHERS = {"floor": (slice(9, 11), slice(0, 12)), "wall": (slice(0, 12), slice(9, 11))}


def drawings(root: Path, shapes: dict, per_class: int, seed: int) -> Path:
    """``root/bar/0.png``: 12x12 pictures of a bright shape on dark noise."""
    random = np.random.default_rng(seed)
    for name, place in shapes.items():
        (root / name).mkdir(parents=True)
        for number in range(per_class):
            pixels = random.integers(0, 60, (12, 12))
            pixels[place] += random.integers(60, 180)
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")
    return root


class Heard(StageEvents):
    """Keeps what the user would see."""

    def __init__(self):
        self.lines, self.epochs, self.stages = [], [], []

    def understood(self, lines):
        self.lines += lines

    def epoch_end(self, run):
        self.epochs.append((run.epoch, run.epochs))

    def stage_end(self, stage):
        self.stages.append(stage)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A base trained on three shapes, and pictures of two others."""
    root = tmp_path_factory.mktemp("finetune")
    first = drawings(root / "first", SHAPES, 40, seed=0)
    drawings(root / "second", OTHERS, 30, seed=1)
    drawings(root / "test", OTHERS, 30, seed=2)
    build.run(BuildSettings(str(root / "base.h5"), words=tuple(WORDS.split()), data=DataSettings((str(first),))))
    data = DataSettings((str(first),))
    fit.run(FitSettings(str(root / "base.h5"), data, epochs=15, batch_size=16, learning_rate=0.005, jobs=1))
    return root


def settings(world: Path, output: Path | None, **options) -> FinetuneSettings:
    wanted = {
        "data": DataSettings((str(world / "second"),)),
        "epochs": 8,
        "epochs_unfrozen": 4,
        "batch_size": 16,
        "jobs": 1,
        "backend": "threads",
        "optimizer": "adam",
        "learning_rates": (1e-4, 1e-3, 1e-2),
        "output": None if output is None else str(output),
        **options,
    }
    return FinetuneSettings(model=str(world / "base.h5"), **wanted)


def weights_of(path, *names):
    views = read(str(path)).model.weights.views
    return {name: [view.copy() for view in views[name]] for name in names}


def same(first, second):
    return all(np.array_equal(a, b) for name in first for a, b in zip(first[name], second[name], strict=True))


def test_new_classes_are_learnt_and_the_file_says_everything(world, tmp_path):
    heard = Heard()
    result = finetune.run(settings(world, tmp_path / "n.h5"), heard)
    saved = read(str(tmp_path / "n.h5"))
    assert saved.classes == ("floor", "wall")
    assert saved.preprocessing == {"kind": "image", "height": 12, "width": 12, "color": "gray", "resize": "stretch"}
    assert saved.model.graph.output_shapes == ((2,),)
    assert [row["epoch"] for row in saved.history] == list(range(1, 13))
    assert saved.split == {"kind": "stratified", "fraction": 0.2, "seed": 0, "train": 48, "validation": 12}
    assert saved.state is None
    assert saved.training_config.optimizer.learning_rate == 1e-4
    assert saved.recipe["finetune"]["unfreeze"] == "all" and 1 <= saved.recipe["best_epoch"] <= 12
    test = evaluate.run(EvaluateSettings(str(tmp_path / "n.h5"), DataSettings((str(world / "test"),))))
    assert test.metrics["accuracy"].value > 0.9
    assert heard.lines[0] == (
        f"{world / 'base.h5'}: 3-class head dropped, new head floor wall; batch normalisation frozen"
    )
    assert heard.epochs == [(n, 8) for n in range(1, 9)] + [(n, 12) for n in range(9, 13)]
    assert [stage.what for stage in result.stages] == [
        "head only, features computed once (60 x 16, 3.8 kB)",
        "all layers, lr 1e-04 .. 1e-02",
    ]
    assert [(stage.number, stage.epochs) for stage in heard.stages] == [(1, 8), (2, 4)]
    assert result.stages[1].logs["val_accuracy"] > 0.9


def test_a_fixed_base_stays_as_it_was_bit_for_bit_and_frozen(world, tmp_path):
    finetune.run(settings(world, tmp_path / "n.h5", epochs_unfrozen=0, val_split=0.0))
    names = "conv2d", "batch_normalization", "conv2d_1", "features"
    assert same(weights_of(world / "base.h5", *names), weights_of(tmp_path / "n.h5", *names))
    layers = read(str(tmp_path / "n.h5")).model.graph.layers
    assert not any(layers[name].trainable for name in names)
    # The base ended with dense, which is gone, so the new head takes the name.
    assert layers["dense"].trainable and layers["dense"].units == 2


def test_features_computed_once_train_the_same_head_as_running_the_base_each_time(world, tmp_path):
    for name, once in (("a", True), ("b", False)):
        finetune.run(settings(world, tmp_path / f"{name}.h5", precompute=once, epochs_unfrozen=0))
    first, second = (read(str(tmp_path / f"{name}.h5")) for name in "ab")
    assert first.model.weights.vector == pytest.approx(second.model.weights.vector, abs=1e-4)
    assert [row["loss"] for row in first.history] == pytest.approx([row["loss"] for row in second.history], abs=1e-4)


def test_features_that_memory_does_not_hold_lie_on_the_disk_while_they_are_needed(world, tmp_path, monkeypatch):
    finetune.run(settings(world, tmp_path / "m.h5", epochs=3, epochs_unfrozen=0))
    monkeypatch.setattr("dltool.workflows.finetuning.feature_cache.store_limit", lambda: 60 * 16 * 4 - 1)
    result = finetune.run(settings(world, tmp_path / "n.h5", epochs=3, epochs_unfrozen=0))
    assert result.stages[0].what == "head only, features computed once (60 x 16, 3.8 kB on disk)"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.h5", "n.h5"]
    assert (tmp_path / "m.h5").read_bytes() == (tmp_path / "n.h5").read_bytes()


def test_features_that_fit_nowhere_are_not_kept_unless_that_was_asked(world, tmp_path, monkeypatch):
    monkeypatch.setattr("dltool.workflows.finetuning.feature_cache.store_limit", lambda: 0)
    monkeypatch.setattr("dltool.workflows.finetuning.feature_cache.has_room", lambda folder, size: False)
    heard = Heard()
    result = finetune.run(settings(world, tmp_path / "n.h5", epochs=1, epochs_unfrozen=0), heard)
    assert result.stages[0].what == "head only"
    assert "note    features would need 3.8 kB, for which there is no room: the base runs in every epoch" in heard.lines
    with pytest.raises(UsageError, match=r"--precompute: the features of 60 rows need 3\.8 kB, which fit neither into"):
        finetune.run(settings(world, tmp_path / "m.h5", precompute=True))
    assert not (tmp_path / "m.h5").exists()


def test_unfrozen_layers_move_at_their_depths_rate_and_batch_normalisation_stays(world, tmp_path):
    finetune.run(settings(world, tmp_path / "n.h5", optimizer="sgd", learning_rates=(1e-6, 1e-4, 1e-2), val_split=0.0))
    names = "conv2d", "conv2d_1", "features"
    before, after = weights_of(world / "base.h5", *names), weights_of(tmp_path / "n.h5", *names)
    moved = [float(np.abs(before[name][0] - after[name][0]).mean()) for name in names]
    # Five layers with weights: two, two, and the head.
    assert 0 < moved[0] < min(moved[1:]) / 5
    norm = "batch_normalization"
    assert same(weights_of(world / "base.h5", norm), weights_of(tmp_path / "n.h5", norm))
    layers = read(str(tmp_path / "n.h5")).model.graph.layers
    assert not layers[norm].trainable and layers["conv2d"].trainable


def test_bn_update_lets_statistics_follow_the_new_data(world, tmp_path):
    finetune.run(settings(world, tmp_path / "n.h5", bn="update", val_split=0.0))
    norm = "batch_normalization"
    before, after = weights_of(world / "base.h5", norm)[norm], weights_of(tmp_path / "n.h5", norm)[norm]
    assert not any(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("unfreeze", "free"), [("1", {"features"}), ("conv2d_*,feat*", {"conv2d_1", "features"}), ("all", None)]
)
def test_only_the_chosen_layers_are_unfrozen(world, tmp_path, unfreeze, free):
    finetune.run(settings(world, tmp_path / "n.h5", unfreeze=unfreeze, epochs=1, epochs_unfrozen=1, val_split=0.0))
    names = {"conv2d", "conv2d_1", "features"}
    for name in names:
        kept = same(weights_of(world / "base.h5", name), weights_of(tmp_path / "n.h5", name))
        assert kept == (free is not None and name not in free), name


def test_a_second_stage_that_only_spoils_is_not_kept(world, tmp_path):
    result = finetune.run(settings(world, tmp_path / "n.h5", learning_rates=(5.0, 5.0, 1e-2)))
    best = read(str(tmp_path / "n.h5")).recipe["best_epoch"]
    assert best <= 8
    assert result.stages[0].logs == result.stages[1].logs
    names = "conv2d", "conv2d_1", "features"
    assert same(weights_of(world / "base.h5", *names), weights_of(tmp_path / "n.h5", *names))


def test_divergence_keeps_the_first_stage_and_says_so(world, tmp_path):
    wanted = settings(world, tmp_path / "n.h5", optimizer="sgd", learning_rates=(1e30, 1e30, 1e-2), val_split=0.0)
    with pytest.raises(DivergedError, match=r"use a smaller --lr.*n\.h5 has the weights of epoch 8"):
        finetune.run(wanted)
    assert np.isfinite(read(str(tmp_path / "n.h5")).model.weights.vector).all()
    with pytest.raises(DivergedError, match="no epoch was finished, so nothing was written"):
        finetune.run(replace(wanted, learning_rates=(1e38,), output=str(tmp_path / "m.h5")))
    assert not (tmp_path / "m.h5").exists()


def test_the_same_command_gives_the_same_bytes_for_any_jobs(world, tmp_path):
    for name, jobs in (("a", 1), ("b", 2)):
        finetune.run(settings(world, tmp_path / f"{name}.h5", jobs=jobs, epochs=2, epochs_unfrozen=2))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_the_head_may_be_cut_and_written_anywhere(world, tmp_path):
    head = ("dense:8,relu dropout:0.1", "dense:2,softmax")
    finetune.run(settings(world, tmp_path / "n.h5", at="flatten", head=head, epochs=1, epochs_unfrozen=0))
    layers = read(str(tmp_path / "n.h5")).model.graph.layers
    assert "features" not in layers
    assert [type(layer).__name__ for layer in layers.values()][-3:] == ["Dense", "Dropout", "Dense"]
    finetune.run(settings(world, tmp_path / "m.h5", pop=4, epochs=1, epochs_unfrozen=0))
    names = [type(layer).__name__ for layer in read(str(tmp_path / "m.h5")).model.graph.layers.values()]
    # Four from the end are dense, dropout, features and flatten; pictures are averaged instead.
    assert names[-2:] == ["GlobalAveragePooling2D", "Dense"]


def test_numbers_instead_of_classes(world, tmp_path):
    random = np.random.default_rng(0)
    x = random.integers(0, 255, (60, 12, 12, 1)).astype(np.uint8)
    data = table(tmp_path, "bright", x, x.mean(axis=(1, 2)).astype(np.float32) / 255)
    heard = Heard()
    finetune.run(settings(world, tmp_path / "n.h5", data=DataSettings((str(data),)), epochs_unfrozen=0), heard)
    saved = read(str(tmp_path / "n.h5"))
    assert saved.classes is None and saved.training_config.loss_names == ("mean_squared_error",)
    assert heard.lines[0].startswith(f"{world / 'base.h5'}: 3-class head dropped, new head for numbers; ")
    assert saved.history[-1]["loss"] < saved.history[0]["loss"]


def foreign(world: Path, path: Path, *front) -> Path:
    """The base as others would have written it: without our notes on how images are read, with other first layers."""
    graph = read(str(world / "base.h5")).model.graph
    words = ("flatten", "dense:8,relu", "dense:3,softmax")
    assert isinstance(graph.nodes[1].layer, Rescaling)
    build.run(BuildSettings(str(path), input=(12, 12, 1), words=(*front, *words), rescale=False))
    saved = read(str(path))
    saved.preprocessing = None
    write(saved, path)
    return path


def test_pixels_are_scaled_for_a_file_that_does_not_do_it_itself(world, tmp_path):
    def layers(path, **options):
        heard = Heard()
        base = settings(world, tmp_path / "n.h5", epochs=1, epochs_unfrozen=0, force=True, **options)
        finetune.run(replace(base, model=str(path)), heard)
        graph = read(str(tmp_path / "n.h5")).model.graph
        notes = [line for line in heard.lines if "does not scale pixels itself" in line]
        return sum(isinstance(layer, Rescaling) for layer in graph.layers.values()), len(notes)

    plain = foreign(world, tmp_path / "plain.h5")
    assert layers(plain) == (1, 1)
    assert layers(plain, rescale=False) == (0, 0)
    assert layers(foreign(world, tmp_path / "scaled.h5", "rescale:1/127")) == (1, 0)
    assert layers(foreign(world, tmp_path / "normed.h5", "bn")) == (0, 0)
    assert layers(world / "base.h5") == (1, 0)


def test_an_interrupt_writes_what_was_reached(world, tmp_path):
    class Impatient(Heard):
        def epoch_end(self, run):
            super().epoch_end(run)
            if run.epoch == 3:
                os.kill(os.getpid(), signal.SIGINT)

    heard = Impatient()
    with pytest.raises(KeyboardInterrupt):
        finetune.run(settings(world, tmp_path / "n.h5"), heard)
    assert [stage.number for stage in heard.stages] == [1]
    assert len(read(str(tmp_path / "n.h5")).history) == 3


def test_the_base_is_replaced_with_force_only(world, tmp_path):
    (tmp_path / "copy.h5").write_bytes((world / "base.h5").read_bytes())
    wanted = replace(settings(world, None, epochs=1, epochs_unfrozen=0), model=str(tmp_path / "copy.h5"))
    with pytest.raises(UsageError, match=r"-o: missing; name the new model, or give --force to replace .*copy\.h5"):
        finetune.run(wanted)
    with pytest.raises(OutputError, match=r"copy\.h5: exists; use --force"):
        finetune.run(replace(wanted, output=str(tmp_path / "copy.h5")))
    finetune.run(replace(wanted, force=True))
    assert read(str(tmp_path / "copy.h5")).classes == ("floor", "wall")


def test_a_finetuned_file_trains_on(world, tmp_path):
    finetune.run(settings(world, tmp_path / "n.h5", epochs=2, epochs_unfrozen=1))
    data = DataSettings((str(world / "second"),))
    result = fit.run(FitSettings(str(tmp_path / "n.h5"), data, epochs=1, batch_size=16, jobs=1))
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4]


def test_what_does_not_fit_is_refused_before_anything_is_written(world, tmp_path):
    new = tmp_path / "n.h5"
    for wanted, kind, message in (
        (settings(world, new, at="featurs"), UsageError, "--at: the model has no layer 'featurs'; did you mean 'feat"),
        (settings(world, new, pop=30), UsageError, "--pop: layer 'input_layer.*' is the input"),
        (settings(world, new, head=("dense:5,softmax",)), UsageError, "--head: ends with 5 outputs .* have 2 classes"),
        (settings(world, new, head=("dense:2,sofmax",)), UsageError, "--head: dense:2,sofmax: .*did you mean"),
        (settings(world, new, head=("dense:2,softmax(",)), UsageError, "--head: brackets do not match"),
        (settings(world, new, unfreeze="conv3d*"), UsageError, "--unfreeze: 'conv3d\\*' fits no layer"),
        (settings(world, new, unfreeze="0"), UsageError, "--unfreeze: 0 layers would not change the base"),
        (settings(world, new, loss="mse_"), UsageError, "did you mean"),
        (settings(world, new, optimizer="adm"), UsageError, "did you mean"),
        (settings(world, new, val=("x",), val_split=0.5), UsageError, "--val-split: cannot be combined"),
        (settings(world, tmp_path / "no" / "n.h5"), OutputError, "does not exist"),
        (replace(settings(world, new), model=str(tmp_path / "no.h5")), ModelFileError, r"no\.h5: no such file"),
    ):
        with pytest.raises(kind, match=message):
            finetune.run(wanted)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "dropped"),
    [
        ("real/KonduitAI__dl4j-test-resources__cnn_batch_norm.h5", "head of 1 number dropped"),
        ("golden/residual_block.k3.h5", "head dropped"),
    ],
)
def test_keras_files_are_bases_too(shared, tmp_path, file, dropped):
    base = shared / "keras" / file
    shape = read(str(base)).model.graph.input_shapes[0]
    random = np.random.default_rng(0)
    x = random.integers(0, 128, (60, *shape)).astype(np.uint8)
    y = np.arange(60) % 2
    x[y == 1] += 100
    data = table(tmp_path, "two", x, y)
    heard = Heard()
    wanted = settings(tmp_path, tmp_path / "n.h5", data=DataSettings((str(data),)), epochs=20, epochs_unfrozen=10)
    finetune.run(replace(wanted, model=str(base)), heard)
    saved = read(str(tmp_path / "n.h5"))
    assert dropped in heard.lines[0] and heard.lines[0].endswith("batch normalisation frozen")
    assert any("does not scale pixels itself" in line for line in heard.lines)
    assert saved.history[-1]["loss"] < saved.history[0]["loss"]
    assert saved.model.graph.output_shapes == ((2,),)


def test_a_model_in_training_is_not_written_by_another(world, tmp_path):
    path = tmp_path / "n.h5"
    with locked(path), pytest.raises(OutputError, match=r"n\.h5: process \d+ on .* trains it; wait for that"):
        finetune.run(settings(world, path))
    assert not path.exists()
    finetune.run(settings(world, path, epochs=1, epochs_unfrozen=0))
    assert [name.name for name in tmp_path.iterdir()] == ["n.h5"]


def test_too_little_disk_space_is_said_before_training(world, tmp_path, monkeypatch):
    full = SimpleNamespace(f_bavail=1, f_frsize=512)
    monkeypatch.setattr(os, "statvfs", lambda path: full, raising=False)
    with pytest.raises(OutputError, match=r"n\.h5: 1 MB are needed and 0 MB are free; free disk space"):
        finetune.run(settings(world, tmp_path / "n.h5"))
    assert not list(tmp_path.iterdir())


def test_what_a_file_leaves_open_is_told(world, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "dltool.workflows.finetune.read", lambda path, **how: replace(read(path, **how), doubts=("is it one?",))
    )
    heard = Heard()
    finetune.run(settings(world, tmp_path / "m.h5", epochs=1, epochs_unfrozen=0), heard)
    assert "note    is it one?" in heard.lines
