"""What ``dltool fit`` does before the first batch: open, read or build, split, choose, and check that all fits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dltool.data.augment import parse
from dltool.data.augment.base import Mixing
from dltool.data.dataset import Concatenated, Dataset, Subset
from dltool.data.opening import OpenedData
from dltool.data.split import grouped_split, stratified_split
from dltool.data.windows import Windows, time_split
from dltool.engine.layers import Masking
from dltool.engine.losses import Loss
from dltool.engine.model import Model
from dltool.engine.optimizers import Optimizer
from dltool.errors import DataError, ModelFileError, UsageError
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel, TrainingConfig
from dltool.settings import BuildSettings, DataSettings, FitSettings
from dltool.training.freezing import frozen
from dltool.training.labels import target_form
from dltool.training.objective import Objective, class_weights, make_objective, soft
from dltool.training.tabular import CHUNK_ROWS, adapt, with_normalization, with_scaled_output
from dltool.workflows.build import (
    build_model,
    chosen_metric,
    chosen_optimizer,
    compile_step,
    open_dataset,
    usual_optimizer,
)
from dltool.workflows.data_kinds import INPUT, as_reconstruction, check_range, reconstructs, token_inputs, wanted_of
from dltool.workflows.init_weights import take_weights
from dltool.workflows.model_data import naming_val_labels, open_for_model, output_weights
from dltool.workflows.resuming import KEY, check_data, interrupted_run

VALIDATION_PART = 0.2
FEWEST_TO_SPLIT = 50
"""With fewer rows nothing is held out unless asked for: ten rows measure too little to pay for what they cost."""


@dataclass(frozen=True)
class Task:
    """What will be trained on what, all of it checked.

    Attributes:
        saved: the model, with the compile step, classes and split that will be written.
        opened: the data as a whole; ``train`` and ``validation`` (or None) are the rows of each part.
        optimizer: what steps.
        goes_on: whether the optimizer's state in the file is used.
        resumed: whether the interrupted run in the file goes on.
        notes: sentences for the user. hints: remarks that help.
    """

    saved: SavedModel
    opened: OpenedData
    train: Dataset
    validation: Dataset | None
    objective: Objective
    optimizer: Optimizer
    goes_on: bool = False
    notes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    resumed: bool = False


def prepare(settings: FitSettings, resumed: SavedModel | None = None, saved: SavedModel | None = None) -> Task:
    """Everything before the first batch.

    Args:
        resumed: the file whose interrupted run shall go on. saved: the model, where it is in memory already.

    Raises:
        UsageError, DataError, ModelFileError: something does not fit; the message names the option, file or row.
    """
    if settings.epochs < 1 or settings.batch_size < 1:
        raise UsageError("--epochs, --batch-size: must be at least 1; leave them out for the defaults")
    if resumed is not None:
        return prepare_resumed(settings, resumed)
    is_new = saved is None and must_build(settings)
    return as_task(settings, *(build_for(settings) if is_new else read_for(settings, saved)), is_new)


def as_task(
    settings: FitSettings, saved: SavedModel, opened: OpenedData, remarks: tuple[str, ...], is_new: bool
) -> Task:
    """What ``build_for`` (then it is new) or ``read_for`` gave, as a task."""
    saved.classes, saved.preprocessing = opened.classes, remembered(settings, saved, opened)
    training, validation, saved.split = divide(settings, saved, opened)
    training, everything, added = with_extra(settings, saved, training, opened.train, saved.split)
    if is_new and has_numbers(settings, saved, opened):
        adapt(saved.model, chunks_of(training), len(training))
    if settings.freeze is not None:
        saved.model = saved.model.with_graph(frozen(saved.model.graph, settings.freeze))
    taken = take_weights(saved, settings.init_from) if settings.init_from is not None else ()
    earlier = saved.training_config.optimizer if saved.training_config else None
    saved.training_config = compiled(settings, saved, training.labels if len(training.targets) == 1 else None)
    saved.fingerprint = everything.fingerprint
    if reconstructs(settings.data, saved):
        opened, training, validation = with_own_targets(saved, opened, training, validation)
    objective = checked_objective(settings, saved, opened, training, validation)
    if reconstructs(settings.data, saved):
        check_range(objective.losses[0], training, settings.data.data[0])
    optimizer = saved.training_config.optimizer
    goes_on, note = continuation(saved, earlier, optimizer, settings.reset_optimizer)
    notes = (*opened.notes, *added, *taken, *([note] if note else []))
    return Task(saved, opened, training, validation, objective, optimizer, goes_on, notes, remarks)


def prepare_resumed(settings: FitSettings, saved: SavedModel, opened: OpenedData | None = None) -> Task:
    """The same for a run that goes on: the file says it all, and the data must be those of the run.

    Args:
        opened: the data, where they are open already.

    Raises:
        DataError: they are not.
    """
    if opened is None:
        opened = open_for_model(settings.data, saved, settings.loss, settings.seed)
    training, validation, split = divide(settings, saved, opened)
    training, everything, added = with_extra(settings, saved, training, opened.train, split)
    fingerprint = validation.fingerprint if validation is not None else ""
    check_data(saved, everything, split, fingerprint, ", ".join(settings.data.data))
    if reconstructs(settings.data, saved):
        opened, training, validation = with_own_targets(saved, opened, training, validation)
    objective = checked_objective(settings, saved, opened, training, validation)
    done, batch = saved.state.epoch, saved.state.callbacks[KEY]["batch"]
    where = f"in epoch {done + 1} after {batch:,} batches" if batch else f"after epoch {done}"
    notes = (*opened.notes, *added, f"resumes {where}")
    rule = saved.training_config.optimizer
    return Task(saved, opened, training, validation, objective, rule, True, notes, resumed=True)


def remembered(settings: FitSettings, saved: SavedModel, opened: OpenedData) -> dict[str, Any] | None:
    """What the model file must remember of its rows."""
    found = {**(saved.preprocessing or {}), **(opened.preprocessing or {})}
    return {"kind": "array", **found, "target": INPUT} if reconstructs(settings.data, saved) else found or None


def with_own_targets(
    saved: SavedModel, opened: OpenedData, training: Dataset, validation: Dataset | None
) -> tuple[OpenedData, Dataset, Dataset | None]:
    """The data with each row as its own target."""
    parts = [part and as_reconstruction(part, saved.model) for part in (opened.train, training, validation)]
    return replace(opened, train=parts[0]), parts[1], parts[2]


def must_build(settings: FitSettings) -> bool:
    """Whether ``--arch`` makes the model; raises when the file is missing, or in its way."""
    exists = os.path.lexists(settings.model)
    if settings.arch is None:
        if not exists:
            raise ModelFileError(
                f"{settings.model}: does not exist; build it first, or give --arch cnn to build it now"
            )
        return False
    if exists and not settings.force:
        raise UsageError(
            f"--arch: {settings.model} exists; leave --arch out to train it further, or give --force to replace it"
        )
    return True


def build_for(
    settings: FitSettings, opened: OpenedData | None = None
) -> tuple[SavedModel, OpenedData, tuple[str, ...]]:
    """A new model for the data, and hints; tables get layers that scale them."""
    wants = wanted_of(settings.data, settings.arch, settings.loss)
    if opened is None:
        opened = open_dataset(settings.data, settings.seed, wants)
    wanted = BuildSettings(
        model=None,
        arch=settings.arch,
        data=settings.data,
        loss=settings.loss,
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
        rescale=settings.rescale,
    )
    result = build_model(wanted, opened)
    saved = result.saved
    opened = opened.adapt_to(saved.model.graph.input_shapes[0])
    if has_numbers(settings, saved, opened):
        graph = with_normalization(saved.model.graph)
        if opened.classes is None and wants is None:
            graph = with_scaled_output(graph, scaling_targets(settings, opened.train))
        saved.model = Model.build(graph, settings.seed)
    return saved, opened, result.hints


def read_for(settings: FitSettings, saved: SavedModel | None = None) -> tuple[SavedModel, OpenedData, tuple[str, ...]]:
    """The model of the file, unless it is there already, and the data in its shape and class order."""
    saved = read(settings.model) if saved is None else saved
    return saved, open_for_model(settings.data, saved, settings.loss, settings.seed), ()


def has_numbers(settings: FitSettings, saved: SavedModel, opened: OpenedData) -> bool:
    """Whether a new network gets its numbers in any unit, from a table or a series, so that they are to be scaled."""
    graph = saved.model.graph
    pads = any(isinstance(layer, Masking) for layer in graph.layers.values())
    return (
        settings.normalize
        and opened.kind == "arrays"
        and len(graph.input_shapes[0]) < 3
        and not (pads or token_inputs(graph))
    )


def scaling_targets(settings: FitSettings, dataset: Dataset) -> np.ndarray:
    """The targets that decide how a new network's output is scaled: of a series only those before its validation."""
    if isinstance(dataset, Windows) and not settings.val:
        return time_split(dataset, validation_part(settings, dataset))[0].labels
    return dataset.labels


