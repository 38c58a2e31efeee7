"""Rare classes: weights, oversampling, focal loss."""

import numpy as np
import pytest

from dltool.data.dataset import ArrayDataset
from dltool.data.loader import Loader, balanced_size
from dltool.engine.losses import BinaryFocalCrossentropy, CategoricalFocalCrossentropy
from dltool.errors import UsageError
from dltool.modelfile.reading import read
from dltool.settings import DataSettings, EvaluateSettings, FitSettings, PredictSettings
from dltool.training.objective import class_weights
from dltool.workflows import evaluate, fit, predict
from tests.workflows.fitting.test_resuming import interrupt, open_bytes
from tests.workflows.test_fit_options import Heard


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """x.npy, y.npy: 90 rows of class 0, 12 of class 1, which one number tells apart."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [90, 12])
    np.save("x.npy", (rng.normal(size=(102, 3)) * 0.3 + y[:, None]).astype(np.float32))
    np.save("y.npy", y)

    def make(model="m.h5", **options):
        data = options.pop("data", DataSettings(("x.npy",), "y.npy"))
        wanted = {"epochs": 3, "batch_size": 16, "jobs": 1, "arch": "mlp:units=8", "val_split": 0.25, **options}
        return FitSettings(model=model, data=data, **wanted)

    return make


def test_root_weights_go_half_the_way():
    # Counts 16 and 4: shares of 4 and 2, so the weights are as 1 to 2 and their mean over the 20 rows is 1.
    weights = class_weights("sqrt", ("a", "b"), np.repeat([0, 1], [16, 4]))
    assert weights == pytest.approx([20 / 24, 40 / 24])
    assert (weights * [16, 4]).sum() == pytest.approx(20)


def test_every_class_comes_as_often_as_the_largest():
    classes = np.repeat([0, 1, 3], [10, 4, 3])
    dataset = ArrayDataset((np.arange(17.0),), classes, ("a", "b", "c", "d"), ("x.npy",))
    seen = []
    with Loader(dataset, 8, balance=classes, seed=1) as loader:
        assert loader.num_rows == balanced_size(classes) == 30 and len(loader) == 4
        for epoch in (1, 2):
            batches = list(loader.epoch(epoch))
            assert np.bincount(np.concatenate([b.targets[0] for b in batches])).tolist() == [10, 10, 0, 10]
            rows = np.bincount(np.concatenate([b.rows for b in batches]), minlength=17)
            assert set(rows[:10]) == {1} and set(rows[10:14]) == {2, 3} and set(rows[14:]) == {3, 4}
            seen.append(rows)
            again = [batch.rows for batch in loader.epoch(epoch, first_batch=2)]
            assert np.array_equal(np.concatenate(again), np.concatenate([b.rows for b in batches[2:]]))
    assert not np.array_equal(*seen)  # which rows come once more is drawn for each epoch


def test_copies_of_a_row_are_changed_differently():
    classes = np.repeat([0, 1], [6, 1])
    dataset = ArrayDataset((np.arange(7.0),), classes, ("a", "b"), ("x.npy",))
    samples = []

    def change(batch, epoch, found):
        samples.extend(found.tolist())
        return batch

    with Loader(dataset, 4, balance=classes, change=change, workers=0) as loader:
        rows = np.concatenate([batch.rows for batch in loader.epoch(1)])
    assert sorted(rows.tolist()) == [0, 1, 2, 3, 4, 5, *[6] * 6]
    assert len(set(samples)) == 12 and [sample % 7 for sample in samples] == rows.tolist()


def test_an_oversampled_run_resumes_exactly(settings):
    fit.run(settings("whole.h5", balance="oversample", augment="mixup"))
    interrupt(settings("m.h5", balance="oversample", augment="mixup"), 12)
    fit.run(settings("m.h5", balance="oversample", augment="mixup", resume=True))
    assert open_bytes("m.h5") == open_bytes("whole.h5")


def test_the_plan_counts_the_copies(settings):
    lines = fit.dry_run(settings(balance="oversample"))
    # 77 rows train, 68 of class 0: 136 rows in 9 batches.
    assert "train   3 epochs of 9 steps with 16 rows, 27 steps in all" in lines


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"loss": "focal"}, CategoricalFocalCrossentropy()),
        ({"loss": "focal:gamma=1.5"}, CategoricalFocalCrossentropy(gamma=1.5)),
        ({"loss": "focal", "label_smoothing": 0.1}, CategoricalFocalCrossentropy(label_smoothing=0.1)),
    ],
)
def test_focal_loss_is_that_of_the_head(settings, options, rule):
    result = fit.run(settings(**options))
    assert read("m.h5").training_config.losses == (rule,)
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    fit.run(settings(arch=None, epochs=1))
    assert read("m.h5").training_config.losses == (rule,)


def test_one_sigmoid_unit_gets_the_binary_focal_loss(settings):
    from dltool.settings import BuildSettings
    from dltool.workflows import build

    build.run(BuildSettings("s.h5", input=(3,), words=("dense:1,sigmoid",)))
    fit.run(settings("s.h5", arch=None, loss="focal", epochs=1))
    assert read("s.h5").training_config.losses == (BinaryFocalCrossentropy(),)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balance": "oversample", "class_weight": "sqrt"}, "--balance: cannot be combined with --class-weight"),
        ({"loss": "focal:gamma=-1"}, "gamma is -1; give a number from 0 to 100"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        fit.run(settings(**options))
    assert not (tmp_path / "m.h5").exists()


def test_numbers_have_no_classes_to_balance(settings):
    np.save("y.npy", np.linspace(0, 1, 102))
    with pytest.raises(UsageError, match="--balance: the labels are numbers, not classes; leave it out"):
        fit.run(settings(balance="oversample"))


def test_a_threshold_is_chosen_on_validation_rows_and_kept_to(settings):
    heard = Heard()
    fit.run(settings(decision_threshold="auto", epochs=6), heard)
    threshold = read("m.h5").recipe["threshold"]
    assert heard.notes[0].startswith(f"decide  1 from {threshold:g} on: mean F1 0.")
    rows = list(predict.run(PredictSettings("m.h5", ("x.npy",), jobs=1, top=2)).rows)
    said = np.array([row.probs[1] >= threshold for row in rows])
    assert [row.label for row in rows] == ["1" if one else "0" for one in said]
    assert all(row.prob == row.probs[int(row.label)] and row.top[0] == (row.label, row.prob) for row in rows)
    assert all({label for label, _ in row.top} == {"0", "1"} for row in rows)
    result = evaluate.run(EvaluateSettings("m.h5", DataSettings(("x.npy",), "y.npy"), jobs=1))
    right = said == (np.load("y.npy") == 1)
    assert result.metrics["accuracy"].value == pytest.approx(right.mean())
    assert 0 < said.sum() < 60


def test_a_given_threshold_is_used_as_it_is(settings):
    fit.run(settings(decision_threshold=0.999, epochs=1, val_split=0.0))
    rows = list(predict.run(PredictSettings("m.h5", ("x.npy",), jobs=1)).rows)
    assert {row.label for row in rows} == {"0"}
    fit.run(settings(arch=None, epochs=1))  # another training decides anew
    assert "threshold" not in read("m.h5").recipe


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decision_threshold": "auto", "val_split": 0.0}, "--decision-threshold: auto needs validation rows; give"),
        ({"decision_threshold": 0.3, "data": "three"}, "--decision-threshold: is for models of two classes"),
    ],
)
def test_a_threshold_needs_two_classes_and_rows(settings, options, message):
    if options.get("data") == "three":
        np.save("y.npy", np.arange(102) % 3)
        options = {**options, "data": DataSettings(("x.npy",), "y.npy")}
    with pytest.raises(UsageError, match=message):
        fit.run(settings(**options))
