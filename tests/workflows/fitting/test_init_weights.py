"""``fit --init-from``: which layers get the weights of another file."""

import h5py
import numpy as np
import pytest

from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import Activation, BatchNormalization, Dense
from dltool.engine.model import Model
from dltool.errors import ModelFileError, UsageError
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel, TrainingState
from dltool.modelfile.writing import write
from dltool.settings import DataSettings, FitSettings
from dltool.training.callbacks import Events
from dltool.workflows import fit
from dltool.workflows.fitting.init_weights import take_weights
from tests.workflows.pictures import table


def chain(*layers, shape=(2,)) -> Graph:
    b = GraphBuilder()
    place = b.input(shape)
    for layer in layers:
        place = b.add(layer, place)
    return b.graph(place)


def saved(*layers, seed: int = 0) -> SavedModel:
    return SavedModel(Model.build(chain(*layers), seed=seed))


def written(path, *layers) -> str:
    """A file of these layers with other random weights."""
    write(saved(*layers, seed=7), path)
    return str(path)


def taken_from(path: str, *layers) -> tuple[SavedModel, tuple[str, ...]]:
    new = saved(*layers)
    return new, take_weights(new, path)


def test_layers_of_the_same_name_and_shapes_are_taken_and_the_others_are_told(tmp_path):
    path = written(tmp_path / "o.h5", Dense(3, name="a"), BatchNormalization(name="norm"), Dense(9, name="out"))
    layers = (Dense(3, name="a"), BatchNormalization(name="norm"), Dense(3, name="new"), Dense(2, name="out"))
    new, notes = taken_from(path, *layers)
    assert notes == (
        f"{path}: weights taken for 2 of 4 layers: a, norm",
        f"{path}: nothing for new (not there), out (3x2 here, 3x9 there)",
    )
    theirs, fresh = read(path).model.weights.views, saved(*layers).model.weights.views
    for name, origin in (("a", theirs), ("norm", theirs), ("new", fresh), ("out", fresh)):
        assert all(map(np.array_equal, new.model.weights.views[name], origin[name])), name


def test_nested_layers_are_found_by_the_end_of_their_name_if_it_is_unique(tmp_path):
    twice = Dense(3, name="left/a"), Dense(3, name="right/a"), Dense(3, name="right/b")
    _, notes = taken_from(written(tmp_path / "o.h5", *twice), Dense(3, name="a"), Dense(3, name="b"))
    assert notes[0].endswith(": weights taken for 1 of 2 layers: b") and notes[1].endswith(
        ": nothing for a (not there)"
    )
    _, notes = taken_from(written(tmp_path / "f.h5", Dense(3, name="a")), *twice[:1], Dense(3, name="other/z"))
    assert notes[0].endswith("weights taken for 1 of 2 layers: left/a")
    _, notes = taken_from(written(tmp_path / "g.h5", Dense(3, name="a"), Dense(3, name="right/b")), *twice)
    assert notes[0].endswith("weights taken for 1 of 3 layers: right/b")


def test_another_number_of_weights_is_no_match(tmp_path):
    path = written(tmp_path / "o.h5", Dense(3, name="a", use_bias=False), Dense(2, name="b"))
    assert taken_from(path, Dense(3, name="a"), Dense(2, name="b"))[1][1].endswith("for a (2 weights here, 1 there)")


def test_no_match_at_all_is_an_error_that_shows_both(tmp_path):
    path = written(tmp_path / "o.h5", *(Dense(2, name=f"layer{n}") for n in range(8)))
    with pytest.raises(UsageError, match=r"there are layer0, .*, layer5 and 2 more, here dense; give a model with"):
        taken_from(path, Dense(3))
    with pytest.raises(UsageError, match=r"--init-from: no layer of .* has the name and the shapes of one here"):
        taken_from(path, Activation("relu"))


def weights_only(path, version: str | None = "2.11.0") -> str:
    """What ``save_weights`` of Keras 2 writes, of the layers a (2x3) and b (3x1)."""
    with h5py.File(path, "w") as file:
        if version is not None:
            file.attrs["keras_version"] = version
        file.attrs["layer_names"] = [b"in", b"a", b"b"]
        for name, shape in (("in", None), ("a", (2, 3)), ("b", (3, 1))):
            group = file.create_group(name)
            group.attrs["weight_names"] = (
                [] if shape is None else [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            )
            if shape is not None:
                group[f"{name}/kernel:0"] = np.full(shape, 0.5, np.float32)
                group[f"{name}/bias:0"] = np.full(shape[1:], 2, np.float32)
    return str(path)


def test_a_file_of_weights_only_will_do(tmp_path):
    new, notes = taken_from(weights_only(tmp_path / "w.h5"), Dense(3, name="a"), Dense(2, name="b"))
    assert [note.partition(": ")[2] for note in notes] == [
        "weights taken for 1 of 2 layers: a",
        "nothing for b (3x2 here, 3x1 there)",
    ]
    kernel, bias = new.model.weights.views["a"]
    assert kernel.tolist() == [[0.5] * 3] * 2 and bias.tolist() == [2.0] * 3


def test_files_without_names_or_in_old_arrangements_are_refused(tmp_path):
    with pytest.raises(
        ModelFileError, match=r"w\.h5: holds weights of Keras 1; give it a network first: dltool conver"
    ):
        taken_from(weights_only(tmp_path / "w.h5", None), Dense(3, name="a"))
    with h5py.File(tmp_path / "n.weights.h5", "w") as file:
        file["layers/dense/vars/0"] = np.zeros((2, 3), np.float32)
    with pytest.raises(
        ModelFileError, match=r"n\.weights\.h5: holds weights without the names of their layers; give th"
    ):
        taken_from(str(tmp_path / "n.weights.h5"), Dense(3))
    (tmp_path / "t.h5").write_text("no model")
    with pytest.raises(ModelFileError, match=r"t\.h5: "):
        taken_from(str(tmp_path / "t.h5"), Dense(3))


def test_a_state_of_training_belongs_to_the_old_weights(tmp_path):
    path = written(tmp_path / "o.h5", Dense(3, name="a"))
    new = saved(Dense(3, name="a"))
    new.state = TrainingState(new.model.weights.vector.copy(), {})
    take_weights(new, path)
    assert new.state is None


class Heard(Events):
    def __init__(self):
        self.lines = []

    def understood(self, lines):
        self.lines += lines


def test_fit_begins_with_the_weights_and_says_so(tmp_path):
    x = np.random.default_rng(0).uniform(-1, 1, (40, 2)).astype(np.float32)
    data = DataSettings((str(table(tmp_path, "t", x, (x[:, 0] > 0).astype(np.int64))),))
    other = written(tmp_path / "o.h5", Dense(3, name="a"))
    write(saved(Dense(3, name="a"), Dense(2, activation="softmax", name="out")), tmp_path / "m.h5")
    heard = Heard()
    wanted = FitSettings(str(tmp_path / "m.h5"), data, epochs=1, freeze="a", init_from=other, jobs=1, val_split=0.0)
    fit.run(wanted, heard)
    assert f"note    {other}: weights taken for 1 of 2 layers: a" in heard.lines
    found, theirs = (read(path).model.weights.views["a"] for path in (tmp_path / "m.h5", other))
    assert all(map(np.array_equal, found, theirs))
    assert "o.h5" not in str(read(tmp_path / "m.h5").recipe)
    with pytest.raises(UsageError, match="--restarts: draws weights anew, which --init-from has just taken; leave one"):
        fit.run(FitSettings(str(tmp_path / "m.h5"), data, init_from=other, restarts=2))
