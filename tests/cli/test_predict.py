"""``dltool predict`` as typed: one row per input in every format."""

import csv
import io
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dltool.cli.console import Console
from dltool.cli.main import main
from dltool.cli.rows import Watched, write_rows
from dltool.modelfile.reading import read
from dltool.modelfile.writing import write
from dltool.settings import PredictSettings
from dltool.workflows.predict import PredictResult, PredictRow


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
    assert capsys.readouterr().out.splitlines() == ["path,value,value_1", "no.npy,,"]


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
    assert "--format: npy is not for a terminal; send it to a file, as -o out.npy" in capsys.readouterr().err


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


def test_probabilities_below_the_least_are_unsure(shade_model, capsys):
    shade("a.png", 120)  # logits -+ 4 * 7.5 / 127.5
    prob = 1 / (1 + np.exp(-8 * 7.5 / 127.5))
    for least, label in ((0.6, "dark"), (0.7, "?")):
        assert predict("m.h5", "a.png", "--min-prob", str(least), "--format", "jsonl") == 0
        row = json.loads(capsys.readouterr().out)
        assert (row["label"], row["prob"]) == (label, pytest.approx(prob, rel=1e-5))


def test_names_come_from_stdin_line_by_line(shade_model, run_dltool, tmp_path):
    shade("a.png", 0)
    shade("ü b.png", 255)
    command = [sys.executable, "-m", "dltool", "predict", "m.h5", "-", "a.png", "--format", "tsv", "--jobs", "1"]
    names = "ü b.png\r\n\nno.png\n".encode()
    done = subprocess.run(command, input=names, capture_output=True, env=run_dltool.environ, timeout=60)
    rows = [line.split("\t")[:2] for line in done.stdout.decode().splitlines()]
    assert rows == [["path", "label"], ["ü b.png", "light"], ["no.png", ""], ["a.png", "dark"]]
    assert done.returncode == 1


def test_nul_separated_names_may_hold_anything(shade_model, tmp_path, run_dltool, capsys):
    odd = b"new\nline \xff.png"
    shade("a.png", 0)
    os.rename(b"a.png", odd)
    (tmp_path / "list").write_bytes(odd + b"\0" + odd + b"\0")
    assert predict("m.h5", "--files0-from", "list", "--format", "tsv") == 0
    rows = [line.split("\t")[:2] for line in capsys.readouterr().out.splitlines()]
    assert rows[1:] == [["new\\nline \\xff.png", "dark"]] * 2
    command = [sys.executable, "-m", "dltool", "predict", "m.h5", "--files0-from", "-", "--format", "jsonl"]
    done = subprocess.run(command, input=odd + b"\0", capture_output=True, env=run_dltool.environ, timeout=60)
    assert os.fsencode(json.loads(done.stdout)["path"]) == odd


