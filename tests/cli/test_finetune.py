"""``dltool finetune`` as typed."""

import io
import re

import numpy as np
import pytest

from dltool.cli.console import Console
from dltool.cli.finetune import Stages
from dltool.cli.main import main
from dltool.modelfile.reading import read
from dltool.workflows.finetuning.stages import StageEvents


@pytest.fixture
def base(tmp_path, monkeypatch):
    """base.h5 tells three classes apart by two numbers; x.npy has two other classes."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).uniform(-1, 1, (120, 2)).astype(np.float32)
    np.save("x.npy", values)
    np.save("y.npy", (values[:, 0] > values[:, 1]).astype(np.int64))
    words = ["a=dense:8,relu", "b=dense:6,relu", "dense:3,softmax"]
    main(["build", "base.h5", "--input", "2", "--classes", "3", *words, "-q"])
    return ["base.h5", "--data", "x.npy", "--jobs", "1", "--batch-size", "16"]


def test_the_stages_are_told_line_by_line(base, capsys):
    words = ["--epochs", "3", "--epochs-unfrozen", "2", "--lr", "1e-4,1e-3,1e-2"]
    assert main(["finetune", *base, "-o", "new.h5", *words]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "base.h5: 3-class head dropped, new head 0 1"
    assert lines[1] == "data    x.npy: 120 rows; 96 train / 24 val, stratified, seed 0"
    assert lines[2].split() == ["epoch", "loss", "acc", "val_loss", "val_acc", "lr", "time"]
    assert [line.split()[0] for line in lines[3:6]] == ["1/5", "2/5", "3/5"]
    assert re.fullmatch(
        r"stage 1  head only, features computed once \(120 x 6, 2\.9 kB\)  3 epochs  [0-9.]+s  val_acc [01]\.\d{3}",
        lines[6],
    )
    assert [line.split()[0] for line in lines[7:9]] == ["4/5", "5/5"]
    assert re.fullmatch(r"stage 2  all layers, lr 1e-04 \.\. 1e-02  2 epochs  [0-9.]+s  val_acc [01]\.\d{3}", lines[9])
    assert re.fullmatch(r"saved   new\.h5 \([0-9.]+s\)", lines[10])
    assert len(lines) == 11
    assert len(read("new.h5").history) == 5
    assert max(map(len, lines)) <= 96


def test_gradual_stages_count_their_epochs_through(base, capsys):
    words = ["--epochs", "1", "--epochs-unfrozen", "3", "--gradual"]
    assert main(["finetune", *base, "-o", "new.h5", *words]) == 0
    counted = re.findall(r"^ *(\d+/\d+) ", capsys.readouterr().err, re.MULTILINE)
    assert counted == ["1/4", "2/4", "3/4", "4/4"]


def test_verbose_tells_how_long_data_were_waited_for(base, capsys):
    assert main(["finetune", *base, "-o", "new.h5", "-v", "--epochs", "1", "--epochs-unfrozen", "1"]) == 0
    assert re.search(r"^waited \d+% of the time for data$", capsys.readouterr().err, re.MULTILINE)


def test_without_numbers_few_rows_are_seen_often(base, capsys):
    assert main(["finetune", *base, "-o", "new.h5"]) == 0  # 96 rows are 6 steps
    counted = re.findall(r"^ *(\d+/\d+) ", capsys.readouterr().err, re.MULTILINE)
    assert (counted[0], counted[-1]) == ("1/51", "51/51")
    assert read("new.h5").recipe["finetune"]["epochs_unfrozen"] == 17


def test_quiet_and_force_replace_the_base_silently(base, capsys):
    assert main(["finetune", *base, "--force", "-q", "--epochs", "1", "--epochs-unfrozen", "0"]) == 0
    assert capsys.readouterr() == ("", "")
    assert read("base.h5").model.graph.output_shapes == ((2,),)


def test_names_and_the_cut_come_from_options(base, capsys):
    words = ["--at", "a", "--head", "dense:4,relu", "--head", "dense:2,softmax", "--class-names", "low,high"]
    assert main(["finetune", *base, "-o", "n.h5", "--epochs", "1", "--unfreeze", "a", *words]) == 0
    assert "new head low high" in capsys.readouterr().err
    saved = read("n.h5")
    assert saved.classes == ("low", "high")
    assert [name for name in saved.model.graph.layers if name != "input_layer"] == ["a", "dense", "dense_1"]


def test_the_screen_hears_of_everything_that_stages_tell():
    told = {name for name in vars(StageEvents) if not name.startswith("_")}
    assert told <= set(vars(Stages))


def test_features_are_counted_on_a_terminal():
    out, err = io.StringIO(), io.StringIO()
    console = Console(out, err, {"COLUMNS": "60"})
    console.live = True
    now = 0.0
    stages = Stages(console, lambda: now)
    stages.planned(5)
    now = 7.0
    stages.understood([])
    now = 7.5
    stages.features_done(30, 60)
    assert err.getvalue().rstrip().endswith("60 rows/s  eta 0.5s")
    assert out.getvalue() == "" and re.fullmatch(r"\rfeatures  .* 50%.*", err.getvalue().rstrip())


def test_a_log_has_no_escape_codes(base, run_dltool):
    done = run_dltool("finetune", *base, "-o", "new.h5", "--epochs", "2", "--epochs-unfrozen", "1")
    assert done.returncode == 0
    assert done.stdout == ""
    assert not re.search(r"[\x1b\r\x08]", done.stderr)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["base.h5", "-o", "n.h5"], 2, "--data: missing; give a folder of class folders or an array, as --data train/"),
        (["no.h5", "--data", "x.npy", "-o", "n.h5"], 4, "no.h5: no such file; give a model that dltool or Keras wrote"),
        ([], 2, "-o: missing; name the new model, or give --force to replace base.h5"),
        (["-o", "n.h5", "--pop", "1", "--at", "a"], 2, "--pop: cannot be combined with --at; give one of the two"),
        (["-o", "n.h5", "--pop", "-1"], 2, "--pop: -1 is out of range; give a whole number from 0 up"),
        (
            ["-o", "n.h5", "--gradual", "--epochs-unfrozen", "0"],
            2,
            "--gradual: needs passes to share; give --epochs-un",
        ),
        (
            ["-o", "n.h5", "--augment", "mixup=0.2", "--precompute"],
            2,
            "--precompute: cannot be combined with --augment, ",
        ),
        (
            ["-o", "n.h5", "--augment", "mixup=0.2", "--features", "f.npy"],
            2,
            "--features: cannot be combined with --aug",
        ),
        (["-o", "n.h5", "--features", "f.npy", "--no-precompute"], 2, "--features: cannot be combined with --no-preco"),
        (["-o", "n.h5", "--features", "x.npy"], 5, "x.npy: exists; use --force to replace it"),
        (["-o", "n.h5", "--features", "no/f.npy"], 5, "no/f.npy: the folder no does not exist"),
        (["-o", "n.h5", "--preprocess", "caffe"], 2, "--preprocess: caffe is for colour images, but rows are 2"),
        (["-o", "n.h5", "--at", "aa"], 2, "--at: the model has no layer 'aa'; did you mean 'a'?"),
        (["-o", "n.h5", "--head", "dens:2"], 2, "--head: dens:2: "),
        (["-o", "n.h5", "--lr", "1e-3,x"], 2, "--lr: 'x' is not a number above 0"),
        (["-o", "n.h5", "--lr", "1e-3,0"], 2, "--lr: 0 is out of range; give a number above 0"),
        (["-o", "n.h5", "--unfreeze", "c*"], 2, "--unfreeze: 'c*' fits no layer of the base that can train; "),
        (["-o", "n.h5", "--epochs", "0"], 2, "--epochs: 0 is out of range"),
        (["-o", "n.h5", "--epochs-unfrozen", "-1"], 2, "--epochs-unfrozen: -1 is out of range"),
        (["-o", "n.h5", "--val", "x.npy", "--val-split", "0.5"], 2, "--val-split: cannot be combined with --val"),
        (["-o", "n.h5", "--val-labels", "y.npy"], 2, "--val-labels: needs --val; give the array"),
        (["-o", "n.h5", "--data", "no.npy"], 3, "no.npy: "),
        (["-o", "base.h5"], 5, "base.h5: exists; use --force to replace it"),
        (["-o", "no/n.h5"], 5, "no/n.h5: the folder no does not exist"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(base, capsys, tmp_path, words, code, message):
    before = sorted(tmp_path.iterdir())
    given = words if words and words[0].endswith(".h5") else [*base, *words]
    assert main(["finetune", *given]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"dltool: error: {message}")
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
