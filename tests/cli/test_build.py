"""``dltool build`` as typed."""

import json

import pytest

from dltool.cli.main import main

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
        (["m.h5"], 2, "build: no layers given; write layer words or --arch cnn|lenet|mlp|resnet-small|vgg-small"),
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
    ],
)
def test_errors(words, code, message, capsys):
    assert main(["build", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"dltool: error: {message}")
    assert err.count("\n") == 1


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
