"""``dltool convert`` as typed."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from dltool.cli.main import main
from dltool.modelfile.config_file import read_config_file
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.modelfile.writing import write
from tests.modelfile.models import images, residual, trained

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with m.h5, of two inputs and outputs, and c.h5 with classes, both with everything a file can hold."""
    monkeypatch.chdir(tmp_path)
    write(trained(residual()), "m.h5")
    write(trained(images()), "c.h5")
    return tmp_path


def same_weights(first: str, second: str) -> bool:
    return np.array_equal(read(first).model.weights.vector, read(second).model.weights.vector)


@pytest.mark.parametrize("name", ["m", "c"])
def test_a_model_goes_through_every_format_and_back(here, capsys, name):
    for target in ("k.keras", "j.json", "w.weights.h5", "h.hdf5"):
        assert main(["convert", f"{name}.h5", target]) == 0
        assert f"saved   {target}: " in capsys.readouterr().err
    assert main(["convert", "k.keras", "back.h5"]) == 0
    assert main(["convert", "w.weights.h5", "joined.h5", "--from", "j.json"]) == 0
    assert main(["convert", "w.weights.h5", "like.h5", "--from", f"{name}.h5"]) == 0
    for found in ("k.keras", "h.hdf5", "back.h5", "joined.h5", "like.h5"):
        assert same_weights(found, f"{name}.h5")
    assert read_config_file("j.json")[0].shapes == read(f"{name}.h5").model.graph.shapes
    assert read("joined.h5").training_config.losses == read(f"{name}.h5").training_config.losses
    assert read("h.hdf5").state is not None


