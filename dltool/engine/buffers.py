"""Where activations and gradients live while a program runs.

A Buffer is the output of one step (or its gradient) for a batch. It may carry a border of zeros that its consumers
need for 'same' convolutions, so that padding costs nothing: producers write the interior, consumers read it padded.
It is *full* (rows for the whole batch, in shared memory, seen by all lanes) when it outlives one micro-batch, else
*scratch* (rows of one micro-batch, private to a lane and hot in its cache).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from dltool.engine.memory import shared_zeros


@dataclass(frozen=True)
class Padding:
    """Border rows and columns of zeros."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __or__(self, other: Padding) -> Padding:
        """The border that serves both."""
        pairs = zip(self.sides, other.sides, strict=True)
        return Padding(*(max(a, b) for a, b in pairs))

    def __bool__(self) -> bool:
        return any(self.sides)

    @property
    def sides(self) -> tuple[int, int, int, int]:
        return self.top, self.bottom, self.left, self.right


NO_PADDING = Padding()


@dataclass(eq=False)
class Workspace:
    """One lane's private memory: named temporaries that kernels share, and scratch buffers.

    A temporary is valid only inside one call of a kernel; kernels of a lane run one after another, so they share the
    same cache-warm bytes. Programs are bound twice: the first time finds out how large each temporary must be.
    """

    temporaries: dict[str, np.ndarray] = field(default_factory=dict)
    scratch: dict[Storage, np.ndarray] = field(default_factory=dict)
    saved: dict[tuple, object] = field(default_factory=dict)

    def temp(self, name: str, shape: tuple[int, ...], dtype: object = np.float32) -> np.ndarray:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        held = self.temporaries.get(name)
        if held is None or held.size < size:
            held = self.temporaries[name] = aligned(size)
        return held[:size].view(dtype).reshape(shape)


class SharedTemporaries:
    """Memory that all lanes see, which a kernel keeps from one of its stages to the next; kernels take turns in it.

    They ``reserve`` while a program is planned. Memory comes with ``allocate``, before lanes are forked.
    """

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._blocks: dict[str, np.ndarray] = {}

    def reserve(self, name: str, shape: tuple[int, ...]) -> None:
        """Ask for room for float32 numbers of a shape."""
        self._sizes[name] = max(self._sizes.get(name, 0), math.prod(shape))

    def allocate(self) -> None:
        self._blocks = {name: shared_zeros(size) for name, size in self._sizes.items()}

    def array(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        return self._blocks[name][: math.prod(shape)].reshape(shape)


def aligned(num_bytes: int) -> np.ndarray:
    """Uninitialised private bytes that start on a cache line (64)."""
    block = np.empty(num_bytes + 64, np.uint8)
    offset = -block.ctypes.data % 64
    return block[offset : offset + num_bytes]


@dataclass(frozen=True)
class Piece:
    """Some work of one lane: rows ``start:stop`` of a batch of ``total`` rows (a shard's micro-batch), or one tile.

    ``first`` says that it is the first micro-batch of its shard, so that sums over a shard start there.
    ``banded``: the tile is a band of image rows, and ``Buffer.interior`` gives just that band. ``lines``: which rows of
    the output those are, where bands are not all equal.
    """

    start: int
    stop: int
    total: int
    workspace: Workspace
    shard: int = 0
    first: bool = True
    tile: int = 0
    num_tiles: int = 1
    banded: bool = False
    lines: slice | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    def temp(self, name: str, shape: tuple[int, ...], dtype: object = np.float32) -> np.ndarray:
        return self.workspace.temp(name, shape, dtype)

    def span(self, size: int) -> slice:
        """This tile's part of an axis of ``size``: the cut depends on the shape only, never on the lanes."""
        return slice(size * self.tile // self.num_tiles, size * (self.tile + 1) // self.num_tiles)

    def band(self, height: int) -> slice:
        """The image rows of this piece: its band, or all."""
        if self.lines is not None:
            return self.lines
        return self.span(height) if self.banded else slice(0, height)


@dataclass(eq=False)
class Storage:
    """Memory for ``rows`` of ``shape`` (border included): ``array`` is shared; without it every lane has its own."""

    rows: int
    shape: tuple[int, ...]
    array: np.ndarray | None = None

    @classmethod
    def full(cls, rows: int, shape: tuple[int, ...]) -> Storage:
        return cls(rows, shape, shared_zeros((rows, *shape)))

    def rows_for(self, piece: Piece) -> np.ndarray:
        if self.array is not None:
            return self.array[piece.start : piece.stop]
        held = piece.workspace.scratch
        if self not in held:
            size = self.rows * math.prod(self.shape) * 4
            held[self] = aligned(size).view(np.float32).reshape(self.rows, *self.shape)
            held[self][...] = 0
        return held[self][: len(piece)]


class Buffer:
    """Float32 rows of ``shape`` with a border; see the module's docstring.

    It has no memory until ``storage`` is set. A border needs a shape (height, width, channels).
    """

    def __init__(self, shape: tuple[int, ...], padding: Padding = NO_PADDING):
        self.shape, self.padding = tuple(shape), padding
        self.storage: Storage | None = None
        self.source: Buffer | None = None

    @classmethod
    def alias(cls, source: Buffer, shape: tuple[int, ...]) -> Buffer:
        """The same memory under another row shape; the source must have no border."""
        buffer = cls(shape)
        buffer.source = source
        return buffer

    @property
    def root(self) -> Buffer:
        """The buffer whose memory this is."""
        return self.source.root if self.source else self

    @property
    def padded_shape(self) -> tuple[int, ...]:
        if not self.padding:
            return self.shape
        height, width, channels = self.shape
        top, bottom, left, right = self.padding.sides
        return height + top + bottom, width + left + right, channels

    @property
    def is_full(self) -> bool:
        """True when all lanes see all rows of a batch."""
        storage = self.root.storage
        return storage is not None and storage.array is not None

    def padded(self, piece: Piece) -> np.ndarray:
        """The piece's rows with their border."""
        if self.source is not None:
            return self.source.image(piece).reshape(len(piece), *self.shape)
        return self.storage.rows_for(piece)

    def image(self, piece: Piece) -> np.ndarray:
        """The piece's rows without the border."""
        rows = self.padded(piece)
        if not self.padding:
            return rows
        top, _, left, _ = self.padding.sides
        return rows[:, top : top + self.shape[0], left : left + self.shape[1]]

    def interior(self, piece: Piece) -> np.ndarray:
        """As ``image``, but only the piece's band of image rows where it is one."""
        rows = self.image(piece)
        return rows[:, piece.band(self.shape[0])] if piece.banded else rows
