"""A batch through a network: dltool as ``predict`` runs it, torch, and onnxruntime on torch's exported network."""

from __future__ import annotations

import atexit
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.workloads import Workload

Steps = Callable[[int], None]


def dltool(workload: Workload, lanes: str, jobs: int) -> Steps:
    """Batches through ``Executor.forward`` with the same weights, which is what ``dltool predict`` runs."""
    from dltool.engine.executor import Executor
    from dltool.engine.model import Model

    images = batch(workload)
    executor = Executor(Model.build(workload.graph()), batch_size=workload.batch_size, jobs=jobs, backend=lanes)
    atexit.register(executor.close)
    executor.forward((images,))
    return repeated(lambda: executor.forward((images,), same_weights=True))


def peer(name: str, workload: Workload, jobs: int) -> Steps:
    if name == "onnxruntime":
        return onnxruntime_steps(workload, jobs)
    return torch_steps(workload, name.partition("-")[2] or "eager", jobs)


def batch(workload: Workload) -> np.ndarray:
    """(batch, height, width, channels) float32."""
    shape = (workload.batch_size, *workload.input_shape)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def repeated(once: Callable[[], Any]) -> Steps:
    def steps(count: int) -> None:
        for _ in range(count):
            once()

    return steps


def torch_network(workload: Workload) -> tuple[Any, Any]:
    """The module and its batch (batch, channels, height, width)."""
    import torch

    from tests.bench.imagenet_torch import network

    x = np.ascontiguousarray(batch(workload).transpose(0, 3, 1, 2))
    return network(workload.network, workload.input_shape[0]), torch.from_numpy(x)


def torch_steps(workload: Workload, mode: str, jobs: int) -> Steps:
    """Batches in torch; ``mode`` is "eager", "channels-last" or "compile"."""
    import torch

    torch.set_num_threads(jobs)
    layout = torch.channels_last if mode == "channels-last" else torch.contiguous_format
    model, x = torch_network(workload)
    model, x = model.to(memory_format=layout), x.contiguous(memory_format=layout)
    forward = torch.compile(model) if mode == "compile" else model

    def once() -> np.ndarray:
        with torch.inference_mode():
            return forward(x).numpy()

    return repeated(once)


def onnxruntime_steps(workload: Workload, jobs: int) -> Steps:
    """Batches in onnxruntime, which does all its own optimisations on loading."""
    import onnxruntime
    import torch

    model, x = torch_network(workload)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = jobs
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # this exporter is the one that needs no further package
            torch.onnx.export(model, (x,), str(path), dynamo=False, opset_version=17, input_names=["x"])
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {"x": x.numpy()}
    return repeated(lambda: session.run(None, feed))
