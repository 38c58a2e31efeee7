"""``dltool fit``: open the data, read or build the model, check that they belong together, train, write the file.

What the user does not say comes from the model file's compile step, else from the head and the labels (adam at 0.001).
An existing model goes on where it stopped: with its optimizer's state when the optimizer is the same, from its last
weights; the best weights so far count as an epoch, so that more training never makes the file worse.
"""

from __future__ import annotations

import signal
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from dltool import __version__
from dltool.data.dataset import Dataset, summary_counts
from dltool.data.loader import Loader
from dltool.engine.executor import Executor
from dltool.errors import DivergedError
from dltool.modelfile.atomic import check_target
from dltool.modelfile.saved import TrainingState
from dltool.modelfile.writing import write
from dltool.settings import FitSettings
from dltool.training.callbacks import BestWeights, Callback, EarlyStopping, Events, Monitor, Reporting
from dltool.training.interrupt import StopOnSignal
from dltool.training.loop import evaluate, train
from dltool.training.run import Run
from dltool.workflows.build import describe_line
from dltool.workflows.fit_task import Task, prepare
from dltool.workflows.model_data import sized
from dltool.workflows.saving import Saving

IMBALANCE = 4
MOST_COUNTS = 10
"""So many classes are listed with their counts."""


@dataclass(frozen=True)
class FitResult:
    """Attributes:
    path: the file that was written.
    history: one dict per epoch, of earlier runs too.
    best_epoch: whose weights are in the file; None without validation data (then the last).
    stopped: why training ended before its last epoch; empty when it did not.
    seconds: from the first check to the written file.
    """

    path: str
    history: tuple[dict[str, float], ...]
    best_epoch: int | None
    stopped: str
    seconds: float


def run(settings: FitSettings, events: Events | None = None) -> FitResult:
    """Train a model and write it.

    Raises:
        UsageError, DataError, ModelFileError, OutputError: before the first batch, for everything that can be checked.
        DivergedError: the loss was not finite; the best finished epoch was written, if there was one.
        KeyboardInterrupt, SystemExit: a signal stopped the training; what was reached was written.
    """
    start, events = time.monotonic(), events or Events()
    path = settings.output or settings.model
    check_target(path, overwrite=settings.force or path == settings.model)
    task = prepare(settings)
    events.understood(understood(settings, task))
    for text in hints(settings, task)[:1]:
        events.hint(text)
    stopper = StopOnSignal(events)
    record = fit(settings, task, events, stopper, path)
    write(task.saved, path, keep_state=settings.keep_state)
    events.finished(record)
    if stopper.caught is not None:
        events.hint(f"saved {path} after epoch {record.epoch}; the same command goes on from there")
        raise SystemExit(143) if stopper.caught == signal.SIGTERM else KeyboardInterrupt
    return FitResult(path, tuple(record.history), record.best_epoch, record.stop, time.monotonic() - start)


def fit(settings: FitSettings, task: Task, events: Events, stopper: StopOnSignal, path: str) -> Run:
    """Train; afterwards ``task.saved`` holds the best weights and the state.

    The executor comes before the loaders' threads, because its lanes may be forked.
    """
    saved, objective, size = task.saved, task.objective, min(settings.batch_size, len(task.train))
    with (
        Executor(
            sized(saved.model, task.opened.input_shape),
            batch_size=size,
            losses=objective.losses,
            loss_weights=objective.loss_weights,
            optimizer=task.optimizer,
            seed=settings.seed,
            jobs=settings.jobs,
            backend=settings.backend,
        ) as executor,
        Loader(task.train, size, shuffle=settings.shuffle, seed=settings.seed) as loader,
        held_out(task.validation, size) as validation,
    ):
        monitor = objective.monitor(settings.monitor, validation is not None, settings.min_delta)
        judged = validation is not None or settings.monitor is not None
        best = best_weights(monitor, executor, validation, task) if judged else BestWeights()
        record = starting_point(settings, task, executor)
        callbacks: list[Callback] = [best, stopper]
        if settings.early_stop is not None:
            callbacks.append(EarlyStopping(monitor, settings.early_stop))

        def write_now(run: Run) -> None:
            with best.in_place(run) as last:
                collect(settings, task, executor, run, best, last)
                write(saved, path, keep_state=settings.keep_state)

        num_bytes = 4 * saved.model.weights.num_parameters * (2 + len(executor.slots))
        callbacks += [Saving(write_now, num_bytes), Reporting(events)]
        try:
            train(executor, loader, objective, record, callbacks, validation)
        except DivergedError as error:
            raise DivergedError(f"{error}; {keep_best(settings, task, executor, record, best, path)}") from None
        collect(settings, task, executor, record, best, best.last)
        return record


