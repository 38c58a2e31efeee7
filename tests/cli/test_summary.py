"""``dltool summary`` as typed."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from dltool.cli.main import main
from dltool.modelfile.reading import read
from dltool.modelfile.writing import write
from tests.modelfile.models import keras_file


@pytest.fixture(autouse=True)
def small_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(
        [
            "build",
            "m.h5",
            "--input",
            "6x6x1",
            "--class-names",
            "a,b",
            "conv2d:2,3,relu",
            "flatten",
            "dense:2,softmax",
            "-q",
        ]
    )


def summary(*words):
    return main(["summary", *words])


def test_the_table(capsys):
    assert summary("m.h5") == 0
    out, err = capsys.readouterr()
    assert err == ""
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["layer", "(class)", "output", "shape", "parameters", "mult-adds", "memory"]
    assert rows[2:7] == [
        ["input_layer", "(InputLayer)", "6x6x1", "0", "0", "144", "B"],
        ["rescaling", "(Rescaling)", "6x6x1", "0", "36", "144", "B"],
        ["conv2d", "(Conv2D)", "4x4x2", "20", "288", "128", "B"],
        ["flatten", "(Flatten)", "32", "0", "0", "128", "B"],
        ["dense", "(Dense)", "2", "66", "64", "8", "B"],
    ]
    facts = dict(line.split(None, 1) for line in out.splitlines()[8:] if not line.startswith(" "))
    assert facts["parameters"] == "86: 86 trainable"
    assert facts["compute"] == "388 multiply-adds a sample (776 FLOPs)"
    assert facts["memory"].startswith("weights 344 B, activations 552 B a sample")
    assert facts["classes"] == "2: a, b"


def test_json(capsys):
    assert summary("m.h5", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "dltool.summary/1"
    assert found["layers"][2] == {
        "name": "conv2d",
        "class": "Conv2D",
        "output_shape": [4, 4, 2],
        "parameters": 20,
        "multiply_adds": 288,
        "activation_bytes": 128,
        "frozen": False,
        "shared": False,
    }
    assert found["parameters"] == {"total": 86, "trainable": 86, "frozen": 0, "statistics": 0}
    assert (found["multiply_adds"], found["activation_bytes"]) == (388, 552)
    assert found["inputs"] == {"input_layer": [6, 6, 1]} and found["outputs"] == {"dense": [2]}
    assert found["optimizer"]["name"] == "adam"


def test_timing_adds_a_column(capsys):
    assert summary("m.h5", "--timing", "--batch-size", "8") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[-1] == "ms"
    assert float(next(line for line in lines if line.startswith("conv2d")).split()[-1]) >= 0
    assert any(line.startswith("timing ") and "8 rows on one lane" in line for line in lines)
    assert summary("m.h5", "--timing", "--batch-size", "8", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["timing"]["rows"] == 8
    assert found["timing"]["milliseconds"] == pytest.approx(sum(row.get("milliseconds", 0) for row in found["layers"]))


def test_weights(capsys):
    saved = read("m.h5")
    saved.model.weights.views["dense"][1][...] = [0, -3]
    write(saved, "m.h5")
    assert summary("m.h5", "--weights") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["weight", "shape", "mean", "std", "min", "max", "zeros"]
    assert [row[0] for row in rows[1:]] == ["conv2d/kernel", "conv2d/bias", "dense/kernel", "dense/bias"]
    assert rows[4] == ["dense/bias", "2", "-1.5", "1.5", "-3", "0", "50.0%"]
    assert summary("m.h5", "--weights=dense/bias") == 0
    assert capsys.readouterr().out.splitlines()[2:] == ["", "0.0 -3.0"]
    assert summary("--weights", "m.h5") == 0  # the one word is the model
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_values_round_trip_in_json(capsys):
    assert summary("m.h5", "--weights", "conv2d/kernel", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    kernel = read("m.h5").model.weights.views["conv2d"][0]
    np.testing.assert_array_equal(np.array(found["values"], np.float32), kernel)
    assert found["weights"][0]["shape"] == [3, 3, 1, 2]


def test_diff(capsys):
    assert summary("m.h5", "--diff", "m.h5") == 0
    assert capsys.readouterr().out == "no difference: the layers and all 4 weights are equal\n"
    main(["build", "o.h5", "--input", "6x6x1", "--seed", "1", "conv2d:2,3,tanh", "flatten", "dense:2,softmax", "-q"])
    assert summary("m.h5", "--diff", "o.h5") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "~ conv2d: activation relu became tanh"
    assert [line.partition(":")[0] for line in lines[1:3]] == ["~ conv2d/kernel", "~ dense/kernel"]
    assert "= 2 weights are equal" in lines
    assert "~ classes: 2: a, b | -" in lines
    assert summary("m.h5", "--diff", "o.h5", "--json") == 0
    assert json.loads(capsys.readouterr().out)["equal"] is False


def test_advice_comes_with_its_source(capsys):
    assert summary("m.h5", "--advice") == 0
    assert capsys.readouterr().out == "nothing to remark\n"
    main(["build", "s.h5", "--input", "3", *["dense:4,sigmoid"] * 5, "dense:2,softmax", "--lr", "0.5", "-q"])
    assert summary("s.h5", "--advice") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("- a learning rate of 0.5 is high") for line in lines)
    assert any("gradients vanish" in line for line in lines)
    assert sum(line.startswith("  (") for line in lines) == 2
    assert max(map(len, lines)) <= 80
    assert summary("s.h5", "--advice", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {"rule", "words", "source"} == set(found["advice"][0])


def test_config_is_keras_json(capsys):
    assert summary("m.h5", "--config") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["class_name"] == "Sequential"
    assert [layer["class_name"] for layer in found["config"]["layers"]][2:] == ["Conv2D", "Flatten", "Dense"]


@pytest.mark.interop
@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_keras_builds_the_network_from_the_config(run_dltool, tmp_path, package):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    main(["build", "j.h5", "x1=input:10", "y1=dense:5@x1", "x2=input:20", "both=concatenate@y1+x2", "dense:2", "-q"])
    for name in ("m", "j"):
        (tmp_path / f"{name}.json").write_text(run_dltool("summary", f"{name}.h5", "--config").stdout)
    program = (
        f"import {package} as keras\n"
        "for name in 'mj':\n"
        "    model = keras.models.model_from_json(open(name + '.json').read())\n"
        "    print([tuple(w.shape) for w in model.get_weights()])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-2:] == [
        "[(3, 3, 1, 2), (2,), (32, 2), (2,)]",
        "[(10, 5), (5,), (25, 2), (2,)]",
    ], done.stderr


def test_what_keras_does_differently_is_told(capsys):
    main(["build", "h.h5", "--input", "3", "dense:2,hard_sigmoid", "-q"])
    assert summary("h.h5") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "in Keras tf_keras reads hard_sigmoid as clip(0.2x + 0.5, 0, 1); dltool and Keras 3 use clip(x/6" in text


def test_a_file_of_keras_itself(tmp_path, capsys):
    keras_file(tmp_path / "k.h5").close()
    assert summary("k.h5") == 0
    out = capsys.readouterr().out
    assert "d (Dense)" in out and "15: 15 trainable" in out and "Keras 2.15.0" in out


def test_errors_are_one_line(capsys):
    for words, code, message in (
        ([], 2, "MODEL: missing; see 'dltool summary --help'"),
        (["--weights"], 2, "MODEL: missing"),
        (["no.h5"], 4, "no.h5: "),
        (["m.h5", "--diff", "no.h5"], 4, "no.h5: "),
        (["m.h5", "--diff"], 2, "--diff: needs a value"),
        (["m.h5", "--diff", "m.h5", "--config"], 2, "--diff: cannot be combined with --config"),
        (["m.h5", "--advice", "--timing"], 2, "--advice: cannot be combined with --timing"),
        (["m.h5", "--timing", "--weights"], 2, "--timing: cannot be combined with --weights"),
        (["m.h5", "--weights", "dens"], 2, "--weights: the model has no layer or weight 'dens'; did you mean 'dense'?"),
        (["m.h5", "--batch-size", "0"], 2, "--batch-size: 0 is out of range"),
        (["m.h5", "o.h5"], 2, "o.h5: one argument too many"),
    ):
        assert summary(*words) == code, words
        out, err = capsys.readouterr()
        assert (out, len(err.splitlines())) == ("", 1), words
        assert err.startswith(f"dltool: error: {message}")


@pytest.mark.parametrize("environ", [{"LANG": "C", "PYTHONIOENCODING": "ascii"}, {"NO_COLOR": "1", "COLUMNS": "200"}])
def test_in_a_pipe_everything_is_plain_and_fits_80_columns(run_dltool, tmp_path, environ):
    long = "a_rather_long_layer_name_" * 3
    words = [f"{long}=conv2d:32,3,relu", "maxpool:2", "flatten", f"b{long}=dense:20,relu", "dense:2"]
    main(["build", "l.h5", "--input", "32x32x3", "--class-names", "gr\x1b[31mün,猫", *words, "-q"])
    main(["build", "j.h5", "x1=input:10", "y1=dense:5@x1", "x2=input:20", "both=concatenate@y1+x2", "dense:2", "-q"])
    for rest in (
        ["l.h5"],
        ["l.h5", "--timing", "--batch-size", "2"],
        ["l.h5", "--weights"],
        ["j.h5"],
        ["l.h5", "--diff", "j.h5"],
    ):
        done = run_dltool("summary", *rest, cwd=tmp_path, **environ)
        assert (done.returncode, done.stderr) == (0, "")
        assert max(map(len, done.stdout.splitlines())) <= 80, rest
        assert not set(done.stdout) & set("\x1b\r\x08")
        assert done.stdout.isascii() or "PYTHONIOENCODING" not in environ


@pytest.mark.shared
def test_files_from_the_wild_are_described_or_refused_by_name(shared, capsys):
    described = 0
    small = (path for path in sorted((shared / "keras" / "real").glob("*.h5")) if path.stat().st_size < 3e5)
    for path in small:
        code = summary(str(path))
        out, err = capsys.readouterr()
        assert code in (0, 4), path.name
        if code == 0:
            described += 1
            assert max(map(len, out.splitlines())) <= 80
        else:
            assert err.startswith(f"dltool: error: {path}: ") and len(err.splitlines()) == 1
    assert described >= 3


def test_activations_are_shown_for_people_and_programs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.ones((5, 3)))
    np.save("y.npy", np.arange(5) % 2)
    main(["build", "a.h5", "--input", "3", "dense:4,relu", "dense:2,softmax", "-q"])
    assert main(["summary", "a.h5", "--activations", "--data", "x.npy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["layer", "activation", "units", "dead", "saturated"]
    assert lines[1].split()[:3] == ["dense", "relu", "4"] and lines[1].split()[-1] == "-"
    assert main(["summary", "a.h5", "--activations", "--data", "x.npy", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "dltool.activations/1" and found["n"] == 5
    assert main(["summary", "a.h5", "--activations"]) == 2
    assert "--activations: needs rows to look at" in capsys.readouterr().err
    assert main(["summary", "a.h5", "--data", "x.npy"]) == 2
    assert "--data: is for --activations; add it, or leave --data out" in capsys.readouterr().err
