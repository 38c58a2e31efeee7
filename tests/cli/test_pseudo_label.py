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
from tests.workflows.pictures import picture_folder


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
    assert main(["pseudo-label", *sign_model, "--threshold", "0.9", "--no-calibration"]) == 0
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
    # The model is right from 0.1 on, where it says 0.55: it is not sure enough.
    first, last = err.splitlines()
    assert re.fullmatch(r"temperature 0\.\d\d, ECE 0\.\d{3} -> 0\.\d{3}", first)
    assert last.startswith("saved   pool.csv: ")
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
    assert found["rounds"] == []
    assert 0 < found["calibration"]["value"] < 1
    assert found["calibration"]["after"] < found["calibration"]["before"]
    assert main(["pseudo-label", *sign_model, "--json", "-o", "pool.csv", "-q", "-f", "--no-calibration"]) == 0
    assert json.loads(capsys.readouterr().out)["calibration"] is None


def test_a_threshold_is_compared_with_the_calibrated_probability(sign_model, capsys):
    def accepted(*words):
        assert main(["pseudo-label", *sign_model, "--threshold", "0.9", "-o", "pool.csv", "-f", *words]) == 0
        out, err = capsys.readouterr()
        found = re.search(r"temperature (\S+),", err)
        return int(re.search(r"(\d+) accepted", out)[1]), float(found[1]) if found else 1.0

    assert accepted("--no-calibration") == (38, 1.0)
    # 1 / (1 + exp(-2 v / T)) reaches 0.9 at v = 1.0986 T; the pool has 0.1, 0.2 ... 2.9 on both sides.
    count, temperature = accepted()
    assert temperature < 0.9
    assert count == 2 * sum(number / 10 > 1.0986 * temperature for number in range(1, 30))


