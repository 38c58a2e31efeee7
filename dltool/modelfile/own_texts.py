"""The JSON texts under ``/dltool``: parsed and checked. The digest finds damage; these checks are for forged files.

Everything that the commands rely on has its type and range afterwards, so that no value of a file becomes an error of
ours in the middle of the work.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dltool.errors import ModelFileError
from dltool.modelfile.json_text import parse_json

LAYOUT_VERSION = 1
"""Of the ``/dltool`` group; a file with a later one needs a later dltool."""
MAX_COUNT = 2**53


def own_texts(own: dict[str, Any]) -> dict[str, Any]:
    """The JSON values of the ``/dltool`` group. Raises ModelFileError for a layout of the future and wrong values."""
    texts = own["texts"]
    version = texts.get("version", "")
    if not version.isdigit() or int(version) > LAYOUT_VERSION:
        raise ModelFileError(f"was written by a later dltool (layout {version[:20]!r}); update dltool")
    found = {name: parse_json(text, name) for name, text in texts.items() if name not in ("version", "sha256")}
    for name, is_right in CHECKS.items():
        if found.get(name) is not None and not is_right(found[name]):
            raise ModelFileError(f"its {name} cannot be used; the file is damaged or was made by another program")
    return found


def state_counters(state: dict[str, Any]) -> dict[str, Any]:
    """``memory, step, epoch, callbacks`` of ``/dltool/state``. Raises ModelFileError for wrong values."""
    found = parse_json(state["texts"].get("counters", "{}"), "state")
    right = is_record(found) and all(
        name not in found or is_right(found[name])
        for name, is_right in (("memory", is_memory), ("step", is_count), ("epoch", is_count), ("callbacks", is_record))
    )
    if not right:
        raise ModelFileError("its training state cannot be used; the file is damaged or was made by another program")
    return found


def is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_COUNT


def is_number(value: Any) -> bool:
    """A float (NaN too: a loss may be) or a whole number that a float holds."""
    return type(value) is float or (type(value) is int and abs(value) < MAX_COUNT)


def is_record(value: Any) -> bool:
    return isinstance(value, dict)


def is_memory(value: Any) -> bool:
    """The optimizer's small scalars."""
    return is_record(value) and all(is_number(entry) and math.isfinite(entry) for entry in value.values())


def is_graph(value: Any) -> bool:
    """Only as far as ``graph_from_json`` does not check it."""
    return is_record(value) and isinstance(value.get("name"), str) and is_record(value.get("layers"))


def is_classes(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value) and len(set(value)) == len(value)


def is_preprocessing(value: Any) -> bool:
    """Words and sides of images; a window and a horizon of at least 1, and columns, for a series."""
    if not is_record(value):
        return False
    sides = [value.get(name) for name in ("height", "width")]
    words = [value.get(name) for name in ("kind", "color", "resize", "target")]
    columns = value.get("columns")
    steps = [value.get(name) for name in ("window", "horizon")] if value.get("kind") == "series" else []
    return (
        all(side is None or is_count(side) for side in sides)
        and all(word is None or isinstance(word, str) for word in words)
        and all(is_count(step) and step > 0 for step in steps)
        and (columns is None or (isinstance(columns, list) and bool(columns) and all(map(is_count, columns))))
    )


def is_recipe(value: Any) -> bool:
    right = is_record(value) and (value.get("best_epoch") is None or is_count(value["best_epoch"]))
    return right and (value.get("plugins") is None or is_plugins(value["plugins"]))


def is_plugins(value: Any) -> bool:
    """Name and digest of each plugin; they are compared with what the user names, and nothing else."""
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def is_history(value: Any) -> bool:
    """A list with one record per epoch, each with its number."""
    return isinstance(value, list) and all(
        is_record(row)
        and is_count(row.get("epoch"))
        and all(entry is None or isinstance(entry, str) or is_number(entry) for entry in row.values())
        for row in value
    )


def is_training(value: Any) -> bool:
    """Lists of the right things; ``training_from_json`` looks at what they say."""
    kinds: dict[str, Callable[[Any], bool]] = {
        "losses": lambda entry: entry is None or is_record(entry),
        "loss_names": lambda entry: isinstance(entry, str),
        "loss_weights": lambda entry: is_number(entry) and math.isfinite(entry),
        "metrics": lambda entry: (
            isinstance(entry, str) or (is_record(entry) and isinstance(entry.get("class_name"), str))
        ),
        "unknown_metrics": lambda entry: isinstance(entry, str),
    }
    return (
        is_record(value)
        and isinstance(value.get("optimizer_name"), str)
        and all(isinstance(value.get(name), list) and all(map(right, value[name])) for name, right in kinds.items())
    )


CHECKS: dict[str, Callable[[Any], bool]] = {
    "graph": is_graph,
    "classes": is_classes,
    "preprocessing": is_preprocessing,
    "training": is_training,
    "recipe": is_recipe,
    "history": is_history,
    "split": is_record,
    "fingerprint": lambda value: isinstance(value, str),
}
"""Text -> what must hold of its value, where it has one."""
