"""``dltool build``: layer words, a ready architecture or another file's network, and data if given -> a model file.

What the user does not say comes from the data (shape, classes, kind of labels) and from the head (loss, metrics).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dltool.architectures.catalog import architecture, options_of
from dltool.architectures.literals import spec
from dltool.architectures.words import from_words
from dltool.data.capacity import available_bytes
from dltool.data.opening import OpenedData, open_data
from dltool.data.windows import remembered_cut
from dltool.engine.graph import Graph, Node, describe
from dltool.engine.layers import Reshape
from dltool.engine.layers.recurrence import Recurrent
from dltool.engine.losses import LOSSES, Loss, loss
from dltool.engine.metrics import METRICS, metric
from dltool.engine.model import Model
from dltool.engine.optimizers import OPTIMIZERS, Optimizer, optimizer
from dltool.errors import UnknownNameError, UsageError
from dltool.modelfile.atomic import check_space
from dltool.modelfile.saved import SavedModel, TrainingConfig
from dltool.modelfile.writing import check_model_target, write
from dltool.settings import BuildSettings, DataSettings
from dltool.training.advice import Facts, most_important
from dltool.training.labels import Head, default_loss, heads
from dltool.training.objective import common_metrics
from dltool.wording import counted
from dltool.workflows.build_pattern import Pattern, model_like, read_pattern
from dltool.workflows.data_kinds import INPUT, STRINGS, check_opened_tokens, cut_of, wanted_of
from dltool.workflows.known import Known, known_from, known_of_pattern, reading_of
from dltool.workflows.model_data import check_output_names, loss_of


@dataclass(frozen=True)
class BuildResult:
    """Attributes:
    saved: the model as it was (or would be) written.
    line: one line about it: ``"23,844 parameters, 28x28x1 -> 10, adam, lr 0.001, ..."``.
    hints: remarks that help.
    """

    saved: SavedModel
    line: str
    hints: tuple[str, ...] = ()


def run(settings: BuildSettings) -> BuildResult:
    """Build and, unless ``settings.model`` is None, write the model.

    Raises:
        UsageError: words, shapes or names do not fit. DataError: the data cannot be read.
        OutputError: the file exists (without ``force``) or cannot be written.
    """
    if settings.model is not None:
        check_model_target(settings.model, overwrite=settings.force)
    pattern = read_pattern(settings)
    opened = None
    if settings.data is not None and settings.data.data:
        wants = wanted_of(settings.data, settings.arch, settings.loss)
        opened = open_dataset(settings.data, 0, wants) if pattern is None else _open_like(settings.data, pattern, wants)
    result = build_model(settings, opened, pattern)
    if settings.model is not None:
        write(result.saved, settings.model, overwrite=settings.force)
    return result


def open_dataset(data: DataSettings, seed: int = 0, wants: str | None = None) -> OpenedData:
    """The data of settings, opened.

    Args:
        seed: of the draw that a limit makes. wants: see ``Request``.
    """
    return open_data(
        data.data,
        labels=data.labels,
        image_size=data.image_size,
        color=data.color,
        resize=data.resize,
        class_names=data.class_names,
        limit=data.limit,
        allow_empty=data.allow_empty,
        skip_bad=data.skip_bad,
        multi_label=data.multi_label,
        groups=data.group,
        wants=wants,
        cut=cut_of(data),
        seed=seed,
    )


def _open_like(data: DataSettings, pattern: Pattern, wants: str | None) -> OpenedData:
    """The data as the pattern's one input takes them."""
    graph = pattern.graph
    if len(graph.inputs) > 1 or len(graph.outputs) > 1:
        raise UsageError(
            f"--data: {pattern.source} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; "
            "only one of each can be fed"
        )
    reading, cut = reading_of(data, pattern.shape, pattern.preprocessing), remembered_cut(pattern.preprocessing)
    if cut is not None and data.window is None:
        data = replace(data, window=cut.window, horizon=cut.horizon, target_column=cut.columns)
    if reading is not None and "height" in reading:
        size = (reading["height"], reading["width"])
        data = replace(data, image_size=size, color=reading["color"], resize=reading["resize"])
    return open_dataset(data, 0, wants).adapt_to(pattern.shape)


