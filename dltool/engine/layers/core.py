"""Layers that work on any shape: input, dense, reshaping, activation, scaling. Imports engine basics only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dltool.engine.activations import activation, activation_name
from dltool.engine.constraints import Constraint
from dltool.engine.initializers import Initializer, initializer
from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, WeightSpec, normalize
from dltool.engine.layers.rules import normalize_rules, ruled, ruled_bias
from dltool.engine.regularizers import Regularizer, regularizer
from dltool.errors import UsageError


@LAYERS.register("InputLayer", "input")
@dataclass(frozen=True)
class InputLayer(Layer):
    """Where data enters: ``shape`` is one sample's, without the batch axis; None is a size known only at run time."""

    shape: Shape = ()

    def __post_init__(self) -> None:
        normalize(self, shape=tuple(None if size is None else int(size) for size in self.shape))

    def output_shape(self, shape: Any) -> Shape:
        return self.shape

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        return x, lambda dy: (dy, ())


@LAYERS.register("Dense", "fc")
@dataclass(frozen=True)
class Dense(Layer):
    """``activation(x @ kernel + bias)`` on the last axis; other axes are kept.

    Weights: kernel (inputs, units), bias (units,).
    """

    units: int
    activation: str = "linear"
    use_bias: bool = True
    kernel_initializer: Initializer | str | dict = "glorot_uniform"
    bias_initializer: Initializer | str | dict = "zeros"
    kernel_regularizer: Regularizer | str | dict | None = None
    bias_regularizer: Regularizer | str | dict | None = None
    activity_regularizer: Regularizer | str | dict | None = None
    kernel_constraint: Constraint | str | dict | None = None
    bias_constraint: Constraint | str | dict | None = None

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(
            self,
            units=positive("units", self.units),
            activation=activation_name(self.activation),
            activity_regularizer=regularizer(self.activity_regularizer),
        )
        normalize_rules(self, "kernel", "bias")

    def output_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise UsageError("needs features but gets one number per sample; reshape its input to 1")
        if shape[-1] is None:
            raise UsageError(
                "the number of features of its input is unknown; give the full input shape, "
                "or use GlobalAveragePooling2D instead of Flatten"
            )
        return (*shape[:-1], self.units)

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        return (ruled(self, "kernel", (shape[-1], self.units)), *ruled_bias(self, self.units))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        kernel = weights[0]
        z = x @ kernel
        if self.use_bias:
            z = z + weights[1]
        y, activation_backward = activation(self.activation)(z)

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            dz = activation_backward(dy)
            rows = dz.reshape(-1, self.units)
            dkernel = x.reshape(-1, x.shape[-1]).T @ rows
            return dz @ kernel.T, (dkernel, rows.sum(0)) if self.use_bias else (dkernel,)

        return y, backward


@LAYERS.register("Flatten")
@dataclass(frozen=True)
class Flatten(Layer):
    """All axes of a sample in one, in row-major order (height, width, channels)."""

    def output_shape(self, shape: Shape) -> Shape:
        return (None if None in shape else math.prod(shape),)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        return x.reshape(len(x), -1), lambda dy: (dy.reshape(x.shape), ())


@LAYERS.register("Reshape")
@dataclass(frozen=True)
class Reshape(Layer):
    """The same numbers in ``target_shape`` (without the batch axis); one entry may be -1 and is worked out."""

    target_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        target = self.target_shape
        target = (target,) if isinstance(target, int) else target
        normalize(self, target_shape=tuple(int(size) for size in target))
        if self.target_shape.count(-1) > 1 or any(size < 1 and size != -1 for size in self.target_shape):
            raise UsageError(f"target_shape {self.target_shape}: sizes are positive, and at most one is -1")

    def output_shape(self, shape: Shape) -> Shape:
        known = math.prod(size for size in self.target_shape if size != -1)
        if None in shape:
            return tuple(None if size == -1 else size for size in self.target_shape)
        count = math.prod(shape)
        rest = count // known
        if count != known * (rest if -1 in self.target_shape else 1):
            raise UsageError(
                f"cannot make {'x'.join(map(str, self.target_shape))} of {'x'.join(map(str, shape)) or '1'}, "
                f"which has {count} numbers; use sizes whose product is {count}"
            )
        return tuple(rest if size == -1 else size for size in self.target_shape)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        return x.reshape(len(x), *self.target_shape), lambda dy: (dy.reshape(x.shape), ())


@LAYERS.register("Activation", "act")
@dataclass(frozen=True)
class Activation(Layer):
    """An activation function as a layer of its own."""

    activation: str

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, activation=activation_name(self.activation))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        y, backward = activation(self.activation)(x)
        return y, lambda dy: (backward(dy), ())


@LAYERS.register("ReLU")
@dataclass(frozen=True)
class ReLU(Layer):
    """x between ``threshold`` and ``max_value``, max_value above, ``negative_slope * (x - threshold)`` below."""

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(
            self,
            max_value=None if self.max_value is None else float(self.max_value),
            negative_slope=float(self.negative_slope or 0.0),  # Keras 2 writes None for no slope
            threshold=float(self.threshold or 0.0),
        )

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        above, kind = x > self.threshold, x.dtype.type
        slope = np.where(above, kind(1), kind(self.negative_slope))
        y = np.where(above, x, self.negative_slope * (x - self.threshold))
        if self.max_value is not None:
            slope = np.where(x < self.max_value, slope, kind(0))
            y = np.minimum(y, self.max_value)
        return y, lambda dy: (dy * slope, ())


