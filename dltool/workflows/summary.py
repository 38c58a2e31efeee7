"""``dltool summary``: what a model file holds, what it costs, how it differs from another."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dltool.engine.graph import Graph, Node, describe
from dltool.engine.layers.base import Shape
from dltool.modelfile.keras_config import KERAS_VERSION, keras_differences, keras_model_config
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel, TrainingConfig
from dltool.settings import SummarySettings
from dltool.training.advice import Advice, Facts, advice
from dltool.wording import counted
from dltool.workflows.reports.costs import multiply_adds, output_bytes, total
from dltool.workflows.reports.differences import Differences, differences
from dltool.workflows.reports.timing import layer_milliseconds
from dltool.workflows.reports.weights import WeightRow, chosen_weights, describe_weight

SCHEMA = "dltool.summary/1"


@dataclass(frozen=True)
class Row:
    """One layer in the table. ``inputs`` are named only where they are not simply the row before.

    Attributes:
        sizes: of the output, None where open; ``shape`` is the same as text.
        multiply_adds, activation_bytes: for one sample; None when not known.
        milliseconds: for one batch, None when not measured or fused into the layer before.
    """

    name: str
    kind: str
    shape: str
    parameters: int
    inputs: tuple[str, ...] = ()
    frozen: bool = False
    shared: bool = False
    sizes: Shape = ()
    multiply_adds: int | None = None
    activation_bytes: int | None = None
    milliseconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        found = {
            "name": self.name,
            "class": self.kind,
            "output_shape": list(self.sizes),
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "activation_bytes": self.activation_bytes,
            "frozen": self.frozen,
            "shared": self.shared,
        }
        found |= {"inputs": list(self.inputs)} if self.inputs else {}
        return found if self.milliseconds is None else {**found, "milliseconds": self.milliseconds}


@dataclass(frozen=True)
class SummaryResult:
    """Attributes:
    rows: the layers in graph order.
    trainable, frozen, statistics: numbers of parameters; statistics are moving means and the like.
    facts: further lines as (word, text), in the order to show: input, classes, loss, history.
    about: the same facts as JSON values.
    timed_rows: the batch that was timed; 0 when nothing was.
    """

    rows: tuple[Row, ...]
    trainable: int
    frozen: int
    statistics: int
    facts: tuple[tuple[str, str], ...] = ()
    about: dict[str, Any] = field(default_factory=dict)
    timed_rows: int = 0

    @property
    def parameters(self) -> int:
        return self.trainable + self.frozen + self.statistics

    @property
    def multiply_adds(self) -> int | None:
        """Of one sample; None when a layer's are not known."""
        return total(row.multiply_adds for row in self.rows)

    @property
    def activation_bytes(self) -> int | None:
        """Of all outputs of one sample, which training keeps."""
        return total(row.activation_bytes for row in self.rows)

    @property
    def milliseconds(self) -> float:
        return sum(row.milliseconds or 0.0 for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """The documented form of ``--json``."""
        found = {
            "schema": SCHEMA,
            "layers": [row.as_json() for row in self.rows],
            "parameters": {
                "total": self.parameters,
                "trainable": self.trainable,
                "frozen": self.frozen,
                "statistics": self.statistics,
            },
            "multiply_adds": self.multiply_adds,
            "activation_bytes": self.activation_bytes,
            **self.about,
        }
        if self.timed_rows:
            found["timing"] = {"rows": self.timed_rows, "milliseconds": self.milliseconds}
        return found


def run(settings: SummarySettings) -> SummaryResult:
    """Read a model file and describe it, with measured times when asked. Raises ModelFileError, UsageError."""
    saved = read(settings.model, with_state=False)
    result = describe_model(saved)
    if not settings.timing:
        return result
    times = layer_milliseconds(saved.model, settings.batch_size)
    rows = tuple(replace(row, milliseconds=times.get(index)) for index, row in enumerate(result.rows))
    return replace(result, rows=rows, timed_rows=settings.batch_size)


def weights(settings: SummarySettings) -> tuple[list[WeightRow], Any]:
    """The weights that ``settings.weights`` names, described, and their values when it is a single one."""
    found = chosen_weights(read(settings.model, with_state=False).model, settings.weights or "")
    rows = [describe_weight(name, values) for name, values in found.items()]
    return rows, next(iter(found.values())) if len(found) == 1 and settings.weights else None


def config(settings: SummarySettings) -> dict[str, Any]:
    """The network as Keras JSON, for ``model_from_json`` of Keras 3 and tf_keras and for ``dltool build --from``."""
    found = keras_model_config(read(settings.model, with_state=False).model.graph)
    # Keras 3 finds a class by its module, and knows Functional only under Model; tf_keras takes the same.
    name = {"Functional": "Model"}.get(found["class_name"], found["class_name"])
    return {"module": "keras", **found, "class_name": name, "registered_name": None, "keras_version": KERAS_VERSION}


def advise(settings: SummarySettings) -> list[Advice]:
    """What experienced people would remark on the network, its compile step and its training so far."""
    saved = read(settings.model, with_state=False)
    compiled = saved.training_config
    rule = None if compiled is None else compiled.optimizer
    facts = Facts(
        graph=saved.model.graph,
        losses=() if compiled is None else compiled.losses,
        optimizer="" if rule is None else rule.name,
        learning_rate=None if rule is None else rule.learning_rate,
        history=tuple(saved.history),
    )
    return advice(facts)


def diff(settings: SummarySettings) -> Differences:
    """What is different in ``settings.diff``."""
    first, second = (read(path, with_state=False) for path in (settings.model, settings.diff))
    return differences(first, second, (dict(_facts(first)), dict(_facts(second))))


def describe_model(saved: SavedModel) -> SummaryResult:
    """The same for a model in memory."""
    graph = saved.model.graph
    counts = {"trainable": 0, "frozen": 0, "statistics": 0}
    for name, specs in graph.specs.items():
        for spec in specs:
            kind = "statistics" if not spec.trainable else "trainable" if graph.layers[name].trainable else "frozen"
            counts[kind] += spec.size
    return SummaryResult(rows=tuple(_rows(graph)), facts=tuple(_facts(saved)), about=_about(saved), **counts)


def _rows(graph: Graph) -> list[Row]:
    seen: set[str] = set()
    rows = []
    for index, node in enumerate(graph.nodes):
        shared = node.name in seen
        seen.add(node.name)
        specs, shape = graph.specs[node.name], graph.shapes[index]
        parameters = 0 if shared else sum(spec.size for spec in specs)
        rows.append(
            Row(
                name=node.name,
                kind=type(node.layer).__name__,
                shape=describe(shape),
                parameters=parameters,
                inputs=_named_inputs(graph, index, node),
                frozen=bool(parameters) and not node.layer.trainable,
                shared=shared,
                sizes=shape,
                multiply_adds=multiply_adds(node.layer, specs, shape),
                activation_bytes=output_bytes(shape),
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
    facts += [("in Keras", text) for text in keras_differences(graph, saved.training_config)]
    facts += [("warning", text) for text in (*saved.remarks, *saved.doubts)]
    return facts


def _about(saved: SavedModel) -> dict[str, Any]:
    """What the file says beside the layers, as JSON values."""
    graph, compiled = saved.model.graph, saved.training_config
    found: dict[str, Any] = {
        "inputs": {n: list(s) for n, s in zip(graph.input_names, graph.input_shapes, strict=True)},
        "outputs": {n: list(s) for n, s in zip(graph.output_names, graph.output_shapes, strict=True)},
        "classes": None if saved.classes is None else list(saved.classes),
        "preprocessing": saved.preprocessing,
        "loss": [] if compiled is None else list(compiled.loss_names),
        "optimizer": None,
        "metrics": [],
        "recipe": saved.recipe,
        "history": _finite(saved.history),
        "keras_version": saved.keras_version,
        "in_keras": keras_differences(graph, compiled),
    }
    if compiled is not None:
        rule = compiled.optimizer
        found["metrics"] = [_metric_name(metric) for metric in compiled.metrics]
        name = rule.name if rule is not None else compiled.optimizer_name
        found["optimizer"] = {"name": name, "learning_rate": None if rule is None else rule.learning_rate}
    return found


def _finite(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """JSON has no NaN and no infinity: null there."""
    bad = (float("inf"), float("-inf"))
    return [{k: None if v in bad or v != v else v for k, v in epoch.items()} for epoch in history]


def _metric_name(metric: str | dict[str, Any]) -> str:
    return metric if isinstance(metric, str) else str(metric.get("class_name", metric))


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
    metrics = [_metric_name(metric) for metric in config.metrics]
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
    return f"{counted(len(history), 'epoch')}; the last: {last}"
