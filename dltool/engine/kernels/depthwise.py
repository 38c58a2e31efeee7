"""Depthwise convolution: every channel alone, a multiply-add per tap.

There is no matrix product in it. ``einsum`` adds the product of a tap's pixels and weights to the output in one pass,
where ``multiply`` and ``add`` take two and a temporary: 1.3-1.5 instead of 2.5 ns per output of a 3x3 window. Work goes
in bands of image rows that stay in cache; with a stride of one across, a whole image row is one run of numbers, and the
weights are repeated to match it.
"""

from __future__ import annotations

import numpy as np

from dltool.engine.buffers import Padding, Piece
from dltool.engine.kernels.base import Kernel, Phase, Run, Site, chain, planner
from dltool.engine.kernels.convolution import ConvolutionKernel
from dltool.engine.kernels.taps import Taps
from dltool.engine.kernels.tricks import merged_rows
from dltool.engine.layers.convolution import DepthwiseConv2D
from dltool.engine.memory import shared_zeros

BAND_BYTES = 1 << 19
"""Output rows that are taken through all taps at once; half as many cost 5-10 % more, eighths a quarter."""


class DepthwiseKernel(ConvolutionKernel):
    """y[p, c] = sum over the taps t of x[p + t, c] * kernel[t, c]."""

    needs_flipped = False
    fuses_sum = False

    def __init__(self, site: Site):
        super().__init__(site)
        g = self.geometry
        self.merges_rows = g.strides[1] == 1
        across = g.out_width if self.merges_rows else 1
        self.kernel_rows = shared_zeros((*g.kernel, across * g.channels))
        self.flipped_rows = None
        if site.training and g.is_dense:
            self.flipped_rows = shared_zeros((*g.kernel, g.width * g.channels))
        self.taps = Taps(g.kernel, g.strides, g.dilation, site.layer.padding, site.input_shapes[0], site.output_shape)

    def refresh(self) -> None:
        super().refresh()
        kernel = self.weights.reshape(*self.geometry.kernel, 1, -1)
        self.kernel_rows.reshape(*kernel.shape[:2], -1, kernel.shape[-1])[...] = kernel
        if self.flipped_rows is not None:
            self.flipped_rows.reshape(*kernel.shape[:2], -1, kernel.shape[-1])[...] = kernel[::-1, ::-1]

    def forward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_forward, frozenset({"x", "y"}))]

    def backward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_backward, frozenset({"x", "y", "dx", "dy"}))]

    def bind_forward(self, piece: Piece) -> Run:
        g, x = self.geometry, self.site.x[0]
        band, y = piece.band(g.out_height), self.site.y.interior(piece)
        products = bind_bands(self.windows(x.padded(piece), x.padding, band), self.runs(y), self.kernel_rows)
        return chain(products, self.bind_finish(merged_rows(y), y))

    def windows(self, padded: np.ndarray, held: Padding, band: slice) -> np.ndarray:
        """View (kernel rows, kernel columns, images, output rows, ...) of a padded input; see ``runs``."""
        g = self.geometry
        start = padded[:, held.top - g.padding.top + band.start * g.strides[0] :, held.left - g.padding.left :]
        return tap_view(start, g.kernel, g.strides, g.dilation, (band.stop - band.start, g.out_width), self.merges_rows)

    def runs(self, image: np.ndarray) -> np.ndarray:
        """An output as einsum takes it: rows of numbers, or rows of pixels where the stride keeps them apart."""
        return merged_rows(image) if self.merges_rows else image

    def bind_backward(self, piece: Piece) -> Run:
        site, g = self.site, self.geometry
        runs = [self.bind_relu_gradient(piece)]
        if site.trains_weights:
            runs += self.bind_weight_gradient(piece)
        if site.dx[0] is not None:
            runs += self.bind_dense_dx(piece) if g.is_dense else self.bind_strided_dx(piece)
        return chain(*runs)

    def bind_weight_gradient(self, piece: Piece) -> list[Run | None]:
        """dkernel[t, c] = sum over the pixels p of x[p + t, c] * dy[p, c]: first down the image, then across."""
        g, x = self.geometry, self.site.x[0]
        windows = self.windows(x.padded(piece), x.padding, slice(0, g.out_height))
        dy = self.runs(self.site.dy.interior(piece))
        (target, add), step = self.site.weight_target(piece, 0), rows_of_band(dy)
        total, part = (piece.temp(name, self.kernel_rows.shape) for name in ("taps", "band taps"))
        pattern = "ijnhk,nhk->ijk" if self.merges_rows else "ijnhwc,nhwc->ijc"
        bands = [(windows[:, :, :, a : a + step], dy[:, a : a + step]) for a in range(0, g.out_height, step)]
        across = total.reshape(*g.kernel, -1, g.channels)
        out = target.reshape(*g.kernel, g.channels)

        def run() -> None:
            np.einsum(pattern, *bands[0], out=total)
            for pair in bands[1:]:
                np.einsum(pattern, *pair, out=part)
                np.add(total, part, out=total)
            np.add.reduce(across, 2, out=out)

        if not self.has_bias:
            return [run, add]
        bias, add_bias = self.site.weight_target(piece, 1)
        image = self.site.dy.interior(piece)
        return [run, add, lambda: np.einsum("nhwc->c", image, out=bias), add_bias]

    def bind_dense_dx(self, piece: Piece) -> list[Run | None]:
        """The same sum over the padded dY with flipped kernels."""
        g, dy = self.geometry, self.site.dy
        want = g.gradient_padding
        start = dy.padded(piece)[:, dy.padding.top - want.top :, dy.padding.left - want.left :]
        windows = tap_view(start, g.kernel, (1, 1), g.dilation, (g.height, g.width), True)
        target, add = self.site.dx_target(piece)
        return [bind_bands(windows, merged_rows(target), self.flipped_rows), add]

    def bind_strided_dx(self, piece: Piece) -> list[Run | None]:
        """Every tap adds its share to the inputs that it read."""
        dy = self.site.dy.interior(piece)
        target, add = self.site.dx_target(piece)
        part = piece.temp("tap", dy.shape)
        kernel = self.weights.reshape(-1, self.geometry.channels)
        taps = [
            (dy[:, oy, ox], weights, part[:, oy, ox], target[:, iy, ix])
            for ((oy, ox), (iy, ix)), weights in zip(self.taps.slices, kernel, strict=True)
        ]

        def run() -> None:
            target[...] = 0
            for gradient, weights, share, inputs in taps:
                np.multiply(gradient, weights, out=share)
                np.add(inputs, share, out=inputs)

        return [run, add]


