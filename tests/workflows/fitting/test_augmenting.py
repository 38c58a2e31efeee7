"""``fit --augment``."""

import numpy as np
import pytest
from PIL import Image

from dltool.engine.losses import SparseCategoricalCrossentropy
from dltool.errors import UsageError
from dltool.modelfile.reading import read
from dltool.settings import DataSettings, FitSettings
from dltool.workflows import fit
from tests.workflows.fitting.test_resuming import interrupt, open_bytes
from tests.workflows.pictures import DARK_AND_BRIGHT, picture_folder

MIXED = "upright,erase,mixup=0.4,cutmix=1"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """``settings("m.h5", augment="strong", ...)``: 48 rows in 3 batches, 12 to validate."""
    monkeypatch.chdir(tmp_path)
    picture_folder(tmp_path / "data", DARK_AND_BRIGHT, per_class=20)

    def make(model="m.h5", **options):
        data = options.pop("data", DataSettings(data=("data",)))
        wanted = {"epochs": 3, "batch_size": 16, "jobs": 1, "arch": "mlp:units=8", "schedule": "cosine", **options}
        return FitSettings(model=model, data=data, **wanted)

    return make


@pytest.mark.parametrize("augment", ["strong", MIXED])
def test_a_run_that_was_interrupted_goes_on_exactly(settings, augment):
    fit.run(settings("whole.h5", augment=augment))
    for batches in (2, 5):
        interrupt(settings("m.h5", augment=augment, force=True), batches)
        fit.run(settings("m.h5", augment=augment, resume=True, jobs=2))
        assert open_bytes("m.h5") == open_bytes("whole.h5")


def test_it_changes_what_is_learnt_and_is_remembered(settings):
    fit.run(settings("plain.h5"))
    fit.run(settings("m.h5", augment="strong"))
    assert not np.array_equal(read("m.h5").model.weights.vector, read("plain.h5").model.weights.vector)
    assert read("m.h5").recipe["augment"] == "strong"
    with pytest.raises(UsageError, match=r"--augment: light, but the run in m\.h5 has strong"):
        fit.run(settings("m.h5", augment="light", resume=True))


def test_arrays_of_numbers_and_labels_of_one_unit_are_mixed_too(settings):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    np.save("x.npy", (rng.random((60, 6, 6)) * 0.3 + 0.4 * y[:, None, None]).astype(np.float32))
    np.save("y.npy", y)
    data = DataSettings(("x.npy",), "y.npy")
    options = {"data": data, "arch": "mlp:units=8,dropout=0", "learning_rate": 0.02, "epochs": 40}
    result = fit.run(settings("m.h5", augment=MIXED, loss="categorical_crossentropy", **options))
    assert result.history[-1]["val_accuracy"] == 1.0
    np.save("t.npy", rng.random((60, 3)).astype(np.float32))
    table = {**options, "data": DataSettings(("t.npy",), "y.npy"), "epochs": 1}
    assert np.isfinite(fit.run(settings("t.h5", augment="mixup", **table)).history[0]["loss"])


def test_the_file_keeps_its_own_loss(settings):
    fit.run(settings("m.h5", augment=MIXED, epochs=1))
    assert read("m.h5").training_config.losses == (SparseCategoricalCrossentropy(),)


def test_class_weights_are_mixed_like_labels(settings):
    history = fit.run(settings("m.h5", augment="mixup=1", class_weight="dark=3,mid=0.5", epochs=1)).history
    assert np.isfinite(history[0]["loss"])


def test_a_preview_is_drawn_and_nothing_trained(settings, tmp_path):
    text = fit.preview(settings(augment="medium", augment_preview="sheet.png"))
    assert text == (
        "wrote   sheet.png: the original, then epochs 1 to 7 of "
        "hflip=0.5, crop=0.125, brightness=0.1, contrast=0.1, cutout=0.25"
    )
    assert np.asarray(Image.open("sheet.png")).shape == (8 * 100 + 4, 8 * 100 + 4, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "sheet.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augment": "hflop"}, "--augment: unknown augmentation 'hflop'; did you mean 'hflip'"),
        ({"augment": "cutout=8"}, "--augment: cutout=8 is larger than the images of 8x8"),
        ({"augment": "light", "augment_preview": "a.jpg"}, r"--augment-preview: a\.jpg is no \.png; name it so"),
        ({"augment": "none", "augment_preview": "a.png"}, "--augment-preview: needs --augment"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_written(settings, tmp_path, options, message):
    wanted = settings(**options)
    with pytest.raises(UsageError, match=message):
        fit.preview(wanted) if wanted.augment_preview else fit.run(wanted)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_tables_cannot_be_flipped(settings):
    np.save("x.npy", np.random.default_rng(0).random((60, 3)))
    np.save("y.npy", np.arange(60) % 2)
    with pytest.raises(UsageError, match="--augment: hflip needs images, but rows are 3; give mixup alone"):
        fit.run(settings(data=DataSettings(("x.npy",), "y.npy"), augment="light"))
