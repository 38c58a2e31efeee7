"""Labelled data as typed: every form reaches fit, evaluate and predict, and what is wrong is one line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dltool.cli.main import main
from dltool.modelfile.reading import read

FIT = ["--epochs", "1", "--jobs", "1"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: pics/ with 60 grey 2x2 pictures, dark (0 to 29) and bright (30 to 59), and arrays."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    Path("pics").mkdir()
    for number in range(60):
        pixels = random.integers(0, 100, (2, 2)) + (150 if number >= 30 else 0)
        Image.fromarray(pixels.astype(np.uint8)).save(f"pics/{number}.png")
    x = np.linspace(-1, 1, 60, dtype=np.float32)[:, None]
    np.save("x.npy", x)
    np.save("y.npy", (x[:, 0] > 0).astype(np.int64))
    return tmp_path


def list_of(rows: Iterable[int], path: str = "all.csv", weight: str = "") -> str:
    lines = [f"pics/{row}.png,{'bright' if row >= 30 else 'dark'}{weight}" for row in rows]
    Path(path).write_text("\n".join(["path,label,weight"[: 17 if weight else 10], *lines]) + "\n")
    return path


def folder_of(rows: range, root: str) -> str:
    for row in rows:
        target = Path(root, "bright" if row >= 30 else "dark", f"{row}.png")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(f"pics/{row}.png").read_bytes())
    return root


def fit(*words: str) -> int:
    return main(["fit", "m.h5", *FIT, *words])


def test_a_list_is_trained_on_and_measured(here, capsys):
    list_of(range(60))
    assert fit("--data", "all.csv", "--arch", "mlp:units=4") == 0
    assert capsys.readouterr().err.splitlines()[:2] == [
        "data    all.csv: 60 images, 2 classes (bright 30, dark 30)",
        "split   48 train / 12 val, stratified, seed 0",
    ]
    assert main(["evaluate", "m.h5", "--data", "all.csv", "--json", "--jobs", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["n"], found["classes"]) == (60, ["bright", "dark"])
    assert main(["predict", "m.h5", "all.csv", "--format", "csv", "--jobs", "1"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split(",")[0] for row in rows] == ["path", *(f"pics/{row}.png" for row in range(60))]


def test_a_list_on_stdin(here, run_dltool):
    text = Path(list_of(range(60))).read_text()
    command = [sys.executable, "-m", "dltool", "fit", "m.h5", "--data", "-", "--arch", "mlp:units=4", *FIT]
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=run_dltool.environ, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "60 images, 2 classes (bright 30, dark 30)" in done.stderr.splitlines()[0]


def test_extra_rows_train_but_do_not_validate(here, capsys):
    list_of([*range(10), *range(40, 60)])
    list_of(range(10, 40), "extra.csv", weight=",0.5")
    assert fit("--data", "all.csv", "--extra", "extra.csv", "--val-split", "0.2", "--arch", "mlp:units=4") == 0
    err = capsys.readouterr().err
    assert "split   24 train / 6 val, stratified, seed 0" in err
    assert "note    extra.csv: 30 more rows for training, weighted\n" in err
    assert read("m.h5").split["extra"] == 30


def test_extra_rows_that_validate_are_left_out(here, capsys):
    folder_of(range(10), "val")
    folder_of(range(50, 60), "val")
    list_of(range(60))
    os.symlink(Path("val/dark/3.png").absolute(), "again.png")
    Path("extra.csv").write_text("path,label\nagain.png,dark\nval/bright/55.png,bright\npics/55.png,bright\n")
    assert fit("--data", "all.csv", "--val", "val", "--extra", "extra.csv", "--arch", "mlp:units=4") == 0
    assert "note    extra.csv: 1 more row for training; left out 2 that validate\n" in capsys.readouterr().err
    assert read("m.h5").split["extra"] == 1
    Path("extra.csv").write_text("path,label\nagain.png,dark\n")
    words = ["fit", "m.h5", *FIT, "--data", "all.csv", "--val", "val", "--extra", "extra.csv"]
    refused(words, capsys, 3, "extra.csv: all its rows are validation rows; give others")


def test_extra_rows_of_arrays(here, capsys):
    # What predict calls a row is what a list calls it.
    assert fit("--data", "x.npy", "--arch", "mlp:units=4", "-q") == 0
    assert main(["predict", "m.h5", "x.npy", "--format", "csv", "--jobs", "1"]) == 0
    Path("pseudo.csv").write_text(capsys.readouterr().out)
    assert fit("--data", "x.npy", "--extra", "pseudo.csv") == 0
    assert "note    pseudo.csv: 48 more rows for training; left out 12 that validate\n" in capsys.readouterr().err


def test_a_name_before_a_path_counts_only_if_the_model_has_it(here, capsys):
    main(["build", "m.h5", "--input", "1", "--classes", "2", "in=input:1", "out=dense:2,softmax@in", "-q"])
    assert fit("--data", "in=x.npy", "--labels", "out=y.npy", "-q") == 0
    assert main(["predict", "m.h5", "in=x.npy", "--format", "csv", "--jobs", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("x.npy[0],")
    refused(["fit", "m.h5", "--data", "on=x.npy"], capsys, 3, "on=x.npy: cannot be opened (No such file")
    os.link("x.npy", "on=x.npy")
    assert fit("--data", "on=x.npy", "--labels", "y.npy", "-q") == 0


def test_weights_decide_what_is_learnt(here, capsys):
    # The same pictures under both labels: the heavier label wins.
    lines = [f"pics/{row}.png,{label},{weight}" for row in range(60) for label, weight in (("a", 1), ("b", 20))]
    Path("w.csv").write_text("\n".join(lines))
    assert fit("--data", "w.csv", "--val-split", "0", "--arch", "mlp:units=4", "--epochs", "8", "--lr", "0.02") == 0
    capsys.readouterr()
    main(["predict", "m.h5", "pics", "--format", "tsv", "--jobs", "1"])
    assert {line.split("\t")[1] for line in capsys.readouterr().out.splitlines()[1:]} == {"b"}


def test_a_list_with_several_labels_per_image_trains_independent_outputs(here, capsys):
    lines = [f"pics/{row}.png,{'bright;' if row >= 30 else ''}{'even' if row % 2 == 0 else ''}" for row in range(60)]
    Path("several.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    assert fit("--data", "several.csv", "--multi-label", "--arch", "mlp:units=16", "--epochs", "30") == 0
    assert "data    several.csv: 60 images, 2 classes (bright 30, even 30)" in capsys.readouterr().err
    assert read("m.h5").training_config.loss_names == ("binary_crossentropy",)
    assert main(["evaluate", "m.h5", "--data", "several.csv", "--multi-label", "--json", "--jobs", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["n"], found["classes"]) == (60, ["bright", "even"])
    recall = {score["name"]: score["recall"] for score in found["per_class"]}
    assert recall["bright"] > 0.9
    assert main(["predict", "m.h5", "pics/59.png", "--probs", "--format", "jsonl", "--jobs", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["probs"]["bright"] > 0.5
    Path("wrong.csv").write_text("pics/1.png,bright;evne\n")
    refused(
        ["fit", "m.h5", "--data", "wrong.csv", "--multi-label"], capsys, 3, "wrong.csv: line 1: unknown class 'evne'"
    )


def test_a_list_of_numbers_is_regression(here, capsys):
    Path("r.tsv").write_text("\n".join(f"pics/{row}.png\t{row / 10}" for row in range(60)))
    assert fit("--data", "r.tsv", "--arch", "mlp:units=4") == 0
    assert read("m.h5").training_config.loss_names == ("mean_squared_error",)
    assert main(["evaluate", "m.h5", "--data", "r.tsv", "--jobs", "1"]) == 0
    assert "mean_absolute_error" in capsys.readouterr().out


def test_parts_of_a_folder_are_used_as_they_are_called(here, capsys):
    folder_of(range(20, 40), "d/train")
    folder_of(range(26, 34), "d/val")
    folder_of(range(29, 31), "d/test")
    assert fit("--data", "d", "--arch", "mlp:units=4") == 0
    err = capsys.readouterr().err
    assert "data    d: 20 images, 2 classes (bright 10, dark 10)" in err
    assert "split   20 train / 8 val, as given" in err
    assert main(["evaluate", "m.h5", "--data", "d", "--jobs", "1"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("2 images") and "measured on the test/ part" in err


def test_several_data_are_joined(here, capsys):
    assert fit("--data", folder_of(range(20, 40), "d"), "--data", list_of(range(5)), "--arch", "mlp:units=4") == 0
    assert "data    d, all.csv: 25 images, 2 classes (bright 10, dark 15)" in capsys.readouterr().err
    np.savez("more.npz", x=np.ones((5, 1)), y=np.arange(5) % 2)
    os.remove("m.h5")
    assert fit("--data", "x.npy", "--data", "more.npz", "--arch", "mlp:units=4") == 0
    assert "data    x.npy, more.npz: 65 rows, 2 classes (0 33, 1 32)" in capsys.readouterr().err


def test_groups_stay_together(here, capsys):
    Path("g.txt").write_text("".join(f"{row // 3}\n" for row in range(60)))
    assert fit("--data", list_of(range(60)), "--group", "g.txt", "--arch", "mlp:units=4") == 0
    assert "split   48 train / 12 val, grouped, seed 0" in capsys.readouterr().err
    assert read("m.h5").split["groups"] == 20


def test_a_limit_keeps_the_classes(here, capsys):
    assert fit("--data", list_of(range(45)), "--limit", "15", "--arch", "mlp:units=4") == 0
    assert "15 images, 2 classes (bright 5, dark 10)" in capsys.readouterr().err


def test_class_names_give_the_order(here, capsys):
    Path("names.txt").write_text("dark\nmid\nbright\n")
    assert fit("--data", folder_of(range(20, 40), "d"), "--class-names", "names.txt", "--arch", "mlp:units=4") == 0
    assert read("m.h5").classes == ("dark", "mid", "bright")
    assert fit("--data", list_of(range(40, 60), "more.csv")) == 0  # of one class only
    os.rename("d/dark", "d/black")
    capsys.readouterr()
    assert main(["evaluate", "m.h5", "--data", "d"]) == 3
    assert "unknown class 'black'; the classes are dark, mid, bright" in capsys.readouterr().err


@pytest.mark.parametrize("head", ["dense:1,sigmoid", "dense:2,softmax"])
def test_two_classes_with_one_unit_or_two(here, capsys, head):
    data = folder_of(range(60), "d")
    assert main(["build", "m.h5", "--data", data, "flatten", head, "-q"]) == 0
    assert fit("--data", data, "--epochs", "30", "--batch-size", "8", "--lr", "0.05", "-q") == 0
    assert main(["evaluate", "m.h5", "--data", data, "--json", "--jobs", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == ["bright", "dark"]
    assert found["metrics"]["accuracy"]["value"] == 1
    main(["predict", "m.h5", "pics/3.png", "pics/55.png", "--format", "tsv", "--jobs", "1"])
    assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()[1:]] == ["dark", "bright"]


def test_several_labels_per_row(here, capsys):
    x = np.load("x.npy")[:, 0]
    np.save("several.npy", np.stack([x > 0, x > 0.5, x < 0], axis=1))
    words = ["--data", "x.npy", "--labels", "several.npy"]
    assert fit(*words, "--multi-label", "--class-names", "up,far,down", "--arch", "mlp:units=8") == 0
    assert "60 rows, 3 classes (up 30, far 15, down 30)" in capsys.readouterr().err
    saved = read("m.h5")
    assert (saved.classes, saved.training_config.loss_names) == (("up", "far", "down"), ("binary_crossentropy",))
    assert fit(*words, "-q") == 0  # the head decides
    refused(["fit", "m.h5", *words, "--class-weight", "balanced"], capsys, 2, "--class-weight: the labels are several")
    assert main(["evaluate", "m.h5", *words, "--jobs", "1"]) == 0
    assert "binary_accuracy" in capsys.readouterr().out


@pytest.fixture
def named(here):
    """m.h5 with inputs a and b, outputs total and sign, and arrays for them."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(80, 2)), random.normal(size=(80, 1))
    np.save("a.npy", a)
    np.save("b.npy", b)
    np.save("total.npy", a.sum(axis=1) + b[:, 0])
    np.save("sign.npy", (b[:, 0] > 0).astype(int))
    words = ["a=input:2", "b=input:1", "ab=concatenate@a+b", "total=dense:1@ab", "sign=dense:2,softmax@ab"]
    main(["build", "m.h5", *words, "-q"])
    return ["--data", "a=a.npy", "--data", "b=b.npy", "--labels", "total=total.npy", "--labels", "sign=sign.npy"]


