"""Convolution of sequences as matrix products: windows are copied into columns, then one tall product per micro-batch.

The padded sequence is a temporary of the micro-batch: a border of a sequence is too small to be planned into buffers.
"""

from __future__ import annotations

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import Kernel, Phase, Run, Site, chain, planner
from dltool.engine.kernels.convolution import COLUMN_BYTES, FREE_ROWS
from dltool.engine.kernels.products import bind_product
from dltool.engine.kernels.tricks import ones, relu, relu_gradient
from dltool.engine.layers.convolution_nd import Conv1D
from dltool.engine.layers.spatial import frame_of


class SequenceConvolution(Kernel):
    """Each shard's micro-batches on their own; weight gradients are summed per shard."""

    fuses_relu = True

    def __init__(self, site: Site):
        super().__init__(site)
        layer = site.layer
        self.steps, self.channels = site.input_shapes[0]
        self.out_steps, self.filters = site.output_shape
        (self.taps,), (self.stride,), (self.rate,) = layer.kernel_size, layer.strides, layer.dilation_rate
        geometry = (layer.kernel_size, layer.strides, layer.dilation_rate)
        ((self.before, self.after),) = frame_of((self.steps,), *geometry, layer.padding)
        self.depth = self.taps * self.channels
        rows = COLUMN_BYTES // (4 * self.out_steps * self.depth)
        self.micro_batch = max(1, rows) if rows < FREE_ROWS else None

    @property
    def kernel(self) -> np.ndarray:
        """The weights as a matrix (depth, filters)."""
        return self.site.weights[0].reshape(self.depth, self.filters)

    def forward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_forward, frozenset({"x", "y"}), self.micro_batch)]

    def backward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_backward, frozenset({"x", "y", "dx", "dy"}), self.micro_batch)]

    def bind_columns(self, piece: Piece) -> tuple[np.ndarray, Run | None]:
        """The windows of the piece as a matrix, and what fills it (None: the input is its own columns)."""
        x = self.site.x[0].interior(piece)
        if self.taps == 1 and self.stride == 1:
            return x.reshape(-1, self.depth), None
        padded = self.padded(piece)
        columns = piece.temp("columns", (len(x) * self.out_steps, self.depth))
        shaped = columns.reshape(len(x), self.out_steps, self.taps, self.channels)
        pairs = [(shaped[:, :, tap], self.tap(padded, tap)) for tap in range(self.taps)]
        inner = padded[:, self.before : self.before + self.steps]

        def fill() -> None:
            padded[:, : self.before] = 0
            padded[:, self.before + self.steps :] = 0
            np.copyto(inner, x)
            for target, source in pairs:
                np.copyto(target, source)

        return columns, fill

    def padded(self, piece: Piece) -> np.ndarray:
        return piece.temp("padded steps", (len(piece), self.before + self.steps + self.after, self.channels))

    def tap(self, padded: np.ndarray, tap: int) -> np.ndarray:
        """What lies at one place of every window, (rows, out_steps, channels)."""
        start = tap * self.rate
        return padded[:, start : start + (self.out_steps - 1) * self.stride + 1 : self.stride]

    def bind_forward(self, piece: Piece) -> Run:
        site = self.site
        columns, fill = self.bind_columns(piece)
        y = site.y.interior(piece).reshape(-1, self.filters)
        bias = site.weights[1] if site.layer.use_bias else None
        fused, ceiling = site.relu, site.ceiling

        def run() -> None:
            if bias is not None:
                np.add(y, bias, out=y)
            if fused:
                relu(y, y, ceiling)

        return chain(fill, bind_product(columns, self.kernel, y, piece), run)

    def bind_backward(self, piece: Piece) -> Run:
        site = self.site
        dy = site.dy.interior(piece).reshape(-1, self.filters)
        runs: list[Run | None] = []
        if site.relu and not site.relu_gradient_done:
            y = site.y.interior(piece).reshape(dy.shape)
            runs.append(relu_gradient(dy, y, piece.temp("positive", y.shape, np.int32)))
        if site.trains_weights:
            runs += self.bind_weight_gradient(piece, dy)
        if site.dx[0] is not None:
            runs += self.bind_dx(piece, dy)
        return chain(*runs)

    def bind_weight_gradient(self, piece: Piece, dy: np.ndarray) -> list[Run | None]:
        columns, fill = self.bind_columns(piece)
        target, add = self.site.weight_target(piece, 0)
        target, transposed = target.reshape(self.depth, self.filters), columns.T
        runs = [fill, bind_product(transposed, dy, target, piece), add]
        if self.site.layer.use_bias:
            bias_target, bias_add = self.site.weight_target(piece, 1)
            row = ones(len(dy))
            runs += [lambda: np.matmul(row, dy, out=bias_target), bias_add]
        return runs

    def bind_dx(self, piece: Piece, dy: np.ndarray) -> list[Run | None]:
        """Columns of gradients, added back onto the places that the windows were read from."""
        target, add = self.site.dx_target(piece)
        transposed = self.kernel.T
        if self.taps == 1 and self.stride == 1:
            flat = target.reshape(-1, self.channels)
            return [bind_product(dy, transposed, flat, piece), add]
        columns = piece.temp("columns", (len(dy), self.depth))
        shaped = columns.reshape(len(piece), self.out_steps, self.taps, self.channels)
        padded = self.padded(piece)
        pairs = [(self.tap(padded, tap), shaped[:, :, tap]) for tap in range(self.taps)]
        inner = padded[:, self.before : self.before + self.steps]

        def run() -> None:
            padded[...] = 0
            for place, source in pairs:
                np.add(place, source, out=place)
            np.copyto(target, inner)

        return [bind_product(dy, transposed, columns, piece), run, add]


@planner(Conv1D)
def plan_convolution_1d(site: Site) -> Kernel | None:
    """Grouped convolutions run their reference."""
    return SequenceConvolution(site) if site.layer.groups == 1 else None
