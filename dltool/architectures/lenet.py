"""LeNet-5 with today's parts."""

from dltool.architectures.base import ARCHITECTURES, head, image_input, pool, positive, side
from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import Conv2D, Dense, Flatten, Shape


@ARCHITECTURES.register("lenet")
def lenet(input_shape: Shape, num_outputs: int, activation: str, *, rescale: bool = False, width: int = 6) -> Graph:
    """5x5 convolutions of ``width`` and 8/3 ``width`` filters with pooling, dense layers of 120 and 84.

    Deviations from the paper: ReLU instead of tanh, maximum instead of averages, all maps connected, a plain head; the
    first convolution pads, so that 28x28 images give the paper's 28x28 maps; where less than 6x6 is left, both do.

    Source: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition" (1998), figure 2.
    """
    positive("lenet", width=width)
    builder = GraphBuilder("lenet")
    x = image_input(builder, "lenet", input_shape, rescale)
    x = pool(builder, builder.add(Conv2D(width, 5, padding="same", activation="relu"), x))
    padding = "valid" if side(builder, x) >= 6 else "same"
    x = pool(builder, builder.add(Conv2D(round(width * 8 / 3), 5, padding=padding, activation="relu"), x))
    x = builder.add(Flatten(), x)
    for units in (120, 84):
        x = builder.add(Dense(units, activation="relu"), x)
    return head(builder, x, num_outputs, activation)
