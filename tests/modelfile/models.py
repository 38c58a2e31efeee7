"""Small models and hand-made files for the tests of model files."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import (
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    Normalization,
)
from dltool.engine.losses import loss
from dltool.engine.model import Model
from dltool.engine.optimizers import Adam
from dltool.modelfile.saved import SavedModel, TrainingConfig, TrainingState


def images() -> Model:
    """A convolutional chain with everything in it whose order of weights matters."""
    b = GraphBuilder("images")
    x = b.input((8, 8, 1), "picture")
    x = b.add(Conv2D(4, 3, padding="same", activation="relu", kernel_regularizer="l2"), x)
    x = b.add(BatchNormalization(), x)
    x = b.add(MaxPooling2D(), x)
    x = b.add(Dropout(0.25), x)
    x = b.add(Flatten(), x)
    return Model.build(b.graph(b.add(Dense(3, activation="softmax"), x)), seed=1)


def still() -> Model:
    """Normalisation and dropout that were called with ``training=False``."""
    b = GraphBuilder("still")
    x = b.add(Conv2D(4, 3, name="conv"), b.input((8, 8, 1), "picture"))
    x = b.add(BatchNormalization(name="norm"), x)
    x = b.add(GlobalAveragePooling2D(name="pool"), b.add(Dropout(0.5, name="drop"), x))
    graph = b.graph(b.add(Dense(3, activation="softmax", name="dense"), x))
    nodes = tuple(replace(node, inference=node.layer.trains_differently) for node in graph.nodes)
    return Model.build(Graph(nodes, graph.outputs, graph.name), seed=3)


def residual() -> Model:
    """Two inputs, a shared layer, a sum, two outputs."""
    b = GraphBuilder("twins")
    left, right = b.input((5,), "left"), b.input((5,), "right")
    shared = Dense(4, activation="tanh", name="shared")
    a = b.add(shared, b.add(Normalization(name="scale"), left))
    total = b.add(Add(name="total"), a, b.add(shared, right))
    return Model.build(b.graph(b.add(Dense(2, name="value"), total), b.add(Dense(3, name="kind"), a)), seed=2)


def trained(model: Model) -> SavedModel:
    """A model with something in every field of its file."""
    rng = np.random.default_rng(0)
    size = model.weights.num_trainable
    outputs = len(model.graph.outputs)
    optimizer = Adam(0.002, clipnorm=1.0)
    return SavedModel(
        model,
        classes=("cat", "dög", "a/b"),
        preprocessing={"size": [8, 8], "color": "gray"},
        training_config=TrainingConfig(
            losses=(loss("mean_squared_error"),) * outputs,
            loss_names=("mean_squared_error",) * outputs,
            loss_weights=(1.0,) * outputs,
            metrics=("mean_absolute_error",),
            optimizer=optimizer,
            optimizer_name="Adam",
        ),
        recipe={"epochs": 3},
        history=[{"epoch": 3, "loss": 0.5, "val_loss": float("nan")}],
        state=TrainingState(
            weights=model.weights.vector + np.float32(0.5),
            slots={name: rng.random(size, np.float32) for name in optimizer.slots},
            memory={"x": 0.1},
            step=12,
            epoch=3,
            callbacks={"early_stop": {"best": 0.25}},
        ),
        split={"seed": 0, "fraction": 0.2},
        fingerprint="abc",
    )


KERAS_CONFIG = (
    '{"class_name": "Sequential", "config": {"name": "m", "layers": ['
    '{"class_name": "InputLayer", "config": {"batch_input_shape": [null, 4], "name": "x"}}, '
    '{"class_name": "Dense", "config": {"name": "d", "units": 3}}]}}'
)


def keras_file(path: Path, kernel=None, bias=None, config: object = KERAS_CONFIG) -> h5py.File:
    """An open file as Keras writes it, of one Dense layer; tests change what they need and close it."""
    file = h5py.File(path, "w")
    file.attrs["keras_version"] = "2.15.0"
    if config is not None:
        file.attrs["model_config"] = config
    group = file.create_group("model_weights")
    group.attrs["layer_names"] = [b"d"]
    layer = group.create_group("d")
    layer.attrs["weight_names"] = [b"d/kernel:0", b"d/bias:0"]
    layer["d/kernel:0"] = np.arange(12, dtype="f4").reshape(4, 3) if kernel is None else kernel
    layer["d/bias:0"] = np.array([1, 2, 3], "f4") if bias is None else bias
    return file
