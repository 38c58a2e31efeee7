"""A model in other formats of Keras: ``.keras`` archives and ``.weights.h5`` files of Keras 3, and its JSON.

They hold what Keras knows: class names, preprocessing and the state of training stay behind. Nothing in them depends on
time, host or path.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from typing import Any

import numpy as np

from dltool.engine.graph import Graph
from dltool.engine.model import Model
from dltool.modelfile.atomic import replacing
from dltool.modelfile.keras3_config import KERAS3_VERSION, keras3_model_config
from dltool.modelfile.keras3_variables import folders_of, paths_of
from dltool.modelfile.keras_config import keras_names
from dltool.modelfile.network import Network, upgrade
from dltool.modelfile.saved import SavedModel

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of all members of an archive: the earliest that zip can say."""


def network_of(graph: Graph) -> Network:
    """A graph of the engine as if it had been read from a file of Keras 3."""
    return upgrade(keras3_model_config(graph), KERAS3_VERSION)


def config_text(saved: SavedModel) -> str:
    """What ``model.to_json()`` of Keras 3 gives, with the compile step if there is one."""
    return json.dumps(keras3_model_config(saved.model.graph, saved.training_config))


def write_archive(saved: SavedModel, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Write a ``.keras`` archive that Keras 3 opens. Raises OutputError."""
    members = {
        "metadata.json": json.dumps({"keras_version": KERAS3_VERSION}).encode(),
        "config.json": config_text(saved).encode(),
        "model.weights.h5": weights_bytes(saved.model),
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data)
    write_whole(path, file.getvalue(), overwrite)


def write_weights(saved: SavedModel, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Write a ``.weights.h5`` file, for ``model.load_weights`` of Keras 3 and tf.keras. Raises OutputError."""
    write_whole(path, weights_bytes(saved.model), overwrite)


def write_config(saved: SavedModel, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Write the JSON of ``config_text``. Raises OutputError."""
    write_whole(path, (config_text(saved) + "\n").encode(), overwrite)


def write_whole(path: str | os.PathLike[str], data: bytes, overwrite: bool) -> None:
    with replacing(path, len(data), overwrite=overwrite) as descriptor, open(descriptor, "wb", closefd=False) as file:
        file.write(data)


def weights_bytes(model: Model) -> bytes:
    """An HDF5 file in Keras 3's own layout."""
    os.environ.setdefault("HDF5_PLUGIN_PRELOAD", "::")  # this process may read files with h5py later
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w", libver=("earliest", "v108")) as root:
        put_variables(root, model)
        root.create_group("vars")
    return file.getvalue()


def put_variables(root: Any, model: Model) -> None:
    """One folder per layer, in the order of the config; those without weights have an empty one, as in Keras."""
    graph = model.graph
    own_names = {keras: name for name, keras in keras_names(graph).items()}
    plain = network_of(graph).plain
    for path, keras_name in paths_of(plain, 3):
        name = own_names[keras_name]
        specs, views = graph.specs[name], model.weights.views[name]
        counts: dict[str, int] = {}
        root.require_group(f"{path}/vars")
        for inner, spec, view in zip(folders_of(graph.layers[name], specs), specs, views, strict=True):
            folder = root.require_group(f"{path}/{inner}/vars" if inner else f"{path}/vars")
            number = counts.get(inner, 0)
            counts[inner] = number + 1
            # Keras counts the adapted samples of a Normalization in an integer.
            data = np.int64(view) if spec.name == "count" and spec.shape == () else view
            folder.create_dataset(str(number), data=data, track_times=False)
