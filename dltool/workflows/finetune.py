"""``dltool finetune``: a trained network gets a new head for other classes.

Stage 1 trains the head on the frozen base, whose features are computed once where there is room. Stage 2 (several with
``gradual``) trains base and head together at rates that rise with depth; frozen batch normalisation stays in inference
mode. The best epoch of all stages is kept.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, replace

from dltool.data.dataset import Dataset
from dltool.data.opening import OpenedData
from dltool.engine.graph import Graph
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
from dltool.training.waiting import Waiting
from dltool.version import __version__
from dltool.wording import counted
from dltool.workflows.build import chosen_optimizer, compile_step, open_dataset
from dltool.workflows.finetuning.feature_cache import Cache, check_features, planned_cache
from dltool.workflows.finetuning.features import num_bytes, size_text
from dltool.workflows.finetuning.new_head import NewHead, exchange_head, feature_shape, kept_part
from dltool.workflows.finetuning.stages import (
    Job,
    Stage,
    StageEvents,
    has_own_validation,
    head_stage,
    objective_of,
    rates_text,
    shortened,
    thawed_stage,
)
from dltool.workflows.finetuning.unfreezing import stages_after_head, with_epochs
from dltool.workflows.fitting.augmenting import augment_for
from dltool.workflows.fitting.rows import divide
from dltool.workflows.model_data import image_options, sized
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
    stages: one or more. history: one dict per epoch, numbered through all stages.
    seconds: from the first check to the written file. waiting: how long each stage waited for its rows.
    """

    path: str
    stages: tuple[Stage, ...]
    history: tuple[dict[str, float], ...]
    seconds: float
    waiting: tuple[Waiting, ...] = ()


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
    return FinetuneResult(path, stages, tuple(job.history), time.monotonic() - start, tuple(job.waiting))


def train_stages(job: Job, result: SavedModel, path: str) -> tuple[Stage, ...]:
    """Train stage by stage, and write the file. Raises DivergedError, LaneDied."""
    try:
        head_stage(job)
        for thaw in job.thaws:
            if not job.stopper.caught:
                thawed_stage(job, thaw)
    except DivergedError as error:
        raise DivergedError(f"{error}; {keep_best(job, result, path)}") from None
    except LaneDied as error:
        raise LaneDied(f"{error}; {keep_best(job, result, path)}") from error
    finish(job, result)
    write(result, path)
    return tuple(job.stages)


def target(settings: FinetuneSettings) -> str:
    """Where to write. Raises UsageError when that would replace the base unasked."""
    path = settings.output or settings.model
    if settings.output is None and not settings.force:
        raise UsageError(f"-o: missing; name the new model, or give --force to replace {settings.model}")
    if (settings.epochs is not None and settings.epochs < 1) or settings.batch_size < 1:
        raise UsageError("--epochs, --batch-size: must be at least 1; leave them out for the defaults")
    if settings.gradual and settings.epochs_unfrozen == 0:
        raise UsageError("--gradual: needs passes to share; give --epochs-unfrozen 1 or more")
    check_features(settings)
    check_model_target(path, overwrite=settings.force)
    return path


def prepare(settings: FinetuneSettings, saved: SavedModel, events: StageEvents) -> tuple[Job, SavedModel]:
    """Everything before the first batch: the job, and what will be written."""
    kept = kept_part(settings, saved)
    opened = open_like(settings, saved, kept)
    new = exchange_head(settings, saved, kept, opened)
    result = SavedModel(new.model, opened.classes, opened.preprocessing, fingerprint=opened.train.fingerprint)
    training, validation, result.split = divide(as_fit(settings), result, opened)
    settings = with_epochs(settings, len(training))
    config = compiled(settings, saved, new, training)
    rates = settings.learning_rates or tuple(part * config.optimizer.learning_rate for part in SPREAD)
    job = Job(settings, new, opened, training, validation, config, rates, events, StopOnSignal(events))
    shaped = sized(new.model.with_graph(new.base), opened.input_shape).graph
    job.thaws = stages_after_head(settings, new.base, shaped, new.fixed)
    job.augment = augment_for(settings.augment, settings.seed, training)
    job.cache = chosen_cache(job)
    objective_of(job, new.model, opened.train)  # refuses labels that do not fit, with their rows
    if validation is not None:
        objective = objective_of(job, new.model, training)
        target_form(objective.losses[0], objective.heads[0], validation.labels, "validation data")
    events.understood(understood(job, result))
    events.planned(settings.epochs + sum(thaw.epochs for thaw in job.thaws))
    return job, result


