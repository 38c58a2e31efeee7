"""What option values may look like. Every refusal says what was read, what was expected, and the nearest name."""

import math
import os
import re
from collections.abc import Iterable
from typing import Any

import click

from dltool.errors import UsageError
from dltool.names import AUGMENT_PRESETS, AUGMENTATIONS
from dltool.registry import nearest


class NameType(click.ParamType):
    """A registered name; with ``spec`` followed by ``:key=value,...``. Gives the text as typed.

    Args:
        known: the names; a mapping name -> options also checks the keys of a spec, and where the options map to kinds
            (``"number"``) or default values, what is written for them.
        aliases: short name -> name.
    """

    def __init__(self, kind: str, known: Iterable[str], aliases: dict[str, str] | None = None, spec: bool = False):
        self.name = kind
        self.known, self.aliases, self.spec = known, aliases or {}, spec

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name, colon, rest = value.partition(":") if self.spec else (value, "", "")
        full = self.aliases.get(name, name)
        if full not in self.known:
            close = nearest(name, [*self.aliases, *self.known])
            advice = f"did you mean {close!r}?" if close else f"known: {', '.join(self.known)}"
            self.fail(f"unknown {self.name} {name!r}; {advice}", param, ctx)
        if colon and isinstance(self.known, dict):
            self._check_options(name, rest, self.known[full], param, ctx)
        return value

    def _check_options(self, name: str, rest: str, options: Any, param: Any, ctx: Any) -> None:
        from dltool.architectures.literals import split_outside

        try:
            parts = split_outside(rest, ",", f"{name}:{rest}", keep_empty=True)
        except UsageError as error:
            self.fail(str(error), param, ctx)
        for part in parts:
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals:
                first = next(iter(options), "key")
                self.fail(f"{part!r} is no key=value; write {name}:{first}=VALUE", param, ctx)
            if key not in options:
                close = nearest(key, list(options))
                advice = f"did you mean {close!r}?" if close else f"it has {', '.join(options) or 'no options'}"
                self.fail(f"{name} has no option {key!r}; {advice}", param, ctx)
            if isinstance(options, dict):
                self._check_value(f"{name}:{key}", value, options[key], param, ctx)

    def _check_value(self, where: str, text: str, kind: Any, param: Any, ctx: Any) -> None:
        """``kind`` is a word of ``dltool.names``, or the default value of an architecture's option."""
        from dltool.architectures.literals import EXPECTED, fits, literal

        if not isinstance(kind, str):
            kind = {float: "number", bool: "flag"}.get(type(kind), "int")
        value = literal(text)
        if text == "" or not fits(kind, value):
            self.fail(f"{where} must be {EXPECTED.get(kind, 'a value')}, not {text!r}", param, ctx)


class PerOutput(click.ParamType):
    """``VALUE``, or ``NAME=VALUE`` for one of a model's outputs; the value is of another type."""

    def __init__(self, inner: click.ParamType):
        self.name, self.inner = inner.name, inner

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name, equals, rest = value.partition("=")
        if not equals or ":" in name:
            return str(self.inner.convert(value, param, ctx))
        return f"{name}={self.inner.convert(rest, param, ctx)}"


class ChoiceType(click.ParamType):
    """One of a few words."""

    def __init__(self, name: str, *choices: str):
        self.name, self.choices = name, choices

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return "|".join(self.choices)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.choices:
            close = nearest(value, list(self.choices))
            advice = f"did you mean {close!r}?" if close else f"give one of {', '.join(self.choices)}"
            self.fail(f"unknown {self.name} {value!r}; {advice}", param, ctx)
        return value


class SizeType(click.ParamType):
    """28x28x1 or 784: the shape of one sample. ``dimensions`` fixes how many numbers are wanted."""

    name = "size"

    def __init__(self, dimensions: int | None = None, example: str = "28x28x1"):
        self.dimensions, self.example = dimensions, example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = value.lower().replace("×", "x").split("x")
        good = all(part.isascii() and part.isdigit() and 0 < int(part) < 2**31 for part in parts if len(part) < 11)
        if not good or any(len(part) > 10 or not part for part in parts):
            self.fail(f"{value!r} is not a size; write it as {self.example}", param, ctx)
        if self.dimensions is not None and len(parts) != self.dimensions:
            self.fail(
                f"{value!r} has {len(parts)} numbers, {self.dimensions} are needed; write it as {self.example}",
                param,
                ctx,
            )
        return tuple(int(part) for part in parts)


class NumberType(click.ParamType):
    """A number within bounds, ``low <= x <= high`` (or ``low < x`` where ``open_low``)."""

    def __init__(self, number: type, low: float, high: float = math.inf, expected: str = "", open_low: bool = False):
        self.name = "number"
        self.number, self.low, self.high, self.open_low, self.expected = number, low, high, open_low, expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            found = self.number(value)
        except ValueError:
            self.fail(f"{value!r} is not {self.expected}", param, ctx)
        if not (self.low <= found <= self.high and math.isfinite(found)) or (self.open_low and found == self.low):
            limit = f", {self.high:,} at most" if found > self.high > 1 else ""  # parts of 1 say it themselves
            self.fail(f"{value} is out of range; give {self.expected}{limit}", param, ctx)
        return found


