"""What ``fit`` says: the first lines, hints, and the plan of ``--dry-run``."""

from __future__ import annotations

from dataclasses import replace

from dltool.data.dataset import summary_counts
from dltool.engine.graph import Graph
from dltool.engine.kernels.base import NUM_SHARDS
from dltool.engine.optimizers import Optimizer
from dltool.engine.schedules import Schedule
from dltool.errors import UsageError
from dltool.settings import FitSettings
from dltool.training.advice import Facts, most_important
from dltool.training.time_limit import duration_text
from dltool.wording import counted
from dltool.workflows.build import describe_line
from dltool.workflows.fitting.start import UNBOUNDED, batch_rows, chosen_schedule, epoch_rows
from dltool.workflows.fitting.task import Task
from dltool.workflows.reports.costs import multiply_adds, total

LISTED = 48
"""Classes are listed with their counts when that takes so many characters at most."""

PROGRAM_BYTES = 60e6
"""Python, NumPy and the program itself."""


def understood(settings: FitSettings, task: Task) -> list[str]:
    """The first lines on the screen."""
    split = task.saved.split
    unit = "images" if task.opened.kind == "images" else "rows"
    text = f"data    {', '.join(settings.data.data)}: {len(task.opened.train):,} {unit}"
    counts = summary_counts(task.opened.train)
    if counts:
        text += f", {len(counts)} classes"
        listed = f" ({', '.join(f'{c.name} {c.count:,}' for c in counts)})"
        fewest, most = min(c.count for c in counts), max(c.count for c in counts)
        text += listed if len(listed) <= LISTED else f" of {fewest:,} to {most:,}"
    how = {"given": ", as given", "none": "", "the last steps": ", the last steps"}.get(
        split["kind"], f", {split['kind']}, seed {settings.seed}"
    )
    parts = f"{split['train']:,} train / {split['validation']:,} val" if split["validation"] else "no validation rows"
    lines = [text, f"split   {parts}{how}", model_line(settings, task)]
    return lines + [f"note    {note}" for note in task.notes]


def model_line(settings: FitSettings, task: Task) -> str:
    """``model   23,844 parameters (1,200 frozen), 28x28x1 -> 10, adam, lr 0.001, cosine``."""
    graph, config = task.saved.model.graph, task.saved.training_config
    words = describe_line(graph, replace(config, loss_names=())).split(", ")
    frozen = num_frozen(graph)
    if frozen:
        words[0] += f" ({frozen:,} frozen)"
    if settings.schedule != "constant":
        words.append(settings.schedule)
    if settings.warmup is not None:
        words.append(f"warm-up {settings.warmup}")
    if settings.label_smoothing is not None:
        words.append(f"label smoothing {settings.label_smoothing:g}")
    if settings.ema is not None:
        words.append(f"weights averaged ({settings.ema:g})")
    if settings.augment is not None:
        words.append(f"augment {settings.augment}")
    return f"model   {', '.join(words)}"


def num_frozen(graph: Graph) -> int:
    """Weights that would train if their layer were not frozen."""
    return sum(
        spec.size
        for name, specs in graph.specs.items()
        for spec in specs
        if spec.trainable and not graph.layers[name].trainable
    )


def hints(settings: FitSettings, task: Task) -> list[str]:
    """Remarks, the most important first: advice on what the user chose, then what preparing found."""
    counts = tuple(c.count for c in summary_counts(task.train) if c.count and task.train.labels.ndim == 1)
    facts = Facts(
        # A ready architecture is not the user's to change.
        graph=None if settings.arch is not None else task.saved.model.graph,
        losses=task.objective.losses,
        optimizer=task.optimizer.name,
        learning_rate=task.optimizer.learning_rate,
        class_counts=() if settings.class_weight is not None or settings.balance is not None else counts,
        history=tuple(task.saved.history),
        augments=settings.augment is not None,
    )
    found = most_important(facts)
    return [*([found.words] if found else []), *task.hints]


