"""``dltool fit`` as typed."""

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dltool.cli.main import main
from dltool.modelfile.reading import read

WHOLE = ["--data", "x.npy", "--arch", "mlp"]


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
        (["--schedule", "cosin"], 2, "--schedule: unknown schedule 'cosin'; did you mean 'cosine'?"),
        (["--schedule", "cosine:mim=1"], 2, "--schedule: cosine has no option 'mim'; did you mean 'min'?"),
        ([*WHOLE, "--schedule", "cosine:min=1"], 2, "--schedule: min is 1; give at most the rate of 0.001"),
        (["--warmup", "soon"], 2, "--warmup: 'soon' is no time; give epochs as 2, or steps as 500steps"),
        (["--warmup", "0"], 2, "--warmup: '0' is no time; "),
        ([*WHOLE, "--warmup", "99steps"], 2, "--warmup: 99 steps, but the run has 10; give less, or more --epochs"),
        (["--augment", "medum"], 2, "--augment: unknown augmentation 'medum'; did you mean 'medium'?"),
        (["--augment", "hflip=x"], 2, "--augment: 'hflip=x' gives no number; write it as hflip=0.2"),
        ([*WHOLE, "--augment", "hflip=2"], 2, "--augment: hflip=2 is out of range; give 0 to 1"),
        ([*WHOLE, "--augment", "hflip"], 2, "--augment: hflip needs images, but rows are 2; give mixup alone"),
        ([*WHOLE, "--augment-preview", "a.png"], 2, "--augment-preview: needs --augment; say what to show"),
        ([*WHOLE, "--schedule", "1cycle:rise=2"], 2, "--schedule: rise is 2; give a part between 0 and 1"),
        (["--lr", "aut"], 2, "--lr: 'aut' is not a number above 0"),
        (["--balance", "over"], 2, "--balance: unknown balance 'over'; did you mean 'oversample'?"),
        (["--decision-threshold", "2"], 2, "--decision-threshold: 2 is out of range; give a probability from 0 to 1"),
        ([*WHOLE, "--class-weight", "sqr"], 2, "--class-weight: 'sqr' names no class"),
        ([*WHOLE, "--loss", "focl"], 2, "--loss: unknown loss 'focl'; did you mean 'focal'?"),
        (["--time", "5"], 2, "--time: '5' is no time; write it as 90s, 5m or 1h30m"),
        (["--time", "0m"], 2, "--time: '0m' is no time; "),
        (["--ema", "2"], 2, "--ema: 2 is out of range; give a probability from 0 to 1"),
        (["--restarts", "0"], 2, "--restarts: 0 is out of range; give a whole number from 1 up"),
        (["--label-smoothing", "x"], 2, "--label-smoothing: 'x' is not a probability"),
        (["--clip-norm", "0"], 2, "--clip-norm: 0 is out of range; give a number above 0"),
        (["--clip-value", "x"], 2, "--clip-value: 'x' is not a number above 0"),
        ([*WHOLE, "--clip-norm", "1", "--clip-value", "1"], 2, "--clip-value: cannot be combined with --clip-norm"),
        (["--weight-decay", "-1"], 2, "--weight-decay: -1 is out of range; give a number from 0 up"),
        ([*WHOLE, "--freeze", "dens"], 2, "--freeze: no layer with weights is called 'dens'; did you mean 'dense'?"),
        ([*WHOLE, "--init-from", "no.h5"], 4, "no.h5: no such file; --init-from takes a model that dltool or Keras"),
        ([*WHOLE, "--init-from", "x.npy"], 4, "x.npy: is "),
        ([*WHOLE, "--init-from", "x.npy", "--restarts", "2"], 2, "--restarts: draws weights anew, which --init-from"),
        ([*WHOLE, "--checkpoint", "e{epoc}.h5"], 2, "--checkpoint: {epoc} in 'e{epoc}.h5' is not known; did you mean"),
        ([*WHOLE, "--checkpoint", "no/c.h5"], 5, "no/c.h5: the folder no does not exist; create it first"),
        ([*WHOLE, "--log", "log.txt"], 2, "--log: log.txt is neither .csv nor .jsonl; name it so"),
        ([*WHOLE, "--log", "x.npy.csv/l.csv"], 5, "x.npy.csv/l.csv: the folder x.npy.csv does not exist"),
        ([*WHOLE, "--log-every", "batch"], 2, "--log-every: needs --log; name the file, as --log log.csv"),
        (["--log-every", "hour"], 2, "--log-every: unknown interval 'hour'; give one of epoch, batch"),
        ([*WHOLE, "--plot", "plot.gif"], 2, "--plot: plot.gif is none of .png, .svg, .pdf; name it so"),
        ([*WHOLE, "--resume", "--reset-optimizer"], 2, "--reset-optimizer: cannot be combined with --resume"),
        (["--data", "x.npy", "--resume"], 4, "m.h5: no such file; build it first, or give --arch cnn to build it now"),
        ([*WHOLE, "--dry-run", "--monitor", "accurcy"], 2, "--monitor: 'accurcy' is not measured; did you mean"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_batch(table, capsys, words, code, message):
    assert main(["fit", "m.h5", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"dltool: error: {message}")
    assert err.count("\n") == 1
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["x.npy", "y.npy"]


def test_a_dry_run_gives_the_plan_on_stdout_and_writes_nothing(table, capsys):
    assert main(["fit", "m.h5", *table, "--arch", "mlp:units=4", "--dry-run", "--log", "l.csv"]) == 0
    out, err = capsys.readouterr()
    plan = ["data", "split", "model", "train", "cost", "monitor", "memory", "writes"]
    assert [line.split()[0] for line in out.splitlines()] == plan
    assert err == ""
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["x.npy", "y.npy"]


def test_the_time_spent_waiting_for_data_is_told_to_those_who_ask(table, capsys):
    main(["fit", "m.h5", *table, "--arch", "mlp:units=4", "--epochs", "2", "-v"])
    assert re.search(
        r"^waited \d+% of the training time for data: \d+% in the first epoch, \d+% later$",
        capsys.readouterr().err,
        re.MULTILINE,
    )
    labels = table[2:] if "--labels" in table else []
    for words in (["evaluate", "m.h5", *table[:2], *labels], ["predict", "m.h5", table[1]]):
        for option, times in (([], 0), (["-v"], 1)):
            assert main([*words, *option]) == 0
            said = re.findall(r"^waited (\d+)% of the time for data$", capsys.readouterr().err, re.MULTILINE)
            assert len(said) == times and all(int(part) <= 100 for part in said)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_shows_the_command_that_resumes(table, run_dltool, number, code):
    words = ["fit", "m.h5", *table, "--arch", "mlp:units=4", "--epochs", "1000000", "--class-weight", "0=1,1=2"]
    command = [sys.executable, "-m", "dltool", *words]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=run_dltool.environ, preexec_fn=heed
    ) as process:
        lines = [process.stderr.readline() for _ in range(6)]  # two epochs are done
        process.send_signal(number)
        lines += process.stderr.readlines()
    assert process.returncode == code
    last = [line.strip() for line in lines[-4:]]
    assert last[0] == "stopping after this batch (again: at once)"
    assert re.match(rf"stopped at epoch \d+: interrupted by {number.name}; kept epoch \d+ ", last[1])
    assert re.match(r"saved   m\.h5( in epoch \d+ after [1-4] of 4 batches)?$", last[2])
    assert last[3] == f"resume  dltool {shlex.join(words)} --resume"
    done = read("m.h5").state.epoch
    assert main([*words, "--resume", "--epochs", str(done)]) == 2  # another number of epochs is another run


def heed() -> None:
    """Shells start what runs in the background with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_resumed_run_takes_what_is_not_said_from_the_file(table, run_dltool, capsys):
    words = ["fit", "m.h5", *table, "--arch", "mlp:units=4", "--epochs", "3", "--lr", "0.01", "-q"]
    assert main(words) == 0
    before = Path("m.h5").read_bytes()
    assert main(["fit", "m.h5", "--data", "x.npy", "--resume"]) == 0
    assert capsys.readouterr().err == "m.h5: the run is finished, nothing is left to resume\n"
    assert Path("m.h5").read_bytes() == before


def test_a_training_that_diverges_says_where_and_why_in_its_last_lines(table, capsys):
    words = ["fit", "m.h5", *table, "--arch", "mlp:units=4,layers=1", "--lr", "1e25", "--optimizer", "sgd"]
    assert main(words) == 6
    lines = capsys.readouterr().err.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("autopsy  "))
    assert re.fullmatch(r"autopsy  epoch 1, step \d of 4, lr 1e\+25", lines[start])
    assert re.match(r"batch    x\.npy\[\d+\], x\.npy\[\d+\], x\.npy\[\d+\] and 13 more", lines[start + 1])
    assert re.match(r"first    [\d,]+ of [\d,]+ outputs of layer 'dense(_1)?' are not finite", lines[start + 2])
    assert any(line.startswith("weights  up to  dense ") for line in lines[start:])
    assert lines[-1].startswith("dltool: error: training: the loss is nan in epoch 1, step ")
    assert lines[-1].endswith("use a smaller --lr, as 0.01; no epoch was finished, so nothing was written")
    assert main([*words, "-q"]) == 6
    assert capsys.readouterr().err.count("\n") == 1


def test_an_end_that_gives_no_probabilities_is_named_with_its_rows(table, capsys):
    np.save("x.npy", -np.abs(np.load("x.npy")) - 1)
    build = ["build", "m.h5", "--input", "2", "dense:2,relu,kernel_initializer=ones", "--loss"]
    assert main([*build, "sparse_categorical_crossentropy", "-q"]) == 0
    capsys.readouterr()
    assert main(["fit", "m.h5", *table]) == 6
    line = capsys.readouterr().err.splitlines()[-1]
    assert "sparse_categorical_crossentropy of output 'dense' is not finite in 16 of 16 rows, because it needs" in line
    assert "; end the network with softmax, or give --loss sparse_categorical_crossentropy:from_logits=true" in line


def test_a_row_that_is_not_a_number_is_named_before_anything_trains(table, capsys):
    rows = np.load("x.npy")
    rows[17, 1] = np.nan
    np.save("x.npy", rows)
    assert main(["fit", "m.h5", *table, "--arch", "mlp"]) == 3
    assert "x.npy: NaN at row 17, column 1" in capsys.readouterr().err
    assert not Path("m.h5").exists()
