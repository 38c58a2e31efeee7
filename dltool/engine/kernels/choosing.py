"""Which kernel runs a convolution: a matter of shapes alone, so that bits do not depend on the day or the machine."""

from __future__ import annotations

import math

from dltool.engine.kernels import shared_winograd, small_maps, vertical_winograd, winograd
from dltool.engine.kernels.base import Kernel, Site, planner
from dltool.engine.kernels.batch_convolution import BatchConvolution
from dltool.engine.kernels.convolution import ShardConvolution
from dltool.engine.kernels.vertical_winograd import VerticalWinograd
from dltool.engine.kernels.winograd import WinogradConvolution
from dltool.engine.layers.convolution import Conv2D

FEWEST_PIXELS = 1024
"""Output pixels of a batch from which Winograd wins although the weights outnumber the activations: transforming the
kernel and its gradient, and reading four times as many numbers per shard, costs as much as 300-500 pixels save."""


@planner(Conv2D)
def plan_convolution(site: Site) -> Kernel | None:
    """Grouped convolutions run their reference."""
    if site.layer.groups != 1:
        return None
    if not site.exact and shared_winograd.suits(site):
        return shared_winograd.SharedWinograd(site)
    if small_maps.suits(site):
        return small_maps.SmallMapConvolution(site)
    activations = site.batch_size * max(math.prod(site.input_shapes[0]), math.prod(site.output_shape))
    outgrown = site.training and site.weights[0].size > activations
    pixels = site.batch_size * math.prod(site.output_shape[:2])
    if pixels >= FEWEST_PIXELS or not outgrown:
        if not site.exact and winograd.suits(site):
            return WinogradConvolution(site)
        if vertical_winograd.suits(site):
            return VerticalWinograd(site)
    return BatchConvolution(site) if outgrown else ShardConvolution(site)
