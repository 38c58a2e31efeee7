"""Weight penalties that are added to the loss, with their gradient. Imports numpy, the registry and errors only.

Keras's L1, L2 and L1L2 are one class here, because L1 and L2 are L1L2 with a zero.
Source: Keras 3.15, keras/src/regularizers/regularizers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.errors import UsageError
from dltool.registry import Registry


@dataclass(frozen=True)
class Regularizer:
    """Penalty ``l1 * sum(|w|) + l2 * sum(w^2)``; there is no factor 1/2.

    >>> penalty, gradient = Regularizer(l2=0.5)(np.array([1.0, -2.0]))
    >>> float(penalty), gradient.tolist()
    (2.5, [1.0, -2.0])
    """

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "l1", float(self.l1))
        object.__setattr__(self, "l2", float(self.l2))

    def __call__(self, w: np.ndarray) -> tuple[np.float64, np.ndarray]:
        """The penalty (summed in float64) and its gradient, an array like ``w``."""
        penalty = np.float64(0)
        gradient = np.zeros_like(w)
        if self.l1:
            penalty += self.l1 * np.sum(np.abs(w), dtype=np.float64)
            gradient += self.l1 * np.sign(w)
        if self.l2:
            penalty += self.l2 * np.sum(np.square(w), dtype=np.float64)
            gradient += 2 * self.l2 * w
        return penalty, gradient


REGULARIZERS: Registry[Callable[..., Regularizer]] = Registry("regularizer")


@REGULARIZERS.register("L1", "l1")
def l1(l1: float = 0.01) -> Regularizer:
    return Regularizer(l1=l1)


@REGULARIZERS.register("L2", "l2")
def l2(l2: float = 0.01) -> Regularizer:
    return Regularizer(l2=l2)


@REGULARIZERS.register("L1L2", "l1_l2", "l1l2")
def l1l2(l1: float = 0.0, l2: float = 0.0) -> Regularizer:
    return Regularizer(l1, l2)


def regularizer(value: str | dict[str, Any] | Regularizer | None) -> Regularizer | None:
    """The regularizer behind a name ("l2" means 0.01, as in Keras), a Keras dict, itself, or None.

    Raises:
        UnknownNameError: no regularizer has this name.
        UsageError: the config has a key that the regularizer does not know.
    """
    if value is None or isinstance(value, Regularizer):
        return value
    if isinstance(value, str):
        return REGULARIZERS.get(value)()
    name, config = value["class_name"], value.get("config") or {}
    takes = {"L1": {"l1"}, "L2": {"l2"}, "L1L2": {"l1", "l2"}}[REGULARIZERS.canonical(name)]
    unknown = sorted(set(config) - takes)
    if unknown:
        raise UsageError(f"regularizer {name!r}: unknown option {unknown[0]!r}; it takes {' and '.join(sorted(takes))}")
    return REGULARIZERS.get(name)(**config)
