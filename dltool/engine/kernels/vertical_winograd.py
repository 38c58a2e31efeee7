"""Winograd's F(4, 3) along the image's height alone, columns of windows along its width: half the multiplications.

Four output rows come from six input rows: ``Y = A^T [ (G g) * (B^T d) ]``, the transforms of ``engine.winograd`` along
one axis. They work on whole image rows, hundreds of numbers at a time, and need no tiles across, so they cost little
beside those of F(4x4, 3x3); errors stay at 1e-5 of rms.
"""

from __future__ import annotations

import numpy as np

from dltool.engine.buffers import NO_PADDING, Padding, Piece
from dltool.engine.kernels.base import Phase, Run, Site
from dltool.engine.kernels.convolution import ConvolutionKernel, chain, window_view
from dltool.engine.kernels.products import bind_product
from dltool.engine.kernels.tricks import merged_rows, ones
from dltool.engine.memory import shared_zeros
from dltool.engine.winograd import KERNEL_TRANSFORM, REACH, TILE, input_rows, output_rows, output_rows_back

SMALLEST_CHANNELS = 32
"""Below this the transforms cost more than the smaller products save."""
TRANSFORMED_BYTES = 9 << 17
"""Transformed input and output of one micro-batch: 4 images of 26x26x32, 1 of 32x32x64. Larger ones leave a second
level cache of 1 MB: 4 images of 32x32x64 take 10-20 % longer."""


def suits(site: Site) -> bool:
    """Whether a convolution's shape is one that this wins; tiles that hang over the lower edge waste up to a sixth."""
    layer, (height, _, filters) = site.layer, site.output_shape
    plain = layer.kernel_size == (3, 3) and layer.strides == (1, 1) and layer.dilation_rate == (1, 1)
    return plain and -height % TILE * 6 <= height and min(filters, site.input_shapes[0][-1]) >= SMALLEST_CHANNELS


