"""Small models and data for the tests of the loop."""

from collections.abc import Sequence

import numpy as np

from dltool.data.dataset import ArrayDataset
from dltool.data.loader import Loader
from dltool.engine.graph import GraphBuilder
from dltool.engine.layers import Dense
from dltool.engine.model import Model
from dltool.engine.optimizers import Optimizer, optimizer
from dltool.engine.reference import ReferenceExecutor
from dltool.training.objective import Objective


def loader(x: np.ndarray, y: np.ndarray, batch_size: int = 2, shuffle: bool = False) -> Loader:
    """Rows in memory; class names are the numbers."""
    classes = tuple(map(str, range(int(y.max()) + 1))) if y.dtype.kind == "i" else None
    return Loader(ArrayDataset((x,), y, classes, ("x.npy",)), batch_size, shuffle=shuffle, seed=0)


def chain(num_features: int, *layers: Dense) -> Model:
    """A chain of layers on ``num_features`` numbers."""
    builder = GraphBuilder()
    node = builder.input((num_features,))
    for layer in layers:
        node = builder.add(layer, node)
    return Model.build(builder.graph(node))


def executor(model: Model, objective: Objective, rule: Optimizer | str, batch_size: int = 2) -> ReferenceExecutor:
    return ReferenceExecutor(
        model,
        batch_size=batch_size,
        losses=objective.losses,
        loss_weights=objective.loss_weights,
        optimizer=optimizer(rule),
    )


def line(slope: float, rows: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """x (n, 1) and y = slope * x."""
    x = np.array(rows, np.float32)[:, None]
    return x, slope * x