@LAYERS.register("LeakyReLU")
@dataclass(frozen=True)
class LeakyReLU(Layer):
    """x above zero, ``negative_slope * x`` below."""

    negative_slope: float = 0.3

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, negative_slope=float(self.negative_slope))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        slope = np.where(x > 0, x.dtype.type(1), x.dtype.type(self.negative_slope))
        return x * slope, lambda dy: (dy * slope, ())


@LAYERS.register("Rescaling", "rescale")
@dataclass(frozen=True)
class Rescaling(Layer):
    """``x * scale + offset``; either may be a tuple of one number per channel (last axis)."""

    scale: float | tuple[float, ...]
    offset: float | tuple[float, ...] = 0.0

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, scale=as_numbers(self.scale), offset=as_numbers(self.offset))

    def output_shape(self, shape: Shape) -> Shape:
        for name, value in (("scale", self.scale), ("offset", self.offset)):
            counts, channels = np.shape(value), shape[-1] if shape else 1
            if counts and channels is not None and counts[-1] not in (1, channels):
                raise UsageError(f"{name} has {counts[-1]} numbers, but its input has {channels} channels")
        return shape

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        scale, offset = np.asarray(self.scale, x.dtype), np.asarray(self.offset, x.dtype)
        return x * scale + offset, lambda dy: (dy * scale, ())


@LAYERS.register("Normalization")
@dataclass(frozen=True)
class Normalization(Layer):
    """``(x - mean) / max(sqrt(variance), 1e-7)``, or the way back with ``invert``.

    Args:
        axis: the axes that keep statistics of their own, the batch axis counted as 0; None: one mean for everything.
        mean, variance: numbers, or None: then they are weights, which are learnt from the data before training.

    Weights, unless mean and variance are given: mean, variance (one per entry of the kept axes), count ().
    They are statistics; ``count`` is an integer in Keras's files and float32 here.
    """

    axis: int | tuple[int, ...] | None = -1
    mean: float | tuple | None = None
    variance: float | tuple | None = None
    invert: bool = False

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        axis = self.axis if self.axis is None or isinstance(self.axis, int) else tuple(int(a) for a in self.axis)
        axis = axis[0] if isinstance(axis, tuple) and len(axis) == 1 else axis
        mean = None if self.mean is None else as_numbers(self.mean)
        variance = None if self.variance is None else as_numbers(self.variance)
        normalize(self, axis=axis, mean=mean, variance=variance)
        if (mean is None) != (variance is None):
            raise UsageError("mean and variance belong together; give both or neither")

    @property
    def is_adapted(self) -> bool:
        """True when mean and variance are weights, learnt from data."""
        return self.mean is None

    def kept_axes(self, ndim: int) -> tuple[int, ...]:
        """The axes with statistics of their own, as positive numbers, for an array with ``ndim`` axes."""
        axes = () if self.axis is None else (self.axis,) if isinstance(self.axis, int) else self.axis
        kept = tuple(sorted(a % ndim if -ndim <= a < ndim else -1 for a in axes))
        if any(a < 1 for a in kept):
            raise UsageError(f"axis {self.axis}: its input has axes 1 to {ndim - 1}; use -1 for the last one")
        return kept

    def output_shape(self, shape: Shape) -> Shape:
        for axis in self.kept_axes(len(shape) + 1):
            if shape[axis - 1] is None:
                raise UsageError(f"axis {axis} of its input has no fixed size; give the full input shape")
        self._aligned((1, *(1 if size is None else size for size in shape)))
        return shape

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        if not self.is_adapted:
            return ()
        sizes = tuple(shape[axis - 1] for axis in self.kept_axes(len(shape) + 1))
        zeros, ones = initializer("zeros"), initializer("ones")
        return (
            WeightSpec("mean", sizes, zeros, trainable=False),
            WeightSpec("variance", sizes, ones, trainable=False),
            WeightSpec("count", (), zeros, trainable=False),
        )

    def _aligned(self, shape: tuple[int, ...], weights: tuple[Array, ...] = ()) -> tuple[Array, Array]:
        """Mean and variance in a shape that broadcasts against ``shape`` (batch axis included)."""
        kept = self.kept_axes(len(shape))
        target = tuple(size if axis in kept else 1 for axis, size in enumerate(shape))
        if weights:
            return weights[0].reshape(target), weights[1].reshape(target)
        if self.is_adapted:
            return np.zeros(target), np.ones(target)
        found = []
        for name, value in (("mean", self.mean), ("variance", self.variance)):
            value = np.asarray(value)
            if value.size == math.prod(target):
                found.append(value.reshape(target))
            elif value.size == 1:
                found.append(np.broadcast_to(value.reshape(()), target))
            else:
                raise UsageError(f"{name} has {value.size} numbers, but axis {self.axis} needs {math.prod(target)}")
        return found[0], found[1]

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        mean, variance = (part.astype(x.dtype) for part in self._aligned(x.shape, weights))
        deviation = np.maximum(np.sqrt(variance), 1e-7)
        nothing = tuple(None for _ in weights)
        if self.invert:
            return mean + x * deviation, lambda dy: (dy * deviation, nothing)
        return (x - mean) / deviation, lambda dy: (dy / deviation, nothing)


def as_numbers(value: Any) -> float | tuple:
    """A float, or nested tuples of floats, of a number, list or array."""
    if np.ndim(value) == 0:
        return float(value)
    return tuple(as_numbers(entry) for entry in value)


def positive(name: str, value: Any) -> int:
    """``value`` as a whole number above zero. Raises UsageError."""
    if not isinstance(value, bool) and float(value) == int(value) and value >= 1:
        return int(value)
    raise UsageError(f"{name} is {value}; it must be a whole number above zero")
