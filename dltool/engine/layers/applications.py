"""Layers that the ready networks of ``keras.applications`` bring along. Imports engine basics only.

Keras has them in the modules of those networks, not among its layers, so it opens files with them only when it is given
the classes as ``custom_objects``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from dltool.engine.initializers import Constant
from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, WeightSpec, describe, normalize
from dltool.engine.layers.core import positive
from dltool.engine.layers.noise import kept, rate
from dltool.errors import UsageError


@LAYERS.register("LayerScale")
@dataclass(frozen=True)
class LayerScale(Layer):
    """The channels times trained factors, which start at ``init_values``.

    Weights: gamma (projection_dim,). Source: Touvron et al., "Going deeper with image transformers", arXiv:2103.17239.
    """

    init_values: float
    projection_dim: int

    def __post_init__(self) -> None:
        normalize(
            self,
            init_values=float(self.init_values),
            projection_dim=positive("projection_dim", self.projection_dim),
        )

    def output_shape(self, shape: Shape) -> Shape:
        if not shape or shape[-1] != self.projection_dim:
            raise UsageError(f"scales {self.projection_dim} channels but gets {describe(shape)}")
        return shape

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        return (WeightSpec("gamma", (self.projection_dim,), Constant(self.init_values)),)

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        (gamma,) = weights

        def backward(dy: Array) -> tuple[Array, tuple[Array, ...]]:
            return dy * gamma, ((dy * x).reshape(-1, self.projection_dim).sum(0),)

        return x * gamma, backward


@LAYERS.register("StochasticDepth")
@dataclass(frozen=True)
class StochasticDepth(Layer):
    """In training drops a share ``drop_path_rate`` of the samples whole and scales the others up.

    The rate is rounded to 1/256, as for Dropout. Source: Huang et al., "Deep networks with stochastic depth", 2016.
    """

    drop_path_rate: float

    is_random: ClassVar[bool] = True
    idle_at_inference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, drop_path_rate=rate("drop_path_rate", self.drop_path_rate))

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        if not call.training or not self.drop_path_rate:
            return x, lambda dy: (dy, ())
        drawn = call.stream.random_bytes((len(x), *[1] * (x.ndim - 1)))
        factor = kept(drawn, self.drop_path_rate, x.dtype)
        return x * factor, lambda dy: (dy * factor, ())


@LAYERS.register("CustomScaleLayer")
@dataclass(frozen=True)
class CustomScaleLayer(Layer):
    """The first input plus ``scale`` times the second, which has the same shape: the sums of InceptionResNetV2."""

    scale: float

    joins: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(self, scale=float(self.scale))

    def output_shape(self, shape: tuple[Shape, ...]) -> Shape:
        if len(shape) != 2 or shape[0] != shape[1]:
            raise UsageError(f"adds two inputs of one shape but gets {describe(shape)}")
        return shape[0]

    def forward(self, x: tuple[Array, ...], weights: tuple[Array, ...], call: Call) -> tuple[Array, Any]:
        scale = x[0].dtype.type(self.scale)
        return x[0] + x[1] * scale, lambda dy: ((dy, dy * scale), ())
