"""What ``dltool fit`` does before the first batch: open, read or build, split, choose, and check that all fits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from dltool.data.dataset import Dataset
from dltool.data.opening import OpenedData
from dltool.engine.layers import Masking
from dltool.engine.model import Model
from dltool.engine.optimizers import Optimizer
from dltool.errors import ModelFileError, UsageError
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.settings import BuildSettings, FitSettings
from dltool.training.freezing import frozen
from dltool.training.objective import Objective
from dltool.training.tabular import adapt, with_normalization, with_scaled_output
from dltool.workflows.build import (
    build_model,
    open_dataset,
)
from dltool.workflows.data_kinds import INPUT, check_range, reconstructs, token_inputs, wanted_of
from dltool.workflows.fitting.compile_step import checked_objective, compiled, continuation, unknown_optimizer
from dltool.workflows.fitting.init_weights import take_weights
from dltool.workflows.fitting.resuming import KEY, check_data
from dltool.workflows.fitting.rows import chunks_of, divide, scaling_targets, with_extra, with_own_targets
from dltool.workflows.model_data import open_for_model


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
    training, everything, added = with_extra(settings, saved, (training, validation), opened.train, saved.split)
    if is_new and has_numbers(settings, saved, opened):
        adapt(saved.model, chunks_of(training), len(training))
    if settings.freeze is not None:
        saved.model = saved.model.with_graph(frozen(saved.model.graph, settings.freeze))
    taken = take_weights(saved, settings.init_from) if settings.init_from is not None else ()
    earlier = saved.training_config.optimizer if saved.training_config else None
    strange = unknown_optimizer(settings, saved.training_config)
    saved.training_config = compiled(settings, saved, training.labels if len(training.targets) == 1 else None)
    saved.fingerprint = everything.fingerprint
    if reconstructs(settings.data, saved):
        opened, training, validation = with_own_targets(saved, opened, training, validation)
    objective = checked_objective(settings, saved, opened, training, validation)
    if reconstructs(settings.data, saved):
        check_range(objective.losses[0], training, settings.data.data[0])
    optimizer = saved.training_config.optimizer
    goes_on, note = continuation(saved, earlier, optimizer, settings.reset_optimizer)
    notes = (*saved.doubts, *strange, *opened.notes, *added, *taken, *([note] if note else []))
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
    training, everything, added = with_extra(settings, saved, (training, validation), opened.train, split)
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
