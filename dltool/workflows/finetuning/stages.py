"""The stages of ``dltool finetune``: the head on the frozen base, then base and head together, at once or by blocks."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dltool.data.augment import Augment
from dltool.data.dataset import Dataset, Subset
from dltool.data.loader import Loader
from dltool.data.opening import OpenedData
from dltool.engine.executor import Executor
from dltool.engine.graph import describe
from dltool.engine.model import Model
from dltool.engine.surgery import depth_rates, transplant, without_dropout
from dltool.errors import DivergedError
from dltool.modelfile.saved import TrainingConfig
from dltool.settings import FinetuneSettings
from dltool.training.autopsy import explained
from dltool.training.callbacks import BestWeights, Events, Reporting
from dltool.training.interrupt import StopOnSignal
from dltool.training.loop import train
from dltool.training.objective import Objective, make_objective
from dltool.training.run import Run
from dltool.training.waiting import Waiting
from dltool.workflows.finetuning.feature_cache import Cache, feature_arrays
from dltool.workflows.finetuning.features import features_of
from dltool.workflows.finetuning.new_head import NewHead, feature_shape
from dltool.workflows.finetuning.unfreezing import Thaw
from dltool.workflows.fit import held_out
from dltool.workflows.model_data import sized
from dltool.workflows.plugin_record import own_callbacks

SMALL_HEAD = 200_000
"""Parameters below which a head on features is trained by one lane."""


@dataclass(frozen=True)
class Stage:
    """One stage of the training, done.

    Attributes:
        number: counted from 1. what: what trained and how, in words.
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

    def planned(self, epochs: int) -> None:
        """So many epochs there will be in all stages together."""

    def features_done(self, done: int, total: int) -> None:
        """The base has seen so many of all rows."""

    def stage_end(self, stage: Stage) -> None:
        """A stage is over."""


@dataclass
class Job:
    """What is trained on what, all of it checked; ``new.model`` holds the weights all the time.

    Attributes:
        thaws: the stages after the head's. cache: where features go, None: the base runs in every epoch.
        augment: what changes the training rows, or None.
        free: layers of the base that train now, or trained last.
        notes: sentences for the user. best: epoch and monitored value of the weights in place.
        waiting: how long each stage waited for its rows.
    """

    settings: FinetuneSettings
    new: NewHead
    opened: OpenedData
    train: Dataset
    validation: Dataset | None
    config: TrainingConfig
    rates: tuple[float, ...]
    events: StageEvents
    stopper: StopOnSignal
    thaws: tuple[Thaw, ...] = ()
    cache: Cache | None = None
    augment: Augment | None = None
    free: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    history: list[dict[str, float]] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    best: tuple[int, float] | None = None
    waiting: list[Waiting] = field(default_factory=list)


def objective_of(job: Job, model: Model, dataset: Dataset) -> Objective:
    config = job.config
    return make_objective(
        model,
        [dataset.labels],
        losses=config.losses,
        metrics=config.metrics,
        sources=job.opened.label_sources,
        mixes=job.augment is not None and bool(job.augment.mixes),
    )


def head_stage(job: Job) -> Stage:
    """Train the head alone."""
    start, settings, new = time.monotonic(), job.settings, job.new
    if job.cache is None:
        graph = without_dropout(new.thawed(()), new.base.layers)
        train_stage(job, new.model.with_graph(graph), (job.train, job.validation), {}, settings.epochs, settings.jobs)
        return stage_done(job, "head only", 0, start)
    parts = feature_parts(job, job.cache)
    head = Model.build(new.head, settings.seed)
    transplant(new.model, head, new.head_names)
    try:
        train_stage(job, head, parts, {}, settings.epochs, few_lanes(job))
    finally:
        transplant(head, new.model, new.head_names)
    rows = len(job.opened.train) + (len(job.validation) if has_own_validation(job) else 0)
    shape = describe(feature_shape(new.base, job.opened.input_shape))
    return stage_done(job, f"head only, features computed once ({rows:,} x {shape}, {job.cache.words})", 0, start)


def has_own_validation(job: Job) -> bool:
    """Whether the validation rows are no part of those of --data."""
    return job.validation is not None and not is_part(job, job.validation)


