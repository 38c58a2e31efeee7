"""Image files as a data set, decoded when first fetched and kept in memory while there is room.

Imports numpy, ``dltool.engine.batch`` and ``dltool.errors``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from dltool.data.capacity import store_limit
from dltool.data.images import ImageReader
from dltool.data.listing import Listing, taken
from dltool.data.parallel import map_in_order
from dltool.data.shapes import Shape, WantedShape, matches, shapes_text
from dltool.engine.batch import Batch
from dltool.errors import DataError


class PixelStore:
    """Decoded images kept in memory, filled as rows are first needed, shared by all threads and epochs.

    Args:
        num_rows, shape: of the data set. limit: bytes; when not all rows fit, the first ones are kept.
    """

    def __init__(self, num_rows: int, shape: Shape, limit: int):
        row_bytes = max(1, int(np.prod(shape, dtype=np.int64)))
        self.capacity = max(0, min(num_rows, limit // row_bytes))
        try:
            self._pixels = np.empty((self.capacity, *shape), np.uint8)  # untouched pages cost nothing
        except MemoryError:
            self.capacity = 0
            self._pixels = np.empty((0, *shape), np.uint8)
        self._filled = np.zeros(num_rows, bool)
        self._lock = threading.Lock()

    @property
    def num_bytes(self) -> int:
        """What it takes when full."""
        return self._pixels.nbytes

    def has(self, rows: np.ndarray | None = None) -> np.ndarray:
        """(n,) bool: which rows are here."""
        with self._lock:
            return self._filled.copy() if rows is None else self._filled[rows]

    def put(self, row: int, pixels: np.ndarray) -> None:
        """Keep one row if there is room. Two threads may put the same row: they hold the same bytes."""
        if row < self.capacity:
            self._pixels[row] = pixels
            with self._lock:
                self._filled[row] = True

    def take(self, rows: np.ndarray) -> np.ndarray:
        return self._pixels.take(rows, axis=0)

    def __getitem__(self, row: int) -> np.ndarray:
        return self._pixels[row]


class ImageFolder:
    """Images on disk, decoded when first fetched.

    Args:
        listing: the files and their classes (or numbers), with weights and groups where those are known.
        reader: decides size and colour.
        limit: bytes of decoded pixels to keep; None: a quarter of the available memory.
    """

    def __init__(self, listing: Listing, reader: ImageReader, limit: int | None = None):
        self.listing, self.reader = listing, reader
        self.labels, self.targets = listing.labels, (listing.labels,)
        self.weights, self.groups = listing.weights, listing.groups
        self.classes: tuple[str, ...] | None = listing.classes
        self.store = PixelStore(len(listing), reader.shape, store_limit() if limit is None else limit)

    def __len__(self) -> int:
        return len(self.listing)

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (self.reader.shape,)

    @property
    def fingerprint(self) -> str:
        return self.listing.fingerprint()

    def fetch(self, rows: np.ndarray) -> Batch:
        return Batch((self._pixels(rows),), (self.labels[rows],), taken(self.weights, rows), rows)

    def _pixels(self, rows: np.ndarray) -> np.ndarray:
        there = self.store.has(rows)
        if there.all():
            return self.store.take(rows)
        pixels = np.empty((len(rows), *self.reader.shape), np.uint8)
        for place, row in enumerate(rows.tolist()):
            if there[place]:
                pixels[place] = self.store[row]
            else:
                pixels[place] = self.reader.read(self.listing.paths[row])
                self.store.put(row, pixels[place])
        return pixels

    def names(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        return [self.listing.paths[int(row)] for row in rows]

    def is_ready(self, rows: np.ndarray | None = None) -> bool:
        return bool(self.store.has(rows).all())

    def adapt_to(self, shapes: Sequence[WantedShape]) -> ImageFolder:
        if len(shapes) == 1 and matches(self.reader.shape, shapes[0]):
            return self
        size = "x".join(map(str, self.reader.shape))
        raise DataError(f"{self.listing.paths[0]}: images are read as {size}, the model wants {shapes_text(shapes)}")

    def decode_all(self, workers: int) -> dict[int, DataError]:
        """Decode every row, keeping what fits in memory.

        Returns:
            position -> what is wrong, for the files that cannot be read.
        """
        rows = range(len(self))
        results = map_in_order(self._decode, rows, workers)
        return {row: error for row, error in zip(rows, results, strict=True) if error is not None}

    def _decode(self, row: int) -> None:
        self.store.put(row, self.reader.read(self.listing.paths[row]))
