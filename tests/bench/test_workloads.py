"""The measured networks are the ones they claim to be, on dltool's side and on the peers'."""

import importlib.util

import pytest

from tests.bench import workloads
from tests.bench.workloads import WORKLOADS, named

PARAMETERS = {
    "W1": (784 + 1) * 512 + (512 + 1) * 512 + (512 + 1) * 10,
    "W2-28-64": (9 + 1) * 32 + (9 * 32 + 1) * 32 + (13 * 13 * 32 + 1) * 512 + (512 + 1) * 10,
    "W2-32-128": (27 + 1) * 32 + (9 * 32 + 1) * 32 + (15 * 15 * 32 + 1) * 512 + (512 + 1) * 10,
    # Convolutions with bias, then gamma, beta and two moving statistics for each of the 896 channels.
    "W3": 1_145_408 + 896 * 4 + (256 + 1) * 10,
    # torchvision's ResNet-18 has 11,689,512 parameters with 1,000 classes; 4,800 channels have moving statistics.
    "R18": 11_689_512 - (512 + 1) * 1000 + (512 + 1) * 10 + 2 * 4800,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_graph_has_the_networks_parameters(name):
    assert WORKLOADS[name].graph().num_parameters == PARAMETERS[name]


@pytest.mark.interop
@pytest.mark.parametrize("name", PARAMETERS)
def test_torch_network_has_as_many_trained_parameters(name):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    from tests.bench.peers import torch_network

    model, graph = torch_network(WORKLOADS[name]), WORKLOADS[name].graph()
    trained = sum(spec.size for specs in graph.specs.values() for spec in specs if spec.trainable)
    assert sum(parameter.numel() for parameter in model.parameters()) == trained


def test_a_word_names_all_its_variants():
    assert [workload.name for workload in named(["W2", "R18"])] == [
        "W2-28-64",
        "W2-28-128",
        "W2-32-64",
        "W2-32-128",
        "R18",
    ]
    with pytest.raises(KeyError):
        named(["W"])


def test_rows_are_the_same_every_time():
    workload = WORKLOADS["W2-28-64"]
    (x, y), (again, _) = workload.rows(), workload.rows()
    assert x.shape == (workloads.NUM_BATCHES * 64, 28, 28, 1)
    assert y.shape == (workloads.NUM_BATCHES * 64,)
    assert (x == again).all()
