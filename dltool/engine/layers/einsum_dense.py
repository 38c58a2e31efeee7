"""A dense layer along axes of choice. Imports engine basics only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import ascii_letters
from typing import ClassVar

import numpy as np

from dltool.engine.activations import activation, activation_name
from dltool.engine.constraints import Constraint
from dltool.engine.initializers import Initializer
from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, WeightSpec, describe, normalize
from dltool.engine.layers.rules import normalize_rules, ruled
from dltool.engine.regularizers import Regularizer, regularizer
from dltool.errors import UsageError


@LAYERS.register("EinsumDense")
@dataclass(frozen=True)
class EinsumDense(Layer):
    """``activation(einsum(equation, x, kernel) + bias)``: "abc,cd->abd" is Dense on the last axis.

    The letters of the input, the kernel and the output, the batch in front, or "..." for all axes that stay.
    ``output_size``: the output's sizes behind the batch (or behind "..."), None for those that the input has (Keras's
    ``output_shape``). ``bias_axes``: the letters of the output that the bias has; None: no bias.
    Weights: kernel, of the sizes of its letters; bias, of those of the output from the first of its letters on, 1 for
    letters that it does not have.
    """

    equation: str
    output_size: int | tuple[int | None, ...]
    activation: str = "linear"
    bias_axes: str | None = None
    kernel_initializer: Initializer | str | dict = "glorot_uniform"
    bias_initializer: Initializer | str | dict = "zeros"
    kernel_regularizer: Regularizer | str | dict | None = None
    bias_regularizer: Regularizer | str | dict | None = None
    activity_regularizer: Regularizer | str | dict | None = None
    kernel_constraint: Constraint | str | dict | None = None
    bias_constraint: Constraint | str | dict | None = None

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        size = self.output_size if isinstance(self.output_size, tuple | list) else (self.output_size,)
        normalize(
            self,
            equation=str(self.equation).replace(" ", ""),
            output_size=tuple(None if s is None else int(s) for s in size),
            activation=activation_name(self.activation),
            activity_regularizer=regularizer(self.activity_regularizer),
        )
        normalize_rules(self, "kernel", "bias")
        x, kernel, y = terms = self.terms(6)
        plain = all(term.isalpha() and len(set(term)) == len(term) for term in terms)
        if (
            not plain
            or x[0] != y[0]
            or x[0] in kernel
            or not set(y) <= set(x + kernel)
            or not set(x) <= set(y + kernel)
        ):
            raise UsageError(f"equation {self.equation!r} is not supported; write e.g. abc,cd->abd")
        if not set(kernel) <= set(x + y) or not set(self.bias_axes or "") <= set(y[1:]):
            raise UsageError(f"equation {self.equation!r} with bias_axes {self.bias_axes!r} is not supported")

    def terms(self, ndim: int) -> tuple[str, str, str]:
        """The letters of the input of ``ndim`` axes, of the kernel and of the output."""
        found = re.split("->|,", self.equation)
        if len(found) != 3:
            return "", "", ""
        x, kernel, y = found
        free = [letter for letter in ascii_letters if letter not in self.equation]
        more = "".join(free[: max(ndim + 3 - len(x), 1)])
        if x.startswith("...") and y.startswith("..."):
            return more + x[3:], kernel, more + y[3:]
        if x.endswith("...") and y.endswith("...") and x[0] == y[0]:
            return x[:-3] + more, kernel, y[:-3] + more
        return x, kernel, y

    def _sizes(self, shape: Shape) -> dict[str, int | None]:
        """The size of every letter but the batch's. Raises UsageError."""
        x, _, y = self.terms(len(shape) + 1)
        if len(x) != len(shape) + 1:
            raise UsageError(f"equation {self.equation!r} is for {len(x) - 1} axes but its input is {describe(shape)}")
        sizes: dict[str, int | None] = dict(zip(x[1:], shape, strict=True))
        given = self.output_size
        letters = y[1 : len(given) + 1] if self.equation.endswith("...") else y[len(y) - len(given) :]
        for letter, size in zip(letters, given, strict=False):
            if size is not None and sizes.get(letter) not in (None, size):
                raise UsageError(f"output_size {given}: {letter} has {sizes[letter]} places in its input")
            sizes[letter] = size if size is not None else sizes.get(letter)
        if not set(y[1:]) <= set(sizes):
            raise UsageError(f"output_size {given} does not say all sizes of {self.equation!r}")
        return sizes

    def output_shape(self, shape: Shape) -> Shape:
        sizes = self._sizes(shape)
        return tuple(sizes[letter] for letter in self.terms(len(shape) + 1)[2][1:])

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        sizes = self._sizes(shape)
        _, kernel, y = self.terms(len(shape) + 1)
        specs = [ruled(self, "kernel", tuple(sizes[letter] for letter in kernel))]
        if self.bias_axes:
            first = min(y.index(letter) for letter in self.bias_axes)
            sizes_there = (sizes[letter] if letter in self.bias_axes else 1 for letter in y[first:])
            specs.append(ruled(self, "bias", tuple(sizes_there)))
        if any(None in spec.shape for spec in specs):
            raise UsageError("a size of its kernel is not known; give the full input shape")
        return tuple(specs)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        ins, kernel, outs = self.terms(x.ndim)
        z = np.einsum(f"{ins},{kernel}->{outs}", x, weights[0], optimize=True)
        if self.bias_axes:
            z = z + weights[1]
        y, activation_back = activation(self.activation)(z)

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dz = activation_back(dy)
            dx = np.einsum(f"{outs},{kernel}->{ins}", dz, weights[0], optimize=True)
            dkernel = np.einsum(f"{outs},{ins}->{kernel}", dz, x, optimize=True)
            if not self.bias_axes:
                return dx, (dkernel,)
            shape = weights[1].shape
            inner = dz.sum(tuple(range(dz.ndim - len(shape))))
            once = tuple(axis for axis, size in enumerate(shape) if size == 1)
            return dx, (dkernel, inner.sum(once, keepdims=True))

        return y, backward
