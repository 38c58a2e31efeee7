"""The networks whose training is measured, as dltool's graphs; ``training_peers`` builds the same ones.

W1 is a plain multilayer perceptron, W2 the classic Keras example CNN with dropout, W3 a small VGG with batch
normalisation, R18 the residual network of 18 layers. All train with Adam at 1e-3 on sparse categorical cross-entropy.
"tabular" is scikit-learn's kind of network.
"""

from __future__ import annotations

from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import (
    LAYERS,
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ReLU,
)
from tests.bench.workloads import LSTM_UNITS, NUM_CLASSES, RESIDUAL_BLOCKS, TABULAR_WIDTHS, VGG_WIDTHS


def mlp(shape: tuple[int, ...]) -> Graph:
    b = GraphBuilder()
    x = b.add(Flatten(), b.input(shape))
    x = b.add(Dense(512, activation="relu"), x)
    x = b.add(Dense(512, activation="relu"), x)
    return b.graph(head(b, x))


def cnn(shape: tuple[int, ...]) -> Graph:
    b = GraphBuilder()
    x = b.add(Conv2D(32, 3, padding="same", activation="relu"), b.input(shape))
    x = b.add(Conv2D(32, 3, activation="relu"), x)
    x = b.add(Dropout(0.25), b.add(MaxPooling2D(2), x))
    x = b.add(Dense(512, activation="relu"), b.add(Flatten(), x))
    return b.graph(head(b, b.add(Dropout(0.5), x)))


def vgg(shape: tuple[int, ...]) -> Graph:
    b = GraphBuilder()
    x = b.input(shape)
    for filters in VGG_WIDTHS:
        for _ in range(2):
            x = b.add(Conv2D(filters, 3, padding="same"), x)
            x = b.add(ReLU(), b.add(BatchNormalization(), x))
        x = b.add(MaxPooling2D(2), x)
    return b.graph(head(b, b.add(GlobalAveragePooling2D(), x)))


def resnet18(shape: tuple[int, ...]) -> Graph:
    b = GraphBuilder()
    x = b.add(ReLU(), normalized_conv(b, b.input(shape), 64, 7, 2))
    x, channels = b.add(MaxPooling2D(3, 2, "same"), x), 64
    for filters, stride in RESIDUAL_BLOCKS:
        x, channels = residual_block(b, x, channels, filters, stride), filters
    return b.graph(head(b, b.add(GlobalAveragePooling2D(), x)))


def residual_block(b: GraphBuilder, x: int, channels: int, filters: int, stride: int) -> int:
    """A basic block: two 3x3 convolutions beside the identity, or a 1x1 convolution where the shape changes."""
    y = b.add(ReLU(), normalized_conv(b, x, filters, 3, stride))
    y = normalized_conv(b, y, filters, 3, 1)
    if stride != 1 or channels != filters:
        x = normalized_conv(b, x, filters, 1, stride)
    return b.add(ReLU(), b.add(Add(), y, x))


def normalized_conv(b: GraphBuilder, x: int, filters: int, size: int, stride: int) -> int:
    return b.add(BatchNormalization(), b.add(Conv2D(filters, size, stride, "same", use_bias=False), x))


def head(b: GraphBuilder, x: int) -> int:
    return b.add(Dense(NUM_CLASSES, activation="softmax"), x)


def tabular(shape: tuple[int, ...]) -> Graph:
    b = GraphBuilder()
    x = b.input(shape)
    for width in TABULAR_WIDTHS:
        x = b.add(Dense(width, activation="relu"), x)
    return b.graph(head(b, x))


def lstm(shape: tuple[int, ...]) -> Graph:
    b = GraphBuilder()
    return b.graph(head(b, b.add(LAYERS.get("LSTM")(LSTM_UNITS), b.input(shape))))