def is_part(job: Job, dataset: Dataset) -> bool:
    return isinstance(dataset, Subset) and dataset.dataset is job.opened.train


def feature_parts(job: Job, cache: Cache) -> tuple[Dataset, Dataset | None]:
    """The features of the training and the validation rows; those of --data are computed in their own order."""
    settings, shape = job.settings, feature_shape(job.new.base, job.opened.input_shape)
    base = sized(job.new.model.with_graph(job.new.base), job.opened.input_shape)
    datasets = [job.opened.train, *([job.validation] if has_own_validation(job) else [])]
    with feature_arrays(settings, cache, [(len(part), *shape) for part in datasets], datasets[0]) as arrays:
        pairs = list(zip(datasets, arrays, strict=True))
        tell = job.events.features_done
        found = features_of(base, pairs, settings.batch_size, settings.jobs, settings.backend, tell)
    training = Subset(found[0], job.train.rows) if is_part(job, job.train) else found[0]
    if job.validation is None:
        return training, None
    return training, found[1] if len(found) > 1 else Subset(found[0], job.validation.rows)


def few_lanes(job: Job) -> int | None:
    """One lane for a small head: lanes that wait for each other cost more than its arithmetic (0.03 s an epoch of
    1,600 rows on 256 features against 0.1 to 0.5 s). The bits do not depend on it."""
    return 1 if job.new.head.num_parameters < SMALL_HEAD else job.settings.jobs


def thawed_stage(job: Job, thaw: Thaw) -> Stage:
    """Train the head and what is free of the base, every depth at its rate."""
    start, settings, new = time.monotonic(), job.settings, job.new
    job.free, graph, done = thaw.free, new.thawed(thaw.free), len(job.history)
    rates = depth_rates(graph, new.head_names, job.rates)
    parts = job.train, job.validation
    train_stage(job, new.model.with_graph(graph), parts, rates, thaw.epochs, settings.jobs)
    trained = (*thaw.free, *new.head_names)
    return stage_done(job, f"{thaw_words(settings, thaw)}, lr {rates_text(job, trained)}", done, start)


def thaw_words(settings: FinetuneSettings, thaw: Thaw) -> str:
    """What trains now: ``all layers``, ``head and b, c``, or with --gradual ``and b .. e (5 layers)``."""
    if settings.gradual:
        return f"and {thaw.words}"
    return "all layers" if settings.unfreeze == "all" else f"head and {thaw.words}"


def rates_text(job: Job, names: Iterable[str]) -> str:
    """``1e-04 .. 1e-02``: the lowest and the highest rate of some layers."""
    multipliers = depth_rates(job.new.model.graph, job.new.head_names, job.rates)
    found = [job.rates[-1] * multipliers[name] for name in names if name in multipliers]
    low, high = min(found), max(found)
    return f"{low:.0e}" + (f" .. {high:.0e}" if low < high else "")


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
        Loader(training, size, seed=settings.seed, change=job.augment) as loader,
        held_out(validation, size) as checking,
    ):
        best = BestWeights(objective.monitor(None, True) if validation is not None else None)
        if job.best is not None:
            best.keep(model.weights.vector, *job.best)
        done = len(job.history)
        record = Run(fixed, done + epochs, job.rates[-1], epoch=done, history=job.history)
        job.waiting.append(record.waiting)
        told = [best, job.stopper, *own_callbacks().values(), Reporting(job.events)]
        try:
            train(executor, loader, objective, record, told, checking)
        except DivergedError as error:
            raise explained(error, record, objective, training, job.events, settings.seed, best.last) from None
        finally:
            job.best = job.best if best.epoch is None else (best.epoch, best.value)


def stage_done(job: Job, what: str, done: int, start: float) -> Stage:
    """Say that a stage is over, which began when so many epochs were done."""
    epoch = job.best[0] if job.best else 0
    logs = next((row for row in job.history if row["epoch"] == epoch), {})
    job.stages.append(Stage(len(job.stages) + 1, what, len(job.history) - done, time.monotonic() - start, dict(logs)))
    job.events.stage_end(job.stages[-1])
    return job.stages[-1]


def shortened(names: Iterable[str], most: int = 3) -> list[str]:
    """The first names, and how many more."""
    names = list(names)
    return names if len(names) <= most else [*names[:most], f"and {len(names) - most} more"]
