"""What is known of a model before it exists: its shape, outputs and head, from the options and the data."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dltool.architectures.catalog import options_of
from dltool.architectures.literals import spec
from dltool.data.dataset import Dataset
from dltool.data.opening import OpenedData, preprocessing_for
from dltool.data.tokens import vocabulary_of
from dltool.data.windows import remembered_cut
from dltool.engine.graph import describe
from dltool.engine.layers import Shape
from dltool.errors import UsageError
from dltool.settings import BuildSettings, DataSettings
from dltool.workflows.build_pattern import Pattern
from dltool.workflows.data_kinds import INPUT, STRINGS, wanted_of


@dataclass(frozen=True)
class Known:
    """What is known of the data before the model exists. ``labels`` are None where there are no data.

    Attributes:
        found: options of architectures that the data decide, ``{"vocabulary": 1000, "every_step": True}``.
        target_shape: of a row's targets where that is no plain row of numbers.
    """

    shape: Shape | None
    num_outputs: int | None
    activation: str
    classes: tuple[str, ...] | None = None
    labels: np.ndarray | None = None
    preprocessing: dict[str, Any] | None = None
    rescale: bool = True
    hints: tuple[str, ...] = ()
    found: dict[str, Any] = field(default_factory=dict)
    target_shape: Shape | None = None


def known_from(settings: BuildSettings, opened: OpenedData | None) -> Known:
    """Shape, number of outputs and head from the settings and the data; the settings must not contradict the data."""
    if opened is None:
        return _known_without_data(settings)
    dataset = opened.train
    shapes, classes, labels = dataset.input_shapes, dataset.classes, dataset.labels
    if len(shapes) > 1 and settings.arch:
        raise UsageError(f"--arch: takes one input but the data have {len(shapes)}; use layer words with named inputs")
    shape = _shape_for(settings, dataset) if len(shapes) == 1 else None
    if classes is not None and settings.classes is not None and settings.classes != len(classes):
        raise UsageError(f"--classes: {settings.classes}, but the data have {len(classes)} classes; leave it out")
    num_outputs, activation, found, target_shape = _head_for(settings, opened)
    scaled = len(shape or ()) == 3 and _is_within_one(dataset)
    hints = ("the values lie within 0..1 already, so no Rescaling layer was added",) if scaled else ()
    rescale = settings.rescale and not scaled
    preprocessing, wants = opened.preprocessing, wanted_of(settings.data, settings.arch, settings.loss)
    if wants == INPUT:
        preprocessing = {**(preprocessing or {"kind": "array"}), "target": INPUT}
        activation = "sigmoid" if len(shape or ()) == 3 and (rescale or scaled) else "linear"
    return Known(shape, num_outputs, activation, classes, labels, preprocessing, rescale, hints, found, target_shape)


def _head_for(settings: BuildSettings, opened: OpenedData) -> tuple[int | None, str, dict[str, Any], Shape | None]:
    """Outputs and last activation that the labels ask for, and the rest of what ``Known`` keeps of them."""
    dataset, found = opened.train, {}
    classes, labels, steps = dataset.classes, dataset.labels, dataset.input_shapes[0][:1]
    wants = wanted_of(settings.data, settings.arch, settings.loss)
    if opened.has_tokens and len(dataset.input_shapes) == 1:
        found["vocabulary"] = vocabulary_of(dataset)
    if wants == INPUT:
        return None, "linear", {}, None
    if wants == STRINGS:
        return 1 + len(classes), "linear", found, None
    is_series = remembered_cut(opened.preprocessing) is not None
    if is_series and labels.ndim == 3:
        return math.prod(labels.shape[1:]), "linear", found, labels.shape[1:]
    if labels.ndim > 1 and labels.shape[1:2] == steps and (labels.dtype.kind == "i" or labels.ndim == 3):
        found["every_step"] = True
    if classes is not None:
        return len(classes), "softmax" if labels.dtype.kind == "i" else "sigmoid", found, None
    return 1 if labels.ndim == 1 else int(labels.shape[-1]), "linear", found, None


def _shape_for(settings: BuildSettings, dataset: Dataset) -> Shape:
    """The rows' shape; images without a channel axis get one where --input or an architecture wants it."""
    shape = tuple(dataset.input_shapes[0])
    deeper = (*shape, 1)
    if settings.input is not None:
        if tuple(settings.input) not in (shape, deeper):
            wanted = describe(settings.input)
            raise UsageError(f"--input: {wanted} does not fit the data's {describe(shape)}; leave it out")
        return tuple(settings.input)
    name = spec(settings.arch)[0] if settings.arch is not None else "mlp"
    wants_images = name != "mlp" and "vocabulary" not in options_of(name) and settings.data.window is None
    if name == "autoencoder":
        wants_images = _first_rows(dataset).dtype == np.uint8 or _is_within_one(dataset)
    return deeper if len(shape) == 2 and wants_images else shape


