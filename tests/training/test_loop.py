"""The loop against numbers worked out by hand and against runs recorded from Keras."""

import math

import numpy as np
import pytest

from dltool.engine.layers import Dense
from dltool.engine.optimizers import SGD
from dltool.errors import DivergedError
from dltool.training.callbacks import Callback
from dltool.training.loop import evaluate, predict, train
from dltool.training.objective import make_objective
from dltool.training.run import Run
from tests.training.recorded import Recorded
from tests.training.rows import chain, executor, line, loader


def straight_line() -> tuple:
    """y = 2x on the rows 1, 2, 3, learnt by w = b = 0 with batches of two."""
    model = chain(1, Dense(1, kernel_initializer="zeros"))
    x, y = line(2, [1, 2, 3])
    return model, loader(x, y), make_objective(model, [y])


def test_epoch_averages_are_over_samples_and_steps_are_gradient_descent():
    # Rows 1, 2: predictions 0, 0; loss (4 + 16) / 2 = 10; dw = (-4*1 - 8*2) / 2 = -10, db = (-4 - 8) / 2 = -6.
    # So w = 1, b = 0.6. Row 3: prediction 3.6; loss 5.76; dw = -4.8 * 3 = -14.4, db = -4.8: w = 2.44, b = 1.08.
    # Means over the three samples: loss (10 + 10 + 5.76) / 3; absolute error (2 + 4 + 2.4) / 3.
    model, rows, objective = straight_line()
    run = train(executor(model, objective, SGD(0.1)), rows, objective, Run(model, 1, 0.1))
    assert model.weights.vector.tolist() == pytest.approx([2.44, 1.08], abs=1e-6)
    assert run.step == 2
    assert run.history == [
        {
            "epoch": 1,
            "loss": pytest.approx(25.76 / 3, abs=1e-5),
            "mean_absolute_error": pytest.approx(2.8, abs=1e-6),
            "learning_rate": 0.1,
        }
    ]


def test_validation_is_measured_after_the_epoch_with_the_weights_at_its_end():
    model, rows, objective = straight_line()
    validation = loader(*line(2, [0, 1]))
    run = train(executor(model, objective, SGD(0.1)), rows, objective, Run(model, 1, 0.1), validation=validation)
    # w = 2.44, b = 1.08: errors 1.08 and 1.52.
    assert run.history[0]["val_loss"] == pytest.approx((1.08**2 + 1.52**2) / 2, abs=1e-5)
    assert run.history[0]["val_mean_absolute_error"] == pytest.approx(1.3, abs=1e-6)


def test_the_validation_tells_how_far_it_is_and_can_be_left():
    class Leaver(Callback):
        def __init__(self):
            self.seen = []

        def test_batch_end(self, run):
            self.seen.append((run.validated, run.num_validation))
            run.interrupted, run.stop = len(self.seen) == 4, "enough" if len(self.seen) == 4 else ""

    model, rows, objective = straight_line()
    leaver = Leaver()
    run = train(executor(model, objective, SGD(0.01)), rows, objective, Run(model, 3, 0.01), [leaver], rows)
    assert leaver.seen == [(2, 3), (3, 3), (2, 3), (3, 3)]
    # All batches of the second epoch are done, its validation is not.
    assert (run.done, run.epoch, run.batch, len(run.history)) == (1, 1, 2, 1)
    assert run.save_partial()["count"] == 3


def test_callbacks_are_told_the_six_moments_in_keras_order():
    class Diary(Callback):
        def __init__(self):
            self.lines = []

        def train_begin(self, run):
            self.lines.append(f"train begin {run.steps_per_epoch} x {run.num_rows}")

        def epoch_begin(self, run):
            self.lines.append(f"epoch {run.epoch}")

        def batch_begin(self, run):
            self.lines.append(f"batch {run.batch}")

        def batch_end(self, run):
            self.lines.append(f"done {run.batch} {run.samples} {run.logs['loss']:.2f}")

        def epoch_end(self, run):
            self.lines.append(f"epoch end {len(run.history)} {run.logs['loss']:.2f}")

        def train_end(self, run):
            self.lines.append("train end")

    model, rows, objective = straight_line()
    diary = Diary()
    train(executor(model, objective, SGD(0.1)), rows, objective, Run(model, 1, 0.1), [diary])
    moments = ["train begin 2 x 3", "epoch 1", "batch 0", "done 1 2 10.00", "batch 1", "done 2 3 8.59"]
    assert diary.lines == [*moments, "epoch end 1 8.59", "train end"]


