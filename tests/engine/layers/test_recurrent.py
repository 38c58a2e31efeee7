"""Recurrent layers by hand: masks, states, and what Part takes out."""

import numpy as np
import pytest

from dltool.engine.executor import Executor
from dltool.engine.graph import GraphBuilder
from dltool.engine.layers import LSTM, Bidirectional, Call, Embedding, GlobalAveragePooling1D, Masking, Part, SimpleRNN
from dltool.engine.losses import loss
from dltool.engine.model import Model
from dltool.engine.reference import ReferenceExecutor, loss_and_gradient
from dltool.errors import UsageError

SUM = (np.ones((1, 1)), np.ones((1, 1)), np.zeros(1))
"""Weights of a linear SimpleRNN that adds up what it has seen."""


def adding(**options):
    return SimpleRNN(1, activation="linear", return_sequences=True, **options)


def column(*numbers):
    return np.array(numbers, float).reshape(1, -1, 1)


def run(layer, x, weights=SUM, **call):
    return layer.forward(x, weights, Call(**call))[0].ravel().tolist()


def test_masked_steps_keep_the_state_and_repeat_the_output():
    mask = np.array([[False, True, False, True]])
    assert run(adding(), column(1, 2, 4, 8), masks=(mask,)) == [0, 2, 2, 10]
    assert run(adding(zero_output_for_mask=True), column(1, 2, 4, 8), masks=(mask,)) == [0, 2, 0, 10]
    assert run(adding(go_backwards=True), column(1, 2, 4, 8), masks=(mask,)) == [8, 8, 10, 10]


def test_initial_states_are_further_inputs_and_stateful_layers_go_on():
    assert run(adding(), (column(1, 2), np.array([[10.0]]))) == [11, 13]
    call = Call(state=(np.array([[5.0]]),))
    layer = adding(stateful=True)
    assert layer.forward(column(1, 2), SUM, call)[0].ravel().tolist() == [6, 8]
    assert call.new_state[0].item() == 8


@pytest.mark.parametrize("executor_class", [ReferenceExecutor, Executor])
def test_executors_keep_the_state_from_batch_to_batch_until_it_is_reset(executor_class):
    b = GraphBuilder()
    model = Model.build(b.graph(b.add(adding(stateful=True), b.input((2, 1)))))
    for view, values in zip(model.weights.views["simple_rnn"], SUM, strict=True):
        view[...] = values
    x = (np.float32([[[1], [2]], [[10], [20]]]),)
    with executor_class(model, batch_size=2, jobs=1) as executor:
        assert executor.forward(x)[0][..., 0].tolist() == [[1, 3], [10, 30]]
        assert executor.forward(x)[0][..., 0].tolist() == [[4, 6], [40, 60]]
        executor.reset_states()
        assert executor.forward(x)[0][..., 0].tolist() == [[1, 3], [10, 30]]


def test_part_takes_out_the_output_and_the_states():
    b = GraphBuilder()
    both = b.add(LSTM(3, return_sequences=True, return_state=True), b.input((4, 2)))
    graph = b.graph(*(b.add(Part(index, count=2, sequences=True), both) for index in (0, 1, 2)))
    assert graph.output_shapes == ((4, 3), (3,), (3,))
    with ReferenceExecutor(Model.build(graph, 1), batch_size=2) as executor:
        outputs, h, c = executor.forward((np.random.default_rng(0).normal(size=(2, 4, 2)),))
    np.testing.assert_array_equal(outputs[:, -1], h)
    assert np.abs(c).min() > np.abs(h).min()


def test_masks_travel_to_the_output_and_its_loss_counts_only_what_they_let():
    b = GraphBuilder()
    x = b.add(Embedding(5, 3, mask_zero=True), b.input((4,)))
    graph = b.graph(b.add(adding(), x), b.add(GlobalAveragePooling1D(), x))
    assert graph.masks[graph.outputs[0]] == (4,)
    assert graph.masks[graph.outputs[1]] is None
    values = np.float32([[[1], [3]], [[5], [9]]])
    mask = np.array([[True, False], [True, True]])
    total, gradient = loss_and_gradient(loss("mse"), np.zeros((2, 2, 1)), values, None, mask=mask)
    assert total == pytest.approx((1 + 25 + 81) / 3)
    np.testing.assert_allclose(gradient[..., 0], [[2 / 3, 0], [10 / 3, 6]], rtol=1e-6)


def test_masking_looks_at_all_features_of_a_step():
    x = np.array([[[0, 0], [0, 1], [2, 2]]], float)
    assert Masking().output_mask(x, (None,)).tolist() == [[False, True, True]]
    assert Masking(mask_value=2).output_mask(x, (None,)).tolist() == [[True, True, False]]


def test_a_bidirectional_layer_puts_the_backward_outputs_in_the_order_of_time():
    layer = Bidirectional(adding(), merge_mode="concat")
    y, _ = layer.forward(column(1, 2, 4), (*SUM, *SUM), Call())
    assert y[0].tolist() == [[1, 7], [3, 6], [7, 4]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bidirectional(Masking()), "runs a recurrent layer in both directions, and Masking is none"),
        (lambda: Bidirectional(LSTM(2), merge_mode="max"), "merge_mode 'max' is not supported; use concat"),
        (lambda: LSTM(2, dropout=1.5), "dropout is 1.5; give a number from 0 to 1"),
        (lambda: LSTM(2).output_shape((3,)), r"needs a sequence \(steps x features\) but gets 3"),
        (lambda: LSTM(2).output_shape(((4, 3), (2,))), "its initial states are 2; it needs 2 of 2 numbers"),
        (lambda: Part(3, count=2), "the layer before has outputs 0 to 2"),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(UsageError, match=message):
        make()
