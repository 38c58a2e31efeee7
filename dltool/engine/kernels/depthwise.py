"""Depthwise convolution: every channel alone, a multiply-add per tap.

There is no matrix product in it. ``einsum`` adds the product of a tap's pixels and weights to the output in one pass,
where ``multiply`` and ``add`` take two and a temporary: 1.3-1.5 instead of 2.5 ns per output of a 3x3 window. Work goes
in bands of image rows that stay in cache; with a stride of one across, pixels side by side are one run of numbers, and
the weights are repeated to match it.
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
LONGEST_RUN = 3000
"""Numbers of a run. Weights repeated for whole rows of 5,000 and more are 200 kB, which come from afar for each image:
14x14x384 takes 82 instead of 90 us, 7x7x960 60 instead of 75."""
SHORTEST_RUN = 700
"""Below this the calls for each run cost more than the weights: 1.4 instead of 1.25 ns per output, 2 with 192."""


class DepthwiseKernel(ConvolutionKernel):
    """y[p, c] = sum over the taps t of x[p + t, c] * kernel[t, c]."""

    needs_flipped = False
    fuses_sum = False
    writes_band = True

    def __init__(self, site: Site):
        super().__init__(site)
        g = self.geometry
        self.across = pixels_of_run(g.out_width, g.channels) if g.strides[1] == 1 else 1
        self.kernel_rows = shared_zeros((*g.kernel, self.across * g.channels))
        self.flipped_rows = None
        if site.training and g.is_dense:
            self.flipped_rows = shared_zeros((*g.kernel, pixels_of_run(g.width, g.channels) * g.channels))

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
        return self.bind_image(x.padded(piece), x.padding, band, y)

    def bind_image(self, padded: np.ndarray, held: Padding, band: slice, y: np.ndarray) -> Run:
        """A band of output rows, ``y``, from a padded input."""
        windows = self.windows(padded, held, band)
        products = bind_bands(windows, in_runs(y, self.across), self.kernel_rows)
        return chain(products, self.bind_finish(merged_rows(y), y))

    def take_planes(self) -> None:
        """Make ready for inputs whose pixels are dealt out to planes, see ``bind_planes``: runs despite a stride."""
        g = self.geometry
        self.across = pixels_of_run(g.out_width, g.channels)
        self.kernel_rows = shared_zeros((*g.kernel, self.across * g.channels))

    def bind_planes(self, planes: np.ndarray, y: np.ndarray, piece: Piece) -> Run:
        """An output from an input (images, rows, planes, pixels, channels): plane p has columns p, p + stride, ..."""
        down, across = self.geometry.strides
        target, size, runs = in_runs(y, self.across), y.shape[1:3], []
        part = piece.temp("plane", target.shape)
        for plane in range(across):
            kernel = self.kernel_rows[:, plane::across]
            windows = tap_view(planes[:, :, plane], kernel.shape[:2], (down, 1), (1, 1), size, self.across)
            runs.append(bind_bands(windows, part if plane else target, kernel))
            if plane:
                runs.append(lambda: np.add(target, part, out=target))
        return chain(*runs, self.bind_finish(merged_rows(y), y))

    def windows(self, padded: np.ndarray, held: Padding, band: slice) -> np.ndarray:
        """See ``tap_view``; of a padded input, for a band of output rows."""
        g = self.geometry
        start = padded[:, held.top - g.padding.top + band.start * g.strides[0] :, held.left - g.padding.left :]
        return tap_view(start, g.kernel, g.strides, g.dilation, (band.stop - band.start, g.out_width), self.across)

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
        dy = in_runs(self.site.dy.interior(piece), self.across)
        (target, add), step = self.site.weight_target(piece, 0), rows_of_band(dy)
        total, part = (piece.temp(name, self.kernel_rows.shape) for name in ("taps", "band taps"))
        bands = [(windows[:, :, :, a : a + step], dy[:, a : a + step]) for a in range(0, g.out_height, step)]
        across = total.reshape(*g.kernel, -1, g.channels)
        out = target.reshape(*g.kernel, g.channels)

        def run() -> None:
            np.einsum("ijnhwk,nhwk->ijk", *bands[0], out=total)
            for pair in bands[1:]:
                np.einsum("ijnhwk,nhwk->ijk", *pair, out=part)
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
        across = self.flipped_rows.shape[-1] // g.channels
        windows = tap_view(start, g.kernel, (1, 1), g.dilation, (g.height, g.width), across)
        target, add = self.site.dx_target(piece)
        return [bind_bands(windows, in_runs(target, across), self.flipped_rows), add]

    def bind_strided_dx(self, piece: Piece) -> list[Run | None]:
        """Every tap adds its share to the inputs that it read."""
        dy = self.site.dy.interior(piece)
        target, add = self.site.dx_target(piece)
        part = piece.temp("tap", dy.shape)
        g, site = self.geometry, self.site
        kernel = self.weights.reshape(-1, g.channels)
        places = Taps(g.kernel, g.strides, g.dilation, site.layer.padding, site.input_shapes[0], site.output_shape)
        taps = [
            (dy[:, oy, ox], weights, part[:, oy, ox], target[:, iy, ix])
            for ((oy, ox), (iy, ix)), weights in zip(places.slices, kernel, strict=True)
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
    across: int,
) -> np.ndarray:
    """View (kernel rows, kernel columns, images, height, runs, numbers of a run) of what each output reads of ``x``.

    Args:
        size: height and width of the output. across: pixels of a run; 1 where there is a stride across.
    """
    image, line, pixel, item = x.strides
    shape = (*kernel, len(x), size[0], size[1] // across, across * x.shape[-1])
    steps = (dilation[0] * line, dilation[1] * pixel, image, strides[0] * line, strides[1] * across * pixel, item)
    return np.lib.stride_tricks.as_strided(x, shape, steps)


def pixels_of_run(width: int, channels: int) -> int:
    """Pixels, a divisor of the width, that are taken as one run of numbers."""
    fitting = [count for count in range(1, width + 1) if width % count == 0 and count * channels <= LONGEST_RUN]
    most = max(fitting, default=1)
    return most if most * channels >= SHORTEST_RUN else width


def in_runs(image: np.ndarray, across: int) -> np.ndarray:
    """View (images, height, width, channels) as (images, height, runs, numbers of a run); rows may have borders."""
    count, height, width, channels = image.shape
    shape = (count, height, width // across, across * channels)
    strides = (*image.strides[:2], across * image.strides[2], image.itemsize)
    return np.lib.stride_tricks.as_strided(image, shape, strides)


def rows_of_band(image: np.ndarray) -> int:
    """Rows of all images that make a band."""
    return max(1, BAND_BYTES // max(1, image[:, :1].size * image.itemsize))


def bind_bands(windows: np.ndarray, out: np.ndarray, kernel: np.ndarray) -> Run:
    """A function that sums over the taps, band by band."""
    step = rows_of_band(out)
    bands = [(windows[:, :, :, a : a + step], out[:, a : a + step]) for a in range(0, out.shape[1], step)]

    def run() -> None:
        for pixels, part in bands:
            np.einsum("ijnhwk,ijk->nhwk", pixels, kernel, out=part)

    return run


@planner(DepthwiseConv2D)
def plan_depthwise(site: Site) -> Kernel | None:
    """Several filters per channel run their reference."""
    return DepthwiseKernel(site) if site.layer.depth_multiplier == 1 else None
