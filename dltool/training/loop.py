"""The training loop: three functions, ``train``, ``evaluate`` and ``predict``; everything else is a composition.

They take an executor (``engine.executor.Executor`` or the reference), which owns the arithmetic, and a loader, which
owns the order of the rows. Averages are over samples. A loss that is not a number stops at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from dltool.engine.batch import Batch
from dltool.errors import DivergedError
from dltool.training.averages import Averages
from dltool.training.callbacks import Callback
from dltool.training.objective import Objective
from dltool.training.run import Run
from dltool.training.waiting import Waiting

Watcher = Callable[[Batch, tuple[np.ndarray, ...]], None]
NAMED_ROWS = 5
"""So many rows of a batch are named in a message."""


class Loader(Protocol):
    """Batches of a data set, in an order that depends on the epoch's number only.

    To go on in the middle of an epoch it must also take ``epoch(number, first_batch)``.
    """

    num_rows: int
    dataset: Any
    """Has ``names(rows)``: what to call rows in a message."""

    def __len__(self) -> int:
        """Batches in an epoch."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch."""


def train(
    executor: Any,
    loader: Loader,
    objective: Objective,
    run: Run,
    callbacks: Sequence[Callback] = (),
    validation: Loader | None = None,
) -> Run:
    """Train from ``run.epoch`` (done, or begun where ``run.batch`` counts batches) to ``run.epochs``.

    Args:
        executor: made with the objective's losses, loss weights and an optimizer; its slots may hold an earlier state.
        validation: rows to measure after each epoch, as ``val_loss``, ``val_accuracy`` ...
        callbacks: told in this order; any may set ``run.stop``.

    Returns:
        ``run``, with its history. An epoch that was stopped in its middle is not in the history; ``run.batch`` says
        how far it came.

    Raises:
        DivergedError: a loss was NaN or infinite; the message names epoch, step and rows. ``train_end`` was called, so
            ``BestWeights`` has put the best weights back.
    """
    run.steps_per_epoch, run.num_rows, run.done = len(loader), loader.num_rows, run.epoch
    run.num_validation = 0 if validation is None else validation.num_rows
    averages = Averages(objective)
    if run.batch:
        averages.restore(run.partial)
    with np.errstate(over="ignore", invalid="ignore"):  # the loop looks for such numbers itself
        try:
            _tell(callbacks, "train_begin", run)
            while run.epoch < run.epochs and not run.stop:
                start = time.perf_counter()
                if not _train_epoch(executor, loader, objective, run, callbacks, averages):
                    break
                logs = averages.results()
                if not _validate(run, logs, executor, objective, validation, callbacks):
                    break
                _finish_epoch(run, logs)
                run.seconds = time.perf_counter() - start
                _tell(callbacks, "epoch_end", run)
        finally:
            _tell(callbacks, "train_end", run)
    return run


def _train_epoch(
    executor: Any, loader: Loader, objective: Objective, run: Run, callbacks: Sequence[Callback], averages: Averages
) -> bool:
    """All steps of the next epoch; False when a callback stopped before the last one."""
    run.epoch += 1
    run.is_best = False
    run.measure, run.save_partial = averages.results, averages.state
    if not run.batch:
        averages.reset()
    _tell(callbacks, "epoch_begin", run)
    batch_begin, batch_end = _moments(callbacks, "batch_begin"), _moments(callbacks, "batch_end")
    batches = loader.epoch(run.epoch, run.batch) if run.batch else loader.epoch(run.epoch)
    for batch in run.waiting.watch(batches):
        for call in batch_begin:
            call(run)
        prepared = objective.prepare(batch, training=True)
        loss = executor.train_step(prepared, run.step + 1, run.learning_rate, run.momentum)
        if not math.isfinite(loss):
            run.failed = prepared
            raise _diverged(loss, run, loader, batch)
        run.step += 1
        run.batch += 1
        run.samples += len(batch)
        run.batch_loss, run.last_rows = loss, batch.rows
        averages.add(loss, prepared, executor.predictions, executor.masks)
        for call in batch_end:
            call(run)
        if run.stop and run.batch < run.steps_per_epoch:
            if run.cut and not run.interrupted:
                break
            run.epoch -= 1
            return False
    return True


class _Left(Exception):
    """A validation that somebody interrupted."""


