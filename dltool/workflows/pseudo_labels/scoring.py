"""The two predictions behind ``dltool pseudo-label``: of labelled rows that the model has not seen, and of the pool."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from dltool.data.dataset import Dataset
from dltool.data.loader import Loader
from dltool.data.opening import OpenedData
from dltool.engine.executor import Executor
from dltool.errors import ShortError, UsageError
from dltool.modelfile.saved import SavedModel
from dltool.settings import DataSettings, FitSettings, PredictSettings, PseudoLabelSettings
from dltool.training.calibration import Temperature, calibration_error, fit_temperature, log_loss, tempered
from dltool.training.loop import predict as predict_batches
from dltool.training.objective import class_indices
from dltool.training.pseudo_labels import Scores
from dltool.workflows import predict
from dltool.workflows.fitting.rows import divide, real_names
from dltool.workflows.model_data import naming_val_labels, open_for_model, sized
from dltool.workflows.scoring import Reading

Progress = Callable[[int, int], None]
"""Called with rows done and rows in total."""
CHUNK_ROWS = 1024
SUM_TOLERANCE = 1e-3
"""Probabilities of a row that miss a sum of 1 by more are of independent labels."""


@dataclass(frozen=True)
class Labelled:
    """What is known for certain.

    Attributes:
        opened: the training data, without what is held out of them; None where there are none.
        validation: rows that the model was not trained on.
        files: all of their files; empty for arrays.
    """

    opened: OpenedData | None
    validation: Dataset
    files: frozenset[str]

    @property
    def labels(self) -> np.ndarray:
        """(n,) the classes of the training rows, of the validation rows where there are none."""
        return class_indices((self.opened.train if self.opened else self.validation).labels)


def labelled(settings: PseudoLabelSettings, saved: SavedModel) -> Labelled:
    """The training data, if given, and rows that the model was not trained on.

    Without ``val`` these are the data's valid/ folder, or the part that ``dltool fit`` held out, which the model file
    remembers.
    """
    opened = open_for_model(settings.data, saved) if settings.data.data else None
    if settings.val:
        validation = open_val(settings, saved)
        files = image_files(validation) | (image_files(opened) if opened else frozenset())
        return Labelled(opened, validation.train, files)
    if opened is None:
        raise UsageError("--val: missing; give labelled rows that the model was not trained on, as --val val/")
    files = image_files(opened)
    if opened.valid is not None:
        return Labelled(opened, opened.valid, files)
    split = saved.split or {}
    if not split.get("fraction") or split.get("data", saved.fingerprint) != opened.train.fingerprint:
        raise UsageError(
            f"--val: missing, and {settings.model} was not trained on this --data with a part held out; give labelled "
            "rows that it was not trained on"
        )
    if split.get("kind") == "grouped":
        raise UsageError(
            f"--val: missing, and what {settings.model} held out went by groups (--group); give labelled rows of other "
            "groups than it was trained on"
        )
    same = FitSettings(settings.model, settings.data, val_split=split["fraction"], seed=split["seed"])
    training, held_out, _ = divide(same, saved, opened)
    return Labelled(replace(opened, train=training), held_out, files)


def open_val(settings: PseudoLabelSettings, saved: SavedModel) -> OpenedData:
    """The rows of ``settings.val``."""
    wanted = DataSettings(settings.val, settings.val_labels, allow_empty=True, skip_bad=settings.data.skip_bad)
    with naming_val_labels():
        return open_for_model(replace(wanted, class_names=settings.data.class_names), saved)


def image_files(opened: OpenedData) -> frozenset[str]:
    """The files of labelled images, a valid/ folder's too; empty for arrays."""
    if opened.kind != "images":
        return frozenset()
    parts = [part for part in (opened.train, opened.valid) if part is not None]
    return frozenset(name for part in parts for name in real_names(part))


@dataclass(frozen=True)
class Judge:
    """From a model's probabilities to the class it says and how sure it is of that.

    Attributes:
        temperature: what the probabilities are divided by, in logarithms; the class is said by the model's own.
    """

    reading: Reading
    temperature: float = 1.0

    def __call__(self, probs: np.ndarray) -> Scores:
        """(n, classes) probabilities as the model gives them."""
        predicted = self.reading.decide(probs)
        return Scores(predicted, tempered(probs, self.temperature)[np.arange(len(probs)), predicted])


