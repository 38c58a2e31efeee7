"""Image files with their labels, wherever they were named: class folders or lists.

Imports the standard library, numpy and ``dltool.errors``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dltool.errors import DataError


def natural_key(name: str) -> tuple:
    """Sort key with numbers compared as numbers: "img2" before "img10"; equal numbers ("1", "01") by spelling."""
    pieces = re.split(r"([0-9]+)", name)
    # Numbers as (digits, text), not int(): Python refuses to convert very long ones.
    return [_number_key(piece) if i % 2 else (0, piece) for i, piece in enumerate(pieces)], name


def _number_key(digits: str) -> tuple[int, str]:
    significant = digits.lstrip("0")
    return len(significant), significant


@dataclass(frozen=True)
class Listing:
    """The images below one or several roots.

    Attributes:
        paths: what to open, each beginning with its root as the user typed it.
        relative: the same relative to the root, with "/" on every system.
        sizes: (n,) int64 bytes.
        labels: (n,) int64 index into ``classes``, (n, classes) float32 of 0 and 1 where a row may have several, or
            (n, 1) float32 numbers; (n, longest) int64 symbols of strings, see ``strings``.
        classes: class names in natural order; None for numbers.
        ignored: number of entries left out.
        weights: (n,) float32 sample weights, or None for all one.
        groups: (n,) int64, see ``dataset.Dataset``; or None.
    """

    paths: list[str]
    relative: list[str]
    sizes: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] | None
    ignored: int
    weights: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def keep(self, rows: np.ndarray) -> Listing:
        """The same with only some rows."""
        chosen = [int(row) for row in rows]
        return replace(
            self,
            paths=[self.paths[row] for row in chosen],
            relative=[self.relative[row] for row in chosen],
            sizes=self.sizes[rows],
            labels=self.labels[rows],
            weights=taken(self.weights, rows),
            groups=taken(self.groups, rows),
        )

    def with_classes(self, classes: tuple[str, ...]) -> Listing:
        """The same with labels counted in another list of names, which holds all of ours."""
        if self.labels.ndim > 1:
            labels = np.zeros((len(self), len(classes)), np.float32)
            labels[:, [classes.index(name) for name in self.classes]] = self.labels
            return replace(self, labels=labels, classes=classes)
        place = np.array([classes.index(name) for name in self.classes], np.int64)
        return replace(self, labels=place[self.labels] if len(self.labels) else self.labels, classes=classes)

    def with_several(self) -> Listing:
        """The same with labels as rows of 0 and 1."""
        if self.labels.ndim > 1:
            return self
        return replace(self, labels=np.eye(len(self.classes), dtype=np.float32)[self.labels])

    def rows_of(self, label: int) -> np.ndarray:
        """Positions of the rows that have a class."""
        return np.flatnonzero(self.labels == label if self.labels.ndim == 1 else self.labels[:, label])

    def fingerprint(self) -> str:
        """SHA-256 over the sorted relative names, sizes, labels and weights: the same wherever and whenever copied."""
        if self.classes is None:
            labels = [repr(value) for value in self.labels[:, 0].tolist()]
        elif self.labels.dtype.kind == "i" and self.labels.ndim > 1:
            labels = ["\0".join(self.classes[symbol - 1] for symbol in row if symbol) for row in self.labels]
        elif self.labels.ndim > 1:
            labels = ["\0".join(self.classes[i] for i in np.flatnonzero(row)) for row in self.labels]
        else:
            labels = [self.classes[label] for label in self.labels.tolist()]
        weights = [""] * len(self) if self.weights is None else [f"{w!r}\n" for w in self.weights.tolist()]
        lines = sorted(
            f"{name}\0{size}\0{label}\n{weight}".encode("utf-8", "surrogateescape")
            for name, size, label, weight in zip(self.relative, self.sizes.tolist(), labels, weights, strict=True)
        )
        return hashlib.sha256(b"".join(lines)).hexdigest()


def merge(listings: list[Listing], classes: tuple[str, ...] | None = None) -> Listing:
    """Several listings as one; classes of the same name are one class.

    Args:
        classes: names in the order of a model's outputs; the data may lack some. None: all names, in natural order.
            Listings of numbers have no classes.

    Raises:
        DataError: a class that ``classes`` does not have.
    """
    if listings[0].classes is not None:
        present = {name for listing in listings for name in listing.classes}
        if classes is None:
            classes = tuple(sorted(present, key=natural_key))
        for listing in listings:
            _check_known(listing, classes)
        listings = [_drop_unused(listing, classes).with_classes(classes) for listing in listings]
    return Listing(
        [path for listing in listings for path in listing.paths],
        [name for listing in listings for name in listing.relative],
        np.concatenate([listing.sizes for listing in listings]),
        np.concatenate([listing.labels for listing in listings]),
        listings[0].classes,
        sum(listing.ignored for listing in listings),
        joined_weights([(len(listing), listing.weights) for listing in listings]),
    )


def _check_known(listing: Listing, classes: tuple[str, ...]) -> None:
    for label, name in enumerate(listing.classes):
        rows = listing.rows_of(label)
        if name not in classes and rows.size:
            known = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
            raise DataError(
                f"{listing.paths[rows[0]]}: unknown class {name!r}; the classes are {known}; "
                "remove or rename it, or give the right --class-names"
            )


def _drop_unused(listing: Listing, classes: tuple[str, ...]) -> Listing:
    """Leave out empty class folders whose name is not wanted (they got here by --allow-empty)."""
    kept = [label for label, name in enumerate(listing.classes) if name in classes]
    if len(kept) == len(listing.classes):
        return listing
    if listing.labels.ndim > 1:
        return replace(listing, labels=listing.labels[:, kept], classes=tuple(listing.classes[k] for k in kept))
    place = np.full(len(listing.classes), -1, np.int64)
    place[kept] = np.arange(len(kept))
    names = tuple(listing.classes[label] for label in kept)
    return replace(listing, labels=place[listing.labels], classes=names)


def taken(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    """Some rows of what may not be there."""
    return None if values is None else values[rows]


def joined_weights(parts: Sequence[tuple[int, np.ndarray | None]]) -> np.ndarray | None:
    """The weights of several (number of rows, weights or None) one after the other; None when nobody gives any."""
    if all(weights is None for _, weights in parts):
        return None
    return np.concatenate([np.ones(count, np.float32) if weights is None else weights for count, weights in parts])
