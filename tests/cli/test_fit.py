"""``dltool fit`` as typed."""

import re

import numpy as np
import pytest

from dltool.cli.main import main
from dltool.modelfile.reading import read


@pytest.fixture
def table(tmp_path, monkeypatch):
    """x.npy and y.npy: two classes that one number tells apart; the current folder is theirs."""
    monkeypatch.chdir(tmp_path)
    values = np.linspace(-1, 1, 80, dtype=np.float32)[:, None]
    np.save("x.npy", np.hstack([values, values**2]))
    np.save("y.npy", (values[:, 0] > 0).astype(np.int64))
    return ["--data", "x.npy", "--labels", "y.npy", "--jobs", "1", "--batch-size", "16"]


def test_a_missing_model_is_built_and_trained(table, capsys):
    assert main(["fit", "m.h5", *table, "--arch", "mlp:units=4", "--epochs", "2"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("data    x.npy: 80 rows, 2 classes")
    assert lines[1] == "split   64 train / 16 val, stratified, seed 0"
    assert lines[2].startswith("model   ")
    assert lines[3].split() == ["epoch", "loss", "acc", "val_loss", "val_acc", "lr", "time"]
    assert [line.split()[0] for line in lines[4:6]] == ["1/2", "2/2"]
    assert lines[6].startswith("finished 2 epochs; kept epoch ")
    assert re.fullmatch(r"saved   m\.h5 \([0-9.]+s\)", lines[7])
    assert len(lines) == 8
    assert len(read("m.h5").history) == 2


def test_quiet_says_nothing(table, capsys):
    assert main(["fit", "m.h5", *table, "--arch", "mlp:units=4", "--epochs", "1", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_the_same_command_gives_the_same_file(table, tmp_path):
    for name in ("a.h5", "b.h5"):
        main(["fit", name, *table, "--arch", "mlp:units=4", "--epochs", "2", "-q", "--seed", "7"])
    main(["fit", "c.h5", *table, "--arch", "mlp:units=4", "--epochs", "2", "-q", "--seed", "8"])
    weights = [read(str(tmp_path / name)).model.weights.vector for name in ("a.h5", "b.h5", "c.h5")]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_output_leaves_the_model_as_it_is(table, tmp_path):
    main(["build", "m.h5", "--input", "2", "--classes", "2", "dense:2,softmax", "-q"])
    before = (tmp_path / "m.h5").read_bytes()
    assert main(["fit", "m.h5", *table, "--epochs", "1", "-o", "n.h5", "-q"]) == 0
    assert (tmp_path / "m.h5").read_bytes() == before
    assert read("n.h5").history


def test_no_escape_codes_in_a_log(table, run_dltool):
    done = run_dltool("fit", "m.h5", *table, "--arch", "mlp:units=4", "--epochs", "3")
    assert done.returncode == 0
    assert done.stdout == ""
    assert not re.search(r"[\x1b\r\x08]", done.stderr)
    assert len(done.stderr.splitlines()) == 9


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "--data: missing; give a folder of class folders or an array, as --data train/"),
        (["--data", "x.npy"], 4, "m.h5: no such file; build it first, or give --arch cnn to build it now"),
        (["--data", "x.npy", "--val", "x.npy", "--val-split", "0.1"], 2, "--val-split: cannot be combined with --val"),
        (["--data", "x.npy", "--val-labels", "y.npy"], 2, "--val-labels: needs --val; give the array that the labels"),
        (["--data", "x.npy", "--arch", "cnn"], 2, "--arch cnn: needs images"),
        (["--data", "nowhere.npy", "--arch", "mlp"], 3, "nowhere.npy: "),
        (["--data", "x.npy", "--arch", "mlp", "-o", "no/n.h5"], 5, "no/n.h5: the folder no does not exist"),
        (["--data", "x.npy", "--arch", "mlp", "--monitor", "val_los"], 2, "--monitor: 'val_los' is not measured; did"),
        (["--data", "x.npy", "--arch", "mlp", "--class-weight", "cat=2"], 2, "--class-weight: 'cat=2' names no class"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_batch(table, capsys, words, code, message):
    assert main(["fit", "m.h5", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"dltool: error: {message}")
    assert err.count("\n") == 1
