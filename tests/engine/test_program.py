"""How a batch is cut and what runs together."""

import numpy as np
import pytest

from dltool.engine.buffers import Buffer, Padding, Piece, Storage, Workspace
from dltool.engine.graph import GraphBuilder
from dltool.engine.kernels.base import NUM_SHARDS
from dltool.engine.layers import Activation, Conv2D, Dense, Dropout, Flatten, MaxPooling2D, ReLU
from dltool.engine.losses import loss
from dltool.engine.lowering import lower
from dltool.engine.memory import shared_zeros
from dltool.engine.model import Model
from dltool.engine.planning import Plan, PlanSettings
from dltool.engine.program import ShardStage, TileStage, shard_rows, share
from dltool.engine.update import tree_sum
from tests.engine.networks import classic, normalized, perceptron


@pytest.mark.parametrize("rows", [1, 5, 8, 20, 64, 129])
def test_shards_are_those_of_array_split(rows):
    expected = [len(part) for part in np.array_split(np.arange(rows), NUM_SHARDS)]
    cuts = [shard_rows(rows, shard) for shard in range(NUM_SHARDS)]
    assert [stop - start for start, stop in cuts] == expected
    assert cuts[0][0] == 0 and cuts[-1][1] == rows


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 7])
def test_lanes_share_all_pieces_without_overlap(lanes):
    taken = [piece for lane in range(lanes) for piece in share(8, lane, lanes)]
    assert taken == list(range(8))


def test_activations_are_split_off_and_idle_layers_left_out():
    b = GraphBuilder()
    x = b.add(Dense(4, activation="tanh"), b.input((3,)))
    x = b.add(Activation("linear"), b.add(Dropout(0.5), x))
    graph = b.graph(b.add(ReLU(), x))
    kinds = [(type(s.layer).__name__, getattr(s.layer, "activation", None)) for s in lower(graph).steps]
    assert kinds == [("InputLayer", None), ("Dense", "linear"), ("Activation", "tanh"), ("Activation", "relu")]


def test_a_softmax_head_is_left_to_a_loss_that_takes_logits():
    graph = perceptron()
    lowered = lower(graph, (loss("sparse_categorical_crossentropy"),))
    assert lowered.heads == ["softmax"]
    assert lowered.steps[lowered.outputs[0]].layer.name == "dense_2"
    assert lower(graph, (loss("mean_squared_error"),)).heads == ["linear"]


def plan(graph, training=True, rows=64):
    losses = (loss("sparse_categorical_crossentropy"),) if training else ()
    settings = PlanSettings(rows, 0, training, losses=losses)
    return Plan(Model.build(graph), settings, shared_zeros(1, np.int64))


def test_a_chain_of_convolutions_walks_a_few_rows_through_one_stage():
    stages = plan(classic()).stages
    first = stages[0]
    assert isinstance(first, ShardStage)
    kernels = [type(k).__name__ for group in first.groups for k, _ in group.phases]
    assert kernels[:4] == ["InputKernel", "RescalingKernel", "VerticalWinograd", "VerticalWinograd"]
    assert isinstance(stages[1], TileStage)


def test_flatten_shares_memory_and_gradients_inside_a_stage_are_scratch():
    made = plan(classic())
    by_kind = {type(p.step.layer).__name__: p for p in made.steps}
    assert by_kind["Flatten"].kernel is None
    assert by_kind["Flatten"].site.y.source is by_kind["Dropout"].site.y or by_kind["Flatten"].site.y.source is not None
    convolutions = [p for p in made.steps if isinstance(p.step.layer, Conv2D)]
    assert not convolutions[0].site.dy.is_full
    assert convolutions[0].site.y.is_full


def test_inference_keeps_only_outputs_and_what_tiles_need():
    made = plan(normalized(), training=False)
    full = [p.step.layer.name for p in made.steps if p.kernel is not None and p.site.y.is_full]
    assert full == ["global_average_pooling2d", "dense", "dense"]


