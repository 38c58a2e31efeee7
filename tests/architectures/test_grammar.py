"""Layer words: what is understood, and what is said about everything else."""

import pytest

from dltool.architectures.grammar import parse
from dltool.architectures.vocabulary import ALIASES, class_of, kinds
from dltool.errors import UsageError
from dltool.names import LAYERS


def options(word):
    (parsed,) = parse([word])
    return parsed.options


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("conv2d:32,3", {"filters": 32, "kernel_size": 3}),
        ("conv2d:32,3,same,relu", {"filters": 32, "kernel_size": 3, "padding": "same", "activation": "relu"}),
        ("conv2d:32,relu,3,same", {"filters": 32, "kernel_size": 3, "padding": "same", "activation": "relu"}),
        ("conv2d:32,3x5", {"filters": 32, "kernel_size": (3, 5)}),
        ("conv2d:32,(3,5)", {"filters": 32, "kernel_size": (3, 5)}),
        ("conv2d:32,3x3,2x2", {"filters": 32, "kernel_size": (3, 3), "strides": (2, 2)}),
        ("conv2d:32,3x3,2", {"filters": 32, "kernel_size": (3, 3), "strides": 2}),
        ("conv2d:32,3,strides=2", {"filters": 32, "kernel_size": 3, "strides": 2}),
        ("conv2d:filters=32,kernel_size=3", {"filters": 32, "kernel_size": 3}),
        ("conv2d:kernel_size=3,32", {"kernel_size": 3, "filters": 32}),
        ("conv2d:8,3,use_bias=false", {"filters": 8, "kernel_size": 3, "use_bias": False}),
        ("conv2d:8,3,he_normal", {"filters": 8, "kernel_size": 3, "kernel_initializer": "he_normal"}),
        ("depthwise:3,same", {"kernel_size": 3, "padding": "same"}),
        ("depthwise:3,he_normal", {"kernel_size": 3, "depthwise_initializer": "he_normal"}),
        ("maxpool:2", {"pool_size": 2}),
        ("maxpool:3,2,same", {"pool_size": 3, "strides": 2, "padding": "same"}),
        ("maxpool", {}),
        ("dense:10,softmax", {"units": 10, "activation": "softmax"}),
        ("dense: 10, softmax", {"units": 10, "activation": "softmax"}),
        ("dropout:0.25", {"rate": 0.25}),
        ("dropout:.5", {"rate": 0.5}),
        ("dropout:1/4", {"rate": 0.25}),
        ("bn", {}),
        ("bn:momentum=0.9,scale=false", {"momentum": 0.9, "scale": False}),
        ("bn:-1,0.9,1e-5", {"axis": -1, "momentum": 0.9, "epsilon": 1e-5}),
        ("leakyrelu:0.1", {"negative_slope": 0.1}),
        ("relu", {}),
        ("relu:6", {"max_value": 6}),
        ("softmax", {"activation": "softmax"}),
        ("activation:tanh", {"activation": "tanh"}),
        ("rescaling:1/255", {"scale": 1 / 255}),
        ("rescaling:1/127.5,-1", {"scale": 1 / 127.5, "offset": -1}),
        ("zeropad:1", {"padding": 1}),
        ("zeropad:1x2", {"padding": (1, 2)}),
        ("zeropad:((1,0),(2,2))", {"padding": ((1, 0), (2, 2))}),
        ("reshape:7x7x64", {"target_shape": (7, 7, 64)}),
        ("input:28x28x1", {"shape": (28, 28, 1)}),
        ("input:10", {"shape": 10}),
        ("concatenate:axis=1", {"axis": 1}),
        ("gap:keepdims=true", {"keepdims": True}),
        ("dense:1,trainable=false", {"units": 1, "trainable": False}),
    ],
)
def test_values_become_keras_arguments(word, expected):
    assert options(word) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("dense:1,l2", {"class_name": "L2", "config": {"l2": 0.01}}),
        ("dense:1,l2=1e-4", {"class_name": "L2", "config": {"l2": 1e-4}}),
        ("dense:1,l1=1", {"class_name": "L1", "config": {"l1": 1.0}}),
        ("dense:1,l1=0.1,l2=0.2", {"class_name": "L1L2", "config": {"l1": 0.1, "l2": 0.2}}),
        ("dense:1,l2=0.2,l1=0.1", {"class_name": "L1L2", "config": {"l1": 0.1, "l2": 0.2}}),
        ("dense:1,kernel_regularizer=l2", "l2"),
    ],
)
def test_weight_penalties(word, expected):
    assert options(word)["kernel_regularizer"] == expected


