"""Damaged and forged files: flipped bits, JSON with any value in any place, digests made right again."""

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dltool.modelfile.digest import content_digest

JUNK = (
    *(None, True, False, 0, -1, 1, 2, 3, 7, 100_000, 2**31, 2**63, 10**19, 10**30),
    *(0.5, 1.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", "x", "relu", "valid", "\ud800", "a\0b", "\x1b[31m", "../x", "a" * 5000),
    *([], {}, [[]], [None], [0], [1, 2], [-1, -1], ["a"], [[["x", 0, 0]]]),
    {"class_name": "Dense", "config": {}},
    {"class_name": "L2", "config": {"l2": "x"}},
    {"class_name": "Sequential", "config": []},
)
KEYS = ("units", "inbound_nodes", "activation", "dtype", "name", "class_name", "config", "rate", "axis", "padding")


def flipped(data: bytes, rng: np.random.Generator, most: int = 16, start: int = 0) -> bytes:
    """A copy with 1 to ``most`` flipped bits, from byte ``start`` on."""
    mutant = bytearray(data)
    for position in rng.integers(start, len(data), rng.integers(1, most + 1)):
        mutant[position] ^= 1 << rng.integers(8)
    return bytes(mutant)


def forged(value: Any, rng: random.Random) -> Any:
    """A copy of a JSON value with one to three things in it deleted, doubled, moved, or replaced by junk."""
    box = [copy.deepcopy(value)]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(places_in(box))[1:]
        holder, key = place = rng.choice(places)
        if holder is box and rng.random() < 0.9:
            continue  # replacing everything is rarely interesting
        junk = copy.deepcopy(rng.choice(JUNK))
        dice = rng.random()
        if dice < 0.15 and holder is not box:
            del holder[key]
        elif dice < 0.3:
            source, name = rng.choice(places)
            holder[key] = copy.deepcopy(source[name])
        elif dice < 0.4 and isinstance(holder, dict):
            holder[rng.choice(KEYS)] = junk
        elif dice < 0.45 and isinstance(holder, list) and holder is not box:
            holder.append(copy.deepcopy(holder[key]))
        else:
            place[0][key] = junk
    return box[0]


def places_in(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything inside, the value itself first as (None, None)."""
    pending: list[tuple[Any, Any]] = [(None, None)]
    while pending:
        holder, key = pending.pop()
        yield holder, key
        inner = value if holder is None else holder[key]
        if isinstance(inner, dict):
            pending += [(inner, name) for name in inner]
        elif isinstance(inner, list):
            pending += [(inner, position) for position in range(len(inner))]


def forge_texts(path: Path, rng: random.Random) -> str:
    """Forge one JSON text of a model file in place; the name of the attribute.

    Half of dltool's own files lose ``/dltool`` and are then read as Keras's; in the other half the digest is right.
    """
    with h5py.File(path, "r+") as file:
        own = "dltool" in file and rng.random() < 0.5
        if not own and "dltool" in file:
            del file["dltool"], file.attrs["dltool"]
        if own:
            holder = rng.choice([file["dltool"], file["dltool"], file["dltool"], file["dltool/state"]])
            names = sorted(set(holder.attrs) - {"sha256", "version"})
        else:
            holder = file
            names = [name for name in ("model_config", "model_config", "training_config") if name in file.attrs]
        name = rng.choice(names)
        holder.attrs[name] = json.dumps(forged(json.loads(holder.attrs[name]), rng))
        if own:
            sign(file)
    return name


def sign(file: h5py.File) -> None:
    """Make the digests of a dltool file right, as a forger would."""
    own = file["dltool"]
    texts = {f"/{name}": file.attrs[name] for name in ("model_config", "training_config") if name in file.attrs}
    texts |= {f"/dltool/{name}": str(text) for name, text in own.attrs.items() if name != "sha256"}
    arrays = enumerate(weights_of(file))
    own.attrs["sha256"] = content_digest(texts, ((str(place), dataset[()]) for place, dataset in arrays))
    if "state" in own:
        counters = {"counters": own["state"].attrs["counters"]}
        own["state"].attrs["sha256"] = content_digest(counters, ((n, d[()]) for n, d in sorted(own["state"].items())))


def weights_of(file: h5py.File) -> Iterator[h5py.Dataset]:
    """The weights in the order of the file's lists."""
    for name in file["model_weights"].attrs["layer_names"]:
        layer = file["model_weights"][name]
        yield from (layer[weight] for weight in layer.attrs["weight_names"])