def tap_view(
    x: np.ndarray,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilation: tuple[int, int],
    size: tuple[int, int],
    merges_rows: bool,
) -> np.ndarray:
    """View (kernel rows, kernel columns, images, height, width, channels) of ``x``; the last two merged when asked."""
    image, line, pixel, item = x.strides
    shape = (*kernel, len(x), *size, x.shape[-1])
    steps = (dilation[0] * line, dilation[1] * pixel, image, strides[0] * line, strides[1] * pixel, item)
    if merges_rows:
        shape, steps = (*shape[:4], size[1] * x.shape[-1]), (*steps[:4], item)
    return np.lib.stride_tricks.as_strided(x, shape, steps)


def rows_of_band(image: np.ndarray) -> int:
    """Rows of all images that make a band."""
    return max(1, BAND_BYTES // max(1, image[:, :1].size * image.itemsize))


def bind_bands(windows: np.ndarray, out: np.ndarray, kernel: np.ndarray) -> Run:
    """A function that sums over the taps, band by band."""
    step = rows_of_band(out)
    pattern = "ijnhk,ijk->nhk" if out.ndim == 3 else "ijnhwc,ijc->nhwc"
    bands = [(windows[:, :, :, a : a + step], out[:, a : a + step]) for a in range(0, out.shape[1], step)]

    def run() -> None:
        for pixels, part in bands:
            np.einsum(pattern, pixels, kernel, out=part)

    return run


@planner(DepthwiseConv2D)
def plan_depthwise(site: Site) -> Kernel | None:
    """Several filters per channel run their reference."""
    return DepthwiseKernel(site) if site.layer.depth_multiplier == 1 else None