def test_penalty_of_a_depthwise_layer_lands_on_its_kernel():
    assert options("depthwise:3,l2=0.5")["depthwise_regularizer"] == {"class_name": "L2", "config": {"l2": 0.5}}


@pytest.mark.parametrize(
    ("kind", "class_name"),
    [
        ("conv2d", "Conv2D"),
        ("conv", "Conv2D"),
        ("Conv2D", "Conv2D"),
        ("CONV2D", "Conv2D"),
        ("maxpool", "MaxPooling2D"),
        ("maxpool2d", "MaxPooling2D"),
        ("maxpooling2d", "MaxPooling2D"),
        ("max_pooling2d", "MaxPooling2D"),
        ("avgpool", "AveragePooling2D"),
        ("gap", "GlobalAveragePooling2D"),
        ("gmp", "GlobalMaxPooling2D"),
        ("bn", "BatchNormalization"),
        ("dense", "Dense"),
        ("flatten", "Flatten"),
        ("dropout", "Dropout"),
        ("relu", "ReLU"),
        ("leakyrelu", "LeakyReLU"),
        ("add", "Add"),
        ("concatenate", "Concatenate"),
        ("concat", "Concatenate"),
        ("rescaling", "Rescaling"),
        ("normalization", "Normalization"),
        ("zeropad", "ZeroPadding2D"),
        ("depthwise", "DepthwiseConv2D"),
        ("input", "InputLayer"),
    ],
)
def test_kinds(kind, class_name):
    assert class_of(kind, kind) == class_name


def test_every_layer_has_a_kind_and_every_alias_a_layer():
    assert set(kinds().values()) == set(LAYERS)
    assert set(ALIASES.values()) <= set(LAYERS)


def test_name_and_inputs():
    (word,) = parse(["both=concatenate@y1+x2"])
    assert (word.name, word.class_name, word.inputs) == ("both", "Concatenate", ("y1", "x2"))
    (word,) = parse(["out=dense:200,relu@both"])
    assert (word.name, word.options, word.inputs) == ("out", {"units": 200, "activation": "relu"}, ("both",))


