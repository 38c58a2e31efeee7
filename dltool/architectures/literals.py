"""Values inside a word: numbers, fractions, sizes, truth values, names. Imports the standard library only."""

import re
from typing import Any

from dltool.errors import UsageError

_INT = re.compile(r"[+-]?\d{1,18}")
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FRACTION = re.compile(r"([+-]?\d+\.?\d*)/(\d+\.?\d*)")
_SIZE = re.compile(r"\d{1,18}(x\d{1,18})+")
_CONSTANTS = {"true": True, "false": False, "yes": True, "no": False, "none": None}


class Bare(str):
    """A word that is none of the other values: an activation, a padding, a name."""


def literal(text: str) -> Any:
    """What a written value means.

    ``32`` int, ``0.25`` or ``1/255`` float, ``3x3`` or ``(3,3)`` tuple, ``true`` bool, ``none`` None, else Bare.

    >>> literal("1/4"), literal("3x3"), literal("(1,2)"), literal("same")
    (0.25, (3, 3), (1, 2), 'same')
    """
    text = text.strip()
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SIZE.fullmatch(text):
        return tuple(int(part) for part in text.split("x"))
    fraction = _FRACTION.fullmatch(text)
    if fraction and float(fraction[2]):
        return float(fraction[1]) / float(fraction[2])
    if len(text) > 1 and text[0] + text[-1] in ("()", "[]"):
        return tuple(literal(part) for part in split_outside(text[1:-1], ",", text))
    return Bare(text)


EXPECTED = {
    "int": "a whole number",
    "number": "a number",
    "flag": "true or false",
    "size": "a size such as 3 or 3x3",
    "numbers": "a number or (number,number)",
    "text": "a name",
    "layer": "a layer word in brackets, as (lstm:64)",
    "time": "a time such as 2 (epochs) or 500steps",
}
"""What an option of each kind in ``dltool.names`` takes, for messages; "any" takes everything."""


def fits(kind: str, value: Any) -> bool:
    """True when a literal is of an option's kind."""
    if kind == "flag" or isinstance(value, bool):
        return kind in ("flag", "any") and (isinstance(value, bool) or kind == "any")
    if kind == "time":
        return re.fullmatch(r"(\d+\.?\d*|\.\d+) ?(epochs?|steps?)?", str(value)) is not None
    types = {
        "int": int,
        "number": int | float,
        "size": int | tuple,
        "numbers": int | float | tuple,
        "text": Bare,
        "layer": dict,
    }
    return kind == "any" or isinstance(value, types[kind])


def split_outside(text: str, separator: str, word: str, keep_empty: bool = False) -> list[str]:
    """Split at ``separator`` where no bracket is open. Raises UsageError naming ``word`` when brackets do not match."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if depth < 0:
            break
        if character == separator and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    if depth:
        raise UsageError(f"{word}: brackets do not match; close every '(' with ')'")
    parts.append(text[start:])
    stripped = [part.strip() for part in parts]
    return stripped if keep_empty else [part for part in stripped if part]


def spec(text: str) -> tuple[str, dict[str, Any]]:
    """``"sgd:momentum=0.9,nesterov=true"`` -> ``("sgd", {"momentum": 0.9, "nesterov": True})``. Raises UsageError."""
    name, _, rest = text.partition(":")
    options: dict[str, Any] = {}
    for part in split_outside(rest, ",", text):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{text}: {part!r} is no key=value; write {name}:key=value,key=value")
        if key.strip() in options:
            raise UsageError(f"{text}: {key.strip()} is given twice; give it once")
        found = literal(value)
        options[key.strip()] = str(found) if isinstance(found, Bare) else found
    return name.strip(), options