def test_it_is_said_what_a_format_has_no_place_for(here, capsys):
    assert main(["convert", "c.h5", "k.keras"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "left    class names, preprocessing, history, state of training: " in told.err
    assert main(["convert", "k.keras", "again.keras"]) == 0
    assert "class names" not in capsys.readouterr().err


def test_it_is_said_what_keras_3_reads_otherwise(here, capsys):
    config = {
        "class_name": "Sequential",
        "config": [
            {
                "class_name": "Dense",
                "config": {"name": "d", "units": 2, "activation": "hard_sigmoid", "batch_input_shape": [None, 3]},
            }
        ],
    }
    (here / "old.json").write_text(json.dumps(config | {"keras_version": "2.2.4"}))
    assert main(["build", "hard.h5", "--from", "old.json", "-q"]) == 0
    assert main(["convert", "hard.h5", "hard.keras", "-q"]) == 0
    assert "dltool: warning: hard.keras: Keras 3 reads hard_sigmoid as" in capsys.readouterr().err
    assert main(["convert", "hard.h5", "again.h5", "-q"]) == 0
    assert capsys.readouterr().err == ""


def test_the_same_model_gives_the_same_bytes_and_an_archive_of_three_members(here):
    for target in ("a.keras", "b.keras", "a.weights.h5", "b.weights.h5"):
        assert main(["convert", "c.h5", target, "-q"]) == 0
    assert (here / "a.keras").read_bytes() == (here / "b.keras").read_bytes()
    assert (here / "a.weights.h5").read_bytes() == (here / "b.weights.h5").read_bytes()
    with zipfile.ZipFile("a.keras") as archive:
        assert archive.namelist() == ["metadata.json", "config.json", "model.weights.h5"]
        assert json.loads(archive.read("config.json"))["class_name"] == "Sequential"


def test_class_names_and_preprocessing_are_put_back(here):
    main(["convert", "c.h5", "resaved.keras", "-q"])
    assert read("resaved.keras").classes is None
    assert main(["convert", "resaved.keras", "n.h5", "--labels-from", "c.h5"]) == 0
    assert read("n.h5").classes == ("cat", "dög", "a/b")
    assert read("n.h5").preprocessing == {"size": [8, 8], "color": "gray"}


def test_labels_of_a_text_file_lose_their_numbers(here):
    (here / "labels.txt").write_text("0 cat\n1 big dog\n2 7\n")
    assert main(["convert", "c.h5", "n.h5", "--class-names", "labels.txt"]) == 0
    assert read("n.h5").classes == ("cat", "big dog", "7")
    (here / "labels.txt").write_text("3 cats\n2 dogs\nfox\n")
    assert main(["convert", "c.h5", "n.h5", "--class-names", "labels.txt", "-f"]) == 0
    assert read("n.h5").classes == ("3 cats", "2 dogs", "fox")


def test_weights_in_the_root_get_the_network_of_json_or_of_an_architecture(here):
    main(["convert", "m.h5", "j.json", "-q"])
    with h5py.File("m.h5") as whole, h5py.File("w.h5", "w") as file:
        for name in whole["model_weights"]:
            whole.copy(f"model_weights/{name}", file)
        file.attrs.update(whole["model_weights"].attrs)
    assert main(["convert", "w.h5", "joined.h5", "--from", "j.json"]) == 0
    assert same_weights("joined.h5", "m.h5")
    assert main(["build", "mlp.h5", "--arch", "mlp:units=4", "--input", "6", "--classes", "3", "-q"]) == 0
    main(["convert", "mlp.h5", "mlp.weights.h5", "-q"])
    words = ["--arch", "mlp:units=4", "--input", "6", "--classes", "3"]
    assert main(["convert", "mlp.weights.h5", "joined.h5", "-f", *words]) == 0
    assert same_weights("joined.h5", "mlp.h5")


def test_the_network_may_come_from_stdin(here):
    main(["convert", "m.h5", "j.json", "-q"])
    main(["convert", "m.h5", "w.weights.h5", "-q"])
    words = [sys.executable, "-m", "dltool", "convert", "w.weights.h5", "joined.h5", "--from", "-"]
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with open("j.json", "rb") as network:
        done = subprocess.run(words, stdin=network, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert same_weights("joined.h5", "m.h5")


def broken(here):
    (here / "text.json").write_text("{}")
    write(SavedModel(images()), "unnamed.h5")
    write(SavedModel(images()), "exists.h5")
    main(["convert", "c.h5", "w.weights.h5", "-q"])
    main(["convert", "m.h5", "m.json", "-q"])
    shutil.copy("w.weights.h5", "old.weights.h5")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("c.h5 n.pt", 2, "n.pt: its ending says no format; use .h5, .keras"),
        ("c.h5 -", 2, "-: its ending says no format"),
        ("c.h5", 2, "OUT: missing"),
        ("c.h5 n.h5 more", 2, "more: one argument too many"),
        ("no.h5 n.h5", 4, "no.h5: no such file"),
        ("c.h5 n.h5 --from no.json", 4, "no.json: no such file"),
        ("c.h5 n.h5 --labels-from no.h5", 4, "no.h5: no such file"),
        ("c.h5 exists.h5", 5, "exists.h5: exists; use --force"),
        ("c.h5 no/n.keras", 5, "no/n.keras: the folder no does not exist"),
        ("w.weights.h5 n.h5", 4, "w.weights.h5: holds weights only; give it a network: dltool convert"),
        ("w.weights.h5 n.h5 --from m.json", 4, "w.weights.h5: has weights at 'layers/"),
        ("w.weights.h5 n.h5 --from text.json", 4, "text.json: "),
        ("w.weights.h5 n.h5 --from w.weights.h5", 4, "w.weights.h5: holds weights only"),
        ("m.json n.h5", 4, "m.json: holds no weights; 'dltool build"),
        ("m.json n.h5 --from m.json", 4, "m.json: is not an HDF5 file"),
        ("w.weights.h5 n.h5 --arch mlp", 2, "--arch: needs --input and --classes"),
        ("c.h5 n.h5 --input 8", 2, "--input: needs --arch"),
        ("c.h5 n.h5 --classes 8", 2, "--classes: needs --arch"),
        ("c.h5 n.h5 --no-rescale", 2, "--no-rescale: needs --arch"),
        ("c.h5 n.h5 --arch mlp --from m.json", 2, "--arch: cannot be combined with --from"),
        ("c.h5 n.h5 --class-names a,b", 2, "--class-names: 2 names for 3 outputs"),
        ("c.h5 n.h5 --class-names a,b,c --labels-from c.h5", 2, "--class-names: cannot be combined"),
        ("c.h5 n.h5 --labels-from unnamed.h5", 2, "--labels-from: unnamed.h5 knows no class names"),
        ("c.h5 n.h5 --labels-from m.h5", 2, "--labels-from: m.h5 takes 5, 5, but c.h5 8x8x1"),
    ],
)
def test_what_cannot_be_is_one_line_and_writes_nothing(here, capsys, words, code, message):
    broken(here)
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    capsys.readouterr()
    assert main(["convert", *words.split()]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"dltool: error: {message}")
    assert told.err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before