class NamesType(click.ParamType):
    """Comma-separated names, or a file with one name per line."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        found = self._lines(value, param, ctx) if "," not in value and os.path.isfile(value) else value.split(",")
        found = without_numbers([name.strip() for name in found if name.strip()])
        if not found:
            self.fail(f"{value!r} holds no names; write them as cat,dog or give a file with one per line", param, ctx)
        double = next((name for name in found if found.count(name) > 1), None)
        if double is not None:
            self.fail(f"{double!r} is named twice; give each class once", param, ctx)
        return tuple(found)

    def _lines(self, path: str, param: Any, ctx: Any) -> list[str]:
        try:
            with open(path, encoding="utf-8-sig") as file:
                return file.read(1 << 20).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            self.fail(f"{path}: cannot be read as text ({error}); give a file with one name per line", param, ctx)


def without_numbers(names: list[str]) -> list[str]:
    """``0 cat``, ``1 dog``, as Teachable Machine writes labels.txt, without the numbers; other names as they are."""
    parts = [name.partition(" ") for name in names]
    counted = all(first == str(number) and rest for number, (first, _, rest) in enumerate(parts))
    return [rest.strip() for _, _, rest in parts] if counted else names


class ColumnsType(click.ParamType):
    """0,2: columns of an array, counted from 0."""

    name = "columns"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = value.split(",")
        if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
            self.fail(f"{value!r} names no columns; write their numbers from 0, as 0 or 0,2", param, ctx)
        found = tuple(map(int, parts))
        if len(set(found)) < len(found):
            self.fail(f"{value!r} names a column twice; give each once", param, ctx)
        return found


class GateType(click.ParamType):
    """accuracy=0.85: a metric's name and its limit."""

    name = "gate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        if isinstance(value, tuple):
            return value
        name, _, number = value.rpartition("=")
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if not name or not math.isfinite(limit):
            self.fail(f"{value!r} is not NAME=NUMBER; write it as accuracy=0.85", param, ctx)
        return name, limit


class AugmentType(click.ParamType):
    """Presets and augmentations with their amounts, ``medium,mixup=0.2``. Gives the text as typed."""

    name = "augmentation"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        for word in filter(None, (part.strip() for part in value.split(","))):
            name, equals, rest = (part.strip() for part in word.partition("="))
            if name not in AUGMENTATIONS and (name not in AUGMENT_PRESETS or equals):
                known = [*AUGMENTATIONS, *AUGMENT_PRESETS]
                close = nearest(name, [one for one in known if one != name])
                advice = f"did you mean {close!r}?" if close else f"known: {', '.join(known)}"
                self.fail(f"unknown augmentation {word!r}; {advice}", param, ctx)
            if equals and not all(_is_number(text) for text in rest.split(":")):
                self.fail(f"{word!r} gives no number; write it as {name}=0.2", param, ctx)
        return value


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


POSITIVE = NumberType(int, 1, 2**31 - 1, "a whole number from 1 up")
COUNT = NumberType(int, 0, 2**31 - 1, "a whole number from 0 up")
SEED = NumberType(int, 0, 2**63 - 1, "a whole number from 0 up")
FRACTION = NumberType(float, 0.0, 0.99, "a part from 0 to 0.99, as 0.2")
RATE = NumberType(float, 0.0, math.inf, "a number above 0, as 0.001", open_low=True)
AMOUNT = NumberType(float, 0.0, math.inf, "a number from 0 up")
IMAGE_SIZE = SizeType(2, "28x28")
SHAPE = SizeType()
COLOR = ChoiceType("color", "rgb", "gray")
RESIZE = ChoiceType("resize", "stretch", "crop", "pad")
PROBABILITY = NumberType(float, 0.0, 1.0, "a probability from 0 to 1, as 0.7")
BETA = NumberType(float, 0.0, 1000.0, "a number above 0, as 2", open_low=True)
GATE = GateType()
NAMES = NamesType()
COLUMNS = ColumnsType()


class DurationType(click.ParamType):
    """A time in epochs (``2``) or steps (``500steps``). Gives the text as typed."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        number = value.strip().removesuffix("s").removesuffix("step").removesuffix("epoch").strip()
        digits = number.replace(".", "", 1)
        if not (digits.isascii() and digits.isdigit() and len(number) < 16 and float(number)):
            self.fail(f"{value!r} is no time; give epochs as 2, or steps as 500steps", param, ctx)
        return value


DURATION = DurationType()


class RateOrAuto(click.ParamType):
    """A learning rate, or ``auto``."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        return value if value == "auto" else RATE.convert(value, param, ctx)


class ThresholdType(click.ParamType):
    """A probability, or ``auto``."""

    name = "threshold"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        return value if value == "auto" else PROBABILITY.convert(value, param, ctx)


class TimeType(click.ParamType):
    """A span of time, ``90s``, ``5m``, ``1h30m``. Gives seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(?:(\d{1,4})h)?(?:(\d{1,6})m)?(?:(\d{1,8}(?:\.\d{1,3})?)s)?", value)
        sizes = (3600, 60, 1)
        seconds = sum(float(n or 0) * size for n, size in zip(found.groups(), sizes, strict=True)) if found else 0.0
        if not seconds:
            self.fail(f"{value!r} is no time; write it as 90s, 5m or 1h30m", param, ctx)
        return seconds


TIME = TimeType()
