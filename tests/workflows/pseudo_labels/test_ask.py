"""``pseudo-label --ask``: which rows are asked, and that ``fit --extra`` takes the answers."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dltool.errors import DataError, OutputError, UsageError
from dltool.modelfile.reading import read
from dltool.modelfile.writing import write
from dltool.settings import BuildSettings, DataSettings, FitSettings, PseudoLabelSettings
from dltool.workflows import build, fit
from dltool.workflows.pseudo_labels import ask
from tests.workflows.pictures import picture_folder

LEVELS = {"dark": 80, "bright": 176}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model of dark and bright pictures, and a pool of them with a few in between."""
    root = tmp_path_factory.mktemp("ask")
    picture_folder(root / "train", LEVELS, per_class=40)
    picture_folder(root / "sure", LEVELS, per_class=40, seed=1)
    picture_folder(root / "between", {"mid": 128}, per_class=20, seed=2)
    (root / "pool").mkdir()
    for path in [*root.glob("sure/*/*.png"), *root.glob("between/*/*.png")]:
        shutil.copy(path, root / "pool" / f"{path.parent.name}-{path.name}")
    data = DataSettings((str(root / "train"),))
    options = {"epochs": 80, "batch_size": 16, "learning_rate": 0.01, "jobs": 1}
    fit.run(FitSettings(str(root / "m.h5"), data, arch="mlp:units=16,dropout=0.0", **options))
    return root


def settings(world, **options):
    wanted = {"unlabelled": (str(world / "pool"),), "ask": 6, "jobs": 1, "backend": "threads", **options}
    return PseudoLabelSettings(str(world / "m.h5"), **wanted)


def test_the_rows_in_between_are_asked_and_the_most_doubtful_is_the_first(world):
    result = ask.run(settings(world, ask=2))
    assert result.scored == 100
    assert all("mid-" in question.path for question in result.questions)
    assert len({question.path for question in result.questions}) == 2
    everything = ask.run(settings(world, ask=100)).questions
    assert result.questions[0] == min(everything, key=lambda question: question.margin)
    assert result.margin == pytest.approx(np.mean([question.margin for question in everything]))
    for question in everything:
        assert question.margin == pytest.approx(2 * question.prob - 1, abs=1e-5)


def test_the_same_picture_is_not_asked_twice(world, tmp_path):
    shutil.copytree(world / "pool", tmp_path / "pool")
    first = ask.run(settings(world, ask=1)).questions[0].path
    for number in range(8):
        shutil.copy(first, tmp_path / "pool" / f"copy-{number}.png")
    asked = ask.run(settings(world, unlabelled=(str(tmp_path / "pool"),), ask=2)).questions
    contents = {Path(question.path).read_bytes() for question in asked}
    assert len(contents) == 2


def test_the_answers_go_into_a_training(world, tmp_path):
    listed = tmp_path / "ask.csv"
    ask.run(settings(world, output=str(listed)))
    with listed.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "guess", "prob"]
    assert {row["label"] for row in rows} == {""} and {row["guess"] for row in rows} <= set(LEVELS)
    data = DataSettings((str(world / "train"),))
    wanted = FitSettings(str(tmp_path / "n.h5"), data, extra=(str(listed),), arch="mlp:units=4", epochs=1, jobs=1)
    with pytest.raises(DataError, match=r"ask.csv: line 2 has no label; write it as path,label"):
        fit.run(wanted)
    with listed.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "label": "bright"} for row in rows)
    fit.run(wanted)
    saved = read(str(tmp_path / "n.h5"))
    assert saved.split["extra"] == 6 and saved.classes == ("bright", "dark")
    with pytest.raises(OutputError, match="exists; use --force"):
        ask.run(settings(world, output=str(listed)))


def test_what_is_labelled_already_is_not_asked(world, tmp_path):
    known = tmp_path / "known.csv"
    asked = {question.path for question in ask.run(settings(world)).questions}
    known.write_text("path,label\n" + "".join(f"{path},dark\n" for path in sorted(asked)))
    result = ask.run(settings(world, val=(str(known),), data=DataSettings((str(world / "train"),))))
    assert not asked & {question.path for question in result.questions}
    assert result.notes == ("left out 6 rows that are labelled already",)


def test_array_rows_are_asked_by_their_number(world, tmp_path):
    values = np.full((30, 8, 8, 1), 80, np.uint8)
    values[[4, 17]] = 128
    np.save(tmp_path / "x.npy", values)
    asked = ask.run(settings(world, unlabelled=(str(tmp_path / "x.npy"),), ask=1)).questions
    assert asked[0].path in (f"{tmp_path}/x.npy[4]", f"{tmp_path}/x.npy[17]")


def test_doubt_is_about_the_probability_from_which_the_second_class_is_said(world, tmp_path):
    saved = read(str(world / "m.h5"))
    everything = {q.path: q.prob for q in ask.run(settings(world, ask=100)).questions if q.guess == "dark"}
    limit = sorted(everything.values())[len(everything) // 2]
    saved.recipe = {**saved.recipe, "threshold": float(limit)}
    write(saved, tmp_path / "t.h5")
    first = ask.run(replace(settings(world, ask=1), model=str(tmp_path / "t.h5"))).questions[0]
    assert first.prob == pytest.approx(limit, abs=1e-6) and first.margin == pytest.approx(0, abs=1e-6)


def test_a_network_of_one_layer_is_asked_by_its_probabilities(world, tmp_path):
    words = ("flatten", "dense:2,softmax")
    build.run(BuildSettings(str(tmp_path / "one.h5"), input=(8, 8, 1), words=words))
    build.run(BuildSettings(str(tmp_path / "flat.h5"), input=(64,), words=("dense:2,softmax",)))
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32))
    one = replace(settings(world, ask=3), model=str(tmp_path / "one.h5"))
    flat = replace(one, model=str(tmp_path / "flat.h5"), unlabelled=(str(tmp_path / "x.npy"),))
    assert len(ask.run(one).questions) == len(ask.run(flat).questions) == 3


def test_models_without_classes_to_doubt_are_refused(world, tmp_path):
    for words, message in (("dense:1", "gives numbers, not classes"), ("dense:1,softmax", "has one class only")):
        build.run(BuildSettings(str(tmp_path / "m.h5"), input=(8, 8, 1), words=("flatten", words), force=True))
        with pytest.raises(UsageError, match=f"m.h5: {message}"):
            ask.run(replace(settings(world), model=str(tmp_path / "m.h5")))
