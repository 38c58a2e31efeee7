"""``evaluate``: numbers by hand from models whose weights are set, and agreement with ``predict``."""

import json

import h5py
import numpy as np
import pytest
from PIL import Image

from dltool.engine.graph import GraphBuilder
from dltool.engine.layers import Dense, Flatten, GlobalAveragePooling2D
from dltool.engine.losses import loss
from dltool.engine.model import Model
from dltool.engine.optimizers import Adam
from dltool.errors import DataError, ModelFileError, UsageError
from dltool.modelfile.saved import SavedModel, TrainingConfig
from dltool.modelfile.writing import write
from dltool.settings import DataSettings, EvaluateSettings, FitSettings, PredictSettings
from dltool.workflows import evaluate, fit, predict
from tests.workflows.pictures import DARK_AND_BRIGHT, picture_folder, table


def measured(model, data, **options) -> evaluate.EvaluateResult:
    given = DataSettings(data=(str(data),), **options)
    return evaluate.run(EvaluateSettings(str(model), given, batch_size=3, jobs=1, backend="threads"))


def written(path, num_inputs, layer, weights, classes=None, rule=None, metrics=()):
    """A one-layer model with the given weights (kernel rows, then biases)."""
    builder = GraphBuilder()
    model = Model.build(builder.graph(builder.add(layer, builder.input((num_inputs,)))))
    model.weights.vector[...] = weights
    config = None
    if rule is not None:
        config = TrainingConfig((loss(rule),), (loss(rule).name,), (1.0,), metrics, optimizer=Adam())
    write(SavedModel(model, classes, training_config=config), path)
    return path


def test_classes_are_counted_and_scored(tmp_path):
    # Two features are the logits of two classes: p = softmax(x).
    path = written(tmp_path / "m.h5", 2, Dense(2, activation="softmax"), [1, 0, 0, 1, 0, 0], ("no", "yes"))
    x = np.array([[9, 0], [0, 9], [9, 0], [0, 9], [9, 0]], np.float32)
    y = np.array([0, 1, 1, 1, 0])
    found = measured(path, table(tmp_path / "d", "a", x, y))
    assert found.n == 5
    assert found.confusion.tolist() == [[2, 0], [1, 2]]
    assert found.metrics["accuracy"].value == 0.8
    # Wilson, 4 of 5, by the formula: (0.8 + 3.8415 / 10 +- 1.96 * sqrt(0.16 / 5 + 3.8415 / 100)) / (1 + 3.8415 / 5).
    assert (found.metrics["accuracy"].low, found.metrics["accuracy"].high) == pytest.approx((0.3755, 0.9638), abs=1e-4)
    assert found.majority == 0.6
    assert [(s.name, s.n) for s in found.scores] == [("no", 2), ("yes", 3)]
    # Four rows lose log(1 + e^-9), the wrong one 9 + that.
    assert found.loss == pytest.approx(9 / 5 + np.log1p(np.exp(-9)), rel=1e-5)


def test_the_json_form_is_the_documented_one(tmp_path):
    path = written(tmp_path / "m.h5", 2, Dense(2, activation="softmax"), [1, 0, 0, 1, 0, 0], ("no", "yes"))
    x = np.array([[9, 0], [0, 9]], np.float32)
    found = json.loads(json.dumps(measured(path, table(tmp_path / "d", "a", x, np.array([0, 1]))).as_json()))
    assert list(found) == ["schema", "n", "loss", "metrics", "classes", "confusion"]
    assert found["schema"] == "dltool.evaluate/1"
    assert set(found["metrics"]["accuracy"]) == {"value", "low", "high"}
    assert found["classes"] == ["no", "yes"] and found["confusion"] == [[1, 0], [0, 1]]


def test_one_sigmoid_unit_tells_two_classes(tmp_path):
    path = written(tmp_path / "m.h5", 1, Dense(1, activation="sigmoid"), [1, 0], ("no", "yes"))
    x = np.array([[-2], [3], [1]], np.float32)
    found = measured(path, table(tmp_path / "d", "a", x, np.array([0, 1, 0])))
    assert found.confusion.tolist() == [[1, 1], [0, 1]]
    assert found.loss == pytest.approx(np.log1p(np.exp([-2.0, -3.0, 1.0])).mean(), rel=1e-5)


def test_logits_are_turned_into_probabilities_where_the_loss_takes_logits(tmp_path):
    rule = {"class_name": "SparseCategoricalCrossentropy", "config": {"from_logits": True}}
    path = written(tmp_path / "m.h5", 2, Dense(2), [1, 0, 0, 1, 0, 0], rule=rule)
    x = np.array([[9, 0], [0, 9]], np.float32)
    data = table(tmp_path / "d", "a", x, np.array([0, 1]))
    assert measured(path, data).metrics["accuracy"].value == 1.0
    row = next(predict.run(PredictSettings(str(path), (str(data),), jobs=1, backend="threads")).rows)
    assert (row.label, row.prob) == ("0", pytest.approx(1 / (1 + np.exp(-9)), rel=1e-6))


