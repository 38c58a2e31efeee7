"""``dltool pseudo-label`` as typed."""

import csv
import io
import json
import re

import numpy as np
import pytest

from dltool.cli.main import main
from dltool.modelfile.reading import read
from dltool.modelfile.writing import write


@pytest.fixture
def sign_model(tmp_path, monkeypatch):
    """m.h5 says "pos" for a positive number, else "neg", the surer the larger it is; x_val.npy has 100 rows, 96 right.

    P(pos) of v is 1 / (1 + exp(-2 v)): 0.88 at 1, 0.98 at 2.
    """
    monkeypatch.chdir(tmp_path)
    main(["build", "m.h5", "--input", "1", "--class-names", "neg,pos", "dense:2,softmax", "-q"])
    saved = read("m.h5")
    saved.model.weights.views["dense"][0][...] = [[-1, 1]]
    write(saved, "m.h5")
    values = np.concatenate([np.linspace(-3, -0.1, 50), np.linspace(0.1, 3, 50)]).astype(np.float32)
    labels = (values > 0).astype(np.int64)
    labels[[48, 49, 50, 51]] = [1, 1, 0, 0]
    np.save("x_val.npy", values[:, None])
    np.save("y_val.npy", labels)
    np.save("pool.npy", np.linspace(-2.9, 2.9, 59, dtype=np.float32)[:, None])
    return ["m.h5", "--unlabelled", "pool.npy", "--val", "x_val.npy", "--jobs", "1"]


def test_the_list_goes_to_stdout_and_the_table_to_stderr(sign_model, capsys):
    assert main(["pseudo-label", *sign_model, "--threshold", "0.9"]) == 0
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0]) == ["path", "label", "weight"]
    assert rows[0]["path"] == "pool.npy[0]" and rows[0]["label"] == "neg"
    # 0.9 is reached from |v| = 1.0986: 1.1, 1.2 ... 2.9 on both sides.
    assert len(rows) == 2 * 19
    # No validation row from 1.0986 upward is wrong.
    assert all(float(row["weight"]) > 0.97 for row in rows)
    lines = err.splitlines()
    assert lines[0].split() == ["class", "threshold", "accepted", "est.", "precision", "(95%)", "share", "in", "train"]
    assert lines[1].split()[:3] == ["neg", "0.900", "19"]
    assert lines[3] == "59 rows scored, 38 accepted (64%), 21 left unlabelled"
    assert max(map(len, lines)) <= 80


def test_with_a_file_stdout_has_the_table(sign_model, capsys, tmp_path):
    assert main(["pseudo-label", *sign_model, "--min-precision", "0.9", "-o", "pool.csv"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("class")
    assert re.search(r"^est\. precision 0\.9\d\d \(95%: 0\.\d{3} to [01]\.\d{3}\)$", out, re.MULTILINE)
    assert "model on the validation rows 0.960 (majority class 0.500)" in out
    assert err.startswith("saved   pool.csv: ") and err.count("\n") == 1
    assert (tmp_path / "pool.csv").read_text().startswith("path,label,weight\npool.npy[0],neg,0.9")


def test_json(sign_model, capsys):
    assert main(["pseudo-label", *sign_model, "--json", "-o", "pool.csv", "-q"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert found["schema"] == "dltool.pseudo-label/1"
    assert (found["scored"], found["failed"], found["accuracy"]) == (59, 0, 0.96)
    assert [row["class"] for row in found["classes"]] == ["neg", "pos"]
    assert set(found["drift"]) == {"predicted classes", "confidence"}


def test_a_shifted_pool_is_warned_of_even_when_quiet(sign_model, capsys):
    np.save("pool.npy", np.linspace(0.5, 5, 100, dtype=np.float32)[:, None])
    assert main(["pseudo-label", *sign_model, "-q", "-o", "pool.csv"]) == 0
    err = capsys.readouterr().err
    assert "dltool: warning: the pool differs from the validation rows in predicted classes (divergence 0." in err


def test_rows_that_cannot_be_read_make_exit_code_1(sign_model, capsys):
    values = np.linspace(-2.9, 2.9, 59, dtype=np.float32)[:, None]
    values[7] = np.nan
    np.save("pool.npy", values)
    assert main(["pseudo-label", *sign_model, "-o", "pool.csv", "-q"]) == 1
    assert "dltool: pool.npy: " in capsys.readouterr().err
    assert main(["pseudo-label", *sign_model, "-o", "pool.csv", "-q", "-f", "--skip-bad"]) == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["m.h5", "--val", "x_val.npy"], 2, "--unlabelled: missing; give a folder of images, as --unlabelled pool/"),
        (["m.h5", "--unlabelled", "pool.npy"], 2, "--val: missing; give labelled rows that the model was not trained"),
        (["--threshold", "0.9", "--min-precision", "0.9"], 2, "--threshold: cannot be combined with --min-precision"),
        (["--threshold", "neg=2"], 2, "--threshold: 2 is out of range; give a probability from 0 to 1, as 0.7"),
        (["--threshold", "ned=0.5"], 2, "--threshold: 'ned=0.5' names no class; did you mean 'neg'?"),
        (["--min-precision", "1.2"], 2, "--min-precision: 1.2 is out of range; give a part from 0.01 to 0.9999"),
        (["--max-per-class", "0"], 2, "--max-per-class: 0 is out of range; give a whole number from 1 up"),
        (["--json"], 2, "--json: the list goes to stdout already; give -o FILE for it"),
        (["--min-precision", "0.999"], 3, "x_val.npy: 100 validation rows are too few to find thresholds for a"),
        (["--threshold", "1"], 1, "pool.npy: no row of 59 reaches its threshold; give a lower --threshold"),
        (["-o", "no/p.csv"], 5, "no/p.csv: the folder no does not exist"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(sign_model, capsys, tmp_path, words, code, message):
    before = sorted(tmp_path.iterdir())
    given = words if words[0] == "m.h5" else [*sign_model, *words]
    assert main(["pseudo-label", *given]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"dltool: error: {message}")
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
