"""Data opened for a model: the model's image options and class names hold, and what does not fit is refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from dltool.data.opening import OpenedData, OutputLabels, Request, named, open_data, open_named, preprocessing_for
from dltool.engine.activations import activation
from dltool.engine.graph import Graph
from dltool.engine.model import Model
from dltool.errors import DataError, UsageError
from dltool.modelfile.saved import SavedModel
from dltool.registry import nearest
from dltool.settings import DataSettings
from dltool.training.labels import Head, heads
from dltool.workflows.data_kinds import CTC_NAMES, INPUT, STRINGS, check_opened_tokens, cut_of, reconstructs


@contextmanager
def naming_val_labels() -> Iterator[None]:
    """While validation rows are opened: what is said of --labels is said of --val-labels."""
    try:
        yield
    except UsageError as error:
        raise UsageError(str(error).replace("--labels", "--val-labels")) from None


def open_for_model(
    data: DataSettings, saved: SavedModel, loss: str | tuple[str, ...] | None = None, seed: int = 0
) -> OpenedData:
    """Open data in the shape, colours and class order that the model was made for.

    A model without class names gets the folders' names: in natural order, or in Keras's plain sorted order where dltool
    did not write the file.

    Args:
        loss: name of the loss that will be used, where it is not the file's.
        seed: of the draw that a limit makes.

    Raises:
        DataError: classes, labels or rows that the model does not have or take. UsageError: options that contradict it.
    """
    graph = saved.model.graph
    if len(graph.inputs) > 1 or len(graph.outputs) > 1:
        return _open_several(data, saved, loss, seed)
    (head,), (shape,) = heads(graph), graph.input_shapes
    names = class_names(data, saved)
    reading = image_options(data, saved)
    wanted = INPUT if reconstructs(data, saved) else wanted_labels(saved, head, loss_of(loss, head.name))
    num_classes = head.size - 1 if wanted == STRINGS else head.num_classes
    if data.multi_label and wanted != "labels":
        raise UsageError(
            f"--multi-label: output {head.name!r} ({head.activation}, {head.size} units) gives one answer per row; "
            "end the model with several sigmoid units"
        )
    opened = open_data(
        [named(path, graph.input_names)[1] for path in data.data],
        labels=[named(path, graph.output_names)[1] for path in label_files(data)],
        image_size=(reading["height"], reading["width"]) if "height" in reading else None,
        color=reading.get("color"),
        resize=reading.get("resize"),
        class_names=names,
        num_classes=None if names else num_classes,
        wants=wanted,
        cut=cut_of(data, saved),
        multi_label=data.multi_label,
        groups=data.group,
        limit=data.limit,
        allow_empty=data.allow_empty,
        skip_bad=data.skip_bad,
        plain_order=names is None and saved.foreign,
        seed=seed,
    )
    if wanted == "values" and opened.classes is not None:
        raise DataError(
            f"{data.data[0]}: has {len(opened.classes)} classes, but the model's output {head.name!r} is a number "
            f"({head.activation}); end the model with softmax, or say --loss"
        )
    return check_opened_tokens(opened.adapt_to(shape), graph)


def _open_several(data: DataSettings, saved: SavedModel, loss: str | tuple[str, ...] | None, seed: int) -> OpenedData:
    """Arrays for a model of several inputs or outputs, each under its name."""
    graph = saved.model.graph
    for option, given in (("--class-names", data.class_names), ("--multi-label", data.multi_label)):
        if given:
            raise UsageError(
                f"{option}: the model has several inputs or outputs, whose classes are numbers; leave it out"
            )
    for option, given in (("--window", data.window), ("--target", data.target)):
        if given:
            raise UsageError(f"{option}: the model has several inputs or outputs; leave it out, and name their arrays")
    outputs = [
        OutputLabels(head.name, head.num_classes, wanted_labels(saved, head, loss_of(loss, head.name), number))
        for number, head in enumerate(heads(graph))
    ]
    request = Request(groups=data.group, limit=data.limit, seed=seed)
    opened = open_named(data.data, label_files(data), graph.input_names, outputs, request)
    return check_opened_tokens(opened.adapt_inputs(graph.input_shapes), graph)


def label_files(data: DataSettings) -> tuple[str, ...]:
    """The label files as given, none, one or several."""
    labels = data.labels or ()
    return (labels,) if isinstance(labels, str) else tuple(labels)


def loss_of(loss: str | tuple[str, ...] | None, output: str) -> str | None:
    """The loss that was given for an output: the one for all of them, or ``output=NAME``."""
    if isinstance(loss, str) and "=" not in loss.partition(":")[0]:
        return loss
    texts = (loss,) if isinstance(loss, str) else loss or ()
    return next((value for name, _, value in (text.partition("=") for text in texts) if name == output), None)


def check_output_names(option: str, given: str | tuple[str, ...] | None, graph: Graph) -> None:
    """Raise UsageError when ``NAME=...`` names no output, or one twice."""
    texts = (given,) if isinstance(given, str) else given or ()
    names = [text.partition("=")[0] for text in texts if "=" in text.partition(":")[0]]
    if len(texts) > 1 and len(names) < len(texts):
        raise UsageError(
            f"{option}: given {len(texts)} times; write OUTPUT=... for each of {', '.join(graph.output_names)}"
        )
    for name in names:
        if name not in graph.output_names:
            close = nearest(name, list(graph.output_names))
            advice = f"did you mean {close!r}?" if close else f"the outputs are {', '.join(graph.output_names)}"
            raise UsageError(f"{option}: {name!r} is no output of the model; {advice}")
        if names.count(name) > 1:
            raise UsageError(f"{option}: {name!r} is given twice; give each output once")


def output_weights(texts: tuple[str, ...], graph: Graph, old: tuple[float, ...]) -> tuple[float, ...]:
    """``--loss-weight``: each output's ``NAME=0.5`` where given, else what it was. Raises UsageError."""
    plain = next((text for text in texts if "=" not in text), None)
    if plain is not None:
        raise UsageError(f"--loss-weight: {plain} names no output; write {graph.output_names[0]}={plain}")
    check_output_names("--loss-weight", texts, graph)
    given = {name: float(value) for name, _, value in (text.rpartition("=") for text in texts)}
    found = tuple(given.get(name, weight) for name, weight in zip(graph.output_names, old, strict=True))
    if not any(found):
        raise UsageError("--loss-weight: every output weighs 0, so nothing would be learnt; give one more")
    return found


