"""``finetune``: bases inside models, other image sizes, gradual unfreezing, augmentation, kept features."""

from dataclasses import replace

import numpy as np
import pytest

from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    Rescaling,
)
from dltool.engine.model import Model
from dltool.errors import UsageError
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.modelfile.writing import write
from dltool.settings import DataSettings, EvaluateSettings, FinetuneSettings
from dltool.workflows import evaluate, finetune
from dltool.workflows.finetuning.stages import StageEvents
from tests.workflows.pictures import picture_folder, table

NORM, LAST = "base/norm", "base/last"


class Heard(StageEvents):
    """Keeps what the user would see."""

    def __init__(self):
        self.lines, self.stages, self.counts = [], [], []

    def understood(self, lines):
        self.lines += lines

    def features_done(self, done, total):
        self.counts.append((done, total))

    def stage_end(self, stage):
        self.stages.append((stage.what, stage.epochs))


def guide(*head, inference: bool = True) -> Graph:
    """A base inside a model, called with ``training=False`` as Keras's guide of transfer learning does."""
    b = GraphBuilder("guide")
    x = b.add(Rescaling(1 / 255, name="rescaling"), b.input((8, 8, 1), "pixels"))
    x = b.add(Conv2D(3, 3, padding="same", activation="relu", name="base/first"), x)
    x = b.add(MaxPooling2D(name="base/pool"), b.add(BatchNormalization(name=NORM), x))
    x = b.add(Dropout(0.3, name="base/drop"), b.add(Conv2D(4, 3, activation="relu", name=LAST), x))
    for layer in head or (GlobalAveragePooling2D(name="gap"), Dense(3, activation="softmax", name="out")):
        x = b.add(layer, x)
    graph = b.graph(x)
    nodes = (replace(n, inference=inference and n.layer.trains_differently) for n in graph.nodes)
    return Graph(tuple(nodes), graph.outputs, graph.name)


def settings(tmp_path, graph: Graph | None = None, **options) -> FinetuneSettings:
    """A base in base.h5, pictures of two classes in data/."""
    saved = SavedModel(Model.build(graph or guide(), seed=1))
    mean, variance = saved.model.weights.views[NORM][2:] if NORM in saved.model.weights.views else ((), ())
    if len(mean):
        mean[...], variance[...] = 0.1, 0.5
    write(saved, tmp_path / "base.h5")
    if not (tmp_path / "data").exists():
        picture_folder(tmp_path / "data", {"dark": 40, "bright": 215}, per_class=15)
    wanted = {
        "data": DataSettings((str(tmp_path / "data"),)), "output": str(tmp_path / "n.h5"), "epochs": 2,
        "epochs_unfrozen": 2, "batch_size": 8, "jobs": 1, "backend": "threads", "val_split": 0.2, "force": True,
        **options,
    }  # fmt: skip
    return FinetuneSettings(model=str(tmp_path / "base.h5"), **wanted)


def run(wanted: FinetuneSettings) -> tuple[SavedModel, Heard]:
    heard = Heard()
    finetune.run(wanted, heard)
    return read(wanted.output), heard


def changed(tmp_path, saved: SavedModel) -> set[str]:
    """The base's layers that have other weights than before."""
    before = read(tmp_path / "base.h5").model.weights.views
    after = saved.model.weights.views
    return {
        name
        for name in before.keys() & after.keys()
        if not all(map(np.array_equal, before[name], after[name])) and name.startswith("base")
    }


def test_a_base_called_at_inference_stays_so_when_it_is_unfrozen(tmp_path):
    saved, heard = run(settings(tmp_path, bn="update"))
    assert heard.lines[0].endswith("base.h5: 3-class head dropped, new head bright dark; batch normalisation follows")
    assert any("calls 1 of 1 batch normalisations with training=False: they stay" in line for line in heard.lines)
    assert changed(tmp_path, saved) == {"base/first", NORM, LAST}
    # gamma and beta train, the moving statistics stay: the file says training=False
    before, after = (m.model.weights.views[NORM] for m in (read(tmp_path / "base.h5"), saved))
    assert not np.array_equal(before[0], after[0])
    assert np.array_equal(before[2], after[2]) and np.array_equal(before[3], after[3])
    assert [node.name for node in saved.model.graph.nodes if node.inference] == [NORM, "base/drop"]
    saved, _ = run(settings(tmp_path, guide(inference=False), bn="update"))
    assert not np.array_equal(before[2], saved.model.weights.views[NORM][2])


