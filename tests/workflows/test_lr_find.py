"""``lr-find`` on files: the number is usable, the file is not touched, everything wrong is said first."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from dltool.engine.surgery import weighted_layers, with_trainable
from dltool.errors import DataError, ModelFileError, ShortError, UsageError
from dltool.modelfile.reading import read
from dltool.modelfile.writing import write
from dltool.settings import BuildSettings, DataSettings, FitSettings, LrFindSettings
from dltool.workflows import build, fit, lr_find
from tests.workflows.pictures import DARK_AND_BRIGHT, picture_folder, table


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three kinds of pictures, and an untrained model for them."""
    folder = tmp_path_factory.mktemp("lr")
    data = picture_folder(folder / "train", DARK_AND_BRIGHT, per_class=40)
    model = folder / "m.h5"
    build.run(BuildSettings(str(model), arch="mlp:units=32,dropout=0.0", data=DataSettings((str(data),))))
    return model, data


def settings(model, data, **options):
    wanted = {"batch_size": 16, "steps": 60, "jobs": 1, "backend": "threads", **options}
    return LrFindSettings(model=str(model), data=DataSettings((str(data),)), **wanted)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_number_trains_the_model_and_the_file_is_not_touched(pictures, tmp_path):
    model, data = pictures
    before = digest(model)
    found = lr_find.run(settings(model, data))
    assert digest(model) == before
    assert 1e-7 < found.rate == found.suggestions.valley < 1
    assert len(found.test.rates) > 10
    trained = FitSettings(
        str(model),
        DataSettings((str(data),)),
        learning_rate=found.rate,
        epochs=15,
        batch_size=16,
        jobs=1,
        output=str(tmp_path / "n.h5"),
    )
    assert fit.run(trained).history[-1]["val_accuracy"] > 0.9


def test_the_same_numbers_for_any_jobs_and_for_each_pick(pictures):
    found = lr_find.run(settings(*pictures))
    again = lr_find.run(settings(*pictures, jobs=2, pick="min10"))
    assert np.array_equal(found.test.losses, again.test.losses)
    assert again.suggestions == found.suggestions
    assert (again.rate, again.pick) == (found.suggestions.min10, "min10")


def test_another_seed_shuffles_differently(pictures):
    first, second = (lr_find.run(settings(*pictures, seed=seed)).test.losses for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_the_sweep_starts_from_the_training_state_of_the_file(pictures, tmp_path):
    model, data = pictures
    path = tmp_path / "t.h5"
    fit.run(FitSettings(str(model), DataSettings((str(data),)), epochs=3, batch_size=16, jobs=1, output=str(path)))
    before = digest(path)
    fresh, trained = (
        lr_find.sweep(wanted, lr_find.prepare(lr_find.training_run(wanted)), []).losses[0]
        for wanted in (settings(model, data), settings(path, data))
    )
    assert trained < fresh
    assert digest(path) == before


def test_a_frozen_model_has_no_usable_range(pictures, tmp_path):
    saved = read(pictures[0])
    graph = saved.model.graph
    saved.model = saved.model.with_graph(with_trainable(graph, dict.fromkeys(weighted_layers(graph), False)))
    write(saved, tmp_path / "frozen.h5")
    with pytest.raises(ShortError, match="no usable range: the loss falls from"):
        lr_find.run(settings(tmp_path / "frozen.h5", pictures[1]))


def test_the_json_has_the_curves(pictures):
    found = lr_find.run(settings(*pictures)).as_json()
    assert found["schema"] == "dltool.lr-find/1"
    assert found["rate"] == found["valley"]
    assert len(found["rates"]) == len(found["losses"]) == len(found["smoothed"])
    assert found["min10"] == pytest.approx(found["rates"][int(np.argmin(found["smoothed"]))] / 10)


def test_tables_of_numbers_work_too(tmp_path):
    x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    data = table(tmp_path, "line", x, (x @ [1.0, -2.0, 3.0]).astype(np.float32))
    build.run(
        BuildSettings(str(tmp_path / "m.h5"), words=("dense:16,relu", "dense:1"), data=DataSettings((str(data),)))
    )
    assert lr_find.run(settings(tmp_path / "m.h5", data, optimizer="sgd")).rate < 1


def test_what_does_not_fit_is_refused(pictures, tmp_path):
    good = settings(*pictures)
    for wanted, kind, message in (
        (replace(good, model=str(tmp_path / "no.h5")), ModelFileError, "no.h5: does not exist; write it first"),
        (replace(good, low=1.0, high=0.1), UsageError, "--min: 1 is not below --max 0.1"),
        (replace(good, steps=5), UsageError, "--steps: 5 are too few"),
        (replace(good, pick="best"), UsageError, "--pick: unknown pick 'best'"),
        (replace(good, optimizer="adm"), UsageError, "did you mean '[Aa]dam'"),
        (replace(good, data=DataSettings((str(tmp_path / "nowhere"),))), DataError, "nowhere: "),
    ):
        with pytest.raises(kind, match=message):
            lr_find.run(wanted)
