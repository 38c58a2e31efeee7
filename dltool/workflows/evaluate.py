"""``dltool evaluate``: loss, metrics with intervals, per-class scores and the confusion matrix on labelled data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dltool.data.dataset import Dataset
from dltool.data.loader import Loader
from dltool.data.opening import OpenedData
from dltool.engine.batch import Batch
from dltool.engine.metrics import METRICS
from dltool.errors import DataError, UsageError
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.registry import nearest
from dltool.settings import EvaluateSettings
from dltool.training.comparing import mcnemar, paired_means
from dltool.training.loop import evaluate
from dltool.training.measures import Measure
from dltool.training.objective import Objective, class_indices, make_objective
from dltool.training.strings import StringTally
from dltool.training.tallies import LOWER_IS_BETTER, ClassTally, LabelTally, ValueTally
from dltool.training.waiting import Waiting
from dltool.workflows.data_kinds import as_reconstruction, reconstructs
from dltool.workflows.evaluation import Comparison, Confused, EvaluateResult, Gate, LossRow, OutputReport
from dltool.workflows.model_data import open_for_model
from dltool.workflows.plugin_record import differences
from dltool.workflows.scoring import Progress, Reading, open_executor, readings
from dltool.workflows.texts import StringReading, text_reading

Tally = ClassTally | LabelTally | ValueTally | StringTally
MOST_PAIRS = 5
"""So many kinds of mistakes are reported."""


@dataclass
class Task:
    """A model with its data, opened and checked.

    Attributes:
        readings, tallies: one per output; a tally is None where only the file's own metrics apply.
        directions: every metric that will be measured -> whether more of it is better.
        row_losses: (n,) the loss of each row, regularisation not counted.
    """

    path: str
    saved: SavedModel
    opened: OpenedData
    dataset: Dataset
    objective: Objective
    readings: tuple[Reading, ...]
    tallies: tuple[Tally | None, ...]
    directions: dict[str, bool]
    gates: tuple[tuple[str, float], ...]
    row_losses: np.ndarray
    notes: tuple[str, ...]


def run(settings: EvaluateSettings, progress: Progress | None = None) -> EvaluateResult:
    """Measure a model.

    Data with parts (``train/``, ``test/`` ...) are measured on ``test/``, else on ``valid/``.

    Raises:
        ModelFileError, DataError, UsageError: before the first batch, for everything that can be checked.
    """
    return measure(prepare(settings.model, settings), settings, progress)


def run_in_memory(saved: SavedModel, settings: EvaluateSettings) -> EvaluateResult:
    """The same for a model in memory; ``settings.model`` is what messages call it."""
    opened = open_for_model(settings.data, saved)
    return measure(make_task(settings.model, saved, opened, settings), settings, None)


def compare(settings: EvaluateSettings, progress: Progress | None = None) -> Comparison:
    """Measure ``settings.model`` and ``settings.other`` on the same rows, and say whether one is better.

    Raises:
        UsageError: one tells classes and the other gives numbers. DataError: they would see different rows.
    """
    first, second = (prepare(path, settings) for path in (settings.model, settings.other))
    check_pair(first, second)
    results = []
    for part, task in enumerate((first, second)):
        shifted = progress and (lambda done, total, part=part: progress(part * total + done, 2 * total))
        results.append(measure(task, settings, shifted))
    a, b = first.tallies[0], second.tallies[0]
    if isinstance(a, ValueTally):
        return Comparison(*results, paired_means(a.row_errors, b.row_errors))
    return Comparison(*results, mcnemar(a.rows_right, b.rows_right))


def prepare(path: str, settings: EvaluateSettings) -> Task:
    """Open and check everything that one model's evaluation needs."""
    saved = read(path, with_state=False)
    return make_task(path, saved, open_for_model(settings.data, saved), settings)


def make_task(path: str, saved: SavedModel, opened: OpenedData, settings: EvaluateSettings) -> Task:
    """Check the labels and the limits, and make room for what will be counted."""
    dataset, notes = part_to_measure(opened)
    own_targets = reconstructs(settings.data, saved)
    if own_targets:
        dataset = as_reconstruction(dataset, saved.model)
    labels = dataset.targets
    objective = objective_for(saved, dataset, opened.label_sources, has_usual=not own_targets)
    known = replace(saved, classes=opened.classes or saved.classes)
    found, texts = readings(known), text_reading(known, settings.beam)
    if own_targets:
        tallies: tuple[Tally | None, ...] = (ValueTally(len(dataset), math.prod(dataset.shape)),)
    elif isinstance(texts, StringReading):
        found, tallies = (texts,), (StringTally(texts.names),)
    else:
        tallies = tuple(tally_for(reading, array, settings) for reading, array in zip(found, labels, strict=True))
    directions = metric_directions(objective, tallies)
    gates = tuple((known_metric(name, directions), limit) for name, limit in settings.fail_under)
    losses = np.zeros(len(dataset))
    all_notes = (*saved.remarks, *differences(saved.recipe, settings.plugins), *opened.notes, *notes)
    return Task(path, saved, opened, dataset, objective, found, tallies, directions, gates, losses, all_notes)


