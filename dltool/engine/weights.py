"""All parameters of a model in one float32 vector, with named views and a gradient vector beside it.

Order: trainable-kind weights in graph order, then statistics (moving means) in graph order. Weights are written in
place and never rebound, because lanes share the memory. What trains is a list of spans, so freezing moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from dltool.engine.graph import Graph
from dltool.engine.layers.base import WeightSpec
from dltool.engine.memory import shared_zeros
from dltool.engine.streams import generator


@dataclass(frozen=True)
class Slot:
    """Where one weight lies: ``vector[start:stop]`` reshaped."""

    layer: str
    index: int
    spec: WeightSpec
    start: int
    stop: int


@dataclass(frozen=True)
class Span:
    """A stretch of the vector that the optimizer steps: one weight of a layer that is not frozen.

    ``rate`` multiplies the learning rate; ``decays`` says whether weight decay applies.
    """

    start: int
    stop: int
    rate: float = 1.0
    decays: bool = True


class ParameterStore:
    """The weights of a graph.

    Attributes:
        vector: (num_parameters,) float32, shared memory.
        gradient: (num_trainable,) float32, shared memory; entry i belongs to ``vector[i]``.
        slots: one Slot per weight, in vector order.
        views: layer name -> its weights, in Keras's order, as views of ``vector``.
        gradients: layer name -> views of ``gradient`` (None for statistics), aligned with ``views``.
    """

    def __init__(self, graph: Graph):
        specs = [(name, i, spec) for name, found in graph.specs.items() for i, spec in enumerate(found)]
        specs.sort(key=lambda entry: not entry[2].trainable)
        self.slots: list[Slot] = []
        position = 0
        for name, index, spec in specs:
            self.slots.append(Slot(name, index, spec, position, position + spec.size))
            position += spec.size
        self.num_parameters = position
        self.num_trainable = sum(s.spec.size for s in self.slots if s.spec.trainable)
        self.vector = shared_zeros(position)
        self.gradient = shared_zeros(self.num_trainable)
        self.views: dict[str, tuple[np.ndarray, ...]] = {}
        self.gradients: dict[str, tuple[np.ndarray | None, ...]] = {}
        places = {(s.layer, s.index): s for s in self.slots}
        for name, found in graph.specs.items():
            order = [places[name, i] for i in range(len(found))]
            self.views[name] = tuple(self.vector[s.start : s.stop].reshape(s.spec.shape) for s in order)
            self.gradients[name] = tuple(
                self.gradient[s.start : s.stop].reshape(s.spec.shape) if s.spec.trainable else None for s in order
            )

    def initialize(self, seed: int) -> None:
        """Fill every weight from its initializer; a weight's numbers depend on the seed and its place only."""
        for position, slot in enumerate(self.slots):
            values = slot.spec.initializer(slot.spec.shape, generator(seed, "weights", position))
            self.views[slot.layer][slot.index][...] = values

    def spans(self, graph: Graph, rates: Mapping[str, float] | None = None) -> list[Span]:
        """What the optimizer steps: the weights of all layers that are not frozen, with their rate multipliers."""
        rates = rates or {}
        return [
            Span(s.start, s.stop, rates.get(s.layer, 1.0), decays=len(s.spec.shape) > 0)
            for s in self.slots
            if s.spec.trainable and graph.layers[s.layer].trainable
        ]


def apply_constraints(store: ParameterStore, spans: Iterable[Span]) -> None:
    """Put every trained weight that has a constraint back inside it; after each optimizer step."""
    for constrain in constraint_calls(store, spans):
        constrain()


def constraint_calls(store: ParameterStore, spans: Iterable[Span]) -> list[Callable[[], None]]:
    """One call per trained weight with a constraint."""
    trained = {span.start for span in spans}
    return [
        partial(slot.spec.constraint, store.views[slot.layer][slot.index])
        for slot in store.slots
        if slot.spec.constraint is not None and slot.start in trained
    ]
