"""Limits that weights are put back into after every optimizer step. Imports numpy, the registry and errors only.

A constraint is a frozen dataclass whose fields are its Keras config; called on a weight it changes it in place.
``axis`` names the axes that a norm runs over: 0 for a Dense kernel (inputs, units), so that each unit has its norm;
(0, 1, 2) for an image kernel. Source: Keras 3.15, keras/src/constraints/constraints.py.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from dltool.errors import UsageError
from dltool.registry import Registry

CONSTRAINTS: Registry[type[Constraint]] = Registry("constraint")

EPSILON = 1e-7
"""What Keras adds to a norm before it divides by it."""


@dataclass(frozen=True)
class Constraint:
    """Base of all constraints."""

    def __call__(self, w: np.ndarray) -> None:
        """Change ``w`` in place."""
        raise NotImplementedError(type(self).__name__)

    def config(self) -> dict[str, Any]:
        """The Keras constructor arguments."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __post_init__(self) -> None:
        axis = getattr(self, "axis", None)
        if isinstance(axis, list | tuple):
            object.__setattr__(self, "axis", tuple(int(a) for a in axis))


@CONSTRAINTS.register("MaxNorm", "max_norm")
@dataclass(frozen=True)
class MaxNorm(Constraint):
    """Norms above ``max_value`` are scaled down to it: ``w * clip(norm, 0, max) / (1e-7 + norm)``."""

    max_value: float = 2
    axis: int | tuple[int, ...] = 0

    def __call__(self, w: np.ndarray) -> None:
        size = norm(w, self.axis)
        np.multiply(w, np.clip(size, 0, self.max_value) / (EPSILON + size), out=w)


@CONSTRAINTS.register("NonNeg", "non_neg")
@dataclass(frozen=True)
class NonNeg(Constraint):
    """Numbers below zero become zero."""

    def __call__(self, w: np.ndarray) -> None:
        np.maximum(w, 0, out=w)


@CONSTRAINTS.register("UnitNorm", "unit_norm")
@dataclass(frozen=True)
class UnitNorm(Constraint):
    """Every norm becomes 1: ``w / (1e-7 + norm)``."""

    axis: int | tuple[int, ...] = 0

    def __call__(self, w: np.ndarray) -> None:
        np.divide(w, EPSILON + norm(w, self.axis), out=w)


@CONSTRAINTS.register("MinMaxNorm", "min_max_norm")
@dataclass(frozen=True)
class MinMaxNorm(Constraint):
    """Norms go towards [``min_value``, ``max_value``]; ``rate`` is how much of the way, 1 all of it."""

    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0
    axis: int | tuple[int, ...] = 0

    def __call__(self, w: np.ndarray) -> None:
        size = norm(w, self.axis)
        wanted = self.rate * np.clip(size, self.min_value, self.max_value) + (1 - self.rate) * size
        np.multiply(w, wanted / (EPSILON + size), out=w)


def norm(w: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Euclidean norms over ``axis``, which is kept with size 1."""
    return np.sqrt(np.square(w).sum(axis, keepdims=True))


def constraint(value: str | dict[str, Any] | Constraint | None) -> Constraint | None:
    """The constraint behind a name, a Keras dict, itself, or None.

    Raises:
        UnknownNameError: no constraint has this name.
        UsageError: the config has a key that the constraint does not know.
    """
    if value is None or isinstance(value, Constraint):
        return value
    if isinstance(value, str):
        return CONSTRAINTS.get(value)()
    found, config = CONSTRAINTS.get(value["class_name"]), value.get("config") or {}
    unknown = sorted(set(config) - {f.name for f in fields(found)})
    if unknown:
        raise UsageError(f"constraint {value['class_name']!r}: unknown option {unknown[0]!r}")
    return found(**config)
