"""How versions of Keras arranged the weights of some layers otherwise than Keras 2 and 3. Pure functions on arrays.

Source: preprocess_weights_for_loading in keras/engine/saving.py of Keras 2.2.4, for Keras 1, Theano and CuDNN; the
kernels of Theano are true convolutions, so they are the mirror images of everybody else's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dltool.modelfile.loading import Arrays, Conversion, Conversions

SPATIAL_AXES = {
    "Conv1D": (0,),
    "Conv2D": (0, 1),
    "Conv3D": (0, 1, 2),
    "Conv1DTranspose": (0,),
    "Conv2DTranspose": (0, 1),
    "Conv3DTranspose": (0, 1, 2),
    "ConvLSTM1D": (0,),
    "ConvLSTM2D": (0, 1),
    "ConvLSTM3D": (0, 1, 2),
    "DepthwiseConv1D": (0,),
}
NUM_GATES = {"LSTM": 4, "GRU": 3}

Change = Callable[[Arrays], Arrays]


def conversions_of(entries: dict[str, dict[str, Any]], version: int, is_theano: bool) -> Conversions:
    """Layer name -> how to put its arrays right, for the layers where that may be needed.

    Args:
        entries: layer entries in Keras 2's spelling, by flattened name.
        version: the major version of Keras that stored the weights.
        is_theano: they were trained with Theano.
    """
    found = {name: conversion_of(entry, version, is_theano) for name, entry in entries.items()}
    return {name: conversion for name, conversion in found.items() if conversion is not None}


def conversion_of(entry: dict[str, Any], version: int, is_theano: bool) -> Conversion | None:
    class_name, config = entry.get("class_name"), entry.get("config")
    if not isinstance(config, dict) or version >= 3:
        return None
    if class_name in ("Bidirectional", "TimeDistributed"):
        inner = conversion_of(config["layer"], version, is_theano) if isinstance(config.get("layer"), dict) else None
        if inner is None or class_name == "TimeDistributed":
            return inner
        count = None if inner.count is None else 2 * inner.count
        return Conversion(lambda arrays: in_halves(inner.apply, arrays), count, inner.always)
    if class_name in NUM_GATES:
        gates = NUM_GATES[class_name]
        count = 3 * gates if version < 2 else None
        return Conversion(lambda arrays: recurrent(gates, arrays), count, always=False)
    changes: list[Change] = []
    if version < 2 and class_name in ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "SeparableConv2D"):
        changes.append(lambda arrays: keras1_kernel(class_name, config, arrays))
    if class_name in ("LocallyConnected1D", "LocallyConnected2D"):
        changes.append(lambda arrays: local_kernel(config, arrays))
    if class_name == "Highway":
        changes.append(lambda arrays: sorted(arrays, key=lambda array: -array.ndim))  # W, b, W, b until Keras 1.1
    if is_theano and class_name in SPATIAL_AXES:
        count = 2 if class_name.startswith("ConvLSTM") else 1
        changes.append(lambda arrays: [np.flip(a, SPATIAL_AXES[class_name]) for a in arrays[:count]] + arrays[count:])
    return Conversion(lambda arrays: in_turn(changes, arrays)) if changes else None


def in_turn(changes: list[Change], arrays: Arrays) -> Arrays:
    for change in changes:
        arrays = change(arrays)
    return arrays


def in_halves(change: Change, arrays: Arrays) -> Arrays:
    """The two directions one after the other."""
    half = len(arrays) // 2
    return [*change(arrays[:half]), *change(arrays[half:])]


def recurrent(gates: int, arrays: Arrays) -> Arrays:
    """The weights of an LSTM (four gates) or GRU (three) that Keras 1 or a GPU layer stored."""
    if len(arrays) == 3 * gates:
        return keras1_gates(gates, arrays)
    kernel, recurrent_kernel, bias = arrays
    units = recurrent_kernel.shape[0]
    if bias.shape != (2 * gates * units,):
        return arrays
    kernel = np.hstack([part.T.reshape(part.shape, order="F") for part in np.hsplit(kernel, gates)])
    recurrent_kernel = np.hstack([part.T for part in np.hsplit(recurrent_kernel, gates)])
    bias = bias.reshape(2, -1)
    return [kernel, recurrent_kernel, bias.sum(0) if gates == 4 else bias]


def keras1_gates(gates: int, arrays: Arrays) -> Arrays:
    """Keras 1: W, U and b of each gate apart; an LSTM's in the order i, c, f, o instead of i, f, c, o."""
    order = (0, 2, 1, 3) if gates == 4 else (0, 1, 2)
    return [np.concatenate([arrays[3 * gate + part] for gate in order], -1) for part in (0, 1, 2)]


def keras1_kernel(class_name: str, config: dict[str, Any], arrays: Arrays) -> Arrays:
    """Keras 1: kernels of channels_first layers start with the channels; those of Conv1D have an axis more."""
    kernel, *rest = arrays
    channels_first = config.get("data_format") == "channels_first"
    if class_name == "Conv1D":
        size = config.get("kernel_size")
        size = size[0] if isinstance(size, list) else size
        if kernel.shape[:2] != (size, 1) or kernel.shape[3] != config.get("filters"):
            kernel = kernel.transpose(2, 3, 1, 0)  # Keras 1.0 and 1.1
        return [kernel[:, 0], *rest]
    if class_name == "Conv2DTranspose":
        return [kernel.transpose((2, 3, 0, 1) if channels_first else (0, 1, 3, 2)), *rest]
    size = config.get("kernel_size")
    is_turned = isinstance(size, list) and list(kernel.shape[:2]) != size[:2] and list(kernel.shape[2:]) == size
    if not channels_first and not is_turned:  # a network in today's form may have got weights of another layout
        return arrays
    if class_name == "Conv3D":
        return [kernel.transpose(2, 3, 4, 1, 0), *rest]
    count = 2 if class_name == "SeparableConv2D" else 1
    return [array.transpose(2, 3, 1, 0) for array in arrays[:count]] + arrays[count:]


def local_kernel(config: dict[str, Any], arrays: Arrays) -> Arrays:
    """One matrix (taps * channels, filters) for every place of a LocallyConnected layer's output.

    ``implementation`` 2 of Keras 2 has a kernel (size of the input ..., channels, size of the output ..., filters) with
    zeros where the two are apart; networks with channels first have the channels before the taps.
    """
    kernel, *rest = arrays
    first = config.get("data_format") == "channels_first"
    size, strides = (
        [value] * (kernel.ndim // 2 - 1) if isinstance(value, int) else value
        for value in (config["kernel_size"], config.get("strides", 1))
    )
    if kernel.ndim > 3:
        rank = kernel.ndim // 2 - 1
        if first:
            kernel = np.moveaxis(np.moveaxis(kernel, 0, rank), rank + 1, -1)
        out = kernel.shape[rank + 1 : -1]
        parts = []
        for place in np.ndindex(*out):
            window = tuple(slice(p * s, p * s + k) for p, s, k in zip(place, strides, size, strict=True))
            parts.append(kernel[(*window, slice(None), *place)].reshape(-1, kernel.shape[-1]))
        return [np.stack(parts), *rest]
    if not first:
        return arrays
    taps = int(np.prod(config["kernel_size"]))
    turned = kernel.reshape(len(kernel), -1, taps, kernel.shape[-1]).swapaxes(1, 2)
    return [turned.reshape(kernel.shape), *rest]
