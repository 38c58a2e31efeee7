"""Kernels that treat every element alone: relu, dropout, rescaling, and copies from one layout to another."""

from __future__ import annotations

import math

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import Kernel, Phase, Run, Site, planner
from dltool.engine.kernels.tricks import INFINITY, merged_rows, relu, relu_gradient
from dltool.engine.layers.convolution import ZeroPadding2D
from dltool.engine.layers.core import Activation, Flatten, Rescaling, Reshape
from dltool.engine.layers.noise import Dropout
from dltool.engine.memory import shared_zeros
from dltool.engine.streams import Stream


class ElementwiseKernel(Kernel):
    """One pass forward, one pass backward, in any micro-batch."""

    backward_touches = frozenset({"dx", "dy"})

    def forward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_forward, frozenset({"x", "y"}))]

    def backward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_backward, self.backward_touches)]

    def bind_forward(self, piece: Piece) -> Run:
        raise NotImplementedError

    def bind_backward(self, piece: Piece) -> Run:
        raise NotImplementedError


CEILINGS = {"relu": INFINITY, "relu6": np.float32(6)}
"""Upper limits of the relus that have kernels."""


class ReluKernel(ElementwiseKernel):
    """A relu, with or without an upper limit, that no earlier kernel could take over."""

    runs_in_bands = True
    backward_touches = frozenset({"y", "dx", "dy"})

    def bind_forward(self, piece: Piece) -> Run:
        x, y = merged_rows(self.site.x[0].interior(piece)), merged_rows(self.site.y.interior(piece))
        ceiling = CEILINGS[self.site.layer.activation]
        return lambda: relu(x, y, ceiling)

    def bind_backward(self, piece: Piece) -> Run:
        y, dy = merged_rows(self.site.y.interior(piece)), merged_rows(self.site.dy.interior(piece))
        target, add = self.site.dx_target(piece)
        target = merged_rows(target)
        mask = relu_gradient(dy, y, piece.temp("positive", y.shape, np.int32))
        ceiling = CEILINGS[self.site.layer.activation]
        below = piece.temp("below", y.shape, bool) if math.isfinite(ceiling) else None

        def run() -> None:
            mask()
            if below is not None:
                np.less(y, ceiling, out=below)
                np.multiply(dy, below, out=dy)
            np.copyto(target, dy)
            if add is not None:
                add()

        return run


