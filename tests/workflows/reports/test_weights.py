"""Statistics of weights by hand."""

import math

import numpy as np
import pytest

from dltool.architectures.words import from_words
from dltool.engine.model import Model
from dltool.errors import UsageError
from dltool.workflows.reports.weights import chosen_weights, describe_weight


def test_statistics():
    row = describe_weight("d/kernel", np.array([[0, 1], [2, 5]], np.float32))
    assert (row.mean, row.min, row.max, row.zeros, row.num_bad) == (2.0, 0.0, 5.0, 0.25, 0)
    assert row.std == pytest.approx(math.sqrt((4 + 1 + 0 + 9) / 4))


def test_what_is_not_finite_is_counted_apart():
    row = describe_weight("d/kernel", np.array([np.nan, np.inf, 1, 3], np.float32))
    assert (row.mean, row.max, row.num_bad) == (2.0, 3.0, 2)
    assert describe_weight("d/kernel", np.array([np.nan], np.float32)).mean is None


def test_a_name_means_one_weight_a_layers_or_all():
    model = Model.build(from_words(["conv2d:2,3", "bn", "relu", "flatten", "dense:2,use_bias=false"], (4, 4, 1)))
    assert list(chosen_weights(model, "conv2d/bias")) == ["conv2d/bias"]
    statistics = [f"batch_normalization/{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")]
    assert list(chosen_weights(model, "batch_normalization")) == statistics
    assert list(chosen_weights(model, "")) == ["conv2d/kernel", "conv2d/bias", *statistics, "dense/kernel"]
    with pytest.raises(UsageError, match="--weights: layer 're_lu' has no weights"):
        chosen_weights(model, "re_lu")
    with pytest.raises(UsageError, match="no layer or weight 'dense/kernl'; did you mean 'dense/kernel'"):
        chosen_weights(model, "dense/kernl")