def part_to_measure(opened: OpenedData) -> tuple[Dataset, tuple[str, ...]]:
    """The test part where there is one, else the validation part, else everything."""
    if opened.test is not None:
        return opened.test, ("measured on the test/ part",)
    if opened.valid is not None:
        return opened.valid, ("measured on the validation part",)
    return opened.train, ()


def objective_for(saved: SavedModel, dataset: Dataset, sources: tuple[str, ...], has_usual: bool = True) -> Objective:
    """The file's loss, and the usual metrics of each output (``has_usual``) followed by the file's.

    A loss that dltool does not know is replaced by the usual one.
    """
    config = saved.training_config
    given: dict = {"sources": sources}
    given |= {} if config is None else {"losses": config.losses, "loss_weights": config.loss_weights}
    usual = make_objective(saved.model, dataset.targets, metrics=None if has_usual else (), **given)
    own = make_objective(saved.model, dataset.targets, metrics=() if config is None else config.metrics, **given)
    metrics = []
    for first, further in zip(usual.metrics, own.metrics, strict=True):
        known = {metric.name for metric in first}
        metrics.append((*first, *(metric for metric in further if metric.name not in known)))
    return replace(usual, metrics=tuple(metrics))


def tally_for(reading: Reading, labels: np.ndarray, settings: EvaluateSettings) -> Tally | None:
    """What to count for an output: classes, independent labels, numbers, or nothing of our own."""
    head, n = reading.head, len(labels)
    if reading.names is None:
        plain = head.num_classes is None and None not in head.shape
        return ValueTally(n, int(np.prod(head.shape))) if plain else None
    num_classes = len(reading.names)
    if labels.ndim == 2 and labels.shape[1] == head.size > 1 and head.activation != "softmax":
        return LabelTally(n, num_classes, settings.beta)
    top = settings.top
    if top is None:
        top = 5 if num_classes > 10 else 2 if num_classes > 2 else 0
    return ClassTally(n, num_classes, min(top, num_classes) if top > 1 else 0, settings.beta)


def metric_directions(objective: Objective, tallies: tuple[Tally | None, ...]) -> dict[str, bool]:
    """Every name that will be in the result -> whether more is better."""
    found = {"loss": False, **dict(zip(objective.metric_names, objective.higher_is_better, strict=True))}
    for head, tally in zip(objective.heads, tallies, strict=True):
        prefix = f"{head.name}_" if len(tallies) > 1 else ""
        found |= {prefix + name: name not in LOWER_IS_BETTER for name in (tally.names if tally is not None else ())}
        if isinstance(tally, LabelTally):
            found.pop(f"{prefix}accuracy", None)
    return found


def known_metric(name: str, directions: dict[str, bool]) -> str:
    """The full name of a metric that will be measured. Raises UsageError with the nearest one."""
    plain = name.replace("-", "_")
    if plain not in directions and plain in METRICS:
        plain = METRICS.canonical(plain)
    if plain not in directions:
        close = nearest(plain, list(directions))
        advice = f"did you mean {close!r}?" if close else f"measured are {', '.join(directions)}"
        raise UsageError(f"--fail-under: {name!r} is not measured; {advice}")
    return plain


def check_pair(first: Task, second: Task) -> None:
    """Raises UsageError or DataError unless the two models can be compared row by row."""
    kinds = [[tally.kind if tally is not None else "" for tally in task.tallies] for task in (first, second)]
    if kinds[0] != kinds[1] or len(kinds[0]) > 1 or kinds[0] == [""]:
        raise UsageError(
            f"{second.path}: cannot be compared with {first.path}; both must have one output of the same kind"
        )
    rows = np.arange(len(first.dataset))
    if len(second.dataset) != len(rows) or first.dataset.names(rows) != second.dataset.names(rows):
        raise DataError(f"{second.path}: would see other rows than {first.path}; give the same --class-names to both")


