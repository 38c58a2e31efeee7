"""Layers that join several inputs. Imports engine basics only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np

from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, describe, normalize
from dltool.engine.layers.row_normalization import unit_length
from dltool.errors import UsageError


@dataclass(frozen=True)
class Merging(Layer):
    """What layers that combine their inputs number by number share.

    Sizes of 1 and missing leading axes are stretched, as in Keras. The output has a mask only where all inputs have
    one: what counts in any of them counts.
    """

    joins: ClassVar[bool] = True

    def output_shape(self, shape: tuple[Shape, ...]) -> Shape:
        if len(shape) < 2:
            raise UsageError("joins several inputs but gets one; give it two or more")
        total = shape[0]
        for other in shape[1:]:
            total = stretched(total, other)
        return total

    def mask_shape(self, shape: tuple[Shape, ...], masks: tuple[Shape | None, ...]) -> Shape | None:
        return None if None in masks else masks[0]

    def output_mask(self, x: tuple[Array, ...], masks: tuple[Array | None, ...]) -> Array:
        return np.logical_or.reduce(masks)

    def combine(self, parts: tuple[Array, ...]) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
        """Arrays with equally many axes -> the output, and the way back to a gradient per part (stretched still)."""
        raise NotImplementedError(type(self).__name__)

    def forward(self, x: tuple[Array, ...], weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        ndim = max(part.ndim for part in x)
        parts = tuple(part.reshape(len(part), *(1,) * (ndim - part.ndim), *part.shape[1:]) for part in x)
        y, back = self.combine(parts)

        def backward(dy: Array) -> tuple[tuple[Array, ...], tuple]:
            found = zip(back(dy), parts, x, strict=True)
            return tuple(folded(d, part.shape).reshape(given.shape) for d, part, given in found), ()

        return y, backward


@LAYERS.register("Add")
@dataclass(frozen=True)
class Add(Merging):
    """The sum of its inputs."""

    def combine(self, parts: tuple[Array, ...]) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
        return sum(parts[1:], parts[0]), lambda dy: (dy,) * len(parts)


@LAYERS.register("Subtract")
@dataclass(frozen=True)
class Subtract(Merging):
    """The first of two inputs less the second."""

    def output_shape(self, shape: tuple[Shape, ...]) -> Shape:
        if len(shape) != 2:
            raise UsageError(f"subtracts two inputs but gets {len(shape)}")
        return super().output_shape(shape)

    def combine(self, parts: tuple[Array, ...]) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
        return parts[0] - parts[1], lambda dy: (dy, -dy)


@LAYERS.register("Multiply")
@dataclass(frozen=True)
class Multiply(Merging):
    """The product of its inputs."""

    def combine(self, parts: tuple[Array, ...]) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
        def back(dy: Array) -> tuple[Array, ...]:
            return tuple(
                reduce(np.multiply, (*parts[:i], *parts[i + 1 :]), dy)  # by division a zero would be lost
                for i in range(len(parts))
            )

        return reduce(np.multiply, parts), back


@LAYERS.register("Average")
@dataclass(frozen=True)
class Average(Merging):
    """The mean of its inputs."""

    def combine(self, parts: tuple[Array, ...]) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
        return sum(parts[1:], parts[0]) / len(parts), lambda dy: (dy / len(parts),) * len(parts)


@dataclass(frozen=True)
class Extreme(Merging):
    """What Maximum and Minimum share; of equal numbers the later input gets the gradient's half, as in TensorFlow."""

    choose: ClassVar[Callable[[Array, Array], Array]]

    def combine(self, parts: tuple[Array, ...]) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
        y, shares = parts[0], [np.ones_like(parts[0])]
        for part in parts[1:]:
            both = type(self).choose(y, part)
            equal = y == part
            of_new = np.where(equal, both.dtype.type(0.5), (both == part).astype(both.dtype))
            shares = [share * (1 - of_new) for share in shares] + [of_new]
            y = both
        return y, lambda dy: tuple(dy * share for share in shares)


@LAYERS.register("Maximum")
@dataclass(frozen=True)
class Maximum(Extreme):
    """The largest of its inputs, number by number."""

    choose = staticmethod(np.maximum)


@LAYERS.register("Minimum")
@dataclass(frozen=True)
class Minimum(Extreme):
    """The smallest of its inputs, number by number."""

    choose = staticmethod(np.minimum)


