"""Which rows ``dltool fit`` trains on, and which it validates by."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from dltool.data.dataset import Concatenated, Dataset, Subset
from dltool.data.opening import OpenedData
from dltool.data.split import grouped_split, stratified_split
from dltool.data.windows import Windows, time_split
from dltool.errors import DataError, UsageError
from dltool.modelfile.saved import SavedModel
from dltool.settings import DataSettings, FitSettings
from dltool.training.tabular import CHUNK_ROWS
from dltool.wording import counted
from dltool.workflows.data_kinds import as_reconstruction
from dltool.workflows.model_data import naming_val_labels, open_for_model

VALIDATION_PART = 0.2


FEWEST_TO_SPLIT = 50
"""With fewer rows nothing is held out unless asked for: ten rows measure too little to pay for what they cost."""


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
    settings: FitSettings,
    saved: SavedModel,
    parts: tuple[Dataset, Dataset | None],
    everything: Dataset,
    split: dict[str, Any],
) -> tuple[Dataset, Dataset, tuple[str, ...]]:
    """The training rows, and all rows, with those of ``--extra`` after them; and what to say about it.

    Args:
        parts: training and validation rows. everything: the rows of ``--data``.
        split: gets the number of further rows, and the fingerprint of those of ``--data`` alone.

    Raises:
        DataError: all further rows are validation rows; such rows are left out.
    """
    training, validation = parts
    if not settings.extra:
        return training, everything, ()
    sources, found = ", ".join(settings.extra), read_as_training(settings, saved, settings.extra, None)
    extra = apart_from(validation, found)
    if not len(extra):
        raise DataError(f"{sources}: all its rows are validation rows; give others")
    weighted = ", weighted" if extra.weights is not None else ""
    note = f"{sources}: {counted(len(extra), 'more row')} for training{weighted}"
    if len(extra) < len(found):
        note += f"; left out {len(found) - len(extra):,} that validate"
    split |= {"extra": len(extra), "data": everything.fingerprint}
    return Concatenated([training, extra]), Concatenated([everything, extra]), (note,)


def apart_from(validation: Dataset | None, extra: Dataset) -> Dataset:
    """The rows of ``extra`` that are no validation rows: what a model has learnt tells nothing about it."""
    held_out = set() if validation is None else set(real_names(validation))
    rows = np.array([row for row, name in enumerate(real_names(extra)) if name not in held_out], np.int64)
    return extra if len(rows) == len(extra) else Subset(extra, rows)


def real_names(dataset: Dataset) -> list[str]:
    """What each row is called, links followed."""
    return [os.path.realpath(name) for name in dataset.names(np.arange(len(dataset)))]


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


def with_own_targets(
    saved: SavedModel, opened: OpenedData, training: Dataset, validation: Dataset | None
) -> tuple[OpenedData, Dataset, Dataset | None]:
    """The data with each row as its own target."""
    parts = [part and as_reconstruction(part, saved.model) for part in (opened.train, training, validation)]
    return replace(opened, train=parts[0]), parts[1], parts[2]


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
