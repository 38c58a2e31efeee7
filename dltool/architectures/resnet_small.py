"""A residual network for small images."""

from dltool.architectures.base import ARCHITECTURES, conv_bn, head, image_input, positive, side
from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import Add, GlobalAveragePooling2D, ReLU, Shape


@ARCHITECTURES.register("resnet-small")
def resnet_small(
    input_shape: Shape, num_outputs: int, activation: str, *, rescale: bool = False, width: int = 32, blocks: int = 2
) -> Graph:
    """Three stages of ``blocks`` residual blocks with ``width``, twice and four times as many filters.

    Each stage after the first halves the image (unless less than 2x2 would be left). Shortcuts that change the shape
    are 1x1 convolutions (option B of the paper, where its own CIFAR networks use option A).

    Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition" (2016), sections 3.3 and 4.2.
    """
    positive("resnet-small", width=width, blocks=blocks)
    builder = GraphBuilder("resnet_small")
    x = conv_bn(builder, image_input(builder, "resnet-small", input_shape, rescale), width)
    channels = width
    for stage, filters in enumerate((width, 2 * width, 4 * width)):
        for block in range(blocks):
            strides = 2 if stage and not block and side(builder, x) >= 4 else 1
            x = _block(builder, x, filters, strides, project=strides > 1 or channels != filters)
            channels = filters
    return head(builder, builder.add(GlobalAveragePooling2D(), x), num_outputs, activation)


def _block(builder: GraphBuilder, x: int, filters: int, strides: int, project: bool) -> int:
    """relu(x + F(x)) with two 3x3 convolutions in F."""
    y = conv_bn(builder, conv_bn(builder, x, filters, strides=strides), filters, relu=False)
    shortcut = conv_bn(builder, x, filters, 1, strides, relu=False) if project else x
    return builder.add(ReLU(), builder.add(Add(), shortcut, y))
