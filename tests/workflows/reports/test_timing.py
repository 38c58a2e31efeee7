"""Measured times belong to the layers that take them."""

import numpy as np
import pytest

from dltool.architectures.words import from_words
from dltool.engine.executor import Executor
from dltool.engine.model import Model
from dltool.errors import UsageError
from dltool.workflows.reports.timing import layer_milliseconds


def test_heavy_layers_take_longer_than_light_ones():
    words = ["conv2d:32,3,same,relu", "maxpool:2", "dropout:0.5", "flatten", "dense:4,softmax"]
    graph = from_words(words, (32, 32, 8))
    times = layer_milliseconds(Model.build(graph), 16)
    named = {graph.nodes[index].name: time for index, time in times.items()}
    assert named["conv2d"] == max(named.values())
    assert all(time > 0 for time in named.values())
    assert not {"dropout", "flatten"} & set(named)


def test_the_sum_is_about_what_a_batch_takes():
    model = Model.build(from_words(["dense:512,relu", "dense:512,relu", "dense:10,softmax"], (784,)))
    total = sum(layer_milliseconds(model, 256).values())
    x = np.random.default_rng(0).random((256, 784), np.float32)
    with Executor(model, batch_size=256, jobs=1) as executor:
        import time

        runs = []
        for _ in range(8):
            start = time.perf_counter()
            executor.forward((x,))
            runs.append(1000 * (time.perf_counter() - start))
    assert 0.2 * min(runs) < total < 5 * max(runs)


def test_a_branched_network_is_timed_too():
    words = ["x=input:5", "a=dense:4,relu@x", "b=dense:4@x", "sum=add@a+b", "c=dense:3,softmax@sum"]
    graph = from_words(words)
    times = layer_milliseconds(Model.build(graph), 4)
    assert {"a", "b", "sum", "c"} <= {graph.nodes[index].name for index in times}


def test_open_sizes_cannot_be_timed():
    with pytest.raises(UsageError, match="--timing: the model's input size is open"):
        layer_milliseconds(Model.build(from_words(["gap", "dense:2"], (None, None, 3))), 4)