def measure(task: Task, settings: EvaluateSettings, progress: Progress | None) -> EvaluateResult:
    """Run all rows through the model and sum up."""
    watchers = [_counting(task)]
    if progress is not None:
        watchers.append(_reporting(progress, len(task.dataset)))
    size, waiting = min(settings.batch_size, len(task.dataset)), Waiting()
    with (
        open_executor(task.saved, task.opened.input_shape, len(task.dataset), settings) as executor,
        Loader(task.dataset, size, shuffle=False) as loader,
    ):
        logs = evaluate(executor, loader, task.objective, watchers, waiting=waiting)
    reports = tuple(_report(task, index, logs) for index in range(len(task.tallies)))
    unit = "images" if task.opened.kind == "images" else "rows"
    told = {"notes": task.notes, "waiting": waiting}
    result = EvaluateResult(task.path, len(task.dataset), unit, logs["loss"], reports, **told)
    found = {"loss": logs["loss"], **{name: m.value for name, m in result.metrics.items()}}
    gates = tuple(Gate(name, limit, found.get(name), task.directions[name]) for name, limit in task.gates)
    return replace(result, gates=gates, top_losses=_top_losses(task, settings.top_losses))


def _counting(task: Task) -> Callable[[Batch, tuple[np.ndarray, ...]], None]:
    """Hands each batch to the tallies and writes down the losses of its rows."""
    done = 0

    def count(batch: Batch, outputs: tuple[np.ndarray, ...]) -> None:
        nonlocal done
        rows = slice(done, done + len(batch))
        parts = zip(task.objective.losses, task.objective.loss_weights, batch.targets, outputs, strict=True)
        for rule, weight, target, output in parts:
            values = rule(target, output)[0]
            task.row_losses[rows] += weight * values.reshape(len(values), -1).mean(axis=1, dtype=np.float64)
        for tally, reading, target, output in zip(task.tallies, task.readings, batch.targets, outputs, strict=True):
            if isinstance(tally, StringTally):
                tally.add(target, reading.symbols(output))
            elif isinstance(tally, ClassTally):
                probs = reading(output)
                tally.add(class_indices(target), probs, reading.decide(probs))
            elif tally is not None:
                tally.add(target.reshape(len(target), -1), reading(output).reshape(len(target), -1))
        done = rows.stop

    return count


def _reporting(progress: Progress, total: int) -> Callable[[Batch, tuple[np.ndarray, ...]], None]:
    done = 0

    def report(batch: Batch, outputs: tuple[np.ndarray, ...]) -> None:
        nonlocal done
        done += len(batch)
        progress(done, total)

    return report


def _report(task: Task, index: int, logs: dict[str, float]) -> OutputReport:
    """One output's metrics: our own with their intervals, then the file's."""
    tally, names, head = task.tallies[index], task.readings[index].names, task.objective.heads[index]
    prefix = f"{head.name}_" if len(task.tallies) > 1 else ""
    own = tally.metrics() if tally is not None else {}
    logged = {f"{prefix}{metric.name}": metric.name for metric in task.objective.metrics[index]}
    for full, name in logged.items():
        if full in task.directions:
            own.setdefault(name, Measure(logs[full]))
    if isinstance(tally, LabelTally):
        return OutputReport(head.name, tally.kind, own, names, tally.scores(names), beta=tally.beta)
    if not isinstance(tally, ClassTally):
        return OutputReport(head.name, tally.kind if tally is not None else "", own)
    return OutputReport(
        name=head.name,
        kind=tally.kind,
        metrics=own,
        classes=names,
        scores=tally.confusion.scores(names, tally.beta),
        confusion=tally.confusion.counts,
        majority=tally.confusion.majority,
        confused=_confused(tally, names, task.dataset),
        beta=tally.beta,
    )


def _confused(tally: ClassTally, names: tuple[str, ...], dataset: Dataset) -> tuple[Confused, ...]:
    """The most frequent mistakes, each with its first rows by name."""
    counts = tally.confusion.counts
    pairs = sorted(tally.examples, key=lambda pair: (-counts[pair], pair))[:MOST_PAIRS]
    return tuple(
        Confused(names[t], names[p], int(counts[t, p]), tuple(dataset.names(tally.examples[t, p]))) for t, p in pairs
    )


def _top_losses(task: Task, count: int) -> tuple[LossRow, ...]:
    """The rows with the largest losses, NaN first."""
    worst = np.argsort(-np.nan_to_num(task.row_losses, nan=np.inf, posinf=np.inf), kind="stable")[:count]
    paths = task.dataset.names(worst)
    tally, names = task.tallies[0], task.readings[0].names
    rows = []
    for row, path in zip(worst.tolist(), paths, strict=True):
        loss = float(task.row_losses[row])
        if isinstance(tally, ClassTally):
            words = names[tally.true[row]], names[tally.predicted[row]], float(tally.confidence[row])
        elif isinstance(tally, LabelTally):
            words = tuple("+".join(np.array(names)[part[row]]) or "-" for part in (tally.truth, tally.predicted))
        elif tally is not None:
            words = tally.row(row)
        else:
            words = "", ""
        rows.append(LossRow(path, loss, *words))
    return tuple(rows)
