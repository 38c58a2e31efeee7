"""Layers that make categories of numbers. Nothing before them can be trained. Imports engine basics only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, describe, normalize
from dltool.engine.layers.core import positive
from dltool.errors import UsageError

MODES = ("multi_hot", "one_hot", "count")


@LAYERS.register("CategoryEncoding")
@dataclass(frozen=True)
class CategoryEncoding(Layer):
    """Numbers of categories as vectors of ``num_tokens``.

    ``output_mode``: one_hot has a vector for each number (a last axis of size 1 goes), multi_hot one for all of the
    last axis, with 1 where a category occurs, count with how often it does.
    """

    num_tokens: int
    output_mode: str = "multi_hot"

    def __post_init__(self) -> None:
        normalize(self, num_tokens=positive("num_tokens", self.num_tokens))
        if self.output_mode not in MODES:
            raise UsageError(f"output_mode {self.output_mode!r} is not supported; use {', '.join(MODES)}")

    def output_shape(self, shape: Shape) -> Shape:
        if self.output_mode == "one_hot" and shape[-1:] != (1,):
            return (*shape, self.num_tokens)
        return (*shape[:-1], self.num_tokens)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        y = encoded(x, self.num_tokens, self.output_mode).reshape(len(x), *self.output_shape(x.shape[1:]))
        return y, lambda dy: (np.zeros_like(x), ())


@LAYERS.register("Discretization")
@dataclass(frozen=True)
class Discretization(Layer):
    """Numbers as the numbers of the ranges that they lie in: below the first of ``bin_boundaries`` is 0.

    ``output_mode``: int, or one_hot, multi_hot and count as for CategoryEncoding.
    """

    bin_boundaries: tuple[float, ...]
    output_mode: str = "int"

    def __post_init__(self) -> None:
        normalize(self, bin_boundaries=tuple(float(edge) for edge in self.bin_boundaries))
        if self.output_mode not in ("int", *MODES):
            raise UsageError(f"output_mode {self.output_mode!r} is not supported; use int, {', '.join(MODES)}")
        if not self.bin_boundaries or list(self.bin_boundaries) != sorted(self.bin_boundaries):
            raise UsageError(f"bin_boundaries {self.bin_boundaries}: give numbers that rise")

    def output_shape(self, shape: Shape) -> Shape:
        if self.output_mode == "int":
            return shape
        if not shape:
            raise UsageError(f"output_mode {self.output_mode} needs a vector but gets {describe(shape)}")
        return CategoryEncoding(len(self.bin_boundaries) + 1, self.output_mode).output_shape(shape)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        places = np.searchsorted(np.asarray(self.bin_boundaries, x.dtype), x, "right").astype(x.dtype)
        if self.output_mode != "int":
            places = encoded(places, len(self.bin_boundaries) + 1, self.output_mode)
            places = places.reshape(len(x), *self.output_shape(x.shape[1:]))
        return places, lambda dy: (np.zeros_like(x), ())


def encoded(x: Array, count: int, mode: str) -> Array:
    """One vector of ``count`` per number, or per last axis; numbers that are no category give zeros."""
    hot = (np.rint(x)[..., None] == np.arange(count)).astype(x.dtype)
    if mode == "one_hot" or x.ndim == 1:
        return hot
    return hot.sum(-2) if mode == "count" else hot.max(-2)
