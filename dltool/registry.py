"""Name -> object, one registry per kind, filled by decorator.

Adding a layer, loss, metric, optimizer or architecture is one decorated definition in its family's file; help,
completion, file format and contract tests follow from the registry. Imports the standard library only.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from dltool.errors import UnknownNameError

T = TypeVar("T")


def nearest(name: str, known: list[str]) -> str | None:
    """The known name most like ``name``, or None when nothing is close.

    Case and underscores do not count; of names that differ in nothing else, ``mean_squared_error`` is given rather
    than ``MeanSquaredError``.
    """
    from difflib import get_close_matches  # a millisecond, which only a typo pays

    folded: dict[str, str] = {}
    for entry in known:
        if entry.islower() or _folded(entry) not in folded:
            folded[_folded(entry)] = entry
    close = get_close_matches(_folded(name), list(folded), n=5, cutoff=0.6)
    return folded[min(close, key=lambda entry: _mistakes(_folded(name), entry))] if close else None


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
