"""What training minimises and measures: a loss and metrics per output, class weights, regularisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from dltool.engine.batch import Batch
from dltool.engine.losses import BinaryCrossentropy, CategoricalCrossentropy, Loss, SparseCategoricalCrossentropy, loss
from dltool.engine.metrics import Metric, metric
from dltool.engine.model import Model
from dltool.engine.reference import loss_and_gradient
from dltool.errors import UsageError
from dltool.registry import nearest
from dltool.training.callbacks import Monitor
from dltool.training.labels import CONVERSIONS, Head, default_loss, heads, target_form

MetricName = str | dict[str, Any]


@dataclass(frozen=True)
class Objective:
    """One loss and any number of metrics for each output of a model.

    Attributes:
        heads: the outputs.
        losses, loss_weights: one per output; the total is the weighted sum.
        metrics: per output; their state is that of the epoch being measured.
        forms: how each output's labels become targets (see ``labels.target_form``).
        class_weights: (classes,) float32, or None; they weigh the loss of a training and of its validation.
    """

    heads: tuple[Head, ...]
    losses: tuple[Loss, ...]
    loss_weights: tuple[float, ...]
    metrics: tuple[tuple[Metric, ...], ...]
    forms: tuple[str, ...]
    class_weights: np.ndarray | None = None

    @cached_property
    def all_metrics(self) -> tuple[Metric, ...]:
        return tuple(m for metrics in self.metrics for m in metrics)

    @cached_property
    def metric_names(self) -> tuple[str, ...]:
        """Names in the logs: the metric's own, after its output's name when there are several outputs (as Keras)."""
        several = len(self.heads) > 1
        pairs = zip(self.heads, self.metrics, strict=True)
        return tuple(f"{head.name}_{m.name}" if several else m.name for head, metrics in pairs for m in metrics)

    @property
    def higher_is_better(self) -> tuple[bool, ...]:
        """For each of ``metric_names``."""
        return tuple(m.higher_is_better for m in self.all_metrics)

    @cached_property
    def _is_plain(self) -> bool:
        return all(form == "same" for form in self.forms)

    def prepare(self, batch: Batch, training: bool = False) -> Batch:
        """The batch with its labels as the losses want them and, in training, the class weights in its weights."""
        if batch.mixed is not None:
            return self._prepare_mixed(batch, training)
        if self._is_plain and not (training and self.class_weights is not None):
            return batch
        pairs = zip(self.forms, batch.targets, self.heads, strict=True)
        targets = tuple(CONVERSIONS[form](target, head.size) for form, target, head in pairs)
        weights = batch.weights
        if training and self.class_weights is not None:
            of_row = self.class_weights[class_indices(targets[0])]
            weights = of_row if weights is None else of_row * weights
        return replace(batch, targets=targets, weights=weights)

    def _prepare_mixed(self, batch: Batch, training: bool) -> Batch:
        """Targets and weights between those of both rows; metrics see the label that counts more."""
        mixed, share = batch.mixed, batch.mixed.share
        own, other = (
            self.prepare(replace(batch, targets=t, mixed=None), training) for t in (batch.targets, mixed.targets)
        )
        targets = tuple(_between(share, a, b) for a, b in zip(own.targets, other.targets, strict=True))
        weights = own.weights if own.weights is None else _between(share, own.weights, other.weights)
        judged = [
            np.where(_like(share, first) >= 0.5, first, second) if head.num_classes is not None else soft
            for head, first, second, soft in zip(self.heads, own.targets, other.targets, targets, strict=True)
        ]
        return replace(batch, targets=targets, weights=weights, mixed=None, judged=tuple(judged))

    def value(self, batch: Batch, outputs: tuple[np.ndarray, ...], masks: tuple[np.ndarray | None, ...] = ()) -> float:
        """The loss of a prepared batch, sample weights included, regularisation not; one mask per output, or none."""
        total = 0.0
        masks = masks or (None,) * len(outputs)
        found = zip(self.losses, self.loss_weights, batch.targets, outputs, masks, strict=True)
        for rule, scale, target, output, mask in found:
            total += loss_and_gradient(rule, target, output, batch.weights, scale, mask)[0]
        return total

    def penalty(self, model: Model) -> float:
        """What the weights' regularisers add to every loss."""
        rules = ((slot, slot.spec.regularizer) for slot in model.weights.slots if slot.spec.trainable)
        return sum(float(rule(model.weights.views[s.layer][s.index])[0]) for s, rule in rules if rule is not None)

    def monitor(self, name: str | None, has_validation: bool, min_delta: float = 0.0) -> Monitor:
        """The monitor of a name in the logs, or of the short one in progress lines (``val_acc``).

        By default it is ``val_loss`` with validation data, else ``loss``.

        Raises:
            UsageError: nothing of this name is measured.
        """
        directions = {"loss": False, **dict(zip(self.metric_names, self.higher_is_better, strict=True))}
        shown = {m.short: known for m, known in zip(self.all_metrics, self.metric_names, strict=True) if m.short}
        if has_validation:
            directions |= {f"val_{known}": higher for known, higher in directions.items()}
            shown |= {f"val_{short}": f"val_{known}" for short, known in shown.items()}
        chosen = name or ("val_loss" if has_validation else "loss")
        chosen = shown.get(chosen, chosen) if chosen not in directions else chosen
        if chosen not in directions:
            close = nearest(chosen, list(directions))
            advice = f"did you mean {close!r}?" if close else f"measured are {', '.join(directions)}"
            if chosen.startswith("val_") and not has_validation:
                advice = "there are no validation data; give --val or --val-split"
            raise UsageError(f"--monitor: {chosen!r} is not measured; {advice}")
        return Monitor(chosen, directions[chosen], min_delta)