def build_model(
    settings: BuildSettings, opened: OpenedData | None = None, pattern: Pattern | None = None
) -> BuildResult:
    """The model in memory, for data that are open already (``fit --arch`` comes here).

    Args:
        opened: what ``open_data`` gave, or None without data.
        pattern: the network to take, or None for words and architectures.
    """
    known = known_from(settings, opened) if pattern is None else known_of_pattern(settings, opened, pattern)
    if known.preprocessing is not None and known.preprocessing.get("target") == INPUT and not settings.metrics:
        settings = replace(settings, metrics=("mean_squared_error",))
    graph = _graph(settings, known) if pattern is None else pattern.graph
    if opened is not None:
        check_opened_tokens(opened, graph)
    _check_outputs(graph, settings, known)
    _check_memory(graph)
    if settings.model is not None:
        check_space(settings.model, 4 * graph.num_parameters)
    config = compile_step(graph, settings, known.labels, pattern.compiled if pattern is not None else None)
    model = Model.build(graph, settings.seed) if pattern is None else model_like(pattern, settings.seed)
    saved = SavedModel(model, known.classes, known.preprocessing, config)
    return BuildResult(saved, describe_line(graph, config), (*known.hints, *_advice(settings, graph, config)))


def _advice(settings: BuildSettings, graph: Graph, config: TrainingConfig) -> tuple[str, ...]:
    """The most important remark on the layers and the compile step, if any; a ready architecture is as it is."""
    rule = config.optimizer
    facts = Facts(graph if settings.arch is None else None, config.losses, rule.name, rule.learning_rate)
    found = most_important(facts)
    return (found.words,) if found is not None else ()


def _check_memory(graph: Graph) -> None:
    """Refuse what could not even be held; a zero too many in a word asks for terabytes."""
    needed, there = 8 * graph.num_parameters, available_bytes()  # weights and gradients
    if needed > there:
        raise UsageError(
            f"build: {graph.num_parameters:,} parameters need {needed / 1e9:,.0f} GB of memory and {there / 1e9:,.0f} "
            "are free; make the layers smaller"
        )


def _graph(settings: BuildSettings, known: Known) -> Graph:
    if settings.words:
        return from_words(settings.words, known.shape, known.rescale)
    if settings.arch is None:
        raise UsageError("build: no layers given; write layer words or --arch cnn")
    if known.shape is None:
        raise UsageError("--input: missing; give the shape of one sample, as --input 28x28x1, or --data")
    name, given = spec(settings.arch)
    is_autoencoder = name == "autoencoder"
    if known.num_outputs is None and not is_autoencoder:
        raise UsageError("--classes: missing; give the number of classes, or --data")
    graph = architecture(
        settings.arch,
        known.shape,
        known.num_outputs or 0,
        known.activation,
        known.rescale,
        _decided(name, known, given),
    )
    if known.target_shape is None or is_autoencoder:
        return graph
    shaped = Node(Reshape(known.target_shape, name="targets"), graph.outputs)
    return Graph((*graph.nodes, shaped), (len(graph.nodes),), graph.name)


def _decided(name: str, known: Known, given: dict[str, Any]) -> dict[str, Any]:
    """The options that the data decide and nobody gave. Raises UsageError where the architecture cannot follow."""
    known_options = options_of(name)
    if "every_step" in known.found and "every_step" not in known_options and name != "crnn":
        raise UsageError(f"--arch {name}: gives one answer per row, but the labels have one per step; use lstm or gru")
    return {key: value for key, value in known.found.items() if key in known_options and key not in given}


def _check_outputs(graph: Graph, settings: BuildSettings, known: Known) -> None:
    """The last layer must have a unit per class (or one sigmoid unit for two classes)."""
    if known.num_outputs is None or len(graph.outputs) != 1:
        return
    head = heads(graph)[0]
    if known.target_shape is not None and tuple(head.shape) == known.target_shape:
        return
    is_binary = head.size == 1 and head.num_classes == known.num_outputs
    if known.target_shape is None and (head.size == known.num_outputs or is_binary):
        return
    where = "--data" if known.labels is not None else "--classes"
    what = "classes" if known.classes is not None or known.labels is None else "numbers per row"
    units = counted(head.size, "output")
    advice = f"end with dense:{known.num_outputs},{known.activation}"
    if known.target_shape is not None:
        advice += f" reshape:{describe(known.target_shape)}"
    if settings.from_config is not None or settings.like is not None:
        advice = "its network is taken as it is, 'dltool finetune' gives a trained one another head"
    raise UsageError(f"{where}: {known.num_outputs} {what}, but layer {head.name!r} gives {units}; {advice}")


