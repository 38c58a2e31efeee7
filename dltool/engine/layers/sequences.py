"""Layers around sequences: embedding, masking, repeating. Imports engine basics only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.engine.constraints import Constraint
from dltool.engine.initializers import Initializer
from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, WeightSpec, describe, normalize
from dltool.engine.layers.core import positive
from dltool.engine.layers.rules import normalize_rules, ruled
from dltool.engine.regularizers import Regularizer
from dltool.errors import UsageError


@LAYERS.register("Embedding", "embed")
@dataclass(frozen=True)
class Embedding(Layer):
    """Whole numbers 0 .. input_dim - 1 -> trained vectors of ``output_dim`` numbers.

    With ``mask_zero`` the number 0 is padding: the output's mask is False there.
    Deviation from Keras: a number outside the range is an error there on CPUs; here it is cut to the range, because a
    layer sees one shard of a batch; the data are checked before training.
    Weights: embeddings (input_dim, output_dim).
    """

    input_dim: int
    output_dim: int
    embeddings_initializer: Initializer | str | dict = "uniform"
    embeddings_regularizer: Regularizer | str | dict | None = None
    embeddings_constraint: Constraint | str | dict | None = None
    mask_zero: bool = False

    def __post_init__(self) -> None:
        normalize(
            self,
            input_dim=positive("input_dim", self.input_dim),
            output_dim=positive("output_dim", self.output_dim),
        )
        normalize_rules(self, "embeddings")

    def output_shape(self, shape: Shape) -> Shape:
        return (*shape, self.output_dim)

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        return (ruled(self, "embeddings", (self.input_dim, self.output_dim)),)

    def mask_shape(self, shape: Shape, masks: tuple[Shape | None, ...]) -> Shape | None:
        return shape if self.mask_zero else None

    def output_mask(self, x: Array, masks: tuple[Array | None, ...]) -> Array:
        return x != 0

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        table = weights[0]
        indices = np.clip(np.rint(x), 0, self.input_dim - 1).astype(np.intp)

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dtable = np.zeros_like(table)
            np.add.at(dtable, indices.reshape(-1), dy.reshape(-1, self.output_dim))
            return np.zeros_like(x), (dtable,)

        return table[indices], backward


@LAYERS.register("Masking")
@dataclass(frozen=True)
class Masking(Layer):
    """Steps whose features all equal ``mask_value`` are padding: zeros in the output, False in its mask."""

    mask_value: float = 0.0

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) < 2:
            raise UsageError(f"needs a sequence (steps x features) but gets {describe(shape)}")
        return shape

    def mask_shape(self, shape: Shape, masks: tuple[Shape | None, ...]) -> Shape | None:
        return shape[:-1]

    def output_mask(self, x: Array, masks: tuple[Array | None, ...]) -> Array:
        return (x != self.mask_value).any(-1)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        on = (x != self.mask_value).any(-1, keepdims=True).astype(x.dtype)
        return x * on, lambda dy: (dy * on, ())


@LAYERS.register("RepeatVector", "repeat")
@dataclass(frozen=True)
class RepeatVector(Layer):
    """(features,) -> (n, features): the same vector at ``n`` steps."""

    n: int

    def __post_init__(self) -> None:
        normalize(self, n=positive("n", self.n))

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise UsageError(f"repeats a vector but gets {describe(shape)}; put a Flatten before it")
        return (self.n, *shape)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        return np.repeat(x[:, None], self.n, 1), lambda dy: (dy.sum(1), ())


@LAYERS.register("Permute")
@dataclass(frozen=True)
class Permute(Layer):
    """The axes of a sample in another order, counted from 1: (2, 1) swaps two."""

    dims: tuple[int, ...]

    def __post_init__(self) -> None:
        dims: Any = (self.dims,) if isinstance(self.dims, int) else self.dims
        normalize(self, dims=tuple(int(axis) for axis in dims))
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise UsageError(f"dims {self.dims}: name each axis once, from 1; (2, 1) swaps two axes")

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != len(self.dims):
            raise UsageError(f"dims {self.dims} are for {len(self.dims)} axes, but its input is {describe(shape)}")
        return tuple(shape[axis - 1] for axis in self.dims)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        order = (0, *self.dims)
        back = tuple(int(axis) for axis in np.argsort(order))
        return x.transpose(order).copy(), lambda dy: (dy.transpose(back).copy(), ())
