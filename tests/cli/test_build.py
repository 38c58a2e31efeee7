"""``dltool build`` as typed."""

import json
import os
import subprocess
import sys

import pytest

from dltool.cli.main import main
from dltool.names import ARCHITECTURES

CLASSIC = [
    "conv2d:32,3,relu",
    "conv2d:64,3,relu",
    "maxpool:2",
    "dropout:0.25",
    "flatten",
    "dense:128,relu",
    "dropout:0.5",
    "dense:10,softmax",
]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_build_and_summary(capsys):
    assert main(["build", "m.h5", "--input", "28x28x1", "--classes", "10", *CLASSIC]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "saved   m.h5: 1,199,882 parameters, 28x28x1 -> 10, adam, lr 0.001, sparse_categorical_crossentropy\n"
    )
    assert main(["summary", "m.h5"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == "layer (class)                 output shape  parameters  mult-adds    memory"
    assert lines[1] == "-" * len(lines[2])
    assert [line.split()[:4] for line in lines[2:5]] == [
        ["input_layer", "(InputLayer)", "28x28x1", "0"],
        ["rescaling", "(Rescaling)", "28x28x1", "0"],
        ["conv2d", "(Conv2D)", "26x26x32", "320"],
    ]
    assert "parameters  1,199,882: 1,199,882 trainable" in lines
    assert "optimizer   adam, lr 0.001" in lines


def test_options_may_stand_anywhere(capsys):
    assert main(["build", "--input", "4", "m.h5", "dense:3,softmax", "--seed", "3", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_summary_as_json(capsys):
    main(["build", "m.h5", "--input", "4", "h=dense:3,relu", "dense:2,softmax", "-q"])
    assert main(["summary", "m.h5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "dltool.summary/1"
    assert found["parameters"] == {"total": 23, "trainable": 23, "frozen": 0, "statistics": 0}
    assert [layer["name"] for layer in found["layers"]] == ["input_layer", "h", "dense"]


def test_dry_run_shows_the_summary_and_writes_nothing(tmp_path, capsys):
    assert main(["build", "m.h5", "--input", "4", "--arch", "mlp:units=3", "--classes", "2", "--dry-run"]) == 0
    out, _ = capsys.readouterr()
    assert "parameters  35: 35 trainable" in out
    assert list(tmp_path.iterdir()) == []


def test_a_wide_summary_stays_within_80_columns(capsys):
    words = ["x=input:8x8x3", "first_layer_with_a_very_long_name_that_goes_on_and_on_and_on_for_ever=conv2d:3,3,same"]
    assert main(["build", "m.h5", *words, "add@x+" + words[1].split("=")[0], "flatten", "dense:3", "-q"]) == 0
    assert main(["summary", "m.h5"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ["m.h5"],
            2,
            f"build: no layers given; write layer words, --arch {'|'.join(ARCHITECTURES)}, --from or --like",
        ),
        (["m.h5", "dense:3", "--arch", "cnn"], 2, "--arch: cannot be combined with layer words (dense:3); give one of"),
        (
            ["conv2d:32,3", "flatten"],
            2,
            "conv2d:32,3: is a layer word; name the model file first, as dltool build m.h5",
        ),
        (
            ["flatten", "dense:3"],
            2,
            "flatten: is a layer word; name the model file first, as dltool build m.h5 flatten",
        ),
        (["m.h5", "--input", "4", "dens:3"], 2, "dens:3: unknown layer 'dens'; did you mean 'dense'?"),
        (["m.h5", "--input", "4", "flatten", "--labels", "y.npy"], 2, "--labels: needs --data; give the array that"),
        (["m.h5", "--input", "4x4x1", "conv2d:2,9", "flatten"], 2, "layer 'conv2d' (after 'rescaling'): "),
        (["no/m.h5", "--input", "4", "dense:3"], 5, "no/m.h5: the folder no does not exist"),
        (["m.h5", "--data", "nowhere", "--arch", "cnn"], 3, "nowhere: "),
        (["-", "--input", "4", "dense:3"], 2, "-: a model file cannot go to standard output; name a file"),
        (["m.h5", "--from", "no.json"], 4, "no.json: no such file; give the JSON that model.to_json() of Keras wrote"),
        (["m.h5", "--like", "no.h5"], 4, "no.h5: no such file; give a model that 'dltool build' or Keras wrote"),
        (["m.h5", "--from", "-", "dense:3"], 2, "--from: cannot be combined with layer words (dense:3); give one of"),
        (["m.h5", "--from", "-", "--like", "a.h5"], 2, "--like: cannot be combined with --from; give one of the two"),
        (["m.h5", "--from", "-", "--input", "4"], 2, "--input: the network of --from is taken as it is; leave --input"),
        (["m.h5", "--like", "a.h5", "--no-rescale"], 2, "--no-rescale: the network of --like is taken as it is; leave"),
        (["m.h5", "--input", "4", "dense:3", "--metric", "acuracy"], 2, "--metric: unknown metric 'acuracy'; did you "),
        (["m.h5", "--input", "4", "dense:3", "--lr", "0"], 2, "--lr: 0 is out of range; give a number above 0"),
        (["m.h5", "--input", "4", "dense:3", "--seed", "-1"], 2, "--seed: -1 is out of range; give a whole number"),
        (["m.h5", "--input", "4", "dense:3", "--classes", "0"], 2, "--classes: 0 is out of range; give a whole number"),
        (["m.h5", "--input", "4", "x=dense:3", "dense:2@y"], 2, "dense:2@y: no layer 'y' before it; "),
        (
            ["m.h5", "a=input:4", "b=input:3", "dense:3@a"],
            2,
            "layer 'b': no layer takes this input; connect it with @b",
        ),
    ],
)
def test_errors(words, code, message, tmp_path, capsys):
    assert main(["build", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"dltool: error: {message}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_network_from_standard_input(run_dltool, repository, tmp_path):
    config = (repository / "tests" / "modelfile" / "configs" / "keras2_images.json").read_text()
    done = run_dltool("build", "m.h5", "--from", "-", cwd=tmp_path, input=config)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "saved   m.h5: 475 parameters, 8x8x1 -> 3, adam, lr 0.001, sparse_categorical_crossentropy\n"
    done = run_dltool("build", "n.h5", "--like", "m.h5", "--seed", "4", "--dry-run", cwd=tmp_path)
    assert "conv2d (Conv2D)" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["m.h5"]


@pytest.mark.skipif(os.name != "posix", reason="closes stdin by a Unix shell")
def test_a_closed_standard_input(run_dltool, tmp_path):
    line = f"{sys.executable} -m dltool build m.h5 --from - <&-"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, cwd=tmp_path, env=run_dltool.environ)
    assert done.returncode == 4
    assert done.stderr == "dltool: error: standard input: is closed; give the JSON on it, or name a file\n"


def test_a_graph_of_two_inputs_from_words(capsys):
    words = ["x1=input:10", "y1=dense:100@x1", "x2=input:20", "both=concatenate@y1+x2", "out=dense:200@both"]
    assert main(["build", "m.h5", *words]) == 0
    assert capsys.readouterr().err == (
        "saved   m.h5: 25,300 parameters, 10 and 20 -> 200, adam, lr 0.001, mean_squared_error\n"
    )  # 10*100+100 + 120*200+200


def test_repetition(capsys):
    assert main(["build", "m.h5", "--input", "8x8x3", "--dry-run", "3*(conv2d:4,3,same,relu bn)", "gap"]) == 0
    out = capsys.readouterr().out
    assert (out.count("(Conv2D)"), out.count("batch_normalization")) == (3, 3)


def test_an_existing_file_needs_force(tmp_path, capsys):
    words = ["build", "m.h5", "--input", "4", "dense:3,softmax"]
    assert main(words) == 0
    assert main(words) == 5
    assert capsys.readouterr().err.splitlines()[-1] == "dltool: error: m.h5: exists; use --force to replace it"
    assert main([*words, "-f"]) == 0


def test_summary_of_what_is_no_model(tmp_path, capsys):
    (tmp_path / "m.h5").write_text("no model")
    assert main(["summary", "m.h5"]) == 4
    assert capsys.readouterr().err.startswith("dltool: error: m.h5: ")
