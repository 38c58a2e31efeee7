"""Normalisation with trained parameters. Imports engine basics only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dltool.engine.constraints import Constraint
from dltool.engine.initializers import Initializer
from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, WeightSpec, normalize
from dltool.engine.layers.rules import normalize_rules, ruled
from dltool.engine.regularizers import Regularizer
from dltool.errors import UsageError


@LAYERS.register("BatchNormalization", "bn", "batchnorm")
@dataclass(frozen=True)
class BatchNormalization(Layer):
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta``, per entry of ``axis``.

    In training, mean and variance are the batch's (all axes but ``axis``), and the moving ones take a step
    ``moving * momentum + batch * (1 - momentum)``. At inference, and when frozen (``trainable=False``), the moving
    ones are used and stay as they are.

    Args:
        axis: the channel axis, the batch axis counted as 0; Keras also writes it as a list of one.
        unbiased_moving_variance: not a Keras option. Keras 3 moves with the batch's biased variance; Keras 2's fused
            kernel (images) moves with n / (n - 1) times that. Readers of Keras 2 files set this, so that training
            goes on with the same numbers.

    Weights: gamma (with ``scale``), beta (with ``center``), moving_mean, moving_variance, each (channels,).
    Source: Ioffe and Szegedy, "Batch normalization", 2015.
    """

    axis: int | list[int] | tuple[int, ...] = -1
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Initializer | str | dict = "zeros"
    gamma_initializer: Initializer | str | dict = "ones"
    moving_mean_initializer: Initializer | str | dict = "zeros"
    moving_variance_initializer: Initializer | str | dict = "ones"
    beta_regularizer: Regularizer | str | dict | None = None
    gamma_regularizer: Regularizer | str | dict | None = None
    beta_constraint: Constraint | str | dict | None = None
    gamma_constraint: Constraint | str | dict | None = None
    unbiased_moving_variance: bool = False

    couples_batch: ClassVar[bool] = True

    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        axis = self.axis if isinstance(self.axis, list | tuple) else [self.axis]
        if len(axis) != 1:
            raise UsageError(f"axis {self.axis}: batch normalisation takes one axis, e.g. -1")
        normalize(
            self,
            axis=int(axis[0]),
            momentum=float(self.momentum),
            epsilon=float(self.epsilon),
        )
        normalize_rules(self, "beta", "gamma", "moving_mean", "moving_variance")

    def channel_axis(self, ndim: int) -> int:
        """``axis`` as a positive number for an array with ``ndim`` axes, batch included."""
        axis = self.axis + ndim if self.axis < 0 else self.axis
        if not 1 <= axis < ndim:
            raise UsageError(f"axis {self.axis}: its input has axes 1 to {ndim - 1}; use -1 for the last one")
        return axis

    def output_shape(self, shape: Shape) -> Shape:
        axis = self.channel_axis(len(shape) + 1)
        if shape[axis - 1] is None:
            raise UsageError(f"axis {axis} of its input has no fixed size; give the full input shape")
        return shape

    def weight_specs(self, shape: Shape) -> tuple[WeightSpec, ...]:
        size = (shape[self.channel_axis(len(shape) + 1) - 1],)
        specs = [ruled(self, kind, size) for kind, has in (("gamma", self.scale), ("beta", self.center)) if has]
        specs.append(WeightSpec("moving_mean", size, self.moving_mean_initializer, trainable=False))
        specs.append(WeightSpec("moving_variance", size, self.moving_variance_initializer, trainable=False))
        return tuple(specs)

    def uses_batch(self, call: Call) -> bool:
        """True when the batch's own statistics are used: in training, unless frozen."""
        return call.training and self.trainable

    def forward(self, x: Array, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        axis = self.channel_axis(x.ndim)
        others = tuple(a for a in range(x.ndim) if a != axis)
        aligned = tuple(x.shape[axis] if a == axis else 1 for a in range(x.ndim))
        first = len(weights) - 2
        mean, variance = weights[first], weights[first + 1]
        if self.uses_batch(call):
            # float64 sums: NumPy adds along the first axes one by one, which loses digits in float32
            mean = x.mean(others, dtype=np.float64)
            variance = np.square(x - mean.reshape(aligned)).mean(others)
            count = x.size // x.shape[axis]
            self._move(call, first, weights, mean, variance, count)
        scale = 1 / np.sqrt(variance + self.epsilon).astype(x.dtype).reshape(aligned)
        normed = (x - mean.astype(x.dtype).reshape(aligned)) * scale
        y = normed
        if self.scale:
            scale = scale * weights[0].reshape(aligned)
            y = normed * weights[0].reshape(aligned)
        if self.center:
            y = y + weights[first - 1].reshape(aligned)

        def backward(dy: Array) -> tuple[Array, tuple[Array | None, ...]]:
            dgamma, dbeta = (dy * normed).sum(others), dy.sum(others)
            dweights = (*((dgamma,) if self.scale else ()), *((dbeta,) if self.center else ()), None, None)
            if not self.uses_batch(call):
                return dy * scale, dweights
            # mean and variance depend on x too: their part takes out what is constant or proportional to normed
            n = x.size // x.shape[axis]
            through = dbeta.reshape(aligned) / n + normed * (dgamma.reshape(aligned) / n)
            return scale * (dy - through), dweights

        return y, backward

    def _move(
        self, call: Call, first: int, weights: tuple[Array, ...], mean: Array, variance: Array, count: int
    ) -> None:
        """Put the moving statistics after this batch into ``call.updates``."""
        if self.unbiased_moving_variance:
            variance = variance * (count / max(count - 1, 1))
        for index, batch in ((first, mean), (first + 1, variance)):
            moved = weights[index] * self.momentum + batch * (1 - self.momentum)
            call.updates[index] = moved.astype(weights[index].dtype)