@pytest.mark.parametrize(
    ("word", "classes"),
    [
        ("3*dense:5", ["Dense"] * 3),
        ("2*(conv2d:8,3)", ["Conv2D"] * 2),
        ("2*(conv2d:8,3 bn relu)", ["Conv2D", "BatchNormalization", "ReLU"] * 2),
        ("2*(2*(dense:3) dropout:.1)", ["Dense", "Dense", "Dropout"] * 2),
        ("1*(zeropad:((1,0),(0,1)) flatten)", ["ZeroPadding2D", "Flatten"]),
    ],
)
def test_repetition(word, classes):
    assert [w.class_name for w in parse([word])] == classes


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "conv2d:32,3,3",
            "conv2d:32,3,3: 3,3 meant rows and columns in old Keras and means a stride of 3 now; "
            "write conv2d:32,3x3 for a 3x3 kernel, or conv2d:32,3,strides=3",
        ),
        (
            "conv2d:32,5,2,same",
            "conv2d:32,5,2,same: 5,2 meant rows and columns in old Keras and means a stride of 2 now; "
            "write conv2d:32,5x2 for a 5x2 kernel, or conv2d:32,5,strides=2",
        ),
        (
            "depthwise:3,3",
            "depthwise:3,3: 3,3 meant rows and columns in old Keras and means a stride of 3 now; "
            "write depthwise:3x3 for a 3x3 kernel, or depthwise:3,strides=3",
        ),
        ("cnv2d:3", "cnv2d:3: unknown layer 'cnv2d'; did you mean 'conv2d'?"),
        ("dens", "dens: unknown layer; did you mean 'dense'?"),
        ("sofmax", "sofmax: unknown layer; did you mean 'softmax'?"),
        ("qqqqqq", "qqqqqq: unknown layer; 'dltool help layer-words' lists them"),
        ("dense", "dense: dense needs units; write dense:64"),
        ("conv2d:32", "conv2d:32: conv2d needs kernel_size; write conv2d:32,3"),
        ("input", "input: input needs shape; write input:28x28x1"),
        (
            "dense:10,sofmax",
            "dense:10,sofmax: 'sofmax' is no number, activation, padding, regulariser or initializer; "
            "did you mean 'softmax'?",
        ),
        ("dense:10,unit=3", "dense:10,unit=3: dense has no option 'unit'; did you mean 'units'?"),
        (
            "conv2d:8,3,border_mode=same",
            "conv2d:8,3,border_mode=same: conv2d has no option 'border_mode'; did you mean 'padding'?",
        ),
        ("dropout:p=.5", "dropout:p=.5: dropout has no option 'p'; did you mean 'rate'?"),
        (
            "dense:10,activation=rellu",
            "dense:10,activation=rellu: 'rellu' is not known as activation; did you mean 'relu'?",
        ),
        (
            "conv2d:8,3,padding=full",
            "conv2d:8,3,padding=full: 'full' is not known as padding; known: valid, same, causal",
        ),
        ("maxpool:2,relu", "maxpool:2,relu: maxpool has no activation; write relu as a word of its own after it"),
        ("dense:2,same", "dense:2,same: dense has no padding; leave 'same' out"),
        ("dense:1.5", "dense:1.5: units must be a whole number, not 1.5"),
        ("dense:10,use_bias=3", "dense:10,use_bias=3: use_bias must be true or false, not 3"),
        ("conv2d:8,0.5", "conv2d:8,0.5: kernel_size must be a size such as 3 or 3x3, not 0.5"),
        ("dropout:rate=x", "dropout:rate=x: rate must be a number, not x"),
        ("dense:10,units=3", "dense:10,units=3: units is given twice; give it once"),
        ("dense:10,relu,tanh", "dense:10,relu,tanh: activation is given twice; give it once"),
        ("dense:10,l2=1,l2=2", "dense:10,l2=1,l2=2: l2 is given twice; give it once"),
        ("dense:10,l2=x", "dense:10,l2=x: l2 must be a number, as l2=1e-4, not x"),
        ("flatten:3", "flatten:3: flatten has no place for a further 3; write it as key=value"),
        ("input:28,28,1", "input:28,28,1: input has no place for a further 28; write sizes as 28x28"),
        ("dense:", "dense:: a value is missing before or after a comma; write conv2d:32,3,relu"),
        ("dense:10,", "dense:10,: a value is missing before or after a comma; write conv2d:32,3,relu"),
        ("dense:10@", "dense:10@: a name is missing before '=' or after '@'; write name=kind@input+input"),
        ("add@a++b", "add@a++b: a name is missing before '=' or after '@'; write name=kind@input+input"),
        ("=dense:10", "=dense:10: a name is missing before '=' or after '@'; write name=kind@input+input"),
        (
            "a/b=dense:1",
            "a/b=dense:1: 'a/b' cannot be a layer's name; use letters, digits, '_', '.' and '-'",
        ),
        ("", "'': not a layer word; write [name=]kind[:values][@inputs], as conv2d:32,3,relu"),
        (":3", ":3: not a layer word; write [name=]kind[:values][@inputs], as conv2d:32,3,relu"),
        ("dense:(3", "dense:(3: brackets do not match; close every '(' with ')'"),
        ("2*(dense:3", "2*(dense:3: brackets do not match; close every '(' with ')'"),
        ("0*dense:3", "0*dense:3: repeats 0 times; give a number from 1 to 1000"),
        ("1001*dense:3", "1001*dense:3: repeats 1001 times; give a number from 1 to 1000"),
        ("3*()", "3*(): nothing to repeat; write 3*(conv2d:64,3,same,relu)"),
        ("2*(a=dense:3)", "a=dense:3: a repeated layer cannot have a name or '@' inputs; write it out instead"),
        ("2*dense:3@a", "dense:3@a: a repeated layer cannot have a name or '@' inputs; write it out instead"),
        ("1000*(1000*dense:3)", "1000*(1000*dense:3): more than 10,000 layers; repeat fewer times"),
    ],
)
def test_what_is_wrong_and_what_to_write(word, message):
    with pytest.raises(UsageError) as caught:
        parse([word])
    assert str(caught.value) == message


@pytest.mark.parametrize("word", ["9" * 5000 + "*dense:1", "dense:" + "9" * 5000, "(" * 5000, "dense:" + "(" * 5000])
def test_absurd_words_are_refused_quickly(word):
    with pytest.raises(UsageError):
        parse([word])
