"""``evaluate``: numbers by hand from models whose weights are set, and agreement with ``predict``."""

import json
from dataclasses import replace

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
from dltool.training.tallies import ClassTally
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
    assert list(found)[:4] == ["schema", "model", "n", "loss"]
    assert list(found)[4:] == ["metrics", "classes", "per_class", "confusion", "majority", "most_confused"]
    assert found["schema"] == "dltool.evaluate/1"
    assert set(found["metrics"]["accuracy"]) == {"value", "low", "high"}
    assert found["classes"] == ["no", "yes"] and found["confusion"] == [[1, 0], [0, 1]]
    assert found["per_class"][1] == {"name": "yes", "precision": 1.0, "recall": 1.0, "f1": 1.0, "n": 1}


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
        "r2": pytest.approx(1 - 5 / 0.5),
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
            del file["dltool"], file.attrs["dltool"]
    for name in ("10", "9"):
        (tmp_path / "d" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "d" / name / "a.png")
    found = measured(tmp_path / "m.h5", tmp_path / "d")
    assert found.classes == (("10", "9") if foreign else ("9", "10"))
    assert found.confusion.tolist() == [[1, 0], [1, 0]]
    assert any("Keras" in note for note in found.notes) == foreign


def test_names_can_be_given_to_a_model_that_has_none(tmp_path):
    path = written(tmp_path / "m.h5", 1, Dense(2, activation="softmax"), [-1, 1, 0, 0])
    data = table(tmp_path / "d", "a", np.array([[-1], [2]], np.float32), np.array(["low", "high"]))
    found = measured(path, data, class_names=("low", "high"))
    assert found.classes == ("low", "high")
    assert found.confusion.tolist() == [[1, 0], [0, 1]]
    with pytest.raises(UsageError, match="--class-names: 3 names, but the model has 2 classes"):
        measured(path, data, class_names=("a", "b", "c"))


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


def options(model, data, **given) -> EvaluateSettings:
    return EvaluateSettings(
        str(model), DataSettings(data=(str(data),)), batch_size=3, jobs=1, backend="threads", **given
    )


@pytest.fixture
def two_models(tmp_path):
    """good.h5 and turned.h5 with their data: the sign decides; the second wants the other sign."""
    x = np.array([[-3], [-2], [-1], [4], [5], [-6]], np.float32)
    data = table(tmp_path / "d", "a", x, np.array([0, 0, 0, 1, 1, 1]))
    layer = Dense(2, activation="softmax")
    good = written(tmp_path / "good.h5", 1, layer, [-1, 1, 0, 0], ("neg", "pos"))
    return good, written(tmp_path / "turned.h5", 1, layer, [1, -1, 0, 0], ("neg", "pos")), data


def test_the_mistakes_made_most_come_with_their_first_rows(two_models):
    _, turned, data = two_models
    found = measured(turned, data).outputs[0].confused
    assert [(c.true, c.predicted, c.count) for c in found] == [("neg", "pos", 3), ("pos", "neg", 2)]
    assert found[0].first == tuple(f"{data}[{row}]" for row in (0, 1, 2))


def test_the_rows_with_the_largest_loss_are_named(two_models):
    good, _, data = two_models
    worst, next_worst = evaluate.run(options(good, data, top_losses=2)).top_losses
    assert (worst.path, worst.true, worst.predicted) == (f"{data}[5]", "pos", "neg")
    assert worst.loss == pytest.approx(np.log1p(np.exp(12)))
    assert worst.prob == pytest.approx(1 / (1 + np.exp(-12)), rel=1e-6)
    assert next_worst.path == f"{data}[2]"


def test_gates_compare_in_the_metrics_own_direction(two_models):
    good, _, data = two_models
    given = (("accuracy", 0.8), ("accuracy", 0.9), ("loss", 3.0), ("loss", 0.1), ("mse", 1.0))
    with pytest.raises(UsageError, match="--fail-under: 'mse' is not measured; measured are loss, accuracy"):
        evaluate.run(options(good, data, fail_under=given))
    found = evaluate.run(options(good, data, fail_under=(*given[:4], ("macro-f1", 0.5))))
    assert [gate.passed for gate in found.gates] == [True, False, True, False, True]
    with pytest.raises(UsageError, match="did you mean 'accuracy'"):
        evaluate.run(options(good, data, fail_under=(("acurracy", 0.5),)))


