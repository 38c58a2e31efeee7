"""Autoencoders: through a few numbers and back to the input."""

import math

from dltool.architectures.base import ARCHITECTURES, positive
from dltool.engine.graph import Graph, GraphBuilder, describe
from dltool.engine.layers import Conv2D, Dense, Flatten, MaxPooling2D, Rescaling, Reshape, Shape, UpSampling2D
from dltool.errors import UsageError

LEAST_SIDE = 4
"""Images are halved as long as both sides stay whole and at least this long."""
MOST_HALVINGS = 3
CODE = "code"
"""The layer with the few numbers, for ``predict --layer code``."""


@ARCHITECTURES.register("autoencoder")
def autoencoder(
    input_shape: Shape,
    num_outputs: int,
    activation: str,
    *,
    rescale: bool = False,
    units: int = 32,
    hidden: int = 256,
    width: int = 16,
) -> Graph:
    """The input in ``units`` numbers, and the input again from them; the output has the input's shape.

    Images whose sides can be halved go through convolutions and poolings (``width`` filters, doubled at each halving),
    and back through enlarging and convolutions; everything else through one dense layer of ``hidden`` units on each
    side. ``num_outputs`` follows from the shape. The last ``activation`` is for values as the network sees them, after
    its Rescaling.
    Source: Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks", 2006.
    """
    positive("autoencoder", units=units, hidden=hidden, width=width)
    if None in input_shape:
        raise UsageError(f"--arch autoencoder: needs inputs of one size but gets {describe(input_shape)}; say it")
    builder = GraphBuilder("autoencoder")
    x = builder.input(input_shape)
    if rescale and len(input_shape) == 3:
        x = builder.add(Rescaling(scale=1 / 255), x)
    if len(input_shape) == 3 and _halvings(input_shape):
        return builder.graph(_convolutional(builder, x, input_shape, activation, units, width))
    return builder.graph(_dense(builder, x, input_shape, activation, units, hidden))


def _halvings(shape: Shape) -> int:
    """How often both sides of an image can be halved."""
    count, (height, width) = 0, shape[:2]
    while count < MOST_HALVINGS and not height % 2 and not width % 2 and min(height, width) >= 2 * LEAST_SIDE:
        count, height, width = count + 1, height // 2, width // 2
    return count


def _dense(builder: GraphBuilder, x: int, shape: Shape, activation: str, units: int, hidden: int) -> int:
    if len(shape) > 1:
        x = builder.add(Flatten(), x)
    x = builder.add(Dense(units, name=CODE), builder.add(Dense(hidden, activation="relu"), x))
    x = builder.add(Dense(hidden, activation="relu"), x)
    x = builder.add(Dense(math.prod(shape), activation=activation), x)
    return builder.add(Reshape(tuple(shape)), x) if len(shape) > 1 else x


def _convolutional(builder: GraphBuilder, x: int, shape: Shape, activation: str, units: int, width: int) -> int:
    halvings = _halvings(shape)
    filters = [width * 2**stage for stage in range(halvings)]
    for count in filters:
        x = builder.add(MaxPooling2D(2), builder.add(Conv2D(count, 3, padding="same", activation="relu"), x))
    small = (shape[0] >> halvings, shape[1] >> halvings, filters[-1])
    x = builder.add(Dense(units, name=CODE), builder.add(Flatten(), x))
    x = builder.add(Reshape(small), builder.add(Dense(math.prod(small), activation="relu"), x))
    for count in reversed(filters):
        x = builder.add(UpSampling2D(2), builder.add(Conv2D(count, 3, padding="same", activation="relu"), x))
    return builder.add(Conv2D(shape[2], 3, padding="same", activation=activation), x)
