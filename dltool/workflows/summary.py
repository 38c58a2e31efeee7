"""``dltool summary``: what a model file holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dltool.engine.graph import Graph, Node, describe
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel, TrainingConfig
from dltool.settings import SummarySettings


@dataclass(frozen=True)
class Row:
    """One layer in the table. ``inputs`` are named only where they are not simply the row before."""

    name: str
    kind: str
    shape: str
    parameters: int
    inputs: tuple[str, ...] = ()
    frozen: bool = False
    shared: bool = False


@dataclass(frozen=True)
class SummaryResult:
    """Attributes:
    rows: the layers in graph order.
    trainable, frozen, statistics: numbers of parameters; statistics are moving means and the like.
    facts: further lines as (word, text), in the order to show: input, classes, loss, history.
    """

    rows: tuple[Row, ...]
    trainable: int
    frozen: int
    statistics: int
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def parameters(self) -> int:
        return self.trainable + self.frozen + self.statistics


def run(settings: SummarySettings) -> SummaryResult:
    """Read a model file and describe it. Raises ModelFileError."""
    return describe_model(read(settings.model))


def describe_model(saved: SavedModel) -> SummaryResult:
    """The same for a model in memory."""
    graph = saved.model.graph
    counts = {"trainable": 0, "frozen": 0, "statistics": 0}
    for name, specs in graph.specs.items():
        for spec in specs:
            kind = "statistics" if not spec.trainable else "trainable" if graph.layers[name].trainable else "frozen"
            counts[kind] += spec.size
    return SummaryResult(rows=tuple(_rows(graph)), facts=tuple(_facts(saved)), **counts)


def _rows(graph: Graph) -> list[Row]:
    seen: set[str] = set()
    rows = []
    for index, node in enumerate(graph.nodes):
        shared = node.name in seen
        seen.add(node.name)
        parameters = 0 if shared else sum(spec.size for spec in graph.specs[node.name])
        rows.append(
            Row(
                name=node.name,
                kind=type(node.layer).__name__,
                shape=describe(graph.shapes[index]),
                parameters=parameters,
                inputs=_named_inputs(graph, index, node),
                frozen=bool(parameters) and not node.layer.trainable,
                shared=shared,
            )
        )
    return rows


def _named_inputs(graph: Graph, index: int, node: Node) -> tuple[str, ...]:
    if node.inputs in ((), (index - 1,)):
        return ()
    return tuple(graph.nodes[i].name for i in node.inputs)


def _facts(saved: SavedModel) -> list[tuple[str, str]]:
    graph = saved.model.graph
    facts = [("input", _shapes(graph.input_names, graph.input_shapes) + _image_words(saved.preprocessing))]
    if saved.classes:
        facts.append(("classes", f"{len(saved.classes)}: {', '.join(saved.classes)}"))
    else:
        facts.append(("output", _shapes(graph.output_names, graph.output_shapes)))
    if saved.training_config is not None:
        facts.extend(_compile_facts(saved.training_config))
    if saved.recipe:
        facts.append(("recipe", ", ".join(f"{key} {_plain(value)}" for key, value in _told(saved.recipe))))
    if saved.history:
        facts.append(("history", _history(saved.history)))
    if saved.keras_version:
        facts.append(("format", f"Keras {saved.keras_version}"))
    return facts


def _shapes(names: Sequence[str], shapes: Sequence[Any]) -> str:
    if len(shapes) == 1:
        return describe(shapes[0])
    return ", ".join(f"{name} {describe(shape)}" for name, shape in zip(names, shapes, strict=True))


def _image_words(preprocessing: dict[str, Any] | None) -> str:
    """``, rgb, stretch`` for images."""
    words = [str(preprocessing[key]) for key in ("color", "resize") if preprocessing and preprocessing.get(key)]
    return "".join(f", {word}" for word in words)


def _compile_facts(config: TrainingConfig) -> list[tuple[str, str]]:
    facts = []
    losses = [name for name in config.loss_names if name]
    if losses:
        facts.append(("loss", ", ".join(losses)))
    if config.optimizer is not None:
        facts.append(("optimizer", f"{config.optimizer.name}, lr {config.optimizer.learning_rate:g}"))
    elif config.optimizer_name:
        facts.append(("optimizer", f"{config.optimizer_name} (unknown to dltool)"))
    metrics = [m if isinstance(m, str) else str(m.get("class_name", m)) for m in config.metrics]
    if metrics or config.unknown_metrics:
        facts.append(
            ("metrics", ", ".join([*metrics, *(f"{name} (unknown to dltool)" for name in config.unknown_metrics)]))
        )
    return facts


def _told(recipe: dict[str, Any]) -> list[tuple[str, Any]]:
    """The entries that say something: plain values that are set."""
    return [(k, v) for k, v in recipe.items() if v not in (None, "", [], {}, ()) and not isinstance(v, dict)]


def _plain(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _history(history: list[dict[str, Any]]) -> str:
    last = ", ".join(f"{key} {value:.4g}" for key, value in history[-1].items() if isinstance(value, float))
    return f"{len(history)} epoch{'s' if len(history) > 1 else ''}; the last: {last}"