def test_a_metric_that_cannot_be_measured_misses_its_gate(tmp_path, two_models):
    data = table(tmp_path / "one", "a", np.array([[-1], [-2]], np.float32), np.array([0, 0]))
    (gate,) = evaluate.run(options(two_models[0], data, fail_under=(("auc", 0.1),))).gates
    assert gate.value is None and not gate.passed


def test_two_models_are_compared_row_by_row(two_models):
    good, turned, data = two_models
    found = evaluate.compare(options(good, data, other=str(turned)))
    # The first is right on 5 rows, the second on the other one.
    assert (found.verdict.only_first, found.verdict.only_second) == (5, 1)
    assert found.verdict.p_exact == pytest.approx(2 * (1 + 6) / 64)
    assert found.p == pytest.approx((2 * (1 + 6) - 6) / 64)
    assert found.better is None
    form = json.loads(json.dumps(found.as_json()))
    assert form["other"]["model"] == str(turned) and form["model"] == str(good)
    assert form["comparison"]["test"] == "mcnemar_mid_p"
    assert form["comparison"]["difference"]["value"] == pytest.approx(-4 / 6)


def test_models_with_their_classes_in_another_order_are_compared_by_name(tmp_path, two_models):
    good, _, data = two_models
    np.save(data.parent / "y_a.npy", np.array(["neg", "neg", "neg", "pos", "pos", "pos"]))
    swapped = written(tmp_path / "s.h5", 1, Dense(2, activation="softmax"), [1, -1, 0, 0], ("pos", "neg"))
    found = evaluate.compare(options(good, data, other=str(swapped)))
    assert (found.verdict.only_first, found.verdict.only_second) == (0, 0)
    assert found.p == 1.0 and found.better is None


def test_regressions_are_compared_by_their_squared_errors(tmp_path):
    x = np.arange(40, dtype=np.float32)[:, None]
    data = table(tmp_path / "d", "a", x, (2 * x[:, 0] + np.tile([0.5, -0.25], 20)).astype(np.float32))
    near, far = (written(tmp_path / f"{w}.h5", 1, Dense(1), [w, 0]) for w in (2, 3))
    found = evaluate.compare(options(far, data, other=str(near)))
    assert found.better == str(near)
    assert found.p < 1e-6
    assert found.as_json()["comparison"]["test"] == "paired_z_squared_error"


def test_models_of_different_kinds_are_not_compared(tmp_path, two_models):
    good, _, data = two_models
    np.save(data.parent / "y_a.npy", np.array([0.0, 0, 0, 1, 1, 1]))
    number = written(tmp_path / "n.h5", 1, Dense(1), [1, 0])
    with pytest.raises(UsageError, match=r"n\.h5: cannot be compared with .*good\.h5"):
        evaluate.compare(options(good, data, other=str(number)))


def test_independent_labels_are_judged_one_by_one(tmp_path):
    path = written(tmp_path / "m.h5", 2, Dense(2, activation="sigmoid"), [1, 0, 0, 1, 0, 0], ("sun", "rain"))
    x = np.array([[3, 3], [3, -3], [-3, -3], [-3, 3]], np.float32)
    data = table(tmp_path / "d", "a", x, np.array([[1, 1], [1, 0], [0, 0], [1, 0]]))
    found = evaluate.run(options(path, data, top_losses=1))
    assert found.outputs[0].kind == "labels" and found.classes == ("sun", "rain")
    assert found.metrics["exact_match"].value == 0.75
    assert found.metrics["label_accuracy"].value == 0.75
    assert [(s.precision, s.recall) for s in found.scores] == [(1.0, 2 / 3), (0.5, 1.0)]
    assert "accuracy" not in found.metrics and found.confusion is None
    assert (found.top_losses[0].true, found.top_losses[0].predicted) == ("sun", "rain")
    # binary cross-entropy: log(1 + e^-3) for each right label, 3 more for each of the two wrong ones
    assert found.loss == pytest.approx(np.log1p(np.exp(-3)) + 6 / 8, rel=1e-5)


