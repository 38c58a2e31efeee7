"""``--tta`` in evaluate and predict."""

import numpy as np
import pytest

from dltool.engine.executor import Executor
from dltool.errors import UsageError
from dltool.modelfile.reading import read
from dltool.settings import DataSettings, EvaluateSettings, FitSettings, PredictSettings
from dltool.workflows import evaluate, fit, predict
from tests.workflows.pictures import DARK_AND_BRIGHT, picture_folder


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """``trained(augment)`` writes m.h5, trained on data/: 8x8 grey pictures of three classes."""
    monkeypatch.chdir(tmp_path)
    picture_folder(tmp_path / "data", DARK_AND_BRIGHT, per_class=20)

    def train(augment):
        data = DataSettings(data=("data",))
        fit.run(FitSettings("m.h5", data, arch="mlp:units=8", epochs=2, jobs=1, augment=augment, force=True))

    return train


def probabilities(**options) -> np.ndarray:
    return np.array([row.probs for row in predict.run(PredictSettings("m.h5", ("x.npy",), jobs=1, **options)).rows])


def test_predictions_are_the_means_over_the_views(trained):
    trained("hflip,vflip")
    x = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1), np.uint8)
    np.save("x.npy", x)
    with Executor(read("m.h5").model, batch_size=7, jobs=1) as executor:
        found = [
            executor.forward((np.ascontiguousarray(v),))[0] for v in (x, x[:, ::-1], x[:, :, ::-1], x[:, ::-1, ::-1])
        ]
    assert np.allclose(probabilities(tta=True), np.mean(found, axis=0), atol=1e-6)
    assert np.allclose(probabilities(), found[0], atol=1e-6)
    assert not np.allclose(found[0], found[1])


def test_evaluate_measures_what_predict_says(trained):
    trained("light")
    data = DataSettings(data=("data",))
    result = evaluate.run(EvaluateSettings("m.h5", data, jobs=1, tta=True))
    rows = list(predict.run(PredictSettings("m.h5", ("data",), jobs=1, tta=True)).rows)
    right = np.mean([row.label == row.path.split("/")[1] for row in rows])
    assert result.metrics["accuracy"].value == pytest.approx(right)
    plain = evaluate.run(EvaluateSettings("m.h5", data, jobs=1))
    assert result.loss != plain.loss


def test_grey_images_that_were_never_moved_have_no_views(trained):
    trained(None)
    with pytest.raises(UsageError, match="--tta: the model was trained without flips, turns or shifts"):
        evaluate.run(EvaluateSettings("m.h5", DataSettings(data=("data",)), jobs=1, tta=True))
    np.save("x.npy", np.zeros((2, 8, 8, 1), np.uint8))
    with pytest.raises(UsageError, match="leave it out, or train with --augment"):
        probabilities(tta=True)
