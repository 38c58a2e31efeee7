"""The two stages of ``dltool finetune``: the head on the frozen base, then base and head together."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dltool.data.capacity import store_limit
from dltool.data.dataset import Dataset
from dltool.data.loader import Loader
from dltool.data.opening import OpenedData
from dltool.engine.executor import Executor
from dltool.engine.graph import describe
from dltool.engine.model import Model
from dltool.engine.surgery import depth_rates, transplant, without_dropout
from dltool.errors import UsageError
from dltool.modelfile.saved import TrainingConfig
from dltool.settings import FinetuneSettings
from dltool.training.callbacks import BestWeights, Events, Reporting
from dltool.training.interrupt import StopOnSignal
from dltool.training.loop import train
from dltool.training.objective import Objective, make_objective
from dltool.training.run import Run
from dltool.workflows.features import features_of, num_bytes
from dltool.workflows.fit import held_out
from dltool.workflows.model_data import sized
from dltool.workflows.new_head import NewHead, feature_shape, unfrozen_graph
from dltool.workflows.plugin_record import own_callbacks

SMALL_HEAD = 200_000
"""Parameters below which a head on features is trained by one lane."""


@dataclass(frozen=True)
class Stage:
    """One stage of the training, done.

    Attributes:
        number: 1 or 2. what: what trained and how, in words.
        epochs: how many were trained. seconds: how long that took, features included.
        logs: what the best epoch so far measured; {} without any.
    """

    number: int
    what: str
    epochs: int
    seconds: float
    logs: dict[str, float]


class StageEvents(Events):
    """Events of a training in stages."""

    def stage_end(self, stage: Stage) -> None:
        """A stage is over."""


@dataclass
class Job:
    """What is trained on what, all of it checked; ``new.model`` holds the weights all the time."""

    settings: FinetuneSettings
    new: NewHead
    opened: OpenedData
    train: Dataset
    validation: Dataset | None
    config: TrainingConfig
    rates: tuple[float, ...]
    events: StageEvents
    stopper: StopOnSignal
    history: list[dict[str, float]] = field(default_factory=list)
    best: tuple[int, float] | None = None
    """Epoch and monitored value of the weights in place."""


def objective_of(job: Job, model: Model, dataset: Dataset) -> Objective:
    config = job.config
    return make_objective(
        model, [dataset.labels], losses=config.losses, metrics=config.metrics, sources=job.opened.label_sources
    )


def head_stage(job: Job) -> Stage:
    """Train the head alone."""
    start, settings, new = time.monotonic(), job.settings, job.new
    names = new.head_names
    if not precomputes(job):
        graph = without_dropout(new.frozen_graph, new.base.layers)
        train_stage(job, new.model.with_graph(graph), (job.train, job.validation), {}, settings.epochs, settings.jobs)
        return stage_done(job, 1, "head only", start)
    base = sized(new.model.with_graph(new.base), job.opened.input_shape)
    parts = [part for part in (job.train, job.validation) if part is not None]
    found = features_of(base, parts, settings.batch_size, settings.jobs, settings.backend)
    head = Model.build(new.head, settings.seed)
    transplant(new.model, head, names)
    try:
        train_stage(job, head, (found[0], found[1] if len(found) > 1 else None), {}, settings.epochs, few_lanes(job))
    finally:
        transplant(head, new.model, names)
    shape, rows = describe(found[0].input_shapes[0]), sum(map(len, found))
    size = num_bytes(rows, found[0].input_shapes[0]) / 1e6
    return stage_done(job, 1, f"head only, features computed once ({rows:,} x {shape}, {size:.1f} MB)", start)


def few_lanes(job: Job) -> int | None:
    """One lane for a small head: lanes that wait for each other cost more than its arithmetic (0.03 s an epoch of
    1,600 rows on 256 features against 0.1 to 0.5 s). The bits do not depend on it."""
    return 1 if job.new.head.num_parameters < SMALL_HEAD else job.settings.jobs


def precomputes(job: Job) -> bool:
    """Whether the features are computed once. Raises UsageError when that was asked for and memory is too small."""
    rows = len(job.train) + (len(job.validation) if job.validation is not None else 0)
    needed = num_bytes(rows, feature_shape(job.new.base, job.opened.input_shape))
    fits, wanted = needed <= store_limit(), job.settings.precompute
    if wanted and not fits:
        raise UsageError(
            f"--precompute: the features of {rows:,} rows need {needed / 1e9:.1f} GB, which do not fit; "
            "cut later with --pop or --at, or leave --precompute out"
        )
    return fits if wanted is None else wanted


def unfrozen_stage(job: Job) -> Stage:
    """Train head and base, every depth at its rate."""
    start, settings, new = time.monotonic(), job.settings, job.new
    graph, chosen = unfrozen_graph(settings, new)
    rates = depth_rates(graph, new.head_names, job.rates)
    parts = job.train, job.validation
    train_stage(job, new.model.with_graph(graph), parts, rates, settings.epochs_unfrozen, settings.jobs)
    what = "all layers" if settings.unfreeze == "all" else f"head and {', '.join(shortened(chosen))}"
    low, high = min(job.rates), max(job.rates)
    return stage_done(job, 2, f"{what}, lr {low:.0e}" + (f" .. {high:.0e}" if low < high else ""), start)


def train_stage(
    job: Job, model: Model, parts: tuple[Any, Any], rates: dict[str, float], epochs: int, jobs: int | None
) -> None:
    """Some more epochs of the model; its weights are the best ones afterwards, those before included.

    Args:
        parts: training and validation rows.
        rates: multiplier of the last rate for each layer. jobs: lanes.
    """
    settings, (training, validation) = job.settings, parts
    objective, size = objective_of(job, model, training), min(settings.batch_size, len(training))
    fixed = sized(model, training.input_shapes[0])
    with (
        Executor(
            fixed,
            batch_size=size,
            losses=objective.losses,
            loss_weights=objective.loss_weights,
            optimizer=job.config.optimizer,
            spans=model.weights.spans(fixed.graph, rates),
            seed=settings.seed,
            jobs=jobs,
            backend=settings.backend,
        ) as executor,
        Loader(training, size, seed=settings.seed) as loader,
        held_out(validation, size) as checking,
    ):
        best = BestWeights(objective.monitor(None, True) if validation is not None else None)
        if job.best is not None:
            best.keep(model.weights.vector, *job.best)
        done = len(job.history)
        record = Run(fixed, done + epochs, job.rates[-1], epoch=done, history=job.history)
        told = [best, job.stopper, *own_callbacks().values(), Reporting(job.events)]
        try:
            train(executor, loader, objective, record, told, checking)
        finally:
            job.best = job.best if best.epoch is None else (best.epoch, best.value)


def stage_done(job: Job, number: int, what: str, start: float) -> Stage:
    epoch = job.best[0] if job.best else 0
    logs = next((row for row in job.history if row["epoch"] == epoch), {})
    before = job.settings.epochs if number == 2 else 0
    stage = Stage(number, what, len(job.history) - before, time.monotonic() - start, dict(logs))
    job.events.stage_end(stage)
    return stage


def shortened(names: Iterable[str], most: int = 3) -> list[str]:
    """The first names, and how many more."""
    names = list(names)
    return names if len(names) <= most else [*names[:most], f"and {len(names) - most} more"]
