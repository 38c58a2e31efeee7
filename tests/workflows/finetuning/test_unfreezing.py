"""Which layers of a base train in which stage."""

import pytest

from dltool.engine.graph import Graph, GraphBuilder
from dltool.engine.layers import LSTM, BatchNormalization, Conv2D, Dense, Flatten, MaxPooling2D
from dltool.engine.surgery import weighted_layers
from dltool.errors import UsageError
from dltool.settings import DataSettings, FinetuneSettings
from dltool.workflows.finetuning.unfreezing import blocks_of, spanned, stages_after_head, with_epochs


def chain(shape: tuple[int, ...], *layers) -> Graph:
    b = GraphBuilder()
    place = b.input(shape)
    for layer in layers:
        place = b.add(layer, place)
    return b.graph(place)


def convolutions(*names: str) -> list[Conv2D]:
    return [Conv2D(2, 3, padding="same", name=name) for name in names]


BASE = chain(
    (8, 8, 1),
    *convolutions("a1", "a2"),
    MaxPooling2D(),
    *convolutions("b1", "b2"),
    BatchNormalization(name="bn"),
    MaxPooling2D(),
    *convolutions("c1"),
    Flatten(),
    Dense(4, name="d"),
    Dense(4, name="e"),
)
BLOCKS = [["a1", "a2"], ["b1", "b2"], ["c1"], ["d"], ["e"]]


def stages(graph: Graph = BASE, fixed: tuple[str, ...] = (), **options) -> list[tuple[str, int]]:
    """What each stage adds and for how many epochs, by default 5 in all."""
    settings = FinetuneSettings("m.h5", DataSettings(), **{"epochs_unfrozen": 5, **options})
    found = stages_after_head(settings, graph, graph, fixed)
    for number, thaw in enumerate(found):
        assert set(thaw.free) == {name for other in found[: number + 1] for name in other.added}
    return [(" ".join(thaw.added), thaw.epochs) for thaw in found]


def test_images_of_one_size_are_a_block_and_other_layers_stand_alone():
    names = [name for name in weighted_layers(BASE) if name != "bn"]
    assert blocks_of(BASE, names) == BLOCKS


def test_layers_of_one_size_alone_are_cut_into_thirds_and_many_blocks_are_joined():
    names = "abcdefgh"
    assert blocks_of(chain((8, 8, 1), *convolutions(*names)), list(names)) == [list("abc"), list("def"), list("gh")]
    assert blocks_of(chain((8, 8, 1), *convolutions(*"ab")), ["a", "b"]) == [["a", "b"]]
    many = [Dense(2, name=name) for name in "abcdefghij"]
    assert [len(block) for block in blocks_of(chain((3,), *many), list("abcdefghij"))] == [2, 2, 1, 1, 1, 1, 1, 1]
    rows = chain((5, 3), LSTM(3, return_sequences=True, name="first"), LSTM(3, name="second"))
    assert blocks_of(rows, ["first", "second"]) == [["first"], ["second"]]


def test_without_gradual_there_is_one_stage_or_none():
    assert stages(epochs_unfrozen=3) == [("a1 a2 b1 b2 c1 d e", 3)]
    assert stages(epochs_unfrozen=3, bn="update") == [("a1 a2 b1 b2 bn c1 d e", 3)]
    assert stages(epochs_unfrozen=3, fixed=("a1",)) == [("a2 b1 b2 c1 d e", 3)]
    assert stages(epochs_unfrozen=0) == []


def test_gradual_stages_go_down_from_the_head_and_share_the_passes():
    down = ["e", "d", "c1", "b1 b2", "a1 a2"]
    assert stages(gradual=True, epochs_unfrozen=5) == [(names, 1) for names in down]
    # What is left over goes to the stages in which most trains.
    assert [epochs for _, epochs in stages(gradual=True, epochs_unfrozen=12)] == [2, 2, 2, 3, 3]
    # With fewer passes than blocks, neighbours go together.
    assert stages(gradual=True, epochs_unfrozen=2) == [("c1 d e", 1), ("a1 a2 b1 b2", 1)]
    assert stages(gradual=True, epochs_unfrozen=9, unfreeze="b*,c1") == [("c1", 4), ("b1 b2", 5)]


def test_patterns_reach_into_nested_models():
    graph = chain((3,), Dense(2, name="base/one"), Dense(2, name="base/block/two"), Dense(2, name="three"))
    assert stages(graph, unfreeze="one", epochs_unfrozen=1) == [("base/one", 1)]
    assert stages(graph, unfreeze="base", epochs_unfrozen=1) == [("base/one base/block/two", 1)]
    for pattern in ("xyz*", ",", "one,"):
        with pytest.raises(
            UsageError, match="fits no layer of the base that can train; give all, a number, or names, as "
        ):
            stages(graph, unfreeze=pattern, epochs_unfrozen=1)
    with pytest.raises(UsageError, match="or names, of which this base has none"):
        stages(chain((3,), Flatten()), unfreeze="one", epochs_unfrozen=1)
    with pytest.raises(UsageError, match="--unfreeze: 'tow' fits no layer of the base that can train"):
        stages(graph, unfreeze="tow", epochs_unfrozen=1)


def test_many_names_are_told_by_the_first_and_the_last():
    assert spanned(["base/one", "two"]) == "one, two"
    assert spanned(["base/one", "two", "base/block/three"]) == "one .. three (3 layers)"


@pytest.mark.parametrize(
    ("rows", "options", "epochs"),
    [
        (2_000, {}, (10, 5)),
        (1_280, {}, (10, 5)),
        (640, {}, (20, 10)),
        (65, {}, (100, 50)),
        (64, {"batch_size": 16}, (50, 25)),
        (3, {}, (200, 100)),
        (3, {"epochs": 10, "epochs_unfrozen": 0}, (10, 0)),
        (3, {"epochs_unfrozen": 2}, (200, 2)),
    ],
)
def test_few_rows_are_seen_more_often_unless_it_was_said_how_often(rows, options, epochs):
    """At least 200 steps of the head and 100 of the base."""
    found = with_epochs(FinetuneSettings("m.h5", DataSettings(), **options), rows)
    assert (found.epochs, found.epochs_unfrozen) == epochs
