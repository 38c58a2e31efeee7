"""Operations of Keras 3 whose numbers are those of the input in other places. Imports engine basics only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Shape, describe, normalize
from dltool.engine.layers.core import positive
from dltool.engine.layers.operations import Operation, axes_of
from dltool.errors import UsageError

Key = int | str | None | tuple[int | None, ...]
"""A part of a subscript: an index, "..." for all axes between, None for a new axis, (start, stop, step) for a slice."""

WHOLE = (None, None, None)


@dataclass(frozen=True)
class Rearranging(Operation):
    """Base of operations whose numbers are some of the input's: ``pick`` is any NumPy indexing without repetition."""

    def pick(self, shape: tuple[int, ...]) -> tuple[Any, ...]:
        """What to write between brackets for an input of ``shape``, batch included."""
        raise NotImplementedError(type(self).__name__)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        place = self.pick(x.shape)

        def backward(dy: Array) -> tuple[Array, tuple]:
            dx = np.zeros_like(x)
            dx[place] = dy
            return dx, ()

        return x[place].copy(), backward


@LAYERS.register("GetItem")
@dataclass(frozen=True)
class GetItem(Rearranging):
    """A part of every sample, ``x[key]``: (None, None, None) is a whole axis, -1 the last place, "..." all axes
    between.

    ``key`` begins with the batch, which must be whole. Keras gives it in the call.
    """

    key: tuple[Key, ...]

    def __post_init__(self) -> None:
        key = tuple(tuple(part) if isinstance(part, list) else part for part in self.key)
        normalize(self, key=key)
        if not all(is_key(part) for part in key) or key.count("...") > 1:
            raise UsageError(f"key {key}: give indices, slices (start, stop, step), None for a new axis, or one '...'")
        if key[:1] not in ((WHOLE,), ("...",)):
            raise UsageError(f"key {key}: takes some rows of the batch; a layer keeps them all")

    def whole_key(self, ndim: int) -> list[Key]:
        """The key for an array of ``ndim`` axes, one part per axis and new axis. Raises UsageError."""
        taken = sum(part is not None and part != "..." for part in self.key)
        if taken > ndim or (taken == ndim and self.key[0] == "..."):
            raise UsageError(f"key {self.key} is for {taken} axes, but its input has {ndim} with the batch")
        place = self.key.index("...") if "..." in self.key else len(self.key)
        return [*self.key[:place], *[WHOLE] * (ndim - taken), *self.key[place + 1 :]]

    def output_shape(self, shape: Shape) -> Shape:
        sizes, found = iter((1, *shape)), []
        for part in self.whole_key(len(shape) + 1):
            size = 1 if part is None else next(sizes)
            if isinstance(part, int) and size is not None and not -size <= part < size:
                raise UsageError(f"index {part}: its input {describe(shape)} has {size} places there")
            if part is None or part == WHOLE:
                found.append(size)
            elif not isinstance(part, int):
                found.append(None if size is None else len(range(*slice(*part).indices(size))))
        return tuple(found[1:])

    def pick(self, shape: tuple[int, ...]) -> tuple[Any, ...]:
        return tuple(slice(*part) if isinstance(part, tuple) else part for part in self.whole_key(len(shape)))


def is_key(part: Any) -> bool:
    if isinstance(part, tuple):
        return len(part) == 3 and all(size is None or type(size) is int for size in part) and part[2] != 0
    return part is None or part == "..." or type(part) is int


