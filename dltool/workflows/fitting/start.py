"""What a training starts with: the executor and the rows, the schedule, and what short trials choose before it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from dltool.architectures.literals import spec
from dltool.data.loader import Loader, balanced_size
from dltool.engine.executor import Executor
from dltool.engine.model import Model
from dltool.engine.schedules import SCHEDULES, Schedule, make_schedule, steps_of
from dltool.errors import DivergedError, UsageError
from dltool.settings import FitSettings
from dltool.training.callbacks import Callback, Events, Monitor, Reporting
from dltool.training.interrupt import StopOnSignal
from dltool.training.loop import train
from dltool.training.range_test import range_test, suggest, sweep_rates, unchanged
from dltool.training.run import Run
from dltool.training.scheduling import scheduling
from dltool.training.time_limit import TimedScheduling, TimeLimit
from dltool.workflows.fitting.augmenting import chosen_augment
from dltool.workflows.fitting.task import Task
from dltool.workflows.model_data import sized

SWEEP = (1e-7, 10.0, 100)
"""Lowest and highest rate of the range test and its steps, as in ``lr-find``."""
TRIAL_PART = 0.1
"""Of the epochs, what each random start is tried for."""
UNBOUNDED = 1_000_000
"""Epochs of a run that only its time ends."""


def epoch_rows(settings: FitSettings, task: Task) -> int:
    """Training rows of an epoch, those that come several times counted so."""
    classes = balanced_classes(settings, task)
    return len(task.train) if classes is None else balanced_size(classes)


def batch_rows(settings: FitSettings, task: Task) -> int:
    """Rows per step: no more than there are."""
    return min(settings.batch_size, epoch_rows(settings, task))


def balanced_classes(settings: FitSettings, task: Task) -> np.ndarray | None:
    """What ``--balance`` makes equally frequent, (n,) classes; None without it. Raises UsageError."""
    if settings.balance is None:
        return None
    if task.train.classes is None or task.train.labels.ndim > 1:
        what = "numbers, not classes" if task.train.classes is None else "several per row"
        raise UsageError(f"--balance: the labels are {what}; leave it out")
    if settings.class_weight is not None:
        raise UsageError("--balance: cannot be combined with --class-weight; give one of the two")
    return task.train.labels


def executor_for(settings: FitSettings, task: Task) -> Executor:
    """The executor; it comes before the loaders' threads, because its lanes may be forked."""
    return Executor(
        sized(task.saved.model, task.opened.input_shape),
        batch_size=batch_rows(settings, task),
        losses=task.objective.losses,
        loss_weights=task.objective.loss_weights,
        optimizer=task.optimizer,
        seed=settings.seed,
        jobs=settings.jobs,
        backend=settings.backend,
        exact=settings.exact,
    )


def loader_for(settings: FitSettings, task: Task) -> Loader:
    """The training rows, in the order and with the changes that the settings say."""
    return Loader(
        task.train,
        batch_rows(settings, task),
        shuffle=settings.shuffle,
        seed=settings.seed,
        change=chosen_augment(settings, task),
        balance=balanced_classes(settings, task),
    )


def starting_point(settings: FitSettings, task: Task, executor: Executor) -> Run:
    """The record, counting on from the file's epochs; the optimizer's state is put in place if it is used."""
    saved, state = task.saved, task.saved.state
    done = state.epoch if state is not None else 0
    if saved.history:
        done = max(done, int(saved.history[-1]["epoch"]))
    record = Run(saved.model, done + settings.epochs, task.optimizer.learning_rate, epoch=done)
    record.history, record.rate_at = list(saved.history), task.optimizer.rate_at
    if state is not None and task.goes_on:
        saved.model.weights.vector[...] = state.weights
        for name, slot in executor.slots.items():
            slot[...] = state.slots[name]
        executor.memory.update(state.memory)
        record.step = state.step
    return record


def chosen_schedule(settings: FitSettings, task: Task, num_steps: int | None = None) -> Schedule:
    """The rate of every step of a run, by default of all epochs. Raises UsageError."""
    name, options = spec(settings.schedule)
    steps = math.ceil(epoch_rows(settings, task) / batch_rows(settings, task))
    rate, warmup = task.optimizer.learning_rate, settings.warmup or ""
    if num_steps is None:
        num_steps = settings.epochs * steps
    elif warmup:  # a short time may not even hold the warm-up
        num_steps = max(num_steps, round(steps_of(warmup, steps, "--warmup")) + 1)
    return make_schedule(SCHEDULES.canonical(name), options, rate, steps, num_steps, warmup)


