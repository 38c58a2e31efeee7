"""``dltool predict`` as typed: one row per input in every format."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from dltool.cli.main import main
from dltool.modelfile.reading import read
from dltool.modelfile.writing import write


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shade_model():
    """m.h5 for 2x2 grey images: logits are minus and plus the sum of (pixel - 127.5) / 127.5."""
    words = ["rescaling:1/127.5,-1", "flatten", "dense:2,softmax"]
    main(["build", "m.h5", "--input", "2x2x1", "--class-names", "dark,light", *words, "-q"])
    saved = read("m.h5")
    saved.model.weights.views["dense"][0][...] = [[-1, 1]] * 4
    write(saved, "m.h5")


@pytest.fixture
def number_model():
    """n.h5: (a, b) -> (a + b, a - b)."""
    main(["build", "n.h5", "--input", "2", "dense:2", "-q"])
    saved = read("n.h5")
    saved.model.weights.views["dense"][0][...] = [[1, 1], [1, -1]]
    write(saved, "n.h5")
    np.save("x.npy", np.array([[1, 2], [0.25, 0.5]], np.float32))


def shade(path, value):
    Image.new("L", (2, 2), value).save(path)


def predict(*words):
    return main(["predict", *words, "--jobs", "1"])


# softmax of (-4, 4) is 1 / (1 + exp(-8)) for the larger one
SURE = 1 / (1 + np.exp(-8.0))


def test_table_rows_in_the_order_given(shade_model, capsys):
    shade("b.png", 255)
    shade("a.png", 0)
    assert predict("m.h5", "b.png", "a.png") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert [line.split() for line in out.splitlines()] == [
        ["path", "label", "prob"],
        ["b.png", "light", "0.9997"],
        ["a.png", "dark", "0.9997"],
    ]


def test_an_unreadable_input_keeps_its_row_and_gives_exit_1(shade_model, tmp_path, capsys):
    shade("a.png", 0)
    (tmp_path / "bad.png").write_bytes(b"no image")
    assert predict("m.h5", "bad.png", "a.png", "gone.png", "--format", "csv") == 1
    out, err = capsys.readouterr()
    rows = out.splitlines()
    assert rows[0] == "path,label,prob"
    assert rows[1] == "bad.png,,"
    assert rows[2].startswith("a.png,dark,0.999")
    assert rows[3] == "gone.png,,"
    lines = err.splitlines()
    assert lines[0].startswith("dltool: bad.png: ")
    assert lines[1].startswith("dltool: gone.png: ")
    assert lines[2] == "2 of 3 inputs could not be predicted"


def test_floats_in_csv_are_the_models_float32(shade_model, capsys):
    shade("a.png", 0)
    predict("m.h5", "a.png", "--format", "csv")
    text = capsys.readouterr().out.splitlines()[1].split(",")[2]
    assert np.float32(text) == pytest.approx(SURE, abs=2e-7)
    assert str(np.float32(text)) == text


def test_top_and_probs(shade_model, capsys):
    shade("a.png", 0)
    predict("m.h5", "a.png", "--format", "tsv", "--top", "5", "--probs")
    header, row = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert header == ["path", "label", "prob", "label_2", "prob_2", "prob.dark", "prob.light"]
    assert row[:2] + row[3:4] == ["a.png", "dark", "light"]
    assert (row[2], row[4]) == (row[5], row[6])


def test_json_lines(shade_model, capsys):
    shade("a.png", 0)
    assert predict("m.h5", "a.png", "no.png", "--format", "jsonl", "--probs") == 1
    good, bad = map(json.loads, capsys.readouterr().out.splitlines())
    assert (good["path"], good["label"]) == ("a.png", "dark")
    assert good["prob"] == good["probs"]["dark"] == pytest.approx(SURE)
    assert bad["path"] == "no.png"
    assert bad["error"].startswith("no.png: ")
    assert "label" not in bad


def test_names_are_escaped_in_every_text_format(shade_model, capsys):
    name = "evil\x1b[2J\n,\t.png"
    shade(name, 0)
    for layout in ("table", "csv", "tsv", "jsonl"):
        assert predict("m.h5", name, "--format", layout) == 0
        out = capsys.readouterr().out
        assert len(out.splitlines()) == (1 if layout == "jsonl" else 2)
        assert "\x1b" not in out
        if layout != "jsonl":
            assert "evil\\x1b[2J\\n,\\t.png" in out


def test_numbers_get_a_column_each(number_model, capsys):
    assert predict("n.h5", "x.npy", "--format", "csv") == 0
    assert capsys.readouterr().out.splitlines() == [
        "path,value,value_1",
        "x.npy[0],3.0,-1.0",
        "x.npy[1],0.75,-0.25",
    ]


def test_failed_rows_before_the_first_number_still_come_first(number_model, capsys):
    assert predict("n.h5", "no.npy", "x.npy", "--format", "csv") == 1
    assert capsys.readouterr().out.splitlines()[:3] == ["path,value,value_1", "no.npy,,", "x.npy[0],3.0,-1.0"]


def test_nothing_but_failures(number_model, capsys):
    assert predict("n.h5", "no.npy", "--format", "csv") == 1
    assert capsys.readouterr().out.splitlines() == ["path,value", "no.npy,"]


def test_several_outputs_are_named(capsys):
    main(["build", "t.h5", "x=input:2", "a=dense:1@x", "b=dense:2@x", "-q"])
    np.save("x.npy", np.ones((1, 2), np.float32))
    assert predict("t.h5", "x.npy", "--format", "csv") == 0
    assert capsys.readouterr().out.splitlines()[0] == "path,a.value,b.value,b.value_1"


def npy(run_dltool, *words):
    command = [sys.executable, "-m", "dltool", "predict", *words, "--format", "npy", "--jobs", "1"]
    return subprocess.run(command, capture_output=True, env=run_dltool.environ, timeout=60)


def test_npy_through_a_pipe(number_model, run_dltool):
    done = npy(run_dltool, "n.h5", "x.npy", "no.npy")
    assert done.returncode == 1
    array = np.load(io.BytesIO(done.stdout), allow_pickle=False)
    assert array.dtype == np.float32
    assert array[:2].tolist() == [[3, -1], [0.75, -0.25]]
    assert np.isnan(array[2]).all()


def test_several_outputs_make_an_npz(run_dltool):
    main(["build", "t.h5", "x=input:2", "a=dense:1@x", "b=dense:3@x", "-q"])
    np.save("x.npy", np.ones((4, 2), np.float32))
    done = npy(run_dltool, "t.h5", "x.npy")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as arrays:
        assert {name: arrays[name].shape for name in arrays.files} == {"a": (4, 1), "b": (4, 3)}


def test_npy_is_refused_on_a_terminal(number_model, capsys, monkeypatch):
    monkeypatch.setattr("dltool.cli.console.is_terminal", lambda stream: True)
    assert predict("n.h5", "x.npy", "--format", "npy") == 2
    assert (
        "--format: npy is not for a terminal; send it to a file, as --format npy > out.npy" in capsys.readouterr().err
    )


def test_evaluate_and_predict_agree(sample_data, tmp_path, capsys):
    """The same files give the same answers on both paths, folders and arrays alike."""
    digits = sample_data / "digits"
    main(["fit", "d.h5", "--arch", "lenet", "--data", str(digits / "train_x.npy"), "--epochs", "1", "-q"])
    capsys.readouterr()
    main(["evaluate", "d.h5", "--data", str(digits / "test"), "--json"])
    confusion = np.array(json.loads(capsys.readouterr().out)["confusion"])
    assert predict("d.h5", str(digits / "test"), "--format", "jsonl") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == confusion.sum() == 360
    predicted = np.bincount([int(row["label"]) for row in rows], minlength=10)
    assert predicted.tolist() == confusion.sum(axis=0).tolist()