def test_several_inputs_and_outputs_by_name(named, capsys):
    weights = ["--loss", "total=mae", "--loss-weight", "sign=0.5"]
    assert fit(*named, *weights, "--val", "a=a.npy", "--val", "b=b.npy", "--val-labels", "total=total.npy",
               "--val-labels", "sign=sign.npy") == 0  # fmt: skip
    err = capsys.readouterr().err
    assert "split   80 train / 80 val, as given" in err
    config = read("m.h5").training_config
    assert config.loss_names == ("mean_absolute_error", "sparse_categorical_crossentropy")
    assert config.loss_weights == (1, 0.5)
    assert main(["evaluate", "m.h5", *named, "--json", "--jobs", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 80
    assert main(["predict", "m.h5", "b=b.npy", "a=a.npy", "--format", "csv", "--jobs", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "path,total.value,sign.value,sign.value_1"
    assert lines[80].startswith("a.npy[79],")


def test_the_loss_of_several_outputs_is_the_weighted_sum(named, capsys):
    saved = read("m.h5")
    saved.model.weights.vector[...] = 0  # total 0, sign 0.5 / 0.5
    from dltool.modelfile.writing import write

    write(saved, "m.h5")
    assert fit(*named, "--loss", "total=mse", "--loss-weight", "sign=0.25", "--lr", "1e-9", "--val-split", "0") == 0
    expected = np.square(np.load("total.npy")).mean() + 0.25 * np.log(2)
    assert read("m.h5").history[0]["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--data", "a=a.npy"], 2, "--data: 'b' is missing; give a=FILE.npy b=FILE.npy"),
        (["--labels", "sign=sign.npy"], 2, "--labels: 'sign' is given twice"),
        (["--labels", "signs=sign.npy"], 2, "--labels: signs=sign.npy is for none of total, sign"),
        (["--loss", "totl=mse"], 2, "--loss: 'totl' is no output of the model; did you mean 'total'?"),
        (["--loss", "total=msee"], 2, "--loss: unknown loss 'msee'; did you mean 'mse'?"),
        (["--loss", "mse", "--loss", "sign=mse"], 2, "--loss: given 2 times; write OUTPUT=... for each of total, sign"),
        (["--loss", "sign=mse", "--loss", "sign=mae"], 2, "--loss: 'sign' is given twice"),
        (["--loss-weight", "2"], 2, "--loss-weight: 2.0 names no output; write total=2.0"),
        (["--loss-weight", "total=-1"], 2, "--loss-weight: -1 is out of range"),
        (["--loss-weight", "total=0", "--loss-weight", "sign=0"], 2, "--loss-weight: every output weighs 0"),
        (["--class-names", "x,y"], 2, "--class-names: the model has several inputs or outputs"),
        (["--multi-label"], 2, "--multi-label: the model has several inputs or outputs"),
    ],
)
def test_what_is_wrong_with_names_is_said(named, capsys, words, code, message):
    if words[0] == "--data":
        named = ["--labels", "total=total.npy", "--labels", "sign=sign.npy"]
    before = Path("m.h5").read_bytes()
    refused(["fit", "m.h5", *named, *words, *FIT], capsys, code, message)
    assert Path("m.h5").read_bytes() == before


def refused(words: list[str], capsys: pytest.CaptureFixture, code: int, message: str) -> None:
    """The command stops with the code and one line, and nothing in the folder changes."""
    before = sorted(map(str, Path().rglob("*")))
    assert main(words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"dltool: error: {message}"), err
    assert err.count("\n") == 1
    assert sorted(map(str, Path().rglob("*"))) == before


BAD_FILES = {
    "empty.csv": b"",
    "nolabel.csv": b"pics/1.png\npics/2.png\n",
    "gone.csv": b"pics/1.png,a\nmissing.png,b\n",
    "one.csv": b"pics/1.png,a\npics/2.png,a\n",
    "weight.csv": b"pics/1.png,a,x\n",
    "bad.jsonl": b"{",
    "rows.csv": b"x.npy[0],a\nx.npy[1],b\n",
    "short.txt": b"a\nb\n",
    "same.txt": b"a\n" * 60,
    "bad.npz": b"PK",
    "bad.npy": b"\x80\x04.",
    "classes.txt": b"a\na\n",
}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--data", "empty.csv"], 3, "empty.csv: holds no rows; write one path,label per line"),
        (["--data", "nolabel.csv"], 3, "nolabel.csv: line 1 has no label; write it as path,label"),
        (["--data", "gone.csv"], 3, "missing.png: no such file; check the path, or use --skip-bad"),
        (["--data", "one.csv"], 3, "one.csv: all 2 rows are of one class, 'a'; training needs at least two classes"),
        (["--data", "weight.csv"], 3, "weight.csv: line 1: weight 'x' is not a number from 0 up"),
        (["--data", "bad.jsonl"], 3, "bad.jsonl: line 1 is not JSON; write one object per line"),
        (["--data", "bad.npz"], 3, "bad.npz: damaged or not a .npz archive"),
        (["--data", "bad.npy", "--labels", "y.npy"], 3, "bad.npy: a pickle, which is never opened"),
        (["--data", "same.txt"], 3, "same.txt: is neither a folder of class folders nor a .npy, .npz, .csv"),
        (["--data", "all.csv", "--labels", "y.npy"], 2, "--labels: the list all.csv holds its own"),
        (["--data", "all.csv", "--data", "x.npy"], 3, "x.npy: arrays and image folders cannot be joined"),
        (["--data", "rows.csv", "--multi-label"], 2, "--multi-label: rows.csv lists rows of arrays; give x.npy"),
        (["--data", "x.npy", "--multi-label"], 3, "y.npy: labels for --multi-label are rows of 0 and 1"),
        (["--data", "-", "--extra", "-"], 2, "--data, --val, --extra: '-' is given twice, but stdin"),
        (["--data", "all.csv", "--extra", "one.csv"], 3, "one.csv: line 1: unknown class 'a'; the classes are bright"),
        (["--data", "all.csv", "--extra", "x.npy"], 3, "x.npy: rows are 1, the model wants 2x2x1"),
        (["--data", "all.csv", "--extra", "none.csv"], 3, "none.csv: cannot be opened (No such file or directory)"),
        (["--data", "all.csv", "--val", "one.csv"], 3, "one.csv: line 1: unknown class 'a'"),
        (["--data", "all.csv", "--group", "short.txt"], 3, "short.txt: 2 groups for 60 rows"),
        (["--data", "all.csv", "--group", "same.txt"], 3, "same.txt: all rows are of one group"),
        (["--data", "all.csv", "--group", "none.txt"], 3, "none.txt: is no file"),
        (["--data", "all.csv", "--group", "same.txt", "--val", "all.csv"], 2, "--group: says how rows are split, but"),
        (["--data", "all.csv", "--group", "same.txt", "--val-split", "0"], 2, "--group: says how rows are split, but"),
        (["--data", "all.csv", "--limit", "0"], 2, "--limit: 0 is out of range"),
        (["--data", "all.csv", "--class-names", "a,a"], 2, "--class-names: 'a' is named twice"),
        (["--data", "all.csv", "--class-names", "classes.txt"], 2, "--class-names: 'a' is named twice"),
        (["--data", "all.csv", "--class-names", "a,b"], 3, "all.csv: line 2: unknown class 'dark'; the classes are a"),
        (["--data", "all.csv", "--image-size", "0x2"], 2, "--image-size: '0x2' is not a size"),
        (["--data", "all.csv", "--color", "grey"], 2, "--color: unknown color 'grey'; did you mean 'gray'?"),
        (["--data", "all.csv", "--resize", "squash"], 2, "--resize: unknown resize 'squash'"),
    ],
)
def test_bad_data_is_one_line_and_nothing_is_written(here, capsys, words, code, message):
    list_of(range(60))
    for name, content in BAD_FILES.items():
        Path(name).write_bytes(content)
    refused(["fit", "m.h5", *words, "--arch", "mlp:units=4", *FIT], capsys, code, message)