@LAYERS.register("Split")
@dataclass(frozen=True)
class Split(Rearranging):
    """One of ``indices_or_sections`` equal parts along ``axis``: ``index`` counts from 0.

    Not as in Keras, where one call gives all of them; model files are written so.
    """

    indices_or_sections: int
    axis: int = -1
    index: int = 0

    def __post_init__(self) -> None:
        normalize(self, indices_or_sections=positive("indices_or_sections", self.indices_or_sections))
        if not 0 <= self.index < self.indices_or_sections:
            raise UsageError(f"index {self.index}: there are {self.indices_or_sections} parts, counted from 0")

    def output_shape(self, shape: Shape) -> Shape:
        axis = self.place_of(self.axis, len(shape) + 1) - 1
        size = shape[axis]
        if size is not None and size % self.indices_or_sections:
            raise UsageError(f"{size} places do not make {self.indices_or_sections} equal parts")
        return (*shape[:axis], None if size is None else size // self.indices_or_sections, *shape[axis + 1 :])

    def pick(self, shape: tuple[int, ...]) -> tuple[Any, ...]:
        axis = self.place_of(self.axis, len(shape))
        size = shape[axis] // self.indices_or_sections
        return (*[slice(None)] * axis, slice(self.index * size, (self.index + 1) * size))


@LAYERS.register("Flip")
@dataclass(frozen=True)
class Flip(Rearranging):
    """The other way round along ``axis``."""

    axis: int | tuple[int, ...]

    def __post_init__(self) -> None:
        normalize(self, axis=axes_of(self.axis))

    def output_shape(self, shape: Shape) -> Shape:
        for axis in self.axis:
            self.place_of(axis, len(shape) + 1)
        return shape

    def pick(self, shape: tuple[int, ...]) -> tuple[Any, ...]:
        turned = {self.place_of(axis, len(shape)) for axis in self.axis}
        return tuple(slice(None, None, -1 if axis in turned else None) for axis in range(len(shape)))


@LAYERS.register("ExpandDims")
@dataclass(frozen=True)
class ExpandDims(Operation):
    """A new axis of one place at ``axis``."""

    axis: int

    def __post_init__(self) -> None:
        normalize(self, axis=int(self.axis))

    def output_shape(self, shape: Shape) -> Shape:
        axis = self.place_of(self.axis, len(shape) + 2) - 1
        return (*shape[:axis], 1, *shape[axis:])

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        y = np.expand_dims(x, self.place_of(self.axis, x.ndim + 1))
        return y, lambda dy: (dy.reshape(x.shape), ())


@LAYERS.register("Squeeze")
@dataclass(frozen=True)
class Squeeze(Operation):
    """Without the axes that have one place: those of ``axis``, by default all that are known to."""

    axis: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        normalize(self, axis=None if self.axis is None else axes_of(self.axis))

    def output_shape(self, shape: Shape) -> Shape:
        axes = [self.place_of(axis, len(shape) + 1) - 1 for axis in self.axis or ()]
        gone = [axis for axis, size in enumerate(shape) if size == 1] if self.axis is None else axes
        if any(shape[axis] not in (1, None) for axis in gone):
            raise UsageError(f"axis {self.axis}: its input is {describe(shape)}, and only axes of size 1 can go")
        return tuple(size for axis, size in enumerate(shape) if axis not in gone)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        return x.reshape(len(x), *self.output_shape(x.shape[1:])), lambda dy: (dy.reshape(x.shape), ())


@LAYERS.register("Stack")
@dataclass(frozen=True)
class Stack(Operation):
    """Its inputs, all of one shape, side by side along a new ``axis``."""

    axis: int = 1

    joins: ClassVar[bool] = True

    def output_shape(self, shape: tuple[Shape, ...]) -> Shape:
        if len(set(shape)) > 1:
            raise UsageError(f"cannot stack {describe(shape)}; they must be equal")
        axis = self.place_of(self.axis, len(shape[0]) + 2) - 1
        return (*shape[0][:axis], len(shape), *shape[0][axis:])

    def forward(self, x: tuple[Array, ...], weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        axis = self.place_of(self.axis, x[0].ndim + 1)
        return np.stack(x, axis), lambda dy: (tuple(np.moveaxis(dy, axis, 0).copy()), ())


@LAYERS.register("Tile")
@dataclass(frozen=True)
class Tile(Operation):
    """Every axis ``repeats`` times one after the other: (1, 3, 1) has each sequence three times."""

    repeats: tuple[int, ...]

    def __post_init__(self) -> None:
        normalize(self, repeats=tuple(positive("repeats", count) for count in self.repeats))
        if self.repeats[:1] != (1,):
            raise UsageError(f"repeats {self.repeats}: the first is the batch's and must be 1")

    def output_shape(self, shape: Shape) -> Shape:
        if len(self.repeats) != len(shape) + 1:
            raise UsageError(f"repeats {self.repeats} are for {len(self.repeats)} axes, its input has {len(shape) + 1}")
        return tuple(None if s is None else s * count for s, count in zip(shape, self.repeats[1:], strict=True))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        cut = tuple(size for pair in zip(self.repeats, x.shape, strict=True) for size in pair)
        return np.tile(x, self.repeats), lambda dy: (dy.reshape(cut).sum(tuple(range(0, 2 * x.ndim, 2))), ())


@LAYERS.register("Pad")
@dataclass(frozen=True)
class Pad(Operation):
    """Numbers around every sample: ``pad_width`` has (before, after) for each axis, (0, 0) first for the batch.

    ``mode``: constant (``constant_values``), reflect, or symmetric.
    """

    pad_width: tuple[tuple[int, int], ...]
    mode: str = "constant"
    constant_values: float = 0.0

    def __post_init__(self) -> None:
        width = tuple((int(before), int(after)) for before, after in self.pad_width)
        normalize(self, pad_width=width, constant_values=float(self.constant_values or 0.0))
        if width[:1] != ((0, 0),) or min(min(pair) for pair in width) < 0:
            raise UsageError(f"pad_width {width}: begin with (0, 0) for the batch; no number is below 0")
        if self.mode not in ("constant", "reflect", "symmetric"):
            raise UsageError(f"mode {self.mode!r} is not supported; use constant, reflect or symmetric")

    def output_shape(self, shape: Shape) -> Shape:
        if len(self.pad_width) != len(shape) + 1:
            raise UsageError(f"pad_width is for {len(self.pad_width)} axes, its input has {len(shape) + 1}")
        return tuple(None if s is None else s + sum(pair) for s, pair in zip(shape, self.pad_width[1:], strict=True))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        options = {"constant_values": self.constant_values} if self.mode == "constant" else {}
        y = np.pad(x, self.pad_width, self.mode, **options)
        inside = tuple(slice(before, before + size) for (before, _), size in zip(self.pad_width, x.shape, strict=True))

        def backward(dy: Array) -> tuple[Array, tuple]:
            if self.mode == "constant":
                return dy[inside].copy(), ()
            sources = np.pad(np.arange(x[0].size).reshape(x.shape[1:]), self.pad_width[1:], self.mode)
            dx = np.zeros((len(x), x[0].size), dy.dtype)
            np.add.at(dx.T, sources.reshape(-1), dy.reshape(len(x), -1).T)
            return dx.reshape(x.shape), ()

        return y, backward


@LAYERS.register("DepthToSpace")
@dataclass(frozen=True)
class DepthToSpace(Operation):
    """Channels of an image as pixels: ``block_size`` times higher and wider, with the square of it fewer channels.

    Source: Shi et al., arXiv:1609.05158 (sub-pixel convolution).
    """

    block_size: int

    def __post_init__(self) -> None:
        normalize(self, block_size=positive("block_size", self.block_size))

    def output_shape(self, shape: Shape) -> Shape:
        b = self.block_size
        if len(shape) != 3 or shape[-1] is None or shape[-1] % (b * b):
            raise UsageError(f"needs an image whose channels are a multiple of {b * b} but gets {describe(shape)}")
        return *(None if size is None else size * b for size in shape[:2]), shape[-1] // (b * b)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        return enlarged(x, self.block_size), lambda dy: (shrunk(dy, self.block_size), ())


@LAYERS.register("SpaceToDepth")
@dataclass(frozen=True)
class SpaceToDepth(Operation):
    """The inverse of DepthToSpace: pixels of an image as channels."""

    block_size: int

    def __post_init__(self) -> None:
        normalize(self, block_size=positive("block_size", self.block_size))

    def output_shape(self, shape: Shape) -> Shape:
        b = self.block_size
        if len(shape) != 3 or any(size is not None and size % b for size in shape[:2]):
            raise UsageError(f"needs an image whose sides are multiples of {b} but gets {describe(shape)}")
        return *(None if size is None else size // b for size in shape[:2]), shape[-1] * b * b

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        return shrunk(x, self.block_size), lambda dy: (enlarged(dy, self.block_size), ())


def enlarged(x: Array, block: int) -> Array:
    rows, height, width, channels = x.shape
    parts = x.reshape(rows, height, width, block, block, -1).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape(rows, height * block, width * block, channels // block**2)


def shrunk(x: Array, block: int) -> Array:
    rows, height, width, channels = x.shape
    parts = x.reshape(rows, height // block, block, width // block, block, channels).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape(rows, height // block, width // block, channels * block**2)
