"""Layer words become the graphs that they describe."""

import pytest

from dltool.architectures.words import from_words
from dltool.errors import UsageError


def layers(graph):
    return [type(node.layer).__name__ for node in graph.nodes]


def test_the_classic_network_has_keras_shapes_and_parameter_count():
    # Keras's mnist_cnn example: 1,199,882 parameters.
    words = (
        "conv2d:32,3,relu conv2d:64,3,relu maxpool:2 dropout:0.25 flatten dense:128,relu dropout:0.5 dense:10,softmax"
    )
    graph = from_words(words.split(), (28, 28, 1))
    assert graph.num_parameters == 1_199_882
    assert graph.shapes[1:4] == [(26, 26, 32), (24, 24, 64), (12, 12, 64)]
    assert graph.is_sequential


def test_automatic_names_are_those_of_keras():
    graph = from_words(["2*(conv2d:4,3)", "maxpool", "flatten", "dense:3"], (9, 9, 1))
    assert [n.name for n in graph.nodes[1:]] == ["conv2d", "conv2d_1", "max_pooling2d", "flatten", "dense"]


def test_a_graph_with_two_inputs():
    words = ["x1=input:10", "y1=dense:100@x1", "x2=input:20", "both=concatenate@y1+x2", "out=dense:200@both"]
    graph = from_words(words)
    assert graph.input_names == ("x1", "x2")
    assert graph.output_names == ("out",)
    assert graph.shapes == [(10,), (100,), (20,), (120,), (200,)]


def test_a_residual_block_and_automatic_names_as_inputs():
    words = ["a=conv2d:4,3,same", "conv2d:4,3,same,relu", "conv2d:4,3,same", "add@a+conv2d_1", "gap"]
    graph = from_words(words, (8, 8, 2))
    assert graph.nodes[4].inputs == (1, 3)
    assert graph.output_shapes == ((4,),)


def test_layers_that_nothing_takes_are_the_outputs():
    graph = from_words(["h=dense:8,relu", "a=dense:2,softmax@h", "b=dense:1@h"], (3,))
    assert graph.output_names == ("a", "b")


@pytest.mark.parametrize(
    ("shape", "first", "has_rescaling"),
    [
        ((8, 8, 1), "flatten", True),
        ((8, 8, 3), "flatten", True),
        ((8, 8, 4), "flatten", True),
        ((8, 8, 2), "flatten", False),
        ((8,), "dense:3", False),
        ((8, 8, 1), "rescaling:1/127.5,-1", False),
        ((8, 8, 1), "normalization:mean=0.5,variance=0.1", False),
        ((8, 8, 1), "bn", False),
    ],
)
def test_rescaling_is_put_before_images_that_nothing_normalises(shape, first, has_rescaling):
    graph = from_words([first, "flatten", "dense:2"], shape, rescale=True)
    assert (layers(graph)[1] == "Rescaling" and graph.nodes[1].layer.scale == 1 / 255) == has_rescaling
    assert layers(from_words([first, "flatten", "dense:2"], shape))[1] != "Rescaling" or first.startswith("rescaling")


@pytest.mark.parametrize(
    ("words", "shape", "message"),
    [
        (["dense:3"], None, "--input: missing; give the shape of one sample, as --input 28x28x1, or --data"),
        (["dense:3@x"], (4,), "dense:3@x: no layer 'x' before it; name a layer that comes earlier"),
        (["head=dense:3", "dense:2@haed"], (4,), "dense:2@haed: no layer 'haed' before it; did you mean 'head'?"),
        (["a=dense:3", "a=dense:3"], (4,), "a=dense:3: the name 'a' is taken; give each layer its own"),
        (["x=input:3", "y=input:4", "dense:1@x"], None, "layer 'y': no layer takes this input; connect it with @y"),
        ([], (4,), "layer words: none given; write for example flatten dense:10,softmax"),
        (["dropout:1.5"], (4,), "dropout:1.5: "),
        (["maxpool:2", "maxpool:2"], (2, 2, 1), "layer 'max_pooling2d_1' (after 'max_pooling2d'): input 1x1x1 "),
        (["dense:3@x", "x=dense:3"], (4,), "dense:3@x: no layer 'x' before it"),
    ],
)
def test_errors_name_the_word_or_the_layers(words, shape, message):
    with pytest.raises(UsageError) as caught:
        from_words(words, shape)
    assert str(caught.value).startswith(message)


def test_layers_inside_wrappers_are_words_too():
    graph = from_words(
        ["embed:50,8", "bidir:(lstm:6,return_sequences=true),merge_mode=sum", "timedist:dense:3", "bidir:gru:2"], (7,)
    )
    assert [graph.shapes[i] for i in range(1, 5)] == [(7, 8), (7, 6), (7, 3), (4,)]
    assert graph.nodes[2].layer.layer.return_sequences


def test_states_are_taken_by_part_and_given_with_at():
    words = ["enc=lstm:4,return_state=true@a", "h=part:1,2@enc", "c=part:2,2@enc", "lstm:4@b+h+c"]
    graph = from_words(["a=input:5x3", "b=input:6x2", *words])
    assert graph.output_shapes == ((4,),)
    with pytest.raises(UsageError, match="its initial states are 4; it needs 2 of 4 numbers"):
        from_words(["a=input:5x3", "b=input:6x2", *words[:2], "lstm:4@b+h"])
