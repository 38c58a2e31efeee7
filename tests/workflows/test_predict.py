"""``predict``: one row per input, in order, failures included."""

import json

import numpy as np
import pytest
from PIL import Image

from dltool.engine.graph import GraphBuilder
from dltool.engine.layers import Dense, Flatten, GlobalAveragePooling2D
from dltool.engine.model import Model
from dltool.modelfile.saved import SavedModel
from dltool.modelfile.writing import write
from dltool.settings import PredictSettings
from dltool.workflows import predict


def predicted(model, *inputs, **options) -> predict.PredictResult:
    return predict.run(PredictSettings(str(model), tuple(map(str, inputs)), jobs=1, backend="threads", **options))


@pytest.fixture
def brightness(tmp_path):
    """Tells dark from bright grey 2x2 pictures: logits are 0 and the mean minus 100."""
    builder = GraphBuilder()
    x = builder.add(Flatten(), builder.input((2, 2, 1)))
    model = Model.build(builder.graph(builder.add(Dense(2, activation="softmax"), x)))
    model.weights.vector[...] = [0, 0.25] * 4 + [0, -100]
    write(SavedModel(model, ("dark", "bright")), tmp_path / "m.h5")
    return tmp_path / "m.h5"


def picture(path, value, size=(2, 2)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, np.uint8)).save(path)
    return path


def test_rows_come_in_input_order_with_failures_among_them(tmp_path, brightness):
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    inputs = [
        picture(tmp_path / "b.png", 200),
        tmp_path / "missing.png",
        picture(tmp_path / "a.png", 10),
        tmp_path / "broken.png",
        picture(tmp_path / "c.png", 101),
    ]
    found = predicted(brightness, *inputs, batch_size=2)
    rows = list(found.rows)
    assert [row.path for row in rows] == [str(path) for path in inputs]
    assert [row.label for row in rows] == ["bright", None, "dark", None, "bright"]
    assert rows[4].prob == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-6)
    assert "missing.png" in rows[1].error and "broken.png" in rows[3].error
    assert (found.num_rows, found.classes) == (5, ("dark", "bright"))


def test_rows_do_not_depend_on_the_batch_size(tmp_path, brightness):
    for number in range(7):
        picture(tmp_path / "in" / f"{number}.png", 95 + 2 * number)
    one = [row.probs.tolist() for row in predicted(brightness, tmp_path / "in", batch_size=1).rows]
    all_rows = [row.probs.tolist() for row in predicted(brightness, tmp_path / "in", batch_size=64).rows]
    assert one == [pytest.approx(row, rel=1e-6) for row in all_rows]


def test_arrays_are_rows_of_their_own_and_bad_ones_fail_alone(tmp_path, brightness):
    x = np.array([10, 200, np.nan, 150], np.float64)[:, None, None] * np.ones((4, 2, 2))
    np.save(tmp_path / "x.npy", x)
    rows = list(predicted(brightness, tmp_path / "x.npy").rows)
    assert [row.path for row in rows] == [f"{tmp_path / 'x.npy'}[{i}]" for i in range(4)]
    assert [row.label for row in rows] == ["dark", "bright", None, "bright"]
    assert "NaN" in rows[2].error


def test_pictures_and_arrays_may_be_mixed(tmp_path, brightness):
    np.save(tmp_path / "x.npy", np.full((2, 2, 2, 1), 250.0, np.float32))
    found = predicted(brightness, picture(tmp_path / "a.png", 10), tmp_path / "x.npy", picture(tmp_path / "b.png", 20))
    assert [row.label for row in found.rows] == ["dark", "bright", "bright", "dark"]


def test_top_gives_the_best_classes_first(tmp_path, brightness):
    (row,) = predicted(brightness, picture(tmp_path / "a.png", 102), top=5).rows
    assert [name for name, _ in row.top] == ["bright", "dark"]
    assert sum(p for _, p in row.top) == pytest.approx(1)
    assert row.top[0] == (row.label, row.prob)


def test_json_lines_are_the_documented_ones(tmp_path, brightness):
    found = predicted(brightness, picture(tmp_path / "a.png", 101), tmp_path / "missing.png")
    first, second = (json.loads(json.dumps(found.as_json(row, with_probs=True))) for row in found.rows)
    assert list(first) == ["path", "label", "prob", "probs"]
    assert first["probs"] == {"dark": pytest.approx(1 / (1 + np.e)), "bright": pytest.approx(np.e / (1 + np.e))}
    assert list(second) == ["path", "error"]


def test_regression_gives_values(tmp_path):
    builder = GraphBuilder()
    model = Model.build(builder.graph(builder.add(Dense(2), builder.input((1,)))))
    model.weights.vector[...] = 1, 10, 0, 5
    write(SavedModel(model), tmp_path / "m.h5")
    np.save(tmp_path / "x.npy", np.array([1.0, 2.0]))
    found = predicted(tmp_path / "m.h5", tmp_path / "x.npy")
    rows = list(found.rows)
    assert [row.values.tolist() for row in rows] == [[1, 15], [2, 25]]
    assert found.classes is None
    assert found.as_json(rows[1]) == {"path": f"{tmp_path / 'x.npy'}[1]", "value": [2.0, 25.0]}


def test_several_outputs_are_given_by_name(tmp_path):
    builder = GraphBuilder()
    x = builder.input((1,))
    ends = [builder.add(Dense(1, name=name, kernel_initializer="ones"), x) for name in ("a", "b")]
    write(SavedModel(Model.build(builder.graph(*ends))), tmp_path / "m.h5")
    np.save(tmp_path / "x.npy", np.array([3.0]))
    found = predicted(tmp_path / "m.h5", tmp_path / "x.npy")
    (row,) = found.rows
    assert found.as_json(row) == {"path": f"{tmp_path / 'x.npy'}[0]", "a": 3.0, "b": 3.0}


def test_a_model_of_any_image_size_takes_the_first_rows_size(tmp_path):
    builder = GraphBuilder()
    x = builder.add(GlobalAveragePooling2D(), builder.input((None, None, 1)))
    write(
        SavedModel(Model.build(builder.graph(builder.add(Dense(1, kernel_initializer="ones"), x)))), tmp_path / "m.h5"
    )
    np.save(tmp_path / "small.npy", np.full((2, 3, 3, 1), 7.0))
    np.save(tmp_path / "large.npy", np.full((1, 5, 5, 1), 7.0))
    rows = list(predicted(tmp_path / "m.h5", tmp_path / "small.npy", tmp_path / "large.npy").rows)
    assert [row.values.tolist() for row in rows[:2]] == [[7], [7]]
    assert "is 5x5x1, the rows before are 3x3x1" in rows[2].error


def test_progress_counts_failures_too(tmp_path, brightness):
    seen = []
    settings = PredictSettings(
        str(brightness),
        (str(picture(tmp_path / "a.png", 1)), str(tmp_path / "none.png"), str(picture(tmp_path / "b.png", 1))),
        batch_size=2,
        jobs=1,
        backend="threads",
    )
    list(predict.run(settings, lambda done, total: seen.append((done, total))).rows)
    assert seen == [(2, 3), (3, 3)]
