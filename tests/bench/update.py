"""The optimizer alone: Adam on the 11 million weights of ResNet-18, gradients given. dltool and torch's fused Adam."""

from __future__ import annotations

import atexit
from collections.abc import Callable

import numpy as np

from tests.bench.workloads import Workload

Steps = Callable[[int], None]


def dltool(workload: Workload, lanes: str, jobs: int) -> Steps:
    """The stages that end a training step, on the lanes that run them there."""
    from dltool.engine.blas import limit_blas_threads
    from dltool.engine.buffers import Workspace
    from dltool.engine.memory import shared_zeros
    from dltool.engine.model import Model
    from dltool.engine.optimizers import optimizer
    from dltool.engine.program import Program
    from dltool.engine.starting import start_lanes
    from dltool.engine.update import ParameterUpdate

    limit_blas_threads(1)
    model, rule = Model.build(workload.graph()), optimizer("adam")
    store = model.weights
    slots = {name: shared_zeros(store.num_trainable) for name in rule.slots}
    store.gradient[...] = np.random.default_rng(0).standard_normal(len(store.gradient), dtype=np.float32)
    update = ParameterUpdate(store, rule, store.spans(model.graph), slots, [])
    program = Program(update.stages())
    running = start_lanes(
        jobs, lanes, lambda lane, count, job, sync: program.bind(lane, count, job[0], Workspace(), sync)
    )
    atexit.register(running.close)
    memory: dict[str, float] = {}
    done = 0

    def steps(count: int) -> None:
        nonlocal done
        for _ in range(count):
            done += 1
            update.prepare(done, 1e-3, memory)
            running.run(1)

    return steps


def peer(name: str, workload: Workload, jobs: int) -> Steps:
    """torch's fused Adam on the parameters of the same network."""
    import torch

    from tests.bench.training_peers import torch_network

    torch.set_num_threads(jobs)
    torch.manual_seed(0)
    parameters = list(torch_network(workload).parameters())
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer = torch.optim.Adam(parameters, 1e-3, fused=True)

    def steps(count: int) -> None:
        for _ in range(count):
            optimizer.step()

    return steps