def test_regression_has_loss_and_errors_only(tmp_path):
    path = written(tmp_path / "m.h5", 1, Dense(1), [2, 0], rule="mean_squared_error", metrics=("mean_squared_error",))
    x = np.array([[1], [2]], np.float32)
    found = measured(path, table(tmp_path / "d", "a", x, np.array([3.0, 2.0])))
    assert found.loss == pytest.approx((1 + 4) / 2)
    assert {name: m.value for name, m in found.metrics.items()} == {
        "mean_absolute_error": pytest.approx(1.5),
        "mean_squared_error": pytest.approx(2.5),
    }
    assert found.classes is None and found.confusion is None
    assert "confusion" not in found.as_json()


@pytest.fixture
def trained(tmp_path):
    data = picture_folder(tmp_path / "train", DARK_AND_BRIGHT, per_class=6)
    settings = {"arch": "mlp:units=8", "epochs": 2, "batch_size": 8, "jobs": 1, "backend": "threads"}
    fit.run(FitSettings(str(tmp_path / "m.h5"), DataSettings((str(data),)), **settings))
    return tmp_path / "m.h5"


def test_evaluate_and_predict_agree(tmp_path, trained):
    test = picture_folder(tmp_path / "test", DARK_AND_BRIGHT, per_class=4, size=11, seed=5)
    found = measured(trained, test)
    # Another batch size, so that the rows share no batch.
    rows = list(predict.run(PredictSettings(str(trained), (str(test),), 5, 1, "threads")).rows)
    names = [row.path.split("/")[-2] for row in rows]
    losses = [-np.log(row.probs[found.classes.index(name)]) for row, name in zip(rows, names, strict=True)]
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5)
    hits = sum(row.label == name for row, name in zip(rows, names, strict=True))
    assert found.metrics["accuracy"].value == hits / 12


def test_test_data_may_lack_classes_but_not_add_any(tmp_path, trained):
    some = picture_folder(tmp_path / "some", {"mid": 128}, per_class=3)
    found = measured(trained, some)
    assert found.classes == ("bright", "dark", "mid")
    assert found.confusion.sum(axis=1).tolist() == [0, 0, 3]
    other = picture_folder(tmp_path / "other", {"mid": 128, "grey": 100}, per_class=3)
    with pytest.raises(DataError, match="grey"):
        measured(trained, other)


def test_class_names_must_be_the_models(tmp_path, trained):
    test = picture_folder(tmp_path / "test", DARK_AND_BRIGHT, per_class=2)
    with pytest.raises(UsageError, match="--class-names: a, b, c, but the model's classes are bright, dark, mid"):
        measured(trained, test, class_names=("a", "b", "c"))


def test_a_folder_with_parts_is_measured_on_its_test_part(tmp_path, trained):
    picture_folder(tmp_path / "all" / "train", DARK_AND_BRIGHT, per_class=3)
    picture_folder(tmp_path / "all" / "test", DARK_AND_BRIGHT, per_class=2, seed=9)
    found = measured(trained, tmp_path / "all")
    assert found.n == 6
    assert "measured on the test/ part" in found.notes


def test_models_of_any_image_size_are_measured_at_the_datas(tmp_path):
    builder = GraphBuilder()
    x = builder.add(GlobalAveragePooling2D(), builder.input((None, None, 1)))
    model = Model.build(builder.graph(builder.add(Dense(2, activation="softmax"), x)))
    model.weights.vector[...] = -1, 1, 128, -128
    write(SavedModel(model), tmp_path / "m.h5")
    data = picture_folder(tmp_path / "d", {"a-dark": 40, "b-bright": 215}, per_class=3, size=6)
    found = measured(tmp_path / "m.h5", data)
    assert found.metrics["accuracy"].value == 1.0
    assert found.classes == ("a-dark", "b-bright")


@pytest.mark.parametrize("foreign", [True, False])
def test_only_a_file_of_others_without_names_takes_the_classes_in_keras_order(tmp_path, foreign):
    builder = GraphBuilder()
    x = builder.add(Flatten(), builder.input((2, 2, 1)))
    model = Model.build(builder.graph(builder.add(Dense(2, activation="softmax", kernel_initializer="zeros"), x)))
    model.weights.vector[-2:] = 5, 0  # always the first class
    write(SavedModel(model), tmp_path / "m.h5")
    if foreign:
        with h5py.File(tmp_path / "m.h5", "a") as file:
            del file["dltool"]
    for name in ("10", "9"):
        (tmp_path / "d" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "d" / name / "a.png")
    found = measured(tmp_path / "m.h5", tmp_path / "d")
    assert found.classes == (("10", "9") if foreign else ("9", "10"))
    assert found.confusion.tolist() == [[1, 0], [1, 0]]
    assert any("Keras" in note for note in found.notes) == foreign


def test_progress_counts_rows(tmp_path):
    path = written(tmp_path / "m.h5", 1, Dense(1), [2, 0])
    data = table(tmp_path / "d", "a", np.ones((7, 1), np.float32), np.ones(7, np.float32))
    seen = []
    settings = EvaluateSettings(str(path), DataSettings((str(data),)), batch_size=3, jobs=1, backend="threads")
    evaluate.run(settings, lambda done, total: seen.append((done, total)))
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_a_missing_model_is_a_model_file_error(tmp_path):
    with pytest.raises(ModelFileError, match=r"none\.h5"):
        measured(tmp_path / "none.h5", tmp_path)
