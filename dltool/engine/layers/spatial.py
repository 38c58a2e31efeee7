"""What layers over one, two or three axes of positions share: sizes, padding, windows. Imports engine basics only.

A sample is (positions ..., channels). The functions count the axes from the arrays, so one definition serves sequences,
images and volumes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from dltool.engine.layers.base import Array, Shape, describe
from dltool.engine.layers.core import positive
from dltool.engine.windows import same_padding
from dltool.errors import UsageError

Sizes = tuple[int, ...]
Frame = tuple[tuple[int, int], ...]

WHAT = {1: "a sequence (steps x channels)", 2: "an image (height x width x channels)", 3: "a volume (4 sizes)"}


def per_axis(name: str, value: Any, rank: int) -> Sizes:
    """One size per axis of positions: 3 means 3 everywhere. Raises UsageError."""
    sizes = (value,) * rank if isinstance(value, int | np.integer) else tuple(value)
    if len(sizes) != rank:
        raise UsageError(f"{name} {value}: give one number, or {rank}")
    return tuple(positive(name, size) for size in sizes)


def check_positions(shape: Shape, rank: int) -> None:
    """Raises UsageError unless the input has ``rank`` axes of positions and known channels."""
    if len(shape) != rank + 1:
        raise UsageError(f"needs {WHAT[rank]} but gets {describe(shape)}; reshape its input")
    if shape[-1] is None:
        raise UsageError("the number of channels of its input is unknown; give the input shape with channels")


def windows_of(shape: Shape, kernel: Sizes, strides: Sizes, dilation: Sizes, padding: str) -> tuple[int | None, ...]:
    """How many windows fit along each axis of positions."""
    found = []
    for size, k, stride, rate in zip(shape, kernel, strides, dilation, strict=True):
        if size is None:
            found.append(None)
        elif padding == "valid":
            found.append((size - (k - 1) * rate - 1) // stride + 1)
        else:
            found.append(-(-size // stride))
    return tuple(found)


def frame_of(shape: Sizes, kernel: Sizes, strides: Sizes, dilation: Sizes, padding: str) -> Frame:
    """(before, after) for each axis; "causal" puts all before, so that no step sees a later one."""
    axes = zip(shape, kernel, strides, dilation, strict=True)
    if padding == "causal":
        return tuple(((k - 1) * rate, 0) for _, k, _, rate in axes)
    if padding == "same":
        return tuple(same_padding(*axis) for axis in axes)
    return ((0, 0),) * len(shape)


def framed(x: Array, frame: Frame, value: float = 0.0) -> Array:
    return np.pad(x, ((0, 0), *frame, (0, 0)), constant_values=value) if any(map(any, frame)) else x


def unframed(x: Array, frame: Frame) -> Array:
    """The inverse of ``framed``, a view."""
    inner = tuple(slice(a, x.shape[axis] - b) for axis, (a, b) in enumerate(frame, 1))
    return x[(slice(None), *inner)]


def taps(x: Array, out: Sizes, kernel: Sizes, strides: Sizes, dilation: Sizes) -> Iterator[tuple[Sizes, Array]]:
    """For each place in the window, in row-major order, the view (n, *out, channels) of what lies there."""
    for place in product(*map(range, kernel)):
        cuts = (
            slice(i * rate, i * rate + (count - 1) * stride + 1, stride)
            for i, rate, count, stride in zip(place, dilation, out, strides, strict=True)
        )
        yield place, x[(slice(None), *cuts)]


def gathered(x: Array, out: Sizes, kernel: Sizes, strides: Sizes, dilation: Sizes) -> Array:
    """All windows: a new array (n, *out, taps, channels)."""
    return np.stack([tap for _, tap in taps(x, out, kernel, strides, dilation)], -2)


def scattered(values: Array, shape: tuple[int, ...], kernel: Sizes, strides: Sizes, dilation: Sizes) -> Array:
    """The transpose of ``gathered``: each window of ``values`` added onto its place in an array of ``shape``."""
    target = np.zeros(shape, values.dtype)
    out = values.shape[1:-2]
    for index, (_, tap) in enumerate(taps(target, out, kernel, strides, dilation)):
        tap += values[..., index, :]
    return target