def _known_without_data(settings: BuildSettings, like: dict[str, Any] | None = None) -> Known:
    """One class means one sigmoid unit; several a softmax."""
    data = settings.data or DataSettings()
    names, count = data.class_names, settings.classes
    if names is not None and count is not None and len(names) != count:
        raise UsageError(f"--class-names: {len(names)} names for {count} classes; name each class")
    count = count or (len(names) if names else None)
    shape = settings.input
    if shape is None and data.image_size is not None:
        shape = (*data.image_size, 1 if data.color == "gray" else 3)
    preprocessing = reading_of(data, shape, like) if shape is not None else None
    wants = wanted_of(data, settings.arch, settings.loss)
    activation = "sigmoid" if count == 1 else "softmax"
    if wants == INPUT:
        preprocessing = {**(preprocessing or {"kind": "array"}), "target": INPUT}
        activation = "sigmoid" if len(shape or ()) == 3 and settings.rescale else "linear"
    elif wants == STRINGS:
        count, activation = count and count + 1, "linear"
    return Known(shape, count, activation, names, None, preprocessing, settings.rescale)


def known_of_pattern(settings: BuildSettings, opened: OpenedData | None, pattern: Pattern) -> Known:
    """The same for a network that is there already; only what the data and options say about it is checked."""
    fixed = replace(settings, input=pattern.shape)
    if opened is not None:
        return replace(known_from(fixed, opened), hints=())
    known = _known_without_data(fixed, pattern.preprocessing)
    return known if known.classes is not None else replace(known, classes=pattern.classes)


def reading_of(data: DataSettings, shape: Shape, like: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """How images are to be read for an image input; None for other inputs (but what ``like`` remembers of its rows).

    Args:
        shape: of the input; sides of any size are the options' or those of ``like``.
        like: how another model reads them.
    """
    if like is not None and "height" not in like:
        return like
    if len(shape) == 3 and None in shape[:2]:
        size = data.image_size or ((like["height"], like["width"]) if like else (None, None))
        shape = (shape[0] or size[0], shape[1] or size[1], shape[2])
    found = like or preprocessing_for(shape)
    if found is None:
        return None
    if data.color not in (None, found["color"]):
        raise UsageError(f"--color: {data.color} does not fit an input of {describe(shape)}; leave it out")
    if data.image_size not in (None, (found["height"], found["width"])):
        size = describe(data.image_size)
        raise UsageError(f"--image-size: {size} does not fit an input of {describe(shape)}; leave it out")
    return {**found, "resize": data.resize or found["resize"]}


def _is_within_one(dataset: Dataset) -> bool:
    """Whether an array's values lie within 0..1, and are no bytes, judged by the first rows."""
    first = _first_rows(dataset)
    return first.dtype != np.uint8 and bool(first.min() >= 0 and first.max() <= 1)


def _first_rows(dataset: Dataset) -> np.ndarray:
    return dataset.fetch(np.arange(min(len(dataset), 64), dtype=np.int64)).inputs[0]
