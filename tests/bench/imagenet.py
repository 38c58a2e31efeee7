"""The networks whose inference is measured, as dltool's graphs with 1,000 classes; ``imagenet_torch`` builds the same.

VGG16: Simonyan and Zisserman 2014, arXiv:1409.1556, configuration D. ResNet50: He et al. 2015, arXiv:1512.03385, with
the stride in the 3x3 convolutions and no biases, as in torchvision. MobileNet V1: arXiv:1704.04861, V2:
arXiv:1801.04381.
"""

from __future__ import annotations

from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import (
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ReLU,
)

NUM_CLASSES = 1000
VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""(filters, convolutions) of each block."""
RESNET50 = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""(filters, blocks, stride of the first block) of each stage; a block's output has 4 times the filters."""
MOBILENET_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""(filters, stride) of each separable convolution after the first convolution of 32."""
MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""(expansion, filters, blocks, stride of the first) of each stage. Source: arXiv:1801.04381, table 2."""


def vgg16(shape: tuple[int, ...]) -> Graph:
    b = GraphBuilder()
    x = b.input(shape)
    for filters, count in VGG16:
        for _ in range(count):
            x = b.add(Conv2D(filters, 3, padding="same", activation="relu"), x)
        x = b.add(MaxPooling2D(2), x)
    x = b.add(Flatten(), x)
    for _ in range(2):
        x = b.add(Dense(4096, activation="relu"), x)
    return b.graph(head(b, x))


def resnet50(shape: tuple[int, ...]) -> Graph:
    b = GraphBuilder()
    x = b.add(ReLU(), normalized(b, b.input(shape), 64, 7, 2))
    x = b.add(MaxPooling2D(3, 2, "same"), x)
    for filters, count, stride in RESNET50:
        for index in range(count):
            x = bottleneck(b, x, filters, stride if index == 0 else 1, widens=index == 0)
    return b.graph(head(b, b.add(GlobalAveragePooling2D(), x)))


def bottleneck(b: GraphBuilder, x: int, filters: int, stride: int, widens: bool) -> int:
    y = b.add(ReLU(), normalized(b, x, filters, 1, 1))
    y = b.add(ReLU(), normalized(b, y, filters, 3, stride))
    y = normalized(b, y, 4 * filters, 1, 1)
    if widens:
        x = normalized(b, x, 4 * filters, 1, stride)
    return b.add(ReLU(), b.add(Add(), y, x))


def mobilenetv1(shape: tuple[int, ...]) -> Graph:
    b = GraphBuilder()
    x = relu6(b, normalized(b, b.input(shape), 32, 3, 2))
    for filters, stride in MOBILENET_V1:
        x = relu6(b, normalized(b, depthwise(b, x, stride), filters, 1, 1))
    return b.graph(head(b, b.add(GlobalAveragePooling2D(), x)))


def mobilenetv2(shape: tuple[int, ...]) -> Graph:
    b = GraphBuilder()
    x, channels = relu6(b, normalized(b, b.input(shape), 32, 3, 2)), 32
    for expansion, filters, count, first_stride in MOBILENET_V2:
        for index in range(count):
            stride = first_stride if index == 0 else 1
            y = x if expansion == 1 else relu6(b, normalized(b, x, expansion * channels, 1, 1))
            y = normalized(b, depthwise(b, y, stride), filters, 1, 1)
            x = b.add(Add(), x, y) if stride == 1 and channels == filters else y
            channels = filters
    x = relu6(b, normalized(b, x, 1280, 1, 1))
    return b.graph(head(b, b.add(GlobalAveragePooling2D(), x)))


def depthwise(b: GraphBuilder, x: int, stride: int) -> int:
    x = b.add(DepthwiseConv2D(3, stride, "same", use_bias=False), x)
    return relu6(b, b.add(BatchNormalization(), x))


def normalized(b: GraphBuilder, x: int, filters: int, size: int, stride: int) -> int:
    return b.add(BatchNormalization(), b.add(Conv2D(filters, size, stride, "same", use_bias=False), x))


def relu6(b: GraphBuilder, x: int) -> int:
    return b.add(ReLU(6.0), x)


def head(b: GraphBuilder, x: int) -> int:
    return b.add(Dense(NUM_CLASSES, activation="softmax"), x)
