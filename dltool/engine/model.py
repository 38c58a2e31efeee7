"""A model is a graph and its parameters."""

from dataclasses import dataclass

from dltool.engine.graph import Graph
from dltool.engine.weights import ParameterStore


@dataclass(frozen=True)
class Model:
    """What every command works on: ``graph`` says how, ``weights`` holds the numbers."""

    graph: Graph
    weights: ParameterStore

    @classmethod
    def build(cls, graph: Graph, seed: int = 0) -> "Model":
        """A freshly initialised model; the same seed gives the same numbers."""
        weights = ParameterStore(graph)
        weights.initialize(seed)
        return cls(graph, weights)

    def with_graph(self, graph: Graph) -> "Model":
        """The same numbers under a graph with the same weights (after freezing layers, for example)."""
        return Model(graph, self.weights)
