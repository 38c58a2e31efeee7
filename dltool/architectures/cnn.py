"""A plain convolutional network for small images: what to try first."""

from dltool.architectures.base import ARCHITECTURES, head, image_input, pool, positive, rate, side
from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import Conv2D, Dense, Dropout, Flatten, Shape

MOST_FILTERS = 256


@ARCHITECTURES.register("cnn")
def cnn(
    input_shape: Shape,
    num_outputs: int,
    activation: str,
    *,
    rescale: bool = False,
    width: int = 32,
    units: int = 256,
    dropout: float = 0.25,
) -> Graph:
    """Stages of two 3x3 convolutions, pooling and dropout, then Dense(``units``) and dropout at twice the rate.

    The first stage has ``width`` filters and each further one twice as many. There are two stages, and more where the
    images would stay larger than 8x8, so that the dense layer does not grow with the image.
    """
    positive("cnn", width=width, units=units)
    builder = GraphBuilder("cnn")
    x = image_input(builder, "cnn", input_shape, rescale)
    stage, filters = 0, width
    while stage < 2 or side(builder, x) > 8:
        for _ in range(2):
            x = builder.add(Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_uniform"), x)
        x = _dropped(builder, pool(builder, x), dropout)
        stage, filters = stage + 1, min(2 * filters, max(MOST_FILTERS, width))
    x = builder.add(Dense(units, activation="relu"), builder.add(Flatten(), x))
    return head(builder, _dropped(builder, x, min(2 * dropout, 0.9)), num_outputs, activation)


def _dropped(builder: GraphBuilder, x: int, dropout: float) -> int:
    return builder.add(Dropout(dropout), x) if rate("cnn", dropout) else x
