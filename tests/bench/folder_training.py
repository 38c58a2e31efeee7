"""Training out of a folder of images: dltool's data set, loader and step, and ``fit`` on Keras's data set.

"folder-first" decodes every batch, as in a first epoch; "folder-later" finds the pixels in memory, as dltool does from
the second epoch on. Keras decodes in every epoch, so its part is the same in both.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

from tests.bench import loading
from tests.bench.workloads import Workload

Steps = Callable[[int], float | None]


def dltool(workload: Workload, lanes: str, jobs: int, images: str) -> Steps:
    from dltool.data.loader import Loader
    from dltool.data.parallel import default_workers
    from dltool.engine.executor import Executor
    from dltool.engine.model import Model
    from dltool.engine.optimizers import optimizer
    from dltool.training.objective import make_objective

    dataset = loading.opened(workload, images, workload.keeps)
    model = Model.build(workload.graph())
    objective = make_objective(model, [dataset.labels])
    executor = Executor(
        model,
        batch_size=workload.batch_size,
        losses=objective.losses,
        optimizer=optimizer("adam"),
        jobs=jobs,
        backend=lanes,
    )
    atexit.register(executor.close)
    if workload.keeps:
        dataset.decode_all(default_workers())
    batches = loading.endless(Loader(dataset, workload.batch_size).epoch)
    done = 0

    def steps(count: int) -> None:
        nonlocal done
        for batch in islice(batches, count):
            done += 1
            executor.train_step(objective.prepare(batch, training=True), done, 1e-3)

    return steps


def peer(name: str, workload: Workload, jobs: int, images: str) -> Steps:
    """``fit`` of a Keras backend, "keras-tf", "keras-jax" or "keras-torch", on the folder."""
    from tests.bench.contenders import KERAS_BACKENDS

    os.environ["KERAS_BACKEND"] = KERAS_BACKENDS[name.removeprefix("keras-")]
    import keras

    from tests.bench.training_peers import keras_network

    if name == "keras-torch":
        import torch

        torch.set_num_threads(jobs)
    keras.utils.set_random_seed(0)
    dataset = loading.keras_dataset(workload, images).repeat()
    model = keras_network(workload)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    started = [0.0]

    class Clock(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 0:
                started[0] = time.perf_counter()

    def steps(count: int) -> float:
        model.fit(dataset, steps_per_epoch=count, verbose=0, callbacks=[Clock()])
        return time.perf_counter() - started[0]

    return steps
