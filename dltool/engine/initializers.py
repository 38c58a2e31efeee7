"""How weights start: Keras's initializers, by Keras's class names. Imports numpy, the registry and errors only.

An initializer is a frozen dataclass whose fields are its Keras config without the seed: which numbers are drawn is
decided by the generator that the caller passes. So the distributions are Keras's, the numbers themselves are not.
Source: Keras 3.15, keras/src/initializers/random_initializers.py and constant_initializers.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from dltool.errors import UsageError
from dltool.registry import Registry

INITIALIZERS: Registry[type[Initializer]] = Registry("initializer")

TRUNCATED_STDDEV = 0.87962566103423978
"""Standard deviation of a standard normal distribution cut off at -2 and 2."""


@dataclass(frozen=True)
class Initializer:
    """Base: ``initializer(shape, generator)`` gives a new float32 array."""

    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        raise NotImplementedError(type(self).__name__)

    def config(self) -> dict[str, Any]:
        """The Keras constructor arguments, without a seed."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def initializer(value: str | dict[str, Any] | Initializer) -> Initializer:
    """The initializer behind a name ("he_normal", "HeNormal"), a Keras dict, or itself.

    Raises:
        UnknownNameError: no initializer has this name.
        UsageError: the config has a key that the initializer does not know.
    """
    if isinstance(value, Initializer):
        return value
    if isinstance(value, str):
        return INITIALIZERS.get(value)()
    name, config = value["class_name"], value.get("config") or {}
    found = INITIALIZERS.get(name)
    known = {f.name for f in fields(found)}
    # Keras 2 also writes a dtype here, which like the seed says nothing about the distribution; Keras 3.15 writes
    # options that mean "as always" when null.
    config = {key: entry for key, entry in config.items() if key not in ("seed", "dtype") and entry is not None}
    unknown = sorted(set(config) - known)
    if unknown:
        raise UsageError(
            f"initializer {name!r}: unknown option {unknown[0]!r}; it takes {', '.join(sorted(known)) or 'none'}"
        )
    return found(**config)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Number of inputs and outputs of one unit for a weight of ``shape`` (..., inputs, outputs)."""
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    receptive_field = math.prod(shape[:-2])
    return shape[-2] * receptive_field, shape[-1] * receptive_field


def truncated_normal(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Standard normal numbers; those beyond two standard deviations are drawn again."""
    values = generator.standard_normal(math.prod(shape), np.float32)
    outside = np.flatnonzero(np.abs(values) > 2)
    while outside.size:
        values[outside] = generator.standard_normal(outside.size, np.float32)
        outside = outside[np.abs(values[outside]) > 2]
    return values.reshape(shape)


