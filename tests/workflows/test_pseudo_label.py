"""``pseudo-label`` on small pictures: what is accepted, what is refused, what the list says."""

import csv
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dltool.errors import DataError, OutputError, ShortError, UsageError
from dltool.modelfile.reading import read
from dltool.modelfile.writing import write
from dltool.settings import BuildSettings, DataSettings, EvaluateSettings, FitSettings, PseudoLabelSettings
from dltool.workflows import build, evaluate, fit, pseudo_label
from tests.workflows.pictures import CLOSE, picture_folder, pool, uneven


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A trained model, its training data, 300 validation pictures, and a pool of 360 with their classes in the name."""
    root = tmp_path_factory.mktemp("pseudo")
    uneven(root / "train", CLOSE, 60, seed=0)
    uneven(root / "val", CLOSE, 100, seed=1)
    pool(root / "pool", seed=2)
    fit.run(
        FitSettings(
            str(root / "m.h5"),
            DataSettings((str(root / "train"),)),
            arch="mlp:units=16,dropout=0.0",
            epochs=60,
            batch_size=16,
            learning_rate=0.01,
            jobs=1,
        )
    )
    return root


def settings(world: Path, **options) -> PseudoLabelSettings:
    wanted = {
        "unlabelled": (str(world / "pool"),),
        "val": (str(world / "val"),),
        "data": DataSettings((str(world / "train"),)),
        "jobs": 1,
        "backend": "threads",
        **options,
    }
    return PseudoLabelSettings(model=str(world / "m.h5"), **wanted)


def true_precision(result) -> float:
    return float(np.mean([Path(path).name.split("-")[0] == label for path, label, _ in result.rows]))


def test_a_higher_precision_accepts_less_and_more_of_it_is_right(world):
    loose = pseudo_label.run(settings(world, min_precision=0.85))
    strict = pseudo_label.run(settings(world, min_precision=0.96))
    assert 0 < len(strict.rows) < len(loose.rows) <= loose.scored == 360
    assert true_precision(strict) > true_precision(loose)
    assert strict.precision >= 0.96
    assert abs(strict.precision - true_precision(strict)) < 0.04
    assert abs(loose.precision - true_precision(loose)) < 0.04
    assert strict.interval[0] < true_precision(strict) < strict.interval[1]
    assert strict.warnings == ()


def test_each_class_has_its_threshold_estimate_and_shares(world):
    result = pseudo_label.run(settings(world, min_precision=0.9))
    assert [found.name for found in result.classes] == ["bright", "dark", "mid"]
    assert sum(found.accepted for found in result.classes) == len(result.rows)
    for found in result.classes:
        low, high = found.precision.interval
        assert low < found.expected < high
        assert found.train_share == pytest.approx(1 / 3)
        labels = [label for _, label, _ in result.rows]
        assert labels.count(found.name) == found.accepted == round(found.share * len(result.rows))
    assert {(label, weight) for _, label, weight in result.rows} == {
        (found.name, round(found.expected, 4)) for found in result.classes
    }


def test_the_list_can_be_read_from_where_it_lies(world, tmp_path):
    output = tmp_path / "pool.csv"
    result = pseudo_label.run(settings(world, output=str(output)))
    with output.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "weight"]
    assert len(rows) == len(result.rows)
    assert rows[0]["label"] == result.rows[0][1]
    assert os.path.isfile(output.parent / rows[0]["path"])
    with pytest.raises(OutputError, match=r"exists; use --force"):
        pseudo_label.run(settings(world, output=str(output)))
    pseudo_label.run(settings(world, output=str(output), force=True))


def test_relative_paths_are_seen_from_the_lists_folder(world, monkeypatch):
    monkeypatch.chdir(world)
    (world / "lists").mkdir()
    pseudo_label.run(
        replace(settings(world), unlabelled=("pool",), output=os.path.join("lists", "p.csv"), min_precision=0.9)
    )
    lines = (world / "lists" / "p.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1].startswith("../pool/")


def test_fit_takes_the_list_as_extra_rows(world, tmp_path):
    result = pseudo_label.run(settings(world, min_precision=0.95, output=str(tmp_path / "pool.csv")))
    data = DataSettings((str(world / "train"),))
    fit.run(
        FitSettings(
            str(tmp_path / "n.h5"),
            data,
            extra=(str(tmp_path / "pool.csv"),),
            arch="mlp:units=16,dropout=0.0",
            epochs=60,
            batch_size=16,
            learning_rate=0.01,
            jobs=1,
        )
    )
    saved = read(str(tmp_path / "n.h5"))
    assert saved.split["train"] + saved.split["validation"] + saved.split["extra"] == 180 + len(result.rows)
    old, new = (
        evaluate.run(EvaluateSettings(str(path), DataSettings((str(world / "val"),)))).metrics["accuracy"].value
        for path in (world / "m.h5", tmp_path / "n.h5")
    )
    assert new >= old - 0.02
    again = replace(settings(world, val=(), min_precision=0.8), model=str(tmp_path / "n.h5"))
    assert sum(found.precision.total for found in pseudo_label.run(again).classes) <= 36
    with pytest.raises(UsageError, match=r"--val: missing, and .*n.h5 was not trained on this --data"):
        pseudo_label.run(replace(again, data=DataSettings((str(world / "val"),))))


def test_a_cap_keeps_the_surest_of_each_class(world):
    free = pseudo_label.run(settings(world, threshold="0.5"))
    capped = pseudo_label.run(settings(world, threshold="0.5", max_per_class=20))
    assert [found.accepted for found in capped.classes] == [20, 20, 20]
    assert set(capped.rows) < set(free.rows)
    assert true_precision(capped) >= true_precision(free)


def test_thresholds_can_be_given_per_class(world):
    result = pseudo_label.run(settings(world, threshold="dark=0.9,bright=0.8"))
    assert [found.threshold for found in result.classes] == [0.8, 0.9, np.inf]
    assert {label for _, label, _ in result.rows} == {"dark", "bright"}
    (warning,) = result.warnings
    assert warning.startswith("no row of class mid is accepted, and a training with such a list unlearns what it lacks")


def test_accepted_rows_out_of_balance_are_warned_of(world):
    (warning,) = pseudo_label.run(settings(world, threshold="dark=0.5,bright=0.5,mid=0.9", calibrate=False)).warnings
    assert warning.startswith("the accepted rows are out of balance: ")
    assert warning.endswith(" mid, of the labelled rows 33%; --max-per-class N limits it")


def test_a_shifted_pool_is_warned_of(world, tmp_path):
    shifted = pool(tmp_path / "shifted", seed=3, shift=45)
    result = pseudo_label.run(settings(world, unlabelled=(str(shifted),)))
    assert any("the pool differs from the validation rows in predicted classes" in text for text in result.warnings)
    assert result.as_json()["drift"]["predicted classes"]["warned"]


def test_without_val_the_part_that_fit_held_out_is_used(world):
    # 60 pictures a class, of which a fifth was held out.
    result = pseudo_label.run(settings(world, val=(), min_precision=0.8))
    assert sum(found.precision.total for found in result.classes) <= 36
    assert result.majority == pytest.approx(1 / 3)
    with pytest.raises(UsageError, match=r"--val: missing, and .*m.h5 was not trained on this --data"):
        pseudo_label.run(settings(world, val=(), data=DataSettings((str(world / "val"),))))
    with pytest.raises(UsageError, match="--val: missing; give labelled rows"):
        pseudo_label.run(settings(world, val=(), data=DataSettings()))


def test_what_was_held_out_by_groups_must_be_given(world, tmp_path):
    saved = read(str(world / "m.h5"))
    saved.split = {**saved.split, "kind": "grouped"}
    write(saved, tmp_path / "g.h5")
    with pytest.raises(UsageError, match=r"--val: missing, and what .*g.h5 held out went by groups \(--group\); give"):
        pseudo_label.run(replace(settings(world, val=()), model=str(tmp_path / "g.h5")))


def test_a_model_without_class_names_takes_those_of_the_data(world, tmp_path):
    saved = read(str(world / "m.h5"))
    saved.classes = None
    write(saved, tmp_path / "nameless.h5")
    nameless = pseudo_label.run(replace(settings(world), model=str(tmp_path / "nameless.h5")))
    assert nameless.rows == pseudo_label.run(settings(world)).rows


def test_a_list_of_paths_is_a_pool_too_and_labelled_files_are_left_out(world, tmp_path):
    names = [world / "pool" / f"dark-{i}.png" for i in range(30)] + [world / "train" / "dark" / "0.png"]
    wanted = tmp_path / "list.csv"
    wanted.write_text("path\n" + "\n".join(os.path.relpath(name, tmp_path) for name in names) + "\n", encoding="utf-8")
    result = pseudo_label.run(settings(world, unlabelled=(str(wanted),), threshold="0"))
    assert result.scored == len(result.rows) == 30
    assert result.notes == ("left out 1 row that is labelled already",)


def test_unreadable_pictures_are_named_and_left_out(world, tmp_path):
    shutil.copytree(world / "pool", tmp_path / "pool")
    (tmp_path / "pool" / "dark-3.png").write_bytes(b"no picture")
    result = pseudo_label.run(settings(world, unlabelled=(str(tmp_path / "pool"),)))
    assert result.scored == 359
    assert len(result.failed) == 1 and "dark-3.png" in result.failed[0]


def test_a_model_no_better_than_the_majority_class_is_refused(world, tmp_path):
    saved = read(str(world / "m.h5"))
    saved.model.weights.vector[...] = 0
    write(saved, tmp_path / "useless.h5")
    with pytest.raises(DataError, match=r"useless.h5: is right on 0.333 of the validation rows, and always saying"):
        pseudo_label.run(replace(settings(world), model=str(tmp_path / "useless.h5")))


def test_too_few_validation_rows_are_refused(world, tmp_path):
    few = uneven(tmp_path / "few", CLOSE, 8, seed=5)
    with pytest.raises(DataError, match=r"few: 24 validation rows are too few to find thresholds .* give at least 30"):
        pseudo_label.run(settings(world, val=(str(few),)))
    with pytest.raises(DataError, match=r"val: 300 validation rows are too few .* of 0.999; give at least 998"):
        pseudo_label.run(settings(world, min_precision=0.999))
    lacking = uneven(tmp_path / "lacking", {"dark": 100, "mid": 128}, 30, seed=6)
    with pytest.raises(DataError, match="no validation row is of class 'bright'"):
        pseudo_label.run(settings(world, val=(str(lacking),)))


def test_nothing_accepted_is_short_and_writes_nothing(world, tmp_path):
    with pytest.raises(ShortError, match="no row of 360 reaches its threshold"):
        pseudo_label.run(settings(world, threshold="1", output=str(tmp_path / "p.csv")))
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_is_refused(world, tmp_path):
    build.run(BuildSettings(str(tmp_path / "r.h5"), input=(8, 8, 1), words=("flatten", "dense:1")))
    for wanted, kind, message in (
        (settings(world, threshold="0.9", min_precision=0.9), UsageError, "--threshold: cannot be combined"),
        (settings(world, min_precision=1.0), UsageError, "--min-precision: 1.0 is no part of 1"),
        (settings(world, unlabelled=()), UsageError, "--unlabelled: missing"),
        (settings(world, threshold="drak=1"), UsageError, "did you mean 'dark'"),
        (settings(world, unlabelled=(str(tmp_path / "no"),)), DataError, "no: does not exist; check the path"),
        (settings(world, unlabelled=(str(tmp_path / "r.h5"),)), ShortError, "nothing could be read; the first reason"),
        (settings(world, output=str(tmp_path / "no" / "p.csv")), OutputError, "does not exist"),
        (replace(settings(world), model=str(tmp_path / "r.h5")), UsageError, "gives numbers, not classes"),
    ):
        with pytest.raises(kind, match=message):
            pseudo_label.run(wanted)


def test_classes_that_are_easy_are_nearly_all_accepted(tmp_path):
    easy = {"dark": 30, "bright": 220}
    train = picture_folder(tmp_path / "train", easy, per_class=60)
    unlabelled = picture_folder(tmp_path / "pool", easy, per_class=50, seed=9)
    data = DataSettings((str(train),))
    options = {"epochs": 120, "batch_size": 16, "learning_rate": 0.01, "val_split": 0.5, "jobs": 1}
    fit.run(FitSettings(str(tmp_path / "m.h5"), data, arch="mlp:units=32", **options))
    wanted = settings(tmp_path, unlabelled=(str(unlabelled),), val=(), min_precision=0.9)
    result = pseudo_label.run(wanted)
    # The least sure of 60 validation rows is the threshold, so about one in 61 of the pool is below it.
    assert len(result.rows) >= 90
    assert all(Path(path).parent.name == label for path, label, _ in result.rows)
    # 30 of 30 right in each class, 60 of 60 in all: (30 + 2 * 61/62) / 32
    assert result.precision == pytest.approx((30 + 2 * 61 / 62) / 32)
