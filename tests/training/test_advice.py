"""Each rule on a network or setting that calls for it, and silence on good ones."""

import pytest

from dltool.architectures.catalog import ARCHITECTURES, architecture
from dltool.architectures.words import from_words
from dltool.engine.losses import loss
from dltool.training.advice import RULES, Facts, advice, most_important


def net(words: str, shape=(32, 32, 3)):
    return from_words(tuple(words.split()), shape, True)


DEEP_TANH = "flatten " + "dense:8,tanh " * 4 + "dense:3,softmax"

CASES = {
    "squared_error_after_softmax": (
        Facts(net("flatten dense:3,softmax"), losses=(loss("mse"),)),
        "softmax learns slowly with squared error; consider --loss categorical_crossentropy",
    ),
    "high_learning_rate": (
        Facts(optimizer="sgd", learning_rate=0.5),
        "a learning rate of 0.5 is high; 0.1 is much already, 0.001 is usual",
    ),
    "imbalanced_classes": (
        Facts(class_counts=(400, 100, 300)),
        "classes are imbalanced 4:1; consider --class-weight balanced",
    ),
    "precompute_with_augmentation": (
        Facts(augments=True, precomputes=True),
        "features computed once see no augmentation; leave one of the two out",
    ),
    "saturating_activations": (
        Facts(net(DEEP_TANH)),
        "4 layers with tanh: gradients vanish on the way; use relu or its family",
    ),
    "pooling_drops_rows": (
        Facts(net("conv2d:4,3,same maxpool:2 maxpool:2 flatten dense:3,softmax", (30, 30, 1))),
        "15x15 into 'max_pooling2d_1' drops a row; use --image-size 32x32",
    ),
    "one_large_dense": (
        Facts(net("conv2d:4,3,same flatten dense:100,relu dense:3,softmax")),
        "'dense' has 100% of the weights; a globalaveragepooling2d before it does without",
    ),
    "large_filters": (
        Facts(net("conv2d:4,7,same,relu gap dense:3,softmax")),
        "'conv2d' has 7x7 filters; 3 stacked 3x3 see as far with fewer weights",
    ),
    "large_pooling": (
        Facts(net("conv2d:4,3,same maxpool:4 flatten dense:3,softmax")),
        "'max_pooling2d' pools 4x4; above 3x3 too much is lost at once",
    ),
    "large_strides": (
        Facts(net("conv2d:4,3,strides=2,padding=same gap dense:3,softmax")),
        "'conv2d' takes strides of 2 with 3x3 filters; neighbours hardly overlap",
    ),
    "early_dropout": (
        Facts(net("flatten dense:200,relu dropout:0.5 dense:3,softmax")),
        "dropout before it is known to overfit; first see what the network learns without",
    ),
    "dropout_before_small_head": (
        Facts(net("flatten dense:16,relu dropout:0.5 dense:3,softmax")),
        "'dropout' drops some of only 16 features before the head; leave it out",
    ),
}


def test_every_rule_has_a_case_and_a_source():
    assert set(CASES) == {rule.name for rule in RULES}
    assert all(len(rule.source) > 20 for rule in RULES)


@pytest.mark.parametrize("name", CASES)
def test_a_rule_says_what_is_wrong_and_what_to_do(name):
    facts, words = CASES[name]
    assert {found.rule: found.words for found in advice(facts)}[name] == words


GOOD = "conv2d:16,3,same,relu maxpool:2 conv2d:32,3,same,relu maxpool:2 gap dense:3,softmax"


def test_a_sensible_network_gets_no_advice():
    rules = {"losses": (loss("categorical_crossentropy"),), "optimizer": "adam", "learning_rate": 0.001}
    assert advice(Facts(net(GOOD), class_counts=(100, 120, 80), **rules)) == []
    assert advice(Facts()) == []


def test_limits_are_not_crossed_by_what_lies_on_them():
    assert advice(Facts(learning_rate=0.1, optimizer="sgd", class_counts=(399, 100))) == []
    assert advice(Facts(learning_rate=1.0, optimizer="adadelta")) == []
    first_of_resnet = net("conv2d:8,7,strides=2,padding=same gap dense:3,softmax")
    assert {found.rule for found in advice(Facts(first_of_resnet))} == set()


def test_only_the_most_important_remark_is_for_everybody():
    facts = Facts(net(DEEP_TANH), optimizer="sgd", learning_rate=0.5, class_counts=(99, 1))
    assert most_important(facts).rule == "high_learning_rate"
    assert most_important(Facts(net("flatten dense:9,relu dropout:0.5 dense:3,softmax"))) is None


@pytest.mark.parametrize("name", ["mlp", *(n for n in ARCHITECTURES if n != "mlp")])
def test_ready_architectures_break_no_important_rule(name):
    graph = architecture(name, (32, 32, 3), 10, "softmax", True)
    found = most_important(Facts(graph, optimizer="adam", learning_rate=0.001))
    assert found is None or found.rule == "one_large_dense"
