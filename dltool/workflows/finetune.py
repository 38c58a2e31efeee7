"""``dltool finetune``: a trained network gets a new head for other classes.

Stage 1 trains the head on the frozen base, whose features are computed once where memory allows. Stage 2 trains base
and head together at rates that rise with depth; frozen batch normalisation stays in inference mode. The best epoch of
both stages is kept.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, replace

from dltool.data.dataset import Dataset
from dltool.data.opening import OpenedData
from dltool.engine.process_lanes import LaneDied
from dltool.engine.surgery import batch_normalisations
from dltool.errors import DivergedError, UsageError
from dltool.modelfile.atomic import check_space
from dltool.modelfile.lock import locked
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel, TrainingConfig
from dltool.modelfile.writing import check_model_target, write
from dltool.settings import BuildSettings, FinetuneSettings, FitSettings
from dltool.training.interrupt import StopOnSignal
from dltool.training.labels import target_form
from dltool.version import __version__
from dltool.workflows.build import chosen_optimizer, compile_step, open_dataset
from dltool.workflows.finetune_stages import (
    Job,
    Stage,
    StageEvents,
    head_stage,
    objective_of,
    shortened,
    unfrozen_stage,
)
from dltool.workflows.fit_task import divide
from dltool.workflows.model_data import image_options
from dltool.workflows.new_head import NewHead, exchange_head, unfrozen_graph
from dltool.workflows.plugin_record import KEY as PLUGINS
from dltool.workflows.plugin_record import recorded

SPREAD = (0.01, 0.1, 1.0)
"""Rates of the network's thirds, as parts of the head's, where --lr does not say."""
MOST_CLASSES = 10
SPLITS = {
    "stratified": ", stratified, seed {seed}",
    "grouped": ", groups kept together, seed {seed}",
    "given": ", as given",
    "none": "",
}


@dataclass(frozen=True)
class FinetuneResult:
    """Attributes:
    path: the file that was written.
    stages: one or two. history: one dict per epoch, numbered through both stages.
    seconds: from the first check to the written file.
    """

    path: str
    stages: tuple[Stage, ...]
    history: tuple[dict[str, float], ...]
    seconds: float


def run(settings: FinetuneSettings, events: StageEvents | None = None) -> FinetuneResult:
    """Exchange the head, train, write.

    Raises:
        UsageError, DataError, ModelFileError, OutputError: before the first batch, for everything that can be checked.
        DivergedError: a loss was not finite; what was best before is written, if an epoch was finished.
        KeyboardInterrupt, SystemExit: a signal stopped the training; what was reached was written.
    """
    start, events, path = time.monotonic(), events or StageEvents(), target(settings)
    with locked(path):
        job, result = prepare(settings, read(settings.model, with_state=False), events)
        check_space(path, 4 * job.new.model.weights.num_parameters)
        stages = train_stages(job, result, path)
    if job.stopper.caught is not None:
        events.hint(f"saved {path} with what was reached")
        raise SystemExit(143) if job.stopper.caught == signal.SIGTERM else KeyboardInterrupt
    return FinetuneResult(path, stages, tuple(job.history), time.monotonic() - start)


def train_stages(job: Job, result: SavedModel, path: str) -> tuple[Stage, ...]:
    """Train in one or two stages, and write the file. Raises DivergedError, LaneDied."""
    stages: list[Stage] = []
    try:
        stages.append(head_stage(job))
        if job.settings.epochs_unfrozen and not job.stopper.caught:
            stages.append(unfrozen_stage(job))
    except DivergedError as error:
        raise DivergedError(f"{error}; {keep_best(job, result, path)}") from None
    except LaneDied as error:
        raise LaneDied(f"{error}; {keep_best(job, result, path)}") from error
    finish(job, result, len(stages))
    write(result, path)
    return tuple(stages)


def target(settings: FinetuneSettings) -> str:
    """Where to write. Raises UsageError when that would replace the base unasked."""
    path = settings.output or settings.model
    if settings.output is None and not settings.force:
        raise UsageError(f"-o: missing; name the new model, or give --force to replace {settings.model}")
    if settings.epochs < 1 or settings.batch_size < 1:
        raise UsageError("--epochs, --batch-size: must be at least 1; leave them out for the defaults")
    check_model_target(path, overwrite=settings.force)
    return path


def prepare(settings: FinetuneSettings, saved: SavedModel, events: StageEvents) -> tuple[Job, SavedModel]:
    """Everything before the first batch: the job, and what will be written."""
    opened = open_like(settings, saved)
    new = exchange_head(settings, saved, opened)
    result = SavedModel(new.model, opened.classes, opened.preprocessing, fingerprint=opened.train.fingerprint)
    training, validation, result.split = divide(as_fit(settings), result, opened)
    config = compiled(settings, saved, new, training)
    rates = settings.learning_rates or tuple(part * config.optimizer.learning_rate for part in SPREAD)
    job = Job(settings, new, opened, training, validation, config, rates, events, StopOnSignal(events))
    unfrozen_graph(settings, new)  # refuses patterns that fit nothing, now
    objective_of(job, new.model, opened.train)  # refuses labels that do not fit, with their rows
    if validation is not None:
        objective = objective_of(job, new.model, training)
        target_form(objective.losses[0], objective.heads[0], validation.labels, "validation data")
    events.understood(understood(job, result))
    return job, result


def open_like(settings: FinetuneSettings, saved: SavedModel) -> OpenedData:
    """The data, read as the base's images are, with classes of their own."""
    graph = saved.model.graph
    reading = image_options(settings.data, saved)
    size = (reading["height"], reading["width"]) if "height" in reading else settings.data.image_size
    wanted = replace(settings.data, image_size=size, color=reading.get("color"), resize=reading.get("resize"))
    return open_dataset(wanted, settings.seed).adapt_to(graph.input_shapes[0])


