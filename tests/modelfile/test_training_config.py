"""Losses, metrics and optimizers in the spellings of all generations of Keras."""

import json

import pytest

from dltool.engine.losses import CTC, CategoricalCrossentropy, Huber, MeanSquaredError
from dltool.engine.optimizers import SGD, Adagrad, Adam, Nadam, RMSprop
from dltool.engine.rate_schedules import CosineDecay, PiecewiseConstantDecay, PolynomialDecay
from dltool.modelfile.dialects.keras3 import simplify
from dltool.modelfile.saved import TrainingConfig
from dltool.modelfile.training_config import (
    keras_training_config,
    read_loss,
    read_metrics,
    read_optimizer,
    read_training_config,
    training_from_json,
    training_to_json,
)


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("mse", MeanSquaredError()),
        ("mean_squared_error", MeanSquaredError()),
        ("huber_loss", Huber()),
        (
            {"class_name": "Huber", "config": {"name": "h", "delta": 2.0, "reduction": "auto", "fn": "huber"}},
            Huber(2.0),
        ),
        (
            {"class_name": "CategoricalCrossentropy", "config": {"from_logits": True, "axis": -1, "reduction": "sum"}},
            CategoricalCrossentropy(from_logits=True, reduction="sum"),
        ),
        ("my_loss", None),
        ({"class_name": "function", "config": "my_loss"}, None),
        ({"class_name": "Huber", "config": {"delta": "wide"}}, None),
        ({"class_name": ["Huber"], "config": {}}, None),
        (None, None),
    ],
)
def test_losses(spelling, expected):
    assert read_loss(spelling) == expected


def test_metrics_of_all_spellings_come_once_and_unknown_ones_apart():
    wrapper = {"class_name": "MeanMetricWrapper", "config": {"name": "accuracy", "fn": "categorical_accuracy"}}
    auc = {"class_name": "AUC", "config": {"name": "auc", "dtype": "float32", "curve": "PR"}}
    known, unknown = read_metrics([["acc", wrapper, auc, "mae", "acc", "r2_keras"]], None)
    assert known == ("accuracy", "categorical_accuracy", {"class_name": "AUC", "config": {"curve": "PR"}}, "mae")
    assert unknown == ("r2_keras",)


@pytest.mark.parametrize(
    ("class_name", "config", "version", "expected"),
    [
        ("Adam", {"lr": 0.01, "decay": 0.1, "epsilon": None}, "2.1.3", Adam(0.01, decay=0.1)),
        ("Custom>Adam", {"learning_rate": 0.01, "is_legacy_optimizer": False}, "2.15.0", Adam(0.01)),
        ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "use_ema": False}, "3.15.1", SGD(0.1, momentum=0.9)),
        ("RMSprop", {"lr": 0.1, "decay": 0.0}, "2.2.4-tf", RMSprop(0.1, legacy=True)),
        ("RMSprop", {"learning_rate": 0.1}, "2.15.0", RMSprop(0.1)),
        ("Nadam", {"lr": 0.1, "schedule_decay": 0.004}, "2.1.0", Nadam(0.1, legacy=True)),
        ("Adagrad", {"lr": 0.1, "decay": 0.0}, "2.1.0", Adagrad(0.1, initial_accumulator_value=0.0)),
        ("Adagrad", {"learning_rate": 0.1}, "3.0.0", Adagrad(0.1)),
        ("MyAdam", {"learning_rate": 0.1}, "3.0.0", None),
        ("Adam", {"learning_rate": 0.1, "use_ema": True}, "3.0.0", Adam(0.1, use_ema=True)),
        ("Adam", {"learning_rate": {"class_name": "CosineDecay", "config": {}}}, "3.0.0", None),
        ("Adam", {"learning_rate": {"class_name": "CosineDecay", "config": 3}}, "3.0.0", None),
        (
            "Adam",
            {
                "learning_rate": {
                    "class_name": "PiecewiseConstantDecay",
                    "config": {"boundaries": ["a"], "values": [1, {}]},
                }
            },
            "3.0.0",
            None,
        ),
        ("Adam", {"learning_rate": "fast"}, "3.0.0", None),
    ],
)
def test_optimizers(class_name, config, version, expected):
    assert read_optimizer({"class_name": class_name, "config": config}, version) == expected


def test_inverse_time_decay_is_the_old_decay():
    schedule = {"initial_learning_rate": 0.5, "decay_steps": 10, "decay_rate": 2.0, "staircase": False}
    value = {"class_name": "SGD", "config": {"learning_rate": {"class_name": "InverseTimeDecay", "config": schedule}}}
    assert read_optimizer(value, "3.0.0") == SGD(0.5, decay=0.2)


