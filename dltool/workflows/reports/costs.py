"""What a layer costs for one sample: multiply-adds and the memory of its output, from shapes alone."""

from __future__ import annotations

import math
from typing import Any

from dltool.engine.layers.base import Layer, Shape, WeightSpec

FLOAT_BYTES = 4
PER_POSITION = ("Conv2D", "Dense", "DepthwiseConv2D")
"""Every number of the kernel is used once at every position of the output (all axes but the last)."""
PER_ELEMENT = ("BatchNormalization", "Normalization", "Rescaling")
"""One multiply-add for every element: a scale and an offset."""


def multiply_adds(layer: Layer, specs: tuple[WeightSpec, ...], output: Shape) -> int | None:
    """Multiply-adds of one sample at inference; None where sizes are open or the layer's kind is not counted.

    Two floating-point operations each. Biases, activations, pooling and sums are not counted: they are a few per
    element, the products are hundreds.

    Args:
        specs: the layer's weights. output: the shape of its output.
    """
    kind = type(layer).__name__
    if kind in PER_POSITION:
        return None if None in output else math.prod(output[:-1]) * specs[0].size
    if kind in PER_ELEMENT:
        return None if None in output else math.prod(output)
    return None if specs else 0


def output_bytes(output: Shape) -> int | None:
    """Bytes of one sample's output in float32; None where sizes are open."""
    return None if None in output else FLOAT_BYTES * math.prod(output)


def total(values: Any) -> int | None:
    """The sum; None when a part is not known."""
    values = list(values)
    return None if None in values else sum(values)
