"""Batch normalisation with the statistics of the whole batch, and its frozen form, one multiply-add.

Each shard sums its rows while they are in cache; after a barrier every lane combines the shards' sums in float64, in a
fixed order, and goes on with its own copy of the result. Sums are shifted by the moving mean of the step's start, so
that a large mean does not cancel the variance away.
"""

from __future__ import annotations

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import NUM_SHARDS, Kernel, Phase, Run, Site, planner
from dltool.engine.kernels.tricks import merged_rows, ones, relu, relu_gradient
from dltool.engine.layers.normalization import BatchNormalization
from dltool.engine.memory import shared_zeros


class NormalizationWeights:
    """Gamma, beta and the moving statistics of a site; absent ones are 1 and 0."""

    def __init__(self, site: Site):
        layer, weights = site.layer, list(site.weights)
        self.channels = site.output_shape[-1]
        gradients = list(site.gradients)
        self.gamma = weights.pop(0) if layer.scale else np.ones(self.channels, np.float32)
        self.gamma_gradient = gradients.pop(0) if layer.scale else None
        self.beta = weights.pop(0) if layer.center else np.zeros(self.channels, np.float32)
        self.beta_gradient = gradients.pop(0) if layer.center else None
        self.moving_mean, self.moving_variance = weights


class FrozenNormalizationKernel(Kernel):
    """y = x * scale + shift with the moving statistics: inference, or a frozen layer in training."""

    fuses_relu = True
    runs_in_bands = True

    def __init__(self, site: Site):
        super().__init__(site)
        self.parameters = NormalizationWeights(site)
        width = site.output_shape[1] if len(site.output_shape) == 3 else 1
        self.scale = shared_zeros(width * self.parameters.channels)
        self.shift = shared_zeros(width * self.parameters.channels)

    def scale_and_shift(self) -> tuple[np.ndarray, np.ndarray]:
        """Per channel."""
        p = self.parameters
        scale = p.gamma / np.sqrt(p.moving_variance + np.float32(self.site.layer.epsilon))
        return scale, p.beta - p.moving_mean * scale

    def refresh(self) -> None:
        scale, shift = self.scale_and_shift()
        self.scale.reshape(-1, self.parameters.channels)[...] = scale
        self.shift.reshape(-1, self.parameters.channels)[...] = shift

    def forward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_forward, frozenset({"x", "y"}))]

    def backward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_backward, frozenset({"y", "dx", "dy"}))]

    def bind_forward(self, piece: Piece) -> Run:
        x, y = merged_rows(self.site.x[0].interior(piece)), merged_rows(self.site.y.interior(piece))
        scale, shift, fused, ceiling = self.scale, self.shift, self.site.relu, self.site.ceiling

        def run() -> None:
            np.multiply(x, scale, out=y)
            np.add(y, shift, out=y)
            if fused:
                relu(y, y, ceiling)

        return run

    def bind_backward(self, piece: Piece) -> Run | None:
        if self.site.dx[0] is None:
            return None
        dy = merged_rows(self.site.dy.interior(piece))
        mask = bind_mask(self.site, piece, dy)
        target, add = self.site.dx_target(piece)
        target, scale = merged_rows(target), self.scale

        def run() -> None:
            if mask is not None:
                mask()
            np.multiply(dy, scale, out=target)
            if add is not None:
                add()

        return run


def bind_mask(site: Site, piece: Piece, dy: np.ndarray) -> Run | None:
    """dy *= (y > 0) where the site's relu gradient is still to be applied."""
    if not site.relu or site.relu_gradient_done:
        return None
    y = merged_rows(site.y.interior(piece))
    return relu_gradient(dy, y, piece.temp("positive", y.shape, np.int32))


class BatchStatistics:
    """What one lane knows about the current batch: float64 vectors, and float32 rows for the elementwise passes."""

    def __init__(self, channels: int, row: int):
        self.totals = np.zeros((2, channels))
        self.mean, self.variance, self.inverse_deviation, self.scratch = (np.zeros(channels) for _ in range(4))
        self.scale_row, self.shift_row, self.mean_row = (np.zeros(row, np.float32) for _ in range(3))
        self.dy_row, self.x_row, self.constant_row = (np.zeros(row, np.float32) for _ in range(3))