def plan(settings: FitSettings, task: Task, path: str) -> list[str]:
    """What would be done: the first lines, the steps, the memory, the files."""
    size = batch_rows(settings, task)
    steps = -(-epoch_rows(settings, task) // size)
    lines = [line for line in understood(settings, task) if not line.startswith("note")]
    lines.append(f"train   {length_text(settings, steps)} with {counted(size, 'row')}{steps_text(settings, steps)}")
    if settings.schedule != "constant" and settings.epochs < UNBOUNDED:
        lines.append(f"rate    {rates_text(chosen_schedule(settings, task), settings.epochs * steps)}")
    lines.append(f"cost    {cost_text(task.saved.model.graph, settings.epochs, steps, size)}")
    monitor = task.objective.monitor(settings.monitor, task.validation is not None)
    if task.validation is not None or settings.monitor is not None:
        patience = counted(settings.early_stop or 0, "epoch")
        stop = f", stops after {patience} without an improvement" if settings.early_stop else ""
        lines.append(f"monitor {monitor.name}{stop}")
    lines.append(f"memory  {memory_text(task.saved.model.graph, task.optimizer, size)}")
    files = [path, settings.checkpoint, settings.log, settings.plot]
    lines.append(f"writes  {', '.join(filter(None, files))} (nothing now: --dry-run)")
    return lines + [f"note    {note}" for note in task.notes]


def length_text(settings: FitSettings, steps: int) -> str:
    """``3 epochs of 3 steps``, with what ends the training earlier."""
    if settings.epochs >= UNBOUNDED:
        return f"until {duration_text(settings.time)} are over, epochs of {counted(steps, 'step')}"
    limit = f" (or until {duration_text(settings.time)} are over)" if settings.time is not None else ""
    return f"{counted(settings.epochs, 'epoch')}{limit} of {counted(steps, 'step')}"


def steps_text(settings: FitSettings, steps: int) -> str:
    return "" if settings.epochs >= UNBOUNDED else f", {counted(settings.epochs * steps, 'step')} in all"


def rates_text(schedule: Schedule, num_steps: int) -> str:
    """Where the rate begins, what it reaches and where it ends."""
    rates = [schedule(step) for step in range(1, num_steps + 1, max(1, num_steps // 1000))] + [schedule(num_steps)]
    top = max(rates)
    return " ... ".join(f"{rate:.1e}" for rate in dict.fromkeys((rates[0], top, rates[-1])))


def cost_text(graph: Graph, epochs: int, steps: int, batch_size: int) -> str:
    """Floating-point operations: a training step takes about three times those of a prediction."""
    layers = zip(graph.nodes, graph.shapes, strict=True)
    found = total(multiply_adds(node.layer, graph.specs.get(node.name, ()), shape) for node, shape in layers)
    if found is None:
        return "not known: a layer's operations are not counted"
    step = 6 * found * batch_size
    whole = f", {_operations(step * steps * epochs)} in all" if epochs < UNBOUNDED else ""
    return f"{_operations(step)} a step, {_operations(step * steps)} an epoch{whole}"


def _operations(count: float) -> str:
    for unit, size in (("P", 1e15), ("T", 1e12), ("G", 1e9)):
        if count >= size:
            return f"{count / size:.1f} {unit}FLOP"
    return f"{count / 1e6:,.1f} MFLOP"


def memory_text(graph: Graph, optimizer: Optimizer, batch_size: int) -> str:
    """An estimate of what the training takes beside the rows that are kept in memory.

    A batch: each activation and its gradient. Weights: gradients, their sums per shard, and the optimizer's slots too.
    Measured with vgg-small on 32x32x3: 571 MB for an estimate of 500 with 64 rows, 1,641 MB for 1,656 with 256.
    """
    batch, weights = training_bytes(graph, optimizer, batch_size)
    parts = f"batch {_megabytes(batch)}, weights and optimizer {_megabytes(weights)}"
    return f"about {_megabytes(batch + weights + PROGRAM_BYTES)}: {parts}, program {_megabytes(PROGRAM_BYTES)}"


def training_bytes(graph: Graph, optimizer: Optimizer, batch_size: int) -> tuple[int, int]:
    """About what a batch takes, and what the weights do with all that belongs to them."""
    batch = 8 * batch_size * sum(_size(shape) for shape in graph.shapes)
    return batch, 4 * graph.num_parameters * (2 + NUM_SHARDS + len(optimizer.kept))


def check_memory(graph: Graph, optimizer: Optimizer, batch_size: int, free: int) -> None:
    """Raise UsageError when a training would need more than the ``free`` bytes.

    Half of the estimate must fit: it may be too high where memory is used again.
    """
    batch, weights = training_bytes(graph, optimizer, batch_size)
    if batch + weights <= 2 * free:
        return
    needs = f"about {_megabytes(batch + weights)} of memory are needed and {_megabytes(free)} are free"
    fitting = int(batch_size * (free - weights) / batch)
    if fitting < 1:
        raise UsageError(f"model: {needs}, most of it for the weights; make the layers smaller")
    raise UsageError(f"--batch-size: with {batch_size:,} rows {needs}; give {fitting:,} or fewer")


def _size(shape: tuple[int | None, ...]) -> int:
    size = 1
    for length in shape:
        size *= length or 1
    return size


def _megabytes(num_bytes: float) -> str:
    return f"{num_bytes / 1e6:,.0f} MB" if num_bytes < 1e9 else f"{num_bytes / 1e9:,.1f} GB"
