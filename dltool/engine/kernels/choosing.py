"""Which kernel runs a convolution: a matter of shapes alone, so that bits do not depend on the day or the machine."""

from __future__ import annotations

import math

from dltool.engine.kernels.base import Kernel, Site, planner
from dltool.engine.kernels.convolution import BatchConvolution, ShardConvolution
from dltool.engine.kernels.winograd import WinogradConvolution, suits
from dltool.engine.layers.convolution import Conv2D


@planner(Conv2D)
def plan_convolution(site: Site) -> Kernel | None:
    """Grouped convolutions run their reference."""
    if site.layer.groups != 1:
        return None
    activations = site.batch_size * max(math.prod(site.input_shapes[0]), math.prod(site.output_shape))
    if site.training and site.weights[0].size > activations:
        return BatchConvolution(site)
    if suits(site) and not site.exact:
        return WinogradConvolution(site)
    return ShardConvolution(site)