def test_csv_cells_never_become_formulas(tmp_path, capsys):
    words = ["rescaling:1/127.5,-1", "flatten", "dense:2,softmax"]
    (tmp_path / "names").write_text('=1+1\n@x, "y"\n')
    main(["build", "m.h5", "--input", "2x2x1", "--class-names", "names", *words, "-q"])
    for name in ("=cmd.png", "+a,b.png", "plain.png"):
        shade(name, 0)
    assert main(["predict", "m.h5", "--probs", "--format", "csv", "--", "=cmd.png", "+a,b.png", "plain.png"]) == 0
    text = capsys.readouterr().out
    assert '\n"\'=cmd.png",' in text
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["path", "label", "prob", "prob.=1+1", 'prob.@x, "y"']
    assert [row[0] for row in rows[1:]] == ["'=cmd.png", "'+a,b.png", "plain.png"]
    assert {row[1] for row in rows[1:]} <= {"'=1+1", '\'@x, "y"'}
    assert main(["predict", "m.h5", "--format", "tsv", "--", "=cmd.png"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("=cmd.png\t")


def test_negative_numbers_are_no_formulas(number_model, capsys):
    np.save("x.npy", np.array([[-1, 0]], np.float32))
    assert predict("n.h5", "x.npy", "--format", "csv") == 0
    assert capsys.readouterr().out.splitlines()[1] == "x.npy[0],-1.0,-1.0"


def test_features_of_a_layer_are_an_array(shade_model, tmp_path, capsys):
    shade("a.png", 255)
    assert predict("m.h5", "a.png", "no.png", "--layer", "rescaling", "-o", "f.npy") == 1
    features = np.load("f.npy", allow_pickle=False)
    assert (features.shape, features.dtype) == ((2, 2, 2, 1), np.float32)
    assert features[0].reshape(-1).tolist() == [1, 1, 1, 1]
    assert np.isnan(features[1]).all()
    assert predict("m.h5", "a.png", "--layer", "flatten", "-o", "f.csv") == 0
    assert (tmp_path / "f.csv").read_text().splitlines()[1] == "a.png,1.0,1.0,1.0,1.0"


def test_output_files_name_their_format_and_are_never_replaced_unasked(shade_model, tmp_path, capsys):
    shade("a.png", 0)
    for name, start in (("o.csv", "path,label"), ("o.tsv", "path\tlabel"), ("o.jsonl", "{"), ("o.txt", "path ")):
        assert predict("m.h5", "a.png", "-o", name) == 0
        assert (tmp_path / name).read_text().startswith(start)
    assert capsys.readouterr().out == ""
    assert predict("m.h5", "a.png", "-o", "o.csv") == 5
    assert capsys.readouterr().err == "dltool: error: o.csv: exists; use --force to replace it\n"
    assert predict("m.h5", "a.png", "-o", "o.csv", "-f", "--format", "jsonl") == 0
    assert (tmp_path / "o.csv").read_text().startswith("{")
    assert predict("m.h5", "a.png", "-o", "-") == 0
    assert capsys.readouterr().out.startswith("path ")


def test_files_are_linked_by_label_and_nothing_is_replaced(shade_model, tmp_path, capsys):
    for folder in ("one", "two"):
        os.mkdir(folder)
        shade(f"{folder}/a.png", 0)
    shade("b.png", 255)
    shade("c.png", 126)
    words = ["m.h5", "one", "two", "b.png", "c.png", "no.png", "--min-prob", "0.9", "--sort-into", "out"]
    for _ in range(2):  # the second time finds its own links
        assert predict(*words) == 1
        links = {
            path.relative_to(tmp_path / "out").as_posix(): path.resolve().relative_to(tmp_path).as_posix()
            for path in sorted((tmp_path / "out").rglob("*.png"))
        }
        assert links == {
            "dark/a.png": "one/a.png",
            "dark/a-2.png": "two/a.png",
            "light/b.png": "b.png",
            "unsure/c.png": "c.png",
        }


def test_classes_that_are_no_folder_names_are_refused(tmp_path, capsys):
    for name in ("../up", ".hidden", "a/b"):
        main(["build", "m.h5", "--input", "2x2x1", "--class-names", f"{name},b", "flatten", "dense:2,softmax", "-qf"])
        shade("a.png", 0)
        assert predict("m.h5", "a.png", "--sort-into", "out") == 2
        assert f"--sort-into: class {name!r} cannot be the name of a folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_errors_are_one_line_and_write_nothing(shade_model, number_model, tmp_path, capsys):
    shade("a.png", 0)
    (tmp_path / "empty").write_bytes(b"")
    before = sorted(os.listdir())
    for words, code, message in (
        (["m.h5"], 2, "PATH: missing; give files, folders or arrays, or - for names on stdin"),
        (["m.h5", "a.png", "--files0-from", "empty"], 2, "--files0-from: cannot be combined with PATH"),
        (["m.h5", "--files0-from", "empty"], 3, "empty: lists no names"),
        (["m.h5", "--files0-from", "none"], 3, "none: cannot be read"),
        (["m.h5", "-", "-"], 2, "-: given twice"),
        (["m.h5", "a.png", "--min-prob", "1.5"], 2, "--min-prob: 1.5 is out of range"),
        (["m.h5", "a.png", "--top", "0"], 2, "--top: 0 is out of range"),
        (["m.h5", "a.png", "--format", "cvs"], 2, "--format: unknown format 'cvs'; did you mean 'csv'?"),
        (["m.h5", "a.png", "--layer", "dens"], 2, "--layer: the model has no layer 'dens'; did you mean 'dense'?"),
        (["m.h5", "a.png", "--layer", "dense", "--probs"], 2, "--probs: layer 'dense' gives features, not classes"),
        (["n.h5", "x.npy", "--probs"], 2, "--probs: the model gives numbers, not classes; leave it out"),
        (["n.h5", "x.npy", "--top", "2"], 2, "--top: the model gives numbers"),
        (["n.h5", "x.npy", "--sort-into", "out"], 2, "--sort-into: the model gives numbers"),
        (["m.h5", "x.npy", "--sort-into", "out"], 2, "--sort-into: x.npy is an array; only files can be linked"),
        (["m.h5", "a.png", "--sort-into", "a.png"], 5, "a.png: is not a folder; give another --sort-into"),
        (["m.h5", "a.png", "-o", "no/o.csv"], 5, "no/o.csv: the folder no does not exist; create it first"),
        (["no.h5", "a.png", "-o", "o.csv"], 4, "no.h5: "),
    ):
        assert predict(*words) == code, words
        out, err = capsys.readouterr()
        assert (out, len(err.splitlines())) == ("", 1), words
        assert err.startswith(f"dltool: error: {message}")
        assert sorted(os.listdir()) == before


def test_rows_are_pushed_out_while_later_ones_are_computed():
    """After the first row, and then whenever the reader of a pipe has waited for a while."""
    out, flushed = io.StringIO(), []
    out.flush = lambda: flushed.append(len(out.getvalue().splitlines()))
    clock = iter([0.0, 0.1, 0.15, 0.25, 0.3])
    console = Console(out, io.StringIO(), {})
    rows = (SimpleNamespace(error=None) for _ in range(5))
    for number, _ in enumerate(Watched(console, rows, clock=lambda: next(clock))):
        console.result(str(number))
    assert flushed == [1, 4]


@pytest.mark.parametrize("layout", ["table", "csv", "jsonl", "npy"])
def test_rows_are_written_before_the_last_is_computed(layout):
    """No format waits for the end: what is read ahead is bounded."""
    read = []

    def rows():
        for number in range(500):
            read.append(number)
            yield PredictRow(str(number), outputs=(np.zeros(2, np.float32),))

    class Reader(io.BytesIO):
        def write(self, data):
            self.first = getattr(self, "first", None) or len(read)
            return super().write(data)

    raw = Reader()
    console = Console(io.TextIOWrapper(raw, write_through=True), io.StringIO(), {})
    result = PredictResult(None, ("out",), ((2,),), 500, rows())
    assert write_rows(console, result, PredictSettings("m.h5", ()), layout) == 0
    assert raw.first <= 65
    if layout == "npy":
        assert np.load(io.BytesIO(raw.getvalue())).shape == (500, 2)


@pytest.mark.skipif(os.name != "posix", reason="pipes as on Unix")
@pytest.mark.parametrize("layout", ["table", "csv", "jsonl", "npy"])
def test_a_closed_pipe_ends_it_silently(shade_model, run_dltool, tmp_path, layout):
    np.save("x.npy", np.zeros((20000, 2, 2, 1), np.uint8))
    words = f"{sys.executable} -m dltool predict m.h5 x.npy --jobs 1 --format {layout}"
    done = subprocess.run(
        ["bash", "-c", f"{words} | head -c 100 >/dev/null; echo code ${{PIPESTATUS[0]}} >&2"],
        capture_output=True, text=True, env=run_dltool.environ, timeout=60,
    )  # fmt: skip
    assert done.stderr == "code 141\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("layout", ["csv", "npy"])
def test_a_full_disk_is_exit_5(number_model, run_dltool, tmp_path, layout):
    command = [sys.executable, "-m", "dltool", "predict", "n.h5", "x.npy", "--format", layout]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=run_dltool.environ)
    assert done.returncode == 5
    assert done.stderr.startswith("dltool: error: standard output: no space left on device")


def test_a_table_aligns_what_comes_and_stays_plain_in_a_pipe(shade_model, run_dltool, tmp_path):
    shade("a long name \x1b[31m 猫.png", 0)
    shade("b.png", 255)
    for environ in ({"NO_COLOR": "1"}, {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}):
        done = run_dltool("predict", "m.h5", "a long name \x1b[31m 猫.png", "b.png", cwd=tmp_path, **environ)
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert "\x1b" not in done.stdout
        assert [line.split()[-2:] for line in lines] == [["label", "prob"], ["dark", "0.9997"], ["light", "0.9997"]]
        assert done.stdout.isascii() or "PYTHONIOENCODING" not in environ
