"""Records what Keras computes, for layers whose numbers are not among the recorded cases: a few kB per case.

    python -m tests.golden.record            all cases
    python -m tests.golden.record NAME ...   some

needs keras, tf_keras and tensorflow, and writes ``recorded/NAME.k2.npz`` (tf_keras) and ``recorded/NAME.k3.npz``
(Keras 3) where the generation has the layers. A file holds ``config`` (``model.to_json()``), ``w0, w1, ...`` (weights,
in Keras's order), ``x`` (four rows), ``pred`` and, unless the layers draw random numbers in training, ``train_pred``,
``y``, ``loss`` (mean squared error) and ``grad0, ...`` of the trainable weights. ``recorded/affine.npz`` holds images
seen through affine maps, as the moving layers see them. A new case is a row in CASES.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "recorded"
ROWS = 4
MODULES = {"k2": "tf_keras", "k3": "keras"}


@dataclass(frozen=True)
class Case:
    """``layers`` makes the layers after the input, given ``keras.layers``."""

    layers: Callable[[Any], list[Any]]
    shape: tuple[int, ...]
    generations: tuple[str, ...] = ("k2", "k3")
    is_random: bool = False


def of_convnext(layers: Any) -> Any:
    """The module that brings the layers of its own of Keras's ConvNeXt."""
    return importlib.import_module(f"{layers.Layer.__module__.split('.')[0]}.src.applications.convnext")


def of_sequential(layers: Any) -> Any:
    return importlib.import_module(layers.Layer.__module__.split(".")[0]).Sequential


def several_outputs(layers: Any) -> Any:
    """A model around Bidirectional layers that return states and sequences, and that keep both outputs apart."""
    model = importlib.import_module(layers.Layer.__module__.split(".")[0]).Model
    x = layers.Input((5, 3))
    y, *states = layers.Bidirectional(layers.LSTM(2, return_sequences=True, return_state=True))(x)
    ahead, behind = layers.Bidirectional(layers.GRU(3, return_sequences=True), merge_mode=None)(y)
    z = layers.LSTM(4)(
        layers.Subtract()([ahead, behind]), initial_state=[layers.Concatenate()(states[i::2]) for i in (0, 1)]
    )
    return model(x, layers.Concatenate()([z, states[3]]))


def operations_between(layers: Any) -> Any:
    """A model with Keras 3's functions between its layers."""
    keras = importlib.import_module("keras")
    ops = keras.ops
    x = layers.Input((5, 3))
    y = layers.Dense(4)(x)
    first, second = ops.split(y, 2, axis=-1)
    pair = ops.stack([ops.abs(first), ops.gelu(second)], axis=1)[:, :, 1:]
    scores = ops.softmax(ops.matmul(y, ops.transpose(y, (0, 2, 1))) / 2.0, axis=-1)
    seen = ops.mean(ops.einsum("bij,bjk->bik", scores, ops.pad(y, ((0, 0), (0, 0), (1, 0)))), axis=1)
    flat = ops.reshape(ops.max(ops.tile(pair, (1, 1, 2, 1)), axis=2), (-1, 4))
    size = ops.sqrt(ops.sum(ops.square(flat), axis=-1, keepdims=True) + 0.1)
    return keras.Model(x, layers.Concatenate()([seen, ops.power(size, 1.5), ops.clip(flat / size, -0.5, 0.4)]))


def lengths_between(layers: Any) -> Any:
    """A model with Keras 3's functions that reduce to lengths and spreads."""
    keras = importlib.import_module("keras")
    x = layers.Input((5, 3))
    y = layers.Dense(4)(x)
    spread = keras.ops.std(y, axis=1)
    length = keras.ops.norm(y, axis=-1)
    largest = keras.ops.logsumexp(y, axis=1, keepdims=True)[:, 0]
    return keras.Model(x, layers.Concatenate()([spread, length, largest]))


IMAGE, VOLUME, SEQUENCE = (6, 5, 3), (4, 5, 4, 2), (5, 3)