@dataclass(frozen=True)
class Examined:
    """A model on the validation rows.

    Attributes:
        judge: how its probabilities are read from now on. seen: its predictions. right: (n,) whether they are right.
        temperature: None where the probabilities are the model's own. loss: the log loss, after calibration.
    """

    judge: Judge
    seen: Scores
    right: np.ndarray
    temperature: Temperature | None
    loss: float

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @property
    def merit(self) -> tuple[int, float]:
        """What is larger for the better model: rows that are right, and among equals how little it doubts them."""
        return int(self.right.sum()), -self.loss


def examine(settings: PseudoLabelSettings, saved: SavedModel, validation: Dataset) -> Examined:
    """Predict the validation rows and, unless ``settings`` says otherwise, calibrate the model on them.

    One number is fitted, so the thresholds may come from the same rows. Probabilities of independent labels (several
    sigmoid units) are left as they are.
    """
    reading = Reading(saved)
    probs, labels = validation_probabilities(settings, saved, reading, validation)
    plain = Judge(reading)
    seen = plain(probs)
    right = seen.predicted == labels
    if not settings.calibrate or np.abs(probs.sum(axis=1) - 1).max() > SUM_TOLERANCE:
        return Examined(plain, seen, right, None, log_loss(probs, labels))
    judge = Judge(reading, fit_temperature(probs, labels))
    calibrated = judge(probs)
    errors = [calibration_error(scores.confidence, right) for scores in (seen, calibrated)]
    loss = log_loss(tempered(probs, judge.temperature), labels)
    return Examined(judge, calibrated, right, Temperature(judge.temperature, *errors), loss)


def validation_probabilities(
    settings: PseudoLabelSettings, saved: SavedModel, reading: Reading, dataset: Dataset
) -> tuple[np.ndarray, np.ndarray]:
    """(n, classes) probabilities and (n,) classes of labelled rows."""
    size = min(settings.batch_size, len(dataset))
    model = sized(saved.model, dataset.input_shapes[0])
    probs, labels = [], []
    with (
        Executor(model, batch_size=size, jobs=settings.jobs, backend=settings.backend) as executor,
        Loader(dataset, size, shuffle=False) as loader,
    ):
        for batch, outputs in predict_batches(executor, loader.epoch(0)):
            probs.append(reading(outputs[0]))
            labels.append(class_indices(batch.targets[0]))
    return np.concatenate(probs), np.concatenate(labels)


@dataclass(frozen=True)
class Pool:
    """The unlabelled rows.

    Attributes:
        paths: what to call each row in a list. scores: their predictions.
        failed: what is wrong with the rows that cannot be read.
        num_known: how many were left out because they are labelled already.
    """

    paths: list[str]
    scores: Scores
    failed: list[str]
    num_known: int

    @property
    def notes(self) -> tuple[str, ...]:
        if not self.num_known:
            return ()
        what = "row that is" if self.num_known == 1 else "rows that are"
        return (f"left out {self.num_known:,} {what} labelled already",)


def score_pool(
    settings: PseudoLabelSettings,
    known: frozenset[str],
    judge: Callable[[np.ndarray], Scores],
    progress: Progress | None,
) -> Pool:
    """Predictions for the rows that can be read and are not labelled already. Raises ShortError without any.

    Args:
        known: the files that are labelled. judge: from (n, classes) probabilities to scores.
    """
    paths, found, failed, num_known = [], [], [], 0
    rows = predict.run(pool_settings(settings), progress).rows
    with closing(rows):
        for chunk in chunks(rows):
            kept = []
            for row in chunk:
                if row.error is not None:
                    failed.append(row.error)
                elif known and os.path.realpath(row.path) in known:
                    num_known += 1
                else:
                    kept.append(row)
            if kept:
                paths += [row.path for row in kept]
                found.append(judge(np.stack([row.probs for row in kept])))
    if not paths:
        reason = f"nothing could be read; the first reason: {failed[0]}" if failed else "all rows are labelled already"
        raise ShortError(f"{settings.unlabelled[0]}: {reason}")
    joined = [np.concatenate([getattr(part, name) for part in found]) for name in ("predicted", "confidence")]
    return Pool(paths, Scores(*joined), failed, num_known)


def pool_settings(settings: PseudoLabelSettings) -> PredictSettings:
    return PredictSettings(
        settings.model,
        settings.unlabelled,
        settings.batch_size,
        settings.jobs,
        settings.backend,
        data=replace(settings.data, data=(), labels=None, limit=None),
    )


def chunks(rows: Iterable[predict.PredictRow]) -> Iterator[list[predict.PredictRow]]:
    """The rows some at a time, so that arithmetic on them is done once for many."""
    rows = iter(rows)
    while chunk := list(islice(rows, CHUNK_ROWS)):
        yield chunk
