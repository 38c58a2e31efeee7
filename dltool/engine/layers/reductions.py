"""Operations of Keras 3 that sum, compare or multiply along axes. Imports engine basics only."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_letters
from typing import Any, ClassVar

import numpy as np

from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Shape, describe, normalize
from dltool.engine.layers.merging import folded, stretched
from dltool.engine.layers.operations import Operation, axes_of
from dltool.errors import UsageError


@dataclass(frozen=True)
class Reduction(Operation):
    """Base: one number for all along ``axis`` (the batch axis counted as 0), with ``keepdims`` on an axis of size 1."""

    def __post_init__(self) -> None:
        normalize(self, axis=axes_of(self.axis), keepdims=bool(self.keepdims))

    def axes(self, ndim: int) -> tuple[int, ...]:
        return tuple(self.place_of(axis, ndim) for axis in self.axis)

    def output_shape(self, shape: Shape) -> Shape:
        axes = self.axes(len(shape) + 1)
        kept = (1 if axis in axes else size for axis, size in enumerate(shape, 1))
        return tuple(size for axis, size in enumerate(kept, 1) if self.keepdims or axis not in axes)

    def reduce(self, x: Array, axes: tuple[int, ...]) -> tuple[Array, Callable[[Array], Array]]:
        """The output with axes of size 1, and the way back from its gradient, which has them too."""
        raise NotImplementedError(type(self).__name__)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        y, back = self.reduce(x, self.axes(x.ndim))
        shape = (len(x), *self.output_shape(x.shape[1:]))
        return y.reshape(shape), lambda dy: (back(dy.reshape(y.shape)), ())


@LAYERS.register("Sum")
@dataclass(frozen=True)
class Sum(Reduction):
    """The sum along ``axis``."""

    axis: int | tuple[int, ...]
    keepdims: bool = False

    def reduce(self, x: Array, axes: tuple[int, ...]) -> tuple[Array, Callable[[Array], Array]]:
        return x.sum(axes, keepdims=True), lambda dy: np.broadcast_to(dy, x.shape).copy()


@LAYERS.register("Mean")
@dataclass(frozen=True)
class Mean(Reduction):
    """The mean along ``axis``."""

    axis: int | tuple[int, ...]
    keepdims: bool = False

    def reduce(self, x: Array, axes: tuple[int, ...]) -> tuple[Array, Callable[[Array], Array]]:
        y = x.mean(axes, keepdims=True)
        return y, lambda dy: np.broadcast_to(dy * x.dtype.type(y.size / x.size), x.shape).copy()


@LAYERS.register("Var")
@dataclass(frozen=True)
class Var(Reduction):
    """The mean square of the distances from the mean along ``axis``."""

    axis: int | tuple[int, ...]
    keepdims: bool = False

    def reduce(self, x: Array, axes: tuple[int, ...]) -> tuple[Array, Callable[[Array], Array]]:
        apart = x - x.mean(axes, keepdims=True)
        y = np.square(apart).mean(axes, keepdims=True)
        return y, lambda dy: apart * (dy * x.dtype.type(2 * y.size / x.size))


@LAYERS.register("Std")
@dataclass(frozen=True)
class Std(Reduction):
    """The root of the mean square of the distances from the mean along ``axis``.

    Deviation from TensorFlow: where all numbers are equal the gradient is 0 and not nan.
    """

    axis: int | tuple[int, ...]
    keepdims: bool = False

    def reduce(self, x: Array, axes: tuple[int, ...]) -> tuple[Array, Callable[[Array], Array]]:
        apart = x - x.mean(axes, keepdims=True)
        y = np.sqrt(np.square(apart).mean(axes, keepdims=True))
        return y, lambda dy: apart * quotient(dy * x.dtype.type(y.size / x.size), y)


@LAYERS.register("Norm")
@dataclass(frozen=True)
class Norm(Reduction):
    """The Euclidean length along ``axis``: the root of the sum of squares.

    Deviation from TensorFlow: where all numbers are 0 the gradient is 0 and not nan.
    """

    axis: int | tuple[int, ...]
    keepdims: bool = False

    def reduce(self, x: Array, axes: tuple[int, ...]) -> tuple[Array, Callable[[Array], Array]]:
        y = np.sqrt(np.square(x).sum(axes, keepdims=True))
        return y, lambda dy: x * quotient(dy, y)


@LAYERS.register("Logsumexp")
@dataclass(frozen=True)
class Logsumexp(Reduction):
    """The logarithm of the sum of exponentials along ``axis``, without overflow."""

    axis: int | tuple[int, ...]
    keepdims: bool = False

    def reduce(self, x: Array, axes: tuple[int, ...]) -> tuple[Array, Callable[[Array], Array]]:
        largest = x.max(axes, keepdims=True)
        y = largest + np.log(np.exp(x - largest).sum(axes, keepdims=True))
        return y, lambda dy: dy * np.exp(x - y)


def quotient(dividend: Array, divisor: Array) -> Array:
    """0 where the divisor is 0."""
    return np.divide(dividend, divisor, out=np.zeros_like(dividend), where=divisor != 0)


@dataclass(frozen=True)
class Extreme(Reduction):
    """Base of the largest and the smallest; equal numbers share the gradient, as in TensorFlow."""

    choose: ClassVar[Any]

    def reduce(self, x: Array, axes: tuple[int, ...]) -> tuple[Array, Callable[[Array], Array]]:
        y = type(self).choose(x, axes, keepdims=True)
        chosen = (x == y).astype(x.dtype)
        return y, lambda dy: dy * chosen / chosen.sum(axes, keepdims=True)


@LAYERS.register("Max")
@dataclass(frozen=True)
class Max(Extreme):
    """The largest number along ``axis``."""

    axis: int | tuple[int, ...]
    keepdims: bool = False

    choose = staticmethod(np.max)


@LAYERS.register("Min")
@dataclass(frozen=True)
class Min(Extreme):
    """The smallest number along ``axis``."""

    axis: int | tuple[int, ...]
    keepdims: bool = False

    choose = staticmethod(np.min)


@LAYERS.register("Matmul")
@dataclass(frozen=True)
class Matmul(Operation):
    """Matrix products of two inputs over their last two axes, one for each place on the axes before."""

    joins: ClassVar[bool] = True

    def output_shape(self, shape: tuple[Shape, ...]) -> Shape:
        if len(shape) != 2 or min(map(len, shape)) < 2:
            raise UsageError(f"multiplies two inputs of two axes or more, but gets {describe(shape)}")
        first, second = shape
        if None not in (first[-1], second[-2]) and first[-1] != second[-2]:
            raise UsageError(f"cannot multiply {describe(shape)}; the first's columns must be the second's rows")
        return (*stretched(first[:-2], second[:-2]), first[-2], second[-1])

    def forward(self, x: tuple[Array, ...], weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        ndim = max(part.ndim for part in x)
        first, second = (part.reshape(len(part), *(1,) * (ndim - part.ndim), *part.shape[1:]) for part in x)

        def backward(dy: Array) -> tuple[tuple[Array, ...], tuple]:
            dfirst = folded(dy @ second.swapaxes(-1, -2), first.shape)
            dsecond = folded(first.swapaxes(-1, -2) @ dy, second.shape)
            return (dfirst.reshape(x[0].shape), dsecond.reshape(x[1].shape)), ()

        return first @ second, backward


@LAYERS.register("Einsum")
@dataclass(frozen=True)
class Einsum(Operation):
    """Sums of products of two inputs in Einstein's notation: "bij,bkj->bik".

    Every letter of an input must be in the other or in the output, once each; the batch's is in all three, in front.
    "..." in front of all three stands for the batch and further axes that both inputs have.
    """

    subscripts: str

    joins: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, subscripts=str(self.subscripts).replace(" ", ""))
        first, second, output = terms = self.terms(4)
        known = all(term.isalpha() and len(set(term)) == len(term) for term in terms)
        known = known and first[0] == second[0] == output[0] and set(output) <= set(first + second)
        if not known or not set(first) <= set(second + output) or not set(second) <= set(first + output):
            raise UsageError(f"subscripts {self.subscripts!r} are not supported; write e.g. bij,bjk->bik")

    def terms(self, ndim: int) -> tuple[str, ...]:
        """The letters of both inputs, of which the first has ``ndim`` axes, and of the output."""
        found = tuple(re.split("->|,", self.subscripts))
        if len(found) != 3 or not all(term.startswith("...") for term in found):
            return found if len(found) == 3 else ("", "", "")
        free = [letter for letter in ascii_letters if letter not in self.subscripts]
        more = "".join(free[: max(ndim + 3 - len(found[0]), 1)])
        return tuple(term.replace("...", more) for term in found)

    def output_shape(self, shape: tuple[Shape, ...]) -> Shape:
        sizes: dict[str, int | None] = {}
        terms = self.terms(len(shape[0]) + 1)
        if [len(part) + 1 for part in shape] != [len(term) for term in terms[:2]]:
            raise UsageError(f"subscripts {self.subscripts!r} do not fit inputs of {describe(shape)}")
        for part, term in zip(shape, terms[:2], strict=True):
            for size, letter in zip(part, term[1:], strict=True):
                known = sizes.get(letter)
                if None not in (size, known) and size != known:
                    raise UsageError(f"subscripts {self.subscripts!r}: {letter} is {known} places and {size}")
                sizes[letter] = known if size is None else size
        return tuple(sizes[letter] for letter in terms[2][1:])

    def forward(self, x: tuple[Array, ...], weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        first, second, output = self.terms(x[0].ndim)

        def backward(dy: Array) -> tuple[tuple[Array, ...], tuple]:
            dfirst = np.einsum(f"{output},{second}->{first}", dy, x[1], optimize=True)
            return (dfirst, np.einsum(f"{output},{first}->{second}", dy, x[0], optimize=True)), ()

        return np.einsum(f"{first},{second}->{output}", *x, optimize=True), backward
