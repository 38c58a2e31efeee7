"""The objective: defaults, class weights, monitors."""

import math
from dataclasses import replace

import numpy as np
import pytest

from dltool.engine.batch import Batch, Mixed
from dltool.engine.graph import GraphBuilder
from dltool.engine.layers import Dense
from dltool.engine.model import Model
from dltool.errors import UsageError
from dltool.training.objective import class_indices, class_weights, make_objective
from tests.training.rows import chain

CLASSES = np.array([0, 1, 1, 2])


def softmax_of_three() -> Model:
    return chain(2, Dense(3, activation="softmax"))


def two_heads() -> Model:
    builder = GraphBuilder()
    x = builder.input((2,))
    return Model.build(builder.graph(builder.add(Dense(1, name="a"), x), builder.add(Dense(2, name="b"), x)))


def test_class_weights_multiply_sample_weights_in_training_only():
    weights = np.array([1, 2, 10], np.float32)
    objective = replace(make_objective(softmax_of_three(), [CLASSES]), class_weights=weights)
    batch = Batch((np.zeros((4, 2), np.float32),), (CLASSES,), np.array([1, 1, 0.5, 3], np.float32))
    assert objective.prepare(batch, training=True).weights.tolist() == [1, 2, 1, 30]
    assert objective.prepare(batch) is batch
    bare = replace(batch, weights=None)
    assert objective.prepare(bare, training=True).weights.tolist() == [1, 2, 2, 10]


def test_class_weights_find_the_class_in_one_hot_targets():
    objective = make_objective(softmax_of_three(), [CLASSES], losses=["categorical_crossentropy"])
    objective = replace(objective, class_weights=np.array([1, 2, 10], np.float32))
    prepared = objective.prepare(Batch((np.zeros((4, 2), np.float32),), (CLASSES,)), training=True)
    assert prepared.targets[0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert prepared.weights.tolist() == [1, 2, 2, 10]


def test_balanced_weights_make_every_class_weigh_the_same():
    # n / (classes * count): 4 / (3 * 1), 4 / (3 * 2), 4 / (3 * 1).
    found = class_weights("balanced", ("a", "b", "c"), CLASSES)
    assert found.tolist() == pytest.approx([4 / 3, 2 / 3, 4 / 3])
    assert class_weights("balanced", ("a", "b", "c", "none"), CLASSES)[3] == 1


def test_named_class_weights_leave_the_others_at_one():
    assert class_weights("b=9,a=b=2", ("a", "b", "a=b"), CLASSES).tolist() == [1, 9, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dgo=2", "--class-weight: 'dgo=2' names no class; did you mean 'dog'?"),
        ("dog=two", "--class-weight: 'two' is not a number; write dog=2"),
        ("dog=-1", "--class-weight: 'dog=-1' has a weight below 0"),
        ("dog", "--class-weight: 'dog' names no class"),
    ],
)
def test_wrong_class_weights_are_refused(text, message):
    with pytest.raises(UsageError) as caught:
        class_weights(text, ("cat", "dog"), np.array([0, 1]))
    assert message in str(caught.value)


def test_class_indices_of_indices_columns_and_one_hot_rows():
    assert class_indices(np.array([2, 0])).tolist() == [2, 0]
    assert class_indices(np.array([[1.0], [0.0]])).tolist() == [1, 0]
    assert class_indices(np.array([[0, 0, 1], [1, 0, 0]])).tolist() == [2, 0]


def test_the_usual_metrics_follow_the_head():
    assert make_objective(softmax_of_three(), [CLASSES]).metric_names == ("accuracy",)
    assert make_objective(chain(2, Dense(1)), [np.zeros((4, 1))]).metric_names == ("mean_absolute_error",)


def test_several_outputs_have_their_names_before_the_metrics_and_weighted_losses():
    objective = make_objective(
        two_heads(),
        [np.ones((1, 1), np.float32), np.ones((1, 2), np.float32)],
        losses=["mse", "mae"],
        loss_weights=[1, 10],
        metrics=["mae"],
    )
    assert objective.metric_names == ("a_mean_absolute_error", "b_mean_absolute_error")
    batch = Batch((np.zeros((1, 2), np.float32),), (np.ones((1, 1), np.float32), np.ones((1, 2), np.float32)))
    outputs = (np.array([[3]], np.float32), np.array([[1, 2]], np.float32))
    assert objective.value(batch, outputs) == pytest.approx(4 + 10 * 0.5)


def test_labels_for_the_wrong_number_of_outputs_are_refused():
    with pytest.raises(UsageError, match="2 outputs but 1 label arrays"):
        make_objective(two_heads(), [CLASSES])


def test_the_monitor_is_val_loss_with_validation_and_knows_its_direction():
    objective = make_objective(softmax_of_three(), [CLASSES])
    assert objective.monitor(None, True).name == "val_loss"
    assert objective.monitor(None, False).name == "loss"
    assert not objective.monitor(None, True).higher_is_better
    assert objective.monitor("val_accuracy", True).higher_is_better
    assert objective.monitor("val_acc", True) == objective.monitor("val_accuracy", True)  # as progress lines call it


def test_an_unknown_monitor_is_refused_with_the_nearest_name():
    objective = make_objective(softmax_of_three(), [CLASSES])
    with pytest.raises(UsageError, match="--monitor: 'val_acuracy' is not measured; did you mean 'val_accuracy'"):
        objective.monitor("val_acuracy", True)
    with pytest.raises(UsageError, match="no validation data; give --val"):
        objective.monitor("val_loss", False)


def test_a_mixed_row_has_the_loss_of_both_labels_by_their_shares():
    """Cross-entropy is linear in the target: 0.75 and 0.25 of the rows' own losses."""
    labels, others = np.array([0, 2]), np.array([1, 2])
    objective = make_objective(softmax_of_three(), [labels], mixes=True)
    outputs = (np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], np.float32),)
    batch = Batch((np.zeros((2, 2), np.float32),), (labels,), mixed=Mixed((others,), np.array([0.25, 0.5], np.float32)))
    prepared = objective.prepare(batch, training=True)
    assert np.allclose(prepared.targets[0], [[0.25, 0.75, 0], [0, 0, 1]])
    assert prepared.judged[0].tolist() == [[0, 1, 0], [0, 0, 1]]
    expected = (-0.25 * math.log(0.5) - 0.75 * math.log(0.3) - math.log(0.8)) / 2
    assert objective.value(prepared, outputs) == pytest.approx(expected, rel=1e-6)
    weighted = replace(objective, class_weights=np.array([1, 3, 5], np.float32)).prepare(batch, training=True)
    assert weighted.weights.tolist() == [0.25 * 1 + 0.75 * 3, 5]