def compile_step(
    graph: Graph, settings: BuildSettings, labels: np.ndarray | None, old: TrainingConfig | None = None
) -> TrainingConfig:
    """Loss, metrics and optimizer: as said, else of ``old``, else what the head suggests, and adam.

    Raises:
        UsageError: a name or value is wrong, or ``old`` has a loss that is not known and none is given.
    """
    check_output_names("--loss", settings.loss, graph)
    rules = _losses(graph, settings, labels, old)
    metrics = tuple(map(chosen_metric, settings.metrics)) or (old.metrics if old is not None else ())
    rule = old.optimizer if old is not None and settings.optimizer is None else None
    if rule is None:
        rule = chosen_optimizer(settings.optimizer or usual_optimizer(graph), settings.learning_rate)
    elif settings.learning_rate is not None:
        rule = replace(rule, learning_rate=settings.learning_rate)
    return TrainingConfig(
        losses=rules,
        loss_names=tuple(LOSSES.canonical(rule.keras_class) for rule in rules),
        loss_weights=(1.0,) * len(rules) if settings.loss is not None or old is None else old.loss_weights,
        metrics=metrics or common_metrics(heads(graph), rules),
        optimizer=rule,
    )


def _losses(
    graph: Graph, settings: BuildSettings, labels: np.ndarray | None, old: TrainingConfig | None
) -> tuple[Loss, ...]:
    if settings.loss is None and old is not None and any(old.loss_names):
        if None not in old.losses:
            return old.losses
        unknown = ", ".join(name for name, rule in zip(old.loss_names, old.losses, strict=True) if rule is None)
        raise UsageError(f"--loss: the model was compiled with {unknown}, which is not known; give --loss NAME")
    if wanted_of(settings.data or DataSettings(), settings.arch, settings.loss) == STRINGS:
        return (chosen_loss(settings.loss or "ctc"),)
    return tuple(_loss(settings.loss, head, labels) for head in heads(graph))


def chosen_metric(text: str) -> str | dict[str, Any]:
    """``"accuracy"``, or ``"fbeta_score:beta=2"`` -> the Keras config of the metric. Raises UsageError."""
    with _naming("--metric"):
        found = _config(text, METRICS)
        metric(found)  # refuses unknown options now
        return found


def _loss(text: str | tuple[str, ...] | None, head: Head, labels: np.ndarray | None) -> Loss:
    text = loss_of(text, head.name)
    if text is not None and text.partition(":")[0] == "focal" and head.activation == "sigmoid":
        text = text.replace("focal", "binary_focal_crossentropy", 1)
    return loss(default_loss(head, labels)) if text is None else chosen_loss(text)


def chosen_loss(text: str) -> Loss:
    """``"mse"`` or ``"categorical_crossentropy:label_smoothing=0.1"`` -> the loss. Raises UsageError."""
    with _naming("--loss"):
        return loss(_config(text, LOSSES))


def chosen_optimizer(text: str | None, learning_rate: float | None) -> Optimizer:
    """``"sgd:momentum=0.9"`` and ``--lr`` -> the optimizer; adam when nothing is said."""
    with _naming("--optimizer"):
        rule = optimizer(_config(text or "adam", OPTIMIZERS))
    return rule if learning_rate is None else replace(rule, learning_rate=learning_rate)


def usual_optimizer(graph: Graph) -> str:
    """adam; for recurrent networks rmsprop, with each weight's gradient kept to a norm of 1, because they can explode.

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.
    """
    layers = [getattr(layer, "layer", layer) for layer in graph.layers.values()]
    return "rmsprop:clipnorm=1.0" if any(isinstance(layer, Recurrent) for layer in layers) else "adam"


@contextmanager
def _naming(option: str) -> Iterator[None]:
    """Errors about a loss, metric or optimizer name the option that asked for it."""
    try:
        yield
    except UnknownNameError as error:
        raise error.at(option) from None
    except UsageError as error:
        kind = option.removeprefix("--")
        raise UsageError(f"{option}: {str(error).removeprefix(f'{kind} ')}") from None
    except (TypeError, ValueError) as error:  # a value of a type that the rule cannot compare, as none for a number
        raise UsageError(f"{option}: a value cannot be used ({error}); give a number") from None


def _config(text: str, registry: Any) -> Any:
    """What a registry's maker takes: a name, or Keras's class name with a config."""
    name, options = spec(text)
    if not options:
        return registry.canonical(name)
    return {"class_name": registry.get(name).keras_class, "config": options}


def describe_line(graph: Graph, config: TrainingConfig) -> str:
    """``23,844 parameters, 28x28x1 -> 10, adam, lr 0.001, sparse_categorical_crossentropy``."""
    sides = [" and ".join(describe(shape) for shape in shapes) for shapes in (graph.input_shapes, graph.output_shapes)]
    words = [f"{graph.num_parameters:,} parameters", " -> ".join(sides)]
    if config.optimizer is not None:
        words += [config.optimizer.name, f"lr {config.optimizer.learning_rate:g}"]
    return ", ".join([*words, *dict.fromkeys(config.loss_names)])
