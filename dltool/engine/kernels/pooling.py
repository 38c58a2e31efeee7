"""Pooling, tap by tap: every tap of the window is one strided view of the whole micro-batch."""

from __future__ import annotations

import numpy as np

from dltool.engine.buffers import Piece
from dltool.engine.kernels.base import Kernel, Phase, Run, Site, planner
from dltool.engine.kernels.taps import Taps
from dltool.engine.kernels.tricks import ZERO
from dltool.engine.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, MaxPooling2D

ALL = frozenset({"x", "y", "dx", "dy"})


def pooling_taps(site: Site) -> Taps:
    layer = site.layer
    return Taps(layer.pool_size, layer.strides, (1, 1), layer.padding, site.input_shapes[0], site.output_shape)


class MaxPoolingKernel(Kernel):
    """The gradient goes to the first maximum in row-major order, as in Keras and PyTorch."""

    can_mask_input = True
    runs_in_bands = True

    def __init__(self, site: Site):
        super().__init__(site)
        self.taps = pooling_taps(site)

    def forward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_forward, frozenset({"x", "y"}))]

    def backward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_backward, ALL)]

    def bind_forward(self, piece: Piece) -> Run:
        band = piece.band(self.site.output_shape[0])
        first, *others = self.taps.views(self.site.x[0].image(piece), self.site.y.image(piece), band)
        y, cover = self.site.y.interior(piece), self.taps.cover_output

        def run() -> None:
            if cover:
                np.copyto(first[0], first[1])
            else:
                y[...] = -np.inf
                np.maximum(first[0], first[1], out=first[0])
            for out, part in others:
                np.maximum(out, part, out=out)

        return run

    def bind_backward(self, piece: Piece) -> Run:
        """dy goes to the first tap that equals y; ``free`` marks outputs whose gradient is still to be given."""
        site = self.site
        x, y, dy = site.x[0].interior(piece), site.y.interior(piece), site.dy.interior(piece)
        target, add = site.dx_target(piece)
        free, equal = (piece.temp(name, y.shape, bool) for name in ("free", "equal"))
        part = piece.temp("pooled", y.shape)
        taps = [
            (
                y[:, oy, ox],
                dy[:, oy, ox],
                free[:, oy, ox],
                equal[:, oy, ox],
                part[:, oy, ox],
                x[:, iy, ix],
                target[:, iy, ix],
            )
            for (oy, ox), (iy, ix) in self.taps.slices
        ]
        masks, overlap, clear = site.masks_input, self.taps.overlap, not self.taps.cover_input

        def run() -> None:
            if masks:  # the relu's gradient at pooled size: a quarter of the elements
                np.greater(y, ZERO, out=equal)
                np.multiply(dy, equal, out=dy)
            if clear:
                target[...] = 0
            free[...] = True
            for y_tap, dy_tap, free_tap, equal_tap, part_tap, x_tap, dx_tap in taps:
                np.equal(x_tap, y_tap, out=equal_tap)
                np.logical_and(equal_tap, free_tap, out=equal_tap)
                if overlap:
                    np.multiply(dy_tap, equal_tap, out=part_tap)
                    np.add(dx_tap, part_tap, out=dx_tap)
                else:
                    np.multiply(dy_tap, equal_tap, out=dx_tap)
                np.greater(free_tap, equal_tap, out=free_tap)
            if add is not None:
                add()

        return run


class AveragePoolingKernel(Kernel):
    """Each output is the mean of the input pixels under its window; border pixels do not count."""

    runs_in_bands = True

    def __init__(self, site: Site):
        super().__init__(site)
        self.taps = pooling_taps(site)
        counts = np.zeros(site.output_shape[:2], np.float32)
        for out, _ in self.taps.slices:
            counts[out] += 1
        self.share = (1 / counts)[..., None]

    def forward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_forward, frozenset({"x", "y"}))]

    def backward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_backward, ALL)]

    def bind_forward(self, piece: Piece) -> Run:
        band = piece.band(self.site.output_shape[0])
        y, share = self.site.y.interior(piece), self.share[band]
        pairs = self.taps.views(self.site.x[0].image(piece), self.site.y.image(piece), band)

        def run() -> None:
            y[...] = 0
            for out, part in pairs:
                np.add(out, part, out=out)
            np.multiply(y, share, out=y)

        return run

    def bind_backward(self, piece: Piece) -> Run:
        dy, share = self.site.dy.interior(piece), self.share
        target, add = self.site.dx_target(piece)
        scaled = piece.temp("pooled", dy.shape)
        pairs = self.taps.views(target, scaled, slice(0, dy.shape[1]))

        def run() -> None:
            np.multiply(dy, share, out=scaled)
            target[...] = 0
            for out, part in pairs:
                np.add(part, out, out=part)
            if add is not None:
                add()

        return run


class GlobalAveragePoolingKernel(Kernel):
    """The mean over height and width of each channel."""

    def forward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_forward, frozenset({"x", "y"}))]

    def backward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_backward, frozenset({"dx", "dy"}))]

    def bind_forward(self, piece: Piece) -> Run:
        x = self.site.x[0].interior(piece)
        channels = x.shape[-1]
        y = self.site.y.interior(piece).reshape(len(piece), channels)
        share = np.float32(1 / (x.shape[1] * x.shape[2]))

        def run() -> None:
            np.add.reduce(x, (1, 2), out=y)
            np.multiply(y, share, out=y)

        return run

    def bind_backward(self, piece: Piece) -> Run:
        target, add = self.site.dx_target(piece)
        channels = target.shape[-1]
        dy = self.site.dy.interior(piece).reshape(len(piece), 1, 1, channels)
        scaled = piece.temp("pooled", dy.shape)
        share = np.float32(1 / (target.shape[1] * target.shape[2]))

        def run() -> None:
            np.multiply(dy, share, out=scaled)
            np.copyto(target, scaled)
            if add is not None:
                add()

        return run


planner(MaxPooling2D)(MaxPoolingKernel)
planner(AveragePooling2D)(AveragePoolingKernel)
planner(GlobalAveragePooling2D)(GlobalAveragePoolingKernel)