def chosen_cache(job: Job) -> Cache | None:
    """Where features go; None: the base runs in every epoch. Raises UsageError, OutputError."""
    settings = job.settings
    if job.augment is not None:
        option = "--features" if settings.features is not None else "--precompute" if settings.precompute else ""
        if option:
            raise UsageError(
                f"{option}: cannot be combined with --augment, because features are computed once from unchanged "
                "pixels and every epoch would train on the same; leave one of the two out"
            )
        return None
    rows = (len(job.opened.train), len(job.validation) if has_own_validation(job) else 0)
    shape = feature_shape(job.new.base, job.opened.input_shape)
    found = planned_cache(settings, rows, shape, 4 * job.new.model.weights.num_parameters)
    if found is None and settings.precompute is None:
        needed = size_text(num_bytes(sum(rows), shape))
        job.notes = (f"features would need {needed}, for which there is no room: the base runs in every epoch",)
    return found


def open_like(settings: FinetuneSettings, saved: SavedModel, kept: Graph) -> OpenedData:
    """The data, read as the base's images are (but in the size that was asked for), with classes of their own."""
    reading = image_options(settings.data, saved)
    size = (reading["height"], reading["width"]) if "height" in reading else settings.data.image_size
    wanted = replace(settings.data, image_size=size, color=reading.get("color"), resize=reading.get("resize"))
    return open_dataset(wanted, settings.seed).adapt_to(kept.input_shapes[0])


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


def finish(job: Job, result: SavedModel) -> None:
    """Put into ``result`` what the file shall say.

    The compile step gets the smallest rate that trained, so that more training does not spoil the base. There is no
    optimizer state: rates by depth are no part of it.
    """
    settings = job.settings
    result.model = job.new.model.with_graph(job.new.thawed(job.free))
    rate = min(job.rates) if job.free else job.rates[-1]
    result.training_config = replace(job.config, optimizer=replace(job.config.optimizer, learning_rate=rate))
    result.history = list(job.history)
    kept = ("pop", "at", "epochs", "epochs_unfrozen", "unfreeze", "gradual", "bn", "preprocess", "batch_size", "seed")
    recipe = {name: getattr(settings, name) for name in kept} | {"head": list(settings.head)}
    monitor = "val_loss" if job.validation is not None else None
    best = job.best[0] if monitor and job.best else None
    result.recipe = {
        "dltool": __version__,
        "finetune": recipe,
        "augment": settings.augment,
        "monitor": monitor,
        "best_epoch": best,
    }
    if settings.plugins:
        result.recipe[PLUGINS] = recorded(settings.plugins)


def keep_best(job: Job, result: SavedModel, path: str) -> str:
    """After a failure: write what was best; says what was done."""
    if job.best is None:
        return "no epoch was finished, so nothing was written"
    finish(job, result)
    write(result, path)
    return f"{path} has the weights of epoch {job.best[0]}"


def understood(job: Job, result: SavedModel) -> list[str]:
    """The first lines on the screen."""
    settings, opened, split = job.settings, job.opened, result.split
    names = opened.classes or ()
    head = f"new head {' '.join(shortened(names, MOST_CLASSES))}" if names else "new head for numbers"
    norms = bool(batch_normalisations(job.new.base))
    frozen = "" if not norms else "; batch normalisation " + ("follows" if settings.bn == "update" else "frozen")
    unit = "images" if opened.kind == "images" else "rows"
    kind = SPLITS[split["kind"]].format(seed=settings.seed)
    parts = f"{split['train']:,} train / {split['validation']:,} val" if split["validation"] else "no validation rows"
    return [
        f"{settings.model}: {job.new.dropped}, {head}{frozen}",
        f"data    {', '.join(settings.data.data)}: {len(opened.train):,} {unit}; {parts}{kind}",
        *(f"note    {note}" for note in (*opened.notes, *job.new.notes, *job.notes)),
        *plan(job),
    ]


def plan(job: Job) -> list[str]:
    """With --gradual: the stages to come, each with what it adds, at which rates."""
    if not job.settings.gradual:
        return []
    rows = [("head only", job.settings.epochs, job.new.head_names)]
    rows += [(f"and {thaw.words}", thaw.epochs, thaw.added) for thaw in job.thaws]
    return [
        f"plan    {number}  {what}, lr {rates_text(job, names)}, {counted(epochs, 'epoch')}"
        for number, (what, epochs, names) in enumerate(rows, 1)
    ]
