"""The same networks in torch and in Keras, each run as its users would run it: a plain loop, and ``Model.fit``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.bench.workloads import LSTM_UNITS, NUM_BATCHES, NUM_CLASSES, RESIDUAL_BLOCKS, VGG_WIDTHS, Workload

Steps = Callable[[int], float | None]
"""Runs a number of training steps; may return the seconds that they took, without its own preparations."""


def torch_steps(workload: Workload, mode: str, jobs: int) -> Steps:
    """Steps in torch.

    Args:
        mode: "eager", "channels-last" or "compile".
    """
    import torch
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(jobs)
    torch.manual_seed(0)
    images, labels = workload.rows()
    layout = torch.channels_last if mode == "channels-last" else torch.contiguous_format
    model = torch_network(workload).to(memory_format=layout)
    if images.ndim == 4:
        x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).contiguous(memory_format=layout)
    else:
        x = torch.from_numpy(images)
    y, size = torch.from_numpy(labels), workload.batch_size
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    forward = torch.compile(model) if mode == "compile" else model

    def steps(count: int) -> None:
        for index in range(count):
            start = index % NUM_BATCHES * size
            optimizer.zero_grad(set_to_none=True)
            cross_entropy(forward(x[start : start + size]), y[start : start + size]).backward()
            optimizer.step()

    return steps


def torch_network(workload: Workload) -> Any:
    """The network as a torch module that gives logits; its input is (batch, channels, height, width)."""
    from torch import nn

    if workload.network == "lstm":
        return torch_lstm(workload.input_shape[1])
    height, _, channels = workload.input_shape
    if workload.network == "mlp":
        widths = [nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, NUM_CLASSES)]
        return nn.Sequential(nn.Flatten(), *widths)
    if workload.network == "cnn":
        convolutions = [nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU()]
        features = 32 * ((height - 2) // 2) ** 2
        dense = [nn.Linear(features, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, NUM_CLASSES)]
        return nn.Sequential(*convolutions, nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(), *dense)
    if workload.network == "vgg":
        layers: list[Any] = []
        for filters in VGG_WIDTHS:
            for _ in range(2):
                layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU()]
                channels = filters
            layers.append(nn.MaxPool2d(2))
        return nn.Sequential(*layers, *torch_head(channels))
    return torch_resnet18(channels)


def torch_lstm(features: int) -> Any:
    from torch import nn

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(features, LSTM_UNITS, batch_first=True)
            self.head = nn.Linear(LSTM_UNITS, NUM_CLASSES)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0][:, -1])

    return Last()


def torch_head(features: int) -> list[Any]:
    from torch import nn

    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, NUM_CLASSES)]


def torch_resnet18(channels: int) -> Any:
    from torch import nn

    def normalized(inputs: int, outputs: int, size: int, stride: int) -> list[Any]:
        return [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)]

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int):
            super().__init__()
            first, second = normalized(inputs, outputs, 3, stride), normalized(outputs, outputs, 3, 1)
            self.main = nn.Sequential(*first, nn.ReLU(inplace=True), *second)
            same = stride == 1 and inputs == outputs
            self.shortcut = nn.Identity() if same else nn.Sequential(*normalized(inputs, outputs, 1, stride))
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: Any) -> Any:
            return self.relu(self.main(x) + self.shortcut(x))

    layers = [*normalized(channels, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for filters, stride in RESIDUAL_BLOCKS:
        layers.append(Block(channels, filters, stride))
        channels = filters
    return nn.Sequential(*layers, *torch_head(channels))


def keras_steps(workload: Workload, backend: str, jobs: int) -> Steps:
    """Steps of Keras's ``fit`` on arrays in memory; the clock starts with the first batch, after fit's preparations.

    Args:
        backend: "tensorflow", "jax" or "torch".
    """
    os.environ["KERAS_BACKEND"] = backend
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras

    if backend == "torch":
        import torch

        torch.set_num_threads(jobs)
    keras.utils.set_random_seed(0)
    images, labels = workload.rows()
    model = keras_network(workload)
    model.compile("adam", "sparse_categorical_crossentropy")
    started = [0.0]

    class Clock(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 0:
                started[0] = time.perf_counter()

    def steps(count: int) -> float:
        rows = np.arange(count * workload.batch_size) % len(images)
        x, y = images[rows], labels[rows]
        model.fit(x, y, batch_size=workload.batch_size, verbose=0, shuffle=False, callbacks=[Clock()])
        return time.perf_counter() - started[0]

    return steps


def keras_network(workload: Workload) -> Any:
    from keras import Input, Sequential, layers

    start, head = Input(workload.input_shape), layers.Dense(NUM_CLASSES, activation="softmax")
    if workload.network == "lstm":
        return Sequential([start, layers.LSTM(LSTM_UNITS), head])
    if workload.network == "mlp":
        dense = [layers.Dense(512, activation="relu") for _ in range(2)]
        return Sequential([start, layers.Flatten(), *dense, head])
    if workload.network == "cnn":
        first = layers.Conv2D(32, 3, padding="same", activation="relu")
        second = layers.Conv2D(32, 3, activation="relu")
        body = [first, second, layers.MaxPooling2D(), layers.Dropout(0.25), layers.Flatten()]
        return Sequential([start, *body, layers.Dense(512, activation="relu"), layers.Dropout(0.5), head])
    if workload.network == "vgg":
        body = []
        for filters in VGG_WIDTHS:
            for _ in range(2):
                body += [layers.Conv2D(filters, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()]
            body.append(layers.MaxPooling2D())
        return Sequential([start, *body, layers.GlobalAveragePooling2D(), head])
    return keras_resnet18(workload.input_shape)


def keras_resnet18(shape: tuple[int, ...]) -> Any:
    from keras import Input, Model, layers

    def normalized(x: Any, filters: int, size: int, stride: int) -> Any:
        return layers.BatchNormalization()(layers.Conv2D(filters, size, stride, "same", use_bias=False)(x))

    start = Input(shape)
    x = layers.ReLU()(normalized(start, 64, 7, 2))
    x, channels = layers.MaxPooling2D(3, 2, "same")(x), 64
    for filters, stride in RESIDUAL_BLOCKS:
        y = normalized(layers.ReLU()(normalized(x, filters, 3, stride)), filters, 3, 1)
        if stride != 1 or channels != filters:
            x = normalized(x, filters, 1, stride)
        x, channels = layers.ReLU()(layers.Add()([y, x])), filters
    return Model(start, layers.Dense(NUM_CLASSES, activation="softmax")(layers.GlobalAveragePooling2D()(x)))
