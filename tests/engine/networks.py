"""Small networks that between them use every kind of step the executor plans."""

import numpy as np

from dltool.engine.batch import Batch
from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import (
    GRU,
    LSTM,
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Bidirectional,
    Concatenate,
    Conv1D,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    LeakyReLU,
    Masking,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Reshape,
    ZeroPadding2D,
)


def perceptron() -> Graph:
    """Dense layers only: tiles over the whole batch, relu gradients folded into the next layer."""
    b = GraphBuilder()
    x = b.input((20,))
    for _ in range(2):
        x = b.add(Dense(70, activation="relu"), x)
    return b.graph(b.add(Dense(10, activation="softmax"), x))


def classic() -> Graph:
    """Convolutions, pooling, dropout, flatten: the shape of Keras's first image example."""
    b = GraphBuilder()
    x = b.add(Rescaling(1 / 255), b.input((12, 12, 3)))
    x = b.add(Conv2D(8, 3, padding="same", activation="relu"), x)
    x = b.add(Conv2D(8, 3, activation="relu"), x)
    x = b.add(Dropout(0.25), b.add(MaxPooling2D(2), x))
    x = b.add(Dense(64, activation="relu"), b.add(Flatten(), x))
    return b.graph(b.add(Dense(10, activation="softmax"), b.add(Dropout(0.5), x)))


def normalized() -> Graph:
    """Convolution, batch normalisation, relu, pooling; then a global average."""
    b = GraphBuilder()
    x = b.input((16, 16, 3))
    for filters in (8, 16):
        for _ in range(2):
            x = b.add(Conv2D(filters, 3, padding="same", use_bias=False), x)
            x = b.add(ReLU(), b.add(BatchNormalization(), x))
        x = b.add(MaxPooling2D(2), x)
    return b.graph(b.add(Dense(10, activation="softmax"), b.add(GlobalAveragePooling2D(), x)))


def residual(widths: tuple[int, ...] = (8, 16, 64), activation: str = "relu") -> Graph:
    """Branches that meet, strides, and convolutions with more weights than their batch has activations."""
    b = GraphBuilder()

    def convolve(x: int, filters: int, kernel: int, strides: int) -> int:
        layer = Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)
        return b.add(BatchNormalization(), b.add(layer, x))

    x = b.add(Activation(activation), convolve(b.input((24, 24, 3)), widths[0], 7, 2))
    x = b.add(MaxPooling2D(3, strides=2, padding="same"), x)
    for index, filters in enumerate(widths):
        strides = 2 if index else 1
        y = b.add(Activation(activation), convolve(x, filters, 3, strides))
        y = convolve(y, filters, 3, 1)
        shortcut = convolve(x, filters, 1, strides) if index else x
        x = b.add(Activation(activation), b.add(Add(), y, shortcut))
    return b.graph(b.add(Dense(10, activation="softmax"), b.add(GlobalAveragePooling2D(), x)))


def mixed() -> Graph:
    """A shared layer, a regulariser, dilation, odd sizes, and layers that only have a reference."""
    b = GraphBuilder()
    first = Conv2D(6, (3, 2), strides=(2, 1), padding="same", activation="tanh", kernel_regularizer="l2")
    x = b.add(first, b.input((9, 11, 4)))
    y = b.add(Activation("elu"), b.add(DepthwiseConv2D(3, padding="same"), x))
    z = b.add(AveragePooling2D(2, padding="same"), b.add(Concatenate(), x, y))
    shared = Conv2D(12, 3, padding="same", activation="swish", name="shared")
    z = b.add(ZeroPadding2D(1), b.add(shared, b.add(shared, z)))
    z = b.add(LeakyReLU(0.1), b.add(Conv2D(5, 3, dilation_rate=2), z))
    peaks = b.add(GlobalMaxPooling2D(), z)
    z = b.add(Dense(40, activation="sigmoid"), b.add(Flatten(), z))
    return b.graph(b.add(Dense(10, activation="softmax"), b.add(Concatenate(), z, peaks)))


def sequences() -> Graph:
    """The planned LSTM forwards and backwards, a masked one, a bidirectional layer, an activity penalty."""
    b = GraphBuilder()
    x = b.input((6, 5))
    y = b.add(LSTM(9, go_backwards=True), b.add(LSTM(8, return_sequences=True), x))
    masked = b.add(Masking(), b.add(ReLU(threshold=1.5), x))
    after = b.add(GRU(7, return_sequences=True, go_backwards=True), masked)
    before = b.add(GRU(5, reset_after=False, return_sequences=True), b.add(LSTM(6, return_sequences=True), masked))
    z = b.add(GRU(9), b.add(Concatenate(), after, before))
    y = b.add(Concatenate(), y, z, b.add(GRU(70, reset_after=False), x))
    z = b.add(LSTM(4, dropout=0.3), b.add(Bidirectional(GRU(3, return_sequences=True)), masked))
    z = b.add(Dense(7, activation="tanh", activity_regularizer="l2"), b.add(Concatenate(), y, z))
    return b.graph(b.add(Dense(10, activation="softmax"), z))


