"""The compile step of fit: what the options, the file and the outputs say together."""

from dataclasses import replace

import pytest

from dltool.engine.graph import GraphBuilder
from dltool.engine.layers import Dense
from dltool.engine.losses import loss
from dltool.engine.model import Model
from dltool.errors import UsageError
from dltool.modelfile.saved import SavedModel, TrainingConfig
from dltool.settings import DataSettings, FitSettings
from dltool.workflows.fitting.compile_step import compiled, unknown_optimizer

HUBER = loss({"class_name": "Huber", "config": {"delta": 0.5}})


def settings(**options) -> FitSettings:
    return FitSettings(model="m.h5", data=DataSettings(), **options)


def two_outputs(*losses, names: tuple[str, str]) -> SavedModel:
    builder = GraphBuilder()
    x = builder.input((3,))
    ends = [builder.add(Dense(2, name=name), x) for name in ("a", "b")]
    config = TrainingConfig(losses=losses, loss_names=names, loss_weights=(1.0, 1.0))
    return SavedModel(Model.build(builder.graph(*ends)), training_config=config)


def test_an_output_without_a_loss_is_asked_for_by_name():
    saved = two_outputs(HUBER, None, names=("Huber", ""))
    message = (
        r"^--loss: m.h5 was compiled without a loss for its output 'b'; give --loss b=NAME, and --loss-weight b=0 "
    )
    with pytest.raises(UsageError, match=message):
        compiled(settings(), saved, None)


def test_outputs_keep_the_files_losses_where_the_options_name_no_other():
    saved = two_outputs(HUBER, None, names=("Huber", ""))
    found = compiled(settings(loss="b=mae", loss_weights=("b=0",)), saved, None)
    assert found.losses == (HUBER, loss("mae"))
    assert found.loss_weights == (1.0, 0.0)


def test_an_unknown_loss_is_not_replaced_by_the_loss_of_another_output():
    saved = two_outputs(None, HUBER, names=("my_loss", "Huber"))
    with pytest.raises(UsageError, match=r"^--loss: m.h5 was compiled with my_loss, which is not known; give --loss"):
        compiled(settings(loss="b=mae"), saved, None)


def test_a_file_without_any_loss_gets_those_that_suit_its_outputs():
    saved = two_outputs(None, None, names=("", ""))
    assert [rule.name for rule in compiled(settings(), saved, None).losses] == ["mean_squared_error"] * 2


def test_an_unknown_optimizer_is_told_unless_the_options_say_which():
    config = replace(two_outputs(HUBER, HUBER, names=("Huber",) * 2).training_config, optimizer_name="MyOptimizer")
    (sentence,) = unknown_optimizer(settings(), config)
    assert sentence.startswith("the file's optimizer MyOptimizer is not known; --optimizer")
    assert unknown_optimizer(settings(optimizer="sgd"), config) == ()
    assert unknown_optimizer(settings(), replace(config, optimizer_name="")) == ()
