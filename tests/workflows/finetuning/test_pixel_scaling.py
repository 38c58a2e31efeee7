"""What ``finetune --preprocess`` puts before a base, compared with the arithmetic of Keras's preprocess_input."""

from types import SimpleNamespace

import numpy as np
import pytest

from dltool.data.dataset import ArrayDataset
from dltool.engine.executor import Executor
from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import Conv2D, Rescaling
from dltool.engine.model import Model
from dltool.errors import UsageError
from dltool.modelfile.saved import SavedModel
from dltool.settings import DataSettings, FinetuneSettings
from dltool.workflows.finetuning.pixel_scaling import set_weights, with_scaling

PIXEL = np.array([[[[10, 20, 30], [0, 128, 255]]]], np.uint8)
"""Two pixels, red green blue."""


def identity(channels: int = 3, *front) -> Graph:
    """A network that gives its input."""
    b = GraphBuilder()
    place = b.input((1, 2, channels))
    for layer in (*front, Rescaling(1.0, name="rescaling") if front else Conv2D(channels, 1, name="last")):
        place = b.add(layer, place)
    return b.graph(place)


def opened(channels: int = 3) -> SimpleNamespace:
    data = ArrayDataset([np.zeros((2, 1, 2, channels), np.uint8)], np.arange(2), ("a", "b"), ["x.npy"])
    return SimpleNamespace(train=data, input_shape=(1, 2, channels))


def prepared(graph: Graph, channels: int = 3, **options) -> tuple[Model, str | None, str]:
    settings = FinetuneSettings("base.h5", DataSettings(), **options)
    saved = SavedModel(Model.build(graph), foreign=True)
    base, name, said = with_scaling(settings, saved, graph, opened(channels))
    model = Model.build(base)
    set_weights(model, name)
    return model, name, said


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        # blue, green and red, less 103.939, 116.779 and 123.68
        ("caffe", (30 - 103.939, 20 - 116.779, 10 - 123.68), (255 - 103.939, 128 - 116.779, -123.68)),
        # between -1 and 1
        ("tf", (10 / 127.5 - 1, 20 / 127.5 - 1, 30 / 127.5 - 1), (-1.0, 128 / 127.5 - 1, 1.0)),
        # between 0 and 1, less the mean, by the deviation
        (
            "torch",
            ((10 / 255 - 0.485) / 0.229, (20 / 255 - 0.456) / 0.224, (30 / 255 - 0.406) / 0.225),
            (-0.485 / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225),
        ),
    ],
)
def test_pixels_become_what_preprocess_input_makes_of_them(kind, first, second):
    model, name, said = prepared(identity(), preprocess=kind)
    kernel, bias = model.weights.views["last"]
    kernel[...], bias[...] = np.eye(3), 0
    with Executor(model, batch_size=1, jobs=1) as executor:
        (found,) = executor.forward((PIXEL,))
    assert found[0, 0] == pytest.approx(np.array([first, second]), abs=1e-5)
    assert name == "preprocess" and not model.graph.layers[name].trainable
    assert said == f"pixels 0..255 are prepared as by preprocess_input of Keras, mode {kind}"


def test_nothing_is_put_before_a_base_that_scales_itself_or_when_that_is_said():
    scales = identity(3, Rescaling(1 / 255, name="own"))
    for graph, options in ((scales, {}), (identity(), {"preprocess": "none"}), (identity(), {"rescale": False})):
        model, name, said = prepared(graph, **options)
        assert name is None and said == "" and list(model.graph.layers) == list(graph.layers)
    model, name, said = prepared(identity())
    assert model.graph.layers[name].scale == pytest.approx(1 / 255)
    assert said.startswith("base.h5 does not scale pixels itself: 0..255 become 0..1")


def test_a_name_that_is_taken_is_not_taken_again():
    _, name, _ = prepared(identity(3, Conv2D(3, 1, name="preprocess")), preprocess="tf")
    assert name == "preprocess_pixels"


@pytest.mark.parametrize(
    ("graph", "channels", "options", "message"),
    [
        (identity(3, Rescaling(2.0, name="own")), 3, {}, r"base\.h5 prepares pixels itself \(Rescaling 'own'\); leave"),
        (identity(1), 1, {}, "caffe is for colour images, but rows are 1x2x1; leave it out"),
        (identity(), 3, {"rescale": False}, "cannot be combined with --no-rescale"),
    ],
)
def test_what_cannot_be_meant_is_refused(graph, channels, options, message):
    with pytest.raises(UsageError, match=f"--preprocess: {message}"):
        prepared(graph, channels, preprocess="caffe", **options)
