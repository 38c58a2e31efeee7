"""The compile step of ``dltool fit``: losses, metrics and optimizer from the options, the file and the head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dltool.data.augment import parse
from dltool.data.augment.base import Mixing
from dltool.data.dataset import Dataset
from dltool.data.opening import OpenedData
from dltool.engine.losses import Loss
from dltool.engine.optimizers import Optimizer
from dltool.errors import UsageError
from dltool.modelfile.saved import SavedModel, TrainingConfig
from dltool.settings import BuildSettings, FitSettings
from dltool.training.labels import target_form
from dltool.training.objective import Objective, class_weights, make_objective, soft
from dltool.workflows.build import (
    chosen_metric,
    chosen_optimizer,
    compile_step,
    usual_optimizer,
)
from dltool.workflows.fitting.resuming import interrupted_run
from dltool.workflows.model_data import loss_of, output_weights


def compiled(settings: FitSettings, saved: SavedModel, labels: np.ndarray | None) -> TrainingConfig:
    """The compile step: what the options say, else the file's, else what the head suggests.

    Raises:
        UsageError: the file's loss is unknown, or missing, and ``--loss`` does not replace it.
    """
    old = saved.training_config
    config = old
    if settings.loss is not None or old is None or None in old.losses:
        losses = kept_losses(settings, saved)
        config = compile_step(saved.model.graph, BuildSettings(None, loss=settings.loss), labels)
        config = replace(config, losses=tuple(a or b for a, b in zip(losses, config.losses, strict=True)))
        config = replace(config, loss_names=tuple(rule.name for rule in config.losses))
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


def kept_losses(settings: FitSettings, saved: SavedModel) -> tuple[Loss | None, ...]:
    """Per output the file's loss where the options name no other, None for the rest.

    Raises:
        UsageError: the file's loss is unknown, or it has one for other outputs only, and ``--loss`` says none.
    """
    old, names = saved.training_config, saved.model.graph.output_names
    said = [loss_of(settings.loss, name) is not None for name in names]
    if old is None or not any(old.loss_names):
        return (None,) * len(names)
    for name, spelled, rule, is_said in zip(names, old.loss_names, old.losses, said, strict=True):
        if rule is None and spelled and not is_said:
            raise UsageError(
                f"--loss: {settings.model} was compiled with {spelled}, which is not known; "
                "give --loss NAME, or its --plugin"
            )
        if rule is None and not is_said:
            raise UsageError(
                f"--loss: {settings.model} was compiled without a loss for its output {name!r}; "
                f"give --loss {name}=NAME, and --loss-weight {name}=0 where it should not count"
            )
    return tuple(None if is_said else rule for rule, is_said in zip(old.losses, said, strict=True))


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


def unknown_optimizer(settings: FitSettings, old: TrainingConfig | None) -> tuple[str, ...]:
    """A sentence when the file's optimizer is not known and the options do not replace it."""
    if old is None or old.optimizer is not None or not old.optimizer_name or settings.optimizer is not None:
        return ()
    return (f"the file's optimizer {old.optimizer_name} is not known; --optimizer says which to use instead",)


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
