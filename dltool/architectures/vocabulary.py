"""The vocabulary of layer words: what kinds, names and choices there are. Imports the list of names only.

A kind is a Keras class in lower case (``conv2d``, ``maxpooling2d``), in snake case, or a short alias.
"""

import re
from functools import cache

from dltool import names
from dltool.errors import UsageError
from dltool.registry import nearest

ALIASES = {
    "input": "InputLayer",
    "conv": "Conv2D",
    "depthwise": "DepthwiseConv2D",
    "depthwiseconv": "DepthwiseConv2D",
    "maxpool": "MaxPooling2D",
    "maxpool2d": "MaxPooling2D",
    "avgpool": "AveragePooling2D",
    "avgpool2d": "AveragePooling2D",
    "gap": "GlobalAveragePooling2D",
    "globalavgpool": "GlobalAveragePooling2D",
    "gmp": "GlobalMaxPooling2D",
    "globalmaxpool": "GlobalMaxPooling2D",
    "bn": "BatchNormalization",
    "batchnorm": "BatchNormalization",
    "concat": "Concatenate",
    "zeropad": "ZeroPadding2D",
    "norm": "Normalization",
    "vectornorm": "Norm",
    "rescale": "Rescaling",
}
"""Short kinds beside those that follow from the class names."""

PADDINGS = ("valid", "same", "causal")

EXAMPLES = {
    "Activation": "activation:relu",
    "AlphaDropout": "alphadropout:0.1",
    "Bidirectional": "bidir:lstm:64",
    "CenterCrop": "centercrop:24,24",
    "Conv1D": "conv1d:32,3",
    "Conv1DTranspose": "conv1dtranspose:32,3",
    "Conv2D": "conv2d:32,3",
    "Conv2DTranspose": "deconv:32,3",
    "Conv3D": "conv3d:32,3",
    "ConvLSTM2D": "convlstm2d:32,3",
    "Dense": "dense:64",
    "DepthwiseConv2D": "depthwise:3",
    "Dot": "dot:1@a+b",
    "Dropout": "dropout:0.5",
    "Embedding": "embed:10000,64",
    "GRU": "gru:64",
    "GaussianDropout": "gaussiandropout:0.1",
    "GaussianNoise": "noise:0.1",
    "InputLayer": "input:28x28x1",
    "LSTM": "lstm:64",
    "MultiHeadAttention": "mha:4,16@a+a",
    "Part": "part:1,2@NAME",
    "Permute": "permute:2x1",
    "RepeatVector": "repeat:10",
    "Rescaling": "rescaling:1/255",
    "Reshape": "reshape:7x7x64",
    "Resizing": "resize:64,64",
    "SeparableConv1D": "separableconv1d:32,3",
    "SeparableConv2D": "separable:32,3",
    "SimpleRNN": "rnn:64",
    "SpatialDropout1D": "spatialdropout1d:0.2",
    "SpatialDropout2D": "spatialdropout2d:0.2",
    "SpatialDropout3D": "spatialdropout3d:0.2",
    "TimeDistributed": "timedist:dense:64",
}
"""A right word for every layer with an option that must be given."""


@cache
def kinds() -> dict[str, str]:
    """Every kind that may be written -> its Keras class; whoever adds to ``names.LAYERS`` clears the cache."""
    known = {name.lower(): name for name in names.LAYERS}
    known.update({snake(name): name for name in names.LAYERS})
    known.update(names.LAYER_ALIASES)
    known.update({alias: name for alias, name in ALIASES.items() if name in names.LAYERS})
    return known


def class_of(kind: str, text: str) -> str:
    known = kinds()
    found = known.get(kind) or known.get(kind.lower())
    if found is None:
        close = nearest(kind, [*known, *activations()])
        advice = f"did you mean {close!r}?" if close else "'dltool help layer-words' lists them"
        where = "" if text == kind else f"{text}: "
        raise UsageError(f"{where}unknown layer {kind!r}; {advice}" if where else f"{kind}: unknown layer; {advice}")
    return found


def snake(class_name: str) -> str:
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", class_name)).lower()


def activations() -> list[str]:
    return [*names.ACTIVATIONS, *names.ACTIVATION_ALIASES]


def choices(key: str) -> list[str]:
    """The names that an option takes; empty when it takes anything."""
    if key in ("activation", "recurrent_activation"):
        return activations()
    if key == "padding":
        return list(PADDINGS)
    if key.endswith("_initializer"):
        return [*names.INITIALIZERS, *names.INITIALIZER_ALIASES]
    if key.endswith("_constraint"):
        return [*names.CONSTRAINTS, *names.CONSTRAINT_ALIASES]
    if key.endswith("_regularizer"):
        return [*names.REGULARIZERS, *names.REGULARIZER_ALIASES]
    return []
