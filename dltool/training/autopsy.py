"""Why a training diverged: the step that failed, done once more in plain arithmetic and looked at layer by layer.

A step whose loss is not finite leaves the weights as they were (``Executor.train_step``), so that the same numbers come
up again. A gradient that overflows under a finite loss is seen one step later, by the weights that it spoilt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dltool.engine.batch import Batch
from dltool.engine.losses import BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy
from dltool.engine.model import Model
from dltool.engine.reference import Tape, add_regularization, loss_and_gradient, run_backward, run_forward
from dltool.errors import DivergedError
from dltool.training.callbacks import Events
from dltool.training.objective import Objective
from dltool.training.run import Run

HUGE = 1e3
"""Weights above this are not those of a network that learns: initial ones are below 1, trained ones rarely above 10."""
ROWS_ADVICE = "look at these rows, and scale such values"
NAMED = 3
"""So many rows or layers are named in a line."""

Finding = tuple[str, str]
"""What was not finite first, and what to do about it."""


@dataclass(frozen=True)
class Autopsy:
    """Attributes:
    cause: what was not finite first. advice: what to do about it. lines: all that was found, for the screen.
    """

    cause: str
    advice: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """The failed step again.

    Attributes:
        names: what to call rows of the training data. rate: the step's learning rate.
        replay: the forward pass of a batch, as the step had it.
    """

    model: Model
    objective: Objective
    batch: Batch
    tape: Tape
    names: Callable[[np.ndarray], list[str]]
    rate: float
    replay: Callable[[Batch], Tape]

    @property
    def advice(self) -> str:
        return smaller(self.rate)


def explained(
    error: DivergedError,
    run: Run,
    objective: Objective,
    dataset: Any,
    events: Events,
    seed: int,
    last: np.ndarray | None,
) -> DivergedError:
    """The error with its cause; ``events`` are told the rest.

    Args:
        dataset: the training data, for the rows' names. seed: of the training.
        last: (num_parameters,) the weights as the training left them; None where they still are the model's.
    """
    vector = run.model.weights.vector
    kept = vector.copy()
    if last is not None:
        vector[...] = last
    try:
        with np.errstate(all="ignore"):
            found = examine(run, objective, dataset.names, seed)
    finally:
        vector[...] = kept
    events.diverged(found.lines)
    return DivergedError(f"{error.problem}: {found.cause}" if found.cause else error.problem, found.advice)


def examine(run: Run, objective: Objective, names: Callable[[np.ndarray], list[str]], seed: int) -> Autopsy:
    """Look at the weights of ``run.model``, then at the failed step of ``run`` (see ``Run.failed``)."""
    model, batch = run.model, run.failed
    rate = run.rate_at(run.step + 1, run.learning_rate)
    where = "at its end" if batch is None else f"step {run.batch + 1} of {run.steps_per_epoch}"
    head = f"autopsy  epoch {run.epoch}, {where}, lr {rate:.3g}"
    spoilt = [
        f"{slot.layer}/{slot.spec.name}"
        for slot in model.weights.slots
        if slot.spec.trainable and not np.isfinite(model.weights.vector[slot.start : slot.stop]).all()
    ]
    if batch is None and not spoilt:
        return Autopsy("", f"{smaller(rate)}, and look for wild values in the validation data", (head,))
    if spoilt:
        before = "" if run.last_rows is None else f" on {_listed(names(run.last_rows[:NAMED]), len(run.last_rows))}"
        cause = f"the step before{before} left {_listed(spoilt[:NAMED], len(spoilt))} not finite"
        return Autopsy(cause, f"{smaller(rate)}, or give --clip-norm 1", (head, f"first    {cause}"))

    def replay(rows: Batch) -> Tape:
        inputs = [np.asarray(x, np.float32) for x in rows.inputs]
        return run_forward(model.graph, model.weights.views, inputs, training=True, seed=seed, step=run.step + 1)

    scene = Scene(model, objective, batch, replay(batch), names, rate, replay)
    cause, advice = _in_forward(scene) or _in_loss(scene) or _in_backward(scene)
    rows = () if batch.rows is None else (f"batch    {_listed(names(batch.rows[:NAMED]), len(batch))}",)
    learnt = {slot.layer for slot in model.weights.slots if slot.spec.trainable}
    sizes = {name: _largest(*views) for name, views in model.weights.views.items() if name in learnt}
    shown = (f"first    {cause or 'nothing'}", _table("weights  up to", sizes), *_gradients(scene))
    return Autopsy(cause, advice, (head, *rows, *shown))


def smaller(rate: float) -> str:
    return f"use a smaller --lr, as {min(rate / 10, 0.01):.1g}"


def _in_forward(scene: Scene) -> Finding | None:
    """The first node, in the order of the graph, whose values are not all finite."""
    graph = scene.model.graph
    for index, (node, value) in enumerate(zip(graph.nodes, scene.tape.values, strict=True)):
        bad = ~np.isfinite(value)
        if not bad.any():
            continue
        where, some = _rows(scene, bad)
        if index in graph.inputs:
            return f"the input has values that are not finite{where}", "mend or leave out these rows"
        largest = _largest(*scene.model.weights.views[node.name])
        what = f"{bad.sum():,} of {bad.size:,} outputs of layer {node.name!r} are not finite{where}"
        inputs = _largest(*(scene.tape.values[source] for source in node.inputs))
        if largest > HUGE:
            return f"{what}, whose weights are up to {largest:.1e}", scene.advice
        if some:
            return f"{what}, where its inputs are up to {inputs:.1e}", ROWS_ADVICE
        return f"{what}, whose inputs are up to {inputs:.1e}", f"{scene.advice}, and look for wild values in the data"
    return None


def _in_loss(scene: Scene) -> Finding | None:
    """The first output whose loss is not finite."""
    objective, graph = scene.objective, scene.model.graph
    found = zip(objective.heads, objective.losses, scene.batch.targets, graph.outputs, strict=True)
    for head, rule, target, index in found:
        output = scene.tape.values[index]
        bad = ~np.isfinite(rule(target, output)[0])
        if not bad.any():
            continue
        where, some = _rows(scene, bad)
        cause = f"{rule.name} of output {head.name!r} is not finite{where}"
        if _wants_probabilities(rule) and head.activation not in ("softmax", "sigmoid"):
            ending = "sigmoid" if isinstance(rule, BinaryCrossentropy) else "softmax"
            return (
                f"{cause}, because it needs probabilities and the layer gives those of {head.activation}",
                f"end the network with {ending}, or give --loss {rule.name}:from_logits=true with a linear end",
            )
        wild = some and _largest(scene.model.weights.vector) <= HUGE
        advice = ROWS_ADVICE if wild else scene.advice
        return f"{cause}, with outputs up to {_largest(output):.1e}", advice
    return None


def _in_backward(scene: Scene) -> Finding:
    """The layer nearest to the end whose gradient is not finite."""
    norms = _gradient_norms(scene)
    bad = [name for name, norm in norms.items() if not np.isfinite(norm)]
    if bad:
        return f"the gradient of layer {bad[-1]!r} is not finite", f"{scene.advice}, or give --clip-norm 1"
    return "", f"{scene.advice}, or give --exact: plain arithmetic gives finite numbers"


def _gradient_norms(scene: Scene) -> dict[str, float]:
    """Layer -> norm of its weights' gradient, for layers that have weights to train."""
    objective, graph, tape, store = scene.objective, scene.model.graph, scene.tape, scene.model.weights
    gradients = [
        loss_and_gradient(rule, target, tape.values[index], scene.batch.weights, scale, tape.masks[index])[1]
        for rule, scale, target, index in zip(
            objective.losses, objective.loss_weights, scene.batch.targets, graph.outputs, strict=True
        )
    ]
    store.gradient[...] = 0
    for name, found in run_backward(graph, tape, gradients).items():
        for view, gradient in zip(store.gradients[name], found, strict=True):
            if view is not None and gradient is not None:
                view[...] = gradient
    add_regularization(store, graph)
    parts = {name: [view for view in views if view is not None] for name, views in store.gradients.items()}
    return {name: float(np.sqrt(sum(_squares(view) for view in views))) for name, views in parts.items() if views}


