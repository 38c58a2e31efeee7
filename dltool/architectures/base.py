"""The registry of ready architectures and the pieces that they share."""

from collections.abc import Callable

from dltool.engine.graph import Graph, GraphBuilder, describe
from dltool.engine.initializers import Initializer, VarianceScaling
from dltool.engine.layers import BatchNormalization, Conv2D, Dense, MaxPooling2D, ReLU, Rescaling, Shape
from dltool.errors import UsageError
from dltool.registry import Registry

Architecture = Callable[..., Graph]
"""``(input_shape, num_outputs, activation, *, rescale=False, **options) -> Graph``; the options are keyword-only."""

ARCHITECTURES: Registry[Architecture] = Registry("architecture")

MOMENTUM = 0.9
"""Of batch normalisation: a small data set has too few steps for Keras's 0.99 to forget where it began."""
SMALL_START = VarianceScaling(1 / 3, "fan_in", "uniform")
"""For convolutions, as torch starts them. Batch normalisation takes the size of weights away, but a step turns small
ones further: 5 epochs of resnet9 on CIFAR-10 with width 16 and SGD at 0.1 gave 0.820 on the test images, with he_normal
0.795."""


def image_input(builder: GraphBuilder, name: str, shape: Shape, rescale: bool) -> int:
    """The input of an image network, scaled from 0..255 to 0..1 where ``rescale``. Raises UsageError for no image."""
    if len(shape) != 3:
        raise UsageError(
            f"--arch {name}: needs images (height x width x channels) but the input is {describe(shape)}; use mlp"
        )
    x = builder.input(shape)
    return builder.add(Rescaling(scale=1 / 255), x) if rescale else x


def side(builder: GraphBuilder, node: int) -> int:
    """The shorter side of the images at a node; a side known only at run time counts as large."""
    height, width = builder.graph(node).shapes[node][:2]
    return min(height or 1024, width or 1024)


def pool(builder: GraphBuilder, node: int) -> int:
    """Halve the images, unless that would leave less than 2x2."""
    return builder.add(MaxPooling2D(pool_size=2), node) if side(builder, node) >= 4 else node


def conv_bn(
    builder: GraphBuilder,
    x: int,
    filters: int,
    size: int = 3,
    strides: int = 1,
    relu: bool = True,
    start: str | Initializer = "he_normal",
) -> int:
    """Convolution without bias, its weights drawn by ``start``; batch normalisation, ReLU."""
    conv = Conv2D(filters, size, strides=strides, padding="same", use_bias=False, kernel_initializer=start)
    x = builder.add(BatchNormalization(momentum=MOMENTUM), builder.add(conv, x))
    return builder.add(ReLU(), x) if relu else x


def head(builder: GraphBuilder, x: int, num_outputs: int, activation: str) -> Graph:
    return builder.graph(builder.add(Dense(num_outputs, activation=activation), x))


def positive(name: str, **options: int) -> None:
    """Refuse an option of an architecture below 1."""
    for key, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100_000:
            raise UsageError(f"--arch {name}: {key}={value} must be a whole number from 1 to 100000")


def rate(name: str, value: float) -> float:
    """Refuse a dropout rate outside 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise UsageError(f"--arch {name}: dropout={value} must be a number from 0 to below 1")
    return float(value)