def uniform(low: float, high: float, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    return generator.random(shape, np.float32) * np.float32(high - low) + np.float32(low)


def store_floats(obj: Any, *names: str) -> None:
    """Make fields of a frozen dataclass Python floats (JSON may hold 1 for 1.0)."""
    for name in names:
        object.__setattr__(obj, name, float(getattr(obj, name)))


@INITIALIZERS.register("Zeros", "zeros", "zero")
@dataclass(frozen=True)
class Zeros(Initializer):
    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        return np.zeros(shape, np.float32)


@INITIALIZERS.register("Ones", "ones", "one")
@dataclass(frozen=True)
class Ones(Initializer):
    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        return np.ones(shape, np.float32)


@INITIALIZERS.register("Constant", "constant")
@dataclass(frozen=True)
class Constant(Initializer):
    value: float = 0.0

    def __post_init__(self) -> None:
        store_floats(self, "value")

    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        return np.full(shape, self.value, np.float32)


@INITIALIZERS.register("Identity", "identity", "IdentityInitializer")
@dataclass(frozen=True)
class Identity(Initializer):
    """``gain`` on the diagonal of a matrix, zero elsewhere."""

    gain: float = 1.0

    def __post_init__(self) -> None:
        store_floats(self, "gain")

    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        if len(shape) != 2:
            raise UsageError(f"initializer 'identity': fills matrices only, got a weight of shape {shape}; use another")
        return np.eye(*shape, dtype=np.float32) * np.float32(self.gain)


@INITIALIZERS.register("Orthogonal", "orthogonal")
@dataclass(frozen=True)
class Orthogonal(Initializer):
    """``gain`` times a matrix (all axes but the last are rows) with orthonormal rows or columns, whichever are fewer.

    Source: Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", 2014.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        store_floats(self, "gain")

    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        if len(shape) < 2:
            raise UsageError(f"initializer 'orthogonal': needs two axes or more, got shape {shape}; use another")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        normal = generator.standard_normal((max(rows, columns), min(rows, columns)), np.float32)
        q, r = np.linalg.qr(normal)
        q *= np.where(np.diagonal(r) < 0, np.float32(-1), np.float32(1))  # makes the distribution uniform
        return np.ascontiguousarray((q if rows >= columns else q.T).reshape(shape)) * np.float32(self.gain)


@INITIALIZERS.register("RandomNormal", "random_normal", "normal")
@dataclass(frozen=True)
class RandomNormal(Initializer):
    mean: float = 0.0
    stddev: float = 0.05

    def __post_init__(self) -> None:
        store_floats(self, "mean", "stddev")

    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        return generator.standard_normal(shape, np.float32) * np.float32(self.stddev) + np.float32(self.mean)


@INITIALIZERS.register("TruncatedNormal", "truncated_normal")
@dataclass(frozen=True)
class TruncatedNormal(Initializer):
    """Normal numbers within two ``stddev`` of ``mean``."""

    mean: float = 0.0
    stddev: float = 0.05

    def __post_init__(self) -> None:
        store_floats(self, "mean", "stddev")

    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        return truncated_normal(shape, generator) * np.float32(self.stddev) + np.float32(self.mean)


@INITIALIZERS.register("RandomUniform", "random_uniform", "uniform")
@dataclass(frozen=True)
class RandomUniform(Initializer):
    minval: float = -0.05
    maxval: float = 0.05

    def __post_init__(self) -> None:
        store_floats(self, "minval", "maxval")

    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        return uniform(self.minval, self.maxval, shape, generator)


@INITIALIZERS.register("VarianceScaling", "variance_scaling")
@dataclass(frozen=True)
class VarianceScaling(Initializer):
    """Numbers with variance ``scale / n``, n being the inputs of a unit, its outputs, or their average.

    Args:
        scale: positive.
        mode: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal" (also "normal"), "untruncated_normal" or "uniform".
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"

    def __post_init__(self) -> None:
        store_floats(self, "scale")
        mode, distribution = self.mode.lower(), self.distribution.lower()
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise UsageError(f"initializer 'variance_scaling': mode {mode!r}; use fan_in, fan_out or fan_avg")
        distribution = "truncated_normal" if distribution == "normal" else distribution
        if distribution not in ("truncated_normal", "untruncated_normal", "uniform"):
            raise UsageError(
                f"initializer 'variance_scaling': distribution {distribution!r}; "
                "use truncated_normal, untruncated_normal or uniform"
            )
        object.__setattr__(self, "mode", mode)
        object.__setattr__(self, "distribution", distribution)

    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        fan_in, fan_out = fans(shape)
        units = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, units)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return uniform(-limit, limit, shape, generator)
        if self.distribution == "truncated_normal":
            # cutting the tails off makes the numbers smaller; the division gives the variance back
            return truncated_normal(shape, generator) * np.float32(math.sqrt(variance) / TRUNCATED_STDDEV)
        return generator.standard_normal(shape, np.float32) * np.float32(math.sqrt(variance))


@dataclass(frozen=True)
class NamedScaling(Initializer):
    """A VarianceScaling that is known by a name of its own."""

    scaling: ClassVar[VarianceScaling]

    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        return self.scaling(shape, generator)


@INITIALIZERS.register("GlorotUniform", "glorot_uniform")
@dataclass(frozen=True)
class GlorotUniform(NamedScaling):
    """Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward networks", 2010."""

    scaling: ClassVar = VarianceScaling(1.0, "fan_avg", "uniform")


@INITIALIZERS.register("GlorotNormal", "glorot_normal")
@dataclass(frozen=True)
class GlorotNormal(NamedScaling):
    """Source: as GlorotUniform."""

    scaling: ClassVar = VarianceScaling(1.0, "fan_avg", "truncated_normal")


@INITIALIZERS.register("HeNormal", "he_normal")
@dataclass(frozen=True)
class HeNormal(NamedScaling):
    """Source: He et al., "Delving deep into rectifiers", 2015."""

    scaling: ClassVar = VarianceScaling(2.0, "fan_in", "truncated_normal")


@INITIALIZERS.register("HeUniform", "he_uniform")
@dataclass(frozen=True)
class HeUniform(NamedScaling):
    """Source: as HeNormal."""

    scaling: ClassVar = VarianceScaling(2.0, "fan_in", "uniform")


@INITIALIZERS.register("LecunNormal", "lecun_normal")
@dataclass(frozen=True)
class LecunNormal(NamedScaling):
    """Source: LeCun et al., "Efficient backprop", 1998; the partner of selu (Klambauer et al., 2017)."""

    scaling: ClassVar = VarianceScaling(1.0, "fan_in", "truncated_normal")


@INITIALIZERS.register("LecunUniform", "lecun_uniform")
@dataclass(frozen=True)
class LecunUniform(NamedScaling):
    """Source: as LecunNormal."""

    scaling: ClassVar = VarianceScaling(1.0, "fan_in", "uniform")