def test_losses_of_several_outputs_come_as_list_dict_or_one():
    for spelling in (["mse", "huber"], {"b": "huber", "a": "mse"}):
        raw = {"loss": spelling, "loss_weights": {"b": 0.5}, "optimizer_config": None}
        config = read_training_config(raw, ("a", "b"), "3.0.0")
        assert config.losses == (MeanSquaredError(), Huber())
        assert config.loss_weights == (1.0, 0.5)
    config = read_training_config({"loss": "mine"}, ("a", "b"), "3.0.0")
    assert config.losses == (None, None)
    assert config.loss_names == ("mine", "mine")


def make(**changes) -> TrainingConfig:
    values = {"losses": (MeanSquaredError(),), "loss_names": ("mse",), "loss_weights": (1.0,), "optimizer": Adam(0.01)}
    return TrainingConfig(**{**values, **changes})


def test_a_config_survives_json():
    config = make(metrics=("accuracy", {"class_name": "AUC", "config": {"curve": "PR"}}), unknown_metrics=("r2",))
    assert training_from_json(json.loads(json.dumps(training_to_json(config)))) == config


@pytest.mark.parametrize(
    "schedule",
    [
        PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001]),
        CosineDecay(0.0, 50, alpha=0.1, warmup_target=0.1, warmup_steps=5),
        PolynomialDecay(0.1, 50, 0.001, cycle=True),
    ],
)
def test_schedules_and_moving_averages_inside_optimizers_survive_both_forms(schedule):
    rule = Adam(schedule.peak, schedule=schedule, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=10)
    config = make(optimizer=rule)
    assert training_from_json(json.loads(json.dumps(training_to_json(config)))) == config
    written = json.loads(json.dumps(keras_training_config(config, ("out",))["optimizer_config"]))
    assert read_optimizer(simplify(written), "3.15.0") == rule


def test_keras_gets_full_names_and_no_key_that_it_rejects():
    config = make(metrics=("accuracy", "auc", "mae"), optimizer=SGD(0.5, decay=0.1))
    written = keras_training_config(config, ("out",))
    assert written["loss"] == "mean_squared_error"
    assert written["metrics"] == ["accuracy", {"class_name": "AUC", "config": {"name": "auc"}}, "mean_absolute_error"]
    assert {"loss_weights", "weighted_metrics"} <= set(written)
    options = written["optimizer_config"]["config"]
    assert not {"decay", "legacy", "lr"} & set(options)
    assert options["learning_rate"]["class_name"] == "InverseTimeDecay"
    again = read_training_config(json.loads(json.dumps(written)), ("out",), "2.15.0")
    assert again.optimizer == config.optimizer
    assert again.metrics == ("accuracy", "AUC", "mean_absolute_error")


def test_what_keras_has_no_words_for_is_not_written():
    assert keras_training_config(None, ("out",)) is None
    assert keras_training_config(make(losses=(None,)), ("out",)) is None
    assert keras_training_config(make(optimizer=None), ("out",)) is None


def test_the_loss_of_strings_is_kept_from_keras_because_tf_keras_would_refuse_the_file():
    config = TrainingConfig((CTC(),), ("ctc",), (1.0,), optimizer=Adam())
    assert keras_training_config(config, ("dense",)) is None
    assert training_from_json(json.loads(json.dumps(training_to_json(config)))) == config


def test_metrics_that_mean_nothing_of_predictions_are_named_and_left_out():
    """Mean and Sum of Keras average the targets; MeanRelativeError is not in Keras 3. Prediction needs none of them."""
    relative = {"class_name": "MeanRelativeError", "config": {"normalizer": [1.0]}}
    metrics = ["mae", {"class_name": "Mean", "config": {"name": "m"}}, {"class_name": "Sum", "config": {}}, relative]
    found = read_training_config({"loss": "mse", "metrics": metrics}, ("y",), "2.15.0")
    assert found.metrics == ("mae",)
    assert found.unknown_metrics == ("Mean", "Sum", "MeanRelativeError")
    assert found.losses == (MeanSquaredError(),)


@pytest.mark.parametrize("class_name", ["LossScaleOptimizer", "LossScaleOptimizerV3"])
def test_the_optimizer_inside_one_that_scales_the_loss_is_used(class_name):
    inner = {"class_name": "Custom>Adam", "config": {"learning_rate": 0.5, "is_legacy_optimizer": False}}
    found = read_optimizer({"class_name": class_name, "config": {"inner_optimizer": inner, "dynamic": True}}, "2.15.0")
    assert found == Adam(0.5)