@pytest.mark.parametrize(
    ("labels", "code", "message"),
    [
        (["a"] * 60, 3, "l.npy: unknown class 'a' at row 0; the classes are 0, 1"),
        (np.arange(60) % 3, 3, "l.npy: label 2 at row 2; there are 2 classes (0..1)"),
        (np.arange(60) % 2 - 1, 3, "l.npy: label -1 at row 0 is negative; classes are numbered from 0"),
        (np.linspace(0, 1, 60), 3, "l.npy: label 0.0169492 at row 1 is not a class number"),
        (np.full(60, np.nan), 3, "l.npy: NaN at row 0 (60 bad values of 60)"),
        (np.eye(3)[np.arange(60) % 3], 3, "l.npy: one-hot labels for 3 classes, the model has 2"),
        (np.ones((60, 2)), 3, "l.npy: row 0 has 2 ones, one-hot labels have one per row; several classes per row need"),
        (np.full((60, 2), 7), 3, "l.npy: labels of shape (60, 2) are neither one class per row nor one-hot"),
        (np.arange(59) % 2, 3, "l.npy: 59 labels for the 60 rows of x.npy"),
    ],
)
@pytest.mark.parametrize("command", ["fit", "evaluate"])
def test_label_files_that_do_not_fit_the_model(here, capsys, command, labels, code, message):
    fit("--data", "x.npy", "--arch", "mlp:units=4", "-q")
    np.save("l.npy", labels)
    refused([command, "m.h5", "--data", "x.npy", "--labels", "l.npy"], capsys, code, message)