def _gradients(scene: Scene) -> tuple[str, ...]:
    """A line of gradient norms: of the rows whose loss is finite, where others would make all of them NaN."""
    good = np.ones(len(scene.batch), bool)
    for rule, target, index in zip(scene.objective.losses, scene.batch.targets, scene.model.graph.outputs, strict=True):
        found = rule(target, scene.tape.values[index])[0]
        good &= np.isfinite(found.reshape(len(found), -1)).all(axis=1) if len(found) == len(good) else True
    if not good.any():
        return ()
    if good.all():
        return (_table("gradient norm", _gradient_norms(scene)),)
    batch = scene.batch
    weights = None if batch.weights is None else batch.weights[good]
    rest = Batch(tuple(x[good] for x in batch.inputs), tuple(t[good] for t in batch.targets), weights)
    norms = _gradient_norms(replace(scene, batch=rest, tape=scene.replay(rest)))
    return (_table(f"gradient norm of the other {good.sum():,} rows", norms),)


def _wants_probabilities(rule: object) -> bool:
    kinds = BinaryCrossentropy | CategoricalCrossentropy | SparseCategoricalCrossentropy
    return isinstance(rule, kinds) and not rule.from_logits


def _rows(scene: Scene, bad: np.ndarray) -> tuple[str, bool]:
    """``" in 2 of 64 rows: a.png, b.png"``, and whether these are less than half of the batch."""
    batch = scene.batch
    if bad.ndim == 0 or len(bad) != len(batch):
        return "", False
    places = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
    where = f" in {len(places):,} of {len(bad):,} rows"
    if batch.rows is not None and len(places) < len(batch):
        where += f": {_listed(scene.names(batch.rows[places[:NAMED]]), len(places))}"
    return where, 2 * len(places) < len(batch)


def _listed(names: Sequence[str], count: int) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names) + (f" and {count - len(names):,} more" if count > len(names) else "")


def _table(title: str, values: dict[str, float]) -> str:
    return f"{title}  " + _listed([f"{name} {value:.1e}" for name, value in list(values.items())[:NAMED]], len(values))


def _largest(*arrays: np.ndarray) -> float:
    """The largest size of a finite number."""
    sizes = (np.abs(array[np.isfinite(array)]) for array in arrays)
    return max((float(size.max()) for size in sizes if size.size), default=0.0)


def _squares(array: np.ndarray) -> float:
    return float(np.square(array, dtype=np.float64).sum())
