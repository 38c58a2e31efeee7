"""``dltool evaluate`` as typed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from dltool.cli.evaluate import confusion_table, most_confused
from dltool.cli.main import main
from dltool.modelfile.reading import read
from dltool.modelfile.writing import write


@pytest.fixture
def sign_model(tmp_path, monkeypatch):
    """m.h5 says "pos" for a positive number, else "neg"; x.npy has 10 rows, of which it gets 8 right."""
    monkeypatch.chdir(tmp_path)
    main(["build", "m.h5", "--input", "1", "--class-names", "neg,pos", "dense:2,softmax", "-q"])
    saved = read("m.h5")
    saved.model.weights.views["dense"][0][...] = [[-1, 1]]
    write(saved, "m.h5")
    np.save("x.npy", np.array([[-3], [-2], [-1], [-4], [5], [1], [2], [3], [4], [-5]], np.float32))
    np.save("y.npy", np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1]))
    return ["m.h5", "--data", "x.npy", "--jobs", "1"]


def test_the_report(sign_model, capsys):
    assert main(["evaluate", *sign_model]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == "10 rows, 2 classes"
    # Wilson's interval of 8 in 10: 0.4902 to 0.9433
    assert lines[1] == "accuracy  0.8000  (95%: 0.4902 to 0.9433, majority class 0.5000)"
    # log(1 + exp(-2 |x|)) where right, log(1 + exp(10)) twice where wrong
    right = [np.log1p(np.exp(-2 * v)) for v in (3, 2, 1, 4, 1, 2, 3, 4)]
    loss = (sum(right) + 2 * np.log1p(np.exp(10))) / 10
    assert lines[2] == f"loss      {loss:.4f}"
    assert [line.split() for line in lines[3:]] == [
        [],
        ["class", "prec", "rec", "f1", "n"],
        ["neg", "0.800", "0.800", "0.800", "5"],
        ["pos", "0.800", "0.800", "0.800", "5"],
        [],
        ["true\\pred", "neg", "pos"],
        ["neg", "4", "1"],
        ["pos", "1", "4"],
        [],
        ["most", "confused", "(true", "->", "predicted)"],
        ["neg", "->", "pos", "1"],
        ["pos", "->", "neg", "1"],
    ]


def test_json(sign_model, capsys):
    assert main(["evaluate", *sign_model, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "dltool.evaluate/1"
    assert (found["n"], found["classes"], found["confusion"]) == (10, ["neg", "pos"], [[4, 1], [1, 4]])
    assert found["metrics"]["accuracy"]["value"] == 0.8


def test_errors(sign_model, capsys):
    for words, code, message in (
        (["m.h5"], 2, "--data: missing; give a folder of class folders or an array, as --data test/"),
        (["no.h5", "--data", "x.npy"], 4, "no.h5: "),
        (["m.h5", "--data", "no.npy"], 3, "no.npy: "),
    ):
        assert main(["evaluate", *words]) == code
        assert capsys.readouterr().err.startswith(f"dltool: error: {message}")


def test_an_unknown_class_is_bad_data(sign_model, capsys):
    np.save("y.npy", np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0]))
    assert main(["evaluate", *sign_model]) == 3


def test_confusion_is_a_matrix_with_points_for_zero():
    result = SimpleNamespace(classes=("a", "b\n"), confusion=np.array([[5, 0], [1200, 7]]))
    table = [line.split() for line in confusion_table(result)]
    assert table == [["true\\pred", "a", "b\\n"], ["a", "5", "."], ["b\\n", "1,200", "7"]]
    assert most_confused(result) == [("b\n", "a", 1200)]
