"""The record of one training run, handed to every callback."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dltool.engine.batch import Batch
from dltool.engine.model import Model
from dltool.training.waiting import Waiting


@dataclass
class Run:
    """Where a training run is and what it measured; callbacks read it and may set ``stop``.

    A run goes on from ``epoch`` and ``step``: zero for a fresh model, the earlier run's counts for more epochs. With
    ``batch``, ``samples`` and ``partial`` of an earlier run it goes on in the middle of the epoch after ``epoch``.

    Attributes:
        model: the model being trained; its weights change in place.
        epochs: number of the last epoch that was asked for.
        learning_rate: what the next step uses; a callback may change it.
        momentum: what the next step uses instead of the optimizer's own; None for that.
        rate_at: (step, learning_rate) -> the rate after what the optimizer itself does to it.
        epoch: the current epoch, counted from 1 over all runs of this model; 0 before the first.
        step: optimizer steps done, over all runs of this model.
        history: one dict per finished epoch: ``epoch``, ``loss``, the metrics, the same with ``val_``,
            ``learning_rate``.
        steps_per_epoch: batches in one epoch.
        num_rows: training rows in one epoch.
        batch: batches done in this epoch.
        samples: rows done in this epoch.
        batch_loss: loss of the last batch, regularisation included; NaN before the first.
        last_rows: rows of the last step, where they are known.
        failed: the batch, as the losses take it, whose loss was not finite.
        done: the last epoch that ended, its validation included.
        validated: rows of ``num_validation`` that the validation after this epoch has seen.
        seconds: duration of the last finished epoch, validation included.
        stop: why training shall stop; empty to go on. Looked at after every batch and every epoch.
        interrupted: True when ``stop`` is for a person or the system: a validation that runs is left, too.
        cut: True when an epoch that is stopped in its middle counts as ended.
        averaged: what is measured and kept instead of the weights, a running average of them; None: they themselves.
        waiting: how long the training batches took so far, and how much of that was waiting for their rows.
        monitor: the name in ``logs`` that decides which epoch is best; None without one.
        best_epoch: the epoch with the best monitored value; None before one is known.
        is_best: True when the epoch that just ended is the best so far.
        partial: the running averages of the epoch, to go on with in its middle; {} at its begin.
        save_partial: gives what ``partial`` must be to go on from here.
    """

    model: Model
    epochs: int
    learning_rate: float
    momentum: float | None = None
    epoch: int = 0
    step: int = 0
    rate_at: Callable[[int, float], float] = lambda step, rate: rate
    history: list[dict[str, float]] = field(default_factory=list)
    steps_per_epoch: int = 0
    num_rows: int = 0
    batch: int = 0
    samples: int = 0
    batch_loss: float = math.nan
    last_rows: np.ndarray | None = None
    failed: Batch | None = None
    done: int = 0
    validated: int = 0
    num_validation: int = 0
    seconds: float = 0.0
    stop: str = ""
    interrupted: bool = False
    cut: bool = False
    averaged: np.ndarray | None = None
    waiting: Waiting = field(default_factory=Waiting)
    monitor: str | None = None
    best_epoch: int | None = None
    is_best: bool = False
    partial: dict[str, Any] = field(default_factory=dict)
    save_partial: Callable[[], dict[str, Any]] = dict
    measure: Callable[[], dict[str, float]] = dict

    @property
    def logs(self) -> dict[str, float]:
        """The averages of the current epoch so far (``loss``, ``accuracy``, ...); at an epoch's end also ``val_``.

        Computed when asked for, because most batches are never shown to anybody.
        """
        return self.measure()
