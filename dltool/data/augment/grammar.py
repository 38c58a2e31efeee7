"""``--augment medium,mixup=0.2``: presets and lists of augmentations, from text."""

from __future__ import annotations

import math
from dataclasses import fields

from dltool.data.augment.base import AUGMENTATIONS, Augmentation
from dltool.data.augment.randaugment import changes_nothing
from dltool.errors import UnknownNameError, UsageError
from dltool.registry import nearest

_FLAT = "rotate=10,zoom=0.1,shift=0.05,brightness=0.2,contrast=0.2"
PRESETS = {
    "none": "",
    "light": "hflip,crop=0.125",
    "medium": "hflip,crop=0.125,brightness=0.1,contrast=0.1,cutout=0.25",
    "strong": "hflip,rotate=10,zoom=0.15,crop=0.125,randaugment=2:9,erase=0.25",
    "side-on": f"hflip,{_FLAT}",
    "top-down": f"turn,hflip,{_FLAT}",
    "upright": _FLAT,
}
"""Name -> list. ``side-on`` is for what stands on the ground, ``top-down`` for what is seen from above, ``upright`` for
what must not be mirrored (letters, digits); the others are for photographs of things, rising in strength."""


def parse(text: str) -> tuple[Augmentation, ...]:
    """The augmentations of ``medium``, ``hflip,rotate=15`` or ``medium,mixup=0.2,cutout=0``.

    A later word replaces an earlier one of the same name, in its place; an amount of 0 takes it out.

    Raises:
        UsageError: an unknown name, no number, or one out of range.
    """
    found: dict[str, Augmentation] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        for single in PRESETS[word].split(",") if word in PRESETS else [word]:
            if single:
                operation = _operation(single)
                found[operation.name] = operation
    return tuple(operation for operation in found.values() if not changes_nothing(operation))


def _operation(word: str) -> Augmentation:
    name, equals, rest = (part.strip() for part in word.partition("="))
    try:
        cls = AUGMENTATIONS.get(name)
    except UnknownNameError:
        known = [*AUGMENTATIONS, *PRESETS]
        close = nearest(name, known)
        advice = f"did you mean {close!r}?" if close else f"known: {', '.join(known)}"
        raise UsageError(f"--augment: unknown augmentation {name!r}; {advice}") from None
    if not equals:
        return cls()
    values, most = rest.split(":"), len(fields(cls))
    if len(values) > most:
        raise UsageError(f"--augment: {word!r} has {len(values)} numbers; {name} takes {most}")
    return cls(*(_number(value, word, name) for value in values))


def _number(text: str, word: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"--augment: {word!r} gives no number; write it as {AUGMENTATIONS.get(name)()}")
    return value