CASES = {
    "random_images": Case(
        lambda layers: [
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(0.1, fill_mode="constant", fill_value=3.0),
            layers.RandomZoom((-0.2, 0.1), 0.3, interpolation="nearest"),
            layers.RandomTranslation(0.1, (-0.1, 0.2), fill_mode="wrap"),
            layers.RandomContrast(0.2),
            layers.RandomBrightness((-0.1, 0.4), value_range=(0.0, 1.0)),
        ],
        IMAGE,
        is_random=True,
    ),
    "random_crop": Case(lambda layers: [layers.RandomCrop(4, 4)], (8, 6, 2), ("k2",), is_random=True),
    "random_crop_enlarging": Case(lambda layers: [layers.RandomCrop(9, 7)], IMAGE, ("k2",), is_random=True),
    "random_size": Case(
        lambda layers: [layers.RandomHeight(0.3), layers.RandomWidth((0.1, 0.2)), layers.GlobalMaxPooling2D()],
        IMAGE,
        ("k2",),
        is_random=True,
    ),
    "dropout_noise_shape": Case(
        lambda layers: [layers.Dropout(0.4, noise_shape=(None, 1, 1, 3))], IMAGE, is_random=True
    ),
    "noises": Case(
        lambda layers: [
            layers.GaussianNoise(0.2),
            layers.GaussianDropout(0.2),
            layers.AlphaDropout(0.2),
            layers.SpatialDropout2D(0.3),
            layers.TimeDistributed(layers.SpatialDropout1D(0.3)),
        ],
        IMAGE,
        is_random=True,
    ),
    "spatial_dropout_3d": Case(lambda layers: [layers.SpatialDropout3D(0.3)], VOLUME, is_random=True),
    "convolution_3d": Case(
        lambda layers: [layers.Conv3D(3, (2, 3, 1), strides=(1, 2, 1), padding="same", activation="tanh")], VOLUME
    ),
    "pooling_3d": Case(
        lambda layers: [
            layers.ZeroPadding3D(((1, 0), (0, 1), (1, 1))),
            layers.AveragePooling3D(2, strides=1, padding="same"),
            layers.Cropping3D(((1, 0), (0, 1), (0, 0))),
            layers.MaxPooling3D((1, 2, 2)),
            layers.UpSampling3D((2, 1, 2)),
            layers.Conv3D(2, 1),
        ],
        VOLUME,
    ),
    "global_average_3d": Case(lambda layers: [layers.GlobalAveragePooling3D(), layers.Dense(2)], VOLUME),
    "global_max_3d": Case(lambda layers: [layers.GlobalMaxPooling3D(keepdims=True), layers.Dense(2)], VOLUME),
    "convolution_lstm": Case(
        lambda layers: [layers.ConvLSTM2D(2, 2, padding="same", return_sequences=True, go_backwards=True)], VOLUME
    ),
    "cells": Case(
        lambda layers: [
            layers.RNN(layers.LSTMCell(3), return_sequences=True),
            layers.Bidirectional(layers.RNN(layers.GRUCell(2), return_sequences=True)),
            layers.RNN([layers.GRUCell(3), layers.SimpleRNNCell(2)], go_backwards=True),
        ],
        SEQUENCE,
    ),
    "distributed_model": Case(
        lambda layers: [
            layers.TimeDistributed(of_sequential(layers)([layers.Conv2D(2, 2), layers.Flatten(), layers.Dense(3)])),
            layers.GRU(2),
        ],
        VOLUME,
    ),
    "several_outputs": Case(lambda layers: [several_outputs(layers)], SEQUENCE),
    "activation_layers": Case(
        lambda layers: [
            layers.Dense(4, activation=layers.LeakyReLU(0.3)),
            layers.Conv1D(3, 2, activation=layers.Softmax()),
        ],
        SEQUENCE,
    ),
    "resizing": Case(
        lambda layers: [
            layers.Conv2D(2, 1),
            layers.Resizing(9, 4),
            layers.CenterCrop(5, 3),
            layers.Resizing(4, 7, interpolation="nearest"),
        ],
        IMAGE,
    ),
    "resizing_bicubic": Case(
        lambda layers: [
            layers.Conv2D(2, 1),
            layers.Resizing(9, 11, interpolation="bicubic"),
            layers.Resizing(4, 3, interpolation="bicubic", crop_to_aspect_ratio=True),
            layers.Resizing(7, 8, crop_to_aspect_ratio=True),
            layers.UpSampling2D((2, 3), interpolation="bicubic"),
        ],
        IMAGE,
    ),
    "center_crop_enlarging": Case(lambda layers: [layers.Conv2D(2, 1), layers.CenterCrop(9, 4)], IMAGE),
    "layer_scale": Case(lambda layers: [layers.Dense(4), of_convnext(layers).LayerScale(0.5, 4)], IMAGE),
    "stochastic_depth": Case(lambda layers: [of_convnext(layers).StochasticDepth(0.5)], IMAGE, is_random=True),
    "unit_normalization": Case(lambda layers: [layers.Dense(4), layers.UnitNormalization(axis=1)], SEQUENCE),
    "convolution_lstm_1d": Case(
        lambda layers: [layers.ConvLSTM1D(2, 3, strides=2, return_sequences=True), layers.ConvLSTM1D(2, 2)], (3, 7, 2)
    ),
    "convolution_lstm_3d": Case(lambda layers: [layers.ConvLSTM3D(2, 2, padding="same")], (2, 3, 2, 4, 2)),
    "convolution_3d_transpose": Case(
        lambda layers: [
            layers.Conv3DTranspose(2, (2, 3, 1), strides=(1, 2, 1), padding="same", activation="tanh"),
            layers.Conv3DTranspose(1, 2),
        ],
        VOLUME,
    ),
    "depthwise_1d": Case(
        lambda layers: [
            layers.DepthwiseConv1D(3, strides=2, padding="same", depth_multiplier=2, activation="tanh"),
            layers.DepthwiseConv1D(2, use_bias=False),
        ],
        (9, 3),
    ),
    "locally_connected": Case(
        lambda layers: [
            layers.LocallyConnected2D(3, (2, 3), strides=(2, 1), activation="tanh"),
            layers.Reshape((9, 3)),
            layers.LocallyConnected1D(2, 3, strides=2),
        ],
        (6, 5, 2),
        ("k2",),
    ),
    "einsum_dense": Case(
        lambda layers: [
            layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de", activation="tanh"),
            layers.EinsumDense("abde,dec->abc", output_shape=(None, 4), bias_axes="c"),
            layers.EinsumDense("...x,xy->...y", output_shape=2),
        ],
        SEQUENCE,
    ),
    "categories": Case(
        lambda layers: [
            layers.Discretization(bin_boundaries=[-0.5, 0.5, 1.0]),
            layers.CategoryEncoding(num_tokens=4, output_mode="count"),
            layers.Dense(2),
        ],
        (6,),
    ),
    "one_hot_ranges": Case(
        lambda layers: [layers.Discretization(bin_boundaries=[0.0, 1.0], output_mode="one_hot"), layers.Dense(2)], (1,)
    ),
    "rms_normalization": Case(
        lambda layers: [layers.Dense(4), layers.RMSNormalization(epsilon=0.1)], SEQUENCE, ("k3",)
    ),
    "operations": Case(lambda layers: [operations_between(layers)], SEQUENCE, ("k3",)),
    "reductions": Case(lambda layers: [lengths_between(layers)], SEQUENCE, ("k3",)),
    "thresholded_relu": Case(lambda layers: [layers.Dense(6), layers.ThresholdedReLU(0.4)], SEQUENCE, ("k2",)),
}


