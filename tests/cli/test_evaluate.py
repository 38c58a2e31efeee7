"""``dltool evaluate`` as typed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from dltool.cli.main import main
from dltool.cli.report import confused_lines, confusion_lines, confusion_table
from dltool.modelfile.reading import read
from dltool.modelfile.writing import write
from dltool.workflows.evaluation import Confused


@pytest.fixture
def sign_model(tmp_path, monkeypatch):
    """m.h5 says "pos" for a positive number, else "neg"; x.npy has 10 rows, of which it gets 8 right."""
    monkeypatch.chdir(tmp_path)
    for name, sign in (("m.h5", 1), ("bad.h5", -1)):
        main(["build", name, "--input", "1", "--class-names", "neg,pos", "dense:2,softmax", "-q"])
        saved = read(name)
        saved.model.weights.views["dense"][0][...] = [[-sign, sign]]
        write(saved, name)
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
    assert lines[1] == "accuracy  0.8000  (95%: 0.4902 to 0.9433, majority class 0.5000, no better)"
    assert lines[2].startswith("macro_f1  0.8000  (95%: ")
    # of 25 pairs: 5 lies above all positives, -5 below all negatives; 16 others are right
    assert lines[3].startswith("auc       0.6400  (95%: ")
    confidences = [1 / (1 + np.exp(-2 * v)) for v in (3, 2, 1, 4, 5, 1, 2, 3, 4, 5)]
    # 1 (0.88) has a bin of its own, all others (0.98 and more) share the last: 6 of 8 right
    ece = 0.2 * abs(1 - confidences[2]) + 0.8 * abs(0.75 - np.mean([c for c in confidences if c > 0.9]))
    assert lines[4] == f"ece       {ece:.4f}  (expected calibration error, 15 bins)"
    # log(1 + exp(-2 |x|)) where right, log(1 + exp(10)) twice where wrong
    right = [np.log1p(np.exp(-2 * v)) for v in (3, 2, 1, 4, 1, 2, 3, 4)]
    loss = (sum(right) + 2 * np.log1p(np.exp(10))) / 10
    assert lines[5] == f"loss      {loss:.4f}"
    assert [line.split() for line in lines[6:]] == [
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
        ["neg", "->", "pos", "1", "x.npy[4]"],
        ["pos", "->", "neg", "1", "x.npy[9]"],
    ]


def test_f_beta_and_the_largest_losses(sign_model, capsys):
    assert main(["evaluate", *sign_model, "--beta", "0.5", "--top-losses", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("macro_f0.5  0.8000") for line in lines)
    assert ["class", "prec", "rec", "f1", "f0.5", "n"] in [line.split() for line in lines]
    place = lines.index("largest losses")
    assert lines[place + 1].split() == ["10.0000", "neg", "->", "pos", "1.0000", "x.npy[4]"]
    assert lines[place + 2].split() == ["10.0000", "pos", "->", "neg", "1.0000", "x.npy[9]"]


def test_json(sign_model, capsys):
    assert main(["evaluate", *sign_model, "--json", "--top-losses", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "dltool.evaluate/1"
    assert (found["n"], found["classes"], found["confusion"]) == (10, ["neg", "pos"], [[4, 1], [1, 4]])
    assert found["metrics"]["accuracy"]["value"] == 0.8
    assert found["most_confused"][0] == {"true": "neg", "predicted": "pos", "count": 1, "first": ["x.npy[4]"]}
    assert found["top_losses"][0]["path"] == "x.npy[4]"


def test_a_missed_gate_prints_everything_and_gives_exit_1(sign_model, capsys):
    assert main(["evaluate", *sign_model, "--fail-under", "acc=0.85", "--fail-under", "loss=1.5"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("10 rows")
    assert err.splitlines() == [
        "dltool: m.h5: accuracy is 0.8000, at least 0.85 is wanted",
        "dltool: m.h5: loss is 2.0296, at most 1.5 is wanted",
    ]
    assert main(["evaluate", *sign_model, "--fail-under", "accuracy=0.8", "--fail-under", "loss=2.1"]) == 0


def test_two_models_and_a_verdict(sign_model, capsys):
    assert main(["evaluate", "m.h5", "bad.h5", *sign_model[1:]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("== ")] == ["== m.h5", "== bad.h5"]
    # 8 rows only the first, 2 only the second: (1 + 10 + 45) / 1024 on one side, the last term half in mid-p
    assert lines[-4].startswith("accuracy, second minus first: -0.6000 (95%: ")
    assert lines[-3:] == [
        "only the first is right on 8 rows, only the second on 2",
        f"McNemar's test: mid-p {(112 - 45) / 1024:.4f}, exact p {112 / 1024:.4f}",
        "no clear difference: chance explains it",
    ]
    assert main(["evaluate", "m.h5", "bad.h5", *sign_model[1:], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["other"]["metrics"]["accuracy"]["value"] == pytest.approx(0.2)
    assert found["comparison"]["better"] is None


def test_numbers_are_told_with_intervals(sign_model, capsys):
    main(["build", "n.h5", "--input", "1", "dense:1", "-q"])
    np.save("y.npy", np.arange(10.0))
    assert main(["evaluate", "n.h5", *sign_model[1:]]) == 0
    out = capsys.readouterr().out
    for name in ("mean_squared_error", "mean_absolute_error", "r2"):
        (line,) = [line for line in out.splitlines() if line.startswith(f"{name} ")]
        assert "95%: " in line


def test_output_goes_to_a_file_whole_or_not_at_all(sign_model, tmp_path, capsys):
    assert main(["evaluate", *sign_model, "-o", "r.txt"]) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "r.txt").read_text().startswith("10 rows, 2 classes\n")
    assert main(["evaluate", *sign_model, "-o", "r.txt", "--json"]) == 5
    assert "r.txt: exists; use --force to replace it" in capsys.readouterr().err
    assert main(["evaluate", *sign_model, "-o", "r.txt", "--json", "--force"]) == 0
    assert json.loads((tmp_path / "r.txt").read_text())["n"] == 10
    assert main(["evaluate", *sign_model, "-o", "none/r.txt"]) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.h5", "m.h5", "r.txt", "x.npy", "y.npy"]


def test_errors(sign_model, capsys):
    for words, code, message in (
        (["m.h5"], 2, "--data: missing; give a folder of class folders or an array, as --data test/"),
        (["no.h5", "--data", "x.npy"], 4, "no.h5: "),
        (["m.h5", "--data", "no.npy"], 3, "no.npy: "),
        ([*sign_model, "--fail-under", "accuracy"], 2, "--fail-under: 'accuracy' is not NAME=NUMBER; write it as"),
        ([*sign_model, "--fail-under", "acuracy=1"], 2, "--fail-under: 'acuracy' is not measured; did you mean"),
        ([*sign_model, "--beta", "0"], 2, "--beta: 0 is out of range; give a number above 0, as 2"),
        ([*sign_model, "--top", "0"], 2, "--top: 0 is out of range"),
        ([*sign_model, "--top-losses", "-1"], 2, "--top-losses: -1 is out of range"),
        ([*sign_model[:1], "bad.h5", "third.h5", *sign_model[1:]], 2, "third.h5: one argument too many"),
        (["m.h5", "no.h5", *sign_model[1:]], 4, "no.h5: "),
        ([*sign_model, "-o", "."], 5, ".: is a directory"),
    ):
        assert main(["evaluate", *words]) == code, words
        out, err = capsys.readouterr()
        assert err.startswith(f"dltool: error: {message}")
        assert (out, len(err.splitlines())) == ("", 1)


def test_an_unknown_class_is_bad_data(sign_model, capsys):
    np.save("y.npy", np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0]))
    assert main(["evaluate", *sign_model]) == 3


def test_confusion_is_a_matrix_with_points_for_zero():
    report = SimpleNamespace(classes=("a", "b\n"), confusion=np.array([[5, 0], [1200, 7]]))
    table = [line.split() for line in confusion_table(report)]
    assert table == [["true\\pred", "a", "b\\n"], ["a", "5", "."], ["b\\n", "1,200", "7"]]


def test_a_wide_matrix_gets_numbered_columns_and_a_huge_one_a_line():
    names = tuple(f"a rather long class {i}" for i in range(14))
    report = SimpleNamespace(classes=names, confusion=np.eye(14, dtype=int) * 12)
    lines = confusion_lines(report, 80)
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["true\\pred", *map(str, range(14))]
    assert lines[2].startswith("1 a rath") and "12" in lines[2]
    huge = SimpleNamespace(classes=tuple(map(str, range(100))), confusion=np.eye(100, dtype=int))
    assert confusion_lines(huge, 80) == [
        "confusion matrix: 100 x 100 is too wide for 80 columns; --json has it",
    ]


def test_mistakes_name_as_many_files_as_fit():
    long = "x" * 90 + "/cat.jpg"
    pairs = (Confused("a", "b", 3, ("1.jpg", "2.jpg", "3.jpg")), Confused("b", "a", 1, (long,)))
    lines = confused_lines(SimpleNamespace(confused=pairs), 80)
    assert lines[1] == "  a -> b  3  1.jpg 2.jpg 3.jpg"
    assert lines[2].endswith("x/cat.jpg") and len(lines[2]) == 80
    assert confused_lines(SimpleNamespace(confused=pairs), 24)[1] == "  a -> b  3  1.jpg 2.jpg"


@pytest.mark.parametrize("environ", [{"LANG": "C", "PYTHONIOENCODING": "ascii"}, {"NO_COLOR": "1"}, {"COLUMNS": "200"}])
def test_in_a_pipe_everything_is_plain_and_fits_80_columns(sign_model, run_dltool, tmp_path, environ):
    main(["build", "odd.h5", "--input", "1", "--class-names", "gr\x1b[31mün,猫" + "x" * 100, "dense:2,softmax", "-q"])
    for words in (sign_model, ["odd.h5", *sign_model[1:]], ["m.h5", "bad.h5", *sign_model[1:], "--top-losses", "3"]):
        done = run_dltool("evaluate", *words, cwd=tmp_path, **environ)
        assert (done.returncode, done.stderr) == (0, "")
        assert max(map(len, done.stdout.splitlines())) <= (80 if "PYTHONIOENCODING" not in environ else 90)
        assert not set(done.stdout) & set("\x1b\r\x08")
        assert done.stdout.isascii() or "PYTHONIOENCODING" not in environ
