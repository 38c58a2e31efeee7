"""Sliding windows over images: the padding arithmetic and the views that convolution and pooling share.

Images are (batch, height, width, channels). Imports numpy and errors only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dltool.errors import UsageError

Pair = tuple[int, int]


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> Pair:
    """Rows to add before and after so that the output has ceil(size / stride) rows.

    TensorFlow's rule: what cannot be halved goes to the end (bottom, right), and it depends on the image's size.
    """
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def padding_of(size: Pair, kernel: Pair, strides: Pair, dilation: Pair, padding: str) -> tuple[Pair, Pair]:
    """((top, bottom), (left, right)) for a padding of "same" or "valid"."""
    if padding == "valid":
        return (0, 0), (0, 0)
    top_bottom = same_padding(size[0], kernel[0], strides[0], dilation[0])
    return top_bottom, same_padding(size[1], kernel[1], strides[1], dilation[1])


def output_size(size: int | None, kernel: int, stride: int, dilation: int, padding: str) -> int | None:
    """Windows that fit along one axis; None stays None, zero or less means that the image is too small."""
    if size is None:
        return None
    if padding == "same":
        return -(-size // stride)
    return (size - (kernel - 1) * dilation - 1) // stride + 1


def output_sizes(
    size: tuple[int | None, int | None], kernel: Pair, strides: Pair, dilation: Pair, padding: str
) -> tuple[int | None, int | None]:
    """Height and width of the output."""
    return (
        output_size(size[0], kernel[0], strides[0], dilation[0], padding),
        output_size(size[1], kernel[1], strides[1], dilation[1], padding),
    )


def pad(x: np.ndarray, padding: tuple[Pair, Pair], value: float = 0.0) -> np.ndarray:
    """``x`` with a frame of ``value``; ``x`` itself when there is nothing to add."""
    if padding == ((0, 0), (0, 0)):
        return x
    return np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=value)


def crop(x: np.ndarray, padding: tuple[Pair, Pair]) -> np.ndarray:
    """The inverse of ``pad``, a view."""
    (top, bottom), (left, right) = padding
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


def windows(x: np.ndarray, out_hw: Pair, kernel: Pair, strides: Pair, dilation: Pair = (1, 1)) -> np.ndarray:
    """Read-only view (n, out_h, out_w, kernel_h, kernel_w, c) of a padded image; nothing is copied."""
    n, height, width, channels = x.shape
    for size, out, k, stride, rate in zip((height, width), out_hw, kernel, strides, dilation, strict=True):
        assert (out - 1) * stride + (k - 1) * rate < size, "windows reach beyond the image"
    row, column = x.strides[1], x.strides[2]
    return np.lib.stride_tricks.as_strided(
        x,
        (n, *out_hw, *kernel, channels),
        (
            x.strides[0],
            row * strides[0],
            column * strides[1],
            row * dilation[0],
            column * dilation[1],
            x.strides[3],
        ),
        writeable=False,
    )


def taps(
    x: np.ndarray, out_hw: Pair, kernel: Pair, strides: Pair, dilation: Pair = (1, 1)
) -> Iterator[tuple[int, int, np.ndarray]]:
    """For each place (i, j) in the window, in row-major order, the view (n, out_h, out_w, c) of what lies there."""
    for i in range(kernel[0]):
        rows = slice(i * dilation[0], i * dilation[0] + (out_hw[0] - 1) * strides[0] + 1, strides[0])
        for j in range(kernel[1]):
            columns = slice(j * dilation[1], j * dilation[1] + (out_hw[1] - 1) * strides[1] + 1, strides[1])
            yield i, j, x[:, rows, columns]


def add_windows(target: np.ndarray, values: np.ndarray, strides: Pair, dilation: Pair = (1, 1)) -> None:
    """The transpose of ``windows``: add each window of ``values`` onto the place in ``target`` it was read from."""
    for i, j, tap in taps(target, values.shape[1:3], values.shape[3:5], strides, dilation):
        tap += values[:, :, :, i, j]


def check_padding(padding: str) -> str:
    """The padding's canonical name. Raises UsageError."""
    if padding.lower() not in ("valid", "same"):
        raise UsageError(f"padding {padding!r} is not known; use 'valid' or 'same'")
    return padding.lower()


def check_image(shape: tuple[int | None, ...]) -> tuple[int | None, int | None, int]:
    """Height, width and channels of an image shape. Raises UsageError for anything else."""
    if len(shape) != 3:
        flat = " (flattened features)" if len(shape) == 1 else ""
        sizes = "x".join("?" if size is None else str(size) for size in shape) or "scalar"
        raise UsageError(
            f"needs an image (height x width x channels) but gets {sizes}{flat}; "
            "put it before any flatten, or reshape its input, e.g. 28x28x1 for grey images"
        )
    height, width, channels = shape
    if channels is None:
        raise UsageError("the number of channels of its input is unknown; give the input shape with channels")
    return height, width, channels
