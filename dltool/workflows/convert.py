"""``dltool convert``: a model from one format of Keras into another; weights and a network together; names put back."""

from __future__ import annotations

from dataclasses import dataclass

from dltool.architectures.catalog import architecture
from dltool.engine.graph import Graph
from dltool.errors import ModelFileError, UsageError
from dltool.modelfile.atomic import check_target
from dltool.modelfile.config_file import read_config_network
from dltool.modelfile.converting import network_of, write_archive, write_config, write_weights
from dltool.modelfile.hdf5 import is_model_file
from dltool.modelfile.keras_config import keras_differences
from dltool.modelfile.network import Network
from dltool.modelfile.reading import read, read_network, read_weights
from dltool.modelfile.saved import SavedModel, TrainingConfig
from dltool.modelfile.writing import write
from dltool.settings import ConvertSettings
from dltool.training.labels import heads

FORMATS = {
    ".weights.h5": ("weights of Keras 3", write_weights),
    ".h5": ("Keras model", write),
    ".hdf5": ("Keras model", write),
    ".keras": ("Keras 3 archive", write_archive),
    ".json": ("Keras 3 JSON, without weights", write_config),
}
"""Ending of the file's name -> what it is, and who writes it; the longest ending counts."""


@dataclass(frozen=True)
class ConvertResult:
    """Attributes:
    line: what was written: ``"Keras 3 archive, 23,844 parameters, 28x28x1 -> 10"``.
    lost: what the format has no place for.
    warnings: what Keras, and dltool when it reads the file again, will do otherwise.
    """

    line: str
    lost: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def run(settings: ConvertSettings) -> ConvertResult:
    """Read, put together what was asked for, and write.

    Raises:
        UsageError: an ending that is no format; names that do not fit the model. ModelFileError: a file that cannot be
            read. OutputError: one that cannot be written.
    """
    kind, write_it = format_of(settings.target)
    check_target(settings.target, overwrite=settings.force)
    saved = with_names(whole_model(settings), settings)
    write_it(saved, settings.target, overwrite=settings.force)
    graph = saved.model.graph
    shapes = f"{shown(graph.input_shapes)} -> {shown(graph.output_shapes)}"
    line = f"{kind}, {graph.num_parameters:,} parameters, {shapes}"
    if write_it is write:
        return ConvertResult(line)
    # Several axes of a normalisation are a matter of .h5 files alone.
    changed = [text for text in keras_differences(graph) if text.startswith("Keras 3") and "axes" not in text]
    return ConvertResult(line, lost_things(saved), tuple(changed))


def format_of(target: str) -> tuple:
    """What the ending of a name stands for. Raises UsageError."""
    for ending, found in FORMATS.items():
        if target.lower().endswith(ending):
            return found
    raise UsageError(f"{target}: its ending says no format; use {', '.join(FORMATS)}")


def whole_model(settings: ConvertSettings) -> SavedModel:
    """The source, with the network from elsewhere if one is named."""
    if settings.from_config is None and settings.arch is None:
        if settings.source.lower().endswith(".json"):
            raise ModelFileError(f"{settings.source}: holds no weights; 'dltool build OUT.h5 --from' draws them")
        return read(settings.source)
    network, compiled = named_network(settings)
    model = read_weights(settings.source, network)
    return SavedModel(model, training_config=compiled, foreign=True)


def named_network(settings: ConvertSettings) -> tuple[Network, TrainingConfig | None]:
    """What --arch, or --from with JSON or a model file, names."""
    if settings.arch is not None:
        activation = "softmax" if settings.classes > 1 else "sigmoid"
        graph = architecture(settings.arch, settings.input, settings.classes, activation, settings.rescale)
        return network_of(graph), None
    if settings.from_config != "-" and is_model_file(settings.from_config):
        return read_network(settings.from_config), None
    return read_config_network(settings.from_config)


def with_names(saved: SavedModel, settings: ConvertSettings) -> SavedModel:
    """Class names and preprocessing, typed or of another file. Raises UsageError when they do not fit."""
    if settings.labels_from is not None:
        other = read(settings.labels_from, with_state=False)
        if other.classes is None and other.preprocessing is None:
            raise UsageError(f"--labels-from: {settings.labels_from} knows no class names; give --class-names")
        for what, one, two in (
            ("takes", saved.model.graph.input_shapes, other.model.graph.input_shapes),
            ("gives", saved.model.graph.output_shapes, other.model.graph.output_shapes),
        ):
            if one != two:
                raise UsageError(
                    f"--labels-from: {settings.labels_from} {what} {shown(two)}, but {settings.source} {shown(one)}; "
                    "give the file that the model came from"
                )
        saved.classes, saved.preprocessing = other.classes, other.preprocessing
    if settings.class_names is not None:
        saved.classes = checked_names(saved.model.graph, settings.class_names)
    return saved


def checked_names(graph: Graph, names: tuple[str, ...]) -> tuple[str, ...]:
    """One name per class. Raises UsageError."""
    expected = heads(graph)[0].num_classes or heads(graph)[0].size
    if len(graph.outputs) > 1 or len(names) != expected:
        raise UsageError(
            f"--class-names: {len(names)} names for {expected} outputs; give one per output, in their order"
        )
    return names


def lost_things(saved: SavedModel) -> tuple[str, ...]:
    """What only a file of dltool can hold, as far as it was there."""
    found = (
        ("class names", saved.classes),
        ("preprocessing", saved.preprocessing),
        ("history", saved.history),
        ("state of training", saved.state),
    )
    return tuple(name for name, value in found if value)


def shown(shapes: tuple) -> str:
    """28x28x1, or several with commas."""
    return ", ".join("x".join("?" if size is None else str(size) for size in shape) or "1" for shape in shapes)
