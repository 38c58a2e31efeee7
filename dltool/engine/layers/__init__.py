"""All layers, one module per family; importing this package fills the ``LAYERS`` registry."""

from dltool.engine.layers.base import LAYERS, Call, Layer, Shape, WeightSpec
from dltool.engine.layers.convolution import Conv2D, DepthwiseConv2D, ZeroPadding2D
from dltool.engine.layers.core import (
    Activation,
    Dense,
    Dropout,
    Flatten,
    InputLayer,
    LeakyReLU,
    Normalization,
    ReLU,
    Rescaling,
    Reshape,
)
from dltool.engine.layers.merging import Add, Concatenate
from dltool.engine.layers.normalization import BatchNormalization
from dltool.engine.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D

__all__ = [
    "LAYERS",
    "Activation",
    "Add",
    "AveragePooling2D",
    "BatchNormalization",
    "Call",
    "Concatenate",
    "Conv2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "MaxPooling2D",
    "Normalization",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Shape",
    "WeightSpec",
    "ZeroPadding2D",
]