def chunks_of(dataset: Dataset) -> Callable[[], Iterator[np.ndarray]]:
    """A function that gives the rows of a table, or the steps of sequences, anew, in chunks (numbers, columns)."""
    columns = dataset.input_shapes[0][-1]
    starts = range(0, len(dataset), CHUNK_ROWS)
    pieces = [np.arange(start, min(start + CHUNK_ROWS, len(dataset))) for start in starts]
    return lambda: (dataset.fetch(rows).inputs[0].reshape(-1, columns) for rows in pieces)


def divide(
    settings: FitSettings, saved: SavedModel, opened: OpenedData
) -> tuple[Dataset, Dataset | None, dict[str, Any]]:
    """Training rows, validation rows or None, and how they were chosen."""
    training, fraction = opened.train, settings.val_split
    if settings.val and fraction:
        raise UsageError("--val-split: cannot be combined with --val; give one of the two")
    if fraction is not None and not 0 <= fraction < 1:
        raise UsageError(f"--val-split: {fraction} is no part of the data; give a number from 0 to below 1")
    if settings.val or (fraction is None and opened.valid is not None):
        if settings.data.group is not None:
            raise UsageError("--group: says how rows are split, but the validation data are given; leave it out")
        validation = open_validation(settings, saved) if settings.val else opened.valid
        return training, validation, {"kind": "given", "train": len(training), "validation": len(validation)}
    fraction = validation_part(settings, training)
    if isinstance(training, Windows) and fraction:
        parts = time_split(training, fraction)
        sizes = {"train": len(parts[0]), "validation": len(parts[1])}
        return *parts, {"kind": "the last steps", "fraction": fraction, **sizes}
    if training.groups is not None:
        return divide_groups(settings, training, fraction)
    rows, held_out = stratified_split(training.labels, fraction, settings.seed)
    if not len(held_out):
        return training, None, {"kind": "none", "train": len(training), "validation": 0}
    sizes = {"train": len(rows), "validation": len(held_out)}
    how = {"kind": "stratified", "fraction": fraction, "seed": settings.seed, **sizes}
    return Subset(training, rows), Subset(training, held_out), how


