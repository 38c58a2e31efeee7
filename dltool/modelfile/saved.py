"""What a model file holds, as plain objects of the engine. Imports the engine only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dltool.engine.losses import Loss
from dltool.engine.model import Model
from dltool.engine.optimizers import Optimizer


@dataclass(frozen=True)
class TrainingConfig:
    """How the model was compiled.

    Attributes:
        losses: one per model output, in the graph's order; None where the file names a loss that dltool does not know.
        loss_names: one per output, as the file spells it ("" when the file has none), for messages and questions.
        loss_weights: one per output.
        metrics: Keras names ("accuracy") or ``{"class_name", "config"}``, each known to the engine.
        unknown_metrics: names in the file that the engine does not know; they are not used.
        optimizer: None when the file has none or one that dltool does not know (then ``optimizer_name`` says which).
    """

    losses: tuple[Loss | None, ...]
    loss_names: tuple[str, ...]
    loss_weights: tuple[float, ...]
    metrics: tuple[str | dict[str, Any], ...] = ()
    unknown_metrics: tuple[str, ...] = ()
    optimizer: Optimizer | None = None
    optimizer_name: str = ""


@dataclass
class TrainingState:
    """Where training stopped, so that it can go on as if it had not.

    Attributes:
        weights: (num_parameters,) float32, the last weights; the model itself holds the best ones.
        slots: optimizer slot name -> (num_trainable,) float32 in the order of ``ParameterStore.gradient``.
        memory: small scalars of the optimizer.
        step: optimizer steps done. epoch: epochs done.
        averaged: (num_parameters,) float32, the running average of the weights; None without one.
        callbacks: counters of early stopping and the like, JSON values by callback name.
    """

    weights: np.ndarray
    slots: dict[str, np.ndarray]
    memory: dict[str, float] = field(default_factory=dict)
    step: int = 0
    epoch: int = 0
    callbacks: dict[str, Any] = field(default_factory=dict)
    averaged: np.ndarray | None = None


@dataclass
class SavedModel:
    """A model with everything its file says about it.

    Attributes:
        model: graph and weights (the best ones).
        classes: class names in the order of the outputs, None when the file has none.
        preprocessing: how images or rows become inputs (size, colour, resize), None when unknown.
        training_config: how it was compiled, None when it was not.
        recipe: the settings of the last fit, JSON values.
        history: one dict per epoch.
        state: where training stopped, None when not kept or not asked for.
        keras_version: of the file, "" when it does not say.
        split: how the data were split, JSON values. fingerprint: of the training data.
        foreign: it was read from a file that dltool did not write.
        doubts: what may be otherwise than in Keras when it is trained, sentences.
    """

    model: Model
    classes: tuple[str, ...] | None = None
    preprocessing: dict[str, Any] | None = None
    training_config: TrainingConfig | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    state: TrainingState | None = None
    keras_version: str = ""
    split: dict[str, Any] | None = None
    fingerprint: str = ""
    foreign: bool = False
    doubts: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know before using the model: a sentence when weights are no numbers."""
        vector = self.model.weights.vector
        bad = int(vector.size - np.isfinite(vector).sum())
        return (f"{bad:,} of {vector.size:,} weights are NaN or infinite; train the model again",) if bad else ()
