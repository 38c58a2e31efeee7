"""Name -> object, one registry per kind, filled by decorator.

Adding a layer, loss, metric, optimizer or architecture is one decorated definition in its family's file; help,
completion, file format and contract tests follow from the registry. Imports the standard library only.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from dltool.errors import UnknownNameError, UsageError

T = TypeVar("T")


FEWEST_LETTERS = 3
"""From so many on a beginning says what was meant."""


def nearest(name: str, known: list[str]) -> str | None:
    """The known name most like ``name``, else the only one that begins with it; None when nothing is close.

    Case and underscores do not count; of names that differ in nothing else, ``mean_squared_error`` is given rather
    than ``MeanSquaredError``.
    """
    from difflib import get_close_matches  # a millisecond, which only a typo pays

    folded: dict[str, str] = {}
    for entry in known:
        if entry.islower() or _folded(entry) not in folded:
            folded[_folded(entry)] = entry
    close = get_close_matches(_folded(name), list(folded), n=5, cutoff=0.6)
    if close:
        return folded[min(close, key=lambda entry: _mistakes(_folded(name), entry))]
    begun = [entry for entry in folded if len(name) >= FEWEST_LETTERS and entry.startswith(_folded(name))]
    return folded[begun[0]] if len(begun) == 1 else None


def _folded(name: str) -> str:
    return name.casefold().replace("_", "")


def _mistakes(typed: str, meant: str) -> int:
    """How many letters are wrong, missing, too many or exchanged with the next: "adma" is "adam" with one mistake.

    Source: the optimal string alignment distance; Damerau, "A technique for computer detection and correction of
    spelling errors" (1964).
    """
    before, row = [0] * (len(meant) + 1), list(range(len(meant) + 1))
    for i, a in enumerate(typed, 1):
        earlier, before, row = before, row, [i]
        for j, b in enumerate(meant, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == meant[j - 2] and typed[i - 2] == b:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
    return row[-1]


class Registry(Generic[T]):
    """Named objects of one kind.

    >>> LOSSES = Registry("loss")
    >>> @LOSSES.register("mean_squared_error", "mse")
    ... def mean_squared_error(): ...
    >>> LOSSES.get("mse") is mean_squared_error
    True
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._objects: dict[str, T] = {}
        self._aliases: dict[str, str] = {}

    def register(self, name: str, *aliases: str) -> Callable[[T], T]:
        """Decorator: file an object under ``name`` and the shorter ``aliases``."""

        def decorate(obj: T) -> T:
            for key in (name, *aliases):
                if key in self._objects or key in self._aliases:
                    raise ValueError(f"{self.kind} {key!r} is registered twice")
            self._objects[name] = obj
            self._aliases.update(dict.fromkeys(aliases, name))
            return obj

        return decorate

    @contextmanager
    def restored_on_failure(self) -> Iterator[None]:
        """Whatever was registered inside is forgotten when an error ends it."""
        before = dict(self._objects), dict(self._aliases)
        try:
            yield
        except BaseException:
            self._objects, self._aliases = before
            raise

    def forget(self, name: str) -> None:
        """Take an object and its aliases out."""
        del self._objects[name]
        self._aliases = {alias: full for alias, full in self._aliases.items() if full != name}

    def canonical(self, name: str) -> str:
        """The full name behind a name or alias. Raises UnknownNameError with the nearest match."""
        if name in self._objects:
            return name
        if name in self._aliases:
            return self._aliases[name]
        known = [*self._objects, *self._aliases]
        raise UnknownNameError(self.kind, name, nearest(name, known), sorted(self._objects))

    def get(self, name: str) -> T:
        return self._objects[self.canonical(name)]

    def names(self) -> list[str]:
        return sorted(self._objects)

    def aliases(self) -> dict[str, str]:
        return dict(sorted(self._aliases.items()))

    def __contains__(self, name: str) -> bool:
        return name in self._objects or name in self._aliases

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())


NOT_OPTIONS = ("name", "legacy", "unbiased_moving_variance", "schedule")
"""Fields that a user does not set: the layer's name stands before the word, the others keep the arithmetic of files."""


def options_of(cls: Any) -> dict[str, str]:
    """The options of a registered dataclass in Keras's order, ``trainable`` last, each with what it takes."""
    from dataclasses import fields  # here and below: what --help need not pay for

    found = [f for f in fields(cls) if f.init and f.name not in NOT_OPTIONS]
    found.sort(key=lambda f: f.name == "trainable")
    return {f.name: _kind_of(f.name, f.type if isinstance(f.type, str) else _type_name(f.type)) for f in found}


def made_from(registry: Registry[type[T]], value: str | dict[str, Any]) -> T:
    """One of a registry's dataclasses from its name or its Keras config ``{"class_name": "Huber", "config": {...}}``.

    What a class has in ``fixed`` is supported with that value only. A name and a dtype are no options.

    Raises:
        UnknownNameError: it is not registered.
        UsageError: the config has an entry that is not supported; the message names it.
    """
    if isinstance(value, str):
        return registry.get(value)()
    from dataclasses import fields

    cls, label = registry.get(value["class_name"]), f"{registry.kind} {registry.canonical(value['class_name'])}"
    known, found = {f.name for f in fields(cls)}, {}
    for key, entry in (value.get("config") or {}).items():
        if key in cls.fixed and entry != cls.fixed[key]:
            raise UsageError(f"{label}: {key}={entry!r} is not supported; only {cls.fixed[key]!r} is")
        if key in known:
            found[key] = entry
        elif key not in cls.fixed and key not in ("name", "dtype"):
            raise UsageError(f"{label}: has no option {key!r}; it has {', '.join(sorted(known))}")
    return cls(**found)


def schedule_options(cls: Any) -> dict[str, str]:
    """The options of a schedule; times are "time" (``10`` epochs or ``500steps``)."""
    found = {name: kind for name, kind in options_of(cls).items() if name != "learning_rate"}
    return {name: "time" if name in cls.durations else kind for name, kind in found.items()}


def required_of(cls: Any) -> tuple[str, ...]:
    """The options without a default."""
    from dataclasses import MISSING, fields

    return tuple(f.name for f in fields(cls) if f.init and f.default is MISSING and f.default_factory is MISSING)


def _type_name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _kind_of(name: str, annotation: str) -> str:
    """What a constructor option takes, read from its annotation."""
    if "bool" in annotation:
        return "flag"
    if annotation.startswith("Layer"):
        return "layer"
    if annotation in ("str", "str | None") or name.endswith(("_initializer", "_regularizer", "_constraint")):
        return "text"
    if "tuple" in annotation or "Shape" in annotation:
        return "numbers" if "float" in annotation else "size"
    if "float" in annotation:
        return "number"
    return "int" if "int" in annotation else "any"