def class_names(data: DataSettings, saved: SavedModel) -> tuple[str, ...] | None:
    """The model's class names, or those that the user gives a model without any."""
    names = data.class_names
    if names is None or names == saved.classes:
        return saved.classes
    if saved.classes is not None:
        raise UsageError(
            f"--class-names: {', '.join(names)}, but the model's classes are {', '.join(saved.classes)}; leave it out"
        )
    head = heads(saved.model.graph)[0]
    count = head.size - 1 if reads_strings(saved) else head.num_classes
    if count is not None and len(names) != count:
        raise UsageError(f"--class-names: {len(names)} names, but the model has {count} classes; name each once")
    return names


def wanted_labels(saved: SavedModel, head: Head, loss: str | None, number: int = 0) -> str | None:
    """Classes or values, from the head and, where the head may take either, the loss; None to let the labels decide.

    Several sigmoid units take classes and independent labels alike ("labels": the rows decide).

    Args:
        number: of the head among the model's outputs.
    """
    if reads_strings(saved, loss):
        return STRINGS
    if head.num_classes is not None and len(head.shape) == 2:
        return "steps"
    if head.num_classes is not None:
        return "labels" if head.activation == "sigmoid" and head.size > 1 else "classes"
    config = saved.training_config
    name = loss or (config.loss_names[number] if config is not None and len(config.loss_names) > number else "")
    return None if "crossentropy" in name.lower().replace("_", "") else "values"


def reads_strings(saved: SavedModel, loss: str | None = None) -> bool:
    """Whether the model's one output is read as a string: its loss is CTC."""
    config = saved.training_config
    name = loss or (config.loss_names[0] if config is not None and config.loss_names else "")
    return name.partition(":")[0] in CTC_NAMES


def image_options(data: DataSettings, saved: SavedModel) -> dict[str, Any]:
    """Size, colour and resize: as said, else the model's own, else from its input shape. {} when nothing is known."""
    usual = preprocessing_for(saved.model.graph.input_shapes[0]) or {}
    found = {**usual, **(saved.preprocessing or {})}
    if data.image_size is not None:
        found["height"], found["width"] = data.image_size
    if data.color is not None:
        found["color"] = data.color
    if data.resize is not None:
        found["resize"] = data.resize
    return found


def sized(model: Model, shape: tuple[int, ...]) -> Model:
    """The model on inputs of exactly this shape, for plans of fixed size; the weights are shared."""
    graph = model.graph
    if len(graph.inputs) != 1 or graph.input_shapes[0] == tuple(shape):
        return model
    node = graph.nodes[graph.inputs[0]]
    return model.with_graph(_resized(graph, node.name, tuple(shape)))


def _resized(graph: Graph, name: str, shape: tuple[int, ...]) -> Graph:
    return graph.with_layers({name: replace(graph.layers[name], shape=shape)})


def label_names(saved: SavedModel, index: int = 0) -> tuple[str, ...] | None:
    """Names for the classes of one of the model's outputs, numbers where it has none; None when it gives numbers."""
    head = heads(saved.model.graph)[index]
    count = head.num_classes
    if count is None and _logits_of(saved, index) is not None:
        count = max(2, head.size)
    if count is None or len(head.shape) != 1:
        return None
    alone = len(saved.model.graph.outputs) == 1
    if alone and saved.classes is not None and len(saved.classes) == count:
        return saved.classes
    return tuple(map(str, range(count)))


def probabilities(saved: SavedModel, output: np.ndarray, index: int = 0) -> np.ndarray:
    """(n, classes) from a model's output: itself, from logits where the loss takes logits, two from one unit."""
    kind = _logits_of(saved, index)
    if kind is not None:
        output = activation(kind)(output)[0]
    if output.shape[-1] == 1:
        return np.concatenate([1 - output, output], axis=-1)
    return output


def _logits_of(saved: SavedModel, index: int = 0) -> str | None:
    """The activation that the loss includes ("softmax" or "sigmoid"), so that the output lacks it; else None."""
    config = saved.training_config
    rule = config.losses[index] if config is not None and len(config.losses) > index else None
    return rule.fused_activation if rule is not None and getattr(rule, "from_logits", False) else None
