"""What a search may try: ``lr=1e-4..1e-1:log``, ``dropout=0..0.5``, ``optimizer=adam,sgd``. Standard library only."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dltool.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
RANGE = re.compile(rf"({NUMBER})\.\.({NUMBER})(?::(.*))?")
WHOLE = re.compile(r"[+-]?\d{1,18}")
CONTINUES = re.compile(r"\w+=[^:]*")
"""What follows a comma within one choice: ``sgd:momentum=0.9,nesterov=true``."""
DIGITS = 3
"""Drawn numbers are rounded to so many digits, so that people can type them; finer differences mean nothing."""

Value = int | float | str


@dataclass(frozen=True)
class Parameter:
    """One thing that is tried.

    Attributes:
        name: as ``lr`` or ``arch.width``.
        choices: the values as typed; empty for a range from ``low`` to ``high``, both included.
        log: every factor between them is equally likely, not every difference. whole: whole numbers only.
    """

    name: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Values that between them show whether all can be used: every choice, or both ends."""
        return self.choices or (self._number(self.low), self._number(self.high))

    def draw(self, random: np.random.Generator) -> Value:
        """One value at random; always one number of the generator."""
        part = float(random.random())
        if self.choices:
            return self.choices[int(part * len(self.choices))]
        if self.whole:
            return self._whole(part)
        found = _between(self.low, self.high, part, self.log)
        return min(max(float(f"{found:.{DIGITS}g}"), self.low), self.high)

    def _whole(self, part: float) -> int:
        """Every whole number is half a step to each side, so that both ends come as often as the others."""
        found = _between(self.low - 0.5, self.high + 0.5, part, self.log)
        return int(min(max(math.floor(found + 0.5), self.low), self.high))

    def _number(self, value: float) -> int | float:
        return int(value) if self.whole else value


def _between(low: float, high: float, part: float, log: bool) -> float:
    return low * (high / low) ** part if log else low + part * (high - low)


def parse(text: str) -> Parameter:
    """One ``--try``.

    >>> parse("arch.width=32..256")
    Parameter(name='arch.width', choices=(), low=32.0, high=256.0, log=False, whole=True)

    Raises:
        UsageError: it is no range and no list.
    """
    name, equals, rest = (part.strip() for part in text.partition("="))
    if not equals or not name or not rest:
        raise UsageError(f"--try: {text!r} names nothing to try; write lr=1e-4..1e-1:log or optimizer=adam,sgd")
    if ".." not in rest:
        return Parameter(name, _choices(text, rest))
    found = RANGE.fullmatch(rest)
    if found is None or found[3] not in (None, "log"):
        raise UsageError(f"--try: {text!r} is no range; write {name}=LOW..HIGH or {name}=LOW..HIGH:log")
    low, high, log = float(found[1]), float(found[2]), found[3] == "log"
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"--try: {text!r} rises from {found[1]} to {found[2]}; write the smaller number first")
    if log and low <= 0:
        raise UsageError(f"--try: {text!r} cannot rise by factors from {found[1]}; begin above 0, or leave out :log")
    return Parameter(name, (), low, high, log, all(WHOLE.fullmatch(end) is not None for end in found.groups()[:2]))


def _choices(text: str, rest: str) -> tuple[str, ...]:
    found: list[str] = []
    for part in map(str.strip, rest.split(",")):
        if found and ":" in found[-1] and CONTINUES.fullmatch(part):
            found[-1] += f",{part}"
        else:
            found.append(part)
    if "" in found or len(set(found)) < len(found):
        raise UsageError(f"--try: {text!r} has an empty or double value; write each value once, as optimizer=adam,sgd")
    return tuple(found)


def parse_all(texts: tuple[str, ...]) -> tuple[Parameter, ...]:
    """All of them. Raises UsageError, also when one is given twice or none is."""
    if not texts:
        raise UsageError("--try: missing; say what to try, as --try lr=1e-4..1e-1:log")
    found = tuple(map(parse, texts))
    names = [parameter.name for parameter in found]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise UsageError(f"--try: {double} is given twice; give one range or list for it")
    return found


def draw(space: tuple[Parameter, ...], random: np.random.Generator) -> dict[str, Any]:
    """A value of every parameter, in their order."""
    return {parameter.name: parameter.draw(random) for parameter in space}
