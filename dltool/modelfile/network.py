"""A ``model_config`` of any generation of Keras -> the canonical form, and what is known of its layers on the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from dltool.engine.graph import Graph
from dltool.engine.layers import BatchNormalization
from dltool.modelfile.dialects import keras1, keras2, keras3
from dltool.modelfile.dialects.channels_first import with_channels_last
from dltool.modelfile.graph_json import graph_from_json
from dltool.modelfile.training_config import major


@dataclass(frozen=True)
class Network:
    """A ``model_config`` in the canonical form.

    Attributes:
        canonical: see ``graph_json``.
        groups: see ``keras2.Groups``.
        entries: the layer entries in Keras 2's spelling, by flattened name.
        plain: the whole config in Keras 2's spelling.
        version: the major version of Keras that wrote it.
    """

    canonical: dict[str, Any]
    groups: keras2.Groups
    entries: dict[str, dict[str, Any]]
    plain: dict[str, Any]
    version: int

    def graph(self) -> Graph:
        """The engine's graph. Raises ModelFileError for a config that a layer refuses."""
        return with_known_statistics(graph_from_json(self.canonical))


def upgrade(config: Any, version: str) -> Network:
    """The canonical form of a ``model_config`` that the given version of Keras wrote ("" when the file does not say).

    Raises:
        ModelFileError: not a model, an unknown class or option, a loop, a dangling reference.
    """
    generation = generation_of(config, version)
    plain = keras1.upgrade(config) if generation < 2 else keras3.upgrade(config)
    wiring, groups = keras2.upgrade(plain, generation)
    canonical = with_channels_last(wiring.canonical(), wiring.channels_first)
    return Network(canonical, groups, wiring.entries, plain, generation)


def generation_of(config: Any, version: str) -> int:
    """1, 2 or 3. Keras 1 and programs that imitate Keras may not say; then the words of the config tell."""
    if version:
        return major(version)
    return 1 if keras1.is_keras1(config) else 2


def with_known_statistics(graph: Graph) -> Graph:
    """Keras 2's batch normalisation moves with the unbiased variance on images only (its fused kernel)."""
    changed = {}
    for node in graph.nodes:
        if isinstance(node.layer, BatchNormalization) and node.layer.unbiased_moving_variance:
            shape = graph.input_shape_of(node)
            if len(shape) != 3 or node.layer.channel_axis(4) != 3:
                changed[node.name] = replace(node.layer, unbiased_moving_variance=False)
    return graph.with_layers(changed) if changed else graph