def test_names_inside_a_model_say_where_to_cut_and_what_trains(tmp_path):
    saved, heard = run(settings(tmp_path, at="base", unfreeze="last"))
    assert list(saved.model.graph.layers)[-3:] == ["base/drop", "global_average_pooling2d", "dense"]
    assert changed(tmp_path, saved) == {LAST}
    assert heard.stages[1] == ("head and last, lr 1e-04 .. 1e-03", 2)
    saved, _ = run(settings(tmp_path, at="norm", epochs_unfrozen=0))
    assert list(saved.model.graph.layers)[-3:] == [NORM, "global_average_pooling2d", "dense"]


def test_gradual_unfreezing_says_its_plan_and_keeps_to_it(tmp_path):
    saved, heard = run(settings(tmp_path, gradual=True, epochs_unfrozen=3, learning_rates=(1e-4, 1e-3, 1e-2)))
    assert heard.lines[-3:] == [
        "plan    1  head only, lr 1e-02, 2 epochs",
        "plan    2  and last, lr 1e-03, 1 epoch",
        "plan    3  and first, lr 1e-04, 2 epochs",
    ]
    assert heard.stages == [
        ("head only, features computed once (30 x 4, 480 B)", 2),
        ("and last, lr 1e-03 .. 1e-02", 1),
        ("and first, lr 1e-04 .. 1e-02", 2),
    ]
    assert [row["epoch"] for row in saved.history] == [1, 2, 3, 4, 5]
    assert saved.model.graph.layers["base/first"].trainable
    stopped = settings(tmp_path, gradual=True, epochs_unfrozen=1, unfreeze="last")
    assert changed(tmp_path, run(stopped)[0]) == {LAST}
    with pytest.raises(UsageError, match="--gradual: needs passes to share; give --epochs-unfrozen 1 or more"):
        run(settings(tmp_path, gradual=True, epochs_unfrozen=0))


def test_a_base_of_convolutions_takes_images_of_another_size(tmp_path):
    data = DataSettings((str(tmp_path / "data"),), image_size=(12, 10))
    saved, _ = run(settings(tmp_path, data=data, epochs_unfrozen=0))
    assert saved.model.graph.input_shapes == ((12, 10, 1),)
    assert (saved.preprocessing["height"], saved.preprocessing["width"]) == (12, 10)
    assert changed(tmp_path, saved) == set()
    found = evaluate.run(EvaluateSettings(str(tmp_path / "n.h5"), DataSettings((str(tmp_path / "data"),))))
    assert found.n == 30
    flat = guide(Flatten(name="flat"), Dense(5, name="fc"), Dense(3, activation="softmax", name="out"))
    message = "--image-size: 12x10x1 instead of 8x8x1: layer 'fc' has weights for 16 and would get 48; keep the size"
    with pytest.raises(UsageError, match=message):
        run(settings(tmp_path, flat, data=data))
    assert (
        run(settings(tmp_path, flat, data=data, at="flat", epochs_unfrozen=0))[0].model.graph.input_shapes[0][0] == 12
    )


def test_arrays_of_another_size_want_to_be_said_so(tmp_path):
    random = np.random.default_rng(0)
    path = table(tmp_path, "big", random.integers(0, 255, (20, 12, 10, 1)).astype(np.uint8), np.arange(20) % 2)
    data = DataSettings((str(path),), image_size=(12, 10))
    assert run(settings(tmp_path, data=data, epochs_unfrozen=0))[0].model.graph.input_shapes == ((12, 10, 1),)


