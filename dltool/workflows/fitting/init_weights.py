"""``fit --init-from``: the weights of another file's layers, where names and shapes agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from dltool.engine.graph import describe
from dltool.errors import UsageError
from dltool.modelfile.saved import SavedModel
from dltool.modelfile.stored_layers import Shapes, StoredLayers, stored_layers

MOST_NAMES = 6


def take_weights(saved: SavedModel, path: str) -> tuple[str, ...]:
    """Give the model's layers the weights of the file's layers with the same names and shapes.

    Of a layer inside a nested model the end of its name is enough, if no other has it. A state of training belongs to
    the old weights and is dropped.

    Returns:
        Which layers got weights, and which did not, in words.

    Raises:
        UsageError: no layer fits. ModelFileError: the file cannot be read.
    """
    weights = saved.model.weights
    wanted = {name: tuple(view.shape for view in views) for name, views in weights.views.items() if views}
    stored = stored_layers(path, wanted)
    origin = {name: counterpart(name, wanted, stored) for name in wanted}
    taken = [name for name, other in origin.items() if other in stored.arrays and stored.shapes[other] == wanted[name]]
    left = [f"{name} ({reason(wanted[name], stored, origin[name])})" for name in wanted if name not in taken]
    if not taken:
        raise UsageError(
            f"--init-from: no layer of {path} has the name and the shapes of one here; there are "
            f"{listed(list(stored.shapes)) or 'none'}, here {listed(list(wanted)) or 'none'}; give a model with layers "
            "of these names (dltool summary lists them)"
        )
    for name in taken:
        for view, array in zip(weights.views[name], stored.arrays[origin[name]], strict=True):
            np.copyto(view, array)
    saved.state = None
    notes = [f"{path}: weights taken for {len(taken)} of {len(wanted)} layers: {listed(taken)}"]
    return (*notes, *([f"{path}: nothing for {listed(left)}"] if left else []))


def counterpart(name: str, wanted: dict[str, Shapes], stored: StoredLayers) -> str | None:
    """The layer of the file that is meant by a name: itself, else the only one that ends so."""
    if name in stored.shapes:
        return name
    if Counter(map(end_of, wanted))[end_of(name)] > 1:
        return None
    found = [other for other in stored.shapes if end_of(other) == end_of(name)]
    return found[0] if len(found) == 1 else None


def end_of(name: str) -> str:
    return name.rpartition("/")[2]


def reason(shapes: Shapes, stored: StoredLayers, other: str | None) -> str:
    """Why a layer got nothing: ``not there``, or ``20x2 here, 20x3 there``."""
    if other is None:
        return "not there"
    theirs = stored.shapes[other]
    pairs = [pair for pair in zip(shapes, theirs, strict=False) if pair[0] != pair[1]]
    if not pairs:
        return f"{len(shapes)} weights here, {len(theirs)} there"
    return f"{describe(pairs[0][0])} here, {describe(pairs[0][1])} there"


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
