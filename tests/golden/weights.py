"""Which weight of our model a recorded array belongs to: by position, as Keras itself loads them."""

from itertools import groupby

import numpy as np

from dltool.modelfile.saved import SavedModel

MODELS = {"Sequential", "Functional"}
"""Classes in a case's list of layers that are models; reading flattens them."""


def recorded_weights(saved: SavedModel, arrays: dict[str, np.ndarray], prefix: str) -> list[tuple[str, np.ndarray]]:
    """(key, our view) for every array ``prefix:layer/.../weight``; ``grad`` gives views of the gradient.

    A nested model's arrays are all its trainable weights, then all others.
    """
    graph, store = saved.model.graph, saved.model.weights
    keys = [key for key in arrays if key.startswith(f"{prefix}:")]
    found = []
    for top, group in groupby(keys, key=lambda key: key.partition(":")[2].split("/")[0]):
        names = [name for name in graph.specs if name == top or name.startswith(f"{top}/")]
        slots = [(name, index) for name in names for index in range(len(graph.specs[name]))]
        trains = {slot: graph.specs[slot[0]][slot[1]].trainable and graph.layers[slot[0]].trainable for slot in slots}
        if names != [top]:
            slots.sort(key=lambda slot: not trains[slot])
        if prefix == "grad":
            slots = [slot for slot in slots if trains[slot]]
        views = store.gradients if prefix == "grad" else store.views
        found += [(key, views[name][index]) for key, (name, index) in zip(group, slots, strict=True)]
    return found
