"""Operations that Keras 3 has as functions and not as layers (``keras.ops``), one tensor or several in, one out.

They stand in model files where a network was written as ``ops.mean(x, axis=1)`` or ``x[:, 0]``. Classes and options are
those of Keras 3's operations; the batch axis is counted as 0 and is never touched. As in Keras, masks end here. This
module has what they share and those that take number by number. Imports engine basics only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, normalize
from dltool.engine.layers.merging import Merging
from dltool.errors import UsageError

FLOAT_LIMIT = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Operation(Layer):
    """Base of all layers here, and mark of them: Keras 3 writes a call of a function for them."""

    def place_of(self, axis: int, ndim: int) -> int:
        """An axis as a positive number for an array of ``ndim`` axes. Raises UsageError for the batch and beyond."""
        found = axis + ndim if axis < 0 else axis
        if not 1 <= found < ndim:
            raise UsageError(f"axis {axis}: its input has axes 1 to {ndim - 1}, behind the batch")
        return found


def axes_of(axis: Any) -> tuple[int, ...]:
    """One axis or several, as several."""
    return tuple(int(a) for a in axis) if isinstance(axis, list | tuple) else (int(axis),)


# --- number by number ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Elementwise(Operation):
    """Base: ``compute`` gives the output and the derivative."""

    def compute(self, x: Array) -> tuple[Array, Array]:
        raise NotImplementedError(type(self).__name__)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        y, slope = self.compute(x)
        return y, lambda dy: (dy * slope, ())


@LAYERS.register("Absolute", "abs")
@dataclass(frozen=True)
class Absolute(Elementwise):
    """Every number without its sign."""

    def compute(self, x: Array) -> tuple[Array, Array]:
        return np.abs(x), np.sign(x)


@LAYERS.register("Sqrt")
@dataclass(frozen=True)
class Sqrt(Elementwise):
    """Square roots; nan below zero."""

    def compute(self, x: Array) -> tuple[Array, Array]:
        y = np.sqrt(x)
        return y, 0.5 / y


@LAYERS.register("Rsqrt")
@dataclass(frozen=True)
class Rsqrt(Elementwise):
    """One by the square root."""

    def compute(self, x: Array) -> tuple[Array, Array]:
        y = 1 / np.sqrt(x)
        return y, -0.5 * y / x


@LAYERS.register("Log")
@dataclass(frozen=True)
class Log(Elementwise):
    """Natural logarithms."""

    def compute(self, x: Array) -> tuple[Array, Array]:
        return np.log(x), 1 / x


@LAYERS.register("Log1p")
@dataclass(frozen=True)
class Log1p(Elementwise):
    """Natural logarithms of 1 + x."""

    def compute(self, x: Array) -> tuple[Array, Array]:
        return np.log1p(x), 1 / (1 + x)


@LAYERS.register("Sin")
@dataclass(frozen=True)
class Sin(Elementwise):
    """Sines of angles in radians."""

    def compute(self, x: Array) -> tuple[Array, Array]:
        return np.sin(x), np.cos(x)


@LAYERS.register("Cos")
@dataclass(frozen=True)
class Cos(Elementwise):
    """Cosines of angles in radians."""

    def compute(self, x: Array) -> tuple[Array, Array]:
        return np.cos(x), -np.sin(x)


@LAYERS.register("Power")
@dataclass(frozen=True)
class Power(Elementwise):
    """Every number to the power of ``exponent``, which Keras gives in the call."""

    exponent: float

    def __post_init__(self) -> None:
        normalize(self, exponent=float(self.exponent))

    def compute(self, x: Array) -> tuple[Array, Array]:
        return x**self.exponent, self.exponent * x ** (self.exponent - 1)


@LAYERS.register("Clip")
@dataclass(frozen=True)
class Clip(Elementwise):
    """Every number moved into ``x_min`` to ``x_max``."""

    x_min: float = -FLOAT_LIMIT
    x_max: float = FLOAT_LIMIT

    def __post_init__(self) -> None:
        normalize(self, x_min=float(self.x_min), x_max=float(self.x_max))

    def compute(self, x: Array) -> tuple[Array, Array]:
        return np.clip(x, self.x_min, self.x_max), ((x >= self.x_min) & (x <= self.x_max)).astype(x.dtype)


@LAYERS.register("Gelu")
@dataclass(frozen=True)
class Gelu(Elementwise):
    """``x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2``, near the activation gelu.

    Source: Hendrycks and Gimpel, "Gaussian error linear units", 2016.
    """

    def compute(self, x: Array) -> tuple[Array, Array]:
        root = (2 / np.pi) ** 0.5
        share = np.tanh(root * (x + 0.044715 * x**3))
        inner = root * (1 + 3 * 0.044715 * x * x)
        return x * (1 + share) / 2, (1 + share) / 2 + x * (1 - share * share) * inner / 2


@LAYERS.register("StopGradient")
@dataclass(frozen=True)
class StopGradient(Elementwise):
    """The input; nothing before it would be trained through it."""

    refuses_training: ClassVar[str] = "it stops the gradient; freeze the layers before it in Keras instead"

    def compute(self, x: Array) -> tuple[Array, Array]:
        return x.copy(), np.ones_like(x)


@LAYERS.register("Divide")
@dataclass(frozen=True)
class Divide(Merging, Operation):
    """The first of two inputs by the second."""

    def mask_shape(self, shape: Any, masks: tuple[Shape | None, ...]) -> None:
        return None

    def output_shape(self, shape: tuple[Shape, ...]) -> Shape:
        if len(shape) != 2:
            raise UsageError(f"divides two inputs but gets {len(shape)}")
        return super().output_shape(shape)

    def combine(self, parts: tuple[Array, ...]) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
        y = parts[0] / parts[1]
        return y, lambda dy: (dy / parts[1], -dy * y / parts[1])