def _like(share: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(rows,) with as many axes as ``target``."""
    return share.reshape(len(share), *[1] * (target.ndim - 1))


def _between(share: np.ndarray, own: np.ndarray, other: np.ndarray) -> np.ndarray:
    part = _like(share, own)
    return (part * own + (np.float32(1) - part) * other).astype(np.float32)


def soft(rule: Loss) -> Loss:
    """The same loss for targets between classes: the sparse one, which takes indices only, becomes the plain one."""
    if isinstance(rule, SparseCategoricalCrossentropy):
        return CategoricalCrossentropy(rule.from_logits, reduction=rule.reduction)
    return rule


def make_objective(
    model: Model,
    labels: Sequence[np.ndarray],
    *,
    losses: Sequence[str | Loss | None] = (),
    loss_weights: Sequence[float] = (),
    metrics: Sequence[MetricName] | None = None,
    sources: Sequence[str] = (),
    mixes: bool = False,
) -> Objective:
    """The objective of a model for labels, all of which are checked against the heads.

    Args:
        labels: one array (n, ...) per output.
        losses: one per output; None (or nothing) for the head's usual loss.
        metrics: names or Keras configs, for every output; None for the head's usual ones.
        sources: what to call each output's labels in messages.
        mixes: rows will be mixed, so that targets lie between classes.

    Raises:
        DataError, UsageError: the labels do not fit the model; the message names the row.
    """
    found = heads(model.graph)
    if len(labels) != len(found):
        raise UsageError(f"--labels: the model has {len(found)} outputs but {len(labels)} label arrays were given")
    chosen, forms, measures = [], [], []
    given = zip(found, labels, losses or [None] * len(found), sources or ["labels"] * len(found), strict=True)
    for head, array, wanted, source in given:
        rule = loss(wanted if wanted is not None else default_loss(head, array))
        rule = soft(rule) if mixes else rule
        forms.append(target_form(rule, head, array, source))
        chosen.append(rule)
        names = usual_metrics(head, rule) if metrics is None else metrics
        measures.append(tuple(metric(name) for name in names))
    weights = tuple(loss_weights) or (1.0,) * len(found)
    return Objective(found, tuple(chosen), weights, tuple(measures), tuple(forms))


def usual_metrics(head: Head, rule: Loss) -> tuple[str, ...]:
    """accuracy for classes; the mean absolute error for numbers (unless it is the loss itself); none for strings."""
    if rule.per_row:
        return ()
    if head.activation == "sigmoid" and head.size > 1 and isinstance(rule, BinaryCrossentropy):
        return ("binary_accuracy",)
    if head.num_classes is not None or "crossentropy" in rule.name:
        return ("accuracy",)
    return () if rule.name == "mean_absolute_error" else ("mean_absolute_error",)


def common_metrics(found: Sequence[Head], rules: Sequence[Loss]) -> tuple[str, ...]:
    """The usual metrics that suit every output: a model file has one list for all of them."""
    usual = [usual_metrics(head, rule) for head, rule in zip(found, rules, strict=True)]
    return tuple(name for name in usual[0] if all(name in names for names in usual))


def class_indices(target: np.ndarray) -> np.ndarray:
    """(n,) class of each row, from indices (n,) or (n, 1) or one-hot rows."""
    target = np.asarray(target)
    if target.ndim > 1 and target.shape[-1] > 1:
        return target.argmax(axis=-1)
    return target.reshape(len(target), -1)[:, 0].astype(np.int64)


def class_weights(text: str, classes: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """(classes,) float32 from ``balanced``, ``sqrt`` or ``cat=1,dog=99``; classes that are not named weigh 1.

    ``balanced`` is ``n / (classes * count)``, so that every class weighs the same and the mean weight of a row is 1.
    ``sqrt`` divides by the root of the count instead, with the same mean: half the way.

    Args:
        labels: class indices of the training rows.

    Raises:
        UsageError: an unknown class, or not a number from 0.
    """
    weights = np.ones(len(classes), np.float32)
    if text in ("balanced", "sqrt"):
        counts = np.bincount(labels, minlength=len(classes))
        present = counts > 0
        shares = counts[present] if text == "balanced" else np.sqrt(counts[present])
        weights[present] = len(labels) / (shares * (counts[present] / shares).sum())
        return weights
    for part in text.split(","):
        name, _, value = part.rpartition("=")
        if name not in classes:
            close = nearest(name, list(classes))
            advice = f"did you mean {close!r}?" if close else f"the classes are {', '.join(classes)}"
            raise UsageError(f"--class-weight: {part!r} names no class; {advice}")
        try:
            weights[classes.index(name)] = float(value)
        except ValueError:
            raise UsageError(f"--class-weight: {value!r} is not a number; write {name}=2") from None
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise UsageError(f"--class-weight: {text!r} has a weight below 0 or infinite; give numbers from 0")
    return weights