def main(names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in names or CASES:
        for generation in CASES[name].generations:
            arrays = recorded(importlib.import_module(MODULES[generation]), CASES[name])
            np.savez_compressed(FOLDER / f"{name}.{generation}.npz", **arrays)
            print(name, generation)
    if not names:
        np.savez_compressed(FOLDER / "affine.npz", **affine_maps())


def recorded(keras: Any, case: Case) -> dict[str, np.ndarray]:
    """The arrays of one case by one generation of Keras."""
    import tensorflow as tf

    rng = np.random.default_rng(7)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input(case.shape), *case.layers(keras.layers)])
    model.set_weights([rng.normal(0, 0.5, w.shape).astype(np.float32) for w in model.get_weights()])
    x = rng.normal(0.5, 1.0, (ROWS, *case.shape)).astype(np.float32)
    found = {"config": np.array(model.to_json()), "x": x, "pred": np.asarray(model(x, training=False))}
    found |= {f"w{index}": weight for index, weight in enumerate(model.get_weights())}
    if case.is_random:
        return found
    found["y"] = rng.normal(size=found["pred"].shape).astype(np.float32)
    variables = [getattr(variable, "_value", variable) for variable in model.trainable_weights]
    with tf.GradientTape() as tape:
        output = model(x, training=True)
        loss = tf.reduce_mean((output - found["y"]) ** 2)
    gradients = tape.gradient(loss, variables)
    found |= {"train_pred": np.asarray(output), "loss": np.asarray(loss)}
    return found | {f"grad{index}": np.asarray(gradient) for index, gradient in enumerate(gradients)}


def affine_maps() -> dict[str, np.ndarray]:
    """Images and maps (a0 .. b2, Keras's order), and what Keras 3 makes of them in every way it knows.

    By its NumPy backend: TensorFlow's op differs from the documented "wrap" between the last pixel and the first.
    """

    from keras.src.backend.numpy.image import affine_transform

    rng = np.random.default_rng(3)
    images = rng.normal(size=(3, 5, 6, 2)).astype(np.float32)
    turn = [0.8, -0.6, 1.73, 0.6, 0.8, -1.87]
    maps = np.array([[*turn, 0, 0], [1.3, 0, -0.9, 0, 0.6, 1.1, 0, 0], [1, 0, 3.4, 0, 1, -2.6, 0, 0]], np.float32)
    found = {"images": images, "maps": maps}
    for fill_mode in ("constant", "nearest", "reflect", "wrap"):
        for interpolation in ("bilinear", "nearest"):
            seen = affine_transform(images, maps, interpolation, fill_mode, 0.25, "channels_last")
            found[f"{fill_mode}.{interpolation}"] = seen
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