def validation_part(settings: FitSettings, training: Dataset) -> float:
    """The part of the rows that is held out where no others are given."""
    if settings.val_split is not None:
        return settings.val_split
    return VALIDATION_PART if len(training) >= FEWEST_TO_SPLIT or training.groups is not None else 0.0


def divide_groups(settings: FitSettings, training: Dataset, fraction: float) -> tuple[Dataset, Dataset, dict[str, Any]]:
    """The same with no group in both parts."""
    count = len(np.unique(training.groups))
    if count < 2:
        raise DataError(f"{settings.data.group}: all rows are of one group; a split needs two, so leave --group out")
    if not fraction:
        raise UsageError("--group: says how rows are split, but --val-split 0 turns that off; leave one of them out")
    rows, held_out = grouped_split(training.labels, training.groups, fraction, settings.seed)
    sizes = {"train": len(rows), "validation": len(held_out)}
    how = {"kind": "grouped", "groups": count, "fraction": fraction, "seed": settings.seed, **sizes}
    return Subset(training, rows), Subset(training, held_out), how


def with_extra(
    settings: FitSettings, saved: SavedModel, training: Dataset, everything: Dataset, split: dict[str, Any]
) -> tuple[Dataset, Dataset, tuple[str, ...]]:
    """The training rows, and all rows, with those of ``--extra`` after them; and what to say about it.

    ``split`` gets their number.
    """
    if not settings.extra:
        return training, everything, ()
    extra = read_as_training(settings, saved, settings.extra, None)
    weighted = ", weighted" if extra.weights is not None else ""
    rows = "row" if len(extra) == 1 else "rows"
    note = f"{', '.join(settings.extra)}: {len(extra):,} more {rows} for training{weighted}"
    split["extra"] = len(extra)
    return Concatenated([training, extra]), Concatenated([everything, extra]), (note,)


