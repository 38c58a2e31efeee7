"""The taps of a sliding window: for each place in the window, which outputs it serves and which inputs it reads."""

from __future__ import annotations

import math

import numpy as np

from dltool.engine.windows import padding_of

Pair = tuple[int, int]
Slices = tuple[slice, slice]


class Taps:
    """Pairs of slices into output and input, border pixels left out; a tap that only ever sees the border is empty.

    Attributes:
        slices: per tap, row by row, ((output rows, columns), (input rows, columns)).
        overlap: whether windows share input pixels.
        cover_output: every tap serves every output.
        cover_input: every input pixel is under exactly one tap of one window.
    """

    def __init__(
        self,
        kernel: Pair,
        strides: Pair,
        dilation: Pair,
        padding: str,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
    ):
        frame = padding_of(input_shape[:2], kernel, strides, dilation, padding)
        axes = [
            [reach(tap * rate - before, size, out, stride) for tap in range(taps)]
            for taps, rate, stride, size, out, (before, _) in zip(
                kernel, dilation, strides, input_shape[:2], output_shape[:2], frame, strict=True
            )
        ]
        self.slices: list[tuple[Slices, Slices]] = [((oy, ox), (iy, ix)) for oy, iy in axes[0] for ox, ix in axes[1]]
        self.overlap = any(stride < size for stride, size in zip(strides, kernel, strict=True))
        whole = (slice(0, output_shape[0]), slice(0, output_shape[1]))
        self.cover_output = all(out == whole for out, _ in self.slices)
        touched = len(self.slices) * math.prod(output_shape[:2])
        self.cover_input = self.cover_output and not self.overlap and touched == math.prod(input_shape[:2])

    def views(self, x: np.ndarray, y: np.ndarray, band: slice) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per tap that is not empty the output part and the input part, aligned, for a band of output rows."""
        found = []
        for (oy, ox), (iy, ix) in self.slices:
            first, last = max(oy.start, band.start), min(oy.stop, band.stop)
            if first < last:
                start = iy.start + (first - oy.start) * iy.step
                stop = iy.stop - (oy.stop - last) * iy.step
                found.append((y[:, first:last, ox], x[:, start : stop : iy.step, ix]))
        return found


def reach(offset: int, size: int, out: int, stride: int) -> tuple[slice, slice]:
    """Along one axis: the outputs whose input at ``output * stride + offset`` is no border, and those inputs."""
    first = max(0, -(offset // stride))
    last = min(out - 1, (size - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0, stride)
    start = first * stride + offset
    return slice(first, last + 1), slice(start, last * stride + offset + 1, stride)
