"""The two predictions behind ``dltool pseudo-label``: of labelled rows that the model has not seen, and of the pool."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dltool.data.dataset import Dataset
from dltool.data.loader import Loader
from dltool.data.opening import OpenedData
from dltool.engine.executor import Executor
from dltool.errors import ShortError, UsageError
from dltool.modelfile.saved import SavedModel
from dltool.settings import DataSettings, FitSettings, PredictSettings, PseudoLabelSettings
from dltool.training.loop import predict as predict_batches
from dltool.training.objective import class_indices
from dltool.training.pseudo_labels import Scores
from dltool.workflows import predict
from dltool.workflows.fit_task import divide
from dltool.workflows.model_data import naming_val_labels, open_for_model, probabilities, sized

Progress = Callable[[int, int], None]
"""Called with rows done and rows in total."""


def labelled(settings: PseudoLabelSettings, saved: SavedModel) -> tuple[OpenedData | None, Dataset]:
    """The training data, if given, and rows that the model was not trained on.

    Without ``val`` these are the data's valid/ folder, or the part that ``dltool fit`` held out, which the model file
    remembers.
    """
    opened = open_for_model(settings.data, saved) if settings.data.data else None
    if settings.val:
        wanted = DataSettings(settings.val, settings.val_labels, allow_empty=True, skip_bad=settings.data.skip_bad)
        with naming_val_labels():
            return opened, open_for_model(replace(wanted, class_names=settings.data.class_names), saved).train
    if opened is None:
        raise UsageError("--val: missing; give labelled rows that the model was not trained on, as --val val/")
    if opened.valid is not None:
        return opened, opened.valid
    split = saved.split or {}
    if not split.get("fraction") or saved.fingerprint != opened.train.fingerprint:
        raise UsageError(
            f"--val: missing, and {settings.model} was not trained on this --data with a part held out; give labelled "
            "rows that it was not trained on"
        )
    same = FitSettings(settings.model, settings.data, val_split=split["fraction"], seed=split["seed"])
    training, held_out, _ = divide(same, saved, opened)
    return replace(opened, train=training), held_out


def score(settings: PseudoLabelSettings, saved: SavedModel, dataset: Dataset) -> tuple[Scores, np.ndarray]:
    """Predictions for labelled rows, and (n,) whether they are right."""
    size = min(settings.batch_size, len(dataset))
    model = sized(saved.model, dataset.input_shapes[0])
    predicted, confidence, right = [], [], []
    with (
        Executor(model, batch_size=size, jobs=settings.jobs, backend=settings.backend) as executor,
        Loader(dataset, size, shuffle=False) as loader,
    ):
        for batch, outputs in predict_batches(executor, loader.epoch(0)):
            probs = probabilities(saved, outputs[0])
            predicted.append(probs.argmax(axis=-1))
            confidence.append(probs.max(axis=-1))
            right.append(predicted[-1] == class_indices(batch.targets[0]))
    return Scores(np.concatenate(predicted), np.concatenate(confidence)), np.concatenate(right)


@dataclass(frozen=True)
class Pool:
    """The unlabelled rows.

    Attributes:
        paths: what to call each row in a list. scores: their predictions.
        failed: what is wrong with the rows that cannot be read.
        num_known: how many were left out because they are labelled in the data.
    """

    paths: list[str]
    scores: Scores
    failed: list[str]
    num_known: int


def score_pool(
    settings: PseudoLabelSettings, names: tuple[str, ...], opened: OpenedData | None, progress: Progress | None
) -> Pool:
    """Predictions for the rows that can be read and are not labelled already. Raises ShortError without any."""
    wanted = PredictSettings(
        settings.model,
        settings.unlabelled,
        settings.batch_size,
        settings.jobs,
        settings.backend,
        data=replace(settings.data, data=(), labels=None, limit=None),
    )
    number, known = {name: i for i, name in enumerate(names)}, labelled_files(opened)
    paths, predicted, confidence, failed, num_known = [], [], [], [], 0
    for row in predict.run(wanted, progress).rows:
        if row.error is not None:
            failed.append(row.error)
        elif known and os.path.realpath(row.path) in known:
            num_known += 1
        else:
            paths.append(row.path)
            predicted.append(number[row.label])
            confidence.append(row.prob)
    if not paths:
        reason = f"nothing could be read; the first reason: {failed[0]}" if failed else "all rows are labelled already"
        raise ShortError(f"{settings.unlabelled[0]}: {reason}")
    return Pool(paths, Scores(np.array(predicted), np.array(confidence)), failed, num_known)


def labelled_files(opened: OpenedData | None) -> set[str]:
    """The files of the labelled data; empty for arrays."""
    if opened is None or opened.kind != "images":
        return set()
    return {os.path.realpath(name) for name in opened.train.names(np.arange(len(opened.train)))}
