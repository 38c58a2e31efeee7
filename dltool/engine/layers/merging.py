"""Layers that join several inputs. Imports engine basics only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, describe, normalize
from dltool.errors import UsageError


@LAYERS.register("Add")
@dataclass(frozen=True)
class Add(Layer):
    """The sum of its inputs; sizes of 1 and missing leading axes are stretched, as in Keras."""

    joins: ClassVar[bool] = True

    def output_shape(self, shape: tuple[Shape, ...]) -> Shape:
        if len(shape) < 2:
            raise UsageError("adds several inputs but gets one; give it two or more")
        total = shape[0]
        for other in shape[1:]:
            total = stretched(total, other)
        return total

    def forward(self, x: tuple[Array, ...], weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        ndim = max(part.ndim for part in x)
        parts = [part.reshape(len(part), *(1,) * (ndim - part.ndim), *part.shape[1:]) for part in x]
        y = parts[0] + parts[1]
        for part in parts[2:]:
            y = y + part

        def backward(dy: Array) -> tuple[tuple[Array, ...], tuple]:
            return tuple(folded(dy, part.shape).reshape(given.shape) for part, given in zip(parts, x, strict=True)), ()

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
                f"cannot add {describe((first, second))}; make the sizes equal, "
                "e.g. with the same filters and strides on both ways"
            )
        known = a if b is None else b
        sizes.append((b if a == 1 else a) if 1 in (a, b) else known)
    return tuple(sizes)


def folded(dy: Array, shape: tuple[int, ...]) -> Array:
    """Sum ``dy`` over the axes that broadcasting stretched, back to ``shape``; a new array."""
    axes = tuple(a for a, size in enumerate(shape) if size == 1 and dy.shape[a] != 1)
    return dy.sum(axes, keepdims=True) if axes else dy.copy()