def held_out(dataset: Dataset | None, batch_size: int) -> Any:
    """A loader of the validation rows in their order; a context that gives None without any."""
    return nullcontext() if dataset is None else Loader(dataset, batch_size, shuffle=False)


def best_weights(monitor: Monitor, executor: Executor, validation: Loader | None, task: Task) -> BestWeights:
    """Keeps the best epoch by the monitor.

    A file that was trained before comes with its best weights: they are measured on today's validation rows.
    """
    saved, best = task.saved, BestWeights(replace(monitor, min_delta=0.0))
    if validation is not None and saved.history and monitor.name.startswith("val_"):
        value = evaluate(executor, validation, task.objective)[monitor.name.removeprefix("val_")]
        epoch = saved.recipe.get("best_epoch") or saved.history[-1]["epoch"]
        best.keep(saved.model.weights.vector, epoch, value)
    return best


def starting_point(settings: FitSettings, task: Task, executor: Executor) -> Run:
    """The record, counting on from the file's epochs; the optimizer's state is put in place if it is used."""
    saved, state = task.saved, task.saved.state
    done = state.epoch if state is not None else 0
    if saved.history:
        done = max(done, int(saved.history[-1]["epoch"]))
    record = Run(saved.model, done + settings.epochs, task.optimizer.learning_rate, epoch=done)
    record.history = list(saved.history)
    if state is not None and task.goes_on:
        saved.model.weights.vector[...] = state.weights
        for name, slot in executor.slots.items():
            slot[...] = state.slots[name]
        executor.memory.update(state.memory)
        record.step = state.step
    return record


def collect(settings: FitSettings, task: Task, executor: Executor, run: Run, best: BestWeights, last: Any) -> None:
    """Put into ``task.saved`` what the file shall say: history, recipe and state (None without last weights)."""
    saved = task.saved
    saved.history = list(run.history)
    saved.recipe = recipe(settings, best)
    if last is None:
        last = run.model.weights.vector
    callbacks = {"best_weights": best.state()}
    saved.state = TrainingState(last, dict(executor.slots), dict(executor.memory), run.step, run.epoch, callbacks)


def recipe(settings: FitSettings, best: BestWeights) -> dict[str, Any]:
    """The options that made the weights; nothing that depends on the machine or on paths."""
    kept = ("arch", "epochs", "batch_size", "early_stop", "min_delta", "class_weight", "seed", "shuffle", "normalize")
    found = {name: getattr(settings, name) for name in kept}
    monitor = best.monitor.name if best.monitor else None
    return {"dltool": __version__, **found, "monitor": monitor, "best_epoch": best.epoch if monitor else None}


def keep_best(settings: FitSettings, task: Task, executor: Executor, run: Run, best: BestWeights, path: str) -> str:
    """After a divergence: write the best finished epoch, without the spoilt state; says what was done."""
    before = run.epochs - settings.epochs
    if not run.history or run.history[-1]["epoch"] <= before:
        return "no epoch was finished, so nothing was written"
    collect(settings, task, executor, run, best, None)
    task.saved.state = None
    write(task.saved, path, keep_state=False)
    return f"{path} has the weights of epoch {best.epoch}"


def understood(settings: FitSettings, task: Task) -> list[str]:
    """The first lines on the screen."""
    split, graph = task.saved.split, task.saved.model.graph
    unit = "images" if task.opened.kind == "images" else "rows"
    num_rows = len(task.opened.train)
    text = f"data    {', '.join(settings.data.data)}: {num_rows:,} {unit}"
    counts = summary_counts(task.opened.train)
    if counts:
        listed = ", ".join(f"{c.name} {c.count:,}" for c in counts[:MOST_COUNTS])
        text += f", {len(counts)} classes ({listed}{', ...' if len(counts) > MOST_COUNTS else ''})"
    how = {"given": ", as given", "none": ""}.get(split["kind"], f", {split['kind']}, seed {settings.seed}")
    parts = f"{split['train']:,} train / {split['validation']:,} val" if split["validation"] else "no validation rows"
    lines = [text, f"split   {parts}{how}", f"model   {describe_line(graph, task.saved.training_config)}"]
    return lines + [f"note    {note}" for note in task.notes]


def hints(settings: FitSettings, task: Task) -> list[str]:
    """Remarks, the most important first."""
    counts = [c.count for c in summary_counts(task.train) if c.count and task.train.labels.ndim == 1]
    found = []
    if settings.class_weight is None and counts and max(counts) >= IMBALANCE * min(counts):
        ratio = max(counts) / min(counts)
        found.append(f"classes are imbalanced {ratio:.0f}:1; consider --class-weight balanced")
    return found + list(task.hints)