def rate_setter(
    settings: FitSettings, task: Task, monitor: Monitor, first_step: int, limit: TimeLimit | None
) -> Callback | None:
    """Who sets the rate of every step; None where it never changes."""
    schedule = chosen_schedule(settings, task)
    setter = scheduling(schedule, monitor, first_step)
    if limit is None or setter is None or SCHEDULES.canonical(spec(settings.schedule)[0]) == "plateau":
        return setter
    return TimedScheduling(lambda steps: chosen_schedule(settings, task, steps), schedule, limit, first_step)


def found_rate(settings: FitSettings, task: Task, events: Events) -> float:
    """The learning rate that a range test suggests; nothing else changes.

    Raises:
        ShortError: none can be recommended. KeyboardInterrupt: a signal ended the test.
    """
    stopper = StopOnSignal(events)
    with executor_for(settings, task) as executor, loader_for(settings, task) as loader:
        weights = task.saved.model.weights.vector.copy()
        record = starting_point(settings, task, executor)
        test = range_test(executor, loader, task.objective, record, sweep_rates(*SWEEP), [stopper])
        task.saved.model.weights.vector[...] = weights
    if stopper.caught is not None:
        raise KeyboardInterrupt
    rate = float(f"{suggest(test).valley:.2e}")
    events.note(f"lr      {rate:g}, the valley of a range test of {len(test.rates)} steps")
    return rate


def with_rate(settings: FitSettings, task: Task, rate: float) -> tuple[FitSettings, Task]:
    """Settings and task with a learning rate."""
    optimizer = replace(task.optimizer, learning_rate=rate)
    task.saved.training_config = replace(task.saved.training_config, optimizer=optimizer)
    return replace(settings, learning_rate=rate), replace(task, optimizer=optimizer)


def check_restarts(settings: FitSettings, task: Task) -> None:
    """Raise UsageError where there is nothing random to try."""
    if settings.restarts > 1 and settings.init_from is not None:
        raise UsageError("--restarts: draws weights anew, which --init-from has just taken; leave one of the two out")
    if settings.restarts > 1 and not task.resumed and (task.saved.history or task.saved.foreign):
        raise UsageError(
            f"--restarts: {settings.model} is not a fresh model, and its weights would be lost; leave it out"
        )


def choose_start(
    settings: FitSettings, task: Task, executor: Executor, loader: Loader, validation: Any, events: Events
) -> None:
    """Train each random start for a tenth of the epochs and give the model the best one's first weights.

    Raises:
        DivergedError: all of them diverged. KeyboardInterrupt: a signal came.
    """
    monitor = task.objective.monitor(settings.monitor, validation is not None)
    vector, best, chosen, winner = task.saved.model.weights.vector, monitor.worst, None, 0
    epochs = 1 if settings.epochs >= UNBOUNDED else max(1, round(TRIAL_PART * settings.epochs))
    for number in range(settings.restarts):
        start = random_start(task.saved.model, settings.seed, number)
        with unchanged(executor):
            vector[...] = start
            try:
                value = trial(replace(settings, epochs=epochs), task, monitor, executor, loader, validation, events)
            except DivergedError:
                value = math.nan
        events.note(f"start   {number + 1}/{settings.restarts}  {monitor.name} {value:.4f}")
        if monitor.improves(value, best):
            best, chosen, winner = value, start, number
    if chosen is None:
        raise DivergedError("training: every one of --restarts diverged; use a smaller --lr")
    vector[...] = chosen
    events.note(f"start   {winner + 1} is the best; it is trained from its beginning")


def random_start(model: Model, seed: int, number: int) -> np.ndarray:
    """(num_parameters,) new random weights; the first start is the model's own, and what does not train stays."""
    vector = model.weights.vector.copy()
    if number:
        fresh = Model.build(model.graph, seed + number).weights.vector
        for slot in model.weights.slots:
            if slot.spec.trainable:
                vector[slot.start : slot.stop] = fresh[slot.start : slot.stop]
    return vector


def trial(
    settings: FitSettings,
    task: Task,
    monitor: Monitor,
    executor: Executor,
    loader: Loader,
    validation: Any,
    events: Events,
) -> float:
    """A short training; the monitored value at its end."""
    stopper = StopOnSignal(events)
    record = Run(task.saved.model, settings.epochs, task.optimizer.learning_rate)
    record.rate_at = task.optimizer.rate_at
    steps = settings.epochs * len(loader)
    setter = scheduling(chosen_schedule(settings, task, steps), monitor, 0)
    callbacks = [*([setter] if setter is not None else []), stopper]
    train(executor, loader, task.objective, record, [*callbacks, Reporting(Events())], validation)
    if stopper.caught is not None:
        raise KeyboardInterrupt
    return record.history[-1][monitor.name]