class VerticalWinograd(ConvolutionKernel):
    """F(4, 3) on shards. Against columns of whole windows, one lane, a forward pass and its two gradients take
    0.75 of the time (32 channels, 26x26), 0.67 (64, 32x32), 0.65 (128, 16x16).

    Where the height is no multiple of four the last tile reads border rows and its surplus rows are dropped.
    """

    def __init__(self, site: Site):
        super().__init__(site)
        g = self.geometry
        self.down = -(-g.out_height // TILE)
        width = max(g.width + 2, g.out_width + 2)
        per_row = 4 * REACH * max(self.down, -(-g.height // TILE)) * width * (g.channels + g.filters)
        self.micro_batch = 1 << min(4, max(1, TRANSFORMED_BYTES // per_row).bit_length() - 1)
        self.transformed = shared_zeros((REACH, 3 * g.channels, g.filters))
        self.transformed_flipped = shared_zeros((REACH, 3 * g.filters, g.channels)) if site.training else None

    def input_padding(self, index: int) -> Padding:
        if index:
            return NO_PADDING
        p = self.geometry.padding
        return Padding(p.top, TILE * self.down + 2 - self.geometry.height - p.top, p.left, p.right)

    def gradient_padding(self) -> Padding:
        """Of dX's windows, and below as much as the tiles of dX and dY reach."""
        g, p = self.geometry, super().gradient_padding()
        below = TILE * -(-g.height // TILE) + 2 - g.out_height - p.top
        return Padding(p.top, max(below, TILE * self.down - g.out_height), p.left, p.right)

    def refresh(self) -> None:
        super().refresh()
        transform(self.weights, self.transformed)
        if self.flipped is not None:
            transform(self.flipped, self.transformed_flipped)

    def forward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_forward, frozenset({"x", "y"}), self.micro_batch)]

    def backward_phases(self) -> list[Phase]:
        return [Phase("shard", self.bind_backward, frozenset({"x", "y", "dx", "dy"}), self.micro_batch)]

    def bind_forward(self, piece: Piece) -> Run | None:
        """Bands are bands of tiles here, four rows high."""
        g, down = self.geometry, piece.band(self.down)
        if down.start == down.stop:
            return None
        rows = slice(TILE * down.start, TILE * down.stop)
        y, added = self.site.y.image(piece)[:, rows], self.added_image(piece)
        added = None if added is None else added[:, rows]
        columns = self.bind_columns_of_x(piece, down)
        if y.shape[1] % TILE == 0:
            lines = merged_rows(y)
            return chain(columns.bind_product(self.transformed, lines), self.bind_finish(lines, y, added))
        whole = piece.temp("whole tiles", (len(piece), columns.height, g.out_width * g.filters))
        return chain(columns.bind_product(self.transformed, whole), self.bind_finish(whole[:, : y.shape[1]], y, added))

    def bind_backward(self, piece: Piece) -> Run:
        site = self.site
        runs = [self.bind_relu_gradient(piece)]
        if site.trains_weights:
            runs += self.bind_weight_gradient(piece)
        if site.dx[0] is not None:
            runs += self.bind_dx(piece)
        return chain(*runs)

    def bind_columns_of_x(self, piece: Piece, down: slice) -> Columns:
        g, x = self.geometry, self.site.x[0]
        top, left = x.padding.top - g.padding.top + TILE * down.start, x.padding.left - g.padding.left
        padded = x.padded(piece)[:, top:, left : left + g.out_width + 2]
        return Columns(padded, down.stop - down.start, piece)

    def bind_weight_gradient(self, piece: Piece) -> list[Run | None]:
        """dM = A dY per frequency, dU = columns^T dM, dg = G^T dU."""
        g, site = self.geometry, self.site
        columns = self.bind_columns_of_x(piece, slice(0, self.down))
        dy = self.whole_tiles(piece)
        spread = piece.temp("spread", (REACH, len(piece), self.down, g.out_width * g.filters))
        line = scratch(piece, spread.shape[1:])
        sources = [dy[0][:, r::TILE] for r in range(TILE)]
        products = piece.temp("products", (REACH, 3 * g.channels, g.filters))
        target, add = site.weight_target(piece, 0)
        out, back = target.reshape(3, -1), np.ascontiguousarray(KERNEL_TRANSFORM.T)
        runs = [
            dy[1],
            lambda: output_rows_back(sources, spread, line),
            columns.bind_gradient(spread.reshape(REACH, -1, g.filters), products),
            lambda: np.matmul(back, products.reshape(REACH, -1), out=out),
            add,
        ]
        if self.has_bias:
            # Row 1 of A is all ones: frequency 1 of dM holds the sum of each tile's rows.
            sums, (bias, add_bias) = spread[1].reshape(-1, g.filters), site.weight_target(piece, 1)
            row = ones(len(sums))
            runs += [lambda: np.matmul(row, sums, out=bias), add_bias]
        return runs

    def whole_tiles(self, piece: Piece) -> tuple[np.ndarray, Run | None]:
        """dY (rows, 4 tiles, width * filters) with zeros below, and what fills it where its own border is too small."""
        g, dy = self.geometry, self.site.dy
        height, held = TILE * self.down, g.out_height + dy.padding.bottom
        inner = merged_rows(dy.image(piece))
        if held >= height:
            top, left = dy.padding.top, dy.padding.left
            return merged_rows(dy.padded(piece)[:, top : top + height, left : left + g.out_width]), None
        copy = piece.temp("whole dy", (len(piece), height, g.out_width * g.filters))

        def fill() -> None:
            np.copyto(copy[:, : g.out_height], inner)
            copy[:, g.out_height :] = 0

        return copy, fill

    def bind_dx(self, piece: Piece) -> list[Run | None]:
        """The same product on dY with flipped kernels."""
        g, dy = self.geometry, self.site.dy
        wanted = ConvolutionKernel.gradient_padding(self)
        top, left = dy.padding.top - wanted.top, dy.padding.left - wanted.left
        padded = dy.padded(piece)[:, top:, left : left + g.width + 2]
        columns = Columns(padded, -(-g.height // TILE), piece)
        target, add = self.site.dx_target(piece)
        if g.height % TILE == 0:
            return [columns.bind_product(self.transformed_flipped, merged_rows(target)), add]
        whole = piece.temp("whole tiles", (len(piece), columns.height, g.width * g.channels))
        inner, rows = whole[:, : g.height], merged_rows(target)
        return [columns.bind_product(self.transformed_flipped, whole), lambda: np.copyto(rows, inner), add]


class Columns:
    """The transformed rows of some padded images, and products of their windows across, one frequency at a time.

    Args:
        padded: (rows, at least 4 down + 2, width + 2, channels).
        down: tiles.
    """

    def __init__(self, padded: np.ndarray, down: int, piece: Piece):
        rows, _, width, channels = padded.shape
        self.height, self.piece = TILE * down, piece
        self.shape = (rows, down, width - 2)
        lines = merged_rows(padded)
        self.sources = [lines[:, r : r + TILE * (down - 1) + 1 : TILE] for r in range(REACH)]
        self.values = piece.temp("values", (REACH, rows, down, width * channels))
        self.line = scratch(piece, self.values.shape[1:])
        images = self.values.reshape(REACH, rows, down, width, channels)
        self.windows = [window_view(image, self.shape[1:], (1, 3), (1, 1), (1, 1)) for image in images]
        self.columns = piece.temp("columns", self.windows[0].shape)
        self.matrix = self.columns.reshape(-1, 3 * channels)

    def bind_product(self, kernel: np.ndarray, image: np.ndarray) -> Run:
        """A function: ``image`` (rows, 4 down, width * filters) = the convolution with a kernel (6, depth, filters)."""
        rows, down, width = self.shape
        filters = kernel.shape[-1]
        products = self.piece.temp("spread", (REACH, rows, down, width * filters))
        matrices = products.reshape(REACH, -1, filters)
        line = scratch(self.piece, products.shape[1:])
        targets = [image[:, r::TILE] for r in range(TILE)]
        columns = self.columns
        steps = [
            (windows, bind_product(self.matrix, factor, product, self.piece))
            for windows, factor, product in zip(self.windows, kernel, matrices, strict=True)
        ]

        def run() -> None:
            input_rows(self.sources, self.values, self.line)
            for windows, multiply in steps:
                np.copyto(columns, windows)
                multiply()
            output_rows(products, targets, line)

        return run

    def bind_gradient(self, spread: np.ndarray, products: np.ndarray) -> Run:
        """A function: ``products`` (6, depth, filters) = columns^T ``spread`` (6, pixels, filters)."""
        columns, transposed = self.columns, self.matrix.T
        steps = [
            (windows, bind_product(transposed, gradient, product, self.piece))
            for windows, gradient, product in zip(self.windows, spread, products, strict=True)
        ]

        def run() -> None:
            input_rows(self.sources, self.values, self.line)
            for windows, multiply in steps:
                np.copyto(columns, windows)
                multiply()

        return run


def scratch(piece: Piece, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return piece.temp("line 0", shape), piece.temp("line 1", shape)


def transform(kernel: np.ndarray, out: np.ndarray) -> None:
    """``out`` (6, 3 * inputs, outputs) = G kernel along the height of a kernel (3, 3, inputs, outputs)."""
    np.matmul(KERNEL_TRANSFORM, kernel.reshape(3, -1), out=out.reshape(REACH, -1))
