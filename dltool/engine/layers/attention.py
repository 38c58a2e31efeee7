"""Attention: every position of a query looks at all positions of a value. Imports engine basics only.

The first input is the query (positions x features), the second the value, the third the key (by default the value).
Where the value's mask is False nothing is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dltool.engine.constraints import Constraint
from dltool.engine.initializers import Initializer, initializer
from dltool.engine.layers.base import LAYERS, Array, Backward, Call, Layer, Shape, WeightSpec, describe, normalize
from dltool.engine.layers.core import positive
from dltool.engine.layers.noise import kept, rate
from dltool.engine.layers.rules import normalize_rules, ruled
from dltool.engine.regularizers import Regularizer
from dltool.errors import UsageError

MASKED = 1e9
"""What Keras subtracts from the score of a masked position."""


@dataclass(frozen=True)
class PlainAttention(Layer):
    """What the layers with plain inputs share: scores of (query, key) -> softmax -> weighted sums of the value."""

    joins: ClassVar[bool] = True
    keeps_mask: ClassVar[bool] = True

    @property
    def is_random(self) -> bool:
        return self.dropout > 0

    def output_shape(self, shape: tuple[Shape, ...]) -> Shape:
        query, value, key = checked(shape)
        if query[-1] != key[-1]:
            raise UsageError(f"its query has {query[-1]} features and its key {key[-1]}; make them equal")
        return (*query[:-1], value[-1])

    def scores(self, query: Array, key: Array, weights: tuple[Array, ...]) -> tuple[Array, Callable]:
        """Scores (n, queries, keys), and the way back: gradient -> (dquery, dkey, dweights)."""
        raise NotImplementedError(type(self).__name__)

    def forward(self, x: tuple[Array, ...], weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        query, value, key = x[0], x[1], x[2] if len(x) > 2 else x[1]
        scores, scores_back = self.scores(query, key, weights)
        allowed = allowed_positions(scores.shape, call.masks[1] if len(call.masks) > 1 else None, self.use_causal_mask)
        shares, shares_back = attend(scores, allowed, self.dropout, call)
        y = shares @ value
        shown = None if call.mask is None else call.mask[..., None]
        if shown is not None:
            y = y * shown

        def backward(dy: Array) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
            if shown is not None:
                dy = dy * shown
            dvalue = shares.swapaxes(-1, -2) @ dy
            dquery, dkey, dweights = scores_back(shares_back(dy @ value.swapaxes(-1, -2)))
            parts = (dquery, dvalue, dkey) if len(x) > 2 else (dquery, dvalue + dkey)
            return parts, dweights

        return y, backward


@LAYERS.register("Attention")
@dataclass(frozen=True)
class Attention(PlainAttention):
    """Dot-product attention: ``softmax(query @ key^T) @ value``.

    ``score_mode``: "dot", or "concat": ``c * sum(tanh(scale * (query + key)))``. ``use_scale`` trains a factor.
    ``use_causal_mask``: a position looks at itself and at earlier ones only (in Keras an option of the call).
    Weights: scale () with ``use_scale``, concat_score_weight () with "concat".
    Source: Luong, Pham and Manning, arXiv:1508.04025.
    """

    use_scale: bool = False
    score_mode: str = "dot"
    dropout: float = 0.0
    use_causal_mask: bool = False

    def __post_init__(self) -> None:
        normalize(self, dropout=rate("dropout", self.dropout))
        if self.score_mode not in ("dot", "concat"):
            raise UsageError(f"score_mode {self.score_mode!r} is not known; use dot or concat")

    def weight_specs(self, shape: Any) -> tuple[WeightSpec, ...]:
        names = ["scale"] * self.use_scale + ["concat_score_weight"] * (self.score_mode == "concat")
        return tuple(WeightSpec(name, (), initializer("ones")) for name in names)

    def scores(self, query: Array, key: Array, weights: tuple[Array, ...]) -> tuple[Array, Callable]:
        scale = weights[0] if self.use_scale else query.dtype.type(1)
        if self.score_mode == "concat":
            return self._concat_scores(query, key, scale, weights[-1])
        plain = query @ key.swapaxes(-1, -2)

        def back(dscores: Array) -> tuple[Array, Array, tuple[Array, ...]]:
            dplain = dscores * scale
            dweights = (np.asarray((dscores * plain).sum()),) if self.use_scale else ()
            return dplain @ key, dplain.swapaxes(-1, -2) @ query, dweights

        return plain * scale, back

    def _concat_scores(self, query: Array, key: Array, scale: Array, factor: Array) -> tuple[Array, Callable]:
        total = query[..., :, None, :] + key[..., None, :, :]
        squashed = np.tanh(scale * total)
        sums = squashed.sum(-1)

        def back(dscores: Array) -> tuple[Array, Array, tuple[Array, ...]]:
            dinside = (factor * dscores)[..., None] * (1 - squashed * squashed)
            dtotal = dinside * scale
            dscale = (np.asarray((dinside * total).sum()),) if self.use_scale else ()
            return dtotal.sum(-2), dtotal.sum(-3), (*dscale, np.asarray((dscores * sums).sum()))

        return factor * sums, back


@LAYERS.register("AdditiveAttention")
@dataclass(frozen=True)
class AdditiveAttention(PlainAttention):
    """Attention with the scores ``sum(scale * tanh(query + key))`` over the features.

    Weights: scale (features,) with ``use_scale``.
    Source: Bahdanau, Cho and Bengio, arXiv:1409.0473.
    """

    use_scale: bool = True
    dropout: float = 0.0
    use_causal_mask: bool = False

    def __post_init__(self) -> None:
        normalize(self, dropout=rate("dropout", self.dropout))

    def weight_specs(self, shape: Any) -> tuple[WeightSpec, ...]:
        return (WeightSpec("scale", (shape[0][-1],), initializer("glorot_uniform")),) if self.use_scale else ()

    def scores(self, query: Array, key: Array, weights: tuple[Array, ...]) -> tuple[Array, Callable]:
        scale = weights[0] if self.use_scale else np.ones(query.shape[-1], query.dtype)
        squashed = np.tanh(query[..., :, None, :] + key[..., None, :, :])

        def back(dscores: Array) -> tuple[Array, Array, tuple[Array, ...]]:
            dtotal = dscores[..., None] * scale * (1 - squashed * squashed)
            axes = tuple(range(squashed.ndim - 1))
            dweights = ((dscores[..., None] * squashed).sum(axes),) if self.use_scale else ()
            return dtotal.sum(-2), dtotal.sum(-3), dweights

        return squashed @ scale, back


@LAYERS.register("MultiHeadAttention", "mha")
@dataclass(frozen=True)
class MultiHeadAttention(Layer):
    """Several attentions side by side on projections of query, key and value, projected back together.

    Inputs are (positions, features). Keras's ``attention_axes`` other than the axis of positions, ``use_gate`` and
    ``sliding_window`` are not supported.
    ``output_size``: features of the output, by default those of the query (Keras's ``output_shape``).
    ``value_dim``: by default ``key_dim``.

    Weights: for query, key, value: kernel (features, heads, dim) and bias (heads, dim); for the output: kernel
    (heads, value_dim, features), bias (features,).
    Source: Vaswani et al., "Attention is all you need", arXiv:1706.03762.
    """

    num_heads: int
    key_dim: int
    value_dim: int | None = None
    dropout: float = 0.0
    use_bias: bool = True
    output_size: int | tuple[int] | None = None
    kernel_initializer: Initializer | str | dict = "glorot_uniform"
    bias_initializer: Initializer | str | dict = "zeros"
    kernel_regularizer: Regularizer | str | dict | None = None
    bias_regularizer: Regularizer | str | dict | None = None
    kernel_constraint: Constraint | str | dict | None = None
    bias_constraint: Constraint | str | dict | None = None
    use_causal_mask: bool = False

    joins: ClassVar[bool] = True
    keeps_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normalize(
            self,
            num_heads=positive("num_heads", self.num_heads),
            key_dim=positive("key_dim", self.key_dim),
            value_dim=positive("value_dim", self.key_dim if self.value_dim is None else self.value_dim),
            output_size=None if self.output_size is None else positive("output_size", single(self.output_size)),
            dropout=rate("dropout", self.dropout),
        )
        normalize_rules(self, "kernel", "bias")

    @property
    def is_random(self) -> bool:
        return self.dropout > 0

    def output_shape(self, shape: tuple[Shape, ...]) -> Shape:
        query = checked(shape)[0]
        return (*query[:-1], self.output_size or query[-1])

    def weight_specs(self, shape: tuple[Shape, ...]) -> tuple[WeightSpec, ...]:
        query, value, key = checked(shape)
        heads, width = self.num_heads, self.output_size or query[-1]
        dims = (("query", query, self.key_dim), ("key", key, self.key_dim), ("value", value, self.value_dim))
        specs = [found for name, source, dim in dims for found in self._specs(name, (source[-1], heads, dim), 1)]
        return (*specs, *self._specs("attention_output", (heads, self.value_dim, width), 2))

    def _specs(self, name: str, shape: tuple[int, ...], inputs: int) -> list[WeightSpec]:
        """Kernel and bias of one projection, whose kernel has so many input axes."""
        kernel = ruled(self, "kernel", shape, f"{name}_kernel")
        bias = ruled(self, "bias", shape[inputs:], f"{name}_bias")
        return [kernel, bias] if self.use_bias else [kernel]

    def forward(self, x: tuple[Array, ...], weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        sources = (x[0], x[2] if len(x) > 2 else x[1], x[1])  # query, key, value
        step = 2 if self.use_bias else 1
        kernels = weights[::step]
        biases = weights[1::2] if self.use_bias else (0, 0, 0, 0)
        query, key, value = (
            np.moveaxis(np.tensordot(source, kernel, 1) + bias, 2, 1)
            for source, kernel, bias in zip(sources, kernels[:3], biases[:3], strict=True)
        )  # (n, heads, positions, dim)
        factor = query.dtype.type(1 / np.sqrt(self.key_dim))
        scores = (query * factor) @ key.swapaxes(-1, -2)
        allowed = self._allowed(scores.shape, call)
        shares, shares_back = attend(scores, allowed, self.dropout, call)
        seen = np.moveaxis(shares @ value, 1, 2)  # (n, positions, heads, dim)
        y = np.tensordot(seen, kernels[3], 2) + biases[3]

        def backward(dy: Array) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
            dkernel = np.tensordot(seen, dy, ((0, 1), (0, 1)))
            dseen = np.moveaxis(np.tensordot(dy, kernels[3], ((2,), (2,))), 2, 1)
            dscores = shares_back(dseen @ value.swapaxes(-1, -2))
            dheads = (
                dscores @ key * factor,
                dscores.swapaxes(-1, -2) @ query * factor,
                shares.swapaxes(-1, -2) @ dseen,
            )
            dsources, dweights = [], []
            for source, kernel, dhead in zip(sources, kernels[:3], dheads, strict=True):
                d = np.moveaxis(dhead, 1, 2)
                dsources.append(np.tensordot(d, kernel, ((2, 3), (1, 2))))
                dweights += [np.tensordot(source, d, ((0, 1), (0, 1))), d.sum((0, 1))][:step]
            dweights += [dkernel, dy.sum((0, 1))][:step]
            dquery, dkey, dvalue = dsources
            return (dquery, dvalue, dkey) if len(x) > 2 else (dquery, dvalue + dkey), tuple(dweights)

        return y, backward

    def _allowed(self, shape: tuple[int, ...], call: Call) -> Array | None:
        """Which keys each query may look at: masks of query, value and key, and the causal one, all together."""
        masks = (*call.masks, None)  # a layer by itself, without a graph, may get one mask
        allowed = allowed_positions(shape[1:], masks[1], self.use_causal_mask)
        if len(masks) > 2 and masks[2] is not None:
            allowed = masks[2][:, None] if allowed is None else allowed & masks[2][:, None]
        if masks[0] is not None:
            allowed = masks[0][:, :, None] if allowed is None else allowed & masks[0][:, :, None]
        return None if allowed is None else allowed[:, None]


def attend(scores: Array, allowed: Array | None, dropout: float, call: Call) -> tuple[Array, Callable[[Array], Array]]:
    """Softmax over the last axis, then dropout; positions that are not allowed get (nearly) nothing."""
    if allowed is not None:
        scores = np.where(allowed, scores, scores - scores.dtype.type(MASKED))
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    factor = None
    if call.training and dropout > 0:
        factor = kept(call.stream.random_bytes(shares.shape), dropout, shares.dtype)

    def back(dshares: Array) -> Array:
        if factor is not None:
            dshares = dshares * factor
        return shares * (dshares - (dshares * shares).sum(-1, keepdims=True))

    return shares if factor is None else shares * factor, back


def allowed_positions(shape: tuple[int, ...], mask: Array | None, causal: bool) -> Array | None:
    """Bool, broadcastable to scores of ``shape`` (n, queries, keys); None when everything may be looked at."""
    allowed = None if mask is None else mask[:, None, :]
    if causal:
        lower = np.tri(shape[-2], shape[-1], dtype=bool)[None]
        allowed = lower if allowed is None else allowed & lower
    return allowed


def single(value: Any) -> Any:
    """The number in a list of one."""
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def checked(shape: tuple[Shape, ...]) -> tuple[Shape, Shape, Shape]:
    """Shapes of query, value and key. Raises UsageError."""
    if len(shape) not in (2, 3):
        raise UsageError(f"takes query and value, or query, value and key, but gets {len(shape)} inputs")
    if all(len(part) == 1 for part in shape):
        raise UsageError(
            "its inputs are single vectors; attention among the rows of a batch is not supported "
            "(see 'dltool help limits')"
        )
    if any(len(part) != 2 or part[1] is None for part in shape):
        raise UsageError(f"needs sequences (positions x features) but gets {describe(shape)}")
    query, value = shape[:2]
    key = shape[2] if len(shape) > 2 else value
    if key[0] != value[0]:
        raise UsageError(f"its value has {value[0]} positions and its key {key[0]}; make them equal")
    return query, value, key