def _validate(
    run: Run,
    logs: dict[str, float],
    executor: Any,
    objective: Objective,
    validation: Loader | None,
    callbacks: Sequence[Callback],
) -> bool:
    """Add the ``val_`` values to ``logs``; False when somebody interrupted that."""
    run.measure = logs.copy
    if validation is None:
        return True
    run.validated = 0
    tested = _moments(callbacks, "test_batch_end")
    before = run.save_partial()  # the validation uses the same metrics

    def watch(batch: Batch, outputs: tuple[np.ndarray, ...]) -> None:
        run.validated += len(batch)
        for call in tested:
            call(run)
        if run.interrupted:
            raise _Left

    _tell(callbacks, "test_begin", run)
    try:
        found = evaluate(executor, validation, objective, [watch], by_class=True)
    except _Left:
        run.epoch, run.save_partial = run.epoch - 1, lambda: before
        return False
    finally:
        _tell(callbacks, "test_end", run)
    logs |= {f"val_{name}": value for name, value in found.items()}
    return True


def _finish_epoch(run: Run, logs: dict[str, float]) -> None:
    """Check that all is finite, write the epoch down."""
    weights_sum = float(run.model.weights.vector.sum(dtype=np.float64))
    if not math.isfinite(logs.get("val_loss", 0.0)) or not math.isfinite(weights_sum):
        what = "weights are" if not math.isfinite(weights_sum) else f"val_loss is {logs['val_loss']}, which is"
        raise DivergedError(f"training: after epoch {run.epoch} the {what} not finite", "use a smaller --lr")
    logs["learning_rate"] = run.rate_at(run.step, run.learning_rate)
    run.history.append({"epoch": run.epoch, **logs})
    run.done, run.batch, run.samples = run.epoch, 0, 0
    run.save_partial = dict


def evaluate(
    executor: Any,
    loader: Loader,
    objective: Objective,
    watchers: Sequence[Watcher] = (),
    by_class: bool = False,
    waiting: Waiting | None = None,
) -> dict[str, float]:
    """``loss`` and the metrics over all rows, without training; ``watchers`` see every batch with its outputs.

    The loss includes the regularisation and the sample weights, not the class weights (as Keras's ``evaluate``).

    Args:
        by_class: include the class weights. A training's ``val_loss`` does, unlike Keras's: it is the loss that is
            minimised, and without the weights the best epoch would be the best one for the frequent classes.
        waiting: is told how long the rows took to come.
    """
    averages = Averages(objective)
    penalty = objective.penalty(executor.model)
    came = loader.epoch(0) if waiting is None else waiting.watch(loader.epoch(0))
    batches = (objective.prepare(batch, training=by_class) for batch in came)
    for batch, outputs in predict(executor, batches):
        masks = executor.masks
        averages.add(objective.value(batch, outputs, masks) + penalty, batch, outputs, masks)
        for watch in watchers:
            watch(batch, outputs)
    return averages.results()


def predict(executor: Any, batches: Iterable[Batch]) -> Iterator[tuple[Batch, tuple[np.ndarray, ...]]]:
    """Each batch with the model's outputs, one array (rows, ...) float32 each; the weights must stay meanwhile."""
    for position, batch in enumerate(batches):
        yield batch, executor.forward(batch.inputs, same_weights=position > 0)


def _moments(callbacks: Sequence[Callback], moment: str) -> list[Callable[[Run], None]]:
    """The callbacks' methods for a moment, without those that do nothing."""
    nothing = getattr(Callback, moment)
    return [getattr(c, moment) for c in callbacks if getattr(type(c), moment) is not nothing]


def _tell(callbacks: Sequence[Callback], moment: str, run: Run) -> None:
    for call in _moments(callbacks, moment):
        call(run)


def _diverged(loss: float, run: Run, loader: Loader, batch: Batch) -> DivergedError:
    rows = ""
    if batch.rows is not None:
        names = loader.dataset.names(batch.rows[:NAMED_ROWS])
        more = f" and {len(batch) - NAMED_ROWS} more" if len(batch) > NAMED_ROWS else ""
        rows = f" on {', '.join(names)}{more}"
    return DivergedError(
        f"training: the loss is {loss} in epoch {run.epoch}, step {run.batch + 1} of {run.steps_per_epoch}{rows}",
        "use a smaller --lr, and look for wild values in the data",
    )
