"""All layers, one module per family; importing this package fills the ``LAYERS`` registry."""

from dltool.engine.layers.advanced_activations import ELU, PReLU, Softmax, ThresholdedReLU
from dltool.engine.layers.attention import AdditiveAttention, Attention, MultiHeadAttention
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
from dltool.engine.layers.merging import Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract
from dltool.engine.layers.normalization import BatchNormalization
from dltool.engine.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from dltool.engine.layers.recurrent import GRU, LSTM, Part, SimpleRNN
from dltool.engine.layers.row_normalization import GroupNormalization, LayerNormalization, UnitNormalization
from dltool.engine.layers.sequences import Embedding, Masking, Permute, RepeatVector
from dltool.engine.layers.wrappers import Bidirectional, TimeDistributed

__all__ = [
    "ELU",
    "GRU",
    "LAYERS",
    "LSTM",
    "Activation",
    "Add",
    "AdditiveAttention",
    "Attention",
    "Average",
    "AveragePooling2D",
    "BatchNormalization",
    "Bidirectional",
    "Call",
    "Concatenate",
    "Conv2D",
    "Dense",
    "DepthwiseConv2D",
    "Dot",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "GroupNormalization",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Masking",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "Normalization",
    "PReLU",
    "Part",
    "Permute",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Shape",
    "SimpleRNN",
    "Softmax",
    "Subtract",
    "ThresholdedReLU",
    "TimeDistributed",
    "UnitNormalization",
    "WeightSpec",
    "ZeroPadding2D",
]
