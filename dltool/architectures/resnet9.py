"""A wide and shallow residual network that learns small images in few epochs."""

from dltool.architectures.base import ARCHITECTURES, SMALL_START, conv_bn, head, image_input, pool, positive
from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import Add, GlobalMaxPooling2D, Rescaling, Shape

LOGIT_SCALE = 1 / 8
"""Of what the dense layer sees: the largest of many values make a confident network of one that has learnt nothing."""


@ARCHITECTURES.register("resnet9")
def resnet9(input_shape: Shape, num_outputs: int, activation: str, *, rescale: bool = False, width: int = 32) -> Graph:
    """Eight 3x3 convolutions with ``width``, twice, four and eight times as many filters, and a dense layer.

    Every stage after the first is a convolution and a pooling; after the second and the fourth two more convolutions
    go round a shortcut. The original has width 64.

    Source: Page, "How to Train Your ResNet" (2018), the network of its third to eighth part; Coleman et al.,
    "DAWNBench" (2017), for the contest it was made for.
    """
    positive("resnet9", width=width)
    builder = GraphBuilder("resnet9")
    x = _conv(builder, image_input(builder, "resnet9", input_shape, rescale), width)
    for stage in (1, 2, 3):
        x = pool(builder, _conv(builder, x, width << stage))
        if stage != 2:
            x = builder.add(Add(), x, _branch(builder, x, width << stage))
    x = builder.add(Rescaling(LOGIT_SCALE), builder.add(GlobalMaxPooling2D(), x))
    return head(builder, x, num_outputs, activation)


def _branch(builder: GraphBuilder, x: int, filters: int) -> int:
    return _conv(builder, _conv(builder, x, filters), filters)


def _conv(builder: GraphBuilder, x: int, filters: int) -> int:
    return conv_bn(builder, x, filters, start=SMALL_START)