def as_fit(settings: FinetuneSettings) -> FitSettings:
    """The part of the settings that says how rows are divided."""
    shared = ("model", "data", "val", "val_labels", "val_split", "loss", "seed")
    return FitSettings(**{name: getattr(settings, name) for name in shared})


def compiled(settings: FinetuneSettings, saved: SavedModel, new: NewHead, training: Dataset) -> TrainingConfig:
    """Loss and metrics by the new head, the optimizer as said, else the base's, else adam."""
    wanted = BuildSettings(None, loss=settings.loss, metrics=settings.metrics)
    config = compile_step(new.model.graph, wanted, training.labels)
    old = saved.training_config.optimizer if saved.training_config else None
    rate = settings.learning_rates[-1] if settings.learning_rates else None
    if settings.optimizer is not None or old is None:
        rule = chosen_optimizer(settings.optimizer, rate)
    else:
        rule = old if rate is None else replace(old, learning_rate=rate)
    return replace(config, optimizer=rule, optimizer_name=rule.name)


# What is written and told


def finish(job: Job, result: SavedModel, stages: int) -> None:
    """Put into ``result`` what the file shall say.

    The compile step gets the smallest rate that trained, so that more training does not spoil the base. There is no
    optimizer state: rates by depth are no part of it.
    """
    settings = job.settings
    graph = unfrozen_graph(settings, job.new)[0] if stages == 2 else job.new.frozen_graph
    result.model = job.new.model.with_graph(graph)
    rate = min(job.rates) if stages == 2 else job.rates[-1]
    result.training_config = replace(job.config, optimizer=replace(job.config.optimizer, learning_rate=rate))
    result.history = list(job.history)
    kept = ("pop", "at", "head", "epochs", "epochs_unfrozen", "unfreeze", "bn_update", "batch_size", "seed")
    recipe = {name: getattr(settings, name) for name in kept} | {"head": list(settings.head)}
    monitor = "val_loss" if job.validation is not None else None
    best = job.best[0] if monitor and job.best else None
    result.recipe = {"dltool": __version__, "finetune": recipe, "monitor": monitor, "best_epoch": best}
    if settings.plugins:
        result.recipe[PLUGINS] = recorded(settings.plugins)


def keep_best(job: Job, result: SavedModel, path: str) -> str:
    """After a failure: write what was best; says what was done."""
    if job.best is None:
        return "no epoch was finished, so nothing was written"
    finish(job, result, 2 if len(job.history) >= job.settings.epochs else 1)
    write(result, path)
    return f"{path} has the weights of epoch {job.best[0]}"


def understood(job: Job, result: SavedModel) -> list[str]:
    """The first lines on the screen."""
    settings, opened, split = job.settings, job.opened, result.split
    names = opened.classes or ()
    head = f"new head {' '.join(shortened(names, MOST_CLASSES))}" if names else "new head for numbers"
    norms = bool(batch_normalisations(job.new.base))
    frozen = "" if not norms else "; batch normalisation " + ("follows" if settings.bn_update else "frozen")
    unit = "images" if opened.kind == "images" else "rows"
    kind = SPLITS[split["kind"]].format(seed=settings.seed)
    parts = f"{split['train']:,} train / {split['validation']:,} val" if split["validation"] else "no validation rows"
    return [
        f"{settings.model}: {job.new.dropped} dropped, {head}{frozen}",
        f"data    {', '.join(settings.data.data)}: {len(opened.train):,} {unit}; {parts}{kind}",
        *(f"note    {note}" for note in (*opened.notes, *job.new.notes)),
    ]