def test_a_callback_stops_within_an_epoch_and_changes_the_learning_rate():
    class OneStep(Callback):
        def batch_end(self, run):
            run.stop = "enough"

    model, rows, objective = straight_line()
    run = train(executor(model, objective, SGD(0.1)), rows, objective, Run(model, 5, 0.05), [OneStep()])
    assert (run.step, run.epoch, run.history, run.stop) == (1, 0, [], "enough")
    assert model.weights.vector.tolist() == pytest.approx([0.5, 0.3])


def test_a_loss_that_is_not_a_number_stops_at_once_and_names_the_rows():
    model, _, objective = straight_line()
    x = np.array([[1], [2], [1e30], [1]], np.float32)
    rows = loader(x, np.ones_like(x))
    with pytest.raises(DivergedError) as caught:
        train(executor(model, objective, SGD(0.1)), rows, objective, Run(model, 3, 0.1))
    message = str(caught.value)
    assert "the loss is inf in epoch 1, step 2 of 2 on x.npy[2], x.npy[3]" in message
    assert "--lr" in message
    assert caught.value.exit_code == 6


def test_weights_that_blow_up_in_the_last_step_of_an_epoch_are_noticed():
    model, _, objective = straight_line()
    rows = loader(*line(2, [1, 2, 3]), batch_size=3)
    with pytest.raises(DivergedError, match="after epoch 1 the weights are not finite"):
        train(executor(model, objective, SGD(1e38)), rows, objective, Run(model, 3, 1e38))


def test_more_epochs_continue_exactly_where_the_first_ones_stopped():
    def trained(*parts: int) -> np.ndarray:
        model, _, objective = straight_line()
        rows = loader(*line(2, [1, 2, 3, 4, 5]), shuffle=True)
        engine = executor(model, objective, "adam")
        run = Run(model, 0, 0.001)
        for part in parts:
            run = Run(model, run.epoch + part, 0.001, epoch=run.epoch, step=run.step, history=run.history)
            train(engine, rows, objective, run)
        assert [row["epoch"] for row in run.history] == [1, 2, 3, 4, 5]
        return model.weights.vector.copy()

    assert np.array_equal(trained(5), trained(2, 3))


def test_evaluate_adds_regularisation_and_sample_weights_and_does_not_train():
    model = chain(
        1, Dense(1, kernel_initializer="ones", kernel_regularizer={"class_name": "L2", "config": {"l2": 0.5}})
    )
    x, y = line(3, [1, 2, 3])
    objective = make_objective(model, [y])
    before = model.weights.vector.copy()
    # Errors -2, -4, -6: mean square 56 / 3; penalty 0.5 * 1^2.
    found = evaluate(executor(model, objective, "sgd"), loader(x, y), objective)
    assert found == {"loss": pytest.approx(56 / 3 + 0.5), "mean_absolute_error": pytest.approx(4.0)}
    assert np.array_equal(model.weights.vector, before)


def test_predict_gives_the_outputs_batch_by_batch():
    model, rows, objective = straight_line()
    model.weights.vector[:] = 2, 1
    outputs = [y[:, 0].tolist() for _, (y,) in predict(executor(model, objective, "sgd"), rows.epoch(0))]
    assert outputs == [[3, 5], [7]]


def test_metrics_gathered_in_groups_equal_metrics_of_every_batch():
    # 3 classes from one feature: 7 rows in batches of 2 and one of 1; the right ones are counted by hand below.
    model = chain(1, Dense(3, activation="softmax", kernel_initializer="zeros"))
    model.weights.vector[:] = -1, 0, 1, 0, 0, 0  # negative x: class 0; positive x: class 2
    x = np.array([-2, -1, 1, 2, 3, -3, 4], np.float32)[:, None]
    y = np.array([0, 2, 2, 2, 1, 0, 0])
    objective = make_objective(model, [y])
    assert evaluate(executor(model, objective, "sgd"), loader(x, y), objective)["accuracy"] == pytest.approx(4 / 7)


@pytest.mark.shared
@pytest.mark.parametrize(
    "case",
    [
        *("dense", "softmax_head", "regularizer_l2", "loss_mse_sample_weight", "loss_cce_sample_weight"),
        *("loss_cce_class_weight", "loss_scce_class_weight", "loss_bce_class_weight", "opt_adam", "opt_nadam"),
    ],
)
def test_three_steps_give_the_weights_that_keras_recorded(case, shared):
    recorded = Recorded(shared / "keras" / "golden", case)
    history = recorded.fit(epochs=1)
    for name, (ours, theirs) in recorded.weights().items():
        assert np.abs(ours - theirs).max() <= 1e-5 * max(1.0, np.abs(theirs).max()), name
    assert history[0]["loss"] == pytest.approx(np.mean(recorded.arrays["losses"][:3]), abs=1e-5)
    assert math.isfinite(history[0]["loss"])
