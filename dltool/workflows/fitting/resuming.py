"""``fit --resume``: which run is in the file, and whether the options and the data are those of that run.

A run writes down, beside weights and optimizer slots, all that decides how it goes on: its options, where it is within
the epoch, the running averages and what callbacks remember. Shuffling, dropout and augmentation are keyed by seed,
epoch and step, so the file that comes out at the end is that of the run which was never interrupted, byte for byte.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

from dltool.data.dataset import Dataset
from dltool.errors import DataError, UsageError
from dltool.modelfile.reading import read
from dltool.modelfile.saved import SavedModel
from dltool.settings import FitSettings
from dltool.training.run import Run
from dltool.workflows.fitting.run_record import check_record, reading_run

KEY = "run"
"""Where the run is among the callbacks of a ``TrainingState``."""

OPTIONS = {
    "arch": "--arch",
    "val_split": "--val-split",
    "epochs": "--epochs",
    "batch_size": "--batch-size",
    "optimizer": "--optimizer",
    "learning_rate": "--lr",
    "loss_weights": "--loss-weight",
    "schedule": "--schedule",
    "warmup": "--warmup",
    "loss": "--loss",
    "metrics": "--metric",
    "early_stop": "--early-stop",
    "min_delta": "--min-delta",
    "monitor": "--monitor",
    "class_weight": "--class-weight",
    "balance": "--balance",
    "decision_threshold": "--decision-threshold",
    "augment": "--augment",
    "label_smoothing": "--label-smoothing",
    "ema": "--ema",
    "time": "--time",
    "restarts": "--restarts",
    "clip_norm": "--clip-norm",
    "clip_value": "--clip-value",
    "weight_decay": "--weight-decay",
    "freeze": "--freeze",
    "seed": "--seed",
    "shuffle": "--no-shuffle",
    "exact": "--exact",
    "normalize": "--no-normalize",
    "rescale": "--no-rescale",
}
"""Fields of ``FitSettings`` that decide what comes out."""


@dataclass(frozen=True)
class Origin:
    """Where a run began, and on what.

    Attributes:
        epoch, step: done before it. validation: fingerprint of the validation rows, "" without any.
    """

    epoch: int
    step: int
    validation: str = ""


def run_state(settings: FitSettings, run: Run, origin: Origin, finished: bool) -> dict[str, Any]:
    """What ``resumed_settings`` and ``go_on`` need, as values that JSON can hold."""
    return {
        "options": {name: _plain(getattr(settings, name)) for name in OPTIONS},
        "origin": {"epoch": origin.epoch, "step": origin.step, "validation": origin.validation},
        "epochs": run.epochs,
        "batch": run.batch,
        "samples": run.samples,
        "partial": run.save_partial() if run.batch else {},
        "finished": finished,
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def interrupted_run(saved: SavedModel) -> dict[str, Any] | None:
    """The run in a file that has not come to its end; None without one."""
    found = saved.state.callbacks.get(KEY) if saved.state is not None else None
    return found if isinstance(found, dict) and found.get("finished") is False else None


def find_run(settings: FitSettings, path: str) -> SavedModel | None:
    """The file with a run to resume (or one that is finished); None when there is nothing yet, so that it starts.

    Raises:
        UsageError: the file was trained, but no run is kept in it.
    """
    if not os.path.lexists(path):
        return None
    saved = read(path)
    if saved.state is not None and KEY in saved.state.callbacks:
        return saved
    if saved.history or path != settings.model:
        raise UsageError(f"--resume: {path} holds no interrupted run; leave --resume out to train it further")
    return None


def resumed_settings(settings: FitSettings, saved: SavedModel, path: str) -> FitSettings:
    """The settings of the run in the file, for all that the user did not say.

    Raises:
        UsageError: an option differs from the run's. ModelFileError: the run in the file is none of ours.
    """
    with reading_run(path):
        check_record(saved.state.callbacks[KEY], OPTIONS)
    recorded = saved.state.callbacks[KEY]["options"]
    taken: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        theirs, mine = recorded.get(name), _plain(getattr(settings, name))
        if mine == theirs:
            continue
        found_then = name == "learning_rate" and mine == "auto"
        if mine is None or found_then or (settings.given is not None and name not in settings.given):
            taken[name] = tuple(theirs) if isinstance(theirs, list) else theirs
            continue
        raise UsageError(
            f"{option}: {_shown(mine)}, but the run in {path} has {_shown(theirs)}; "
            "give the same, or leave --resume out to start another run from here"
        )
    return replace(settings, **taken)


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def check_data(saved: SavedModel, train: Dataset, split: dict[str, Any], validation: str, source: str) -> None:
    """Raise DataError when these are not the rows of the interrupted run.

    Args:
        train: all rows of ``--data``. split: how they were divided now. validation: fingerprint of that part.
    """
    run = saved.state.callbacks[KEY]
    what = ""
    if train.fingerprint != saved.fingerprint:
        what = "the data are"
    elif split != saved.split or validation != run["origin"]["validation"]:
        what = "the validation data are"
    if what:
        raise DataError(
            f"{source}: {what} not those of the interrupted run; give the same, or leave --resume out to start another "
            "run from here"
        )


def go_on(saved: SavedModel, record: Run) -> Origin:
    """Put the record where the interrupted run was; where that began."""
    found = saved.state.callbacks[KEY]
    record.epoch, record.step, record.epochs = saved.state.epoch, saved.state.step, found["epochs"]
    record.batch, record.samples, record.partial = found["batch"], found["samples"], found["partial"]
    return Origin(**found["origin"])
