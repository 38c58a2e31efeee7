"""``finetune --preprocess``: what a Keras network expects of its pixels, as layers before it.

Keras's applications were trained on pixels that a function of theirs had changed, of which their files say nothing.
Source: keras/src/applications/imagenet_utils.py of Keras 3.15, ``preprocess_input`` (modes "caffe", "tf", "torch").
"""

from __future__ import annotations

import numpy as np

from dltool.architectures.words import NORMALISES
from dltool.data.opening import OpenedData
from dltool.engine.graph import Graph, describe
from dltool.engine.layers import Conv2D, Rescaling
from dltool.engine.layers.base import Layer
from dltool.engine.model import Model
from dltool.engine.surgery import insert_after_input
from dltool.errors import UsageError
from dltool.modelfile.saved import SavedModel
from dltool.settings import FinetuneSettings

PIXEL_SCALE = 1 / 255
CAFFE_MEAN = (103.939, 116.779, 123.68)
"""Of ImageNet's blue, green and red, within 0..255."""
TORCH_MEAN, TORCH_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue, within 0..1."""
SCALES = ("Rescaling", "Normalization")
"""Layers that do nothing but scale."""
COLOURS = 3


def with_scaling(
    settings: FinetuneSettings, saved: SavedModel, base: Graph, opened: OpenedData
) -> tuple[Graph, str | None, str]:
    """The base with a layer for its pixels in front, that layer's name (None: there is none), and what to say about it.

    Raises:
        UsageError: ``--preprocess`` says what the network cannot take, or does itself.
    """
    kind = settings.preprocess
    if kind is None:
        if not wants_rescaling(settings, saved, opened):
            return base, None, ""
        said = f"{settings.model} does not scale pixels itself: 0..255 become 0..1 (--preprocess for other ways)"
        return *inserted(base, "rescaling", Rescaling(PIXEL_SCALE)), said
    if kind == "none":
        return base, None, ""
    check_preprocess(settings, base, opened)
    said = f"pixels 0..255 are prepared as by preprocess_input of Keras, mode {kind}"
    return *inserted(base, "preprocess", layer_for(kind)), said


def inserted(base: Graph, name: str, layer: Layer) -> tuple[Graph, str]:
    """The base with the layer after its input, under this name or the next free one."""
    while name in base.layers:
        name += "_pixels"
    config = {**layer.config(), "name": name, "trainable": False}
    return insert_after_input(base, type(layer)(**config)), name


def layer_for(kind: str) -> Layer:
    """The arithmetic of ``preprocess_input`` on red, green and blue; ``set_weights`` completes that of caffe."""
    if kind == "tf":
        return Rescaling(1 / 127.5, -1.0)
    if kind == "torch":
        scale = tuple(PIXEL_SCALE / deviation for deviation in TORCH_DEVIATION)
        return Rescaling(scale, tuple(-m / d for m, d in zip(TORCH_MEAN, TORCH_DEVIATION, strict=True)))
    return Conv2D(COLOURS, 1)


def set_weights(model: Model, name: str | None) -> None:
    """Let the convolution for caffe give blue, green and red, each less its mean; a Rescaling has no weights."""
    views = model.weights.views[name] if name is not None else ()
    if views:
        kernel, bias = views
        kernel[...] = np.eye(COLOURS, dtype=np.float32)[::-1]
        bias[...] = np.negative(CAFFE_MEAN)


def check_preprocess(settings: FinetuneSettings, base: Graph, opened: OpenedData) -> None:
    kind, shape = settings.preprocess, opened.input_shape
    if not settings.rescale:
        raise UsageError("--preprocess: cannot be combined with --no-rescale, which is --preprocess none; give one")
    own = next((layer for layer in first_layers(base) if type(layer).__name__ in SCALES), None)
    if own is not None:
        raise UsageError(
            f"--preprocess: {settings.model} prepares pixels itself ({type(own).__name__} {own.name!r}); leave it out"
        )
    if len(shape) != 3 or (kind != "tf" and shape[-1] != COLOURS):
        takes = "images" if kind == "tf" else "colour images"
        raise UsageError(f"--preprocess: {kind} is for {takes}, but rows are {describe(shape)}; leave it out")


def wants_rescaling(settings: FinetuneSettings, saved: SavedModel, opened: OpenedData) -> bool:
    """Whether pixels 0..255 would meet a network of others that begins without a layer that scales them.

    Models that dltool built for images say how they are read; what they have or lack is meant.
    """
    scales = any(type(layer).__name__ in NORMALISES for layer in first_layers(saved.model.graph))
    first = opened.train.fetch(np.arange(1)).inputs[0]
    return settings.rescale and not scales and saved.preprocessing is None and first.dtype == np.uint8


def first_layers(graph: Graph) -> list[Layer]:
    """The layers that read the one input."""
    return [graph.nodes[index].layer for index in graph.consumers[graph.inputs[0]]]
