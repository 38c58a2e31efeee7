"""Files that other people wrote with Keras 1.1 to 3: read and predicted as Keras does, or refused for the right reason.

They lie in the folder that DLTOOL_SHARED names (``keras/real``; INDEX.tsv lists them). Files of layers that are not
registered are skipped by a rule: what their configs name is compared with the registry.
"""

import csv
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from dltool.engine.layers import LAYERS
from dltool.engine.reference import ReferenceExecutor
from dltool.errors import ModelFileError
from dltool.modelfile.dialects import keras1
from dltool.modelfile.layer_config import OLD_CLASSES
from dltool.modelfile.reading import read
from tests.security.fork_server import ForkServer

pytestmark = pytest.mark.shared

TOLERANCE = 1e-4
NO_LAYERS = {"Sequential", "Functional", "Model"}
CODE = {"Lambda"}
MIXES_ROWS = {"KonduitAI__dl4j-test-resources__keras-attention.h5"}
"""Its attention gets (batch, features): what Keras predicts for a row depends on the rest of its batch."""


def real() -> Path | None:
    shared = os.environ.get("DLTOOL_SHARED")
    return Path(shared, "keras", "real") if shared else None


def rows(kind: str) -> list:
    """The names of all files of a kind."""
    if real() is None:
        return [pytest.param("", marks=pytest.mark.skip(reason="DLTOOL_SHARED is not set: the files are not here"))]
    with open(real() / "INDEX.tsv", newline="") as file:
        return [row["file"] for row in csv.DictReader(file, delimiter="\t") if row["kind"].startswith(kind)]


def class_names(value: object) -> set[str]:
    """All classes of layers that a config names, in today's spelling."""
    if isinstance(value, list):
        return set().union(*map(class_names, value))
    if not isinstance(value, dict):
        return set()
    found = set().union(*(class_names(entry) for key, entry in value.items() if not key.endswith("_initializer")))
    config = value.get("config")
    is_layer = isinstance(config, list) or (isinstance(config, dict) and {"name", "layers"} & set(config))
    if isinstance(value.get("class_name"), str) and is_layer:
        name = value["class_name"]
        name = keras1.MERGES.get(config.get("mode"), "Dot") if name == "Merge" else name
        found.add(OLD_CLASSES.get(name, keras1.CLASSES.get(name, name)))
    return found - NO_LAYERS


def config_of(name: str) -> dict:
    with h5py.File(real() / name) as file:
        return json.loads(file.attrs["model_config"])


def skip_unless_registered(name: str) -> None:
    missing = class_names(config_of(name)) - set(LAYERS.names()) - CODE
    if missing:
        pytest.skip(f"needs layers that are not there: {', '.join(sorted(missing))}")


@pytest.mark.parametrize("name", rows("whole-model"))
def test_a_whole_model_predicts_what_keras_recorded_or_is_refused_as_code(name):
    path = real() / name
    if class_names(config_of(name)) & CODE:
        with pytest.raises(ModelFileError, match=r"is a Lambda layer, which is code"):
            read(path)
        return
    skip_unless_registered(name)
    if name in MIXES_ROWS:
        with pytest.raises(ModelFileError, match=r"attention among the rows of a batch is not supported"):
            read(path)
        return
    saved = read(path)
    with np.load(path.with_suffix(".npz")) as arrays:
        inputs = tuple(arrays[key].astype(np.float32) for key in sorted(arrays.files) if key[0] == "x")
        expected = [arrays[key] for key in sorted(arrays.files) if key[0] == "y"]
    with ReferenceExecutor(saved.model, batch_size=len(inputs[0])) as executor:
        found = executor.forward(inputs)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= TOLERANCE * max(1.0, np.abs(other).max())


@pytest.mark.parametrize("name", rows("weights-only"))
def test_a_file_of_weights_says_so_and_how_to_get_a_network(name):
    with pytest.raises(ModelFileError, match=r"holds weights only"):
        read(real() / name)


def test_summary_shows_or_refuses_every_file_in_one_line(shared):
    names = [*rows("whole-model"), *rows("weights-only")]
    server = ForkServer("h5py")
    runs = server.run_all([("summary", real() / name) for name in names], seconds=120)
    server.close()
    for run in runs:
        assert run.code in (0, 4)
        assert bool(run.out) == (run.code == 0)
        if run.code:
            assert run.err.count("\n") == 1
            assert run.err.startswith(f"dltool: error: {run.args[1]}: ")
            allowed = ("is a Lambda layer, which is code", "holds weights only", "is not supported (see")
            assert any(reason in run.err for reason in allowed), run.err


def test_every_file_of_the_index_is_tried(shared):
    assert {*rows("whole-model"), *rows("weights-only")} == {path.name for path in real().glob("*.h5")}
