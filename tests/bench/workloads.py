"""The networks that are measured, as dltool's graphs; the peers build the same ones in ``peers``.

W1 is a plain multilayer perceptron, W2 the classic Keras example CNN with dropout, W3 a small VGG with batch
normalisation, R18 the residual network of 18 layers. All train with Adam at 1e-3 on sparse categorical cross-entropy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dltool.engine.graph import Graph, GraphBuilder

NUM_CLASSES = 10
NUM_BATCHES = 4
VGG_WIDTHS = (64, 128, 256)
RESIDUAL_BLOCKS = ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))
"""(filters, stride) of each basic block of ResNet-18. Source: He et al. 2015, arXiv:1512.03385, table 1."""


@dataclass(frozen=True)
class Workload:
    """One network at one input size and batch size.

    Attributes:
        steps: training steps in one timed sample, about half a second's worth.
        prototype: the name of this network in the prototype, or None where it has none.
    """

    name: str
    network: str
    input_shape: tuple[int, int, int]
    batch_size: int
    steps: int
    prototype: str | None = None

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Random images (rows, height, width, channels) float32 and classes (rows,) int64, a few batches of them."""
        generator = np.random.default_rng(0)
        count = NUM_BATCHES * self.batch_size
        images = generator.standard_normal((count, *self.input_shape), dtype=np.float32)
        return images, generator.integers(0, NUM_CLASSES, count)

    def graph(self) -> Graph:
        """The network as dltool's graph."""
        return NETWORKS[self.network](self.input_shape)


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("W1", "mlp", (28, 28, 1), 128, 200, "W1"),
        Workload("W2-28-64", "cnn", (28, 28, 1), 64, 16, "W2a64"),
        Workload("W2-28-128", "cnn", (28, 28, 1), 128, 10, "W2a128"),
        Workload("W2-32-64", "cnn", (32, 32, 3), 64, 12, "W2b64"),
        Workload("W2-32-128", "cnn", (32, 32, 3), 128, 8, "W2b128"),
        Workload("W3", "vgg", (32, 32, 3), 64, 4, "W3"),
        Workload("R18", "resnet18", (64, 64, 3), 16, 6),
    )
}


def named(words: list[str]) -> list[Workload]:
    """The workloads that the words name; ``W2`` stands for all that begin so. Raises KeyError."""
    found = []
    for word in words:
        matches = [w for name, w in WORKLOADS.items() if name == word or name.startswith(word + "-")]
        if not matches:
            raise KeyError(word)
        found.extend(matches)
    return found


def mlp(shape: tuple[int, ...]) -> Graph:
    from dltool.engine.graph import GraphBuilder
    from dltool.engine.layers import Dense, Flatten

    b = GraphBuilder()
    x = b.add(Flatten(), b.input(shape))
    x = b.add(Dense(512, activation="relu"), x)
    x = b.add(Dense(512, activation="relu"), x)
    return b.graph(head(b, x))


def cnn(shape: tuple[int, ...]) -> Graph:
    from dltool.engine.graph import GraphBuilder
    from dltool.engine.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D

    b = GraphBuilder()
    x = b.add(Conv2D(32, 3, padding="same", activation="relu"), b.input(shape))
    x = b.add(Conv2D(32, 3, activation="relu"), x)
    x = b.add(Dropout(0.25), b.add(MaxPooling2D(2), x))
    x = b.add(Dense(512, activation="relu"), b.add(Flatten(), x))
    return b.graph(head(b, b.add(Dropout(0.5), x)))


def vgg(shape: tuple[int, ...]) -> Graph:
    from dltool.engine.graph import GraphBuilder
    from dltool.engine.layers import BatchNormalization, Conv2D, GlobalAveragePooling2D, MaxPooling2D, ReLU

    b = GraphBuilder()
    x = b.input(shape)
    for filters in VGG_WIDTHS:
        for _ in range(2):
            x = b.add(Conv2D(filters, 3, padding="same"), x)
            x = b.add(ReLU(), b.add(BatchNormalization(), x))
        x = b.add(MaxPooling2D(2), x)
    return b.graph(head(b, b.add(GlobalAveragePooling2D(), x)))


def resnet18(shape: tuple[int, ...]) -> Graph:
    from dltool.engine.graph import GraphBuilder
    from dltool.engine.layers import GlobalAveragePooling2D, MaxPooling2D, ReLU

    b = GraphBuilder()
    x = b.add(ReLU(), normalized_conv(b, b.input(shape), 64, 7, 2))
    x, channels = b.add(MaxPooling2D(3, 2, "same"), x), 64
    for filters, stride in RESIDUAL_BLOCKS:
        x, channels = residual_block(b, x, channels, filters, stride), filters
    return b.graph(head(b, b.add(GlobalAveragePooling2D(), x)))


def residual_block(b: GraphBuilder, x: int, channels: int, filters: int, stride: int) -> int:
    """A basic block: two 3x3 convolutions beside the identity, or a 1x1 convolution where the shape changes."""
    from dltool.engine.layers import Add, ReLU

    y = b.add(ReLU(), normalized_conv(b, x, filters, 3, stride))
    y = normalized_conv(b, y, filters, 3, 1)
    if stride != 1 or channels != filters:
        x = normalized_conv(b, x, filters, 1, stride)
    return b.add(ReLU(), b.add(Add(), y, x))


def normalized_conv(b: GraphBuilder, x: int, filters: int, size: int, stride: int) -> int:
    from dltool.engine.layers import BatchNormalization, Conv2D

    return b.add(BatchNormalization(), b.add(Conv2D(filters, size, stride, "same", use_bias=False), x))


def head(b: GraphBuilder, x: int) -> int:
    from dltool.engine.layers import Dense

    return b.add(Dense(NUM_CLASSES, activation="softmax"), x)


NETWORKS: dict[str, Callable[[tuple[int, ...]], Graph]] = {"mlp": mlp, "cnn": cnn, "vgg": vgg, "resnet18": resnet18}