class BatchNormalizationKernel(Kernel):
    """Training: y = (x - mean) * gamma / sqrt(variance + epsilon) + beta with the batch's biased variance.

    dx = gamma * r * (dy - sum(dy) / m - xhat * sum(dy * xhat) / m), r the inverse deviation, m the values per channel.
    Source: Ioffe and Szegedy, "Batch Normalization" (2015), section 3; moving averages as in Keras 3.
    """

    fuses_relu = True
    sums_shards = False

    def __init__(self, site: Site):
        super().__init__(site)
        self.parameters = NormalizationWeights(site)
        self.channels = self.parameters.channels
        width = site.output_shape[1] if len(site.output_shape) == 3 else 1
        self.row = width * self.channels
        self.values_per_row = int(np.prod(site.output_shape[:-1], dtype=np.int64))
        self.shift = shared_zeros(self.row)
        self.sums = shared_zeros((NUM_SHARDS, 2, self.channels), np.float64)
        self.gradient_sums = shared_zeros((NUM_SHARDS, 2, self.channels), np.float64)

    def refresh(self) -> None:
        self.shift.reshape(-1, self.channels)[...] = self.parameters.moving_mean

    def forward_phases(self) -> list[Phase]:
        return [
            Phase("shard", self.bind_sums, frozenset("x")),
            Phase("lane", self.bind_combine, frozenset(), needs_all=True),
            Phase("shard", self.bind_normalize, frozenset({"x", "y"})),
        ]

    def backward_phases(self) -> list[Phase]:
        return [
            Phase("shard", self.bind_gradient_sums, frozenset({"x", "y", "dy"})),
            Phase("lane", self.bind_gradient_combine, frozenset(), needs_all=True),
            Phase("shard", self.bind_dx, frozenset({"x", "dx", "dy"})),
        ]

    def statistics(self, piece: Piece) -> BatchStatistics:
        held = piece.workspace.saved
        key = ("batch statistics", id(self))
        if key not in held:
            held[key] = BatchStatistics(self.channels, self.row)
        return held[key]

    def bind_column_sums(self, piece: Piece, sums: np.ndarray) -> tuple[np.ndarray, Run, Run]:
        """A temporary for the piece's values, and two functions that add its column sums to the shard's sums."""
        site = self.site
        rows = merged_rows(site.x[0].interior(piece))
        values = piece.temp("normalized", rows.shape)
        matrix = values.reshape(-1, self.channels)
        row, part, shard = ones(len(matrix)), np.zeros(self.channels, np.float32), sums[piece.shard]

        def adder(index: int) -> Run:
            total, first = shard[index], piece.first

            def run() -> None:
                np.matmul(row, matrix, out=part)
                if first:
                    np.copyto(total, part)
                else:
                    np.add(total, part, out=total)

            return run

        return values, adder(0), adder(1)

    def bind_sums(self, piece: Piece) -> Run:
        x, shift = merged_rows(self.site.x[0].interior(piece)), self.shift
        values, add_sum, add_squares = self.bind_column_sums(piece, self.sums)

        def run() -> None:
            np.subtract(x, shift, out=values)
            add_sum()
            np.multiply(values, values, out=values)
            add_squares()

        return run

    def bind_combine(self, piece: Piece) -> Run:
        known, p, layer = self.statistics(piece), self.parameters, self.site.layer
        count = piece.total * self.values_per_row
        sums = self.sums[: min(piece.total, NUM_SHARDS)]
        shift, writes = self.shift[: self.channels], piece.tile == 0
        correction = count / max(count - 1, 1) if layer.unbiased_moving_variance else 1.0
        momentum = layer.momentum

        def run() -> None:
            np.add.reduce(sums, 0, out=known.totals)
            np.divide(known.totals, count, out=known.totals)
            first, second = known.totals
            np.add(first, shift, out=known.mean)
            variance, factor = known.variance, known.scratch
            np.multiply(first, first, out=variance)
            np.subtract(second, variance, out=variance)
            np.maximum(variance, 0, out=variance)
            np.add(variance, layer.epsilon, out=factor)
            np.divide(1, np.sqrt(factor, out=factor), out=known.inverse_deviation)
            np.multiply(p.gamma, known.inverse_deviation, out=factor)
            spread(factor, known.scale_row)
            spread(known.mean, known.mean_row)
            np.multiply(known.mean, factor, out=factor)
            spread(np.subtract(p.beta, factor, out=factor), known.shift_row)
            if writes:
                move(p.moving_mean, known.mean, momentum, 1.0)
                move(p.moving_variance, variance, momentum, correction)

        return run

    def bind_normalize(self, piece: Piece) -> Run:
        x, y = merged_rows(self.site.x[0].interior(piece)), merged_rows(self.site.y.interior(piece))
        known, fused = self.statistics(piece), self.site.relu
        scale, shift = known.scale_row, known.shift_row

        def run() -> None:
            np.multiply(x, scale, out=y)
            np.add(y, shift, out=y)
            if fused:
                relu(y, y)

        return run

    def bind_gradient_sums(self, piece: Piece) -> Run:
        x, dy = merged_rows(self.site.x[0].interior(piece)), merged_rows(self.site.dy.interior(piece))
        mask = bind_mask(self.site, piece, dy)
        values, add_sum, add_products = self.bind_column_sums(piece, self.gradient_sums)
        mean = self.statistics(piece).mean_row

        def run() -> None:
            if mask is not None:
                mask()
            np.copyto(values, dy)
            add_sum()
            np.subtract(x, mean, out=values)
            np.multiply(values, dy, out=values)
            add_products()

        return run

    def bind_gradient_combine(self, piece: Piece) -> Run:
        known, p, channels = self.statistics(piece), self.parameters, self.channels
        count = piece.total * self.values_per_row
        sums = self.gradient_sums[: min(piece.total, NUM_SHARDS)]
        writes = piece.tile == 0 and self.site.trains_weights
        accumulates = self.site.accumulates

        def run() -> None:
            np.add.reduce(sums, 0, out=known.totals)
            total, products = known.totals
            scratch, gamma_gradient = known.scratch, known.variance
            np.subtract(known.mean, known.mean_row[:channels], out=scratch)
            np.multiply(scratch, total, out=scratch)
            np.subtract(products, scratch, out=gamma_gradient)
            np.multiply(gamma_gradient, known.inverse_deviation, out=gamma_gradient)
            for gradient, value in ((p.gamma_gradient, gamma_gradient), (p.beta_gradient, total)):
                if writes and gradient is not None:
                    np.add(gradient, value, out=gradient, casting="unsafe") if accumulates else spread(value, gradient)
            np.divide(gamma_gradient, -count, out=gamma_gradient)
            np.multiply(gamma_gradient, known.inverse_deviation, out=gamma_gradient)
            np.multiply(p.gamma, known.inverse_deviation, out=scratch)
            spread(scratch, known.dy_row)
            x_factor = np.multiply(gamma_gradient, scratch, out=gamma_gradient)
            spread(x_factor, known.x_row)
            np.multiply(scratch, total, out=scratch)
            np.divide(scratch, -count, out=scratch)
            np.multiply(x_factor, known.mean, out=x_factor)
            spread(np.subtract(scratch, x_factor, out=scratch), known.constant_row)

        return run

    def bind_dx(self, piece: Piece) -> Run | None:
        site = self.site
        if site.dx[0] is None:
            return None
        x, dy = merged_rows(site.x[0].interior(piece)), merged_rows(site.dy.interior(piece))
        target, add = site.dx_target(piece)
        target, known = merged_rows(target), self.statistics(piece)
        values = piece.temp("normalized", x.shape)

        def run() -> None:
            np.multiply(x, known.x_row, out=values)
            np.add(values, known.constant_row, out=values)
            np.multiply(dy, known.dy_row, out=dy)
            np.add(dy, values, out=target)
            if add is not None:
                add()

        return run


def spread(values: np.ndarray, row: np.ndarray) -> None:
    """One number per channel into a float32 row of channels, again and again."""
    np.copyto(row.reshape(-1, len(values)), values, casting="same_kind")


def move(average: np.ndarray, value: np.ndarray, momentum: float, correction: float) -> None:
    """average = average * momentum + value * correction * (1 - momentum), computed in float64."""
    average[...] = average * momentum + value * (correction * (1 - momentum))


@planner(BatchNormalization)
def plan_normalization(site: Site) -> Kernel | None:
    """Normalising the last axis of images or vectors; other axes run the reference on the whole batch."""
    layer, rank = site.layer, len(site.output_shape)
    if layer.channel_axis(rank + 1) != rank or rank not in (1, 3):
        return None
    if site.in_training and layer.trainable:
        return BatchNormalizationKernel(site)
    if site.training and site.trains_weights:
        return None  # gamma and beta train on moving statistics; the kernel below has no gradients for them
    return FrozenNormalizationKernel(site)
