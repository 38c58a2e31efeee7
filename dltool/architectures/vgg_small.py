"""Six convolutions with batch normalisation, in the manner of VGG."""

from dltool.architectures.base import ARCHITECTURES, conv_bn, head, image_input, pool, positive, rate
from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import Dropout, GlobalAveragePooling2D, Shape


@ARCHITECTURES.register("vgg-small")
def vgg_small(
    input_shape: Shape,
    num_outputs: int,
    activation: str,
    *,
    rescale: bool = False,
    width: int = 64,
    dropout: float = 0.2,
) -> Graph:
    """Three stages of two 3x3 convolutions (``width``, twice, four times as many filters), each followed by pooling.

    Batch normalisation and ReLU after every convolution, global average pooling instead of VGG's dense layers, and
    dropout between the stages and before the head.

    Source: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2015), section 2;
    global average pooling: Lin, Chen, Yan, "Network In Network" (2014), section 3.2.
    """
    positive("vgg-small", width=width)
    builder = GraphBuilder("vgg_small")
    x = image_input(builder, "vgg-small", input_shape, rescale)
    for filters in (width, 2 * width, 4 * width):
        x = conv_bn(builder, conv_bn(builder, x, filters), filters)
        x = pool(builder, x)
        if rate("vgg-small", dropout):
            x = builder.add(Dropout(dropout), x)
    return head(builder, builder.add(GlobalAveragePooling2D(), x), num_outputs, activation)