class DropoutKernel(ElementwiseKernel):
    """Training: one random byte per element decides; see ``layers.core.Dropout`` for the threshold and scale."""

    def __init__(self, site: Site):
        super().__init__(site)
        size = math.prod(site.output_shape)
        self.kept = shared_zeros((site.batch_size, *site.output_shape), bool)
        self.words_per_row = -(-size // 32) * 4
        self.size = size

    def bind_forward(self, piece: Piece) -> Run:
        site = self.site
        x, y = site.x[0].interior(piece), site.y.interior(piece)
        rows, kept, clock = len(piece), self.kept[piece.start : piece.stop], site.clock
        threshold, scale = np.uint8(site.layer.threshold), np.float32(site.layer.scale)
        stream = Stream(site.seed, 0, site.node, piece.start)
        words = piece.temp("words", (rows * self.words_per_row,), np.uint64)
        random_bytes = words.view(np.uint8).reshape(rows, -1)[:, : self.size]
        flat = kept.reshape(rows, self.size)

        def run() -> None:
            stream.at(int(clock[0])).fill(words, rows)
            np.greater_equal(random_bytes, threshold, out=flat)
            np.multiply(x, kept, out=y)
            np.multiply(y, scale, out=y)

        return run

    def bind_backward(self, piece: Piece) -> Run:
        dy, kept = self.site.dy.interior(piece), self.kept[piece.start : piece.stop]
        target, add = self.site.dx_target(piece)
        scale = np.float32(self.site.layer.scale)

        def run() -> None:
            np.multiply(dy, kept, out=target)
            np.multiply(target, scale, out=target)
            if add is not None:
                add()

        return run


class RescalingKernel(ElementwiseKernel):
    """y = x * scale + offset with one scale and offset for all channels."""

    runs_in_bands = True

    def bind_forward(self, piece: Piece) -> Run:
        x, y = merged_rows(self.site.x[0].interior(piece)), merged_rows(self.site.y.interior(piece))
        scale, offset = np.float32(self.site.layer.scale), np.float32(self.site.layer.offset)

        def run() -> None:
            np.multiply(x, scale, out=y)
            if offset:
                np.add(y, offset, out=y)

        return run

    def bind_backward(self, piece: Piece) -> Run:
        dy, scale = self.site.dy.interior(piece), np.float32(self.site.layer.scale)
        target, add = self.site.dx_target(piece)

        def run() -> None:
            np.multiply(dy, scale, out=target)
            if add is not None:
                add()

        return run


class CopyKernel(ElementwiseKernel):
    """Flatten and Reshape where the two layouts cannot share memory."""

    def bind_forward(self, piece: Piece) -> Run:
        x, y = self.site.x[0].interior(piece), self.site.y.interior(piece)
        if y.flags.c_contiguous:
            y = y.reshape(x.shape)
            return lambda: np.copyto(y, x)
        return lambda: np.copyto(y, x.reshape(y.shape))

    def bind_backward(self, piece: Piece) -> Run:
        dy = self.site.dy.interior(piece)
        target, add = self.site.dx_target(piece)

        def run() -> None:
            np.copyto(target, dy.reshape(target.shape))
            if add is not None:
                add()

        return run


class ZeroPaddingKernel(ElementwiseKernel):
    """Copies into the middle; the border stays zero."""

    def inner(self, y: np.ndarray) -> np.ndarray:
        (top, bottom), (left, right) = self.site.layer.padding
        return y[:, top : y.shape[1] - bottom, left : y.shape[2] - right]

    def bind_forward(self, piece: Piece) -> Run:
        x, y = self.site.x[0].interior(piece), self.site.y.interior(piece)
        inner = self.inner(y)

        def run() -> None:
            y[...] = 0
            np.copyto(inner, x)

        return run

    def bind_backward(self, piece: Piece) -> Run:
        inner = self.inner(self.site.dy.interior(piece))
        target, add = self.site.dx_target(piece)

        def run() -> None:
            np.copyto(target, inner)
            if add is not None:
                add()

        return run


class SoftmaxKernel(ElementwiseKernel):
    """The last layer of a classifier in inference: its reference takes .08 ms of an image's time, mostly in calls."""

    runs_in_bands = True

    def bind_forward(self, piece: Piece) -> Run:
        x, y = self.site.x[0].interior(piece), self.site.y.interior(piece)
        largest, total = (piece.temp(name, (*x.shape[:-1], 1)) for name in ("largest", "total"))

        def run() -> None:
            np.maximum.reduce(x, -1, out=largest, keepdims=True)
            np.subtract(x, largest, out=y)
            np.exp(y, out=y)
            np.add.reduce(y, -1, out=total, keepdims=True)
            np.divide(y, total, out=y)

        return run


@planner(Activation)
def plan_activation(site: Site) -> Kernel | None:
    if site.layer.activation == "softmax" and not site.training:
        return SoftmaxKernel(site)
    return ReluKernel(site) if site.layer.activation in CEILINGS else None


@planner(Rescaling)
def plan_rescaling(site: Site) -> Kernel | None:
    """A scale or offset per channel runs the reference."""
    return RescalingKernel(site) if np.ndim(site.layer.scale) == 0 and np.ndim(site.layer.offset) == 0 else None


@planner(Dropout)
def plan_dropout(site: Site) -> Kernel | None:
    """The layer's own arithmetic where elements share their fate; few numbers are drawn then."""
    return DropoutKernel(site) if site.layer.noise_shape is None else None


planner(Flatten)(CopyKernel)
planner(Reshape)(CopyKernel)
planner(ZeroPadding2D)(ZeroPaddingKernel)
