"""Convolutions over a text: what occurs counts, not where."""

from dltool.architectures.base import ARCHITECTURES, head, positive, rate
from dltool.architectures.sequences import sequence_input
from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import Concatenate, Conv1D, Dropout, GlobalMaxPooling1D, Shape

WIDTHS = (3, 4, 5)


@ARCHITECTURES.register("textcnn")
def textcnn(
    input_shape: Shape,
    num_outputs: int,
    activation: str,
    *,
    rescale: bool = False,
    filters: int = 100,
    dropout: float = 0.5,
    vocabulary: int = 0,
    embedding: int = 64,
) -> Graph:
    """Three convolutions side by side, over 3, 4 and 5 steps; the maximum of each filter; dropout; a dense layer.

    Deviation: sequences are padded, so that texts of fewer than five steps fit too.
    Source: Kim, "Convolutional neural networks for sentence classification", 2014.
    """
    positive("textcnn", filters=filters)
    builder = GraphBuilder("textcnn")
    start = {"rescale": rescale, "vocabulary": vocabulary, "embedding": embedding}
    x = sequence_input(builder, "textcnn", input_shape, masks=False, **start)
    found = [
        builder.add(GlobalMaxPooling1D(), builder.add(Conv1D(filters, width, padding="same", activation="relu"), x))
        for width in WIDTHS
    ]
    x = builder.add(Concatenate(), *found)
    if rate("textcnn", dropout):
        x = builder.add(Dropout(dropout), x)
    return head(builder, x, num_outputs, activation)
