"""Dropout and the other layers that disturb their input in training only. Imports engine basics only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, describe, normalize
from dltool.engine.layers.spatial import check_positions
from dltool.errors import UsageError

DROPOUT_LEVELS = 256
"""One random byte decides on one element."""
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848, 1.0507009873554804934


def dropping_threshold(share: float) -> int:
    """An element is dropped when its random byte is below this."""
    return min(round(share * DROPOUT_LEVELS), DROPOUT_LEVELS - 1)


def kept_scale(share: float) -> float:
    """What kept elements are multiplied with, so that the mean stays."""
    return DROPOUT_LEVELS / (DROPOUT_LEVELS - dropping_threshold(share))


def kept(drawn: Array, share: float, dtype: Any) -> Array:
    """0 where a random byte drops, else the scale that keeps the mean."""
    return (drawn >= dropping_threshold(share)) * np.dtype(dtype).type(kept_scale(share))


def rate(name: str, value: Any) -> float:
    """A share from 0 to 1. Raises UsageError."""
    if not 0 <= float(value) <= 1:
        raise UsageError(f"{name} is {value}; give a number from 0 to 1")
    return float(value)


@LAYERS.register("Dropout")
@dataclass(frozen=True)
class Dropout(Layer):
    """In training sets a share ``rate`` of the elements to zero and scales the rest up; else passes x on.

    ``noise_shape`` makes elements share their fate: (None, 1, 1, 1) drops whole samples, as networks with stochastic
    depth do. Its first entry, the batch, must be None.

    Deviation from Keras: one random byte decides on one element, so the rate used is ``rate`` rounded to 1/256 (and at
    most 255/256), and the scale 256 / (256 - threshold) belongs to that rate: the mean stays exact.
    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    """

    rate: float
    noise_shape: tuple[int | None, ...] | None = None

    is_random: ClassVar[bool] = True
    idle_at_inference: ClassVar[bool] = True

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, rate=float(self.rate))
        if not 0 <= self.rate <= 1:
            raise UsageError(f"dropout rate {self.rate:g}: must lie between 0 and 1, e.g. 0.5")
        if self.noise_shape is not None:
            normalize(self, noise_shape=tuple(self.noise_shape))
            if self.noise_shape[:1] != (None,):
                raise UsageError(f"noise_shape {self.noise_shape}: the batch's entry, the first, must be None")

    @property
    def threshold(self) -> int:
        """An element is dropped when its random byte is below this."""
        return dropping_threshold(self.rate)

    @property
    def scale(self) -> float:
        """What kept elements are multiplied with."""
        return kept_scale(self.rate)

    def output_shape(self, shape: Shape) -> Shape:
        if self.noise_shape is not None:
            fits = len(self.noise_shape) == len(shape) + 1
            if not fits or any(
                wanted not in (None, 1, size) for wanted, size in zip(self.noise_shape[1:], shape, strict=True)
            ):
                raise UsageError(f"noise_shape {self.noise_shape} does not fit its input {describe(shape)}")
        return shape

    def drawn_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the random bytes for an array of ``shape``."""
        wanted = self.noise_shape or (None,) * len(shape)
        return tuple(size if one is None else one for one, size in zip(wanted, shape, strict=True))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        if not call.training or self.threshold == 0:
            return x, lambda dy: (dy, ())
        factor = kept(call.stream.random_bytes(self.drawn_shape(x.shape)), self.rate, x.dtype)
        return x * factor, lambda dy: (dy * factor, ())


@LAYERS.register("GaussianNoise", "noise")
@dataclass(frozen=True)
class GaussianNoise(Layer):
    """In training adds normal numbers of standard deviation ``stddev``."""

    stddev: float

    is_random: ClassVar[bool] = True
    idle_at_inference: ClassVar[bool] = True
    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, stddev=float(self.stddev))
        if self.stddev < 0:
            raise UsageError(f"stddev is {self.stddev:g}; give a number from 0")

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        if call.training and self.stddev:
            x = x + call.stream.normal(x.shape, x.dtype) * x.dtype.type(self.stddev)
        return x, lambda dy: (dy, ())


@LAYERS.register("GaussianDropout")
@dataclass(frozen=True)
class GaussianDropout(Layer):
    """In training multiplies with normal numbers of mean 1 and variance ``rate / (1 - rate)``.

    Source: Srivastava et al., "Dropout", 2014, section 10.
    """

    rate: float

    is_random: ClassVar[bool] = True
    idle_at_inference: ClassVar[bool] = True
    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, rate=rate("rate", self.rate))
        if self.rate == 1:
            raise UsageError("rate is 1, which has no finite noise; give a number below 1")

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        if not call.training or not self.rate:
            return x, lambda dy: (dy, ())
        deviation = x.dtype.type(math.sqrt(self.rate / (1 - self.rate)))
        factor = 1 + call.stream.normal(x.shape, x.dtype) * deviation
        return x * factor, lambda dy: (dy * factor, ())


@LAYERS.register("AlphaDropout")
@dataclass(frozen=True)
class AlphaDropout(Layer):
    """Dropout for networks of selu: dropped numbers take selu's lower limit, then mean and variance are put right.

    Source: Klambauer et al., "Self-normalizing neural networks", arXiv:1706.02515.
    """

    rate: float

    is_random: ClassVar[bool] = True
    idle_at_inference: ClassVar[bool] = True
    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, rate=rate("rate", self.rate))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        if not call.training or not self.rate:
            return x, lambda dy: (dy, ())
        stays = (kept(call.stream.random_bytes(x.shape), self.rate, x.dtype) > 0).astype(x.dtype)
        low = -SELU_ALPHA * SELU_SCALE
        scale = x.dtype.type(((1 - self.rate) * (1 + self.rate * low**2)) ** -0.5)
        shift = x.dtype.type(-scale * low * self.rate)
        y = scale * (x * stays + x.dtype.type(low) * (1 - stays)) + shift
        return y, lambda dy: (dy * stays * scale, ())


@dataclass(frozen=True)
class SpatialDropout(Layer):
    """Dropout of whole channels."""

    rate: float

    rank: ClassVar[int] = 1
    is_random: ClassVar[bool] = True
    idle_at_inference: ClassVar[bool] = True
    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, rate=rate("rate", self.rate))

    def output_shape(self, shape: Shape) -> Shape:
        check_positions(shape, self.rank)
        return shape

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        if not call.training or not self.rate:
            return x, lambda dy: (dy, ())
        drawn = call.stream.random_bytes((len(x), x.shape[-1])).reshape(len(x), *[1] * self.rank, x.shape[-1])
        factor = kept(drawn, self.rate, x.dtype)
        return x * factor, lambda dy: (dy * factor, ())


@LAYERS.register("SpatialDropout1D")
@dataclass(frozen=True)
class SpatialDropout1D(SpatialDropout):
    """In training drops whole channels of a sequence. Source: Tompson et al., arXiv:1411.4280."""


@LAYERS.register("SpatialDropout2D")
@dataclass(frozen=True)
class SpatialDropout2D(SpatialDropout):
    """In training drops whole channels of an image."""

    rank: ClassVar[int] = 2


@LAYERS.register("SpatialDropout3D")
@dataclass(frozen=True)
class SpatialDropout3D(SpatialDropout):
    """In training drops whole channels of a volume."""

    rank: ClassVar[int] = 3
