"""The weights of a file layer by layer, by name: of a whole model, or of a file that holds weights only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dltool.errors import ModelFileError
from dltool.modelfile.hdf5 import ModelSource
from dltool.modelfile.loading import load_array
from dltool.modelfile.reading import model_texts, naming, read
from dltool.modelfile.training_config import major

Shapes = tuple[tuple[int, ...], ...]


@dataclass
class StoredLayers:
    """Attributes:
    shapes: layer name -> the shapes of its weights, of all layers with weights.
    arrays: layer name -> its weights, of the layers that were asked for.
    """

    shapes: dict[str, Shapes] = field(default_factory=dict)
    arrays: dict[str, tuple[np.ndarray, ...]] = field(default_factory=dict)


def stored_layers(path: str | os.PathLike[str], wanted: Mapping[str, Shapes]) -> StoredLayers:
    """The layers of a file, with the weights of those that have a wanted name, or end of a name, and its shapes.

    Args:
        wanted: layer name -> the shapes of its weights.

    Raises:
        ModelFileError: not a file with weights under the names of their layers.
    """
    path = os.fspath(path)
    with ModelSource(path) as source, naming(path):
        if source.header["layers"] is not None and not has_config(source):
            return named_groups(source, set(wanted.values()))
        if source.header["variables"] is not None and not has_config(source):
            raise ModelFileError(
                "holds weights without the names of their layers; give the whole model, "
                "or give it a network first: dltool convert IN OUT.h5 --from model.json"
            )
    views = read(path, with_state=False).model.weights.views
    found = {name: tuple(arrays) for name, arrays in views.items() if arrays}
    return StoredLayers({name: tuple(a.shape for a in arrays) for name, arrays in found.items()}, found)


def has_config(source: ModelSource) -> bool:
    return "model_config" in model_texts(source.header)


def named_groups(source: ModelSource, wanted: set[Shapes]) -> StoredLayers:
    """The groups of a file that holds weights only; nothing is loaded whose shapes nobody wants."""
    if major(source.header["root"].get("keras_version", "1")) < 2:
        raise ModelFileError(
            "holds weights of Keras 1; give it a network first: dltool convert IN OUT.h5 --from M.json"
        )
    found = StoredLayers()
    for layer in source.header["layers"]:
        shapes = tuple(source.arrays[number].shape for number in layer["arrays"])
        if shapes:
            found.shapes[layer["name"]] = shapes
        if shapes in wanted:
            found.arrays[layer["name"]] = tuple(load_array(source, number) for number in layer["arrays"])
    return found