def test_the_probability_from_which_the_second_class_is_said_holds_for_validation_rows_and_pool(sign_model, capsys):
    saved = read("m.h5")
    saved.recipe = {"threshold": 0.9}
    write(saved, "m.h5")
    assert main(["pseudo-label", *sign_model, "--threshold", "0", "--no-calibration", "-o", "pool.csv"]) == 0
    # "pos" from 1.0986 up. Of 0.1 to 3 in 50 steps 17 are below it and 15 of these are "pos"; two more are below 0.
    assert "model on the validation rows 0.830 " in capsys.readouterr().out
    with open("pool.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["neg"] * 40 + ["pos"] * 19


def test_questions_for_a_person(sign_model, capsys, tmp_path):
    words = ["pseudo-label", "m.h5", "--unlabelled", "pool.npy", "--jobs", "1", "--ask", "3"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [sorted(row) for row in rows] == [["guess", "label", "path", "prob"]] * 3
    assert rows[0]["path"] == "pool.npy[29]" and rows[0]["prob"] == "0.5000"  # the 0 between -0.1 and 0.1
    assert err.startswith("59 rows scored, 3 to label; mean lead of the guess 0.")
    assert main([*words, "-o", "ask.csv", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["schema"] == "dltool.pseudo-label-ask/1" and found["scored"] == 59
    assert [row["path"] for row in found["asked"]] == [row["path"] for row in rows]
    assert err == "saved   ask.csv: fill in the column label, and give it to fit --extra\n"
    assert len((tmp_path / "ask.csv").read_text().splitlines()) == 4


@pytest.fixture
def shades(tmp_path, monkeypatch, capsys):
    """m.h5, trained on train/ of dark and bright pictures; pool/ has 40 more in folders of its own."""
    monkeypatch.chdir(tmp_path)
    levels = {"dark": 80, "bright": 176}
    picture_folder(tmp_path / "train", levels, per_class=100)
    picture_folder(tmp_path / "pool", {"a": 80, "b": 176}, per_class=20, seed=1)
    fit = ["fit", "m.h5", "--data", "train", "--arch", "mlp:units=32", "--epochs", "60", "--lr", "0.01"]
    assert main([*fit, "--val-split", "0.5", "--batch-size", "16", "--jobs", "1", "-q"]) == 0
    capsys.readouterr()
    words = ["pseudo-label", "m.h5", "--unlabelled", "pool", "--data", "train", "--jobs", "1"]
    return [*words, "--min-precision", "0.9"]


def test_accepted_files_become_class_folders_that_fit_takes(shades, tmp_path, capsys):
    assert main([*shades, "--into", "found"]) == 0
    out, err = capsys.readouterr()
    links = sorted(path for path in (tmp_path / "found").rglob("*.png"))
    assert re.search(rf"40 rows scored, {len(links)} accepted", out)
    assert err.splitlines()[-1] == f"saved   found: {len(links)} links in folders of classes"
    assert all(path.is_symlink() for path in links)
    truth = {"a": "dark", "b": "bright"}
    assert all(truth[path.resolve().parent.name] == path.parent.name for path in links)
    assert main(["fit", "n.h5", "--data", "found", "--arch", "mlp:units=4", "--epochs", "1", "--jobs", "1", "-q"]) == 0
    capsys.readouterr()
    assert main([*shades, "--into", "found"]) == 5
    assert "found: is not empty; give a new --into, or --force" in capsys.readouterr().err
    assert main([*shades, "--into", "found", "--force", "-q"]) == 0
    assert sorted(path for path in (tmp_path / "found").rglob("*.png")) == links


def test_rounds_tell_what_each_gained_and_name_the_model(shades, tmp_path, capsys):
    before = (tmp_path / "m.h5").read_bytes()
    assert main([*shades, "--rounds", "2", "--train-to", "n.h5", "--epochs", "30"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("class ") and (tmp_path / "m.h5").read_bytes() == before
    lines = err.splitlines()
    assert re.fullmatch(r"temperature \d\.\d\d, ECE \d\.\d{3} -> \d\.\d{3}", lines[0])
    assert re.fullmatch(r"round 1  \d\d rows accepted, est\. precision [01]\.\d{3}; 30 epochs", lines[1])
    assert re.search(r"^round 1  right on the validation rows \d\.\d{4} -> \d\.\d{4}  kept$", err, re.MULTILINE)
    assert re.fullmatch(r"saved   n.h5: the model of round [12]", lines[-1])
    assert max(map(len, lines)) <= 80 or lines[-2].startswith("note")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.h5", "n.h5", "pool", "train"]


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
        (["--ask", "0"], 2, "--ask: 0 is out of range; give a whole number from 1 up"),
        (["--ask", "3", "--threshold", "0.9"], 2, "--threshold: cannot be combined with --ask, which accepts no rows"),
        (["--ask", "3", "--rounds", "2"], 2, "--rounds: cannot be combined with --ask"),
        (["--ask", "3", "--no-calibration"], 2, "--no-calibration: cannot be combined with --ask"),
        (["--ask", "3", "--into", "d"], 2, "--into: cannot be combined with --ask"),
        (["--rounds", "2"], 2, "--rounds: needs --train-to FILE, a name for the model that is trained"),
        (["--epochs", "2"], 2, "--epochs: needs --train-to FILE"),
        (["--augment", "hflip"], 2, "--augment: needs --train-to FILE"),
        (["--augment", "hflop", "--train-to", "n.h5"], 2, "--augment: unknown augmentation 'hflop'; did you mean"),
        (["--ask", "3", "--augment", "hflip"], 2, "--augment: cannot be combined with --ask"),
        (
            ["--augment", "hflip", "--train-to", "n.h5", "--data", "x_val.npy"],
            2,
            "--augment: hflip needs images, but rows are 1; give mixup alone",
        ),
        (["--train-to", "n.h5"], 2, "--train-to: needs --data; give the labelled rows that the list is added to"),
        (["--train-to", "m.h5", "--data", "x_val.npy"], 5, "m.h5: exists; use --force to replace it"),
        (["--into", "d"], 2, "--into: pool.npy is an array; only files can be linked"),
        (["--into", "m.h5", "--unlabelled", "m.h5"], 2, "--into: pool.npy is an array; only files can be linked"),
        (["--val-labels", "y_no.npy"], 3, "y_no.npy: "),
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


def test_models_and_validation_rows_that_promise_nothing_are_refused(sign_model, capsys):
    values, labels = np.load("x_val.npy"), np.load("y_val.npy")
    np.save("x_few.npy", values[::4])
    np.save("y_few.npy", labels[::4])
    np.save("x_rare.npy", values[:55])
    np.save("y_rare.npy", labels[:55])  # 48 + 2 of "neg", so that 53 of 55 right say little
    words = ["pseudo-label", "m.h5", "--unlabelled", "pool.npy", "--jobs", "1", "-o", "pool.csv"]
    assert main([*words, "--val", "x_few.npy"]) == 3
    line = capsys.readouterr().err
    assert line.startswith("dltool: error: x_few.npy: 25 validation rows are too few") and "give at least 30" in line
    assert main([*words, "--val", "x_rare.npy"]) == 3
    line = capsys.readouterr().err
    assert line.startswith("dltool: error: m.h5: is right on 0.927 of the validation rows, and always saying 'neg' on")
    assert line.endswith("its labels are worth nothing, train it first\n")