def open_validation(settings: FitSettings, saved: SavedModel) -> Dataset:
    """The rows of ``--val``, read as the training rows are."""
    with naming_val_labels():
        return read_as_training(settings, saved, settings.val, settings.val_labels)


def read_as_training(
    settings: FitSettings, saved: SavedModel, paths: tuple[str, ...], labels: str | tuple[str, ...] | None
) -> Dataset:
    """Further labelled rows, read as those of ``--data`` are."""
    data = DataSettings(
        paths, labels, allow_empty=True, skip_bad=settings.data.skip_bad, multi_label=settings.data.multi_label
    )
    return open_for_model(data, saved, settings.loss, settings.seed).train


def compiled(settings: FitSettings, saved: SavedModel, labels: np.ndarray | None) -> TrainingConfig:
    """The compile step: what the options say, else the file's, else what the head suggests.

    Raises:
        UsageError: the file's loss is unknown and ``--loss`` does not replace it.
    """
    old = saved.training_config
    config = old
    if settings.loss is None and old is not None and None in old.losses and any(old.loss_names):
        names = ", ".join(filter(None, old.loss_names))
        raise UsageError(
            f"--loss: {settings.model} was compiled with {names}, which is not known; give --loss NAME, or its --plugin"
        )
    if settings.loss is not None or old is None or None in old.losses:
        config = compile_step(saved.model.graph, BuildSettings(None, loss=settings.loss), labels)
        config = config if old is None or not old.metrics else replace(config, metrics=old.metrics)
    if settings.label_smoothing is not None:
        losses = smoothed(config.losses, settings.label_smoothing)
        config = replace(config, losses=losses, loss_names=tuple(rule.name for rule in losses))
    if settings.metrics:
        config = replace(config, metrics=tuple(map(chosen_metric, settings.metrics)))
    rule = old.optimizer if old is not None else None
    if settings.optimizer is not None or rule is None:
        name = settings.optimizer or usual_optimizer(saved.model.graph)
        rule = chosen_optimizer(name, settings.learning_rate)
    elif settings.learning_rate is not None:
        rule = replace(rule, learning_rate=settings.learning_rate)
    weights = output_weights(settings.loss_weights, saved.model.graph, config.loss_weights)
    config = replace(config, loss_weights=weights)
    rule = limited(settings, rule)
    return replace(config, optimizer=rule, optimizer_name=rule.name, unknown_metrics=())