def both_ways() -> Graph:
    """Bidirectional layers of both kinds in all ways of joining, with and without a mask, some against the time."""
    b = GraphBuilder()
    x = b.input((6, 5))
    y = b.add(Bidirectional(LSTM(8, return_sequences=True)), x)
    ways = [b.add(Bidirectional(GRU(5), merge_mode=mode), y) for mode in ("concat", "sum", "ave", "mul")]
    ways.append(b.add(Bidirectional(LSTM(70, go_backwards=True), backward_layer=LSTM(70)), y))
    masked = b.add(Masking(), b.add(ReLU(threshold=1.5), x))
    for mode in ("concat", "sum", "ave", "mul"):
        inner = LSTM(6, return_sequences=True, go_backwards=mode == "concat")
        masked = b.add(Bidirectional(inner, merge_mode=mode), masked)
        ways.append(b.add(Bidirectional(GRU(3, reset_after=mode == "sum"), merge_mode=mode), masked))
    z = b.add(Dense(7, activation="tanh"), b.add(Concatenate(), *ways))
    return b.graph(b.add(Dense(10, activation="softmax"), z))


def decoder() -> Graph:
    """A dense layer reshaped to an image, which convolutions read with a border."""
    b = GraphBuilder()
    x = b.add(Reshape((7, 7, 32)), b.add(Dense(7 * 7 * 32, activation="relu"), b.input((5,))))
    x = b.add(Conv2D(32, 3, padding="same", activation="relu"), x)
    x = b.add(Conv2D(8, 5, padding="same"), b.add(Reshape((14, 14, 8)), x))
    return b.graph(b.add(Dense(10, activation="softmax"), b.add(GlobalAveragePooling2D(), x)))


def mobile() -> Graph:
    """Depthwise and pointwise convolutions with relus limited at 6, after normalisations and dense layers alike."""
    b = GraphBuilder()
    x = b.add(Conv2D(8, 3, strides=2, padding="same", use_bias=False), b.input((12, 12, 3)))
    x = b.add(ReLU(6), b.add(BatchNormalization(), x))
    for filters in (8, 16):
        x = b.add(ReLU(max_value=6), b.add(BatchNormalization(), b.add(DepthwiseConv2D(3, padding="same"), x)))
        x = b.add(ReLU(6), b.add(BatchNormalization(), b.add(Conv2D(filters, 1), x)))
    x = b.add(Add(), b.add(Conv2D(16, 1, activation="relu6"), x), x)
    x = b.add(Dense(70, activation="relu6"), b.add(GlobalAveragePooling2D(), x))
    return b.graph(b.add(Dense(10, activation="softmax"), x))


def reader() -> Graph:
    """A table that is read twice, convolutions of its rows, and a table with a mask before an LSTM."""
    b = GraphBuilder()
    x = b.add(Rescaling(3.0), b.input((7,)))
    table = Embedding(9, 70, name="table")
    y = b.add(Conv1D(12, 3, padding="same", activation="relu"), b.add(table, x))
    y = b.add(GlobalMaxPooling1D(), b.add(Conv1D(6, 2, strides=2, activation="tanh"), y))
    again = b.add(GlobalAveragePooling1D(), b.add(table, b.add(Rescaling(-1.0), x)))
    z = b.add(LSTM(5), b.add(Embedding(6, 3, mask_zero=True, embeddings_regularizer="l2"), x))
    return b.graph(b.add(Dense(10, activation="softmax"), b.add(Concatenate(), y, again, z)))


NETWORKS = {
    "perceptron": perceptron,
    "classic": classic,
    "normalized": normalized,
    "residual": residual,
    "mixed": mixed,
    "mobile": mobile,
    "sequences": sequences,
    "both_ways": both_ways,
    "reader": reader,
    "decoder": decoder,
}


def batch_for(graph: Graph, rows: int, classes: int = 10, seed: int = 0) -> Batch:
    """Random inputs and class indices."""
    random = np.random.default_rng(seed)
    inputs = tuple(random.standard_normal((rows, *shape), dtype=np.float32) for shape in graph.input_shapes)
    return Batch(inputs, (random.integers(0, classes, rows),))