def test_buffers_of_the_same_shape_take_turns_in_inference():
    b = GraphBuilder()
    x = b.input((8, 8, 3))
    for _ in range(5):
        x = b.add(Conv2D(4, 3, padding="same"), x)
    made = plan(b.graph(b.add(Flatten(), x)), training=False)
    outputs = [p.site.y for p in made.steps if isinstance(p.step.layer, Conv2D)]
    assert len({id(y.root.storage) for y in outputs[:4]}) == 2  # the fifth, without a border, has its own


def test_bands_go_on_without_a_barrier_while_each_needs_only_itself():
    b = GraphBuilder()
    x = b.input((16, 16, 3))
    for layer in (
        Conv2D(8, 5, padding="same"),
        Conv2D(8, 1),
        Conv2D(8, 1),
        Conv2D(8, 1),
        Conv2D(8, 3, padding="same"),  # reads its neighbours' bands, and writes bands of tiles
        Conv2D(8, 1),
        Conv2D(8, 1, strides=2),
        Conv2D(8, 1),
    ):
        x = b.add(layer, x)
    made = plan(b.graph(x), training=False, rows=1)
    stages = [stage for stage in made.stages if isinstance(stage, TileStage)]
    assert [[k.site.layer.name for k, _ in stage.phases] for stage in stages] == [
        ["conv2d", "conv2d_1", "conv2d_2", "conv2d_3"],
        ["conv2d_4"],
        ["conv2d_5"],
        ["conv2d_6", "conv2d_7"],
    ]
    together = [p.site.y.root.storage for p in made.steps if p.step.layer.name in ("conv2d_1", "conv2d_2", "conv2d_3")]
    assert len({id(storage) for storage in together}) == 3  # a lane may write the third while another reads the first


def test_inference_folds_normalisation_and_relu_into_the_convolution():
    made = plan(normalized(), training=False)
    kinds = [type(p.kernel).__name__ for p in made.steps if p.kernel is not None]
    assert "FrozenNormalizationKernel" not in kinds and "ReluKernel" not in kinds


def test_relu_is_fused_and_its_gradient_folded_into_pooling():
    b = GraphBuilder()
    x = b.add(Conv2D(4, 3), b.input((8, 8, 1)))
    x = b.add(MaxPooling2D(2), b.add(ReLU(), x))
    graph = b.graph(b.add(Dense(10, activation="softmax"), b.add(Flatten(), x)))
    made = plan(graph)
    convolution = next(p for p in made.steps if isinstance(p.step.layer, Conv2D))
    pooling = next(p for p in made.steps if isinstance(p.step.layer, MaxPooling2D))
    assert convolution.site.relu and convolution.site.relu_gradient_done and pooling.site.masks_input


def test_a_bordered_buffer_keeps_its_zeros_around_the_interior():
    buffer = Buffer((2, 3, 1), Padding(1, 0, 2, 1))
    buffer.storage = Storage(4, buffer.padded_shape)
    piece = Piece(4, 6, 8, Workspace())
    buffer.interior(piece)[...] = 5
    rows = buffer.padded(piece)
    assert rows.shape == (2, 3, 6, 1)
    assert rows[:, 0].sum() == 0 and rows[:, :, :2].sum() == 0 and rows[:, :, 5].sum() == 0
    assert rows.sum() == 2 * 2 * 3 * 5


@pytest.mark.parametrize("count", range(1, 9))
def test_tree_sum_adds_neighbours_first(count):
    parts = np.random.default_rng(count).standard_normal((count, 5)).astype(np.float32)

    def expected(rows: list[np.ndarray]) -> np.ndarray:
        while len(rows) > 1:
            pairs = [rows[i : i + 2] for i in range(0, len(rows), 2)]
            rows = [pair[0] + pair[1] if len(pair) == 2 else pair[0] for pair in pairs]
        return rows[0]

    wanted = expected([row.copy() for row in parts])
    total = np.empty(5, np.float32)
    tree_sum(parts, total, adds=False)()
    assert total.tobytes() == wanted.tobytes()