def test_sigmoid_units_take_single_classes_too(tmp_path):
    path = written(tmp_path / "m.h5", 2, Dense(2, activation="sigmoid"), [1, 0, 0, 1, 0, 0], ("sun", "rain"))
    x = np.array([[3, -3], [-3, 3]], np.float32)
    found = measured(path, table(tmp_path / "d", "a", x, np.eye(2, dtype=np.int64)))
    assert found.confusion.tolist() == [[1, 0], [0, 1]]


def test_probabilities_are_those_of_predict_bit_for_bit(tmp_path, trained, monkeypatch):
    test = picture_folder(tmp_path / "test", DARK_AND_BRIGHT, per_class=7, size=11, seed=5)
    seen = []
    add = ClassTally.add
    monkeypatch.setattr(ClassTally, "add", lambda tally, true, probs, _: (seen.append(probs), add(tally, true, probs)))
    evaluate.run(EvaluateSettings(str(trained), DataSettings((str(test),)), batch_size=4, jobs=1, backend="threads"))
    rows = predict.run(PredictSettings(str(trained), (str(test),), 4, 1, "threads")).rows
    np.testing.assert_array_equal(np.concatenate(seen), np.stack([row.probs for row in rows]))


def test_several_outputs_are_reported_apart(tmp_path):
    builder = GraphBuilder()
    x = builder.input((1,))
    ends = [builder.add(Dense(2, activation="softmax", name="kind"), x), builder.add(Dense(1, name="size"), x)]
    model = Model.build(builder.graph(*ends))
    for name, values in {"kind": [-1, 1, 0, 0], "size": [2, 0]}.items():
        kernel, bias = model.weights.views[name]
        kernel[...], bias[...] = np.reshape(values[: kernel.size], kernel.shape), values[kernel.size :]
    rows = np.array([[-1], [2], [3]], np.float32)
    write(SavedModel(model), tmp_path / "m.h5")
    for name, array in {"x": rows, "kinds": np.array([0, 1, 0]), "sizes": np.array([-2.0, 4, 7])}.items():
        np.save(tmp_path / f"{name}.npy", array)
    labels = (f"kind={tmp_path / 'kinds.npy'}", f"size={tmp_path / 'sizes.npy'}")
    limits = (("kind_accuracy", 0.9), ("size_mean_squared_error", 1))
    settings = options(tmp_path / "m.h5", tmp_path / "x.npy", top_losses=1, fail_under=limits)
    found = evaluate.run(replace(settings, data=replace(settings.data, labels=labels)))
    assert found.metrics["kind_accuracy"].value == pytest.approx(2 / 3)
    assert found.metrics["size_mean_squared_error"].value == pytest.approx(1 / 3)
    assert [gate.passed for gate in found.gates] == [False, True]
    assert found.outputs[0].confusion.tolist() == [[1, 1], [0, 1]] and found.outputs[1].classes is None
    entropy = [np.log1p(np.exp(-2)), np.log1p(np.exp(-4)), np.log1p(np.exp(6))]
    assert found.loss == pytest.approx(np.mean(entropy) + 1 / 3, rel=1e-5)
    assert found.top_losses[0].loss == pytest.approx(entropy[2] + 1, rel=1e-5)
    form = json.loads(json.dumps(found.as_json()))
    assert set(form["outputs"]) == {"kind", "size"} and form["outputs"]["kind"]["confusion"] == [[1, 1], [0, 1]]
    assert set(form["metrics"]) == {
        *(f"kind_{n}" for n in ("accuracy", "macro_f1", "auc", "ece")),
        *(f"size_{n}" for n in ("mean_squared_error", "mean_absolute_error", "r2")),
    }