@pytest.mark.parametrize(
    ("labels", "classes", "loss"),
    [
        (np.arange(60) % 3, ("0", "1", "2"), "sparse_categorical_crossentropy"),
        ((np.arange(60) % 3).astype("u1")[:, None], ("0", "1", "2"), "sparse_categorical_crossentropy"),
        (np.eye(3)[np.arange(60) % 3], ("0", "1", "2"), "sparse_categorical_crossentropy"),
        (np.eye(3, dtype=bool)[np.arange(60) % 3], ("0", "1", "2"), "sparse_categorical_crossentropy"),
        (np.array(["b10", "b9", "a"])[np.arange(60) % 3], ("a", "b9", "b10"), "sparse_categorical_crossentropy"),
        (np.array([b"no", b"yes"])[np.arange(60) % 2], ("no", "yes"), "sparse_categorical_crossentropy"),
        (np.linspace(0, 1, 60), None, "mean_squared_error"),
        (np.linspace(0, 1, 120).reshape(60, 2), None, "mean_squared_error"),
    ],
)
def test_what_label_files_mean(here, capsys, labels, classes, loss):
    np.save("l.npy", labels)
    assert fit("--data", "x.npy", "--labels", "l.npy", "--arch", "mlp:units=4", "-q") == 0
    saved = read("m.h5")
    assert (saved.classes, saved.training_config.loss_names) == (classes, (loss,))
    assert main(["evaluate", "m.h5", "--data", "x.npy", "--labels", "l.npy", "--json", "--jobs", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 60


def test_the_head_decides_before_the_labels(here, capsys):
    main(["build", "m.h5", "--input", "1", "dense:1", "-q"])
    assert fit("--data", "x.npy", "-q") == 0  # classes 0 and 1 as numbers
    assert read("m.h5").classes is None
    main(["build", "m.h5", "--input", "1", "--classes", "2", "dense:2,softmax", "-q", "-f"])
    np.save("f.npy", np.load("y.npy").astype(np.float32))
    assert fit("--data", "x.npy", "--labels", "f.npy", "-q") == 0  # whole floats as classes
    assert read("m.h5").classes == ("0", "1")
