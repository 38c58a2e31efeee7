"""Convolution as matrix products: windows are copied into columns (im2col), then one tall product per micro-batch.

Layout is (rows, height, width, channels) throughout, Keras's own order, so nothing is ever transposed. The input
buffer carries the zero border, hence 'same' padding costs nothing. Backward: dW = columns^T dY; dX is the same
im2col on dY with flipped kernels (stride 1), or columns scattered back (larger strides).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dltool.engine.buffers import NO_PADDING, Padding, Piece
from dltool.engine.kernels.base import Kernel, Phase, Run, Site, chain
from dltool.engine.kernels.panels import Panels
from dltool.engine.kernels.products import bind_product
from dltool.engine.kernels.tricks import bind_copy, merged_rows, ones, relu, relu_gradient
from dltool.engine.memory import shared_zeros
from dltool.engine.windows import same_padding

if TYPE_CHECKING:
    from dltool.engine.kernels.normalization import FrozenNormalizationKernel

COLUMN_BYTES = 4 << 20
"""Columns of one micro-batch: 1-4 MB stay in the outer caches while the product is tall enough to run at full speed."""

FREE_ROWS = 16
"""A convolution of which so many images would fit takes as many as its neighbours do, so that what they hand to each
other stays in cache: 0.95 of a step of the classic CNN (28x28x1, batch 128)."""

FINISHED_BYTES = 1 << 19
"""Products of one image in inference that get bias and relu before the next ones are made: 0.97 of the time of one
image through MobileNet V2, two lanes; an eighth of that costs more in calls than it gains."""
PANELLED_WEIGHTS = 1 << 15
"""Weights from which a copy in panels pays in inference: 0.94 of the time of all ResNet50, 0.90 of MobileNet V1."""


class Geometry:
    """Sizes of a convolution, and the views that turn it into a matrix product."""

    def __init__(self, site: Site):
        layer, input_shape = site.layer, site.input_shapes[0]
        self.kernel, self.strides, self.dilation = layer.kernel_size, layer.strides, layer.dilation_rate
        self.height, self.width, self.channels = input_shape
        self.out_height, self.out_width, self.filters = site.output_shape
        self.padding = site.padding
        if layer.padding == "same":
            sizes = zip(input_shape[:2], self.kernel, self.strides, self.dilation, strict=True)
            (top, bottom), (left, right) = (same_padding(*size) for size in sizes)
            self.padding = Padding(top, bottom, left, right)
        self.depth = self.kernel[0] * self.kernel[1] * self.channels
        self.pixels = self.out_height * self.out_width
        self.is_dense = self.strides == (1, 1)

    @property
    def is_pointwise(self) -> bool:
        return self.kernel == (1, 1) and self.is_dense and not self.padding

    @property
    def gradient_padding(self) -> Padding:
        """The border of dY from which dX comes by the same windows (stride 1 only)."""
        reach_y = (self.kernel[0] - 1) * self.dilation[0]
        reach_x = (self.kernel[1] - 1) * self.dilation[1]
        p = self.padding
        return Padding(reach_y - p.top, reach_y - p.bottom, reach_x - p.left, reach_x - p.right)

    def windows(self, padded: np.ndarray, held: Padding, band: slice) -> np.ndarray:
        """Windows for a band of output rows, of an input whose border ``held`` is at least the one wanted."""
        top = held.top - self.padding.top + band.start * self.strides[0]
        start = padded[:, top:, held.left - self.padding.left :]
        return window_view(start, (band.stop - band.start, self.out_width), self.kernel, self.strides, self.dilation)

    def gradient_windows(self, padded: np.ndarray, held: Padding) -> np.ndarray:
        """Windows of dY, one per input pixel (stride 1 only)."""
        want = self.gradient_padding
        start = padded[:, held.top - want.top :, held.left - want.left :]
        return window_view(start, (self.height, self.width), self.kernel, (1, 1), self.dilation)


def window_view(
    x: np.ndarray, out: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int]
) -> np.ndarray:
    """View (rows, out_h, out_w, kernel_h, kernel_w * channels); kernel_w and channels stay apart when dilated."""
    row, line, pixel, item = x.strides
    shape: tuple[int, ...] = (x.shape[0], *out, kernel[0], kernel[1], x.shape[3])
    steps: tuple[int, ...] = (row, strides[0] * line, strides[1] * pixel, dilation[0] * line, dilation[1] * pixel, item)
    if dilation[1] == 1:
        shape, steps = (*shape[:4], kernel[1] * x.shape[3]), (*steps[:4], item)
    return np.lib.stride_tricks.as_strided(x, shape, steps)


def scatter_windows(columns: np.ndarray, geometry: Geometry, total: np.ndarray) -> None:
    """Add every window of ``columns`` (rows, out_h, out_w, kh, kw, channels) into ``total``, a padded image; col2im."""
    total[...] = 0
    (sy, sx), (dy, dx) = geometry.strides, geometry.dilation
    height, width = geometry.out_height, geometry.out_width
    for i in range(geometry.kernel[0]):
        for j in range(geometry.kernel[1]):
            target = total[:, i * dy : i * dy + sy * height : sy, j * dx : j * dx + sx * width : sx]
            np.add(target, columns[:, :, :, i, j], out=target)


class ConvolutionKernel(Kernel):
    """What both ways of running a convolution share: geometry, bias, flipped kernels."""

    fuses_relu = True
    fuses_sum = True
    runs_in_bands = True
    needs_flipped = True
    """True when dX is computed from flipped kernels."""

    def __init__(self, site: Site):
        super().__init__(site)
        self.geometry = g = Geometry(site)
        self.weights = site.weights[0]
        self.normalization: FrozenNormalizationKernel | None = None
        self.panels: Panels | None = None
        self.bias_row = shared_zeros(g.out_width * g.filters) if site.layer.use_bias else None
        self.flipped = None
        if site.training and g.is_dense and self.needs_flipped:
            self.flipped = shared_zeros((g.kernel[0] * g.kernel[1] * g.filters, g.channels))

    @property
    def kernel(self) -> np.ndarray:
        """The weights as a matrix (depth, filters)."""
        return self.weights.reshape(self.geometry.depth, self.geometry.filters)

    @property
    def has_bias(self) -> bool:
        return self.bias_row is not None

    def fold(self, normalization: FrozenNormalizationKernel) -> None:
        """Take over a frozen normalisation of the output (inference only): scaled weights and another bias."""
        g = self.geometry
        self.normalization = normalization
        if self.panels is None:
            self.weights = shared_zeros(self.site.weights[0].shape)
        if self.bias_row is None:
            self.bias_row = shared_zeros(g.out_width * g.filters)

    def input_padding(self, index: int) -> Padding:
        return NO_PADDING if index else self.geometry.padding

    def gradient_padding(self) -> Padding:
        return self.geometry.gradient_padding if self.geometry.is_dense else Padding()

    def refresh(self) -> None:
        g, bias, scale = self.geometry, self.site.weights[1] if self.site.layer.use_bias else np.float32(0), None
        if self.normalization is not None:
            scale, shift = self.normalization.scale_and_shift()
            bias = bias * scale + shift
        self.refresh_weights(scale)
        if self.bias_row is not None:
            self.bias_row.reshape(g.out_width, g.filters)[...] = bias

    def refresh_weights(self, scale: np.ndarray | None) -> None:
        """Recompute what is derived from the weights; ``scale`` is a folded normalisation's, per filter."""
        g = self.geometry
        if self.panels is not None:
            self.panels.fill(self.kernel, scale)
        elif scale is not None:
            by_filter = (*g.kernel, -1, g.filters)
            np.multiply(self.site.weights[0].reshape(by_filter), scale, out=self.weights.reshape(by_filter))
        if self.flipped is not None:
            source = self.weights[::-1, ::-1].transpose(0, 1, 3, 2)
            np.copyto(self.flipped.reshape(*g.kernel, g.filters, g.channels), source)

    def bind_columns(self, piece: Piece, columns: np.ndarray | None) -> tuple[np.ndarray, Run | None]:
        """The columns of the piece's input as a matrix, and what fills them (None: the input is its own columns)."""
        g, x = self.geometry, self.site.x[0]
        band = piece.band(g.out_height)
        if columns is None:
            direct = self.matrix(x.interior(piece), g.depth) if g.is_pointwise else None
            if direct is not None:
                return direct, None
            columns = piece.temp("columns", (len(piece) * (band.stop - band.start) * g.out_width, g.depth))
        windows = g.windows(x.padded(piece), x.padding, band)
        shaped = columns.reshape(windows.shape)
        return columns, bind_copy(windows, shaped)

    def bind_output(self, piece: Piece, product: np.ndarray) -> Run | None:
        """Bias, relu and the copy from ``product`` (pixels, filters) into the output buffer, which may be the same."""
        y = self.site.y.interior(piece)
        added = self.site.x[1].interior(piece) if self.site.adds else None
        return self.bind_finish(product.reshape(merged_rows(y).shape), y, added)

    def added_image(self, piece: Piece) -> np.ndarray | None:
        """The images to be added to the output, or None."""
        return self.site.x[1].image(piece) if self.site.adds else None

    def bind_finish(self, source: np.ndarray, y: np.ndarray, added: np.ndarray | None = None) -> Run | None:
        """``y`` (rows, height, width, filters) = relu(source + bias + added).

        ``source`` has merged rows, may be ``y``, and is changed.
        """
        bias = None if self.bias_row is None else self.bias_row[: source.shape[-1]]
        terms = (bias, None if added is None else merged_rows(added))
        return bind_sum_and_relu(source, merged_rows(y), terms, self.site)

    def bind_relu_gradient(self, piece: Piece) -> Run | None:
        if not self.site.relu or self.site.relu_gradient_done:
            return None
        y = merged_rows(self.site.y.interior(piece))
        dy = merged_rows(self.site.dy.interior(piece))
        return relu_gradient(dy, y, piece.temp("positive", y.shape, np.int32))

    def matrix(self, buffer_rows: np.ndarray, columns: int) -> np.ndarray | None:
        """Rows of a buffer as a matrix (pixels, columns), or None when a border lies between."""
        return buffer_rows.reshape(-1, columns) if buffer_rows.flags.c_contiguous else None


