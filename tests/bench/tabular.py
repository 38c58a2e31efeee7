"""Epochs of a multilayer perceptron on a table: dltool, scikit-learn's MLPClassifier, and torch."""

from __future__ import annotations

import atexit
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.bench.workloads import NUM_CLASSES, TABULAR_WIDTHS, Workload

Steps = Callable[[int], None]


def dltool(workload: Workload, lanes: str, jobs: int) -> Steps:
    """Epochs of ``dltool fit``'s loop on its loader, metrics included."""
    from dltool.data.dataset import ArrayDataset
    from dltool.data.loader import Loader
    from dltool.engine.executor import Executor
    from dltool.engine.model import Model
    from dltool.engine.optimizers import optimizer
    from dltool.training.loop import train
    from dltool.training.objective import make_objective
    from dltool.training.run import Run

    model = Model.build(workload.graph())
    x, labels = workload.rows()
    objective = make_objective(model, [labels])
    loader = Loader(ArrayDataset([x], labels, None, ["x"]), workload.batch_size)
    executor = Executor(
        model,
        batch_size=workload.batch_size,
        losses=objective.losses,
        optimizer=optimizer("adam"),
        jobs=jobs,
        backend=lanes,
    )
    atexit.register(executor.close)
    run = Run(model, 0, 1e-3)

    def steps(count: int) -> None:
        run.epochs += count
        train(executor, loader, objective, run)

    return steps


def peer(name: str, workload: Workload, jobs: int) -> Steps:
    return sklearn_steps(workload) if name == "sklearn" else torch_steps(workload, jobs)


def sklearn_steps(workload: Workload) -> Steps:
    """Epochs of ``MLPClassifier.fit``; its BLAS takes all the cores that it sees."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    x, labels = workload.rows()

    def steps(count: int) -> None:
        model = MLPClassifier(
            TABULAR_WIDTHS, batch_size=workload.batch_size, max_iter=count, alpha=0.0, n_iter_no_change=count + 1
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is given, not found
            model.fit(x, labels)

    return steps


def torch_steps(workload: Workload, jobs: int) -> Steps:
    """Epochs of a plain loop over batches of a permutation, with fused Adam."""
    import torch
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(jobs)
    torch.manual_seed(0)
    x, labels = (torch.from_numpy(np.asarray(rows)) for rows in workload.rows())
    model = torch_network(workload)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)

    def steps(count: int) -> None:
        for _ in range(count):
            for rows in torch.randperm(len(x)).split(workload.batch_size):
                optimizer.zero_grad(set_to_none=True)
                cross_entropy(model(x[rows]), labels[rows]).backward()
                optimizer.step()

    return steps


def torch_network(workload: Workload) -> Any:
    from torch import nn

    layers: list[Any] = []
    inputs = workload.input_shape[0]
    for width in TABULAR_WIDTHS:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, NUM_CLASSES))
