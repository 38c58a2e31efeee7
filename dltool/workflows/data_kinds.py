"""What rows are beyond images and tables: windows of a series, tokens, strings to read, their own targets.

Each is known from the options, from the architecture, or from what the model file remembers.
"""

from __future__ import annotations

import math

import numpy as np

from dltool.architectures.literals import spec
from dltool.data.dataset import Dataset
from dltool.data.opening import OpenedData
from dltool.data.reconstruction import Reconstruction
from dltool.data.tokens import check_tokens
from dltool.data.windows import Cut, remembered_cut
from dltool.engine.graph import Graph
from dltool.engine.layers import Embedding, Normalization, Rescaling
from dltool.engine.losses import BinaryCrossentropy, CategoricalCrossentropy, Loss
from dltool.engine.model import Model
from dltool.errors import DataError, UsageError
from dltool.modelfile.saved import SavedModel
from dltool.settings import DataSettings
from dltool.training.labels import PASSES_THROUGH

INPUT = "input"
"""As a target: the rows themselves. As what is wanted of labels: none."""
STRINGS = "strings"
CTC_NAMES = ("ctc", "CTC")
FIRST_ROWS = 256
"""So many rows are looked at to judge their range."""


def cut_of(data: DataSettings, saved: SavedModel | None = None) -> Cut | None:
    """How a series becomes rows: as said, and as the model's own rows were cut; None for other data.

    Raises:
        UsageError: options that miss --window, or that contradict the model.
    """
    known = remembered_cut(saved.preprocessing) if saved is not None else None
    for option, value in (("--horizon", data.horizon), ("--target-column", data.target_column)):
        if value is not None and data.window is None and known is None:
            raise UsageError(f"{option}: needs --window; say how many steps of the series a row has, as --window 24")
    if known is None:
        return None if data.window is None else Cut(data.window, data.horizon or 1, data.target_column)
    for option, mine, theirs in (
        ("--window", data.window, known.window),
        ("--horizon", data.horizon, known.horizon),
        ("--target-column", data.target_column, known.columns),
    ):
        if mine is not None and mine != theirs:
            shown = "all" if theirs is None else theirs if isinstance(theirs, int) else ",".join(map(str, theirs))
            raise UsageError(f"{option}: the model was made for {shown}; leave it out")
    return known


def wanted_of(data: DataSettings, arch: str | None, loss: str | tuple[str, ...] | None) -> str | None:
    """What a model that is yet to be built wants of its labels, where the options say it: "input" or "strings"."""
    name = spec(arch)[0] if arch is not None else ""
    if data.target == INPUT or name == "autoencoder":
        return INPUT
    is_ctc = isinstance(loss, str) and loss.partition(":")[0] in CTC_NAMES
    return STRINGS if is_ctc or (name == "crnn" and loss is None) else None


def reconstructs(data: DataSettings, saved: SavedModel) -> bool:
    """Whether rows are their own targets: as said, or as the model was trained."""
    return data.target == INPUT or (saved.preprocessing or {}).get("target") == INPUT


def as_reconstruction(dataset: Dataset, model: Model) -> Dataset:
    """The rows with themselves as targets, scaled as the network's first layer scales them."""
    graph = model.graph
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise UsageError("--target: with input, a model has one input and one output; give labels for this one")
    shape, wanted = graph.output_shapes[0], dataset.input_shapes[0]
    given, needed = math.prod(side or 1 for side in shape), math.prod(wanted)
    if given != needed:
        raise UsageError(
            f"--target: with input, the output must have the input's {needed:,} numbers, but layer "
            f"{graph.output_names[0]!r} gives {given:,}; end the model with as many"
        )
    fixed = tuple(shape) if None not in shape else tuple(wanted)
    return Reconstruction(dataset, fixed, *scaling_of(model))


def check_range(rule: Loss, dataset: Dataset, source: str) -> None:
    """Raise DataError where rows that are their own targets are no probabilities, which the loss wants."""
    if not isinstance(rule, BinaryCrossentropy | CategoricalCrossentropy):
        return
    values = dataset.fetch(np.arange(min(len(dataset), FIRST_ROWS))).targets[0]
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        raise DataError(
            f"{source}: the rows go from {low:g} to {high:g} and are targets of {rule.name}, which wants 0 to 1; begin "
            "the model with rescaling:1/255, or give --loss mse and a last layer without sigmoid"
        )


def scaling_of(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """(scale, offset) of the layer right after the input, float32; 1 and 0 where that does not scale."""
    graph = model.graph
    node = next((node for node in graph.nodes if node.inputs == graph.inputs), None)
    if node is not None and isinstance(node.layer, Rescaling):
        return np.float32(node.layer.scale), np.float32(node.layer.offset)
    if node is not None and isinstance(node.layer, Normalization):
        mean, variance = (np.asarray(view) for view in model.weights.views[node.name][:2])
        deviation = np.maximum(np.sqrt(variance), 1e-7)
        return (1 / deviation).astype(np.float32), (-mean / deviation).astype(np.float32)
    return np.float32(1), np.float32(0)


def token_inputs(graph: Graph) -> dict[int, int]:
    """Number of each input that only names entries of an Embedding -> how many that has."""
    found: dict[int, int] = {}
    for node in graph.nodes:
        if not isinstance(node.layer, Embedding):
            continue
        source = node.inputs[0]
        while source not in graph.inputs and type(graph.nodes[source].layer).__name__ in PASSES_THROUGH:
            source = graph.nodes[source].inputs[0]
        if source in graph.inputs:
            number = graph.inputs.index(source)
            found[number] = min(found.get(number, node.layer.input_dim), node.layer.input_dim)
    return found


def check_opened_tokens(opened: OpenedData, graph: Graph) -> OpenedData:
    """The same data. Raises DataError naming the first number that a model's Embedding has no entry for."""
    for number, vocabulary in token_inputs(graph).items():
        for part in (opened.train, opened.valid, opened.test):
            if part is not None:
                check_tokens(part, number, vocabulary)
    return opened
