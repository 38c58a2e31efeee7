"""The measured networks are the ones they claim to be, on dltool's side and on the peers'; every workload runs."""

import importlib.util
import subprocess
import sys

import pytest

from tests.bench import contenders, loading, workloads
from tests.bench.contenders import PEERS, Setting, build_steps, missing
from tests.bench.workloads import WORKLOADS, named

PARAMETERS = {
    "W1": (784 + 1) * 512 + (512 + 1) * 512 + (512 + 1) * 10,
    "W2-28-64": (9 + 1) * 32 + (9 * 32 + 1) * 32 + (13 * 13 * 32 + 1) * 512 + (512 + 1) * 10,
    "W2-32-128": (27 + 1) * 32 + (9 * 32 + 1) * 32 + (15 * 15 * 32 + 1) * 512 + (512 + 1) * 10,
    # Convolutions with bias, then gamma, beta and two moving statistics for each of the 896 channels.
    "W3": 1_145_408 + 896 * 4 + (256 + 1) * 10,
    # torchvision's ResNet-18 has 11,689,512 parameters with 1,000 classes; 4,800 channels have moving statistics.
    "R18": 11_689_512 - (512 + 1) * 1000 + (512 + 1) * 10 + 2 * 4800,
    # Keras's own counts (keras.applications), all of them.
    "VGG16-1": 138_357_544,
    "MobileNetV1-1": 4_253_864,
    "MobileNetV2-1": 3_538_984,
    # torchvision's, and moving statistics of 26,560 channels.
    "ResNet50-1": 25_557_032 + 2 * 26_560,
    "tabular": (50 + 1) * 256 + (256 + 1) * 128 + (128 + 1) * 10,
}
HEAVY = ("VGG16-1", "VGG16-16")
"""Not run even as tiny ones: 138 million weights, in code that ResNet50 runs as well."""


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("images")
    loading.make_folder(folder, (28, 28, 1), count=20)
    return str(folder)


def runs(name: str, workload: workloads.Workload, images: str) -> None:
    reason = missing(name, workload, Setting(1))
    if reason:
        pytest.skip(reason)
    build_steps(name, workload.tiny(), Setting(1, images=images))(1)


@pytest.fixture(autouse=True)
def cores_stay_as_they_are(monkeypatch):
    """A contender takes its process's cores away, which here is the test's."""
    monkeypatch.setattr("os.sched_setaffinity", lambda *_: None, raising=False)


@pytest.mark.parametrize("name", PARAMETERS)
def test_graph_has_the_networks_parameters(name):
    assert WORKLOADS[name].graph().num_parameters == PARAMETERS[name]


@pytest.mark.parametrize("name", [name for name in WORKLOADS if name not in HEAVY])
def test_dltool_does_a_step_of_every_workload(name, images):
    runs("dltool", WORKLOADS[name], images)


def test_exact_is_a_way_of_training_alone(images):
    runs("dltool-exact", WORKLOADS["W2-28-64"], images)
    assert missing("dltool-exact", WORKLOADS["ResNet50-1"], Setting(1)) == "does inference in one way only"


STEP_OF_EACH = """
import sys
from tests.bench.contenders import Setting, build_steps, missing
from tests.bench.workloads import WORKLOADS
for word in sys.argv[2:]:
    peer, name = word.split(":")
    if missing(peer, WORKLOADS[name], Setting(1)) is None:
        build_steps(peer, WORKLOADS[name].tiny(), Setting(1, images=sys.argv[1]))(1)
        print(word)
"""


@pytest.mark.interop
@pytest.mark.parametrize(
    "words",
    [
        "torch:W1 torch-channels-last:W2-28-64 torch:LSTM torch:MobileNetV2-1 onnxruntime:MobileNetV2-1 "
        "torch:tabular sklearn:tabular torch:optimizer torch:loading",
        "keras-tf:LSTM keras-tf:loading keras-tf:folder-first",
    ],
)
def test_the_peers_do_a_step_of_each_kind(words, images, repository):
    """In a process of their own, because they leave threads behind. Keras's other backends run the same code."""
    words = words.split()
    if reason := missing(words[0].partition(":")[0], WORKLOADS["W1"], Setting(1)):
        pytest.skip(reason)
    command = [sys.executable, "-c", STEP_OF_EACH, images, *words]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert set(done.stdout.split()) <= set(words)
    assert words[0] in done.stdout


@pytest.mark.interop
@pytest.mark.parametrize("name", PARAMETERS)
def test_torch_network_has_as_many_trained_parameters(name):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    from tests.bench import imagenet_torch, tabular, training_peers

    workload = WORKLOADS[name]
    if workload.kind == "inference":
        model = imagenet_torch.network(workload.network, 224)
    else:
        model = (tabular if workload.kind == "tabular" else training_peers).torch_network(workload)
    trained = sum(spec.size for specs in workload.graph().specs.values() for spec in specs if spec.trainable)
    assert sum(parameter.numel() for parameter in model.parameters()) == trained


def test_a_word_names_all_its_variants_or_a_kind():
    found = ["W2-28-64", "W2-28-128", "W2-32-64", "W2-32-128", "R18"]
    assert [workload.name for workload in named(["W2", "R18"])] == found
    assert len(named(["inference"])) == 8
    with pytest.raises(KeyError):
        named(["W"])


def test_rows_are_the_same_every_time():
    workload = WORKLOADS["W2-28-64"]
    (x, y), (again, _) = workload.rows(), workload.rows()
    assert x.shape == (workloads.NUM_BATCHES * 64, 28, 28, 1)
    assert y.shape == (workloads.NUM_BATCHES * 64,)
    assert (x == again).all()


def test_every_kind_has_a_room_and_peers():
    kinds = {workload.kind for workload in WORKLOADS.values()}
    assert kinds == set(contenders.ROOMS) == set(PEERS)


def test_a_peer_says_what_it_does_not_do_and_dltool_what_it_lacks(monkeypatch):
    assert missing("sklearn", WORKLOADS["W1"], Setting(1)) == "does not do training"
    lacking = WORKLOADS["LSTM"]
    monkeypatch.setattr("dltool.engine.layers.LAYERS._objects", {})
    assert missing("dltool", lacking, Setting(1)) == "dltool has no layer LSTM yet"
