"""Reading strings from images (or other sequences): convolutions, a recurrent layer in both directions, CTC."""

from dltool.architectures.base import ARCHITECTURES, SMALL_START, conv_bn, head, image_input, positive, rate
from dltool.engine.graph import Graph, GraphBuilder, describe
from dltool.engine.layers import LSTM, Bidirectional, Dropout, MaxPooling2D, Permute, Reshape, Shape
from dltool.errors import UsageError

ROWS = 4
"""Images are pooled until they have at most so many rows of features."""


@ARCHITECTURES.register("crnn")
def crnn(
    input_shape: Shape,
    num_outputs: int,
    activation: str,
    *,
    rescale: bool = False,
    width: int = 16,
    units: int = 64,
    dropout: float = 0.2,
    bidirectional: bool = True,
) -> Graph:
    """Convolutions with batch normalisation, then the columns of the image as steps of an LSTM in both directions.

    Each step has ``num_outputs`` logits, the first for the blank of CTC, whatever ``activation`` says. An image of w
    columns has w/4 steps. An LSTM in one direction (``bidirectional`` false) is half the work; it may say a symbol
    late, which CTC allows. The first stage has ``width`` filters, the second twice as many; those after them, four
    times as many, halve the height only, and a last convolution widens what each column sees. Sequences
    (steps x features) go to the LSTM as they are.
    Source: Shi, Bai and Yao, "An end-to-end trainable neural network for image-based sequence recognition", 2015, with
    fewer and smaller stages.
    """
    positive("crnn", width=width, units=units)
    builder = GraphBuilder("crnn")
    x = builder.input(input_shape) if len(input_shape) == 2 else _columns(builder, input_shape, rescale, width)
    layer = LSTM(units, return_sequences=True)
    x = builder.add(Bidirectional(layer) if bidirectional else layer, x)
    if rate("crnn", dropout):
        x = builder.add(Dropout(dropout), x)
    return head(builder, x, num_outputs, "linear")


def _columns(builder: GraphBuilder, shape: Shape, rescale: bool, width: int) -> int:
    """(steps, features) of an image."""
    x = image_input(builder, "crnn", shape, rescale)
    if None in shape or min(shape[:2]) < 4:
        raise UsageError(
            f"--arch crnn: needs images of one size, at least 4x4, but the input is {describe(shape)}; "
            "give --image-size"
        )
    for filters in (width, 2 * width):
        x = builder.add(MaxPooling2D(2), conv_bn(builder, x, filters, start=SMALL_START))
    rows, columns, filters = shape[0] // 4, shape[1] // 4, 4 * width
    while rows > ROWS:
        x, rows = builder.add(MaxPooling2D((2, 1)), conv_bn(builder, x, filters, start=SMALL_START)), rows // 2
    x = builder.add(Permute((2, 1, 3)), conv_bn(builder, x, filters, start=SMALL_START))
    return builder.add(Reshape((columns, rows * filters)), x)
