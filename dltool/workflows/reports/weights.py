"""Statistics of a model's weights, and their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.engine.model import Model
from dltool.errors import UsageError
from dltool.registry import nearest


@dataclass(frozen=True)
class WeightRow:
    """One weight, named ``layer/weight``.

    Attributes:
        mean, std, min, max: of the finite values; None when there are none. zeros: share of exact zeros.
        num_bad: how many are NaN or infinite.
    """

    name: str
    shape: tuple[int, ...]
    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    zeros: float
    num_bad: int = 0

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "shape": list(self.shape)}


def all_weights(model: Model) -> dict[str, np.ndarray]:
    """``layer/weight`` -> its view, in graph order."""
    return {
        f"{layer}/{spec.name}": view
        for layer, specs in model.graph.specs.items()
        for spec, view in zip(specs, model.weights.views[layer], strict=True)
    }


def chosen_weights(model: Model, name: str) -> dict[str, np.ndarray]:
    """The weights that a name means: all for "", a layer's, or one. Raises UsageError with the nearest name."""
    found = all_weights(model)
    if not name:
        return found
    if name in found:
        return {name: found[name]}
    of_layer = {full: view for full, view in found.items() if full.rpartition("/")[0] == name}
    if of_layer:
        return of_layer
    if name in model.graph.layers:
        raise UsageError(f"--weights: layer {name!r} has no weights")
    close = nearest(name, [*model.graph.layers, *found])
    advice = f"did you mean {close!r}?" if close else "--weights alone lists them"
    raise UsageError(f"--weights: the model has no layer or weight {name!r}; {advice}")


def describe_weight(name: str, values: np.ndarray) -> WeightRow:
    """The statistics, summed in float64."""
    good = values[np.isfinite(values)].astype(np.float64)
    zeros = float((values == 0).mean()) if values.size else 0.0
    if not good.size:
        return WeightRow(name, values.shape, None, None, None, None, zeros, values.size)
    numbers = (float(number) for number in (good.mean(), good.std(), good.min(), good.max()))
    return WeightRow(name, values.shape, *numbers, zeros, values.size - good.size)
