"""Models made after another one: from Keras's JSON (``--from``), or like a model file (``--like``).

Both give the network as it is, nothing inserted; the weights are drawn anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dltool.engine.graph import Graph
from dltool.engine.layers import Normalization
from dltool.engine.model import Model
from dltool.modelfile.config_file import read_config_file
from dltool.modelfile.reading import read
from dltool.modelfile.saved import TrainingConfig
from dltool.settings import BuildSettings


@dataclass(frozen=True)
class Pattern:
    """What another file says about the model to be built.

    Attributes:
        option: "--from" or "--like". source: the file.
        classes, preprocessing: of the model file; None where it knows none.
        compiled: its compile step, None without one.
        model: with weights, of which only the statistics of Normalization layers are taken over: they are measured, not
            trained. None for a config.
    """

    option: str
    source: str
    graph: Graph
    classes: tuple[str, ...] | None = None
    preprocessing: dict[str, Any] | None = None
    compiled: TrainingConfig | None = None
    model: Model | None = None

    @property
    def shape(self) -> tuple[int | None, ...] | None:
        """Of the one input; None for several."""
        return self.graph.input_shapes[0] if len(self.graph.inputs) == 1 else None


def read_pattern(settings: BuildSettings) -> Pattern | None:
    """The pattern that the settings name, or None. Raises ModelFileError when its file cannot be read."""
    if settings.from_config is None and settings.like is None:
        return None
    if settings.from_config is not None:
        graph, compiled = read_config_file(settings.from_config)
        return Pattern("--from", settings.from_config, graph, compiled=compiled)
    saved = read(settings.like, with_state=False)
    return Pattern(
        "--like",
        settings.like,
        saved.model.graph,
        saved.classes,
        saved.preprocessing,
        saved.training_config,
        saved.model,
    )


def model_like(pattern: Pattern, seed: int) -> Model:
    """The pattern's network with fresh weights."""
    model = Model.build(pattern.graph, seed)
    for name, layer in pattern.graph.layers.items() if pattern.model is not None else ():
        if isinstance(layer, Normalization):
            for view, measured in zip(model.weights.views[name], pattern.model.weights.views[name], strict=True):
                view[...] = measured
    return model
