"""JSON from a model file, which may hold anything: parsed within limits."""

from __future__ import annotations

import json
from typing import Any

from dltool.errors import ModelFileError

MAX_VALUES = 1_000_000
"""In one text; 10,000 layers of Keras take 600,000. A list of 16 MiB of brackets would take 400 MB as Python lists."""
MAX_DIGITS = 20
"""Of a whole number: 64 bits."""
MAX_NAME_BYTES = 60_000
"""Of a layer's name: HDF5 keeps names of weights in attributes of at most 64 KiB."""


def parse_json(text: str, name: str) -> Any:
    """JSON in which no key repeats (two readers could then see two different models).

    Raises:
        ModelFileError: not JSON, a repeated key, or more values or digits than any model needs.
    """
    if sum(map(text.count, ",[{")) > MAX_VALUES:
        raise ModelFileError(f"its {name} holds more than {MAX_VALUES} values; the file is damaged")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ModelFileError(f"its {name} names a key twice; the file is damaged or made to deceive")
        return found

    def whole(digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            raise ModelFileError(f"its {name} holds a number of {len(digits)} digits; the file is damaged")
        return int(digits)

    try:
        return json.loads(text, object_pairs_hook=unique, parse_int=whole)
    except ValueError as error:
        raise ModelFileError(f"its {name} is not valid JSON ({str(error)[:80]}); the file is damaged") from None


def is_layer_name(name: Any) -> bool:
    """Whether a name can be one in a file: text, no steps like "..", nothing that HDF5 cannot store."""
    if not isinstance(name, str) or "\0" in name or any(step in ("", ".", "..") for step in name.split("/")):
        return False
    try:
        return len(name.encode()) <= MAX_NAME_BYTES
    except UnicodeEncodeError:  # half a character pair
        return False