@LAYERS.register("Dot")
@dataclass(frozen=True)
class Dot(Layer):
    """Products of two inputs summed over one axis of each (``axes``, the batch axis counted as 0).

    The output has the other axes of the first input, then those of the second; one number where none are left.
    ``normalize``: both inputs are divided by their lengths over that axis first (cosine proximity).
    """

    axes: int | tuple[int, int]
    normalize: bool = False

    joins: ClassVar[bool] = True

    def __post_init__(self) -> None:
        axes = self.axes
        normalize(self, axes=int(axes) if isinstance(axes, int) else tuple(int(axis) for axis in axes))

    def _axes(self, ndims: tuple[int, int]) -> tuple[int, int]:
        axes = (self.axes,) * 2 if isinstance(self.axes, int) else self.axes
        found = tuple(axis + ndim if axis < 0 else axis for axis, ndim in zip(axes, ndims, strict=True))
        if not all(1 <= axis < ndim for axis, ndim in zip(found, ndims, strict=True)):
            raise UsageError(f"axes {self.axes}: its inputs have axes 1 to {max(ndims) - 1}; use -1 for the last one")
        return found

    def output_shape(self, shape: tuple[Shape, ...]) -> Shape:
        if len(shape) != 2:
            raise UsageError(f"multiplies two inputs but gets {len(shape)}")
        a, b = self._axes((len(shape[0]) + 1, len(shape[1]) + 1))
        if None not in (shape[0][a - 1], shape[1][b - 1]) and shape[0][a - 1] != shape[1][b - 1]:
            raise UsageError(f"cannot sum products of {describe(shape)} over axes {a} and {b}; make them equal")
        rest = (*shape[0][: a - 1], *shape[0][a:], *shape[1][: b - 1], *shape[1][b:])
        return rest or (1,)

    def forward(self, x: tuple[Array, ...], weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        axes = self._axes((x[0].ndim, x[1].ndim))
        ways = [lambda dy: dy] * 2
        parts = list(x)
        if self.normalize:
            for i in (0, 1):
                parts[i], ways[i] = unit_length(x[i], axes[i])
        # each part as (n, others, summed)
        moved = [np.moveaxis(part, axis, -1) for part, axis in zip(parts, axes, strict=True)]
        flat = [m.reshape(len(m), -1, m.shape[-1]) for m in moved]
        product = flat[0] @ flat[1].swapaxes(1, 2)
        y = product.reshape(len(product), *(moved[0].shape[1:-1] + moved[1].shape[1:-1] or (1,)))

        def backward(dy: Array) -> tuple[tuple[Array, ...], tuple]:
            dproduct = dy.reshape(product.shape)
            dflat = (dproduct @ flat[1], dproduct.swapaxes(1, 2) @ flat[0])
            found = zip(dflat, moved, axes, ways, strict=True)
            return tuple(way(np.moveaxis(d.reshape(m.shape), -1, axis)) for d, m, axis, way in found), ()

        return y, backward


@LAYERS.register("Concatenate", "concat")
@dataclass(frozen=True)
class Concatenate(Layer):
    """Its inputs one after the other along ``axis`` (the batch axis counted as 0)."""

    axis: int = -1

    joins: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, axis=int(self.axis))
        if self.axis == 0:
            raise UsageError("axis 0 is the batch; use -1 for channels or features")

    def output_shape(self, shape: tuple[Shape, ...]) -> Shape:
        ndim = len(shape[0]) + 1
        if any(len(other) != len(shape[0]) for other in shape):
            raise UsageError(f"cannot join {describe(shape)}; they need the same number of axes, e.g. by a Flatten")
        if abs(self.axis) >= ndim:
            raise UsageError(f"axis {self.axis}: its inputs have axes 1 to {ndim - 1}; use -1 for the last one")
        axis = self.axis % ndim - 1
        sizes = []
        for a in range(ndim - 1):
            found = {other[a] for other in shape if other[a] is not None}
            if a == axis:
                sizes.append(None if any(other[a] is None for other in shape) else sum(other[a] for other in shape))
            elif len(found) > 1:
                raise UsageError(
                    f"cannot join {describe(shape)} along axis {self.axis}; all other sizes must be equal, "
                    "e.g. with padding 'same' before it"
                )
            else:
                sizes.append(found.pop() if found else None)
        return tuple(sizes)

    def mask_shape(self, shape: tuple[Shape, ...], masks: tuple[Shape | None, ...]) -> Shape | None:
        known = next((mask for mask in masks if mask is not None), None)
        return None if known is None else self.output_shape(shape)[: len(known)]

    def output_mask(self, x: tuple[Array, ...], masks: tuple[Array | None, ...]) -> Array:
        """What counts in all inputs; joined where the inputs are, when they are joined along an axis of the mask."""
        ndim = max(mask.ndim for mask in masks if mask is not None)
        full = [np.ones(part.shape[:ndim], bool) if mask is None else mask for part, mask in zip(x, masks, strict=True)]
        axis = self.axis % x[0].ndim
        return np.concatenate(full, axis) if axis < ndim else np.logical_and.reduce(full)

    def forward(self, x: tuple[Array, ...], weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        ends = np.cumsum([part.shape[self.axis] for part in x])[:-1]
        return np.concatenate(x, self.axis), lambda dy: (tuple(np.split(dy, ends, self.axis)), ())


def stretched(first: Shape, second: Shape) -> Shape:
    """The shape that two samples broadcast to. Raises UsageError."""
    ndim = max(len(first), len(second))
    sizes = []
    for a, b in zip((1,) * (ndim - len(first)) + first, (1,) * (ndim - len(second)) + second, strict=True):
        if 1 not in (a, b) and None not in (a, b) and a != b:
            raise UsageError(
                f"cannot join {describe((first, second))}; make the sizes equal, "
                "e.g. with the same filters and strides on both ways"
            )
        known = a if b is None else b
        sizes.append((b if a == 1 else a) if 1 in (a, b) else known)
    return tuple(sizes)


def folded(dy: Array, shape: tuple[int, ...]) -> Array:
    """Sum ``dy`` over the axes that broadcasting stretched, back to ``shape``; a new array."""
    axes = tuple(a for a, size in enumerate(shape) if size == 1 and dy.shape[a] != 1)
    return dy.sum(axes, keepdims=True) if axes else dy.copy()