def smoothed(losses: tuple[Loss, ...], part: float) -> tuple[Loss, ...]:
    """The losses with label smoothing. Raises UsageError for one that has none."""
    found = []
    for rule in map(soft, losses):
        if not hasattr(rule, "label_smoothing"):
            raise UsageError(f"--label-smoothing: {rule.name} has no classes to spread labels over; leave it out")
        found.append(replace(rule, label_smoothing=part))
    return tuple(found)


def limited(settings: FitSettings, rule: Optimizer) -> Optimizer:
    """The optimizer with the clipping and weight decay that the options say. Raises UsageError."""
    if settings.clip_norm is not None and settings.clip_value is not None:
        raise UsageError("--clip-value: cannot be combined with --clip-norm; give one of the two")
    if settings.clip_norm is not None or settings.clip_value is not None:
        limits = {"clipnorm": settings.clip_norm, "clipvalue": settings.clip_value, "global_clipnorm": None}
        rule = replace(rule, **limits)
    if settings.weight_decay is not None:
        rule = replace(rule, weight_decay=settings.weight_decay)
    if settings.schedule != "constant":
        rule = replace(rule, decay=0.0, schedule=None)  # the schedule replaces it
    return rule


def checked_objective(
    settings: FitSettings, saved: SavedModel, opened: OpenedData, training: Dataset, validation: Dataset | None
) -> Objective:
    """The objective, after all labels (of all that was opened, so that rows are the file's), weights and monitor."""
    config = saved.training_config
    objective = make_objective(
        saved.model,
        opened.train.targets,
        losses=config.losses,
        loss_weights=config.loss_weights,
        metrics=config.metrics,
        sources=opened.label_sources,
        mixes=any(isinstance(operation, Mixing) for operation in parse(settings.augment or "")),
    )
    further = [(validation, settings.val[0] if settings.val else opened.label_sources[0])] if validation else []
    further += [(training, settings.extra[0])] if settings.extra else []
    for part, source in further:
        for rule, head, labels in zip(objective.losses, objective.heads, part.targets, strict=True):
            target_form(rule, head, labels, source)
    if settings.class_weight is not None:
        if training.classes is None or training.labels.ndim > 1:
            what = "numbers, not classes" if training.classes is None else "several per row"
            raise UsageError(f"--class-weight: the labels are {what}; leave it out")
        weights = class_weights(settings.class_weight, training.classes, training.labels)
        objective = replace(objective, class_weights=weights)
    objective.monitor(settings.monitor, validation is not None)
    return objective


STEP_SIZES = ("learning_rate", "decay", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm")
"""Options that do not change what an optimizer's running averages mean."""


def continuation(
    saved: SavedModel, earlier: Optimizer | None, optimizer: Optimizer, reset: bool = False
) -> tuple[bool, str]:
    """Whether the file's optimizer state is used, and what to say about it.

    It is when class and options are the same; ``STEP_SIZES`` may differ.
    """
    state = saved.state
    if state is None:
        return False, ""
    if reset:
        return False, f"{optimizer.name} starts anew from the best weights"
    steps = {name: getattr(optimizer, name) for name in STEP_SIZES}
    same = type(earlier) is type(optimizer) and replace(earlier, **steps) == optimizer
    size = saved.model.weights.num_trainable
    fits = {name: slot.size for name, slot in state.slots.items()} == dict.fromkeys(optimizer.kept, size)
    if same and fits:
        after = f"epoch {state.epoch}" if state.epoch else f"step {state.step:,}"
        note = f"goes on after {after} with the state of {optimizer.name}"
        if interrupted_run(saved) is not None:
            note += ", as another run; --resume continues the one that was interrupted"
        return True, note
    before = "another optimizer" if earlier is None else earlier.name
    if before == optimizer.name:
        before += " with other options"
    return False, f"the file's optimizer state is of {before}; {optimizer.name} starts anew from the best weights"