def bind_sum_and_relu(
    source: np.ndarray, y: np.ndarray, terms: tuple[np.ndarray | None, ...], site: Site
) -> Run | None:
    """A function: ``y`` = relu(source + terms), as far as there are any; ``source`` may be ``y``.

    The last pass writes ``y``, those before it ``source``, which is in cache: what is large leaves the caches once.
    """
    fused, ceiling, is_same = site.relu, site.ceiling, np.shares_memory(source, y)
    present = [term for term in terms if term is not None]
    sums = [(term, source if fused else y) for term in present]
    sums[:-1] = [(term, source) for term in present[:-1]]

    def run() -> None:
        for term, out in sums:
            np.add(source, term, out=out)
        if fused:
            relu(source, y, ceiling)
        elif not sums:
            np.copyto(y, source)

    return run if sums or fused or not is_same else None


class ShardConvolution(ConvolutionKernel):
    """Each shard's micro-batches on their own; weight gradients are summed per shard."""

    writes_band = True

    def __init__(self, site: Site):
        super().__init__(site)
        g = self.geometry
        rows = COLUMN_BYTES // (4 * g.pixels * g.depth)
        self.micro_batch = max(1, rows) if rows < FREE_ROWS else None
        if not site.training and self.weights.size >= PANELLED_WEIGHTS:
            self.panels = Panels(g.pixels * (self.micro_batch or 1), g.depth, [0, g.filters])

    @property
    def reads_band(self) -> bool:
        return self.geometry.is_pointwise

    def forward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_forward, frozenset({"x", "y"}), self.micro_batch)]

    def backward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_backward, frozenset({"x", "y", "dx", "dy"}), self.micro_batch)]

    def bind_forward(self, piece: Piece) -> Run:
        """In inference a large image goes some rows at a time, so that bias and relu find the products in cache."""
        g, band = self.geometry, piece.band(self.geometry.out_height)
        step = max(1, FINISHED_BYTES // (4 * g.out_width * g.filters))
        if self.site.training or len(piece) > 1 or 2 * step > band.stop - band.start:
            return self.bind_rows(piece)
        bands = [slice(first, min(first + step, band.stop)) for first in range(band.start, band.stop, step)]
        return chain(*[self.bind_rows(replace(piece, banded=True, lines=lines)) for lines in bands])

    def bind_rows(self, piece: Piece) -> Run:
        columns, fill = self.bind_columns(piece, None)
        return chain(fill, self.bind_matrix(columns, piece))

    def bind_matrix(self, columns: np.ndarray, piece: Piece) -> Run:
        """The output of the piece from columns that are there."""
        product = self.matrix(self.site.y.interior(piece), self.geometry.filters)
        if product is None:
            product = piece.temp("product", (len(columns), self.geometry.filters))
        if self.panels is not None:
            multiply = self.panels.bind(columns, 0, product, piece)
        else:
            multiply = bind_product(columns, self.kernel, product, piece)
        return chain(multiply, self.bind_output(piece, product))

    def bind_backward(self, piece: Piece) -> Run | None:
        site, g = self.site, self.geometry
        dy = self.matrix(site.dy.interior(piece), g.filters)
        gather = None
        if dy is None:
            source = site.dy.interior(piece)
            dy = piece.temp("product", (len(piece) * g.pixels, g.filters))
            shaped = dy.reshape(source.shape)
            gather = lambda: np.copyto(shaped, source)  # noqa: E731 - one line among its siblings
        runs = [self.bind_relu_gradient(piece), gather]
        if site.trains_weights:
            runs += self.bind_weight_gradient(piece, dy)
        if site.dx[0] is not None:
            runs += self.bind_dense_dx(piece, dy) if g.is_dense else self.bind_strided_dx(piece, dy)
        return chain(*runs)

    def bind_weight_gradient(self, piece: Piece, dy: np.ndarray) -> list[Run | None]:
        g = self.geometry
        columns, fill = self.bind_columns(piece, None)
        target, add = self.site.weight_target(piece, 0)
        target, transposed = target.reshape(g.depth, g.filters), columns.T
        runs = [fill, bind_product(transposed, dy, target, piece), add]
        if self.has_bias:
            bias_target, bias_add = self.site.weight_target(piece, 1)
            row = ones(len(dy))
            runs += [lambda: np.matmul(row, dy, out=bias_target), bias_add]
        return runs

    def bind_dense_dx(self, piece: Piece, dy: np.ndarray) -> list[Run | None]:
        g, site, flipped = self.geometry, self.site, self.flipped
        target, add = site.dx_target(piece)
        fill, columns = None, dy
        if not g.is_pointwise:
            windows = g.gradient_windows(site.dy.padded(piece), site.dy.padding)
            columns = piece.temp("columns", (len(piece) * g.height * g.width, len(flipped)))
            shaped = columns.reshape(windows.shape)
            fill = bind_copy(windows, shaped)
        product = self.matrix(target, g.channels)
        copy = None
        if product is None:
            product = piece.temp("dx_product", (len(columns), g.channels))
            shaped_product = product.reshape(target.shape)
            copy = lambda: np.copyto(target, shaped_product)  # noqa: E731
        return [fill, bind_product(columns, flipped, product, piece), copy, add]

    def bind_strided_dx(self, piece: Piece, dy: np.ndarray) -> list[Run | None]:
        g = self.geometry
        target, add = self.site.dx_target(piece)
        columns = piece.temp("columns", (len(dy), g.depth))
        spread = bind_scatter(g, columns, target, piece)
        return [bind_product(dy, self.kernel.T, columns, piece), spread, add]


def bind_scatter(g: Geometry, columns: np.ndarray, target: np.ndarray, piece: Piece) -> Run:
    """Columns back into the input gradient ``target`` (rows, height, width, channels)."""
    p = g.padding
    height, width = g.height + p.top + p.bottom, g.width + p.left + p.right
    total = piece.temp("scattered", (len(target), height, width, g.channels))
    inner = total[:, p.top : p.top + g.height, p.left : p.left + g.width]
    shaped = columns.reshape(len(target), g.out_height, g.out_width, *g.kernel, g.channels)

    def run() -> None:
        scatter_windows(shaped, g, total)
        np.copyto(target, inner)

    return run
