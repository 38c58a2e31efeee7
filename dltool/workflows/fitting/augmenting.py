"""``--augment``: from text to what changes the rows of a training, and the contact sheet of ``--augment-preview``."""

from __future__ import annotations

import os

from dltool.data.augment import Augment, parse
from dltool.data.augment.preview import contact_sheet, value_span
from dltool.data.dataset import Dataset
from dltool.errors import UsageError
from dltool.modelfile.atomic import check_target, replacing
from dltool.settings import FitSettings
from dltool.workflows.fitting.task import Task


def chosen_augment(settings: FitSettings, task: Task) -> Augment | None:
    """What changes the training rows; None for nothing. Raises UsageError when it does not fit them."""
    return augment_for(settings.augment, settings.seed, task.train)


def augment_for(text: str | None, seed: int, training: Dataset) -> Augment | None:
    """What ``text`` makes of training rows; None for nothing. Raises UsageError when it does not fit them."""
    operations = parse(text or "")
    if not operations:
        return None
    augment = Augment(operations, seed, value_span(training))
    augment.check(training.input_shapes)
    if augment.mixes and len(training.targets) > 1:
        raise UsageError(f"--augment: {augment.mixes[0].name} mixes labels, but the model has several outputs")
    return augment


def check_preview(settings: FitSettings) -> None:
    """Raise UsageError or OutputError when the contact sheet cannot be made."""
    path = settings.augment_preview
    if not path.lower().endswith(".png"):
        raise UsageError(f"--augment-preview: {path} is no .png; name it so")
    if not parse(settings.augment or ""):
        raise UsageError("--augment-preview: needs --augment; say what to show, as --augment medium")
    check_target(path, overwrite=settings.force)


def write_preview(settings: FitSettings, task: Task) -> str:
    """Draw the contact sheet; what to say about it. Raises OutputError."""
    augment = chosen_augment(settings, task)
    if len(task.train.input_shapes[0]) not in (2, 3):
        raise UsageError("--augment-preview: rows are no images, there is nothing to show; leave it out")
    picture, path = contact_sheet(task.train, augment), settings.augment_preview
    with replacing(path, len(picture)) as descriptor, os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(picture)
    return f"wrote   {path}: the original, then epochs 1 to 7 of {', '.join(map(str, augment.operations))}"