def test_pop_0_keeps_all_of_a_network_without_a_head(tmp_path):
    headless = guide(GlobalAveragePooling2D(name="gap"))
    with pytest.raises(UsageError, match=r"not with a Dense head; give --pop N or --at LAYER; --pop 0 keeps all of it"):
        run(settings(tmp_path, headless))
    saved, heard = run(settings(tmp_path, headless, pop=0, epochs_unfrozen=0))
    assert list(saved.model.graph.layers)[-2:] == ["gap", "dense"]
    assert ": nothing dropped, new head bright dark; " in heard.lines[0]
    saved, heard = run(settings(tmp_path, pop=0, epochs_unfrozen=0))
    assert list(saved.model.graph.layers)[-2:] == ["out", "dense"]
    assert any("--pop 0 keeps the old head: the new one sees its 3 probabilities only" in line for line in heard.lines)


def test_features_are_kept_in_the_order_of_the_data(tmp_path):
    path = tmp_path / "f.npz"
    _, heard = run(settings(tmp_path, features=str(path), epochs_unfrozen=0))
    assert heard.stages[0][0] == f"head only, features computed once (30 x 4, 480 B in {path})"
    with np.load(path) as found:
        assert found["x"].shape == (30, 4) and found["y"].tolist() == ["bright"] * 15 + ["dark"] * 15
        features = found["x"]
    # The same rows through the base alone, by hand: what follows the dropout is the mean over the places.
    assert np.unique(features.round(6), axis=0).shape[0] > 10
    own = settings(tmp_path, features=str(tmp_path / "g.npy"), val=(str(tmp_path / "data"),), val_split=None)
    _, heard = run(replace(own, epochs_unfrozen=0))
    assert heard.stages[0][0].startswith("head only, features computed once (60 x 4, 960 B in ")
    assert heard.counts == [(n, 60) for n in (8, 16, 24, 30, 38, 46, 54, 60)]
    assert np.array_equal(np.load(tmp_path / "g.npy"), features)


def test_augmentation_runs_the_base_in_every_epoch(tmp_path):
    plain, _ = run(settings(tmp_path))
    saved, heard = run(settings(tmp_path, augment="hflip,brightness=0.2"))
    assert heard.stages[0] == ("head only", 2)
    assert saved.recipe["augment"] == "hflip,brightness=0.2" and plain.recipe["augment"] is None
    assert saved.history[0]["loss"] != plain.history[0]["loss"]
    run(settings(tmp_path, augment="mixup=0.2", epochs_unfrozen=0))
    for option, words in (("precompute", True), ("features", str(tmp_path / "f.npy"))):
        with pytest.raises(
            UsageError, match=f"--{option}: cannot be combined with --augment, because features are com"
        ):
            run(settings(tmp_path, augment="hflip", **{option: words}))
    assert run(settings(tmp_path, augment="none", precompute=True))[1].stages[0][0].startswith("head only, features")


def test_what_prepares_pixels_never_trains_and_goes_with_the_model(tmp_path):
    b = GraphBuilder("plain")
    x = b.add(GlobalAveragePooling2D(name="gap"), b.add(Conv2D(4, 3, name="conv"), b.input((8, 8, 3), "pixels")))
    plain = b.graph(b.add(Dense(3, activation="softmax", name="out"), x))
    saved, heard = run(settings(tmp_path, plain, preprocess="caffe", learning_rates=(1e-2,)))
    kernel, bias = saved.model.weights.views["preprocess"]
    assert np.array_equal(kernel[0, 0], np.eye(3)[::-1]) and bias == pytest.approx([-103.939, -116.779, -123.68])
    assert not saved.model.graph.layers["preprocess"].trainable and saved.model.graph.layers["conv"].trainable
    assert saved.recipe["finetune"]["preprocess"] == "caffe"
    assert "note    pixels 0..255 are prepared as by preprocess_input of Keras, mode caffe" in heard.lines
