"""Training steps: dltool's own, those of a prototype in a folder outside the project, and the peers'."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable

from tests.bench.contenders import KERAS_BACKENDS
from tests.bench.workloads import NUM_BATCHES, Workload

Steps = Callable[[int], None]
"""Runs a number of training steps."""


def dltool(workload: Workload, lanes: str, jobs: int) -> Steps:
    """Steps of ``Executor.train_step``, which is what ``dltool fit`` runs."""
    from dltool.engine.batch import Batch
    from dltool.engine.executor import Executor
    from dltool.engine.losses import loss
    from dltool.engine.model import Model
    from dltool.engine.optimizers import optimizer

    images, labels = workload.rows()
    size = workload.batch_size
    starts = range(0, NUM_BATCHES * size, size)
    batches = [Batch((images[start : start + size],), (labels[start : start + size],)) for start in starts]
    executor = Executor(
        Model.build(workload.graph()),
        batch_size=size,
        losses=(loss("sparse_categorical_crossentropy"),),
        optimizer=optimizer("adam"),
        jobs=jobs,
        backend="auto" if lanes == "exact" else lanes,
        exact=lanes == "exact",
    )
    atexit.register(executor.close)
    done = 0

    def steps(count: int) -> None:
        nonlocal done
        for _ in range(count):
            executor.train_step(batches[done % NUM_BATCHES], done + 1, 1e-3)
            done += 1

    return steps


def peer(name: str, workload: Workload, jobs: int) -> Callable[[int], float | None]:
    from tests.bench import training_peers

    if name.startswith("torch"):
        return training_peers.torch_steps(workload, name.partition("-")[2] or "eager", jobs)
    return training_peers.keras_steps(workload, KERAS_BACKENDS[name.removeprefix("keras-")], jobs)


def prototype(workload: Workload, folder: str, lanes: str, winograd: bool, jobs: int) -> Steps:
    """Steps of the prototype engine in ``folder``, which must have ``models.build``. Raises LookupError."""
    if workload.prototype is None:
        raise LookupError(f"the prototype has no {workload.name}")
    sys.path.insert(0, folder)
    from models import build  # type: ignore[import-not-found]

    images, labels = workload.rows()
    size = workload.batch_size
    algorithm = "wino" if winograd else "im2col"
    network = build(workload.prototype[:2], size, *workload.input_shape, jobs, algorithm, procs=lanes == "processes")

    def steps(count: int) -> None:
        for index in range(count):
            start = index % NUM_BATCHES * size
            network.step(images[start : start + size], labels[start : start + size])

    return steps
