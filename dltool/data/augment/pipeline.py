"""The augmentations of a training, applied to whole batches: a pure function of seed, epoch and sample."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dltool.data.augment.base import Array, Augmentation, Colour, Erasing, Geometric, Mixing, Size, rounded
from dltool.data.augment.geometry import identity, resample
from dltool.engine.batch import Batch, Mixed
from dltool.engine.buffers import Workspace
from dltool.engine.streams import uniforms
from dltool.errors import UsageError

CHUNK_PIXELS = 16384
"""Pixels worked on at once: float32 planes and indices of so many stay in a second-level cache of 1 MB."""


class Augment:
    """Changes batches at random.

    A sample's random numbers depend on (seed, epoch, sample, kind of augmentation) only: not on threads, on what is
    in the batch, or on which other augmentations there are. Rows are mixed with the next row of their batch, whose
    order depends on seed and epoch.

    Moves come first, composed into one resampling, then colours, then what hides a part; values are rounded and cut to
    ``span`` once. Then rows are mixed.

    Args:
        operations: in the order of their application.
        seed: of the run.
        span: lowest and highest value of a pixel.
    """

    def __init__(self, operations: Sequence[Augmentation], seed: int = 0, span: tuple[float, float] = (0.0, 255.0)):
        self.operations, self.seed, self.span = tuple(operations), seed, span
        self.moves = [o for o in self.operations if isinstance(o, Geometric)]
        self.colours = [o for o in self.operations if isinstance(o, Colour)]
        self.hides = [o for o in self.operations if isinstance(o, Erasing)]
        self.mixes = [o for o in self.operations if isinstance(o, Mixing)]
        self._counters, self._places = self._layout()
        self._local = threading.local()

    def _layout(self) -> tuple[Array, dict[Augmentation, slice]]:
        """Which counters a sample's numbers come from, and where each operation's numbers are among them."""
        counters, places = [], {}
        # Which of several mixing operations acts is drawn too.
        for name, draws, key in [*((o.name, o.draws, o) for o in self.operations), ("which", 1, None)]:
            start, blocks = 4 * len(counters), -(-draws // 4)
            counters += [(zlib.crc32(name.encode()), block) for block in range(blocks)]
            places[key] = slice(start, start + draws)
        return np.array(counters, np.uint64), places

    def draw(self, epoch: int, samples: Array) -> dict[Augmentation | None, Array]:
        """Each operation's random numbers, (n, draws) between 0 and 1."""
        counters = np.empty((len(samples), len(self._counters), 4), np.uint64)
        counters[..., 0], counters[..., 1] = np.asarray(samples)[:, None], epoch
        counters[..., 2:] = self._counters
        numbers = uniforms(self.seed, "augment", counters).reshape(len(samples), -1)
        return {operation: numbers[:, place] for operation, place in self._places.items()}

    def __call__(self, batch: Batch, epoch: int, samples: Array | None = None) -> Batch:
        """The batch with its first input changed.

        Args:
            batch: inputs (n, height, width, channels) or (n, height, width), or of any shape if nothing needs an image;
                uint8 or float32.
            samples: (n,) what keys the random numbers; None: the batch's ``rows``.
        """
        numbers = self.draw(epoch, batch.rows if samples is None else samples)
        rows = batch.inputs[0]
        if self.moves or self.colours or self.hides:
            images = rows if rows.ndim == 4 else rows[..., np.newaxis]
            rows = self.change(images, numbers).reshape(rows.shape)
        if not self.mixes:
            return replace(batch, inputs=(rows, *batch.inputs[1:]))
        rows, share = self.mix(rows, numbers)
        mixed = Mixed(tuple(np.roll(target, -1, axis=0) for target in batch.targets), share)
        return replace(batch, inputs=(rows, *batch.inputs[1:]), mixed=mixed)

    def change(self, images: Array, numbers: dict[Augmentation | None, Array]) -> Array:
        """Everything but mixing; a new array like ``images`` (n, height, width, channels)."""
        result = np.empty_like(images)
        step = max(1, CHUNK_PIXELS // (images.shape[1] * images.shape[2]))
        for start in range(0, len(images), step):
            part = slice(start, start + step)
            planes = self._planes(images[part], {key: u[part] for key, u in numbers.items()})
            for channel, plane in enumerate(planes):
                result[part, ..., channel] = plane
        return result

    def _planes(self, images: Array, numbers: dict[Augmentation | None, Array]) -> Array:
        """(channels, n, height, width) of the changed images, in their own type."""
        count, *size, channels = images.shape
        whole = all(move.whole for move in self.moves)
        room = self._room()
        dtype = images.dtype if whole and not self.colours else np.float32
        planes = room.temp("planes", (channels, count, *size), dtype)
        if self.moves:
            resample(images, self.matrices(numbers, (size[0], size[1])), planes, room, whole)
        else:
            np.copyto(planes, np.moveaxis(images, -1, 0))
        for colour in self.colours:
            colour.recolour(planes, numbers[colour], self.span)
        if self.colours:
            np.clip(planes, np.float32(self.span[0]), np.float32(self.span[1]), out=planes)
        for hide in self.hides:
            hide.erase(planes, numbers[hide], self.span)
        return rounded(planes, images.dtype)

    def _room(self) -> Workspace:
        """This thread's temporaries."""
        if not hasattr(self._local, "room"):
            self._local.room = Workspace()
        return self._local.room

    def matrices(self, numbers: dict[Augmentation | None, Array], size: Size) -> Array:
        """(n, 3, 3) of all moves together; the first acts first."""
        found = identity(len(numbers[None]))
        for move in self.moves:
            found = found @ move.matrices(numbers[move], size)
        return found

    def mix(self, rows: Array, numbers: dict[Augmentation | None, Array]) -> tuple[Array, Array]:
        """Rows joined with the next ones, by one of the mixing operations each; the share of their own."""
        partners, rows = np.roll(rows, -1, axis=0), rows.copy()
        share = np.ones(len(rows), np.float32)
        which = np.floor(numbers[None][:, 0] * len(self.mixes)).astype(int)
        for number, operation in enumerate(self.mixes):
            chosen = np.flatnonzero(which == number)
            part = rows[chosen]
            share[chosen] = operation.mix(part, partners[chosen], numbers[operation][chosen])
            rows[chosen] = part
        return rows, share

    def check(self, shapes: Sequence[tuple[int | None, ...]]) -> None:
        """Raise UsageError when rows of these input shapes cannot be augmented."""
        if len(shapes) > 1:
            raise UsageError(f"--augment: the model has {len(shapes)} inputs; leave it out")
        (shape,) = shapes
        for operation in self.operations:
            if operation.needs_image and (len(shape) not in (2, 3) or min(shape[:2]) < 2):
                raise UsageError(
                    f"--augment: {operation.name} needs images, but rows are {'x'.join(map(str, shape))}; "
                    "give mixup alone, or leave it out"
                )
            if operation.needs_image:
                operation.check_size(shape[:2])
