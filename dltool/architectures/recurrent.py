"""Recurrent networks for texts, series and other sequences."""

from typing import Any

from dltool.architectures.base import ARCHITECTURES, head, positive, rate
from dltool.architectures.sequences import sequence_input
from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import GRU, LSTM, Bidirectional, Dropout, Shape


@ARCHITECTURES.register("lstm")
def lstm(
    input_shape: Shape,
    num_outputs: int,
    activation: str,
    *,
    rescale: bool = False,
    units: int = 128,
    layers: int = 1,
    dropout: float = 0.2,
    bidirectional: bool = False,
    every_step: bool = False,
    vocabulary: int = 0,
    embedding: int = 64,
    masking: bool = False,
) -> Graph:
    """``layers`` times LSTM(``units``) and dropout, then a dense layer on the last step or, ``every_step``, on each.

    Tokens (``vocabulary`` above 0) are embedded first, and token 0 is padding; with ``masking`` so are steps of zeros.
    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997.
    """
    positive("lstm", units=units, layers=layers)
    builder = GraphBuilder("lstm")
    start = {"rescale": rescale, "vocabulary": vocabulary, "embedding": embedding, "masking": masking}
    x = sequence_input(builder, "lstm", input_shape, masks=True, **start)
    for number in range(layers):
        layer = LSTM(units, return_sequences=every_step or number < layers - 1)
        x = _directed(builder, x, layer, bidirectional, rate("lstm", dropout))
    return head(builder, x, num_outputs, activation)


@ARCHITECTURES.register("gru")
def gru(
    input_shape: Shape,
    num_outputs: int,
    activation: str,
    *,
    rescale: bool = False,
    units: int = 128,
    layers: int = 1,
    dropout: float = 0.2,
    bidirectional: bool = False,
    every_step: bool = False,
    vocabulary: int = 0,
    embedding: int = 64,
    masking: bool = False,
) -> Graph:
    """The same with GRU layers, which have a quarter fewer weights.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014.
    """
    positive("gru", units=units, layers=layers)
    builder = GraphBuilder("gru")
    start = {"rescale": rescale, "vocabulary": vocabulary, "embedding": embedding, "masking": masking}
    x = sequence_input(builder, "gru", input_shape, masks=True, **start)
    for number in range(layers):
        layer = GRU(units, return_sequences=every_step or number < layers - 1)
        x = _directed(builder, x, layer, bidirectional, rate("gru", dropout))
    return head(builder, x, num_outputs, activation)


def _directed(builder: GraphBuilder, x: int, layer: Any, bidirectional: bool, dropout: float) -> int:
    """A recurrent layer, or two that read in both directions, and dropout."""
    x = builder.add(Bidirectional(layer) if bidirectional else layer, x)
    return builder.add(Dropout(dropout), x) if dropout else x
